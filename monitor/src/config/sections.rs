//! The plain sections: where to look, where the registry lies, who may ask, how the sensor works.

use std::path::PathBuf;
use std::time::Duration;

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer};

use super::duration;
use crate::model::Backend;

/// Which directories are searched for credentials.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct DiscoveryConfig {
    /// Directories that are searched with all below them. One that is absent is no error.
    #[serde(deserialize_with = "absolute_paths")]
    pub roots: Vec<PathBuf>,
    /// Directories below the roots that are left out.
    #[serde(deserialize_with = "absolute_paths")]
    pub exclude: Vec<PathBuf>,
    /// How many files one search looks at. What lies beyond is not searched, and is reported.
    #[serde(deserialize_with = "positive")]
    pub max_files: u64,
    /// Whether the environment of processes is read, for credentials of known shape. It takes
    /// `CAP_SYS_PTRACE`, which the daemon gives up otherwise.
    pub environments: bool,
    /// Directories of logs: what is added to a file there is looked through for credentials.
    #[serde(deserialize_with = "absolute_paths")]
    pub logs: Vec<PathBuf>,
}

impl Default for DiscoveryConfig {
    fn default() -> Self {
        let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect();
        Self {
            roots: paths(&[
                "/etc",
                "/home",
                "/opt",
                "/root",
                "/run/credentials",
                "/run/secrets",
                "/srv",
                "/usr/local/etc",
                "/var/lib",
                "/var/run/secrets",
            ]),
            exclude: paths(&[
                "/var/lib/apt",
                "/var/lib/containerd",
                "/var/lib/credwatch",
                "/var/lib/docker/overlay2",
                "/var/lib/dpkg",
            ]),
            max_files: 1_000_000,
            environments: true,
            logs: paths(&["/var/log"]),
        }
    }
}

/// Where declared states are read from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RegistryConfig {
    /// The directory of `*.toml` files for [`super::load_registry`].
    #[serde(deserialize_with = "absolute_path")]
    pub directory: PathBuf,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self {
            directory: PathBuf::from("/etc/credwatch/registry.d"),
        }
    }
}

/// Who may use the control socket.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct ControlConfig {
    /// A group whose members may; `None` leaves it to root.
    #[serde(deserialize_with = "group_name")]
    pub group: Option<String>,
}

/// How the kernel half delivers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SensorConfig {
    /// Bytes of the ring buffer between kernel and daemon: a power of two from 64 KiB to 1 GiB.
    #[serde(deserialize_with = "ring_bytes")]
    pub ring_bytes: u32,
    /// How long events may lie in the ring before the daemon is woken. Events that may raise an
    /// alert wake it at once.
    #[serde(deserialize_with = "duration::deserialize")]
    pub wakeup_interval: Duration,
    /// Whether fanotify permission marks are used, which stop a reader until its identity is
    /// taken down.
    pub permission_events: bool,
    /// The kind of backend that is tried first wherever a hook has it; `None` for the best first.
    #[serde(deserialize_with = "backend")]
    pub backend: Option<Backend>,
    /// Whether a hook on every system call may be used where nothing else sees an act. It slows
    /// each system call of every process by about half of what the cheapest costs.
    pub system_call_hook: bool,
    /// Most events of one thread in a second, of those that concern no credential. What is beyond
    /// is counted and told in sum.
    #[serde(deserialize_with = "positive_u32")]
    pub rate_cap: u32,
    /// How often every hook is made to fire by a harmless act.
    #[serde(deserialize_with = "duration::deserialize")]
    pub heartbeat: Duration,
    /// Whether what resolvers answer is read, which gives addresses their names.
    pub dns: bool,
    /// Whether the environment of jobs below CI runners is read for the project's name. It takes
    /// `CAP_SYS_PTRACE`, which the daemon drops otherwise.
    pub job_environment: bool,
}

impl Default for SensorConfig {
    fn default() -> Self {
        Self {
            ring_bytes: 4 << 20,
            wakeup_interval: Duration::from_millis(50),
            permission_events: true,
            backend: None,
            system_call_hook: false,
            rate_cap: 4_096,
            heartbeat: Duration::from_secs(4),
            dns: true,
            job_environment: false,
        }
    }
}

fn ring_bytes<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    const RANGE: std::ops::RangeInclusive<u32> = 1 << 16..=1 << 30;
    let bytes = u32::deserialize(from)?;
    if RANGE.contains(&bytes) && bytes.is_power_of_two() {
        return Ok(bytes);
    }
    let near = bytes
        .clamp(*RANGE.start(), *RANGE.end())
        .next_power_of_two();
    Err(D::Error::custom(format_args!(
        "{bytes} is no power of two from 65536 to 1073741824; the next that fits is {near}"
    )))
}

fn positive<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    match u64::deserialize(from)? {
        0 => Err(D::Error::invalid_value(
            Unexpected::Unsigned(0),
            &"a number from 1",
        )),
        number => Ok(number),
    }
}

fn backend<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Backend>, D::Error> {
    let name = String::deserialize(from)?;
    if name == "auto" {
        return Ok(None);
    }
    let found = Backend::ALL.iter().find(|known| known.name() == name);
    found.copied().map(Some).ok_or_else(|| {
        let names: Vec<_> = Backend::ALL.iter().map(|known| known.name()).collect();
        D::Error::custom(format_args!(
            "`{}` is no kind of backend; write \"auto\" or one of {}",
            name.escape_debug(),
            names.join(", ")
        ))
    })
}

fn positive_u32<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let number = positive(from)?;
    u32::try_from(number)
        .map_err(|_| D::Error::custom(format_args!("{number} is more than 4294967295")))
}

fn group_name<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let name = String::deserialize(from)?;
    // What shadow's groupadd takes by default, and what cannot be mistaken for a number.
    let valid = name.len() <= 32
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-.$".contains(c));
    if valid {
        Ok(Some(name))
    } else {
        Err(D::Error::custom(format_args!(
            "`{}` is no name of a group; write one of `getent group`, such as \"credwatch\"",
            name.escape_debug()
        )))
    }
}

/// Why a path cannot be used in configuration; `None` when it can.
pub(super) fn path_fault(path: &std::path::Path) -> Option<String> {
    use std::path::Component;
    let shown = path.display().to_string();
    let shown = shown.escape_debug();
    if !path.is_absolute() {
        Some(format!("`{shown}` must be an absolute path, from /"))
    } else if path.components().any(|c| c == Component::ParentDir) {
        Some(format!("`{shown}` must be written without `..`"))
    } else if shown.to_string().contains("\\0") {
        Some(format!("`{shown}` holds a NUL, which no path can"))
    } else {
        None
    }
}

/// Reads an absolute path.
pub(super) fn absolute_path<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
    let path = PathBuf::deserialize(from)?;
    match path_fault(&path) {
        Some(fault) => Err(D::Error::custom(fault)),
        None => Ok(path),
    }
}

/// Reads an absolute path for a key that may be absent.
pub(super) fn optional_absolute_path<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<PathBuf>, D::Error> {
    absolute_path(from).map(Some)
}

fn absolute_paths<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<PathBuf>, D::Error> {
    #[derive(Deserialize)]
    struct Absolute(#[serde(deserialize_with = "absolute_path")] PathBuf);
    Ok(Vec::<Absolute>::deserialize(from)?
        .into_iter()
        .map(|path| path.0)
        .collect())
}
