//! Names of machine actors, in SPIRE's vocabulary of selectors.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::MacAddress;

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
    (DEVICE_MAC, "device:mac:00:16:3e:12:34:56"),
    (DEVICE_IP, "device:ip:192.0.2.7"),
    ("human:", "human:ana"),
];

const DEVICE: &str = "device:";
const DEVICE_MAC: &str = "device:mac:";
const DEVICE_IP: &str = "device:ip:";

/// Why a text is no selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no selector: write it like {examples}", examples = examples(.0))]
pub struct SelectorError(String);

/// What whoever wrote this may have meant.
fn examples(text: &str) -> &'static str {
    if text.starts_with(DEVICE) {
        "device:mac:00:16:3e:12:34:56 or device:ip:192.0.2.7"
    } else {
        "unix:user:svc-backup or systemd:unit:backup.service"
    }
}

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

    /// `device:mac:ADDRESS`: a device of the network, by its hardware address.
    pub fn device_mac(address: MacAddress) -> Self {
        Self(format!("{DEVICE_MAC}{address}").into())
    }

    /// `device:ip:ADDRESS`: a device of the network, by its address there.
    pub fn device_ip(address: IpAddr) -> Self {
        Self(format!("{DEVICE_IP}{}", address.to_canonical()).into())
    }

    /// Whether it names a device of the network.
    pub fn is_device(&self) -> bool {
        self.0.starts_with(DEVICE)
    }

    /// What kind of actor it names, in a word: `device`.
    pub fn kind(&self) -> &'static str {
        const KINDS: &[(&str, &str)] = &[
            ("unix:", "account"),
            ("systemd:", "service"),
            ("container:", "container"),
            ("k8s:", "workload"),
            ("ci:", "ci job"),
            ("device:", "device"),
            ("human:", "person"),
        ];
        let mut kinds = KINDS.iter();
        let of = kinds.find(|(family, _)| self.0.starts_with(family));
        of.map_or("other", |(_, kind)| kind)
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
        let mut families = FAMILIES.iter();
        text.starts_with(DEVICE) || families.any(|(prefix, _)| text.starts_with(prefix))
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
        // Addresses are written in several ways, and are compared as text.
        if let Some(address) = text.strip_prefix(DEVICE_MAC) {
            let address = address.parse();
            let address = address.map_err(|_| SelectorError(text.to_owned()))?;
            return Ok(Self::device_mac(address));
        }
        if let Some(address) = text.strip_prefix(DEVICE_IP) {
            let address = address.parse();
            let address = address.map_err(|_| SelectorError(text.to_owned()))?;
            return Ok(Self::device_ip(address));
        }
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
    fn a_device_has_one_name_however_its_address_is_written() {
        for (written, name) in [
            (
                "device:mac:00-16-3E-12-34-56",
                "device:mac:00:16:3e:12:34:56",
            ),
            ("device:ip:2001:DB8:0::1", "device:ip:2001:db8::1"),
            ("device:ip:::ffff:192.0.2.7", "device:ip:192.0.2.7"),
        ] {
            let told: Selector = written.parse().unwrap();
            assert_eq!(told.as_str(), name, "{written}");
            assert!(told.is_device() && told.is_machine());
        }
    }

    #[test]
    fn every_family_has_a_kind() {
        for (_, example) in FAMILIES {
            let selector: Selector = example.parse().unwrap();
            assert_ne!(selector.kind(), "other", "{example}");
        }
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
            "device:00:16:3e:12:34:56",
            "device:mac:camera",
            "device:ip:192.0.2",
        ] {
            assert!(bad.parse::<Selector>().is_err(), "{bad:?}");
        }
    }
}
