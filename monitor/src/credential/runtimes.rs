//! What container runtimes write down of their containers. It is here because the same files hold the
//! containers' environment, and so their secrets: these stay in [`SecretBytes`], and only names leave.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::secret::{self, ReadError, SecretBytes};

/// The largest state file of one container that is read, in bytes.
const MAX_STATE: u64 = 2 << 20;
/// The largest list of all containers, in bytes.
const MAX_LIST: u64 = 16 << 20;
/// Longest name that is believed, in bytes: what is longer names nothing.
const MAX_NAME: usize = 512;

/// What a state file says. What it does not say is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContainerState {
    /// The container's name.
    pub name: Option<String>,
    /// Its image, as it was asked for.
    pub image: Option<String>,
    /// The Kubernetes namespace.
    pub namespace: Option<String>,
    /// The pod.
    pub pod: Option<String>,
    /// The pod's uid, by which the kubelet keeps its volumes.
    pub pod_uid: Option<String>,
    /// The host's pid of its first process.
    pub init: Option<u32>,
}

impl ContainerState {
    /// This one, completed by another file's.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            name: self.name.or(other.name),
            image: self.image.or(other.image),
            namespace: self.namespace.or(other.namespace),
            pod: self.pod.or(other.pod),
            pod_uid: self.pod_uid.or(other.pod_uid),
            init: self.init.or(other.init),
        }
    }
}

/// The formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateFormat {
    /// `config.json` of an OCI bundle: names are annotations.
    Bundle,
    /// `config.v2.json` of docker.
    Docker,
    /// `state.json` of runc, which keeps annotations as labels.
    Runc,
    /// `status` of crun.
    Crun,
    /// A pid and nothing else.
    Pid,
}

/// Reads a state file.
///
/// # Errors
/// When it cannot be read, is no regular file, or larger than 2 MiB. What cannot be understood says
/// nothing, and that is no error.
pub fn container_state(path: &Path, format: StateFormat) -> Result<ContainerState, ReadError> {
    let content = SecretBytes::read(&secret::open(path)?, MAX_STATE)?;
    Ok(parse(content.expose(), format).unwrap_or_default())
}

/// Reads what a list of containers (`containers.json` of containers/storage: podman and CRI-O) says of
/// one of them.
///
/// # Errors
/// When it cannot be read, is no regular file, or larger than 16 MiB.
pub fn listed_container(path: &Path, id: &str) -> Result<ContainerState, ReadError> {
    let content = SecretBytes::read(&secret::open(path)?, MAX_LIST)?;
    Ok(listed(content.expose(), id).unwrap_or_default())
}

fn parse(bytes: &[u8], format: StateFormat) -> Option<ContainerState> {
    match format {
        StateFormat::Bundle => {
            let bundle: Bundle<'_> = serde_json::from_slice(bytes).ok()?;
            Some(annotated(&bundle.annotations))
        }
        StateFormat::Docker => {
            let of: Docker<'_> = serde_json::from_slice(bytes).ok()?;
            let labelled = annotated(&of.config.labels);
            Some(ContainerState {
                name: named(of.name.trim_start_matches('/')).or(labelled.name),
                image: named(&of.config.image),
                init: (of.state.pid != 0).then_some(of.state.pid),
                ..labelled
            })
        }
        StateFormat::Runc => {
            let of: Runc<'_> = serde_json::from_slice(bytes).ok()?;
            let labels = of.config.labels.iter();
            let labels = labels
                .filter_map(|label| label.split_once('='))
                .map(|(key, value)| (Cow::Borrowed(key), Cow::Borrowed(value)))
                .collect();
            Some(ContainerState {
                init: of.init_process_pid.filter(|pid| *pid != 0),
                ..annotated(&labels)
            })
        }
        StateFormat::Crun => {
            let of: Crun = serde_json::from_slice(bytes).ok()?;
            Some(ContainerState {
                init: of.pid.filter(|pid| *pid != 0),
                ..ContainerState::default()
            })
        }
        StateFormat::Pid => {
            let text = std::str::from_utf8(bytes).ok()?;
            Some(ContainerState {
                init: text.trim().parse().ok().filter(|pid| *pid != 0),
                ..ContainerState::default()
            })
        }
    }
}

fn listed(bytes: &[u8], id: &str) -> Option<ContainerState> {
    let all: Vec<Listed<'_>> = serde_json::from_slice(bytes).ok()?;
    let of = all.into_iter().find(|of| of.id == id)?;
    let metadata: Metadata<'_> = serde_json::from_str(&of.metadata).unwrap_or_default();
    Some(ContainerState {
        name: named(&metadata.name).or_else(|| named(of.names.first()?)),
        image: named(&metadata.image),
        ..ContainerState::default()
    })
}

/// A map of text that a runtime was given.
type Words<'a> = BTreeMap<Cow<'a, str>, Cow<'a, str>>;

/// What annotations say: those of containerd's CRI, of CRI-O, of the kubelet's labels, and of nerdctl,
/// the most exact first.
fn annotated(words: &Words<'_>) -> ContainerState {
    let first = |keys: &[&str]| {
        let mut keys = keys.iter();
        keys.find_map(|key| named(words.get(*key)?))
    };
    ContainerState {
        name: first(&[
            "io.kubernetes.cri.container-name",
            "io.kubernetes.container.name",
            "nerdctl/name",
        ]),
        image: first(&[
            "io.kubernetes.cri.image-name",
            "io.kubernetes.cri-o.UserRequestedImage",
            "io.kubernetes.cri-o.ImageName",
            "io.kubernetes.cri-o.Image",
        ]),
        namespace: first(&[
            "io.kubernetes.cri.sandbox-namespace",
            "io.kubernetes.pod.namespace",
        ]),
        pod: first(&["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"]),
        pod_uid: first(&["io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid"]),
        init: None,
    }
}

fn named(text: &str) -> Option<String> {
    (!text.is_empty() && text.len() <= MAX_NAME).then(|| text.to_owned())
}

#[derive(Deserialize)]
struct Bundle<'a> {
    #[serde(borrow, default)]
    annotations: Words<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Docker<'a> {
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    config: DockerConfig<'a>,
    #[serde(default)]
    state: DockerState,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct DockerConfig<'a> {
    #[serde(borrow, default)]
    image: Cow<'a, str>,
    #[serde(borrow, default)]
    labels: Words<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct DockerState {
    #[serde(default)]
    pid: u32,
}

#[derive(Deserialize)]
struct Runc<'a> {
    init_process_pid: Option<u32>,
    #[serde(borrow, default)]
    config: RuncConfig<'a>,
}

#[derive(Deserialize, Default)]
struct RuncConfig<'a> {
    #[serde(borrow, default)]
    labels: Vec<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Crun {
    pid: Option<u32>,
}

#[derive(Deserialize)]
struct Listed<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    names: Vec<Cow<'a, str>>,
    #[serde(borrow, default)]
    metadata: Cow<'a, str>,
}

#[derive(Deserialize, Default)]
struct Metadata<'a> {
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default, rename = "image-name")]
    image: Cow<'a, str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(state: &ContainerState) -> String {
        let or_dash = |of: &Option<String>| of.clone().unwrap_or_else(|| "-".to_owned());
        format!(
            "{} {} {}/{} {} {}",
            or_dash(&state.name),
            or_dash(&state.image),
            or_dash(&state.namespace),
            or_dash(&state.pod),
            or_dash(&state.pod_uid),
            state.init.map_or("-".to_owned(), |pid| pid.to_string())
        )
    }

    #[track_caller]
    fn check(format: StateFormat, text: &str, expected: &str) {
        assert_eq!(
            told(&parse(text.as_bytes(), format).unwrap_or_default()),
            expected
        );
    }

    #[test]
    fn every_runtimes_own_words_are_read() {
        check(
            StateFormat::Docker,
            r#"{"StreamConfig":{},"State":{"Running":true,"Pid":4242},"ID":"3f4a","Name":"/web",
            "Config":{"Env":["TOKEN=x"],"Image":"nginx:1.25","Labels":{}}}"#,
            "web nginx:1.25 -/- - 4242",
        );
        // As cri-dockerd makes them.
        check(
            StateFormat::Docker,
            r#"{"State":{"Pid":0},"Name":"/k8s_api_api-7d9f_prod_1_0","Config":{"Image":"api@sha256:1",
            "Labels":{"io.kubernetes.container.name":"api","io.kubernetes.pod.name":"api-7d9f",
            "io.kubernetes.pod.namespace":"prod","io.kubernetes.pod.uid":"1-2"}}}"#,
            "k8s_api_api-7d9f_prod_1_0 api@sha256:1 prod/api-7d9f 1-2 -",
        );
        check(
            StateFormat::Bundle,
            r#"{"ociVersion":"1.0.2","process":{"env":["A=\u0062"]},"annotations":{
            "io.kubernetes.cri.container-name":"api","io.kubernetes.cri.container-type":"container",
            "io.kubernetes.cri.image-name":"registry.example/api:1.4",
            "io.kubernetes.cri.sandbox-name":"api-7d9f","io.kubernetes.cri.sandbox-namespace":"prod",
            "io.kubernetes.cri.sandbox-uid":"1-2"}}"#,
            "api registry.example/api:1.4 prod/api-7d9f 1-2 -",
        );
        check(
            StateFormat::Bundle,
            r#"{"annotations":{"io.kubernetes.container.name":"api","io.kubernetes.cri-o.Image":"3f4a",
            "io.kubernetes.cri-o.ImageName":"registry.example/api:1.4","io.kubernetes.pod.name":"api-7d9f",
            "io.kubernetes.pod.namespace":"prod","io.kubernetes.pod.uid":"1-2"}}"#,
            "api registry.example/api:1.4 prod/api-7d9f 1-2 -",
        );
        check(
            StateFormat::Runc,
            r#"{"id":"web","init_process_pid":77,"init_process_start":5,"config":{"rootfs":"/x",
            "labels":["nerdctl/name=web","bundle=/run/x","odd"]}}"#,
            "web - -/- - 77",
        );
        check(
            StateFormat::Crun,
            r#"{"pid":88,"bundle":"/x"}"#,
            "- - -/- - 88",
        );
        check(StateFormat::Pid, "99\n", "- - -/- - 99");
        let list = r#"[{"id":"aa","names":["other"]},{"id":"3f4a","names":["web"],"image":"sha",
            "metadata":"{\"image-name\":\"docker.io/library/redis:7\",\"name\":\"web\"}"}]"#;
        let of = listed(list.as_bytes(), "3f4a").unwrap();
        assert_eq!(told(&of), "web docker.io/library/redis:7 -/- - -");
        assert_eq!(listed(list.as_bytes(), "bb"), None);
    }

    proptest::proptest! {
        #[test]
        fn any_state_is_read_or_says_nothing(bytes: Vec<u8>, text in "[{}\\[\\]\",:a-z0-9=/.-]{0,60}") {
            use StateFormat::{Bundle, Crun, Docker, Pid, Runc};
            for format in [Bundle, Docker, Runc, Crun, Pid] {
                let _ = (parse(&bytes, format), parse(text.as_bytes(), format));
                let known = format!(
                    r#"{{"annotations":{text:?},"Name":{text:?},"State":{{"Pid":1}},"config":{{"labels":[{text:?}]}}}}"#
                );
                let _ = parse(known.as_bytes(), format);
            }
            let _ = (listed(&bytes, "a"), listed(format!("[{text}]").as_bytes(), "a"));
        }
    }
}
