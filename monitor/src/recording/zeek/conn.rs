//! One connection: from what the columns say to a flow of a device.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;

use super::connection::{Connection, Counted};
use crate::model::{Direction, Flow, MacAddress, Protocol, Timestamp, Traffic};

/// The columns that are read, by Zeek's names for them
/// (<https://docs.zeek.org/en/master/logs/conn.html>).
pub(super) const FIELDS: &[&str] = &[
    "ts",
    "id.orig_h",
    "id.orig_p",
    "id.resp_h",
    "id.resp_p",
    "proto",
    "duration",
    "orig_bytes",
    "resp_bytes",
    "orig_pkts",
    "orig_ip_bytes",
    "resp_pkts",
    "resp_ip_bytes",
    "local_orig",
    "local_resp",
    "orig_l2_addr",
    "resp_l2_addr",
];
/// Those without which there is no connection.
pub(super) const REQUIRED: &[&str] = &[
    "ts",
    "id.orig_h",
    "id.orig_p",
    "id.resp_h",
    "id.resp_p",
    "proto",
];

/// What a line says.
pub(super) struct Row<'a> {
    /// The columns that are read.
    pub(super) fields: &'a [&'a str],
    /// What stands in each; `None` where the line leaves it unset.
    pub(super) values: Vec<Option<Cow<'a, str>>>,
}

impl Row<'_> {
    pub(super) fn text(&self, field: &str) -> Option<&str> {
        let place = self.fields.iter().position(|known| *known == field)?;
        self.values.get(place)?.as_deref()
    }

    fn value<T: FromStr>(&self, field: &str) -> Result<Option<T>, String> {
        let Some(text) = self.text(field) else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|_| wrong(field, text))
    }

    fn required<T: FromStr>(&self, field: &str) -> Result<T, String> {
        self.value(field)?
            .ok_or_else(|| format!("it says no `{field}`"))
    }

    fn is(&self, field: &str) -> Result<Option<bool>, String> {
        match self.text(field) {
            None => Ok(None),
            Some("T" | "true") => Ok(Some(true)),
            Some("F" | "false") => Ok(Some(false)),
            Some(other) => Err(wrong(field, other)),
        }
    }
}

fn wrong(field: &str, text: &str) -> String {
    let shown: String = text.escape_debug().take(60).collect();
    format!("its `{field}` is `{shown}`")
}

/// Where devices are.
#[derive(Debug, Clone, Default)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// These; where there are none, the addresses that are given out within networks only.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    fn has(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        if !self.0.is_empty() {
            return self.0.iter().any(|network| network.contains(&address));
        }
        match address {
            // 0.0.0.0 is who asks for an address.
            IpAddr::V4(of) => of.is_private() || of.is_link_local() || of.is_unspecified(),
            IpAddr::V6(of) => {
                of.is_unique_local() || of.is_unicast_link_local() || of.is_unspecified()
            }
        }
    }
}

/// The connection. `None` where neither end is a device's.
pub(super) fn connection(row: &Row<'_>, networks: &Networks) -> Result<Option<Connection>, String> {
    let time = row.text("ts").ok_or("it says no `ts`")?;
    let time = timestamp(time).ok_or_else(|| wrong("ts", time))?;
    let protocol = match row.text("proto").ok_or("it says no `proto`")? {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => Protocol::Other,
    };
    let end = |address: &str, port: &str| -> Result<SocketAddr, String> {
        let address: IpAddr = row.required(address)?;
        let port: u16 = row.required(port)?;
        // Zeek writes types and codes of ICMP where ports are.
        let port = if protocol == Protocol::Other { 0 } else { port };
        Ok(SocketAddr::new(address, port))
    };
    let orig = end("id.orig_h", "id.orig_p")?;
    let resp = end("id.resp_h", "id.resp_p")?;
    let began = Side {
        mac: row.value("orig_l2_addr")?,
        counted: counted(row, "orig_pkts", "orig_ip_bytes", "orig_bytes", 1)?,
        is_device: row
            .is("local_orig")?
            .unwrap_or_else(|| networks.has(orig.ip())),
        end: orig,
    };
    let answered = Side {
        mac: row.value("resp_l2_addr")?,
        counted: counted(row, "resp_pkts", "resp_ip_bytes", "resp_bytes", 0)?,
        is_device: row
            .is("local_resp")?
            .unwrap_or_else(|| networks.has(resp.ip())),
        end: resp,
    };
    let duration = duration(row)?;
    let (device, other, direction) = match (began.is_device, answered.is_device) {
        (true, _) => (began, answered, Direction::Outgoing),
        (false, true) => (answered, began, Direction::Incoming),
        (false, false) => return Ok(None),
    };
    let flow = Flow {
        mac: device.mac,
        source: device.end,
        destination: other.end,
        protocol,
        direction,
        sent: device.counted.traffic,
        received: other.counted.traffic,
        continues: false,
    };
    // Who asks for an address has none.
    if flow.selectors().is_empty() {
        return Ok(None);
    }
    let counted = (device.counted, other.counted);
    Ok(Some(Connection::of(time, flow, counted, duration)))
}

struct Side {
    mac: Option<MacAddress>,
    end: SocketAddr,
    counted: Counted,
    is_device: bool,
}

/// What one side sent. Where packets were not counted it has sent at least `least`, and bytes are those
/// of its payload.
fn counted(
    row: &Row<'_>,
    packets: &str,
    bytes: &str,
    payload: &str,
    least: u64,
) -> Result<Counted, String> {
    let payload: u64 = row.value(payload)?.unwrap_or(0);
    let least = least.max(u64::from(payload > 0));
    let (packets, bytes): (Option<u64>, Option<u64>) = (row.value(packets)?, row.value(bytes)?);
    Ok(Counted {
        traffic: Traffic {
            packets: packets.unwrap_or(least),
            bytes: bytes.unwrap_or(payload),
        },
        has_packets: packets.is_some(),
        has_headers: bytes.is_some(),
    })
}

/// How long it lasted, where the log knows.
fn duration(row: &Row<'_>) -> Result<Option<Duration>, String> {
    let Some(text) = row.text("duration") else {
        return Ok(None);
    };
    let seconds: f64 = text.parse().map_err(|_| wrong("duration", text))?;
    let duration = Duration::try_from_secs_f64(seconds);
    duration.map(Some).map_err(|_| wrong("duration", text))
}

/// Seconds of the epoch with a fraction, digit by digit because a floating-point number has too few;
/// or RFC 3339, as Zeek writes JSON where it is told to.
fn timestamp(text: &str) -> Option<Timestamp> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return i64::try_from(at.as_nanosecond()).ok().map(Timestamp);
    }
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if seconds.is_empty() || !is_number(seconds) || !is_number(fraction) {
        return None;
    }
    let nanoseconds: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    let whole = seconds.parse::<i64>().ok()?.checked_mul(1_000_000_000)?;
    whole.checked_add(nanoseconds.parse().ok()?).map(Timestamp)
}
