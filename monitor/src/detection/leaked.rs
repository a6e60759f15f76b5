//! CW-213: a credential lies where others can read it. Each place is told once: a file that stays as
//! it is, and a history that only grows, are no news.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use super::describe;
use super::fold::{Cause, Finding};
use super::{Detector, Outcome};
use crate::attribution::Actor;
use crate::model::is_history;
use crate::model::{
    Alert, Credential, CredentialState, DetectionId, FileId, Fingerprint, HeldIn, LocatedFile,
    Severity, Task, Timestamp, UsageKey,
};
use crate::registry::HeldAt;

/// Most places that are remembered as told. Beyond it a place may be told again.
const TOLD: usize = 65_536;
/// Paths that a digest names.
const NAMED: usize = 3;

/// How a credential is open to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Leak {
    Readable,
    History,
}

/// What was told, and how far a start has come.
#[derive(Debug, Default)]
pub(super) struct Leaks {
    phase: Phase,
    told: HashSet<(Leak, PathBuf, Option<Fingerprint>)>,
    /// What the first search has found.
    first: BTreeMap<Leak, Vec<PathBuf>>,
}

/// What a leak that comes to be known now is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    /// Known to a former daemon.
    #[default]
    Restoring,
    /// One of many that have been there before anybody looked.
    Searching,
    /// News.
    Watching,
}

impl Leaks {
    /// From here on nothing was known before.
    pub(super) fn restored(&mut self) {
        self.phase = Phase::Searching;
    }

    /// Whether this is to be told now.
    fn is_news(&mut self, leak: Leak, path: &Path, of: Option<&Fingerprint>) -> bool {
        let key = (leak, path.to_owned(), of.cloned());
        if self.told.len() >= TOLD || !self.told.insert(key) {
            return false;
        }
        match self.phase {
            Phase::Restoring => false,
            Phase::Searching => {
                self.first.entry(leak).or_default().push(path.to_owned());
                false
            }
            Phase::Watching => true,
        }
    }

    /// The file was closed to others: should it be opened again, that is news.
    fn closed(&mut self, path: &Path) {
        self.told.remove(&(Leak::Readable, path.to_owned(), None));
    }
}

impl Detector {
    /// A file with credentials, new or changed. The registry knows it already.
    pub(super) fn leaked_file(
        &mut self,
        located: &LocatedFile,
        now: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        if located.mode & 0o004 == 0 || located.credentials.is_empty() {
            self.leaks.closed(&located.path);
        } else if self.leaks.phase == Phase::Restoring && self.leakable(located.file, now).is_some()
        {
            self.leaks.is_news(Leak::Readable, &located.path, None);
        }
        if !is_history(&located.path) {
            return;
        }
        for credential in located.credentials.iter().filter(|of| of.kind.is_secret()) {
            let fingerprint = Some(&credential.fingerprint);
            if self
                .leaks
                .is_news(Leak::History, &located.path, fingerprint)
            {
                let summary = format!(
                    "{} was written to the history at {}, which is kept and often copied",
                    what(credential),
                    located.path.display()
                );
                let mut finding = self.leaked(credential, Some(&located.path), summary, now);
                finding.alert.attack = vec!["T1552.003".to_owned()];
                finding.cause.parts = vec!["history".to_owned(), path_text(&located.path)];
                findings.push(finding);
            }
        }
    }

    /// Every account can read a file.
    pub(super) fn exposed(
        &mut self,
        file: FileId,
        path: &Path,
        now: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        self.state.registry.expose(file);
        let Some(credential) = self.leakable(file, now) else {
            return;
        };
        if !self.leaks.is_news(Leak::Readable, path, None) {
            return;
        }
        let facts = self.state.registry.file_facts(file);
        let of = facts.map(|facts| {
            let owner = describe::user(facts.uid, &self.state.host);
            format!(" of {owner} with mode {:04o}", facts.mode)
        });
        let summary = format!(
            "{} lies at {}, a file{} that every account of this host can read",
            what(&credential),
            path.display(),
            of.unwrap_or_default()
        );
        let mut finding = self.leaked(&credential, Some(path), summary, now);
        finding.alert.severity = Severity::Low;
        // Whoever opens a whole directory to all does one thing.
        let directory = path.parent().unwrap_or(path);
        finding.cause.parts = vec!["readable".to_owned(), path_text(directory)];
        findings.push(finding);
    }

    /// The roots have been looked through: what lay open before is one alert.
    pub(super) fn searched(&mut self, now: Timestamp, findings: &mut Vec<Finding>) {
        self.leaks.phase = Phase::Watching;
        let first = std::mem::take(&mut self.leaks.first);
        let Some(path) = first.values().flatten().next().cloned() else {
            return;
        };
        let parts = first.iter().map(|(leak, paths)| digest(*leak, paths));
        let mut alert = describe::alert(DetectionId::LeakedByPlace, now);
        alert.severity = Severity::Low;
        if !first.contains_key(&Leak::History) {
            alert.attack = vec!["T1552.001".to_owned()];
        }
        alert.title = "Credentials lie where others can read them".to_owned();
        alert.summary = format!(
            "discovery found credentials {}; `credwatch credentials` lists them with their findings",
            parts.collect::<Vec<_>>().join(", and ")
        );
        alert.path = Some(path_text(&path));
        let id = alert.id;
        findings.push(Finding {
            cause: Cause {
                id,
                parts: vec!["first search".to_owned()],
            },
            alert,
            weight: 1,
        });
    }

    /// A process holds a credential elsewhere than in a file. What it was given it uses.
    pub(super) fn holds(
        &mut self,
        task: &Task,
        place: &HeldIn,
        credential: &Credential,
        now: Timestamp,
        findings: &mut Vec<Finding>,
        outcome: &mut Outcome,
    ) {
        let is_late = self.state.processes.has_ended(task.key());
        let actor = Actor::of(task, &self.state.processes, &self.state.host);
        let registry = &mut self.state.registry;
        registry.know(credential, now);
        let at = HeldAt {
            process: task.key(),
            identity: actor.identity().clone(),
            exe: actor.exe.clone(),
            place: place.clone(),
            since: now,
        };
        // Of one that has ended nobody would take it away again.
        if !is_late && !registry.held.hold(&credential.fingerprint, at) {
            return;
        }
        let key = UsageKey {
            fingerprint: credential.fingerprint.clone(),
            identity: actor.identity().clone(),
            exe: actor.exe.clone().unwrap_or_default(),
            destination: String::new(),
        };
        outcome.usage.push(registry.usage.note(key, 1, now).clone());
        if *place != HeldIn::Arguments || self.is_bait(&credential.fingerprint, now) {
            return;
        }
        let summary = format!(
            "{} was given {} among its arguments, which every account of this host can list",
            describe::who(&actor),
            what(credential)
        );
        let mut finding = self.leaked(credential, None, summary, now);
        finding.alert.identity = Some(actor.identity().clone());
        finding.alert.process = Some(actor.to_alert());
        finding.cause.parts = describe::actor_parts(&actor);
        let of = [credential.fingerprint.to_string(), "arguments".to_owned()];
        finding.cause.parts.extend(of);
        findings.push(finding);
    }

    /// A credential was written to a log.
    pub(super) fn logged(
        &mut self,
        path: &Path,
        owner: u32,
        credential: &Credential,
        now: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        let registry = &mut self.state.registry;
        registry.know(credential, now);
        if !credential.kind.is_secret() || !registry.held.logged(&credential.fingerprint, path, now)
        {
            return;
        }
        let summary = format!(
            "{} was written to the log {} of {}",
            what(credential),
            path.display(),
            describe::user(owner, &self.state.host)
        );
        let mut finding = self.leaked(credential, Some(path), summary, now);
        finding.cause.parts = vec!["log".to_owned(), path_text(path)];
        findings.push(finding);
    }

    fn leaked(
        &self,
        credential: &Credential,
        path: Option<&Path>,
        summary: String,
        now: Timestamp,
    ) -> Finding {
        let id = DetectionId::LeakedByPlace;
        let path = path.map(path_text);
        let stands = self.stands(&credential.fingerprint, None, path.as_deref(), now);
        let alert = Alert {
            summary,
            credential: stands.map(|(credential, _)| credential),
            path,
            attack: vec!["T1552.001".to_owned()],
            ..describe::alert(id, now)
        };
        Finding {
            cause: Cause {
                id,
                parts: Vec::new(),
            },
            alert,
            weight: 1,
        }
    }

    /// A secret in a file that matters to whom it is open: neither bait, nor past its end.
    fn leakable(&self, file: FileId, now: Timestamp) -> Option<Credential> {
        let registry = &self.state.registry;
        let entries = registry.credentials_at(file).iter();
        let mut entries = entries.filter_map(|name| registry.credential(name));
        let entry = entries.find(|entry| {
            let state = registry.standing(entry, Some(file), now).state;
            entry.credential.kind.is_secret()
                && !matches!(state, CredentialState::Decoy | CredentialState::Expired)
        })?;
        Some(entry.credential.clone())
    }

    fn is_bait(&self, fingerprint: &Fingerprint, now: Timestamp) -> bool {
        let registry = &self.state.registry;
        registry.credential(fingerprint).is_some_and(|entry| {
            registry.standing(entry, None, now).state == CredentialState::Decoy
        })
    }
}

/// `in 2 files that every account can read (/a, /b)`
fn digest(leak: Leak, paths: &[PathBuf]) -> String {
    let mut paths: Vec<_> = paths.iter().map(|path| path_text(path)).collect();
    paths.sort();
    paths.dedup();
    let count = paths.len();
    let more = count.saturating_sub(NAMED);
    let mut named = paths.into_iter().take(NAMED).collect::<Vec<_>>().join(", ");
    if more > 0 {
        named.push_str(&format!(" and {more} more"));
    }
    let (one, many) = match leak {
        Leak::Readable => (
            "file that every account can read",
            "files that every account can read",
        ),
        Leak::History => ("shell history", "shell histories"),
    };
    format!(
        "in {count} {} ({named})",
        if count == 1 { one } else { many }
    )
}

/// `the npm token hmac:…`
fn what(credential: &Credential) -> String {
    format!("the {} {}", credential.kind.label(), credential.fingerprint)
}

fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
