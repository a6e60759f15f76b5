//! CW-105: an account that nobody could log in to can be used again. And what follows from accounts
//! and units that are removed: nobody should use any more what was theirs alone.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::describe;
use super::fold::{Cause, Finding};
use super::{Detector, Outcome};
use crate::attribution::Actor;
use crate::model::{
    AccountChange, AccountState, CredentialState, DetectionId, PasswordField, RegistryChange,
    Selector, Severity, ShellClass, Target, Timestamp,
};
use crate::registry::{Belonging, Removal};

/// What changes accounts in any way.
const EDITORS: &[&str] = &[
    "usermod",
    "vipw",
    "vigr",
    "accounts-daemon",
    "cloud-init",
    "systemd-sysusers",
    "update-passwd",
];
/// What changes passwords.
const OF_PASSWORDS: &[&str] = &["passwd", "chpasswd", "newusers", "pwconv", "pwunconv"];
/// What changes shells.
const OF_SHELLS: &[&str] = &["chsh"];
/// What changes the end of accounts.
const OF_ENDS: &[&str] = &["chage"];
/// An account that was made this short a while ago is still being set up.
const SET_UP: Duration = Duration::from_secs(600);
/// The change is noticed at most this long after what made it was started. An editor takes longer,
/// and then nobody is named.
const JUST_BEFORE: Duration = Duration::from_secs(30);
/// Most that are remembered, of each.
const REMEMBERED: usize = 64;

/// A way in, that was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Way {
    text: &'static str,
    /// What does so, beside what edits anything.
    by: &'static [&'static str],
}

/// What was heard of accounts a moment ago.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    changers: VecDeque<(Actor, Timestamp)>,
    made: BTreeMap<String, Timestamp>,
}

impl Detector {
    /// A program was started: it may be one that changes accounts.
    pub(super) fn note_changer(&mut self, actor: &Actor, now: Timestamp) {
        let all = [EDITORS, OF_PASSWORDS, OF_SHELLS, OF_ENDS];
        if !all.iter().any(|programs| self.runs(actor, programs)) {
            return;
        }
        let changers = &mut self.accounts.changers;
        if changers.len() >= REMEMBERED {
            changers.pop_front();
        }
        changers.push_back((actor.clone(), now));
    }

    /// An account is not as it was.
    pub(super) fn account(
        &mut self,
        change: &AccountChange,
        now: Timestamp,
        findings: &mut Vec<Finding>,
        outcome: &mut Outcome,
    ) {
        let selector = Selector::unix_user(&change.name);
        match (&change.before, &change.after) {
            (None, Some(after)) => {
                let made = &mut self.accounts.made;
                made.retain(|_, at| now.since(*at) < SET_UP && *at <= now);
                if made.len() < REMEMBERED {
                    made.insert(change.name.clone(), now);
                }
                self.returned(&selector, now, outcome);
                self.returned(&Selector::unix_uid(after.uid), now, outcome);
            }
            (Some(before), None) => {
                let offboarding = &mut self.state.registry.offboarding;
                let removal = Removal {
                    at: now,
                    uid: change.uid_is_free.then_some(before.uid),
                };
                offboarding.removed(&selector, removal);
                if change.uid_is_free {
                    offboarding.removed(&Selector::unix_uid(before.uid), removal);
                }
            }
            (Some(before), Some(after)) => {
                findings.extend(self.reactivated(&selector, change, (before, after), now));
            }
            (None, None) => {}
        }
    }

    fn reactivated(
        &self,
        selector: &Selector,
        change: &AccountChange,
        (before, after): (&AccountState, &AccountState),
        now: Timestamp,
    ) -> Option<Finding> {
        let ways = ways_in(before, after, now);
        let retired = self.retired(selector, now);
        let made = self.accounts.made.get(&change.name);
        let is_set_up = made.is_some_and(|at| now.since(*at) < SET_UP);
        // A person's account is unlocked by whoever looks after people.
        if ways.is_empty() || retired.is_none() && (!after.is_system || is_set_up) {
            return None;
        }
        let id = DetectionId::AccountReactivated;
        let mut alert = describe::alert(id, now);
        let kind = if after.is_system {
            "system account"
        } else {
            "account"
        };
        let was = retired.map(|said| {
            alert.severity = Severity::Critical;
            describe::retired_since(said)
        });
        let mut changers = self.accounts.changers.iter().rev();
        let changer = changers.find(|(actor, at)| {
            let opens = |way: &Way| self.runs(actor, EDITORS) || self.runs(actor, way.by);
            now.since(*at) <= JUST_BEFORE && ways.iter().any(opens)
        });
        let ways: Vec<_> = ways.iter().map(|way| way.text).collect();
        let by = match changer {
            _ if change.while_unwatched => {
                "; it happened while Credwatch did not run, so who did it was not seen".to_owned()
            }
            Some((actor, _)) => {
                alert.process = Some(actor.to_alert());
                format!("; {} did so just before", describe::who(actor))
            }
            None => "; no program that changes accounts was seen just before".to_owned(),
        };
        alert.summary = format!(
            "The {kind} {} (uid {}){} can be used again: {}{by}",
            change.name,
            after.uid,
            was.unwrap_or_default(),
            ways.join(", ")
        );
        alert.identity = Some(selector.clone());
        alert.path = Some("/etc/shadow".to_owned());
        let mut parts = vec![selector.to_string()];
        parts.extend(ways.into_iter().map(str::to_owned));
        Some(Finding {
            cause: Cause { id, parts },
            alert,
            weight: 1,
        })
    }

    /// A unit's file came or went.
    pub(super) fn unit(
        &mut self,
        name: &str,
        present: bool,
        now: Timestamp,
        outcome: &mut Outcome,
    ) {
        let registry = &self.state.registry;
        // An instance has its template's file.
        let is_of = |unit: &str| match (name.split_once("@."), unit.split_once('@')) {
            (Some((template, _)), Some((instance, _))) => template == instance,
            _ => unit == name,
        };
        let units = registry.identities().map(|(selector, _)| selector);
        let units = units.filter(|selector| {
            let unit = selector.as_str().strip_prefix("systemd:unit:");
            unit.is_some_and(is_of)
        });
        for selector in units.cloned().collect::<Vec<_>>() {
            if present {
                self.returned(&selector, now, outcome);
            } else {
                let removal = Removal { at: now, uid: None };
                let offboarding = &mut self.state.registry.offboarding;
                offboarding.removed(&selector, removal);
            }
        }
    }

    /// It is there again: the word that its removal had led to does not hold any more. What it owned
    /// stays retired, for the one that is there now was not given it.
    pub(super) fn returned(&mut self, selector: &Selector, now: Timestamp, outcome: &mut Outcome) {
        self.state.registry.offboarding.returned(selector);
        let said = self.state.registry.identity(selector);
        let said = said.and_then(|entry| entry.declared.as_ref());
        if said.is_some_and(|said| {
            said.by == RegistryChange::DERIVED && said.state == CredentialState::Retired
        }) {
            let change = RegistryChange {
                target: Target::Identity(selector.clone()),
                state: CredentialState::Active,
                since: None,
                by: RegistryChange::DERIVED.to_owned(),
                reason: Some("one of this name was added again".to_owned()),
                owner: None,
            };
            self.derive(change, now, outcome);
        }
    }

    /// Retires those that have been gone for long enough, with what was theirs alone.
    pub(super) fn settle_removed(&mut self, now: Timestamp, outcome: &mut Outcome) {
        let grace = self.settings.offboard.removal_grace;
        let due = self.state.registry.offboarding.due(grace, now);
        // Names before numbers: what both owned is said to be the name's.
        for (selector, uid) in due.into_iter().rev() {
            let reason = match selector.as_str() {
                text if text.starts_with("systemd:") => "its unit was removed",
                text if text.starts_with("k8s:") => "its service account was deleted",
                _ => "its account was removed",
            };
            let registry = &self.state.registry;
            let owned = registry.owned_by(&selector, uid, now).into_iter();
            let owned = owned.filter(|of| {
                of.shared_with.is_empty()
                    && of.why != Belonging::Used
                    && of.state == CredentialState::Active
                    && !registry.is_of_an_account(&of.fingerprint)
            });
            let targets = owned.map(|of| Target::Credential(of.fingerprint));
            let is_spoken_of = registry
                .identity(&selector)
                .is_some_and(|entry| entry.declared.is_some());
            let identity = (!is_spoken_of).then(|| Target::Identity(selector.clone()));
            for target in identity.into_iter().chain(targets).collect::<Vec<_>>() {
                let owner = match target {
                    Target::Credential(_) => Some(selector.clone()),
                    _ => None,
                };
                let change = RegistryChange {
                    target,
                    state: CredentialState::Retired,
                    since: None,
                    by: RegistryChange::DERIVED.to_owned(),
                    reason: Some(reason.to_owned()),
                    owner,
                };
                self.derive(change, now, outcome);
            }
        }
    }
}

/// In which ways an account can be used now and could not before.
fn ways_in(before: &AccountState, after: &AccountState, now: Timestamp) -> Vec<Way> {
    let mut ways = Vec::new();
    let password = match (before.password, after.password) {
        (before, after) if before == after || before.lets_in() => None,
        (PasswordField::Locked, PasswordField::Set) => Some("its password was unlocked"),
        (_, PasswordField::Set) => Some("it was given a password"),
        (_, PasswordField::Empty) => Some("it can be used without a password"),
        _ => None,
    };
    let by = OF_PASSWORDS;
    ways.extend(password.map(|text| Way { text, by }));
    if (before.shell, after.shell) == (ShellClass::None, ShellClass::Login) {
        ways.push(Way {
            text: "it was given a shell",
            by: OF_SHELLS,
        });
    }
    if before.is_expired(now) && !after.is_expired(now) {
        ways.push(Way {
            text: "its expiry was lifted",
            by: OF_ENDS,
        });
    }
    ways
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::DetectionConfig;
    use crate::model::{
        Credential, CredentialKind, Fact, FileId, Fingerprint, LocatedFile, Record,
    };

    const NOW: Timestamp = Timestamp(1_000_000);

    fn states() -> impl Strategy<Value = AccountState> {
        let passwords = prop::sample::select(vec![
            PasswordField::None,
            PasswordField::Locked,
            PasswordField::Set,
            PasswordField::Empty,
        ]);
        let shells = prop::sample::select(vec![ShellClass::None, ShellClass::Login]);
        let ends = prop::option::of((0..2_000_000i64).prop_map(Timestamp));
        (passwords, shells, ends).prop_map(|(password, shell, expires)| AccountState {
            uid: 998,
            password,
            shell,
            expires,
            is_system: true,
        })
    }

    fn openness(of: &AccountState) -> [bool; 3] {
        let shell = of.shell == ShellClass::Login;
        [of.password.lets_in(), shell, !of.is_expired(NOW)]
    }

    const HOUR: i64 = 3_600_000_000_000;

    fn state(password: PasswordField) -> AccountState {
        AccountState {
            uid: 998,
            password,
            shell: ShellClass::None,
            expires: None,
            is_system: true,
        }
    }

    fn step(detector: &mut Detector, time: i64, fact: Fact) -> Outcome {
        let time = Timestamp(time);
        detector.step(&Record { time, fact })
    }

    fn account(before: Option<AccountState>, after: Option<AccountState>) -> Fact {
        Fact::Account(AccountChange {
            name: "svc".to_owned(),
            before,
            after,
            uid_is_free: true,
            while_unwatched: false,
        })
    }

    /// A key of uid 998 and one of root's.
    fn detector() -> Detector {
        let mut detector = Detector::new(DetectionConfig::default());
        for (ino, uid) in [(1, 998), (2, 0)] {
            let credential = Credential {
                fingerprint: Fingerprint::new(format!("key-{uid}")),
                kind: CredentialKind::SshPrivateKey,
                label: None,
                subject: None,
                issued: None,
                expires: None,
                bound: None,
            };
            let located = LocatedFile {
                file: FileId { dev: 1, ino },
                path: format!("/srv/{uid}").into(),
                uid,
                gid: uid,
                mode: 0o600,
                modified: Timestamp(0),
                credentials: vec![credential],
            };
            step(&mut detector, 1, Fact::Located(located));
        }
        detector
    }

    fn targets(outcome: &Outcome) -> Vec<(String, CredentialState)> {
        let changes = outcome.changes.iter();
        let named = changes.map(|change| match &change.target {
            Target::Credential(of) => (of.to_string(), change.state),
            Target::Identity(of) => (of.to_string(), change.state),
            Target::Path(of) => (of.display().to_string(), change.state),
        });
        named.collect()
    }

    #[test]
    fn a_removed_account_is_retired_with_its_keys_and_one_that_is_added_later_without() {
        let mut detector = detector();
        let (gone, retired) = (state(PasswordField::None), CredentialState::Retired);
        step(&mut detector, HOUR, account(Some(gone.clone()), None));
        let early = step(&mut detector, 2 * HOUR - 1, Fact::Tick);
        assert_eq!(targets(&early), []);
        let due = step(&mut detector, 2 * HOUR, Fact::Tick);
        let names = ["unix:user:svc", "key-998", "unix:uid:998"];
        assert_eq!(targets(&due), names.map(|name| (name.to_owned(), retired)));
        assert!(
            due.changes
                .iter()
                .all(|of| of.by == RegistryChange::DERIVED)
        );
        let back = step(&mut detector, 3 * HOUR, account(None, Some(gone)));
        let names = ["unix:user:svc", "unix:uid:998"];
        let active = CredentialState::Active;
        assert_eq!(targets(&back), names.map(|name| (name.to_owned(), active)));
    }

    #[test]
    fn an_account_that_comes_back_in_time_was_not_removed() {
        let mut detector = detector();
        let of = state(PasswordField::None);
        step(&mut detector, HOUR, account(Some(of.clone()), None));
        step(&mut detector, HOUR + 5, account(None, Some(of)));
        let later = step(&mut detector, 9 * HOUR, Fact::Tick);
        assert_eq!(targets(&later), []);
    }

    #[test]
    fn a_unit_is_retired_with_its_instances_and_only_if_it_has_acted() {
        let mut detector = detector();
        for unit in ["a@1.service", "a@2.service", "b.service"] {
            let selector = Selector::systemd_unit(unit);
            let (first, last) = (Timestamp(1), Timestamp(2));
            let fact = Fact::Identity {
                selector,
                first,
                last,
            };
            step(&mut detector, 2, fact);
        }
        for name in ["a@.service", "never-seen.service"] {
            let fact = Fact::Unit {
                name: name.to_owned(),
                present: false,
            };
            step(&mut detector, HOUR, fact);
        }
        let due = step(&mut detector, 3 * HOUR, Fact::Tick);
        let mut names: Vec<_> = targets(&due).into_iter().map(|(name, _)| name).collect();
        names.sort();
        let expected = ["systemd:unit:a@1.service", "systemd:unit:a@2.service"];
        assert_eq!(names, expected);
    }

    #[test]
    fn a_new_account_is_set_up_in_peace_and_later_it_is_not() {
        let (none, set) = (state(PasswordField::None), state(PasswordField::Set));
        for (later, alerts) in [(HOUR / 12, 0), (HOUR / 2, 1)] {
            let mut detector = detector();
            step(&mut detector, HOUR, account(None, Some(none.clone())));
            let fact = account(Some(none.clone()), Some(set.clone()));
            let told = step(&mut detector, HOUR + later, fact).alerts;
            assert_eq!(told.len(), alerts);
            assert!(
                told.iter()
                    .all(|of| of.id == DetectionId::AccountReactivated)
            );
        }
    }

    proptest! {
        /// A way in is named exactly where one is open that was not.
        #[test]
        fn every_way_that_opens_is_named_and_no_other(before in states(), after in states()) {
            let opened = openness(&before).into_iter().zip(openness(&after));
            let opened = opened.filter(|(before, after)| !before && *after).count();
            prop_assert_eq!(ways_in(&before, &after, NOW).len(), opened);
        }
    }
}
