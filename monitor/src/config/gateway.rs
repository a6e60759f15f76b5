//! `[gateway]`: the interfaces behind which devices are.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::duration;

/// Longest name of an interface, in bytes: `IFNAMSIZ` without its end.
const LONGEST_NAME: usize = 15;
/// Most interfaces.
const INTERFACES: usize = 64;
/// How often flows may be told.
const INTERVAL: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(3_600);

/// Devices of the network for which this host is the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct GatewayConfig {
    /// Interfaces behind which devices are. None: no traffic is looked at.
    #[serde(deserialize_with = "interfaces")]
    pub interfaces: Vec<String>,
    /// Addresses of devices; empty for all that come by on these interfaces.
    #[serde(deserialize_with = "networks")]
    pub networks: Vec<IpNet>,
    /// How often a flow that goes on is told again.
    #[serde(deserialize_with = "interval")]
    pub interval: Duration,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            interfaces: Vec::new(),
            networks: Vec::new(),
            interval: Duration::from_secs(60),
        }
    }
}

fn interfaces<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let mut names = Vec::<String>::deserialize(from)?;
    for name in &names {
        // What the kernel takes (dev_valid_name).
        let is_name = (1..=LONGEST_NAME).contains(&name.len())
            && ![".", ".."].contains(&name.as_str())
            && !name
                .contains(|c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control());
        if !is_name {
            return Err(D::Error::custom(format_args!(
                "`{}` is no name of an interface; write one of `ip link`, such as \"br-iot\"",
                name.escape_debug()
            )));
        }
    }
    names.sort();
    names.dedup();
    if names.len() > INTERFACES {
        return Err(D::Error::custom(format_args!(
            "{} interfaces are more than {INTERFACES}",
            names.len()
        )));
    }
    Ok(names)
}

fn networks<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    let networks = texts.iter().map(|text| {
        let network = text.parse::<IpNet>().map(|of| of.trunc());
        let network = network.or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map_err(|_| {
            D::Error::custom(format_args!(
                "`{}` is neither a network nor an address; write it like \"192.168.50.0/24\"",
                text.escape_debug()
            ))
        })
    });
    networks.collect()
}

fn interval<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let interval = duration::deserialize(from)?;
    if INTERVAL.contains(&interval) {
        Ok(interval)
    } else {
        Err(D::Error::custom("write a duration from \"1s\" to \"1h\""))
    }
}
