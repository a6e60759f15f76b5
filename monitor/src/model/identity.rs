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
    ("systemd:user-unit:", "systemd:user-unit:ana/sync.service"),
    ("container:id:", "container:id:3f4a…"),
    (
        "container:image:",
        "container:image:registry.example/api:1.4",
    ),
    ("container:name:", "container:name:web"),
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

    /// `systemd:unit:TEMPLATE@.service`, which holds for every instance of a template: what is
    /// declared for `backup@.service` is declared for `backup@etc.service`. `None` for a unit that
    /// is no instance.
    pub fn systemd_template(unit: &str) -> Option<Self> {
        let template = template(unit)?;
        Some(Self(format!("systemd:unit:{template}").into()))
    }

    /// `systemd:user-unit:USER/UNIT`: a unit of a user's own manager. SPIRE has no word for it, and
    /// `systemd:unit:` alone would let any user make a unit that is taken for the system's of the
    /// same name.
    pub fn systemd_user_unit(user: &str, unit: &str) -> Self {
        Self(format!("systemd:user-unit:{user}/{unit}").into())
    }

    /// `systemd:user-unit:USER/TEMPLATE@.service`, as [`Self::systemd_template`].
    pub fn systemd_user_template(user: &str, unit: &str) -> Option<Self> {
        let template = template(unit)?;
        Some(Self(format!("systemd:user-unit:{user}/{template}").into()))
    }

    /// `container:id:ID`
    pub fn container_id(id: &str) -> Self {
        Self(format!("container:id:{id}").into())
    }

    /// `container:image:IMAGE`; `None` for a text that is no image's name.
    pub fn container_image(image: &str) -> Option<Self> {
        format!("container:image:{image}").parse().ok()
    }

    /// `container:name:NAME`; `None` for a text that is no name.
    pub fn container_name(name: &str) -> Option<Self> {
        format!("container:name:{name}").parse().ok()
    }

    /// `k8s:pod:NAMESPACE/POD`; `None` for texts that are no names.
    pub fn kubernetes_pod(namespace: &str, pod: &str) -> Option<Self> {
        format!("k8s:pod:{namespace}/{pod}").parse().ok()
    }

    /// `k8s:sa:NAMESPACE/NAME`; `None` for texts that are no names.
    pub fn kubernetes_account(namespace: &str, name: &str) -> Option<Self> {
        format!("k8s:sa:{namespace}/{name}").parse().ok()
    }

    /// `ci:SYSTEM:JOB`; `None` for a text that is no job's name.
    pub fn ci_job(system: &str, job: &str) -> Option<Self> {
        format!("ci:{system}:{job}").parse().ok()
    }

    /// Whether it names a machine actor and no person. What a unix account is, its name does not
    /// tell.
    pub fn is_machine(&self) -> bool {
        !["human:", "unix:"].iter().any(|of| self.0.starts_with(of))
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

/// `backup@.service` of `backup@etc.service`.
fn template(unit: &str) -> Option<String> {
    let (name, rest) = unit.split_once('@')?;
    let (instance, ending) = rest.rsplit_once('.')?;
    (!name.is_empty() && !instance.is_empty()).then(|| format!("{name}@.{ending}"))
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
    fn an_instance_is_named_by_its_template_too() {
        for (unit, template) in [
            ("backup@etc.service", Some("systemd:unit:backup@.service")),
            ("a@b.c.service", Some("systemd:unit:a@.service")),
            ("backup@.service", None),
            ("backup.service", None),
            ("@x.service", None),
        ] {
            let told = Selector::systemd_template(unit);
            assert_eq!(told.as_ref().map(Selector::as_str), template, "{unit}");
        }
        let told = Selector::systemd_user_template("ana", "sync@mail.service").unwrap();
        assert_eq!(told.as_str(), "systemd:user-unit:ana/sync@.service");
    }

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
