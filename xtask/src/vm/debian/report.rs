//! What the guest said: parts, each below a line `== NAME`.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use serde::{Deserialize, de::DeserializeOwned};

/// The parts by their names.
pub(super) struct Report(HashMap<String, String>);

/// A row of `credwatch identities`.
#[derive(Debug, Deserialize)]
pub(super) struct Identity {
    pub(super) selector: String,
}

/// A row of `credwatch credentials`.
#[derive(Debug, Deserialize)]
pub(super) struct Credential {
    pub(super) fingerprint: String,
    pub(super) kind: String,
    pub(super) paths: Vec<String>,
}

/// A row of `credwatch usage`.
#[derive(Debug, Deserialize)]
pub(super) struct Usage {
    pub(super) fingerprint: String,
    pub(super) identity: String,
    pub(super) exe: String,
    pub(super) count: u64,
}

impl Report {
    pub(super) fn read(text: &str) -> Self {
        let mut parts: HashMap<String, String> = HashMap::new();
        let mut name = String::new();
        for line in text.lines() {
            match line.strip_prefix("== ") {
                Some(of) => name = of.trim().to_owned(),
                None => {
                    let part = parts.entry(name.clone()).or_default();
                    part.push_str(line);
                    part.push('\n');
                }
            }
        }
        Self(parts)
    }

    /// A part's text; empty where the guest said nothing of it.
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// A part in JSON.
    ///
    /// # Errors
    /// When it is missing or something else.
    pub(super) fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let said = || format!("the guest did not say its {name}");
        serde_json::from_str(self.text(name)).with_context(said)
    }

    /// The lines of a part, as fields between tabs.
    pub(super) fn rows(&self, name: &str) -> impl Iterator<Item = Vec<&str>> {
        self.text(name)
            .lines()
            .map(|line| line.split('\t').collect())
    }

    /// A line `NAME<TAB>VALUE` of the part `facts`.
    pub(super) fn fact(&self, name: &str) -> &str {
        let mut rows = self.rows("facts");
        rows.find_map(|row| match row[..] {
            [of, value] if of == name => Some(value),
            _ => None,
        })
        .unwrap_or("")
    }

    /// The lines `TIMES NAME` of a part.
    pub(super) fn counts(&self, name: &str) -> Vec<(u64, &str)> {
        self.text(name)
            .lines()
            .filter_map(|line| {
                let (times, name) = line.trim().split_once(' ')?;
                Some((times.parse().ok()?, name))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::Alert;

    #[test]
    fn parts_are_told_by_their_lines() {
        let report = Report::read(
            "== alerts\n[\n]\n== facts\nseconds\t3600\nmemory\t9 kB\n== done\n     12 a, b\n\n",
        );
        assert!(report.json::<Vec<Alert>>("alerts").unwrap().is_empty());
        assert_eq!(report.fact("seconds"), "3600");
        assert_eq!(report.fact("memory"), "9 kB");
        assert_eq!(report.fact("x"), "");
        assert_eq!(report.counts("done"), [(12, "a, b")]);
        assert!(report.json::<Vec<Identity>>("identities").is_err());
    }
}
