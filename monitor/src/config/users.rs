//! Who may use what: learning, declared users, what counts as a harvest, and environments.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use globset::{GlobBuilder, GlobMatcher};
use ipnet::IpNet;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::actor_pattern::ActorPattern;
use super::detection::AllowedConfig;
use super::duration;
use super::reader::{Reader, Value};
use crate::model::Fingerprint;

/// `[detection.users]`: how users of credentials are learned, for `CW-201`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct UsersConfig {
    /// How long users are learned after a credential was found.
    #[serde(deserialize_with = "duration::deserialize")]
    pub learning: Duration,
    /// Who may read every credential.
    pub allowed: Vec<ActorPattern>,
}

impl Default for UsersConfig {
    fn default() -> Self {
        Self {
            learning: Duration::from_secs(7 * 86_400),
            allowed: Vec::new(),
        }
    }
}

impl UsersConfig {
    /// Who may, as the other lists have it.
    pub fn allowed(&self) -> AllowedConfig {
        AllowedConfig {
            allowed: self.allowed.clone(),
        }
    }
}

/// `[detection.harvest]`: what `CW-204` takes for one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct HarvestConfig {
    /// Within how long.
    #[serde(deserialize_with = "duration::deserialize")]
    pub window: Duration,
    /// More files with credentials than this are a harvest, whatever their kinds.
    pub files: u16,
    /// Backups and scanners.
    pub allowed: Vec<ActorPattern>,
}

impl Default for HarvestConfig {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(300),
            files: 10,
            allowed: Vec::new(),
        }
    }
}

/// `[[users]]`: who uses these credentials.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct DeclaredUsers {
    /// Of which.
    pub credentials: Vec<CredentialPattern>,
    /// Identities and executables.
    pub allowed: Vec<ActorPattern>,
}

/// `[[environment]]`: what belongs together, for `CW-211`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Environment {
    /// What people call it: `prod`.
    pub name: String,
    /// Who is in it.
    pub identities: Vec<ActorPattern>,
    /// What is used in it.
    pub credentials: Vec<CredentialPattern>,
    /// Where it is.
    pub addresses: Vec<AddressPattern>,
}

/// A fingerprint, or a glob over absolute paths at which credentials lie.
#[derive(Debug, Clone)]
pub struct CredentialPattern {
    text: String,
    paths: Option<GlobMatcher>,
}

impl CredentialPattern {
    /// Reads a pattern. A wrong one may be a secret that was pasted by mistake, so no error repeats
    /// it.
    pub fn new(text: &str) -> Result<Self, String> {
        const WRITE: &str = "write a fingerprint from `credwatch credentials`, such as \
                             \"SHA256:…\", or an absolute path, such as \"/srv/prod/**\"";
        if text.chars().any(char::is_control) {
            return Err(format!("a control character; {WRITE}"));
        }
        let paths = if text.starts_with('/') {
            let glob = GlobBuilder::new(text)
                .literal_separator(true)
                .backslash_escape(true)
                .build()
                .map_err(|error| format!("no glob: {}", error.kind()))?;
            Some(glob.compile_matcher())
        } else if text.contains(':') && !text.contains(char::is_whitespace) {
            None
        } else {
            return Err(format!("neither a fingerprint nor a path; {WRITE}"));
        };
        Ok(Self {
            text: text.to_owned(),
            paths,
        })
    }

    /// Whether it speaks of a credential that lies at these paths.
    pub fn matches<'a>(
        &self,
        fingerprint: &Fingerprint,
        paths: impl IntoIterator<Item = &'a Path>,
    ) -> bool {
        match &self.paths {
            Some(glob) => paths.into_iter().any(|path| glob.is_match(path)),
            None => fingerprint.as_str() == self.text,
        }
    }
}

impl PartialEq for CredentialPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for CredentialPattern {}

impl<'de> Deserialize<'de> for CredentialPattern {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// A network, an address, or a glob over names (`*.prod.example`).
#[derive(Debug, Clone)]
pub enum AddressPattern {
    /// A network or an address.
    Network(IpNet),
    /// Names, in lower case.
    Name(String, GlobMatcher),
}

impl AddressPattern {
    /// Reads a pattern; the error says what to write.
    pub fn new(text: &str) -> Result<Self, String> {
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Self::Network(network));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Network(address.into()));
        }
        let name = text.to_ascii_lowercase();
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.*".contains(c);
        if name.is_empty() || !name.chars().all(is_name) || name.trim_matches(['*', '.']).is_empty()
        {
            return Err(format!(
                "`{}` is neither a network, an address nor a name; write it like \"10.1.0.0/16\" \
                 or \"*.prod.example\"",
                text.escape_debug()
            ));
        }
        match GlobBuilder::new(&name).build() {
            Ok(glob) => Ok(Self::Name(name, glob.compile_matcher())),
            Err(error) => Err(format!("`{name}` is no glob: {}", error.kind())),
        }
    }

    /// Whether it speaks of an address, or of one of its names.
    pub fn matches<'a>(&self, address: IpAddr, names: impl IntoIterator<Item = &'a str>) -> bool {
        match self {
            Self::Network(network) => network.contains(&address.to_canonical()),
            Self::Name(_, glob) => names.into_iter().any(|name| glob.is_match(name)),
        }
    }
}

impl PartialEq for AddressPattern {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Network(a), Self::Network(b)) => a == b,
            (Self::Name(a, _), Self::Name(b, _)) => a == b,
            _ => false,
        }
    }
}

impl Eq for AddressPattern {}

impl<'de> Deserialize<'de> for AddressPattern {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// Reads `[[users]]`.
pub(super) fn read_users<'i>(reader: &mut Reader<'i>, value: Value<'i>) -> Vec<DeclaredUsers> {
    let place = "[[users]]";
    let mut all = Vec::new();
    for element in reader.elements(place, value) {
        let at = element.span();
        let Some(users) = reader.section::<DeclaredUsers>(place, element) else {
            continue;
        };
        if users.credentials.is_empty() || users.allowed.is_empty() {
            reader.problem(at, "[[users]] needs `credentials` and `allowed`");
        }
        all.push(users);
    }
    all
}

/// Reads `[[environment]]`. Two of one name are one that was written in two places.
pub(super) fn read_environments<'i>(reader: &mut Reader<'i>, value: Value<'i>) -> Vec<Environment> {
    let place = "[[environment]]";
    let mut all: Vec<Environment> = Vec::new();
    for element in reader.elements(place, value) {
        let at = element.span();
        let Some(environment) = reader.section::<Environment>(place, element) else {
            continue;
        };
        if environment.name.is_empty() || environment.name.chars().any(char::is_control) {
            reader.problem(at, "[[environment]] needs a `name`, such as \"prod\"");
        } else if environment.credentials.is_empty()
            && environment.identities.is_empty()
            && environment.addresses.is_empty()
        {
            let what = "[[environment]] needs `identities`, `credentials` or `addresses`";
            reader.problem(at, what);
        }
        match all.iter_mut().find(|of| of.name == environment.name) {
            Some(of) => {
                of.identities.extend(environment.identities);
                of.credentials.extend(environment.credentials);
                of.addresses.extend(environment.addresses);
            }
            None => all.push(environment),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_say() {
        let net = AddressPattern::new("10.1.0.0/16").unwrap();
        assert!(net.matches("10.1.2.3".parse().unwrap(), []));
        assert!(net.matches("::ffff:10.1.2.3".parse().unwrap(), []));
        assert!(!net.matches("10.2.2.3".parse().unwrap(), ["10.1.2.3"]));
        let one = AddressPattern::new("fd00::7").unwrap();
        assert!(one.matches("fd00::7".parse().unwrap(), []));
        let name = AddressPattern::new("*.Prod.example").unwrap();
        let any = "192.0.2.1".parse().unwrap();
        assert!(name.matches(any, ["x", "api.prod.example"]));
        assert!(!name.matches(any, ["api.prod.example.evil.test"]));
        for bad in ["", "*", "*.*", "10.1.0.0/99", "a b", "a\n", "[a"] {
            assert!(AddressPattern::new(bad).is_err(), "{bad:?}");
        }

        let path = CredentialPattern::new("/srv/prod/**").unwrap();
        let print = Fingerprint::new("SHA256:x");
        assert!(path.matches(&print, [Path::new("/srv/prod/a/b")]));
        assert!(!path.matches(&print, [Path::new("/srv/production")]));
        let name = CredentialPattern::new("SHA256:x").unwrap();
        assert!(name.matches(&print, []));
        assert!(!name.matches(&Fingerprint::new("SHA256:xy"), []));
        for bad in ["", "hunter2", "a b:c", "/[", "x:\n"] {
            let error = CredentialPattern::new(bad).unwrap_err();
            assert!(bad.len() < 3 || !error.contains(bad), "{error}");
        }
    }
}
