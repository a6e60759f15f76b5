//! Can this be deleted? Yes, no or cannot tell, each with its reasons.
//!
//! A yes rests on one assumption alone, that use is regular: whatever still used it would have done
//! so again within [`Need::reach`], seen. It is said only where no chain of uses, each within that
//! time of the one before, could have stayed in the times that were not watched.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Registry;
use crate::model::{
    CredentialKind, CredentialState, Selector, Target, Timestamp, UsePattern, time::rfc3339,
};

/// Fewest uses from which a rhythm is read.
const RHYTHM_USES: u64 = 3;
/// Shortest time over which they must be spread: one busy hour tells nothing of the month.
const RHYTHM_SPAN: Duration = Duration::from_secs(7 * 86_400);
/// How many processes a reason names.
const NAMED: usize = 5;

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing uses it any more.
    Yes,
    /// Too little is known.
    CannotTell,
    /// Something uses it.
    No,
}

impl Verdict {
    /// As a person reads it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::CannotTell => "cannot tell",
            Self::No => "no",
        }
    }
}

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The answer for which it speaks, and which it alone would give.
    pub verdict: Verdict,
    /// What it is, for programs: `in-use`, `held`, `not-watched`.
    pub code: String,
    /// In a sentence.
    pub text: String,
}

/// The answer about one target, with all that it rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assessment {
    /// The fingerprint or selector.
    pub target: String,
    /// What it is, for credentials.
    pub kind: Option<CredentialKind>,
    /// Its state.
    pub state: CredentialState,
    /// The answer.
    pub verdict: Verdict,
    /// Why; what decides stands first.
    pub reasons: Vec<Reason>,
    /// What was not looked at and never is.
    pub caveats: Vec<String>,
    /// Where it lies.
    pub paths: Vec<String>,
    /// Its last use seen.
    #[serde(with = "rfc3339::option")]
    pub last_used: Option<Timestamp>,
    /// Who that was.
    pub last_used_by: Option<Selector>,
    /// With which program.
    pub last_used_with: Option<String>,
    /// How many uses were seen.
    pub uses: u64,
    /// The longest pause between two uses, in seconds.
    pub longest_pause_seconds: Option<u64>,
    /// For how long it was watched in all, without what was not seen, in seconds.
    pub watched_seconds: u64,
    /// For how long it was watched since its last use, in seconds.
    pub quiet_seconds: u64,
    /// How long it must be quiet and watched for a yes, in seconds.
    pub needed_seconds: u64,
}

/// A process that speaks against it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its pid.
    pub pid: u32,
    /// Its program, where that is known.
    pub exe: Option<String>,
}

/// What the living processes tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Living {
    /// Those that have read it, or whose parent had; for an identity those that run as it.
    pub holders: Vec<Holder>,
    /// Those that run since before they could be watched, and are of the owner of a file that holds
    /// it, or of whoever is known to use it: they may have it in memory or environment.
    pub older: Vec<Holder>,
    /// How many others run since before.
    pub older_others: usize,
}

/// How long must be quiet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requirements {
    /// At least this long.
    pub least: Duration,
    /// This long where no rhythm is known.
    pub unknown_rhythm: Duration,
}

/// What a rhythm asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Need {
    /// The time within which a use would have come again.
    reach: Duration,
    /// Whether that is read from uses.
    is_known: bool,
}

/// The time within which whatever uses something in this way would have used it again. Of two kinds
/// of pauses that are as long the longest that was seen is a good bound after many, and a poor one
/// after few: twice after many, four times after two.
fn need(pattern: &UsePattern, watched_before: Duration, of: Requirements) -> Need {
    // What was watched before the first use was a pause too.
    let longest = Duration::from_nanos(pattern.longest).max(watched_before);
    let span = match (pattern.first, pattern.last) {
        (Some(first), Some(last)) => last.since(first),
        _ => Duration::ZERO,
    };
    if pattern.uses < RHYTHM_USES || span < RHYTHM_SPAN || pattern.alike == 0 {
        return Need {
            reach: of
                .unknown_rhythm
                .max(of.least)
                .max(longest.saturating_mul(2)),
            is_known: false,
        };
    }
    let alike = u32::try_from(pattern.alike.min(1_000)).unwrap_or(1_000);
    let more = longest.saturating_mul(4) / alike;
    Need {
        reach: longest.saturating_mul(2).saturating_add(more),
        is_known: true,
    }
}

/// Whether uses, each within `reach` of the one before, could all lie in `unseen` from `last` on, up
/// to so near to `now` that the next is not due.
fn could_hide(
    unseen: &[(Timestamp, Timestamp)],
    last: Timestamp,
    now: Timestamp,
    reach: Duration,
) -> bool {
    let mut at = last;
    for (from, to) in unseen {
        if *to <= at {
            continue;
        }
        if *from > at.after(reach) {
            break;
        }
        at = *to;
    }
    at.after(reach) >= now
}

/// The length of `from..to` without what was not seen.
pub(super) fn watched(
    unseen: &[(Timestamp, Timestamp)],
    from: Timestamp,
    to: Timestamp,
) -> Duration {
    let blind = unseen.iter().map(|(a, b)| {
        let (a, b) = ((*a).max(from), (*b).min(to));
        b.since(a)
    });
    to.since(from).saturating_sub(blind.sum())
}

/// Answers for a credential or an identity.
pub fn assess(
    registry: &Registry,
    subject: &Target,
    living: &Living,
    requirements: Requirements,
    now: Timestamp,
) -> Assessment {
    let mut of = Assessment::of(registry, subject, now);
    of.living(subject, living);
    let pattern = pattern(registry, subject);
    let Some(ledger) = registry.observed.ledger() else {
        of.add(
            Verdict::CannotTell,
            "not-watched",
            "this host was never watched".to_owned(),
        );
        return of.conclude();
    };
    let present = match subject {
        Target::Identity(_) => Some(ledger.since),
        _ => pattern.present_since.map(|since| since.max(ledger.since)),
    };
    let Some(present) = present else {
        of.add(
            Verdict::CannotTell,
            "nowhere",
            "no file of this host is known to hold it, so that no use of it would be seen"
                .to_owned(),
        );
        return of.conclude();
    };
    let unseen = ledger.unseen(subject, now);
    let watched_before = pattern
        .first
        .map_or(Duration::ZERO, |first| watched(&unseen, present, first));
    let need = need(&pattern, watched_before, requirements);
    let began = pattern.last.map_or(present, |last| last.max(present));
    let (quiet, needed) = (
        watched(&unseen, began, now),
        need.reach.max(requirements.least),
    );
    of.uses = pattern.uses;
    of.longest_pause_seconds = (pattern.uses > 1).then_some(pattern.longest / 1_000_000_000);
    of.watched_seconds = watched(&unseen, present, now).as_secs();
    of.quiet_seconds = quiet.as_secs();
    of.needed_seconds = needed.as_secs();
    of.in_use(&pattern, need, requirements, now);
    if quiet < needed {
        let rhythm = rhythm(&pattern, need);
        of.add(
            Verdict::CannotTell,
            "too-short",
            format!(
                "it was quiet while watched for {}, and {} are needed: {rhythm}",
                span(quiet),
                span(needed)
            ),
        );
    } else if could_hide(&unseen, began, now, need.reach) {
        of.hidden(registry, subject, began, now);
    } else if matches!(subject, Target::Identity(of) if of.is_device()) {
        of.add(
            Verdict::CannotTell,
            "elsewhere",
            format!(
                "nothing of it was seen for {}; it may be off, or on another network",
                span(quiet)
            ),
        );
    } else {
        let rhythm = rhythm(&pattern, need);
        of.add(
            Verdict::Yes,
            "quiet",
            format!(
                "it was quiet while watched for {} ({} are needed): {rhythm}",
                span(quiet),
                span(needed)
            ),
        );
    }
    of.conclude()
}

/// How something is used, as far as it is known: from what was followed, and from the usage map,
/// which may be older or have been written later.
fn pattern(registry: &Registry, subject: &Target) -> UsePattern {
    let known = registry.observed.pattern(subject).cloned();
    let mut pattern = known.unwrap_or_else(|| UsePattern::new(subject.clone()));
    let rows = registry.usage.rows().filter(|row| match subject {
        Target::Credential(of) => row.key.fingerprint == *of,
        Target::Identity(of) => row.key.identity == *of,
        Target::Path(_) => false,
    });
    let (mut first, mut last, mut uses) = (None::<Timestamp>, None::<Timestamp>, 0u64);
    for row in rows {
        first = Some(first.map_or(row.first, |first| first.min(row.first)));
        last = last.max(Some(row.last));
        if row.key.destination.is_empty() {
            uses = uses.saturating_add(row.count);
        }
    }
    if let Target::Identity(of) = subject
        && let Some(entry) = registry.identity(of)
    {
        first = first.into_iter().chain(entry.first_seen).min();
        last = last.max(entry.last_seen);
    }
    // What was not followed in between counts as one pause: longer than any in it.
    if let (Some(from), Some(followed)) = (first, pattern.first)
        && from < followed
    {
        let pause = u64::try_from(followed.since(from).as_nanos()).unwrap_or(u64::MAX);
        pattern.longest = pattern.longest.max(pause);
        pattern.alike = pattern.alike.min(1);
        pattern.first = Some(from);
    }
    if pattern.first.is_none()
        && let (Some(first), Some(last)) = (first, last)
    {
        pattern.note(0, first);
        pattern.note(0, last);
    }
    if let Some(last) = last.filter(|last| pattern.last < Some(*last)) {
        pattern.note(0, last);
    }
    pattern.uses = pattern.uses.max(uses);
    pattern
}

fn rhythm(pattern: &UsePattern, need: Need) -> String {
    let (Some(first), Some(last)) = (pattern.first, pattern.last) else {
        return "it was never seen used, and what is used once a year is not ruled out sooner"
            .to_owned();
    };
    if !need.is_known {
        return format!(
            "{} seen in all, too few or too close together to know a rhythm",
            counted(pattern.uses, "use")
        );
    }
    let pauses = u32::try_from(pattern.uses.saturating_sub(1).max(1)).unwrap_or(u32::MAX);
    format!(
        "used {} times, every {} on average with a longest pause of {}",
        pattern.uses,
        span(last.since(first) / pauses),
        span(Duration::from_nanos(pattern.longest))
    )
}

impl Assessment {
    fn of(registry: &Registry, subject: &Target, now: Timestamp) -> Self {
        let mut of = Self {
            target: String::new(),
            kind: None,
            state: CredentialState::Active,
            verdict: Verdict::CannotTell,
            reasons: Vec::new(),
            caveats: Vec::new(),
            paths: Vec::new(),
            last_used: None,
            last_used_by: None,
            last_used_with: None,
            uses: 0,
            longest_pause_seconds: None,
            watched_seconds: 0,
            quiet_seconds: 0,
            needed_seconds: 0,
        };
        of.caveats.push(
            "only this host is seen: a copy that is used elsewhere is not in this answer"
                .to_owned(),
        );
        let rows = registry.usage.rows();
        let latest = match subject {
            Target::Credential(fingerprint) => {
                of.target = fingerprint.to_string();
                of.credential(registry, subject, now);
                rows.filter(|row| row.key.fingerprint == *fingerprint)
                    .max_by_key(|row| row.last)
            }
            Target::Identity(selector) => {
                of.target = selector.to_string();
                let entry = registry.identity(selector);
                let said = entry.and_then(|entry| entry.declared.as_ref());
                of.state = said.map_or(CredentialState::Active, |said| said.state);
                of.last_used = entry.and_then(|entry| entry.last_seen);
                rows.filter(|row| row.key.identity == *selector)
                    .max_by_key(|row| row.last)
            }
            Target::Path(path) => {
                of.target = path.display().to_string();
                None
            }
        };
        if let Some(row) = latest {
            of.last_used = of.last_used.max(Some(row.last));
            of.last_used_by = Some(row.key.identity.clone());
            of.last_used_with = Some(row.key.exe.clone()).filter(|exe| !exe.is_empty());
        }
        let followed = registry.observed.pattern(subject);
        of.last_used = of.last_used.max(followed.and_then(|pattern| pattern.last));
        of
    }

    fn credential(&mut self, registry: &Registry, subject: &Target, now: Timestamp) {
        let Target::Credential(fingerprint) = subject else {
            return;
        };
        let Some(entry) = registry.credential(fingerprint) else {
            return;
        };
        let standing = registry.standing(entry, None, now);
        self.kind = Some(entry.credential.kind);
        self.state = standing.state;
        let paths = entry.locations.iter();
        self.paths = paths.map(|(path, _)| path.display().to_string()).collect();
        self.paths.dedup();
        if self.paths.len() > 1 {
            self.caveats.push(format!(
                "it lies at {} paths: whoever reads any of them uses it",
                self.paths.len()
            ));
        }
        let said = standing.declared.filter(|said| said.state == self.state);
        match self.state {
            CredentialState::Decoy => self.add(
                Verdict::No,
                "decoy",
                "it is a decoy: without it nothing tells who looks for it".to_owned(),
            ),
            CredentialState::Active | CredentialState::Rotating => self.caveats.push(
                "it is not retired: `credwatch retire` it first, and a use is an alert".to_owned(),
            ),
            _ => {}
        }
        let last = registry.observed.pattern(subject).and_then(|of| of.last);
        let last = last.max(registry.usage.last_use(fingerprint).0);
        if let (Some(said), Some(last)) = (said, last)
            && self.state != CredentialState::Decoy
            && last > said.since
        {
            self.add(
                Verdict::No,
                "used-since-retired",
                format!(
                    "it was used on {last}, after it was {} on {}: whoever did so still has it",
                    self.state, said.since
                ),
            );
        }
    }

    fn living(&mut self, subject: &Target, living: &Living) {
        let is_identity = matches!(subject, Target::Identity(_));
        let plural = |of: &[Holder]| counted(of.len() as u64, "living process");
        if !living.holders.is_empty() {
            let (code, what) = if is_identity {
                ("running", "runs as it")
            } else {
                ("held", "has read it and may use it from memory")
            };
            let (count, names) = (plural(&living.holders), named(&living.holders));
            self.add(Verdict::No, code, format!("{count} {what}: {names}"));
        }
        if !living.older.is_empty() {
            let (count, names) = (plural(&living.older), named(&living.older));
            self.add(
                Verdict::CannotTell,
                "older-processes",
                format!(
                    "{count} of its owner or its users started before they could be watched and may \
                     have it in memory or environment; restart them: {names}"
                ),
            );
        }
        if is_identity {
            return;
        }
        if living.older_others > 0 {
            self.caveats.push(format!(
                "{} of others started before they could be watched; one of root's may have read it",
                counted(living.older_others as u64, "living process")
            ));
        }
    }

    /// Takes in that the last events have not been taken in yet.
    pub fn add_behind(&mut self) {
        let text = "events of the last moments are still on their way: ask again".to_owned();
        self.add(Verdict::CannotTell, "behind", text);
        self.settle();
    }

    /// Takes in who has a file open that holds it, and how many processes could not be looked into.
    pub fn add_open(&mut self, open: &[Holder], unread: usize) {
        if !open.is_empty() {
            let (count, names) = (counted(open.len() as u64, "living process"), named(open));
            let text = format!("{count} has its file open: {names}");
            self.add(Verdict::No, "open", text);
            self.settle();
        }
        if unread > 0 {
            self.caveats.push(format!(
                "descriptors of {} could not be looked at: run this as root",
                counted(unread as u64, "process")
            ));
        }
    }

    /// Whether its last use is as recent as a use of it can be.
    fn in_use(
        &mut self,
        pattern: &UsePattern,
        need: Need,
        requirements: Requirements,
        now: Timestamp,
    ) {
        let Some(last) = pattern.last else {
            return;
        };
        let ago = now.since(last);
        let usual = if need.is_known {
            Duration::from_nanos(pattern.longest)
        } else {
            requirements.least
        };
        if ago <= usual {
            let by = self.last_used_by.as_ref();
            let by = by.map(|by| format!(" by {by}")).unwrap_or_default();
            let with = self.last_used_with.as_ref();
            let with = with.map(|with| format!(" with {with}")).unwrap_or_default();
            let text = format!(
                "it was last used {} ago{by}{with}, and the next use is not overdue: {}",
                span(ago),
                rhythm(pattern, need)
            );
            self.add(Verdict::No, "in-use", text);
        }
    }

    /// Names what was not seen since the last use.
    fn hidden(&mut self, registry: &Registry, subject: &Target, began: Timestamp, now: Timestamp) {
        use crate::model::Blindness;
        let Some(ledger) = registry.observed.ledger() else {
            return;
        };
        let (mut runs, mut boots, mut other) = (0u64, 0u64, 0u64);
        let mut hooks = std::collections::BTreeSet::new();
        let holes = ledger
            .holes
            .iter()
            .filter(|hole| hole.hides(subject) && hole.to.is_none_or(|to| to >= began));
        for hole in holes {
            match &hole.cause {
                Blindness::NotRunning { rebooted: true } => boots += 1,
                Blindness::NotRunning { rebooted: false } => runs += 1,
                Blindness::Lost { hook } | Blindness::Hook { hook } => {
                    hooks.insert(hook.clone());
                }
                Blindness::Held | Blindness::ClockSet | Blindness::Several => other += 1,
            }
        }
        let mut found = false;
        let mut add = |of: &mut Self, code: &str, text: String| {
            found = true;
            of.add(Verdict::CannotTell, code, text);
        };
        if boots > 0 {
            add(
                self,
                "reboots",
                format!(
                    "the host was booted {} since, and what services read before Credwatch runs is \
                     not seen",
                    times(boots)
                ),
            );
        }
        if runs > 0 {
            add(
                self,
                "not-watched",
                format!(
                    "Credwatch did not run {} since, and a use could lie there",
                    times(runs)
                ),
            );
        }
        if !hooks.is_empty() {
            let hooks: Vec<_> = hooks.into_iter().collect();
            add(
                self,
                "losses",
                format!(
                    "events were lost or not hooked since ({}), and a use could be among them",
                    hooks.join(", ")
                ),
            );
        }
        if other > 0 || ledger.until < now {
            add(
                self,
                "gaps",
                "there are gaps in the observation since, and a use could lie there".to_owned(),
            );
        }
        if !found {
            // The last use itself is so recent that the next is not due.
            self.add(
                Verdict::CannotTell,
                "not-due",
                "the next use is not overdue yet".to_owned(),
            );
        }
    }

    fn add(&mut self, verdict: Verdict, code: &str, text: String) {
        self.reasons.push(Reason {
            verdict,
            code: code.to_owned(),
            text,
        });
    }

    fn conclude(mut self) -> Self {
        self.settle();
        self
    }

    fn settle(&mut self) {
        let worst = self.reasons.iter().map(|reason| reason.verdict).max();
        self.verdict = worst.unwrap_or(Verdict::CannotTell);
        self.reasons
            .sort_by_key(|reason| std::cmp::Reverse(reason.verdict));
    }
}

fn counted(number: u64, what: &str) -> String {
    let plural = match (number, what.ends_with('s')) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{number} {what}{plural}")
}

fn times(number: u64) -> String {
    match number {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        more => format!("{more} times"),
    }
}

fn named(holders: &[Holder]) -> String {
    let mut names: Vec<_> = holders
        .iter()
        .take(NAMED)
        .map(|of| match &of.exe {
            Some(exe) => format!("{exe} (pid {})", of.pid),
            None => format!("pid {}", of.pid),
        })
        .collect();
    if holders.len() > NAMED {
        names.push(format!("and {} more", holders.len() - NAMED));
    }
    names.join(", ")
}

/// The largest unit that tells enough.
pub fn span(of: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 3_600;
    const DAY: u64 = 86_400;
    match of.as_secs() {
        seconds if seconds < 2 * MINUTE => format!("{seconds} s"),
        seconds if seconds < 2 * HOUR => format!("{} min", seconds / MINUTE),
        seconds if seconds < 2 * DAY => format!("{} h", seconds / HOUR),
        seconds => format!("{} days", seconds / DAY),
    }
}

#[cfg(test)]
mod tests;
