//! Who acts: from a task to a machine identity, with the process's executable and parents. Pure:
//! what the host knows (names of uids, paths of cgroups) came in as facts.

mod actors;
mod cgroup;
mod host;
mod process;

pub use cgroup::{Placement, candidates, is_container_name, placement};
pub use host::Host;
pub use process::{Holder, Process, Processes, Reading, Recent, Switch};

use crate::model::{AlertAncestor, AlertProcess, Selector, Task, Timestamp};

/// Most parents that an actor carries.
const ANCESTORS: usize = 8;

/// An attributed task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The task.
    pub task: Task,
    /// Every selector that holds for it, the most specific first. Never empty.
    pub selectors: Vec<Selector>,
    /// The uid's name.
    pub user: Option<String>,
    /// Who logged in.
    pub login_user: Option<String>,
    /// The executable's path.
    pub exe: Option<String>,
    /// Unit and container, from the cgroup.
    pub placement: Placement,
    /// Parents, nearest first.
    pub ancestors: Vec<AlertAncestor>,
}

impl Actor {
    /// Names a task's actor. [`Processes::actor`] does it once for many acts.
    pub fn of(task: &Task, processes: &Processes, host: &Host) -> Self {
        let [v2, v1] = [task.cgroup, task.cgroup_v1].map(|id| host.placement(id));
        let [v2, v1] = [v2, v1].map(|of| of.cloned().unwrap_or_default());
        let mut placement = v2.or(v1);
        if placement.container.is_none() {
            // An id that somebody chose is known by the runtime's state only.
            let paths = [task.cgroup, task.cgroup_v1].into_iter();
            let mut paths = paths.filter_map(|id| host.cgroup(id));
            let of = paths.find_map(|path| host.container_in(path));
            placement.container = of.map(|of| of.id.clone());
        }
        let user = host.user(task.uid).map(str::to_owned);
        let mut selectors = Vec::with_capacity(4);
        selectors.extend(processes.job(task).cloned());
        if let Some(id) = &placement.container {
            match host.container(id) {
                Some(container) => selectors.extend(container.selectors()),
                None => selectors.push(Selector::container_id(id)),
            }
        }
        // Below cron and its like, root is the service's own.
        let is_others = task.uid != 0 && placement.starts_for_others();
        if is_others {
            selectors.extend(unix_selectors(task.uid, host));
        }
        if let Some(unit) = placement.named_service() {
            selectors.push(Selector::systemd_unit(unit));
            selectors.extend(Selector::systemd_template(unit));
        }
        if let Some((uid, unit)) = placement.user_service() {
            let number = uid.to_string();
            let user = host.user(uid).unwrap_or(&number);
            selectors.push(Selector::systemd_user_unit(user, unit));
            selectors.extend(Selector::systemd_user_template(user, unit));
        }
        if !is_others {
            selectors.extend(unix_selectors(task.uid, host));
        }
        Self {
            selectors,
            user,
            login_user: task
                .login_uid
                .and_then(|uid| host.user(uid))
                .map(str::to_owned),
            // What a child does may be told before it is told that there is a child.
            exe: processes
                .exe(task)
                .or_else(|| host.program_path(task.exe))
                .map(str::to_owned),
            placement,
            ancestors: processes.ancestors(task).take(ANCESTORS).collect(),
            task: task.clone(),
        }
    }

    /// The most specific selector.
    pub fn identity(&self) -> &Selector {
        &self.selectors[0]
    }

    /// Whether another process is the same actor: it has no rights that this one lacks, and runs in
    /// the same service or container. What runs for one user, be it in sessions or services of the
    /// user's own, is one actor.
    pub fn is_same_as(&self, other: &Self) -> bool {
        let (task, of) = (&self.task, &other.task);
        let same_rights =
            task.uid == of.uid && (of.euid == of.uid || [task.uid, task.euid].contains(&of.euid));
        let slice = &self.placement.user_slice;
        let same_slice = slice.is_some() && *slice == other.placement.user_slice;
        // Containers of one image are one identity, and still apart.
        let same_container = self.placement.container == other.placement.container;
        same_rights && same_container && (same_slice || self.identity() == other.identity())
    }

    /// As alerts carry it.
    pub fn to_alert(&self) -> AlertProcess {
        AlertProcess {
            pid: self.task.pid,
            start_time: self.task.start,
            uid: self.task.uid,
            user: self.user.clone(),
            exe: self.exe.clone(),
            unit: self.placement.unit.clone(),
            container: self.placement.container.clone(),
            login_user: self.login_user.clone(),
            terminal: self.task.tty.clone(),
            ancestors: self.ancestors.clone(),
        }
    }
}

/// What a uid is called: by its name where it has one, and by its number in any case.
pub fn unix_selectors(uid: u32, host: &Host) -> impl Iterator<Item = Selector> {
    let all = match host.unix_selectors(uid) {
        Some([name, number]) => [Some(name), Some(number)],
        None => [None, Some(Selector::unix_uid(uid))],
    };
    all.into_iter().flatten()
}

/// How long the end of a process is remembered: events of other hooks may still be on their way.
pub(crate) fn is_forgotten(ended: Timestamp, now: Timestamp) -> bool {
    now.since(ended) > std::time::Duration::from_secs(60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FileId;

    pub(super) fn task(uid: u32, exe: FileId) -> Task {
        Task {
            pid: 42,
            start: Timestamp(1),
            ppid: 1,
            parent_start: Timestamp(0),
            uid,
            euid: uid,
            gid: 0,
            login_uid: None,
            session: None,
            cgroup: 7,
            cgroup_v1: 0,
            exe,
            tty: None,
        }
    }

    #[test]
    fn a_child_that_nobody_has_told_of_runs_what_its_inode_is() {
        let mut host = Host::default();
        let file = FileId { dev: 1, ino: 7 };
        host.set_program(file, "/usr/lib/systemd/systemd", 0, 0o755);
        let runs = |exe| {
            let task = task(0, exe);
            Actor::of(&task, &Processes::default(), &host).exe
        };
        assert_eq!(runs(file).as_deref(), Some("/usr/lib/systemd/systemd"));
        assert_eq!(runs(FileId { dev: 2, ino: 7 }), None);
        // What the process itself is known to run comes first.
        let mut processes = Processes::default();
        let task = task(0, file);
        processes.started(&task, Some("/usr/bin/other"), Timestamp(2));
        let actor = Actor::of(&task, &processes, &host);
        assert_eq!(actor.exe.as_deref(), Some("/usr/bin/other"));
    }

    #[test]
    fn an_account_is_named_before_the_service_that_only_started_its_job() {
        let mut host = Host::default();
        host.set_user(998, Some("svc-backup"), None);
        let processes = Processes::default();
        for (path, uid, named) in [
            ("/system.slice/cron.service", 998, "unix:user:svc-backup"),
            ("/system.slice/cron.service", 0, "systemd:unit:cron.service"),
            ("/system.slice/web.service", 998, "systemd:unit:web.service"),
        ] {
            host.set_cgroup(7, path);
            let task = task(uid, FileId::default());
            let actor = Actor::of(&task, &processes, &host);
            assert_eq!(actor.identity().as_str(), named, "{path} {uid}");
            // The other name holds too.
            let unit = path.rsplit('/').next().unwrap_or_default();
            assert!(actor.selectors.contains(&Selector::systemd_unit(unit)));
            assert!(actor.selectors.contains(&Selector::unix_uid(uid)));
        }
    }
}
