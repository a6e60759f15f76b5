//! Has an identity no more rights than it uses? Yes, no or cannot tell, each with its reasons.
//!
//! A no names capabilities and credentials that were given, for the whole of the observation, and
//! that no use was seen of. It is said only of programs whose start was seen: a service may bind its
//! port, or read its key, in its first second and never again.

mod given;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use given::{GivenBy, GivenCredential};

use super::Registry;
use super::answer::{Reason, Verdict, settle};
use super::watched::{unseen_because, watched};
use super::words::{counted, span};
use crate::model::{
    CapabilitySet, Hole, Ledger, ProgramRights, Selector, Timestamp, time::rfc3339,
};

/// How many programs a reason names.
const NAMED: usize = 3;

/// The answer about one identity, with all that it rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeastPrivilege {
    /// Who.
    pub identity: Selector,
    /// Whether it uses all that it was given.
    pub verdict: Verdict,
    /// Why; what decides stands first.
    pub reasons: Vec<Reason>,
    /// What is not in this answer.
    pub caveats: Vec<String>,
    /// Its capabilities, over all of its programs.
    pub capabilities: GivenCapabilities,
    /// The programs that have any.
    pub programs: Vec<ProgramView>,
    /// Credentials that it can read or was handed.
    pub credentials: Vec<GivenCredential>,
    /// For how long it was watched, without what was not seen, in seconds.
    pub watched_seconds: u64,
    /// For how long it must be watched for a no, in seconds.
    pub needed_seconds: u64,
}

/// Capabilities by name, as capabilities(7) has them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenCapabilities {
    /// Given by the latest start of any of its programs.
    pub given: Vec<String>,
    /// Of these, used.
    pub used: Vec<String>,
    /// Of these, not used in the observation.
    pub unused: Vec<String>,
    /// Of these, not seen used, and not known to be unused.
    pub unclear: Vec<String>,
}

/// A program of an identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramView {
    /// Its path.
    pub exe: String,
    /// The capabilities that its latest start gave it.
    pub given: Vec<String>,
    /// Those that it was seen to use.
    pub used: Vec<String>,
    /// Since when it is observed.
    #[serde(with = "rfc3339")]
    pub since: Timestamp,
    /// Its latest start seen; absent where it ran before it could be watched.
    #[serde(with = "rfc3339::option")]
    pub started: Option<Timestamp>,
}

/// Why a right may have been used unseen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Unclear {
    /// The kernel does not tell its use from a question.
    NotTold,
    /// A program's start was not seen.
    Older,
    /// It was not watched for long enough.
    TooShort,
}

/// Answers for an identity, which must have been watched for `needed`.
pub fn least_privilege(
    registry: &Registry,
    identity: &Selector,
    needed: Duration,
    now: Timestamp,
) -> LeastPrivilege {
    let programs: Vec<_> = registry.rights.of(identity).collect();
    let mut of = LeastPrivilege {
        identity: identity.clone(),
        verdict: Verdict::CannotTell,
        reasons: Vec::new(),
        caveats: Vec::new(),
        capabilities: GivenCapabilities::default(),
        programs: programs
            .iter()
            .filter(|of| !of.given.is_empty())
            .map(|of| view(of))
            .collect(),
        credentials: Vec::new(),
        watched_seconds: 0,
        needed_seconds: needed.as_secs(),
    };
    let Some(ledger) = registry.observed.ledger() else {
        of.add(
            Verdict::CannotTell,
            "not-watched",
            "this host was never watched".to_owned(),
        );
        return of.conclude();
    };
    if programs.is_empty() {
        of.add(
            Verdict::CannotTell,
            "not-seen",
            "no program was seen to run as it; units and containers that run under an account are \
             identities of their own"
                .to_owned(),
        );
    }
    let since = programs.iter().map(|program| program.since).min();
    let since = since.unwrap_or(now).max(ledger.since);
    let unseen = ledger.unseen_in(Hole::hides_capabilities, now);
    of.watched_seconds = watched(&unseen, since, now).as_secs();
    of.capabilities(registry, ledger, &programs, needed, now);
    of.credentials = given::credentials(registry, ledger, identity, &programs, needed, now);
    of.judge_credentials();
    if programs.iter().any(|program| program.uid == 0) {
        of.caveats.push(
            "it runs as root, which can read every file: only credentials that were made for it are \
             looked at"
                .to_owned(),
        );
    }
    if of.verdict_so_far() == Verdict::No {
        let holes = unseen_because(ledger, Hole::hides_capabilities, since, ledger.until);
        of.caveats.extend(holes.into_iter().map(|hole| hole.text));
    }
    of.conclude()
}

fn view(of: &ProgramRights) -> ProgramView {
    ProgramView {
        exe: of.exe.clone(),
        given: of.given.names(),
        used: of.used.shared_with(of.given).names(),
        since: of.since,
        started: of.started,
    }
}

/// Whether a program's start was watched.
fn is_start_seen(program: &ProgramRights, unseen: &[(Timestamp, Timestamp)]) -> bool {
    let is_in = |at: Timestamp| unseen.iter().any(|(from, to)| *from <= at && at <= *to);
    program.started.is_some_and(|at| !is_in(at))
}

impl LeastPrivilege {
    fn capabilities(
        &mut self,
        registry: &Registry,
        ledger: &Ledger,
        programs: &[&ProgramRights],
        needed: Duration,
        now: Timestamp,
    ) {
        let all = |what: fn(&ProgramRights) -> CapabilitySet| {
            let sets = programs.iter().map(|of| what(of));
            sets.fold(CapabilitySet::default(), CapabilitySet::and)
        };
        let given = all(|of| of.given);
        let used = all(|of| of.used).shared_with(given);
        let unseen = ledger.unseen_in(Hole::hides_capabilities, now);
        let mut unused = CapabilitySet::default();
        let mut unclear: BTreeMap<Unclear, CapabilitySet> = BTreeMap::new();
        let mut older: Vec<&str> = Vec::new();
        let mut shortest: Option<Duration> = None;
        for one in given.without(used).each() {
            let has = |of: &&&ProgramRights| !of.given.shared_with(one).is_empty();
            let since = programs.iter().filter(has).map(|of| of.since).min();
            let lasted = watched(&unseen, since.unwrap_or(now).max(ledger.since), now);
            let mut unstarted = programs
                .iter()
                .filter(has)
                .filter(|of| !is_start_seen(of, &unseen))
                .peekable();
            let why = if one == CapabilitySet::SYS_ADMIN && !registry.rights.is_exact() {
                Unclear::NotTold
            } else if unstarted.peek().is_some() {
                older.extend(unstarted.map(|of| of.exe.as_str()));
                Unclear::Older
            } else if lasted < needed {
                shortest = Some(shortest.map_or(lasted, |known| known.min(lasted)));
                Unclear::TooShort
            } else {
                unused = unused.and(one);
                continue;
            };
            let of = unclear.entry(why).or_default();
            *of = of.and(one);
        }
        if !unused.is_empty() {
            let text = format!(
                "it was given {} and has not used {} while it was watched: {}",
                counted(given.each().count() as u64, "capability"),
                counted(unused.each().count() as u64, "capability"),
                unused.names().join(", ")
            );
            self.add(Verdict::No, "unused-capabilities", text);
        }
        older.sort_unstable();
        older.dedup();
        for (why, set) in &unclear {
            let names = set.names().join(", ");
            let (code, text) = match why {
                Unclear::NotTold => (
                    "not-told",
                    format!(
                        "the kernel asks for {names} whenever memory is asked for, and what tells of \
                         it here does not say whether it was used"
                    ),
                ),
                Unclear::Older => (
                    "older-processes",
                    format!(
                        "{} started before it could be watched and may have used {names} then; \
                         restart it",
                        some(&older)
                    ),
                ),
                Unclear::TooShort => (
                    "too-short",
                    format!(
                        "{names} was not used while it was watched for {}, and {} are needed",
                        span(shortest.unwrap_or_default()),
                        span(needed)
                    ),
                ),
            };
            self.add(Verdict::CannotTell, code, text);
        }
        if ledger.holes.iter().any(Hole::is_blind_to_capabilities) {
            let text = "this kernel does not tell which capabilities are used: its functions cannot be \
                        hooked, and it has no tracepoint cap_capable (Linux 6.13); `credwatch doctor` \
                        says more";
            self.add(Verdict::CannotTell, "not-seen-here", text.to_owned());
        }
        let unclear = unclear.into_values();
        self.capabilities = GivenCapabilities {
            given: given.names(),
            used: used.names(),
            unused: unused.names(),
            unclear: unclear
                .fold(CapabilitySet::default(), CapabilitySet::and)
                .names(),
        };
    }

    fn judge_credentials(&mut self) {
        let count = |verdict| {
            let all = self.credentials.iter();
            all.filter(|of| of.verdict == verdict).count() as u64
        };
        let (unused, unclear) = (count(Verdict::No), count(Verdict::CannotTell));
        if unused > 0 {
            let text = format!(
                "it can use {} and has not used {} while it was watched",
                counted(self.credentials.len() as u64, "credential"),
                counted(unused, "credential"),
            );
            self.add(Verdict::No, "unused-credentials", text);
        }
        if unclear > 0 {
            let text = format!(
                "of {} nobody can tell whether it uses them",
                counted(unclear, "credential")
            );
            self.add(Verdict::CannotTell, "unclear-credentials", text);
        }
    }

    /// Takes in that the last events have not been taken in yet.
    pub fn add_behind(&mut self) {
        let text = "events of the last moments are still on their way: ask again".to_owned();
        self.add(Verdict::CannotTell, "behind", text);
        self.verdict = settle(&mut self.reasons);
    }

    fn verdict_so_far(&self) -> Verdict {
        let worst = self.reasons.iter().map(|reason| reason.verdict).max();
        worst.unwrap_or(Verdict::Yes)
    }

    fn add(&mut self, verdict: Verdict, code: &str, text: String) {
        self.reasons.push(Reason::new(verdict, code, text));
    }

    fn conclude(mut self) -> Self {
        if self.reasons.is_empty() {
            let nothing = self.capabilities.given.is_empty() && self.credentials.is_empty();
            let (code, text) = if nothing {
                (
                    "given-nothing",
                    "no capability and no credential that is known was given to it",
                )
            } else {
                ("all-used", "it has used all that it was given")
            };
            self.add(Verdict::Yes, code, text.to_owned());
        }
        self.verdict = settle(&mut self.reasons);
        self
    }
}

fn some(names: &[&str]) -> String {
    let mut shown = names.iter().take(NAMED).copied().collect::<Vec<_>>();
    let more = format!("{} more", names.len().saturating_sub(NAMED));
    if names.len() > NAMED {
        shown.push(&more);
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests;
