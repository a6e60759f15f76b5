//! What a cgroup's path says: the systemd unit and the container.

use std::path::Path;

/// Where a process was put.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Placement {
    /// The systemd unit: a service, scope, or whatever else has processes. Of units within each other
    /// the outermost below a manager: what a service or a container makes below itself is its own
    /// word, and could carry any name.
    pub unit: Option<String>,
    /// The innermost container's id.
    pub container: Option<String>,
    /// The user's slice, `user-1000.slice`: all that is in it runs for one person or account.
    pub user_slice: Option<String>,
    /// The uid whose own manager (`user@1000.service`) the unit belongs to.
    pub user_manager: Option<u32>,
}

impl Placement {
    /// This one, completed by another hierarchy's.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        // A unit and its manager belong together.
        let (unit, user_manager) = if self.unit.is_some() {
            (self.unit, self.user_manager)
        } else {
            (other.unit, other.user_manager)
        };
        Self {
            unit,
            user_manager,
            container: self.container.or(other.container),
            user_slice: self.user_slice.or(other.user_slice),
        }
    }

    /// The unit when it is a machine's: a service of the system's manager, which is neither a
    /// person's session nor a user's manager.
    pub fn service(&self) -> Option<&str> {
        let unit = self.unit.as_deref().filter(|_| self.user_manager.is_none());
        unit.filter(|unit| unit.ends_with(".service") && !unit.starts_with("user@"))
    }

    /// The same unit when its name says anything: `systemd-run` makes up a new one for each run.
    pub fn named_service(&self) -> Option<&str> {
        self.service().filter(|unit| !is_made_up(unit))
    }

    /// Whether the unit only starts what is somebody else's: jobs at a time, and logins where no
    /// sessions are kept. The account says more of these than the unit.
    pub fn starts_for_others(&self) -> bool {
        self.service().is_some_and(|unit| {
            let name = unit.strip_suffix(".service").unwrap_or(unit);
            let name = name.split('@').next().unwrap_or(name);
            STARTERS.contains(&name)
        })
    }

    /// The uid and unit of a service of a user's own manager.
    pub fn user_service(&self) -> Option<(u32, &str)> {
        let unit = self.unit.as_deref();
        let unit = unit.filter(|unit| unit.ends_with(".service") && !is_made_up(unit));
        let unit = unit.filter(|unit| !is_user_manager(unit));
        Some((self.user_manager?, unit?))
    }
}

/// Units that start what is not theirs.
const STARTERS: &[&str] = &[
    "anacron",
    "atd",
    "console-getty",
    "cron",
    "crond",
    "dcron",
    "dropbear",
    "fcron",
    "getty",
    "serial-getty",
    "ssh",
    "sshd",
];

/// A name as systemd-run(1) makes them up: `run-u31.service`, `run-r5ffa….service`,
/// `run-p42-i43.service`.
fn is_made_up(unit: &str) -> bool {
    let name = unit.strip_suffix(".service").unwrap_or(unit);
    let of_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let rest = name.strip_prefix("run-").unwrap_or_default();
    rest.strip_prefix('u').is_some_and(of_digits)
        || rest.strip_prefix('r').is_some_and(is_id)
        || rest
            .strip_prefix('p')
            .and_then(|rest| rest.split_once("-i"))
            .is_some_and(|(pid, inode)| of_digits(pid) && of_digits(inode))
        || of_digits(rest)
}

/// Prefixes with which runtimes name a container's scope.
const SCOPES: &[&str] = &[
    "docker-",
    "cri-containerd-",
    "crio-",
    "libpod-",
    "nerdctl-",
    "buildkit-",
    "runc-",
];
/// Groups below which runtimes put containers by their bare id.
const GROUPS: &[&str] = &[
    "docker",
    "libpod_parent",
    "kubepods",
    "containerd",
    "crio",
    "lxc",
];
const UNIT_ENDINGS: &[&str] = &[".service", ".scope", ".socket", ".mount", ".swap"];

/// Reads a cgroup's path. A path of nobody's making says nothing, and that is not an error.
pub fn placement(path: &str) -> Placement {
    let mut found = Placement::default();
    let mut below_runtime = false;
    for component in path.split('/') {
        let is_unit = UNIT_ENDINGS
            .iter()
            .any(|ending| component.ends_with(ending));
        let is_manager = found.unit.as_deref().is_some_and(is_user_manager);
        if is_unit && found.container.is_none() && (found.unit.is_none() || is_manager) {
            found.unit = Some(component.to_owned());
            if let Some(uid) = manager_of(component) {
                found.user_manager = Some(uid);
            }
        }
        if let Some(id) = container_scope(component) {
            found.container = Some(id.to_owned());
        } else if is_id(component) && below_runtime {
            found.container = Some(component.to_owned());
        }
        if component.starts_with("user-") && component.ends_with(".slice") {
            found.user_slice = Some(component.to_owned());
        }
        below_runtime |= GROUPS.iter().any(|group| component.starts_with(group));
    }
    found
}

/// Names that may be those of containers, which runtimes let people choose: each part of a path, and
/// what a scope is of. The innermost first.
pub fn candidates(path: &str) -> impl Iterator<Item = &str> {
    path.rsplit('/')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let name = part.strip_suffix(".scope").unwrap_or(part);
            let of = SCOPES.iter().find_map(|prefix| name.strip_prefix(prefix));
            of.unwrap_or(name)
        })
}

/// Whether a text could be a container's name in a state directory, and nothing else.
pub fn is_container_name(text: &str) -> bool {
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-+".contains(&byte);
    (1..=128).contains(&text.len())
        && text.bytes().all(is_usual)
        && Path::new(text).file_name().is_some()
}

fn is_user_manager(unit: &str) -> bool {
    manager_of(unit).is_some()
}

fn manager_of(unit: &str) -> Option<u32> {
    let uid = unit.strip_prefix("user@")?.strip_suffix(".service")?;
    uid.parse().ok()
}

fn container_scope(component: &str) -> Option<&str> {
    let name = component.strip_suffix(".scope").unwrap_or(component);
    SCOPES
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .filter(|id| is_id(id))
}

/// Runtimes name containers by 64 hex digits; 32 are enough to be no accident.
fn is_id(text: &str) -> bool {
    text.len() >= 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, unit: Option<&str>, container: Option<&str>) {
        let found = placement(path);
        assert_eq!(found.unit.as_deref(), unit, "{path}");
        assert_eq!(found.container.as_deref(), container, "{path}");
    }

    #[test]
    fn names_units_and_containers_of_every_usual_layout() {
        let id = "3f4a".repeat(16);
        let id = id.as_str();
        check("/", None, None);
        check("/system.slice/cron.service", Some("cron.service"), None);
        check(
            "/user.slice/user-1000.slice/session-4.scope",
            Some("session-4.scope"),
            None,
        );
        check(
            "/user.slice/user-1000.slice/user@1000.service/app.slice/sync.service",
            Some("sync.service"),
            None,
        );
        let scope = format!("docker-{id}.scope");
        check(&format!("/system.slice/{scope}"), Some(&scope), Some(id));
        check(&format!("/docker/{id}"), None, Some(id));
        let scope = format!("cri-containerd-{id}.scope");
        check(
            &format!(
                "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1.slice/{scope}"
            ),
            Some(&scope),
            Some(id),
        );
        check(&format!("/kubepods/besteffort/pod1/{id}"), None, Some(id));
        let scope = format!("libpod-{id}.scope");
        check(
            &format!("/machine.slice/{scope}/container"),
            Some(&scope),
            Some(id),
        );
        // What is made below a unit or a container does not name it.
        check(
            "/system.slice/forge.service/backup.service",
            Some("forge.service"),
            None,
        );
        check(
            &format!("/docker/{id}/system.slice/backup.service"),
            None,
            Some(id),
        );
        check(
            &format!("/kubepods/burstable/pod1/crio-{id}"),
            None,
            Some(id),
        );
        let scope = format!("crio-{id}.scope");
        check(
            &format!("/kubepods.slice/kubepods-pod1.slice/{scope}/container"),
            Some(&scope),
            Some(id),
        );
        let conmon = format!("libpod-conmon-{id}.scope");
        check(&format!("/machine.slice/{conmon}"), Some(&conmon), None);
        // A job runner's own group of hex digits is no container.
        check(&format!("/runner/{id}"), None, None);
    }

    #[test]
    fn units_of_every_sort_are_told_apart() {
        let user = "/user.slice/user-1000.slice/user@1000.service";
        for (path, system, of_user) in [
            ("/system.slice/cron.service", Some("cron.service"), None),
            (
                "/system.slice/system-backup.slice/backup@etc.service",
                Some("backup@etc.service"),
                None,
            ),
            ("/system.slice/run-u31.service", None, None),
            ("/system.slice/run-p42-i43.service", None, None),
            (
                "/system.slice/run-backup.service",
                Some("run-backup.service"),
                None,
            ),
            (user, None, None),
            (
                &format!("{user}/app.slice/sync.service"),
                None,
                Some((1000, "sync.service")),
            ),
            (&format!("{user}/app.slice/run-u7.service"), None, None),
            (&format!("{user}/init.scope"), None, None),
            (
                &format!("{user}/app.slice/app-x.scope/a.service"),
                None,
                None,
            ),
        ] {
            let found = placement(path);
            assert_eq!(found.named_service(), system, "{path}");
            assert_eq!(found.user_service(), of_user, "{path}");
        }
    }

    #[test]
    fn units_that_start_what_is_others_are_told_apart() {
        for (unit, is) in [
            ("cron.service", true),
            ("getty@tty1.service", true),
            ("sshd@3-10.0.0.1:22-10.0.0.2:5.service", true),
            ("ssh-agent.service", false),
            ("cron-backup.service", false),
            ("ssh.socket", false),
        ] {
            let found = placement(&format!("/system.slice/{unit}"));
            assert_eq!(found.starts_for_others(), is, "{unit}");
        }
    }

    #[test]
    fn names_that_people_chose_for_containers_are_candidates() {
        let of = |path| candidates(path).collect::<Vec<_>>();
        assert_eq!(of("/default/redis"), ["redis", "default"]);
        assert_eq!(of("/system.slice/runc-web.scope"), ["web", "system.slice"]);
        for (name, is_one) in [
            ("web", true),
            ("..", false),
            ("", false),
            ("a/b", false),
            ("a b", false),
        ] {
            assert_eq!(is_container_name(name), is_one, "{name}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_path_is_read(path in "([a-z@0-9.-]{0,9}/|user@[0-9]{1,12}.service/|.){0,12}") {
            let found = placement(&path);
            let _ = (found.named_service(), found.user_service());
            proptest::prop_assert!(candidates(&path).all(|of| !of.contains('/')));
        }
    }

    #[test]
    fn a_session_or_a_users_manager_is_no_service() {
        for path in [
            "/user.slice/user-0.slice/session-1.scope",
            "/user.slice/user@0.service",
        ] {
            assert_eq!(placement(path).service(), None, "{path}");
        }
        assert_eq!(
            placement("/system.slice/backup.service").service(),
            Some("backup.service")
        );
    }
}
