//! `credwatch identities`

use clap::Args;

use super::args::StateDir;
use super::query::ask_or_read;
use super::table::{Rows, Text, optional, seconds, state};
use super::{CommandResult, Commands, StreamFormat, TableFormat, output};
use crate::control::devices::DeviceView;
use crate::control::protocol::IdentityView;
use crate::control::{Request, Response, views};
use crate::model::Traffic;

/// Lists the identities that are known: their states and when they were seen.
///
/// KIND is account, service, container, workload, ci job, device or person. ADDRESSES are those of a device of
/// the network, seen since the daemon started, with who else has sent from them; as JSON with where its traffic goes.
///
/// USES and OWNS count credentials. An identity that owns one and has not acted is listed too.
///
/// Where no daemon runs, shows what the database holds.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  sudo credwatch identities
  sudo credwatch identities --output json | jq -r '.[] | select(.state == \"retired\") | .selector'
  sudo credwatch identities --output json | jq '.[] | select(.kind == \"device\") | .device'")]
pub(super) struct IdentitiesArgs {
    #[command(flatten)]
    state: StateDir,
    /// How to print them.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    output: TableFormat,
}

pub(super) fn identities(args: &IdentitiesArgs, commands: &dyn Commands) -> CommandResult {
    let rows = ask_or_read(
        &args.state.state_dir,
        &Request::Identities,
        |response| match response {
            Response::Identities(rows) => Some(rows),
            _ => None,
        },
        |store| {
            Ok(views::identities(
                &commands.registry(&store.load()?),
                |_| None,
            ))
        },
    )?;
    output::answer(rows.as_slice(), args.output, table)
}

/// Prints identities of a replay, in the form of its alerts.
///
/// # Errors
/// Those of standard output.
pub fn print_identities(rows: &[IdentityView], format: StreamFormat) -> CommandResult {
    match format {
        StreamFormat::Text => output::print(&format!("\n{}", devices(rows))),
        StreamFormat::Json => rows.iter().try_for_each(output::json_line),
    }
}

/// What a log tells of devices.
fn devices(rows: &[IdentityView]) -> String {
    let mut table = Rows::new(&[
        "STATE",
        "DEVICE",
        "ADDRESSES",
        "FIRST SEEN",
        "LAST SEEN",
        "FLOWS",
        "SENT",
        "RECEIVED",
        "DESTINATIONS",
    ]);
    for row in rows {
        let device = row.device.as_ref();
        let destinations = |of: &DeviceView| {
            let others = of.forgotten_destinations;
            of.destinations.len() as u64 + others
        };
        table.add([
            state(row.state),
            (&row.selector).into(),
            optional(device.map(addresses)),
            optional(row.first_seen.map(seconds)),
            optional(row.last_seen.map(seconds)),
            optional(device.map(|of| of.flows)),
            optional(device.map(|of| bytes(of.sent))),
            optional(device.map(|of| bytes(of.received))),
            optional(device.map(destinations)),
        ]);
    }
    table.finish("No device is in this log.")
}

fn bytes(traffic: Traffic) -> String {
    format!("{} B in {} packets", traffic.bytes, traffic.packets)
}

/// `192.0.2.7 192.0.2.8 (also device:mac:02:00:5e:10:00:02)`
fn addresses(device: &DeviceView) -> String {
    let addresses = device.addresses.iter().map(|address| {
        let others = device.shares.iter().filter(|of| of.address == *address);
        let others: Vec<_> = others.map(|of| of.with.as_str()).collect();
        match others.as_slice() {
            [] => address.to_string(),
            others => format!("{address} (also {})", others.join(", ")),
        }
    });
    addresses.collect::<Vec<_>>().join(" ")
}

fn table(rows: &[IdentityView]) -> String {
    let mut table = Rows::new(&[
        "STATE",
        "KIND",
        "IDENTITY",
        "ADDRESSES",
        "ACCOUNT",
        "FIRST SEEN",
        "LAST SEEN",
        "USES",
        "OWNS",
        "REASON",
    ]);
    for row in rows {
        table.add([
            state(row.state),
            Text::from(row.kind.as_str()),
            (&row.selector).into(),
            optional(row.device.as_ref().map(addresses)),
            optional(row.account),
            optional(row.first_seen.map(seconds)),
            optional(row.last_seen.map(seconds)),
            row.credentials_used.into(),
            row.credentials_owned.into(),
            optional(row.reason.as_ref()),
        ]);
    }
    table.finish("No identities are known.")
}
