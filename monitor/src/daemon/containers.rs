//! What containers are, as facts: name, image, pod and service account, from the files that runtimes
//! and the kubelet keep on this host. No runtime is asked, and nothing is believed that a container
//! could have written: not its own root file system, and not the state of rootless runtimes, which lies
//! in homes.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::attribution::{candidates, is_container_name, placement};
use crate::credential::runtimes::{ContainerState, StateFormat, container_state, listed_container};
use crate::credential::{FingerprintKey, inspect_open};
use crate::model::{Container, Fact, Selector};

/// Most containers that are remembered as told, before all are told anew when they are met.
const CONTAINERS: usize = 4_096;
/// Runtimes write their state while the container starts: it is looked at again after this long.
const AGAIN: Duration = Duration::from_millis(200);
/// So many times.
const TRIES: u32 = 15;
/// Most directories of a kind that are looked into: namespaces of containerd, volumes of a pod.
const DIRECTORIES: usize = 64;

/// Where runtimes of OCI bundles keep the state of a container, below a directory for each.
const RUNC: &[&str] = &[
    "run/runc",
    "run/docker/runtime-runc/moby",
    "run/docker/runtime-runc/plugins.moby",
];
/// The same, with a directory for each namespace of containerd between.
const RUNC_NAMESPACES: &[&str] = &["run/containerd/runc"];
const CONTAINERD: &str = "run/containerd/io.containerd.runtime.v2.task";
const CRUN: &str = "run/crun";
const DOCKER: &str = "var/lib/docker/containers";
/// containers/storage: podman's and CRI-O's.
const STORAGE: &[&str] = &[
    "var/lib/containers/storage/overlay-containers",
    "run/containers/storage/overlay-containers",
];
/// Where the kubelet keeps volumes of pods.
const PODS: &str = "var/lib/kubelet/pods";

/// What was told already.
pub(super) struct Containers {
    /// `/`, but for tests.
    root: PathBuf,
    key: Arc<FingerprintKey>,
    told: HashMap<String, Container>,
    /// Those that runtimes had not said all of, the first to be looked at again in front.
    pending: VecDeque<Pending>,
}

struct Pending {
    id: String,
    tries: u32,
    due: Instant,
}

impl Containers {
    pub(super) fn new(key: Arc<FingerprintKey>) -> Self {
        Self::below(Path::new("/"), key)
    }

    /// Those of a host whose files lie below `root`.
    pub(super) fn below(root: &Path, key: Arc<FingerprintKey>) -> Self {
        Self {
            root: root.to_owned(),
            key,
            told: HashMap::new(),
            pending: VecDeque::new(),
        }
    }

    /// The ids that a cgroup's path may name: what looks like one, and what is one by some runtime's
    /// state.
    pub(super) fn named(&self, path: &str) -> Option<String> {
        placement(path).container.or_else(|| {
            candidates(path)
                .filter(|name| is_container_name(name))
                .find(|name| self.is_known(name))
                .map(str::to_owned)
        })
    }

    /// Whether a runtime that lets people choose ids has a container of this one.
    fn is_known(&self, id: &str) -> bool {
        let mut places = self.bundles(id);
        places.any(|(path, _)| path.symlink_metadata().is_ok_and(|of| of.is_file()))
    }

    /// What is to be told of a container: nothing when it was.
    pub(super) fn tell(&mut self, id: &str, facts: &mut Vec<Fact>) {
        if self.told.contains_key(id) {
            return;
        }
        if self.told.len() >= CONTAINERS {
            self.told.clear();
            self.pending.clear();
        }
        self.look(id, 0, facts);
    }

    /// Completes what was not all known when it was told, a little later.
    pub(super) fn look_again(&mut self, facts: &mut Vec<Fact>) {
        while let Some(pending) = self.pending.front()
            && pending.due <= Instant::now()
            && let Some(Pending { id, tries, .. }) = self.pending.pop_front()
        {
            self.look(&id, tries + 1, facts);
        }
    }

    fn look(&mut self, id: &str, tries: u32, facts: &mut Vec<Fact>) {
        let container = self.look_up(id);
        let is_whole = container.init.is_some()
            && container.device.is_some()
            && container.image.is_some()
            && (container.pod.is_none() || container.service_account.is_some());
        if !is_whole && tries < TRIES {
            self.pending.push_back(Pending {
                id: id.to_owned(),
                tries,
                due: Instant::now() + AGAIN,
            });
        }
        if self.told.get(id) != Some(&container) {
            facts.push(Fact::Container(Box::new(container.clone())));
            self.told.insert(id.to_owned(), container);
        }
    }

    fn look_up(&self, id: &str) -> Container {
        let state = self.state(id);
        let service_account = state.pod_uid.as_deref().and_then(|uid| {
            let of = self.service_account(uid)?;
            // A token that was put there for another pod's account says nothing of this one.
            let namespace = state.namespace.as_deref().unwrap_or_default();
            let is_own = of
                .as_str()
                .strip_prefix("k8s:sa:")
                .is_some_and(|name| name.split_once('/').is_some_and(|(of, _)| of == namespace));
            is_own.then_some(of)
        });
        Container {
            id: id.to_owned(),
            device: state.init.and_then(own_device),
            name: state.name,
            image: state.image,
            namespace: state.namespace,
            pod: state.pod,
            init: state.init,
            service_account,
        }
    }

    /// All that runtimes say of a container. One that is not there says nothing.
    fn state(&self, id: &str) -> ContainerState {
        if !is_container_name(id) {
            return ContainerState::default();
        }
        let storage = STORAGE.iter().map(|place| self.root.join(place));
        let storage = storage.flat_map(|place| {
            let of = place.join(id).join("userdata");
            [
                (of.join("config.json"), StateFormat::Bundle),
                (of.join("pidfile"), StateFormat::Pid),
            ]
        });
        let docker = self.root.join(DOCKER).join(id).join("config.v2.json");
        let said = [(docker, StateFormat::Docker)]
            .into_iter()
            .chain(self.bundles(id))
            .chain(storage)
            .filter_map(|(path, format)| container_state(&path, format).ok())
            .fold(ContainerState::default(), ContainerState::or);
        let lists = STORAGE.iter().map(|place| self.root.join(place));
        lists
            .filter(|place| place.join(id).exists())
            .filter_map(|place| listed_container(&place.join("containers.json"), id).ok())
            .fold(said, ContainerState::or)
    }

    /// Where runtimes keep what they run.
    fn bundles(&self, id: &str) -> impl Iterator<Item = (PathBuf, StateFormat)> {
        let runc = RUNC.iter().map(|place| self.root.join(place));
        let namespaces = RUNC_NAMESPACES.iter();
        let runc = runc.chain(namespaces.flat_map(|place| directories(&self.root.join(place))));
        let runc = runc.map(move |place| (place.join(id).join("state.json"), StateFormat::Runc));
        let containerd = directories(&self.root.join(CONTAINERD)).into_iter();
        let containerd = containerd.flat_map(move |namespace| {
            let of = namespace.join(id);
            [
                (of.join("config.json"), StateFormat::Bundle),
                (of.join("init.pid"), StateFormat::Pid),
            ]
        });
        let crun = self.root.join(CRUN).join(id).join("status");
        runc.chain(containerd).chain([(crun, StateFormat::Crun)])
    }

    /// The service account of a pod, by the token that the kubelet has put into its volumes. The host's
    /// side of these: the container may not write there.
    fn service_account(&self, pod_uid: &str) -> Option<Selector> {
        if !is_container_name(pod_uid) {
            return None;
        }
        let volumes = self.root.join(PODS).join(pod_uid).join("volumes");
        ["kubernetes.io~projected", "kubernetes.io~secret"]
            .iter()
            .flat_map(|kind| directories(&volumes.join(kind)))
            .find_map(|volume| self.token(&volume))
    }

    fn token(&self, volume: &Path) -> Option<Selector> {
        let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = rustix::fs::open(volume, directory, Mode::empty()).ok()?;
        // `token` is a link to `..data/token`, and that to a directory beside it.
        let token = rustix::fs::openat2(
            &directory,
            "token",
            OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
        );
        let token = fs::File::from(token.ok()?);
        let located = inspect_open(&token, &volume.join("token"), &self.key);
        let held = located.ok()??.credentials;
        held.into_iter().find_map(|credential| credential.subject)
    }
}

/// The device of a container's root, where it has a file system of its own. Of /proc/PID/root nothing is
/// read: that takes the right to trace the container.
fn own_device(init: u32) -> Option<u64> {
    let root = |pid: u32| {
        let process = procfs::process::Process::new(i32::try_from(pid).ok()?).ok()?;
        let mounts = process.mountinfo().ok()?.0;
        // Of mounts at one place the last is on top.
        let over = mounts.into_iter().rev();
        let mut over = over.filter(|mount| mount.mount_point == Path::new("/"));
        Some(over.next()?.majmin)
    };
    let device = root(init)?;
    let own = procfs::process::Process::myself().and_then(|process| process.mountinfo());
    let is_hosts = |at: &str| {
        let mounts = own.as_ref().ok().map(|mounts| mounts.0.iter());
        let overlays = mounts.into_iter().flatten();
        // The host has the file systems of containers mounted too, below its runtimes' places.
        let mut others = overlays.filter(|mount| mount.fs_type != "overlay");
        others.any(|mount| mount.majmin == at) || root(std::process::id()).as_deref() == Some(at)
    };
    if is_hosts(&device) {
        return None;
    }
    let (major, minor) = device.split_once(':')?;
    Some(rustix::fs::makedev(
        major.parse().ok()?,
        minor.parse().ok()?,
    ))
}

fn directories(of: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(of) else {
        return Vec::new();
    };
    entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .take(DIRECTORIES)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const ID: &str = "3f4a3f4a3f4a3f4a3f4a3f4a3f4a3f4a3f4a3f4a3f4a3f4a3f4a3f4a3f4a3f4a";

    fn containers(root: &Path) -> Containers {
        Containers::below(root, Arc::new(FingerprintKey::generate().unwrap()))
    }

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn token(account: &str) -> String {
        use base64::Engine as _;
        let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
        let claims = format!(
            r#"{{"iss":"https://kubernetes.default.svc","sub":"system:serviceaccount:{account}","exp":2000000000}}"#
        );
        format!(
            "{}.{}.{}",
            encode(r#"{"alg":"RS256","kid":"k"}"#),
            encode(&claims),
            encode(&"s".repeat(64))
        )
    }

    fn first(root: &Path, id: &str) -> String {
        let mut facts = Vec::new();
        containers(root).tell(id, &mut facts);
        match &*facts {
            [Fact::Container(of)] => of.selectors().map(|of| format!("{of} ")).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_container_is_named_by_what_its_runtime_keeps() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let id = format!("container:id:{ID} ");
        assert_eq!(first(root, ID), id);
        // docker, which has no file of containerd's that says more.
        write(
            root,
            &format!("{DOCKER}/{ID}/config.v2.json"),
            r#"{"Name":"/web","Config":{"Image":"nginx:1.25"},"State":{"Pid":0}}"#,
        );
        write(root, &format!("{CONTAINERD}/moby/{ID}/config.json"), "{}");
        assert_eq!(
            first(root, ID),
            format!("container:image:nginx:1.25 container:name:web {id}")
        );
        fs::remove_dir_all(root.join("var")).unwrap();
        // podman.
        write(
            root,
            &format!("{}/{ID}/userdata/config.json", STORAGE[0]),
            "{}",
        );
        write(
            root,
            &format!("{}/containers.json", STORAGE[0]),
            &format!(
                r#"[{{"id":"{ID}","names":["db"],"metadata":"{{\"image-name\":\"redis:7\",\"name\":\"db\"}}"}}]"#
            ),
        );
        assert_eq!(
            first(root, ID),
            format!("container:image:redis:7 container:name:db {id}")
        );
    }

    #[test]
    fn a_pod_is_named_by_the_account_of_its_token() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        write(
            root,
            &format!("{CONTAINERD}/k8s.io/{ID}/config.json"),
            r#"{"annotations":{"io.kubernetes.cri.sandbox-name":"api-7d9f",
            "io.kubernetes.cri.sandbox-namespace":"prod","io.kubernetes.cri.sandbox-uid":"1-2"}}"#,
        );
        let rest = format!("k8s:pod:prod/api-7d9f container:id:{ID} ");
        assert_eq!(first(root, ID), rest);
        // As the kubelet lays it out.
        let volume = format!("{PODS}/1-2/volumes/kubernetes.io~projected/kube-api-access-x");
        write(root, &format!("{volume}/..2026/token"), &token("prod:api"));
        symlink("..2026", root.join(&volume).join("..data")).unwrap();
        symlink("..data/token", root.join(&volume).join("token")).unwrap();
        assert_eq!(first(root, ID), format!("k8s:sa:prod/api {rest}"));
        // A link that leads out of the volume is not followed, and no other namespace's word taken.
        write(root, "elsewhere", &token("prod:admin"));
        fs::remove_file(root.join(&volume).join("token")).unwrap();
        symlink(root.join("elsewhere"), root.join(&volume).join("token")).unwrap();
        assert_eq!(first(root, ID), rest);
        write(root, &format!("{volume}/..2026/token"), &token("other:api"));
        fs::remove_file(root.join(&volume).join("token")).unwrap();
        symlink("..data/token", root.join(&volume).join("token")).unwrap();
        assert_eq!(first(root, ID), rest);
    }

    #[test]
    fn an_id_that_somebody_chose_is_known_by_its_state_only() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let named = |path: &str| containers(root).named(path);
        assert_eq!(named("/web"), None);
        assert_eq!(named(&format!("/docker/{ID}")).as_deref(), Some(ID));
        write(root, "run/runc/web/state.json", "{}");
        write(
            root,
            &format!("{CONTAINERD}/default/redis/config.json"),
            "{}",
        );
        assert_eq!(named("/web").as_deref(), Some("web"));
        assert_eq!(
            named("/system.slice/runc-web.scope").as_deref(),
            Some("web")
        );
        assert_eq!(named("/default/redis").as_deref(), Some("redis"));
        assert_eq!(named("/system.slice/cron.service"), None);
    }
}
