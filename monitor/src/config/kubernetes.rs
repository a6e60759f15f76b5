//! `[kubernetes]`: whether the API of the cluster is watched, and how it is reached.

use std::path::PathBuf;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// Longest name of a node, in bytes: it is a DNS subdomain.
const LONGEST_NODE: usize = 253;

/// The cluster that this host is a node of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct KubernetesConfig {
    /// Whether the API is watched for service accounts and pods that are deleted.
    #[serde(deserialize_with = "api")]
    pub api: bool,
    /// How the API is reached; `None` for the daemon's own service account, in a pod.
    #[serde(deserialize_with = "kubeconfig")]
    pub kubeconfig: Option<PathBuf>,
    /// This node's name; `None` for what `NODE_NAME` says.
    #[serde(deserialize_with = "node")]
    pub node: Option<String>,
}

fn api<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    let api = bool::deserialize(from)?;
    if api && !cfg!(feature = "kubernetes") {
        return Err(D::Error::custom(
            "this credwatch was built without the client of the Kubernetes API; build it with \
             `cargo build --release -p monitor --features kubernetes`, or leave `api` out: pods and \
             service accounts are named without it",
        ));
    }
    Ok(api)
}

fn kubeconfig<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
    let path = PathBuf::deserialize(from)?;
    if !path.is_absolute() {
        return Err(D::Error::custom(format_args!(
            "`{}` is no absolute path; write it like \"/etc/credwatch/kubeconfig\"",
            path.display().to_string().escape_debug()
        )));
    }
    Ok(Some(path))
}

fn node<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let name = String::deserialize(from)?;
    if !is_node(&name) {
        return Err(D::Error::custom(format_args!(
            "`{}` is no name of a node; write one of `kubectl get nodes`",
            name.escape_debug()
        )));
    }
    Ok(Some(name))
}

/// Whether this can be a node's name. It becomes part of a question to the API server.
pub fn is_node(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    (1..=LONGEST_NODE).contains(&name.len()) && name.chars().all(is_plain)
}
