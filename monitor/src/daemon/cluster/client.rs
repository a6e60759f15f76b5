//! The client of the cluster's API: how it is reached, and how much it may say.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use http_body_util::Limited;
use kube::client::{ClientBuilder, DynBody};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tower_http::map_response_body::MapResponseBodyLayer;

use crate::config::{KubernetesConfig, is_node};

/// Most bytes of one answer: a page of 500 objects, or what happens in one watch of five minutes.
const MOST_BYTES: usize = 32 << 20;
/// How long nothing may come on a connection. A watch ends before that.
const SILENCE: Duration = Duration::from_secs(330);
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// What a pod of a DaemonSet is told its node's name by.
const NODE_NAME: &str = "NODE_NAME";

/// A client that has said nothing yet, and the name of this node.
pub(super) struct Reach {
    pub(super) client: Client,
    pub(super) node: String,
}

impl Reach {
    /// Takes in what the configuration says.
    ///
    /// # Errors
    /// When it does not say how the API is reached, or which node this is.
    pub(super) async fn by(config: &KubernetesConfig) -> anyhow::Result<Self> {
        let node = node(config)?;
        let mut reach = match &config.kubeconfig {
            Some(path) => by_kubeconfig(path).await.with_context(|| {
                format!(
                    "the kubeconfig {} cannot be used (kubernetes.kubeconfig)",
                    path.display()
                )
            })?,
            None => Config::incluster().context(
                "kubernetes.api is on, and this daemon has no service account of a cluster: run it \
                 in a pod that mounts one, or name a file in kubernetes.kubeconfig",
            )?,
        };
        reach.connect_timeout = Some(CONNECT);
        reach.read_timeout = Some(SILENCE);
        // It would wait for as long as the server says. The watch has a back-off of its own.
        reach.default_retry = false;
        let bounded = |body: Box<DynBody>| Limited::new(body, MOST_BYTES);
        let client = ClientBuilder::try_from(reach)
            .context("no client of the Kubernetes API can be made of that")?
            .with_layer(&MapResponseBodyLayer::new(bounded))
            .build();
        Ok(Self { client, node })
    }
}

fn node(config: &KubernetesConfig) -> anyhow::Result<String> {
    if let Some(node) = &config.node {
        return Ok(node.clone());
    }
    let node = std::env::var(NODE_NAME).map_err(|_| {
        anyhow!(
            "kubernetes.api is on, and it is not said which node this is: set kubernetes.node, or \
             {NODE_NAME} from the pod's field spec.nodeName"
        )
    })?;
    if !is_node(&node) {
        bail!(
            "{NODE_NAME} is `{}`, which is no name of a node",
            node.escape_debug()
        );
    }
    Ok(node)
}

async fn by_kubeconfig(path: &Path) -> anyhow::Result<Config> {
    let kubeconfig = Kubeconfig::read_from(path)?;
    let infos = kubeconfig.auth_infos.iter();
    let mut infos = infos.filter_map(|named| named.auth_info.as_ref());
    if infos.any(|of| of.exec.is_some() || of.auth_provider.is_some()) {
        // It would run as root, for as long as the daemon does.
        bail!(
            "it has a program that makes credentials (`exec` or `auth-provider`), and Credwatch runs \
             none; give a token, a token file or a client certificate"
        );
    }
    Ok(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
}
