//! CW-202: a workload's credential was read by an outsider, who then called the API it is for.

use std::net::{IpAddr, SocketAddr};

use super::Detector;
use super::credential::touched;
use super::describe;
use super::fold::Finding;
use super::metadata;
use crate::attribution::{Actor, Recent};
use crate::model::{AlertCredential, CredentialKind, CredentialState, DetectionId, Timestamp};

/// Where a kind of credential is taken.
struct Api {
    /// Domains, with all names below them.
    domains: &'static [&'static str],
    /// Ports that say enough by themselves.
    ports: &'static [u16],
    /// Whether the cloud's metadata service goes with it.
    metadata: bool,
    /// Whether the first address of a service network is it, as that of Kubernetes is.
    cluster: bool,
}

const KUBERNETES: Api = Api {
    domains: &[
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "eks.amazonaws.com",
        "azmk8s.io",
        "k8s.ondigitalocean.com",
        "container.googleapis.com",
        // A service account's token is changed into a cloud's there.
        "amazonaws.com",
        "sts.googleapis.com",
        "login.microsoftonline.com",
    ],
    ports: &[6443],
    metadata: false,
    cluster: true,
};
const AWS: Api = Api {
    domains: &["amazonaws.com", "amazonaws.com.cn", "api.aws"],
    ports: &[],
    metadata: true,
    cluster: false,
};
const GOOGLE: Api = Api {
    domains: &["googleapis.com", "accounts.google.com"],
    ports: &[],
    metadata: true,
    cluster: false,
};
const AZURE: Api = Api {
    domains: &[
        "login.microsoftonline.com",
        "login.microsoft.com",
        "graph.microsoft.com",
        "azure.com",
        "azure.net",
        "core.windows.net",
    ],
    ports: &[],
    metadata: true,
    cluster: false,
};
const ORACLE: Api = Api {
    domains: &["oraclecloud.com"],
    ports: &[],
    metadata: true,
    cluster: false,
};
const VAULT: Api = Api {
    domains: &["hashicorp.cloud"],
    ports: &[8200],
    metadata: false,
    cluster: false,
};

/// The APIs that take a kind; none for what is no workload's token.
fn apis(kind: CredentialKind) -> &'static [Api] {
    use CredentialKind as Kind;
    match kind {
        Kind::KubernetesServiceAccountToken | Kind::Kubeconfig => &[KUBERNETES],
        Kind::AwsAccessKey => &[AWS],
        Kind::GcpServiceAccountKey | Kind::GcpUserCredential => &[GOOGLE],
        Kind::AzureCredential => &[AZURE],
        Kind::OciApiKey => &[ORACLE],
        Kind::VaultToken => &[VAULT],
        Kind::Jwt => &[KUBERNETES, AWS, GOOGLE, AZURE, VAULT],
        _ => &[],
    }
}

impl Api {
    fn is_at<'a>(&self, to: SocketAddr, names: impl IntoIterator<Item = &'a str>) -> bool {
        let address = to.ip().to_canonical();
        self.ports.contains(&to.port())
            || self.metadata && metadata::is_service(to)
            || self.cluster && to.port() == 443 && is_first_of_services(address)
            || names.into_iter().any(|name| self.has_name(name))
    }

    fn has_name(&self, name: &str) -> bool {
        self.domains.iter().any(|domain| {
            name.strip_suffix(domain)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
    }
}

/// Kubernetes gives its API the first address of the network of services: 10.96.0.1, 10.43.0.1,
/// 172.20.0.1.
fn is_first_of_services(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() && v4.octets()[2..] == [0, 1],
        IpAddr::V6(_) => false,
    }
}

impl Detector {
    pub(super) fn read_then_call(
        &self,
        actor: &Actor,
        recent: &Recent,
        credential: &AlertCredential,
        destination: SocketAddr,
        now: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        let is_live = matches!(
            credential.state,
            CredentialState::Active | CredentialState::Rotating
        );
        // Of what is retired CW-102 tells.
        if !recent.reading.by_outsider || !is_live {
            return;
        }
        let names = || self.state.host.names(destination.ip());
        let kind = credential.kind;
        if !apis(kind).iter().any(|api| api.is_at(destination, names())) {
            return;
        }
        let to = self.destination(destination);
        let summary = describe::used(actor, credential, recent.own, &to, now);
        let summary = format!("{summary}, where such a credential is taken; it is no user of it");
        let id = DetectionId::ReadThenCall;
        findings.push(touched(
            id,
            actor,
            credential.clone(),
            Some(to),
            summary,
            now,
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apis_are_told_by_name_port_and_address() {
        let at = |kind, to: &str, names: &[&'static str]| {
            let to = to.parse().unwrap();
            let mut all = apis(kind).iter();
            all.any(|api| api.is_at(to, names.iter().copied()))
        };
        use CredentialKind::{
            AwsAccessKey, GcpServiceAccountKey, KubernetesServiceAccountToken, SshPrivateKey,
            VaultToken,
        };
        for (kind, to, names, is) in [
            (
                KubernetesServiceAccountToken,
                "192.0.2.7:6443",
                &[][..],
                true,
            ),
            (KubernetesServiceAccountToken, "10.96.0.1:443", &[], true),
            (
                KubernetesServiceAccountToken,
                "[::ffff:10.43.0.1]:443",
                &[],
                true,
            ),
            (KubernetesServiceAccountToken, "10.96.0.2:443", &[], false),
            (KubernetesServiceAccountToken, "8.8.0.1:443", &[], false),
            (
                AwsAccessKey,
                "192.0.2.7:443",
                &["sts.eu-west-1.amazonaws.com"],
                true,
            ),
            (
                AwsAccessKey,
                "192.0.2.7:443",
                &["sts.amazonaws.com.evil.test"],
                false,
            ),
            (AwsAccessKey, "192.0.2.7:443", &["notamazonaws.com"], false),
            (AwsAccessKey, "169.254.169.254:80", &[], true),
            (AwsAccessKey, "169.254.169.254:53", &[], false),
            (
                GcpServiceAccountKey,
                "192.0.2.7:443",
                &["oauth2.googleapis.com"],
                true,
            ),
            (VaultToken, "192.0.2.7:8200", &[], true),
            (SshPrivateKey, "192.0.2.7:6443", &[], false),
        ] {
            assert_eq!(at(kind, to, names), is, "{kind:?} {to} {names:?}");
        }
    }
}
