//! CW-201: who reads a credential and is no user of it.
//!
//! A user is an identity with a program, by the program's checked path. Users are learned while a
//! credential is new. What follows from the way hosts work is not left to learning: a server that
//! was started before the sensor reads its key again months later.

use std::time::Duration;

use super::credential::touched;
use super::describe;
use super::fold::Finding;
use super::{Detector, Outcome};
use crate::attribution::{Actor, Reading};
use crate::model::{
    Access, CredentialState, CredentialUser, DetectionId, Fingerprint, ProcessKey, Selector,
    Severity, Timestamp,
};
use crate::registry::FileOwner;

/// Where anybody may put a program. `/dev/shm` and files without a path are told apart: hardly
/// anything honest runs from there.
const TEMPORARY: &[&str] = &["/tmp/", "/var/tmp/"];
const MEMORY: &[&str] = &["/dev/shm/", "/run/shm/", "/memfd:"];

/// Programs that read what they are told to. What a machine does with them is known by its identity;
/// that a person runs one says nothing.
const READERS: &[&str] = &[
    "awk", "base64", "bash", "busybox", "cat", "cmp", "cp", "curl", "dash", "dd", "diff", "ed",
    "emacs*", "find", "gawk", "grep", "gzip", "head", "install", "jq", "less", "mawk", "more",
    "mv", "nano", "node*", "od", "openssl", "perl*", "php*", "python*", "rsync", "ruby*", "scp",
    "sed", "sh", "sort", "strings", "tail", "tar", "tee", "vi", "vim*", "wget", "xxd", "zsh",
];
/// Of these, what services are written in.
const INTERPRETERS: &[&str] = &["node*", "perl*", "php*", "python*", "ruby*"];
/// And what the scripts are written in that some services consist of. A shell is much else, too.
const SHELLS: &[&str] = &["bash", "dash", "sh"];
/// Who starts jobs of nobody's session, though the audit system counts them as logins.
const SCHEDULERS: &[&str] = &["cron", "crond", "anacron", "atd", "fcron", "systemd"];
/// A service reads what it needs in this time from its start.
const STARTING: Duration = Duration::from_secs(60);

/// Whose a program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    /// What lies at its path on this host, and only root or its own user can change it.
    Hosts,
    /// It lies in mounts of its own, of a container or of a service.
    OwnMounts,
    /// Anything else: anybody may have put it there.
    Untrusted,
}

/// How a reader stands to a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// By rule or by declaration.
    Insider,
    /// Known before.
    User,
    /// Known from now on.
    New,
    /// Neither a user nor clearly an outsider: users are still being learned.
    Undecided,
    /// No user.
    Outsider,
}

impl Detector {
    /// A credential was read: by a known user, by one that is learned, or by an outsider. Returns
    /// whether it was the last.
    pub(super) fn who_reads(
        &mut self,
        actor: &Actor,
        reading: &Reading,
        (access, count): (Access, u64),
        now: Timestamp,
        findings: &mut Vec<Finding>,
        outcome: &mut Outcome,
    ) -> bool {
        let credential = &reading.credential;
        if !credential.kind.is_secret() {
            return false;
        }
        let owner = self.state.registry.users.owner(reading.file);
        let is_live = matches!(
            credential.state,
            CredentialState::Active | CredentialState::Rotating
        );
        let guarded = self.state.registry.guarded_then(reading.file, now);
        let is_guarded = guarded.is_some();
        let standing = match guarded {
            // The system's own files have rules of their own: CW-208 speaks of them.
            Some(guarded) if self.is_keeper_of(actor, guarded) => Standing::Insider,
            Some(_) => Standing::Outsider,
            None if is_live => self.standing(actor, reading, owner, now, outcome),
            None if self.is_insider(actor, reading, owner, now) => Standing::Insider,
            None => Standing::Outsider,
        };
        self.harvest(actor, reading, standing, owner, now, findings);
        if is_guarded || !is_live {
            return false;
        }
        match standing {
            Standing::New => self.reuse(actor, reading, now, findings),
            Standing::Outsider => {
                findings.push(self.outsider(actor, reading, access, count, owner, now));
                return true;
            }
            Standing::Insider | Standing::User | Standing::Undecided => {}
        }
        false
    }

    /// Forgets the users of what a successor has followed and what lies nowhere any more.
    pub(super) fn forget_followed(&mut self, left: &[Fingerprint], outcome: &mut Outcome) {
        let registry = &mut self.state.registry;
        for fingerprint in left {
            let entry = registry.credential(fingerprint);
            if entry.is_none_or(|of| of.locations.is_empty()) && registry.users.forget(fingerprint)
            {
                outcome.learned.forgotten.push(fingerprint.clone());
            }
        }
    }

    fn standing(
        &mut self,
        actor: &Actor,
        reading: &Reading,
        owner: Option<FileOwner>,
        now: Timestamp,
        outcome: &mut Outcome,
    ) -> Standing {
        if self.is_insider(actor, reading, owner, now) {
            return Standing::Insider;
        }
        let program = self.program(actor);
        let is_person = self.is_persons(actor);
        let is_own = is_own(actor, owner, reading);
        let exe = actor.exe.clone().unwrap_or_default();
        let user = CredentialUser {
            fingerprint: reading.credential.fingerprint.clone(),
            identity: user_identity(actor),
            own_mounts: program == Program::OwnMounts,
            exe,
            since: now,
        };
        let by_word = is_person && !is_own && self.runs(actor, READERS);
        let is_roots = self
            .state
            .host
            .has_program_of_root(actor.task.exe, &user.exe);
        let users = &self.state.registry.users;
        if program != Program::Untrusted && !by_word && users.is_user(&user, is_roots) {
            return Standing::User;
        }
        let period = self.settings.users.learning;
        let fingerprint = &user.fingerprint;
        let (is_learning, since) = users
            .learning(fingerprint, period, now)
            .unwrap_or((true, now));
        let may_be_learned =
            program != Program::Untrusted && (!is_person || is_own) && !user.exe.is_empty();
        let late = || self.is_starting_service(actor, owner, since.after(period), now);
        if may_be_learned && (is_learning || late()) {
            return if self.state.registry.users.learn(user.clone()) {
                outcome.learned.users.push(user);
                Standing::New
            } else {
                // There is no room: a credential of everybody.
                Standing::Undecided
            };
        }
        if is_learning && !self.is_clear(actor, owner) {
            return Standing::Undecided;
        }
        Standing::Outsider
    }

    fn program(&self, actor: &Actor) -> Program {
        let exe = actor.exe.as_deref().unwrap_or_default();
        if exe.is_empty() || starts(exe, TEMPORARY) || is_in_memory(exe) {
            return Program::Untrusted;
        }
        let task = &actor.task;
        match self.state.host.program_owner(task.exe, exe) {
            Some((owner, mode)) => {
                if mode & 0o002 == 0 && (owner == 0 || owner == task.uid || owner == task.euid) {
                    Program::Hosts
                } else {
                    Program::Untrusted
                }
            }
            // Containers have programs of their own, and services may.
            None if actor.placement.container.is_some() || actor.placement.service().is_some() => {
                Program::OwnMounts
            }
            None => Program::Untrusted,
        }
    }

    /// Whether a person has started this: it has a terminal or was logged in, and no scheduler
    /// stands between.
    pub(super) fn is_persons(&self, actor: &Actor) -> bool {
        let task = &actor.task;
        if actor.placement.container.is_some() {
            // Containers are given terminals, too.
            return task.login_uid.is_some();
        }
        let is_scheduled = || {
            let service = actor.placement.service();
            service.is_some_and(|unit| !unit.starts_with("ssh")) || self.is_below(actor, SCHEDULERS)
        };
        task.tty.is_some() || task.login_uid.is_some() && !is_scheduled()
    }

    /// Whether a service reads at its start what it may have read before anybody looked: the main
    /// program of a service that was there while users were learned.
    fn is_starting_service(
        &self,
        actor: &Actor,
        owner: Option<FileOwner>,
        learned_until: Timestamp,
        now: Timestamp,
    ) -> bool {
        let task = &actor.task;
        let exe = actor.exe.as_deref().unwrap_or_default();
        let may = task.uid == 0 || owner.is_some_and(|of| of.uid == task.uid);
        let is_known = |selector: &Selector| {
            let first = self.state.registry.identity(selector);
            first
                .and_then(|of| of.first_seen)
                .is_some_and(|first| first <= learned_until)
        };
        let is_reader = self.runs(actor, READERS);
        let manager = |key: ProcessKey| key.pid == 1;
        let is_first = manager(task.parent());
        let may_be_service =
            !is_reader || self.runs(actor, INTERPRETERS) || is_first && self.runs(actor, SHELLS);
        if actor.placement.service().is_none()
            || !may
            || !is_known(actor.identity())
            || !may_be_service
            || !self.state.host.has_program_of_root(task.exe, exe)
        {
            return false;
        }
        let processes = &self.state.processes;
        // The oldest below the service manager.
        let (top, program) = if is_first {
            (task.key(), task.exe)
        } else {
            let above = processes
                .lineage(task)
                .take_while(|(key, ..)| !manager(*key));
            match above.last() {
                Some((key, file, _)) => (key, file),
                None => return false,
            }
        };
        let starts = |at: Timestamp| now.since(at) <= STARTING;
        // A worker is forked. What was started with the same program is another one's script.
        let is_main = processes.is_fork_of(task, top) || program == task.exe && !is_reader;
        is_main && (starts(task.start) || starts(top.start) || processes.is_from_before(task))
    }

    /// Whether a reader is an outsider even while users are learned.
    fn is_clear(&self, actor: &Actor, owner: Option<FileOwner>) -> bool {
        let task = &actor.task;
        let exe = actor.exe.as_deref().unwrap_or_default();
        if is_in_memory(exe) {
            return true;
        }
        let Some(owner) = owner else {
            return false;
        };
        let is_its_own = owner.uid == task.uid || owner.uid == task.euid;
        if starts(exe, TEMPORARY) && actor.placement.container.is_none() {
            // A test that a developer has just built reads the test's own keys.
            return !is_its_own || owner.uid == 0;
        }
        // A person with root's rights, at another account's private key.
        let is_private = owner.mode & 0o077 == 0 && owner.uid != 0;
        is_private && !is_its_own && task.login_uid != Some(owner.uid) && self.is_persons(actor)
    }

    fn outsider(
        &self,
        actor: &Actor,
        reading: &Reading,
        access: Access,
        count: u64,
        owner: Option<FileOwner>,
        now: Timestamp,
    ) -> Finding {
        let credential = &reading.credential;
        let users = self.state.registry.users.of(&credential.fingerprint);
        let known = match users {
            [] => "nobody is known to use it".to_owned(),
            [one] => format!("only {} with {} is known to use it", one.identity, one.exe),
            [one, rest @ ..] => format!(
                "it is known to be used by {} with {} and {} more",
                one.identity,
                one.exe,
                rest.len()
            ),
        };
        let whose = owner.filter(|of| of.uid != actor.task.uid && of.uid != actor.task.euid);
        let whose = whose.map(|of| {
            let name = describe::user(of.uid, &self.state.host);
            format!("; the file is {name}'s")
        });
        let summary = format!(
            "{}; {known}{}",
            describe::touched(actor, credential, access, now),
            whose.as_deref().unwrap_or_default()
        );
        let id = DetectionId::OutsiderReads;
        let path = credential.path.clone().unwrap_or_default();
        let mut finding = touched(id, actor, credential.clone(), None, summary, now);
        // The credentials of one file are one cause.
        finding.cause.parts.pop();
        finding.cause.parts.push(path);
        let is_strange = self.program(actor) == Program::Untrusted && actor.exe.is_some();
        if is_strange || whose.is_some() && owner.is_some_and(|of| of.uid != 0) {
            finding.alert.severity = Severity::High;
        }
        finding.weight = count;
        finding
    }
}

fn starts(exe: &str, places: &[&str]) -> bool {
    places.iter().any(|place| exe.starts_with(place))
}

/// A file without a name has the path of its file system's root.
fn is_in_memory(exe: &str) -> bool {
    exe == "/" || starts(exe, MEMORY)
}

/// Whether a credential is the reader's own: of its account, and no system's, and no other person
/// has taken that account.
fn is_own(actor: &Actor, owner: Option<FileOwner>, reading: &Reading) -> bool {
    let task = &actor.task;
    let path = reading.credential.path.as_deref().unwrap_or_default();
    owner.is_some_and(|of| {
        of.uid == task.uid
            && task.login_uid.is_none_or(|login| login == of.uid)
            && (of.uid != 0 || path.starts_with("/root/"))
    })
}

/// What stays of an identity when it is started anew: a container's image and service account, and
/// not its id.
fn user_identity(actor: &Actor) -> Selector {
    let lasting = ["k8s:sa:", "ci:", "container:image:"];
    let mut by_prefix = lasting.iter().filter_map(|prefix| {
        let mut all = actor.selectors.iter();
        all.find(|selector| selector.as_str().starts_with(prefix))
    });
    by_prefix.next().unwrap_or(actor.identity()).clone()
}
