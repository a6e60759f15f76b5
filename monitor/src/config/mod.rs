//! Configuration: typed, with defaults that serve without any file, and with errors that tell the
//! file, the line and what to write instead.

mod actor_pattern;
mod change;
mod detection;
mod duration;
mod error;
mod gateway;
mod kubernetes;
mod life;
mod offboard;
mod reader;
mod registry_files;
mod sections;
mod sinks;
mod users;

use std::path::Path;

pub use actor_pattern::{ActorPattern, ProgramOf};
pub use change::Succession;
pub use detection::{
    AllowedConfig, DetectionConfig, HumanUseConfig, MetadataServiceConfig, OverprivilegedConfig,
};
pub use error::{ConfigError, Problem};
pub use gateway::GatewayConfig;
pub use kubernetes::{KubernetesConfig, is_node};
pub use life::LifeConfig;
pub use offboard::OffboardConfig;
pub use registry_files::load_registry;
pub use sections::{ControlConfig, DiscoveryConfig, RegistryConfig, SensorConfig};
pub use sinks::{Colour, Facility, SinkConfig, SinkKind, SyslogTransport};
pub use users::{
    AddressPattern, CredentialPattern, DeclaredUsers, Environment, HarvestConfig, UsersConfig,
};

use reader::{Reader, Table, Value, key_span};

/// All of the daemon's configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[discovery]`: which directories are searched for credentials.
    pub discovery: DiscoveryConfig,
    /// `[registry]`: where declared states are read from.
    pub registry: RegistryConfig,
    /// `[control]`: who may use the control socket.
    pub control: ControlConfig,
    /// `[detection]`: how detections behave.
    pub detection: DetectionConfig,
    /// `[sensor]`: how the kernel half delivers.
    pub sensor: SensorConfig,
    /// `[gateway]`: the interfaces behind which devices are.
    pub gateway: GatewayConfig,
    /// `[kubernetes]`: whether the API of the cluster is watched.
    pub kubernetes: KubernetesConfig,
    /// `[[sinks]]`: where alerts go. Never empty.
    pub sinks: Vec<SinkConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            discovery: DiscoveryConfig::default(),
            registry: RegistryConfig::default(),
            control: ControlConfig::default(),
            detection: DetectionConfig::default(),
            sensor: SensorConfig::default(),
            gateway: GatewayConfig::default(),
            kubernetes: KubernetesConfig::default(),
            sinks: sinks::default_sinks(),
        }
    }
}

const SECTIONS: &[&str] = &[
    "discovery",
    "registry",
    "control",
    "detection",
    "life",
    "offboard",
    "sensor",
    "gateway",
    "kubernetes",
    "sinks",
    "users",
    "environment",
];

impl Config {
    /// Reads a file. What it leaves out has its default; `[[sinks]]`, where there are any, replace
    /// the default one.
    ///
    /// # Errors
    /// All mistakes of the file at once; or that it cannot be read.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(path, &reader::read(path)?)
    }

    /// Reads the text of a file; `path` is for the errors alone.
    ///
    /// # Errors
    /// All mistakes of the text at once.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let (mut reader, table) = Reader::parse(path, text);
        let config = Self::read(&mut reader, table);
        ConfigError::of(reader.finish()).map_or(Ok(config), Err)
    }

    fn read<'i>(reader: &mut Reader<'i>, table: Table<'i>) -> Self {
        let mut config = Self::default();
        let mut life = None;
        let mut offboard = OffboardConfig::default();
        for (key, value) in table {
            // A section that is not fit for use is left at its default: its mistakes are noted,
            // and this configuration will not be used.
            match key.get_ref().as_ref() {
                "discovery" => {
                    config.discovery = reader.section("[discovery]", value).unwrap_or_default();
                }
                "registry" => {
                    config.registry = reader.section("[registry]", value).unwrap_or_default();
                }
                "control" => {
                    config.control = reader.section("[control]", value).unwrap_or_default();
                }
                "life" => life = reader.section("[life]", value),
                "detection" => {
                    // The arrays of tables below may have come before.
                    let read = read_detection(reader, value);
                    config.detection = DetectionConfig {
                        declared_users: std::mem::take(&mut config.detection.declared_users),
                        environments: std::mem::take(&mut config.detection.environments),
                        ..read
                    };
                }
                "users" => config.detection.declared_users = users::read_users(reader, value),
                "environment" => {
                    config.detection.environments = users::read_environments(reader, value);
                }
                "offboard" => {
                    offboard = reader.section("[offboard]", value).unwrap_or_default();
                }
                "sensor" => {
                    config.sensor = reader.section("[sensor]", value).unwrap_or_default();
                }
                "gateway" => {
                    config.gateway = reader.section("[gateway]", value).unwrap_or_default();
                }
                "kubernetes" => {
                    config.kubernetes = reader.section("[kubernetes]", value).unwrap_or_default();
                }
                "sinks" => {
                    let at = value.span();
                    config.sinks = sinks::read_sinks(reader, value);
                    if config.sinks.is_empty() {
                        reader
                            .problem_unless_any(at, "`sinks` is empty; remove it for the default");
                    }
                }
                other => reader.unknown_key(key.span(), other, "the file", SECTIONS),
            }
        }
        config.detection.life = life.unwrap_or_default();
        config.detection.offboard = offboard;
        config
    }
}

fn read_detection<'i>(reader: &mut Reader<'i>, mut value: Value<'i>) -> DetectionConfig {
    let whole = value.clone();
    // The tables inside are read on their own, for errors as good as those of the others.
    let mut inner = |name: &str| match value.get_mut() {
        toml::de::DeValue::Table(table) => table.remove(name),
        _ => None,
    };
    let metadata_service = inner("metadata_service");
    let human_use = inner("human_use");
    let allowed = ["process_memory", "control_sockets", "system_secrets"]
        .map(|name| (format!("[detection.{name}]"), inner(name)));
    let learned = inner("users");
    let harvest = inner("harvest");
    let overprivileged = inner("overprivileged");
    let baseline = inner("baseline");
    let learned = learned.and_then(|inner| reader.section("[detection.users]", inner));
    let harvest = harvest.and_then(|inner| reader.section("[detection.harvest]", inner));
    let baseline = baseline.and_then(|inner| reader.section("[detection.baseline]", inner));
    let overprivileged =
        overprivileged.and_then(|inner| reader.section("[detection.overprivileged]", inner));
    let metadata_service =
        metadata_service.and_then(|inner| reader.section("[detection.metadata_service]", inner));
    let human_use = human_use.and_then(|inner| reader.section("[detection.human_use]", inner));
    let [process_memory, control_sockets, system_secrets] = allowed.map(|(place, inner)| {
        let inner = inner.and_then(|inner| reader.section(&place, inner));
        inner.unwrap_or_default()
    });
    let Some(mut detection) = reader.section::<DetectionConfig>("[detection]", value) else {
        return DetectionConfig::default();
    };
    if let Some(metadata_service) = metadata_service {
        detection.metadata_service = metadata_service;
    }
    detection.users = learned.unwrap_or_default();
    detection.harvest = harvest.unwrap_or_default();
    detection.overprivileged = overprivileged.unwrap_or_default();
    detection.baseline = baseline.unwrap_or_default();
    detection.human_use = human_use.unwrap_or_default();
    detection.process_memory = process_memory;
    detection.control_sockets = control_sockets;
    detection.system_secrets = system_secrets;
    if detection.fold_quiet > detection.fold_max {
        let written = whole.get_ref().get("fold_quiet").is_some();
        let key = if written { "fold_quiet" } else { "fold_max" };
        reader.problem(
            key_span(&whole, key),
            format!(
                "`fold_quiet` ({}) must not be longer than `fold_max` ({})",
                shown(detection.fold_quiet),
                shown(detection.fold_max)
            ),
        );
    }
    detection
}

/// A duration as it is written in configuration.
fn shown(duration: std::time::Duration) -> String {
    jiff::SignedDuration::try_from(duration)
        .map_or_else(|_| format!("{duration:?}"), |signed| format!("{signed:#}"))
}

#[cfg(test)]
mod tests;
