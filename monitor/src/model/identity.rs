//! Names of machine actors, in SPIRE's vocabulary of selectors.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A machine actor's name: `unix:user:postgres`, `systemd:unit:backup.service`,
/// `container:id:…`, `k8s:sa:prod/api`. Cheap to copy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Selector(Arc<str>);

/// The families of selectors that Credwatch knows, each with an example for error messages.
const FAMILIES: &[(&str, &str)] = &[
    ("unix:user:", "unix:user:svc-backup"),
    ("unix:uid:", "unix:uid:998"),
    ("systemd:unit:", "systemd:unit:backup.service"),
    ("container:id:", "container:id:3f4a…"),
    (
        "container:image:",
        "container:image:registry.example/api:1.4",
    ),
    ("k8s:sa:", "k8s:sa:prod/api"),
    ("k8s:pod:", "k8s:pod:prod/api-7d9f"),
    ("ci:", "ci:github:org/repo"),
    ("device:", "device:mac:00:16:3e:12:34:56"),
    ("human:", "human:ana"),
];

/// Why a text is no selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no selector: write it like unix:user:svc-backup or systemd:unit:backup.service")]
pub struct SelectorError(String);

impl Selector {
    /// `unix:user:NAME`
    pub fn unix_user(name: &str) -> Self {
        Self(format!("unix:user:{name}").into())
    }

    /// `unix:uid:N`, where the uid has no name.
    pub fn unix_uid(uid: u32) -> Self {
        Self(format!("unix:uid:{uid}").into())
    }

    /// `systemd:unit:NAME`
    pub fn systemd_unit(unit: &str) -> Self {
        Self(format!("systemd:unit:{unit}").into())
    }

    /// `container:id:ID`
    pub fn container_id(id: &str) -> Self {
        Self(format!("container:id:{id}").into())
    }

    /// The whole selector as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a text starts like a selector, so that `retire` can tell one from a path.
    pub fn looks_like(text: &str) -> bool {
        FAMILIES.iter().any(|(prefix, _)| text.starts_with(prefix))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = FAMILIES.iter().any(|(prefix, _)| {
            text.strip_prefix(prefix)
                .is_some_and(|rest| !rest.is_empty())
        });
        if known && !text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            Ok(Self(text.into()))
        } else {
            Err(SelectorError(text.to_owned()))
        }
    }
}

impl TryFrom<String> for Selector {
    type Error = SelectorError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Selector> for String {
    fn from(selector: Selector) -> Self {
        selector.0.as_ref().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_needs_a_known_family_and_a_name() {
        for (_, example) in FAMILIES {
            assert_eq!(example.parse::<Selector>().unwrap().as_str(), *example);
        }
        for bad in [
            "",
            "unix:user:",
            "svc",
            "unix:user:a b",
            "/etc/shadow",
            "unix:user:a\n",
        ] {
            assert!(bad.parse::<Selector>().is_err(), "{bad:?}");
        }
    }
}
