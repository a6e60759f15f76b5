//! What a cgroup's path says: the systemd unit and the container.

/// Where a process was put.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Placement {
    /// The innermost systemd unit: a service, scope, or whatever else has processes.
    pub unit: Option<String>,
    /// The innermost container's id.
    pub container: Option<String>,
    /// The user's slice, `user-1000.slice`: all that is in it runs for one person or account.
    pub user_slice: Option<String>,
}

impl Placement {
    /// This one, completed by another hierarchy's.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            unit: self.unit.or(other.unit),
            container: self.container.or(other.container),
            user_slice: self.user_slice.or(other.user_slice),
        }
    }

    /// The unit when it is a machine's: a service that is not a person's session or manager.
    pub fn service(&self) -> Option<&str> {
        self.unit
            .as_deref()
            .filter(|unit| unit.ends_with(".service") && !unit.starts_with("user@"))
    }
}

/// Prefixes with which runtimes name a container's scope.
const SCOPES: &[&str] = &[
    "docker-",
    "cri-containerd-",
    "crio-",
    "libpod-",
    "nerdctl-",
    "buildkit-",
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
        if let Some(id) = container_scope(component) {
            found.container = Some(id.to_owned());
        } else if is_id(component) && below_runtime {
            found.container = Some(component.to_owned());
        }
        if UNIT_ENDINGS
            .iter()
            .any(|ending| component.ends_with(ending))
        {
            found.unit = Some(component.to_owned());
        }
        if component.starts_with("user-") && component.ends_with(".slice") {
            found.user_slice = Some(component.to_owned());
        }
        below_runtime |= GROUPS.iter().any(|group| component.starts_with(group));
    }
    found
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
        // A job runner's own group of hex digits is no container.
        check(&format!("/runner/{id}"), None, None);
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
