//! Who acts: from a task to a machine identity, with the process's executable and parents. Pure:
//! what the host knows (names of uids, paths of cgroups) came in as facts.

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
    /// Names a task's actor.
    pub fn of(task: &Task, processes: &Processes, host: &Host) -> Self {
        let v2 = host.cgroup(task.cgroup).map(placement).unwrap_or_default();
        let v1 = host
            .cgroup(task.cgroup_v1)
            .map(placement)
            .unwrap_or_default();
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
        selectors.extend(unix_selectors(task.uid, host));
        Self {
            selectors,
            user,
            login_user: task
                .login_uid
                .and_then(|uid| host.user(uid))
                .map(str::to_owned),
            exe: processes.exe(task).map(str::to_owned),
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
    let name = host.user(uid).map(Selector::unix_user);
    name.into_iter().chain([Selector::unix_uid(uid)])
}

/// How long the end of a process is remembered: events of other hooks may still be on their way.
pub(crate) fn is_forgotten(ended: Timestamp, now: Timestamp) -> bool {
    now.since(ended) > std::time::Duration::from_secs(60)
}
