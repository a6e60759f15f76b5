//! A person told from a machine: who sits at a session, and whether it was the person's choice to
//! act as somebody else.
//!
//! A login uid (audit) is set once, by the program that logs somebody in, and is inherited by all
//! that follows, through sudo and su; only root can set it anew. A controlling terminal is where
//! somebody types. Either is a person, but for what cron and its like set for their jobs, and for
//! terminals that services open for programs of theirs.

use std::sync::Arc;

use super::Detector;
use super::insiders::{INTERPRETERS, MANAGERS};
use crate::attribution::{Actor, Switch};
use crate::model::{FileId, ProcessKey};

/// Services in which people log in. On a host without logind their sessions stay there.
const GATES: &[&str] = &[
    "ssh",
    "sshd",
    "dropbear",
    "getty",
    "serial-getty",
    "console-getty",
    "container-getty",
    "autovt",
    "debug-shell",
    "emergency",
    "rescue",
    "gdm",
    "gdm3",
    "sddm",
    "lightdm",
    "display-manager",
    "xrdp-sesman",
    "telnet",
];
/// What runs jobs at a time, under the login uid of whoever owns the job.
const SCHEDULERS: &[&str] = &["cron", "crond", "atd", "anacron", "fcron", "dcron"];
/// Programs with which a person takes an identity of choice.
const SWITCHERS: &[&str] = &[
    "sudo",
    "sudo-rs",
    "doas",
    "su",
    "su-rs",
    "runuser",
    "setpriv",
    "pkexec",
    "run0",
    "sg",
    "newgrp",
    "chroot",
    "nsenter",
    "unshare",
    "setuidgid",
    "chpst",
    "gosu",
    "su-exec",
    "capsh",
    "machinectl",
];
/// Programs that run what a person writes. Not perl: Debian's own tools for PostgreSQL are in perl
/// and change to that account themselves (pg_ctlcluster, pg_createcluster).
const LANGUAGES: &[&str] = &[
    "python*", "ruby*", "node", "nodejs", "php*", "lua*", "tclsh*", "guile*", "gdb", "busybox",
    "awk", "gawk", "mawk", "sh", "dash", "bash", "zsh", "ksh*", "fish",
];

/// What shows that a person is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Person {
    /// As a sentence begins: `ana (login, terminal pts0)`, `somebody at terminal pts0`.
    pub(super) called: String,
    /// As causes are told apart: the login uid, else the terminal.
    pub(super) key: String,
}

impl Detector {
    /// The person at whose session a process runs.
    pub(super) fn person(&self, actor: &Actor) -> Option<Person> {
        let task = &actor.task;
        // What runs in a container has a terminal of the container's: no sign of anybody here.
        let in_container = actor.placement.container.is_some();
        let terminal = self.terminal(actor).filter(|_| !in_container);
        let terminal = terminal.as_deref();
        if task.login_uid.is_none() && terminal.is_none() {
            return None;
        }
        if let Some(unit) = actor.placement.service()
            && !is_gate(unit)
        {
            return None;
        }
        if self.is_scheduled(actor) {
            return None;
        }
        Some(Person {
            called: called(actor, terminal),
            key: task.login_uid.map_or_else(
                || terminal.unwrap_or_default().to_owned(),
                |uid| uid.to_string(),
            ),
        })
    }

    /// The terminal of a process, or of a parent in the same session or unit: `su -c` and `runuser -c`
    /// leave theirs behind.
    fn terminal(&self, actor: &Actor) -> Option<String> {
        const DEEPEST: usize = 8;
        let task = &actor.task;
        let own = task.tty.clone();
        own.or_else(|| {
            let parents = self.state.processes.parents(task).take(DEEPEST);
            let mut same = parents.map(|parent| &parent.task).take_while(|parent| {
                (parent.cgroup, parent.cgroup_v1) == (task.cgroup, task.cgroup_v1)
            });
            same.find_map(|parent| parent.tty.clone())
        })
    }

    fn is_scheduled(&self, actor: &Actor) -> bool {
        const DEEPEST: usize = 64;
        let mut lineage = self.state.processes.lineage(&actor.task).take(DEEPEST);
        lineage.any(|(_, file, exe)| self.is_program(file, exe, SCHEDULERS))
    }

    /// The process that gave an actor its uid by a person's choice. `None` where a program has
    /// changed to its own account by itself, as apt, man, nginx and tcpdump do, where nobody saw it
    /// change, or where a package's script did it.
    pub(super) fn chosen(&self, actor: &Actor) -> Option<Switch> {
        let switch = self.state.processes.switch(&actor.task)?;
        let exe = switch.exe.as_deref().unwrap_or_default();
        let is_of_system = self.state.host.has_program_of_root(switch.file, exe);
        let is_choice = !is_of_system || self.is_chooser(switch.file, exe);
        (is_choice && !self.is_by_package(actor)).then_some(switch)
    }

    fn is_chooser(&self, file: FileId, exe: &str) -> bool {
        self.is_program(file, exe, SWITCHERS) || self.is_program(file, exe, LANGUAGES)
    }

    /// Whether a package manager's script does this: above what runs under the uid there are only
    /// interpreters and programs that change the uid, and above these the package manager.
    pub(super) fn is_by_package(&self, actor: &Actor) -> bool {
        const DEEPEST: usize = 32;
        let mut above = self
            .state
            .processes
            .parents(&actor.task)
            .take(DEEPEST)
            .skip_while(|parent| parent.task.uid == actor.task.uid && parent.task.uid != 0);
        above
            .find(|parent| {
                let (file, exe) = (parent.task.exe, parent.exe().unwrap_or_default());
                !self.is_program(file, exe, INTERPRETERS) && !self.is_program(file, exe, SWITCHERS)
            })
            .is_some_and(|parent| {
                self.is_program(parent.task.exe, parent.exe().unwrap_or_default(), MANAGERS)
            })
    }

    /// The container that a process has come into from outside, with the process by which it came:
    /// its program lies in the container's root file system while its cgroup is elsewhere, or it is
    /// in the container's cgroup, has a terminal and descends from the runtime, but not from the
    /// container's first process.
    pub(super) fn entered(&self, actor: &Actor) -> Option<(String, ProcessKey)> {
        let host = &self.state.host;
        match &actor.placement.container {
            None => {
                // Where its cgroup is not known, it may be the container's.
                let task = &actor.task;
                let known = [task.cgroup, task.cgroup_v1].map(|id| host.cgroup(id));
                known.iter().flatten().next()?;
                let of = host.container_on(actor.task.exe.dev)?;
                Some((of.id.clone(), actor.task.key()))
            }
            Some(id) => {
                let container = host.container(id)?;
                let init = container.init?;
                if actor.task.tty.is_none() && actor.task.login_uid.is_none() {
                    return None;
                }
                let first = self.first_in(actor, id);
                let is_own = first.pid == init || self.descends_from(actor, init);
                (!is_own).then(|| (id.clone(), first))
            }
        }
    }

    /// The uppermost of an actor's parents, or itself, that is in the container.
    fn first_in(&self, actor: &Actor, id: &str) -> ProcessKey {
        const DEEPEST: usize = 64;
        let host = &self.state.host;
        let processes = &self.state.processes;
        let inside = processes
            .parents(&actor.task)
            .take(DEEPEST)
            .take_while(|parent| {
                let parent = Actor::of(&parent.task, processes, host);
                parent.placement.container.as_deref() == Some(id)
            });
        inside
            .last()
            .map_or(actor.task.key(), |parent| parent.task.key())
    }

    fn descends_from(&self, actor: &Actor, pid: u32) -> bool {
        const DEEPEST: usize = 64;
        let mut parents = self.state.processes.parents(&actor.task).take(DEEPEST);
        actor.task.pid == pid || parents.any(|parent| parent.task.pid == pid)
    }
}

/// Whether people log in by a service.
fn is_gate(unit: &str) -> bool {
    let name = unit.strip_suffix(".service").unwrap_or(unit);
    let name = name.split('@').next().unwrap_or(name);
    GATES.contains(&name)
}

fn called(actor: &Actor, terminal: Option<&str>) -> String {
    let login = actor.task.login_uid.map(|uid| {
        let name = actor.login_user.as_deref().map(Arc::from);
        name.unwrap_or_else(|| Arc::<str>::from(format!("uid {uid}")))
    });
    match (login, terminal) {
        (Some(login), Some(terminal)) => format!("{login} (login, terminal {terminal})"),
        (Some(login), None) => format!("{login} (login)"),
        (None, terminal) => format!(
            "somebody at terminal {}",
            terminal.unwrap_or("of a container")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_come_by_gates_only() {
        for (unit, is) in [
            ("ssh.service", true),
            ("sshd@3-10.0.0.1:22-10.0.0.2:5.service", true),
            ("getty@tty1.service", true),
            ("cron.service", false),
            ("ssh-agent.service", false),
            ("buildkite-agent.service", false),
        ] {
            assert_eq!(is_gate(unit), is, "{unit}");
        }
    }
}
