//! What is simulated, as the parameters file says it: services, roles, attacks and benign changes.

mod attacks;
mod check;

use std::collections::BTreeSet;
use std::path::Path;

use jiff::civil::Date;
use monitor::model::{CredentialKind, Protocol};
use serde::Deserialize;

pub use attacks::*;

/// The parameters that are used where none are named.
pub const SHIPPED: &str = include_str!("../../parameters.toml");

/// All parameters. `parameters.toml` says what each is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Parameters {
    /// The first day, in UTC.
    pub start: Date,
    /// How many days are simulated.
    pub days: u32,
    /// For how many of these no attack begins, but those that poison the learning.
    pub warm_up_days: u32,
    /// Hosts of each seed.
    pub hosts: u32,
    /// Kinds of hosts, which are dealt in this order.
    pub kinds: Vec<String>,
    /// Time zones (POSIX.1-2017, 8.3), one of which each host is in.
    pub zones: Vec<String>,
    /// How much goes on in each hour of a day, by the local time; only the relation counts.
    pub day_shape: Vec<f64>,
    /// A host that makes more records in a day of UTC is a mistake of the parameters.
    pub most_records_a_day: u64,
    /// Seeds that one may look at, and those that are kept for the end.
    pub seeds: Seeds,
    /// Credentials that lie on every host and that nobody reads.
    pub idle: Vec<CredentialFile>,
    /// Where programs connect to.
    #[serde(rename = "service")]
    pub services: Vec<Service>,
    /// Who acts.
    #[serde(rename = "role")]
    pub roles: Vec<Role>,
    /// What should be found.
    pub attacks: Attacks,
    /// What should not be.
    pub benign: Benign,
}

/// Lists of seeds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seeds {
    /// For building and tuning detectors.
    pub development: Vec<u64>,
    /// For the last table, once.
    #[serde(rename = "final")]
    pub last: Vec<u64>,
}

/// Two numbers between which one is drawn.
pub type Range = [f64; 2];

/// A log-normal distribution.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// Half of all values are above it.
    pub median: f64,
    /// The standard deviation of the logarithm.
    #[serde(default)]
    pub sigma: f64,
}

/// A file that holds a credential.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialFile {
    /// What it is.
    pub kind: CredentialKind,
    /// Where it lies; `{n}` is the number of the instance.
    pub path: String,
}

/// Whose network a service is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// The operator's own: addresses of 10.0.0.0/8.
    Internal,
    /// Others': addresses of 198.18.0.0/15 (RFC 2544), which nobody has.
    Internet,
}

/// Where programs connect to.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Service {
    /// What roles call it.
    pub name: String,
    /// Its name in the DNS, where it has one; `{n}` is the number of a member.
    pub dns: Option<String>,
    /// The port.
    pub port: u16,
    /// The transport.
    #[serde(default = "tcp")]
    pub protocol: Protocol,
    /// Whose network it is in.
    pub network: Network,
    /// How many addresses it has at a time.
    #[serde(default = "one")]
    pub addresses: u64,
    /// How many of them an answer of the DNS holds.
    #[serde(default = "one")]
    pub shown: u64,
    /// For how long an answer of the DNS holds, in seconds.
    #[serde(default = "hour")]
    pub ttl: f64,
    /// After how many hours each address is given up for another; none: never.
    pub renewed: Option<f64>,
    /// It is many services of one kind, the one with number r or more being used with a probability
    /// of r to the power of minus this.
    pub crowd: Option<f64>,
    /// Its address may change at once, as that of a primary database does.
    #[serde(default)]
    pub fails_over: bool,
    /// It may be given more addresses.
    #[serde(default)]
    pub scales: bool,
    /// Much can be put there by anybody: who steals data may use it too.
    #[serde(default)]
    pub store: bool,
}

/// Who acts, and how.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Role {
    /// What it is called in files and messages.
    pub name: String,
    /// Kinds of hosts that have it; none: all.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// How many of it a host has.
    #[serde(default = "one_instance")]
    pub instances: [u32; 2],
    /// Who it is.
    pub identity: Identity,
    /// The program that runs all the time; none where each run starts one of its own.
    pub program: Option<String>,
    /// Files that it reads.
    #[serde(default)]
    pub credentials: Vec<CredentialFile>,
    /// How often, in a day, it falls silent.
    #[serde(default)]
    pub silences: f64,
    /// For how many hours.
    #[serde(default = "silence")]
    pub silence_hours: Range,
    /// What it does.
    #[serde(rename = "activity")]
    pub activities: Vec<Activity>,
}

/// Who a role is, to the kernel and to the host.
#[derive(Debug, Clone, Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case"
)]
pub enum Identity {
    /// A service of systemd.
    Unit {
        /// Its name, with `.service`.
        name: String,
        /// The account that it runs as.
        user: String,
    },
    /// An account whose jobs cron starts.
    Account {
        /// Its name.
        user: String,
    },
    /// A container.
    Container {
        /// Its image.
        image: String,
        /// Its name.
        name: String,
    },
    /// A pod of Kubernetes.
    Pod {
        /// Its namespace.
        namespace: String,
        /// Its service account.
        account: String,
        /// Its image.
        image: String,
    },
    /// Jobs of a CI system, below its runner's unit.
    Job {
        /// The system: `github`.
        system: String,
        /// The job: `acme/shop`.
        job: String,
        /// The runner's unit.
        unit: String,
        /// The account that it runs as.
        user: String,
    },
    /// A device of the network behind the host.
    Device {
        /// The first three bytes of its hardware address: `02:00:5e`.
        vendor: String,
    },
}

/// One thing that a role does again and again.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Activity {
    /// When.
    pub when: When,
    /// The program that each run starts; none: the role's own does it.
    pub program: Option<String>,
    /// With which probability a run reads the role's credentials first.
    #[serde(default)]
    pub reads: f64,
    /// Connections, in this order.
    pub steps: Vec<Step>,
}

/// When something is done.
#[derive(Debug, Clone, Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case"
)]
pub enum When {
    /// At random times, more by day than by night.
    Random {
        /// How often on an ordinary weekday.
        a_day: f64,
        /// What of the peak is left at night, from 0 to 1.
        #[serde(default = "unit")]
        night: f64,
        /// What of a weekday is left at weekends, from 0 to 1.
        #[serde(default = "unit")]
        weekend: f64,
        /// How many come together, on average.
        #[serde(default = "unit")]
        burst: f64,
        /// The standard deviation of the logarithm of an hour's rate.
        #[serde(default)]
        varies: f64,
    },
    /// Regularly.
    Every {
        /// Seconds from one to the next.
        seconds: f64,
        /// How far each is off, as a part of that.
        #[serde(default)]
        jitter: f64,
    },
    /// By the clock on the wall.
    At {
        /// The day of the month; none: any.
        day: Option<i8>,
        /// The day of the week, Monday being 1; none: any.
        weekday: Option<i8>,
        /// The hours; none: every.
        #[serde(default)]
        hours: Vec<i8>,
        /// The minute.
        minute: i8,
        /// How many seconds later at most.
        #[serde(default)]
        delay: f64,
    },
}

/// Connections to one service.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Step {
    /// The service's name.
    pub to: String,
    /// How likely it is done at all.
    #[serde(default = "unit")]
    pub chance: f64,
    /// How many connections.
    #[serde(default = "one_instance")]
    pub times: [u32; 2],
    /// Bytes sent by each.
    pub sent: Spread,
    /// Bytes received by each.
    pub received: Spread,
    /// How long each is open, in seconds.
    pub seconds: Spread,
    /// How likely a connection fails, and is tried again.
    #[serde(default)]
    pub failures: f64,
}

/// Why parameters cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ParametersError {
    /// The file.
    #[error("cannot read {0}: {1}")]
    Io(String, std::io::Error),
    /// No TOML, or keys and values that are none.
    #[error("{0}: {1}")]
    Syntax(String, Box<toml::de::Error>),
    /// What holds between keys.
    #[error("{0}: {n} {mistakes}\n  {list}", n = .1.len(), list = .1.join("\n  "),
        mistakes = if .1.len() == 1 { "mistake" } else { "mistakes" })]
    Mistakes(String, Vec<String>),
}

impl Parameters {
    /// Those of a file, or the shipped ones.
    ///
    /// # Errors
    /// When it cannot be read, or with every mistake that is in it.
    pub fn load(file: Option<&Path>) -> Result<Self, ParametersError> {
        let Some(file) = file else {
            return Self::parse(SHIPPED, "the shipped parameters");
        };
        let name = file.display().to_string();
        match std::fs::read_to_string(file) {
            Ok(text) => Self::parse(&text, &name),
            Err(error) => Err(ParametersError::Io(name, error)),
        }
    }

    /// Those of a text; `name` is said in errors.
    ///
    /// # Errors
    /// With every mistake that is in it.
    pub fn parse(text: &str, name: &str) -> Result<Self, ParametersError> {
        let parsed: Self = toml::from_str(text)
            .map_err(|error| ParametersError::Syntax(name.to_owned(), Box::new(error)))?;
        parsed.checked(name)
    }

    /// These, when nothing is wrong with them.
    ///
    /// # Errors
    /// With every mistake that is in them.
    pub fn checked(self, name: &str) -> Result<Self, ParametersError> {
        let mistakes = check::mistakes(&self);
        if mistakes.is_empty() {
            Ok(self)
        } else {
            Err(ParametersError::Mistakes(name.to_owned(), mistakes))
        }
    }

    /// A service by its name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|of| of.name == name)
    }

    /// The roles that a kind of host has.
    pub fn roles_of<'a>(&'a self, kind: &str) -> impl Iterator<Item = &'a Role> {
        let has =
            move |role: &&Role| role.hosts.is_empty() || role.hosts.iter().any(|of| of == kind);
        self.roles.iter().filter(has)
    }

    /// Names of sets of seeds, and what is in them.
    pub fn set(&self, name: &str) -> Option<&[u64]> {
        match name {
            "development" => Some(&self.seeds.development),
            "final" => Some(&self.seeds.last),
            _ => None,
        }
    }

    /// Seeds that are in more than one list, which would be looked at before the end.
    pub fn shared_seeds(&self) -> BTreeSet<u64> {
        let last: BTreeSet<_> = self.seeds.last.iter().collect();
        let shared = self.seeds.development.iter().filter(|of| last.contains(of));
        shared.copied().collect()
    }
}

fn tcp() -> Protocol {
    Protocol::Tcp
}

fn one() -> u64 {
    1
}

fn hour() -> f64 {
    3600.0
}

fn unit() -> f64 {
    1.0
}

fn one_instance() -> [u32; 2] {
    [1, 1]
}

fn silence() -> Range {
    [4.0, 36.0]
}
