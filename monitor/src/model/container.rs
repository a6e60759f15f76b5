//! A container, as the runtime that made it describes it.

use serde::{Deserialize, Serialize};

use super::Selector;

/// What is known of a container. What its runtime does not tell is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Container {
    /// The id that its cgroup or state directory carries.
    pub id: String,
    /// Its name for people: `web`, or the container's name within its pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The image that it was made from, as it was asked for: `registry.example/api:1.4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The Kubernetes namespace of its pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// The service account that its projected token is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<Selector>,
    /// The host's pid of its first process: what does not descend from it has come in later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<u32>,
    /// The device of its root file system, where no other container or the host has the same: a
    /// process whose program lies there runs in the container, whatever its cgroup says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<u64>,
}

impl Container {
    /// Every selector that holds for it, the most specific stable one first. The service account
    /// goes first because all replicas share it and rights are given to it; then the image, which
    /// a restart keeps. A pod's name and an id are new with each restart, so they would make a new
    /// identity of the same workload.
    pub fn selectors(&self) -> impl Iterator<Item = Selector> {
        let pod = match (&self.namespace, &self.pod) {
            (Some(namespace), Some(pod)) => Selector::kubernetes_pod(namespace, pod),
            _ => None,
        };
        let image = self.image.as_deref();
        let name = self.name.as_deref();
        [
            self.service_account.clone(),
            image.and_then(Selector::container_image),
            name.and_then(Selector::container_name),
            pod,
            Some(Selector::container_id(&self.id)),
        ]
        .into_iter()
        .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_outlives_a_restart_names_a_container_first() {
        let mut container = Container {
            id: "3f4a".to_owned(),
            name: Some("web".to_owned()),
            image: Some("registry.example/api:1.4".to_owned()),
            namespace: Some("prod".to_owned()),
            pod: Some("api-7d9f".to_owned()),
            service_account: "k8s:sa:prod/api".parse().ok(),
            ..Container::default()
        };
        let told: Vec<_> = container.selectors().map(|of| of.to_string()).collect();
        assert_eq!(
            told,
            [
                "k8s:sa:prod/api",
                "container:image:registry.example/api:1.4",
                "container:name:web",
                "k8s:pod:prod/api-7d9f",
                "container:id:3f4a",
            ]
        );
        // A name that is none is left out, whoever said it.
        container.image = Some("a b\u{1b}[31m".to_owned());
        container.service_account = None;
        let first = container.selectors().next().map(|of| of.to_string());
        assert_eq!(first.as_deref(), Some("container:name:web"));
    }
}
