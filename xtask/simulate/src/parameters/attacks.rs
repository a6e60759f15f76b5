//! How attacks and ordinary changes are drawn, and how strong attacks are.

use serde::Deserialize;

use super::Range;

/// How attacks are drawn, and how strong they are.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Attacks {
    /// How many each host has.
    pub per_host: u32,
    /// Ports of new destinations.
    pub ports: Vec<u16>,
    /// How likely a new destination has a name in the DNS.
    pub named: f64,
    /// How likely it is the identity's own program that acts, and no other.
    pub own_program: f64,
    /// A stolen identity, used by another program.
    pub identity_swap: Swap,
    /// Much goes to a new destination at once.
    pub exfiltration: Volume,
    /// A little goes out each hour.
    pub slow_leak: Leak,
    /// A new destination is asked again and again.
    pub beacon: Beacon,
    /// Many credentials are read.
    pub harvest: Harvest,
    /// Much goes to a destination that is known.
    pub living_off_allowed: Known,
    /// Begins in the learning time, and grows.
    pub poisoned_warm_up: Poison,
    /// A known service is asked much more often.
    pub rate: Rate,
    /// The identity works at an hour when it does not.
    pub unusual_hour: Hour,
}

/// [`Attacks::identity_swap`]
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Swap {
    /// How long it goes on.
    pub hours: Range,
    /// How many connections.
    pub connections: Range,
    /// Bytes sent by each.
    pub bytes: Range,
    /// How likely its destinations are new ones and not those of another role.
    pub new_destination: f64,
}

/// [`Attacks::exfiltration`]
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Volume {
    /// How long it goes on.
    pub hours: Range,
    /// Bytes in all.
    pub bytes: Range,
    /// In how many connections.
    pub connections: Range,
}

/// [`Attacks::slow_leak`]
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Leak {
    /// How long it goes on.
    pub days: Range,
    /// Bytes of each hour.
    pub bytes_an_hour: Range,
    /// How likely it goes to a new destination and not to a known one.
    pub new_destination: f64,
}

/// [`Attacks::beacon`]
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Beacon {
    /// How long it goes on.
    pub hours: Range,
    /// Seconds from one to the next.
    pub period: Range,
    /// How far each is off, as a part of that.
    pub jitter: Range,
    /// Bytes sent by each.
    pub bytes: Range,
}

/// [`Attacks::harvest`]
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Harvest {
    /// How many files are read.
    pub files: Range,
    /// Minutes for the reading.
    pub minutes: Range,
    /// Bytes sent then.
    pub bytes: Range,
}

/// [`Attacks::living_off_allowed`]
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Known {
    /// How long it goes on.
    pub hours: Range,
    /// Bytes in all, as a multiple of what the identity sends there on an average day.
    pub multiple: Range,
    /// At least as many bytes as this.
    pub least: f64,
    /// In how many connections.
    pub connections: Range,
    /// How likely it is done at night, in the host's time zone.
    pub at_night: f64,
}

/// [`Attacks::poisoned_warm_up`]
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Poison {
    /// When in the learning time it begins, as a part of that.
    pub begins: Range,
    /// How many connections a day.
    pub connections: Range,
    /// Bytes of the first connection.
    pub bytes: Range,
    /// By what these grow from day to day.
    pub growth: Range,
}

/// [`Attacks::rate`]
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rate {
    /// How long it goes on.
    pub hours: Range,
    /// How many times the usual rate.
    pub multiple: Range,
    /// More connections than this are not made.
    pub most: f64,
}

/// [`Attacks::unusual_hour`]
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Hour {
    /// When it begins, in hours of the host's day.
    pub from: Range,
    /// How long it goes on.
    pub hours: Range,
    /// How many connections.
    pub connections: Range,
    /// How likely it is done at a terminal.
    pub terminal: f64,
}

/// How ordinary changes are drawn.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Benign {
    /// How many each host has, besides changes of the clock and first runs of monthly jobs.
    pub per_host: u32,
    /// For how many hours what follows from a change is called its consequence.
    pub settle_hours: f64,
    /// How many addresses a service gets that grows.
    pub scale_out: [u32; 2],
}
