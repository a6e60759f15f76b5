//! What the detections take from configuration.

use std::time::Duration;

use serde::Deserialize;

use super::actor_pattern::{ActorPattern, ProgramOf};
use super::users::{DeclaredUsers, Environment, HarvestConfig, UsersConfig};
use super::{LifeConfig, OffboardConfig, duration};
use crate::model::{DetectionId, Selector};

/// How detections behave.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct DetectionConfig {
    /// A cause that has been quiet this long is summed and ended.
    #[serde(deserialize_with = "duration::deserialize")]
    pub fold_quiet: Duration,
    /// A cause that goes on is summed and ended after this long. At least `fold_quiet`.
    #[serde(deserialize_with = "duration::deserialize")]
    pub fold_max: Duration,
    /// A connection counts as a credential's when its reader opens it within this time.
    #[serde(deserialize_with = "duration::deserialize")]
    pub read_then_connect_window: Duration,
    /// For `CW-203`.
    pub metadata_service: MetadataServiceConfig,
    /// For `CW-205` and `CW-206`: who may look into other processes.
    pub process_memory: AllowedConfig,
    /// For `CW-207`: who may speak to agents and container runtimes.
    pub control_sockets: AllowedConfig,
    /// For `CW-208`: who may read and change the system's own secrets.
    pub system_secrets: AllowedConfig,
    /// `[life]`, which is a section of its own in the file: for `CW-104`, `CW-106` and `CW-108`.
    #[serde(skip)]
    pub life: LifeConfig,
    /// For `CW-201` and `CW-202`: how users of credentials are learned.
    pub users: UsersConfig,
    /// For `CW-204`.
    pub harvest: HarvestConfig,
    /// `[[users]]`: declared users of credentials.
    #[serde(skip)]
    pub declared_users: Vec<DeclaredUsers>,
    /// `[[environment]]`: for `CW-211`.
    #[serde(skip)]
    pub environments: Vec<Environment>,
    /// For `CW-209`: which identities are machines', and who may act as one.
    pub human_use: HumanUseConfig,
    /// For `CW-301` to `CW-307`.
    pub baseline: BaselineConfig,
    /// For `CW-214`.
    pub overprivileged: OverprivilegedConfig,
    /// When something is gone, and when it is safe to delete.
    #[serde(skip)]
    pub offboard: OffboardConfig,
    /// Detections that raise nothing.
    pub disabled: Vec<DetectionId>,
}

impl DetectionConfig {
    /// Whether a detection may raise alerts.
    pub fn enabled(&self, id: DetectionId) -> bool {
        !self.disabled.contains(&id)
    }

    /// Whether any list of who may do what names a program by its digest.
    pub fn has_digests(&self) -> bool {
        let lists = [
            &self.metadata_service.allowed,
            &self.process_memory.allowed,
            &self.control_sockets.allowed,
            &self.system_secrets.allowed,
            &self.users.allowed,
            &self.harvest.allowed,
            &self.human_use.allowed,
        ];
        let declared = self.declared_users.iter().map(|of| &of.allowed);
        let environments = self.environments.iter().map(|of| &of.identities);
        let mut all = lists.into_iter().chain(declared).chain(environments);
        all.any(|list| list.iter().any(ActorPattern::has_digest))
    }
}

impl Default for DetectionConfig {
    fn default() -> Self {
        Self {
            fold_quiet: Duration::from_secs(60),
            fold_max: Duration::from_secs(3600),
            read_then_connect_window: Duration::from_secs(60),
            metadata_service: MetadataServiceConfig::default(),
            process_memory: AllowedConfig::default(),
            control_sockets: AllowedConfig::default(),
            system_secrets: AllowedConfig::default(),
            life: LifeConfig::default(),
            users: UsersConfig::default(),
            harvest: HarvestConfig::default(),
            declared_users: Vec::new(),
            environments: Vec::new(),
            human_use: HumanUseConfig::default(),
            baseline: BaselineConfig::default(),
            overprivileged: OverprivilegedConfig::default(),
            offboard: OffboardConfig::default(),
            disabled: Vec::new(),
        }
    }
}

/// Who may do a thing, besides those that do it on every host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct AllowedConfig {
    /// Identities and executables.
    pub allowed: Vec<ActorPattern>,
}

/// What a person may do as a machine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct HumanUseConfig {
    /// Machine identities that people may act as, and executables that they may run as any.
    pub allowed: Vec<ActorPattern>,
    /// Accounts that are machines' although they look like a person's: a uid of the range for
    /// people, and a shell.
    pub machines: Vec<ActorPattern>,
}

impl HumanUseConfig {
    /// Whether an identity was declared a machine's.
    pub fn is_machine(&self, selector: &Selector) -> bool {
        let mut machines = self.machines.iter();
        machines.any(|pattern| pattern.matches_selector(selector))
    }
}

/// How much is told of what is not as usual.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(default)]
pub struct BaselineConfig {
    /// False alerts of all these together that this host may raise in a day, in the mean: above 0, and 1,000
    /// at the most.
    #[serde(deserialize_with = "budget")]
    pub budget: f64,
}

impl Default for BaselineConfig {
    fn default() -> Self {
        Self { budget: 1.0 }
    }
}

fn budget<'de, D: serde::Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    let budget = f64::deserialize(from)?;
    if budget > 0.0 && budget <= 1_000.0 {
        return Ok(budget);
    }
    let error = format!(
        "`budget` is {budget}: write how many false alerts a day you can bear, above 0 and 1,000 at the \
         most; to have none at all, put CW-301 to CW-307 into `disabled`"
    );
    Err(serde::de::Error::custom(error))
}

/// When a right that was not used is one too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct OverprivilegedConfig {
    /// For at least this long an identity must have been watched before a right of it is called
    /// unused.
    #[serde(deserialize_with = "duration::deserialize")]
    pub observation: Duration,
    /// How often it is looked for such rights, and how long a fresh installation has before it is
    /// looked for the first time.
    #[serde(deserialize_with = "duration::deserialize")]
    pub review: Duration,
}

impl Default for OverprivilegedConfig {
    fn default() -> Self {
        Self {
            observation: Duration::from_secs(30 * 86_400),
            review: Duration::from_secs(86_400),
        }
    }
}

/// Who may ask a cloud's metadata service for credentials.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct MetadataServiceConfig {
    /// Identities and executables that have a reason to.
    pub allowed: Vec<ActorPattern>,
}

impl MetadataServiceConfig {
    /// Whether any of the acting process's selectors, or its program, is allowed.
    pub fn allows<'a>(
        &self,
        selectors: impl IntoIterator<Item = &'a Selector> + Clone,
        program: ProgramOf<'_>,
    ) -> bool {
        let mut allowed = self.allowed.iter();
        allowed.any(|actor| actor.matches(selectors.clone(), program))
    }
}

/// The agents that clouds ship on their images: cloud-init, and those of AWS, Google, Azure and
/// Oracle, and Kubernetes' node agent.
const METADATA_AGENTS: &[&str] = &[
    "systemd:unit:cloud-init*.service",
    "systemd:unit:cloud-config.service",
    "systemd:unit:cloud-final.service",
    "systemd:unit:amazon-ssm-agent.service",
    "systemd:unit:snap.amazon-ssm-agent.*.service",
    "systemd:unit:amazon-cloudwatch-agent.service",
    "systemd:unit:policy-routes@*.service",
    "systemd:unit:refresh-policy-routes@*.service",
    "systemd:unit:google-guest-agent*.service",
    "systemd:unit:google-osconfig-agent.service",
    "systemd:unit:google-startup-scripts.service",
    "systemd:unit:google-shutdown-scripts.service",
    "systemd:unit:walinuxagent.service",
    "systemd:unit:waagent.service",
    "systemd:unit:oracle-cloud-agent*.service",
    "systemd:unit:nm-cloud-setup.service",
    "systemd:unit:kubelet.service",
    "/usr/bin/amazon-ssm-agent",
    "/usr/bin/ssm-agent-worker",
    "/usr/bin/google_*",
];

impl Default for MetadataServiceConfig {
    fn default() -> Self {
        Self {
            allowed: METADATA_AGENTS
                .iter()
                .filter_map(|text| ActorPattern::new(text).ok())
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_a_number_that_means_something() {
        let read = |text: &str| toml::from_str::<BaselineConfig>(text).map(|of| of.budget);
        assert_eq!(read(""), Ok(1.0));
        assert_eq!(read("budget = 0.1"), Ok(0.1));
        assert_eq!(read("budget = 3"), Ok(3.0));
        for wrong in ["0", "-1", "nan", "inf", "1001.0"] {
            let error = read(&format!("budget = {wrong}")).unwrap_err().to_string();
            assert!(error.contains("write how many false alerts"), "{error}");
        }
    }

    #[test]
    fn the_shipped_agents_are_all_valid_and_match() {
        let config = MetadataServiceConfig::default();
        assert_eq!(config.allowed.len(), METADATA_AGENTS.len());
        let unit = |name: &str| Selector::systemd_unit(name);
        let program = |exe| ProgramOf {
            exe: Some(exe),
            sha256: None,
        };
        assert!(config.allows([&unit("cloud-init-local.service")], ProgramOf::default()));
        assert!(config.allows([&unit("policy-routes@ens5.service")], ProgramOf::default()));
        assert!(config.allows([], program("/usr/bin/google_guest_agent")));
        assert!(!config.allows([&unit("nginx.service")], program("/usr/bin/curl")));
        // A unit must not pass by the name of an allowed program, nor a path by a deeper one.
        assert!(!config.allows([&unit("/usr/bin/google_x")], program("/usr/bin/google_x/y")));
        assert!(!config.allows([], ProgramOf::default()));
    }
}
