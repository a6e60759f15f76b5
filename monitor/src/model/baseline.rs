//! What was learned of habits, in the form in which it is stored, and what operators say of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Selector;

/// What was learned of one identity, or of the host as a whole. Only the baselines know what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredBaseline {
    /// Of whom; `None` for what holds for the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Selector>,
    /// The form of the body.
    pub version: u16,
    /// What was learned.
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    pub body: Vec<u8>,
}

impl StoredBaseline {
    /// Of whom it is, as a sentence says it.
    pub fn of(&self) -> &str {
        self.identity.as_ref().map_or("this host", Selector::as_str)
    }
}

/// What an operator may say about what was learned of an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    /// All that it did is ordinary.
    Approve,
    /// What was learned of it is dropped: it is learned anew.
    Forget,
    /// It is held against what is known of it now, and nothing more is learned of it.
    Freeze,
    /// It is learned of again, from where it was frozen.
    Unfreeze,
}

impl Word {
    /// As a sentence says what has happened: `frozen`.
    pub fn done(self) -> &'static str {
        match self {
            Self::Approve => "approved",
            Self::Forget => "forgotten",
            Self::Freeze => "frozen",
            Self::Unfreeze => "unfrozen",
        }
    }
}

/// A word about what was learned of an identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaselineWord {
    /// Of whom.
    pub identity: Selector,
    /// What.
    pub word: Word,
    /// Who said it: a user name.
    pub by: String,
    /// Why.
    pub reason: String,
}

fn to_base64<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&STANDARD.encode(bytes))
}

fn from_base64<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(from)?;
    STANDARD.decode(text).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_text_in_a_recording() {
        let stored = StoredBaseline {
            identity: Some(Selector::unix_user("backup")),
            version: 1,
            body: vec![0, 255, 7],
        };
        let json = serde_json::to_string(&stored).unwrap();
        assert_eq!(
            json,
            r#"{"identity":"unix:user:backup","version":1,"body":"AP8H"}"#
        );
        assert_eq!(
            serde_json::from_str::<StoredBaseline>(&json).unwrap(),
            stored
        );
        let of_host = StoredBaseline {
            identity: None,
            ..stored
        };
        let json = serde_json::to_string(&of_host).unwrap();
        assert_eq!(
            serde_json::from_str::<StoredBaseline>(&json).unwrap(),
            of_host
        );
        assert!(serde_json::from_str::<StoredBaseline>(r#"{"version":1,"body":"?"}"#).is_err());
    }
}
