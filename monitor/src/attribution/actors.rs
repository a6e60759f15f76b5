//! Actors that were made, each kept for as long as all stays the same that it was made from. A process
//! acts thousands of times and changes once; to make its actor anew costs more than everything else
//! that an ordinary act leads to.

use std::sync::Arc;

use foldhash::{HashMap, HashSet};

use super::{Actor, Host};
use crate::model::{ProcessKey, Task};

/// Most actors that are kept; beyond it all are made anew. Few hosts have as many processes that act.
const CAPACITY: usize = 8_192;

/// The actors that still hold.
#[derive(Debug, Clone, Default)]
pub(super) struct Actors {
    made: HashMap<ProcessKey, Arc<Actor>>,
    /// Whoever was asked for when parents were told, also where nobody was known by that key.
    asked: HashSet<ProcessKey>,
    /// How often the host had changed when these were made.
    changes: u64,
}

impl Actors {
    /// The actor of a task, unless something has changed.
    pub(super) fn get(&mut self, task: &Task, host: &Host) -> Option<&Arc<Actor>> {
        if self.changes != host.changes() {
            self.clear();
            self.changes = host.changes();
        }
        let made = self.made.get(&task.key());
        // A task carries its uids, cgroups and program with each act.
        made.filter(|actor| actor.task == *task)
    }

    /// Keeps one, with the processes that were asked for when it was made.
    pub(super) fn keep(&mut self, actor: &Arc<Actor>, asked: impl Iterator<Item = ProcessKey>) {
        if self.made.len() >= CAPACITY {
            self.clear();
        }
        self.made.insert(actor.task.key(), Arc::clone(actor));
        self.asked.extend(asked);
    }

    /// A process came, went, or runs another program or job than before.
    pub(super) fn changed(&mut self, process: ProcessKey) {
        if self.asked.contains(&process) {
            // Whose parent it is, nobody notes: mostly a program that has children stays what it is.
            self.clear();
        } else {
            self.made.remove(&process);
        }
    }

    /// A process has ended. What is heard of it still is little.
    pub(super) fn ended(&mut self, process: ProcessKey) {
        self.made.remove(&process);
    }

    fn clear(&mut self) {
        self.made.clear();
        self.asked.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::attribution::Processes;
    use crate::model::{Container, FileId, Selector, Timestamp};

    /// What can change an actor, over so few keys that all of it meets.
    #[derive(Debug, Clone)]
    enum Change {
        Started(Task, Option<u8>),
        Running(Task, Option<u8>),
        Forked(Task),
        Ended(Task),
        Job(Task, u8),
        User(u32, Option<u8>),
        Cgroup(u64, u8),
        Container(u8, u8),
        Program(FileId, u8),
        Passed(i64),
    }

    const PIDS: u32 = 6;

    fn task() -> impl Strategy<Value = Task> {
        let ids = (0..PIDS, 0..PIDS, 0..3u32, 0..3u32);
        let rest = (
            prop::option::of(0..3u32),
            0..3u64,
            0..2u64,
            0..3u64,
            any::<bool>(),
        );
        (ids, rest).prop_map(|((pid, ppid, uid, euid), rest)| {
            let (login_uid, cgroup, cgroup_v1, ino, has_terminal) = rest;
            Task {
                pid,
                start: Timestamp(i64::from(pid)),
                ppid,
                parent_start: Timestamp(i64::from(ppid)),
                uid,
                euid,
                gid: 0,
                login_uid,
                session: None,
                cgroup,
                cgroup_v1: cgroup_v1 * 7,
                exe: FileId { dev: 1, ino },
                tty: has_terminal.then(|| "pts0".to_owned()),
            }
        })
    }

    fn change() -> impl Strategy<Value = Change> {
        let path = || prop::option::of(0..3u8);
        prop_oneof![
            4 => (task(), path()).prop_map(|(task, exe)| Change::Started(task, exe)),
            1 => (task(), path()).prop_map(|(task, exe)| Change::Running(task, exe)),
            4 => task().prop_map(Change::Forked),
            3 => task().prop_map(Change::Ended),
            1 => (task(), 0..2u8).prop_map(|(task, job)| Change::Job(task, job)),
            1 => (0..3u32, path()).prop_map(|(uid, name)| Change::User(uid, name)),
            1 => (prop_oneof![0..3u64, Just(7)], 0..5u8).prop_map(|(id, at)| Change::Cgroup(id, at)),
            1 => (0..2u8, 0..3u8).prop_map(|(id, image)| Change::Container(id, image)),
            1 => (0..3u64, 0..3u8).prop_map(|(ino, path)| Change::Program(FileId { dev: 1, ino }, path)),
            1 => (0..90i64).prop_map(Change::Passed),
        ]
    }

    fn exe(number: Option<u8>) -> Option<String> {
        number.map(|number| format!("/usr/bin/{number}"))
    }

    fn take(change: &Change, processes: &mut Processes, host: &mut Host, now: &mut Timestamp) {
        match change {
            Change::Started(task, path) => {
                processes.started(task, exe(*path).as_deref(), *now);
            }
            Change::Running(task, path) => {
                processes.running(task, exe(*path).as_deref(), *now);
            }
            Change::Forked(task) => processes.forked(task, *now),
            Change::Ended(task) => processes.ended(task, *now),
            Change::Job(task, job) => {
                let job = Selector::ci_job("github", &format!("org/{job}")).unwrap();
                processes.runs_job(task, &job, *now);
            }
            Change::User(uid, name) => {
                let name = name.map(|name| format!("user-{name}"));
                host.set_user(*uid, name.as_deref(), None);
            }
            Change::Cgroup(id, at) => {
                let path = match at {
                    0 => "/system.slice/web.service".to_owned(),
                    1 => "/system.slice/cron.service".to_owned(),
                    2 => {
                        "/user.slice/user-1.slice/user@1.service/app.slice/sync.service".to_owned()
                    }
                    3 => "/lxc/box-0".to_owned(),
                    _ => format!("/docker/{}", "3f".repeat(32)),
                };
                host.set_cgroup(*id, &path);
            }
            Change::Container(id, image) => host.set_container(&Container {
                id: match id {
                    0 => "box-0".to_owned(),
                    _ => "3f".repeat(32),
                },
                image: Some(format!("registry.example/image-{image}")),
                ..Container::default()
            }),
            Change::Program(file, path) => {
                host.set_program(*file, &format!("/opt/{path}"), 0, 0o755);
            }
            Change::Passed(seconds) => now.0 += seconds * 1_000_000_000,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_kept_actor_is_what_one_made_anew_would_be(
            steps in proptest::collection::vec((change(), task()), 1..90),
        ) {
            let (mut processes, mut host) = (Processes::default(), Host::default());
            let mut now = Timestamp(1_000_000_000_000);
            let mut acting = Vec::new();
            for (change, task) in &steps {
                take(change, &mut processes, &mut host, &mut now);
                acting.push(task);
                // Those that have acted before are the ones that are kept.
                for task in acting.iter().rev().take(8) {
                    let kept = processes.actor(task, &host);
                    prop_assert_eq!(&*kept, &Actor::of(task, &processes, &host));
                }
            }
        }
    }

    #[test]
    fn one_that_stays_as_it_is_is_made_once() {
        let (mut processes, mut host) = (Processes::default(), Host::default());
        let task = |pid: u32| Task {
            pid,
            start: Timestamp(i64::from(pid)),
            ppid: pid / 2,
            parent_start: Timestamp(i64::from(pid / 2)),
            ..crate::attribution::tests::task(0, FileId::default())
        };
        let now = Timestamp(1);
        for pid in 1..8 {
            processes.started(&task(pid), Some("/usr/bin/a"), now);
        }
        let first = processes.actor(&task(7), &host);
        let is_same = |processes: &mut Processes, host: &Host| {
            Arc::ptr_eq(&first, &processes.actor(&task(7), host))
        };
        // What others do who are nobody's parent, and what was known already.
        processes.started(&task(6), Some("/usr/bin/b"), now);
        processes.forked(&task(15), now);
        processes.ended(&task(6), now);
        host.set_name("192.0.2.7".parse().unwrap(), "a.example");
        assert!(is_same(&mut processes, &host));
        // Its parent's parent runs another program.
        processes.started(&task(1), Some("/usr/bin/b"), now);
        assert!(!is_same(&mut processes, &host));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (mut processes, host) = (Processes::default(), Host::default());
        for pid in 1..=u32::try_from(CAPACITY).unwrap() * 3 / 2 {
            let task = Task {
                pid,
                ..crate::attribution::tests::task(0, FileId::default())
            };
            processes.actor(&task, &host);
        }
        assert_eq!(processes.actors.made.len(), CAPACITY / 2);
    }
}
