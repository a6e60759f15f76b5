//! What each detection is, once, a file for each: titles, severities, frameworks, and the text of
//! `explain`.

use crate::model::{CredentialKind, DetectionId, Severity};

mod page;

pub use page::{nhi_page, page};

/// How far a detection can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maturity {
    /// Its meaning and its sentence do not change within a version's line.
    Stable,
    /// New: its severity and what it takes for ordinary may still change.
    Experimental,
}

impl Maturity {
    /// As it is written: `stable`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Experimental => "experimental",
        }
    }
}

/// One detection.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The id.
    pub id: DetectionId,
    /// The title of its alerts.
    pub title: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// MITRE ATT&CK techniques, unless the credential's kind says it better.
    pub attack: &'static [&'static str],
    /// OWASP Non-Human Identities Top 10 (2025).
    pub owasp: &'static [&'static str],
    /// How far it can be relied on.
    pub maturity: Maturity,
    /// The sentence of its alerts, with what differs in capitals.
    pub sentence: &'static str,
    /// What it means and why it matters.
    pub meaning: &'static str,
    /// What usually explains it without an attack.
    pub innocent: &'static str,
    /// What to do.
    pub next: &'static str,
    /// The live tests that perform the act.
    pub proof: &'static [&'static str],
    /// The live tests in which ordinary use does not raise it.
    pub quiet: &'static [&'static str],
}

macro_rules! catalog {
    ($($name:ident: $file:ident,)*) => {
        $(mod $file;)*

        /// The entry of a detection.
        pub fn entry(id: DetectionId) -> &'static Entry {
            match id {
                $(DetectionId::$name => &$file::ENTRY,)*
            }
        }
    };
}

catalog! {
    RetiredCredentialRead: cw101,
    RetiredCredentialUsed: cw102,
    RetiredIdentityActive: cw103,
    DormantUsed: cw104,
    AccountReactivated: cw105,
    StaleHolder: cw106,
    DecoyTouched: cw107,
    LongLived: cw108,
    OutsiderReads: cw201,
    ReadThenCall: cw202,
    MetadataService: cw203,
    Harvest: cw204,
    EnvironScrape: cw205,
    MemoryScrape: cw206,
    ControlSocket: cw207,
    SystemSecret: cw208,
    HumanUse: cw209,
    Reuse: cw210,
    WrongEnvironment: cw211,
    LeakedByPlace: cw213,
    Overprivileged: cw214,
    NewDestination: cw301,
    UnusualRate: cw302,
    UnusualVolume: cw303,
    Beacon: cw304,
    UnusualHour: cw305,
    SlowExfiltration: cw306,
    NewProgram: cw307,
    HookFailed: cw901,
    EventsLost: cw902,
    NotWatched: cw903,
    Tampered: cw904,
}

/// The ATT&CK techniques that reading a credential of a kind belongs to.
pub fn attack_for(kind: CredentialKind) -> &'static [&'static str] {
    match kind {
        CredentialKind::SshPrivateKey | CredentialKind::X509PrivateKey => &["T1552.004"],
        CredentialKind::SshAuthorizedKey => &["T1098.004"],
        CredentialKind::ShadowPassword => &["T1003.008"],
        CredentialKind::KubernetesServiceAccountToken
        | CredentialKind::Jwt
        | CredentialKind::VaultToken => &["T1528", "T1552.001"],
        CredentialKind::Keytab => &["T1558", "T1552.001"],
        _ => &["T1552.001"],
    }
}

/// The text of `credwatch explain`.
pub fn explain(id: DetectionId) -> String {
    let entry = entry(id);
    format!(
        "{id}  {}\n\nSeverity    {}\nATT&CK      {}\nOWASP NHI   {}\n\nWhat it means\n  {}\n\nWhat explains it \
         without an attack\n  {}\n\nWhat to do\n  {}\n",
        entry.title,
        entry.severity.as_str(),
        list(entry.attack),
        list(entry.owasp),
        entry.meaning,
        entry.innocent,
        entry.next,
    )
}

fn list(of: &[&str]) -> String {
    if of.is_empty() {
        "none: it is about the sensor itself".to_owned()
    } else {
        of.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_detection_is_explained() {
        for &id in DetectionId::ALL {
            assert_eq!(entry(id).id, id);
            let text = explain(id);
            assert!(text.starts_with(id.as_str()) && text.len() > 300, "{text}");
            assert_eq!(id.as_str().parse(), Ok(id));
        }
    }
}
