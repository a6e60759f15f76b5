//! Who may do a thing: patterns over identities and programs.

use std::fmt;

use globset::{GlobBuilder, GlobMatcher};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::model::{Selector, Sha256Digest};

/// What stands before a digest in a pattern.
const SHA256: &str = "sha256:";

/// A glob over selectors (`systemd:unit:cloud-init*.service`), one over executables' absolute
/// paths (`/opt/agent/bin/*`, where `*` stays within a directory and `**` does not), or the SHA-256
/// of an executable (`sha256:9f86…`). A table names several of them, which must all hold.
#[derive(Debug, Clone)]
pub struct ActorPattern {
    text: String,
    identity: Option<GlobMatcher>,
    exe: Option<GlobMatcher>,
    sha256: Option<Sha256Digest>,
}

/// A pattern of several parts, as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Parts {
    identity: Option<String>,
    executable: Option<String>,
    sha256: Option<Sha256Digest>,
}

/// A program, as far as it is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProgramOf<'a> {
    /// Its path, where that is one of this host.
    pub exe: Option<&'a str>,
    /// Its digest.
    pub sha256: Option<Sha256Digest>,
}

impl ActorPattern {
    /// Reads a pattern; the error says what to write.
    pub fn new(text: &str) -> Result<Self, String> {
        let mut pattern = Self {
            text: text.to_owned(),
            identity: None,
            exe: None,
            sha256: None,
        };
        if let Some(digest) = text.strip_prefix(SHA256) {
            let digest = digest.parse();
            pattern.sha256 = Some(digest.map_err(|error| format!("`{}`: {error}", shown(text)))?);
        } else if text.starts_with('/') {
            pattern.exe = Some(glob(text, true)?);
        } else if Selector::looks_like(text) {
            pattern.identity = Some(glob(text, false)?);
        } else {
            return Err(format!(
                "`{}` is neither a selector nor an absolute path; write it like \
                 systemd:unit:cloud-init*.service or /usr/bin/agent, or the program's digest like \
                 sha256:9f86…",
                shown(text)
            ));
        }
        Ok(pattern)
    }

    fn of(parts: &Parts) -> Result<Self, String> {
        let wanted = |text: &str, is: bool, what: &str| match is {
            true => Ok(()),
            false => Err(format!("`{}` is no {what}", shown(text))),
        };
        let mut pattern = Self {
            text: String::new(),
            identity: None,
            exe: None,
            sha256: parts.sha256,
        };
        let mut texts = Vec::new();
        if let Some(text) = &parts.identity {
            wanted(
                text,
                Selector::looks_like(text),
                "selector; write it like systemd:unit:api@*.service",
            )?;
            pattern.identity = Some(glob(text, false)?);
            texts.push(text.clone());
        }
        if let Some(text) = &parts.executable {
            wanted(
                text,
                text.starts_with('/'),
                "absolute path; write it like /usr/bin/agent",
            )?;
            pattern.exe = Some(glob(text, true)?);
            texts.push(text.clone());
        }
        texts.extend(parts.sha256.map(|digest| format!("{SHA256}{digest}")));
        if texts.is_empty() {
            return Err("a pattern needs `identity`, `executable` or `sha256`".to_owned());
        }
        pattern.text = texts.join(" ");
        Ok(pattern)
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it speaks of an actor with one of these selectors and this program.
    pub fn matches<'a>(
        &self,
        selectors: impl IntoIterator<Item = &'a Selector>,
        program: ProgramOf<'_>,
    ) -> bool {
        self.matches_but_for_digest(selectors, program.exe)
            && self.sha256.is_none_or(|of| program.sha256 == Some(of))
    }

    /// The same, whatever the digest may be.
    pub fn matches_but_for_digest<'a>(
        &self,
        selectors: impl IntoIterator<Item = &'a Selector>,
        exe: Option<&str>,
    ) -> bool {
        let mut selectors = selectors.into_iter();
        let mut is_identity = |glob: &GlobMatcher| selectors.any(|of| glob.is_match(of.as_str()));
        let is_exe = |glob: &GlobMatcher| exe.is_some_and(|exe| glob.is_match(exe));
        self.identity.as_ref().is_none_or(&mut is_identity) && self.exe.as_ref().is_none_or(is_exe)
    }

    /// Whether it names a program by its digest.
    pub fn has_digest(&self) -> bool {
        self.sha256.is_some()
    }

    /// Whether it speaks of this identity, with whatever program.
    pub fn matches_selector(&self, selector: &Selector) -> bool {
        let is_open = self.exe.is_none() && self.sha256.is_none();
        let mut identity = self.identity.iter();
        is_open && identity.any(|glob| glob.is_match(selector.as_str()))
    }
}

fn shown(text: &str) -> impl fmt::Display {
    text.escape_debug().to_string()
}

fn glob(text: &str, is_path: bool) -> Result<GlobMatcher, String> {
    if text.chars().any(char::is_control) {
        return Err(format!(
            "`{}` holds a control character; remove it",
            shown(text)
        ));
    }
    let glob = GlobBuilder::new(text)
        .literal_separator(is_path)
        .backslash_escape(true)
        .build()
        .map_err(|error| format!("`{}` is no glob: {}", shown(text), error.kind()))?;
    Ok(glob.compile_matcher())
}

impl PartialEq for ActorPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for ActorPattern {}

impl<'de> Deserialize<'de> for ActorPattern {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Written;

        impl<'de> Visitor<'de> for Written {
            type Value = ActorPattern;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a pattern, or a table of `identity`, `executable` and `sha256`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<ActorPattern, E> {
                ActorPattern::new(text).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ActorPattern, A::Error> {
                let parts = Parts::deserialize(MapAccessDeserializer::new(map))?;
                ActorPattern::of(&parts).map_err(A::Error::custom)
            }
        }

        from.deserialize_any(Written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    #[test]
    fn a_pattern_says_what_it_wants() {
        let short = format!("sha256:{}", &DIGEST[1..]);
        for bad in [
            "nginx",
            "",
            "usr/bin/x",
            "/usr/[",
            "unix:user:a\n",
            &short,
            "sha256:",
        ] {
            assert!(ActorPattern::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn all_parts_of_a_pattern_must_hold() {
        let digest: Sha256Digest = DIGEST.parse().unwrap();
        let other = Sha256Digest([7; 32]);
        let api = Selector::systemd_unit("api.service");
        let program = |exe, sha256| ProgramOf { exe, sha256 };
        let by_digest = ActorPattern::new(&format!("sha256:{DIGEST}")).unwrap();
        assert!(by_digest.matches([], program(None, Some(digest))));
        assert!(!by_digest.matches([&api], program(Some("/a"), Some(other))));
        assert!(
            !by_digest.matches([&api], program(Some("/a"), None)),
            "not known"
        );
        assert!(by_digest.has_digest() && !by_digest.matches_selector(&api));
        let all: ActorPattern = toml::from_str::<std::collections::BTreeMap<String, ActorPattern>>(
            &format!("x = {{ identity = \"systemd:unit:api*\", executable = \"/opt/*\", sha256 = \"{DIGEST}\" }}"),
        )
        .unwrap()
        .remove("x")
        .unwrap();
        assert!(all.matches([&api], program(Some("/opt/a"), Some(digest))));
        assert!(!all.matches([], program(Some("/opt/a"), Some(digest))));
        assert!(!all.matches([&api], program(Some("/srv/a"), Some(digest))));
        assert!(!all.matches([&api], program(Some("/opt/a"), Some(other))));
        assert!(all.matches_but_for_digest([&api], Some("/opt/a")));
        for bad in [
            "x = {}",
            "x = { name = \"a\" }",
            "x = { identity = \"/a\" }",
            "x = 7",
        ] {
            let read = toml::from_str::<std::collections::BTreeMap<String, ActorPattern>>(bad);
            assert!(read.is_err(), "{bad}");
        }
    }
}
