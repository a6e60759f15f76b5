//! What `credwatch doctor --output json` says, as far as the matrix tells of it.

use serde::Deserialize;

/// Which way of seeing each hook took. Fields that a version does not write are empty.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Doctor {
    pub(super) hooks: Vec<Hook>,
}

/// A hook on one kernel.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Hook {
    pub(super) capability: String,
    pub(super) hook: String,
    /// With what it is attached to: `fentry security_file_open`.
    pub(super) backend: String,
    /// `fentry`; none where no backend does.
    kind: Option<String>,
    pub(super) attached: bool,
    pub(super) fired: bool,
    /// What is not seen here; none where all is, though some hooks cannot be made to fire.
    pub(super) gap: Option<String>,
    /// The backends that were better and failed.
    pub(super) tried: Vec<Tried>,
}

/// A backend that did not do.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Tried {
    pub(super) backend: String,
    pub(super) failure: Option<String>,
}

impl Doctor {
    /// Reads what the guest wrote; nothing where that is no such report.
    pub(super) fn read(text: &str) -> Option<Self> {
        let doctor: Self = serde_json::from_str(text.trim()).ok()?;
        (!doctor.hooks.is_empty()).then_some(doctor)
    }

    /// `fentry 6, tp_btf 4`: how many hooks each backend serves, and how many none does.
    pub(super) fn rungs(&self) -> String {
        let mut counts: Vec<(&str, u32)> = Vec::new();
        for hook in &self.hooks {
            let works = hook.rung().is_some();
            let kind = hook.kind.as_deref().unwrap_or(&hook.backend);
            let rung = if works { kind } else { "none" };
            match counts.iter_mut().find(|(name, _)| *name == rung) {
                Some((_, count)) => *count += 1,
                None => counts.push((rung, 1)),
            }
        }
        let counts: Vec<_> = counts
            .iter()
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        counts.join(", ")
    }
}

impl Hook {
    /// The backend, if it works.
    pub(super) fn rung(&self) -> Option<&str> {
        let works = self.attached && (self.fired || self.gap.is_none());
        works.then_some(self.backend.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_with_more_and_with_less_in_it() {
        let text = r#"{"kernel":"6.1","hooks":[
            {"capability":"process","hook":"process_exec","backend":"fentry a","kind":"fentry","attached":true,"fired":true},
            {"hook":"file_read","backend":"lsm b","kind":"lsm","attached":true,"fired":false,"gap":"reads",
             "tried":[{"backend":"fentry b","failure":"EPERM"}]},
            {"hook":"connect4","backend":"fentry c","kind":"fentry","attached":true,"fired":true,"fix":null},
            {"hook":"dns","backend":"packet filter","attached":true,"fired":false,"gap":null},
            {"hook":"connect6","backend":"-","kind":null,"attached":false,"gap":"all"}]}"#;
        let doctor = Doctor::read(text).unwrap();
        assert_eq!(doctor.rungs(), "fentry 2, none 2, packet filter 1");
        assert_eq!(doctor.hooks[1].tried[0].failure.as_deref(), Some("EPERM"));
    }

    #[test]
    fn what_is_no_report_is_none() {
        for text in [
            "",
            "error: unrecognized subcommand",
            "{}",
            r#"{"hooks":[]}"#,
        ] {
            assert_eq!(Doctor::read(text), None, "{text}");
        }
    }
}
