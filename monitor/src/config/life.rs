//! `[life]`: how long things last.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::duration;
use crate::model::CredentialKind;

/// How long credentials live, rest and are replaced.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct LifeConfig {
    /// How long an old version and its successor may both be used.
    #[serde(deserialize_with = "duration::deserialize")]
    pub rotation_window: Duration,
    /// Whether the old version is retired after that.
    pub retire_rotated: bool,
    /// A credential or an identity that was not used for so long is dormant, and for three times
    /// its longest rest so far where that is longer.
    #[serde(deserialize_with = "duration::deserialize")]
    pub dormancy: Duration,
    /// How often it is looked for credentials that live too long, and how long a fresh
    /// installation has before it is looked for the first time.
    #[serde(deserialize_with = "duration::deserialize")]
    pub review: Duration,
    /// How long a credential of a kind may live. Kinds that are left out may live for ever.
    #[serde(deserialize_with = "longest")]
    pub longest: BTreeMap<CredentialKind, Duration>,
}

const DAY: Duration = Duration::from_secs(86_400);

/// What a service accepts until somebody takes it back: a year. What an authority signs: what
/// browsers accepted at most when that was last in years, 825 days. Keys have no entry: those of
/// SSH hosts and of users live as long as the host and the person, no byte of them tells when they
/// were made, and with certificates it is the certificate that ends.
const LONGEST: &[(CredentialKind, u32)] = &[
    (CredentialKind::X509Certificate, 825),
    (CredentialKind::SshCertificate, 825),
    (CredentialKind::AwsAccessKey, 365),
    (CredentialKind::GcpServiceAccountKey, 365),
    (CredentialKind::GcpUserCredential, 365),
    (CredentialKind::AzureCredential, 365),
    (CredentialKind::OciApiKey, 365),
    (CredentialKind::Kubeconfig, 365),
    (CredentialKind::KubernetesServiceAccountToken, 366),
    (CredentialKind::ContainerRegistryAuth, 365),
    (CredentialKind::GitCredential, 365),
    (CredentialKind::Netrc, 365),
    (CredentialKind::NpmToken, 365),
    (CredentialKind::PypiToken, 365),
    (CredentialKind::CargoToken, 365),
    (CredentialKind::VaultToken, 365),
    (CredentialKind::Jwt, 365),
];

impl Default for LifeConfig {
    fn default() -> Self {
        Self {
            rotation_window: DAY,
            retire_rotated: true,
            dormancy: DAY * 30,
            review: DAY,
            longest: defaults(),
        }
    }
}

fn defaults() -> BTreeMap<CredentialKind, Duration> {
    LONGEST
        .iter()
        .map(|(kind, days)| (*kind, DAY * *days))
        .collect()
}

/// Lays what is written over the defaults; `"never"` takes a kind out.
fn longest<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<CredentialKind, Duration>, D::Error> {
    let written = BTreeMap::<CredentialKind, String>::deserialize(from)?;
    let mut longest = defaults();
    for (kind, text) in written {
        if text == "never" {
            longest.remove(&kind);
            continue;
        }
        let limit = serde::de::value::StrDeserializer::<D::Error>::new(&text);
        let limit = duration::deserialize(limit).map_err(|error| {
            D::Error::custom(format_args!("{error}, or \"never\" to leave the kind out"))
        })?;
        longest.insert(kind, limit);
    }
    Ok(longest)
}
