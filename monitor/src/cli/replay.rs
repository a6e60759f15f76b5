//! `credwatch replay`

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::{ReplayFormat, StreamFormat};

/// Runs a recording through the pipeline and prints its alerts.
///
/// Needs no root and no kernel hooks. The same recording gives the same alerts, byte for byte.
///
/// FILE may be a conn log of Zeek as well: with tabs, as JSON, or as a list with a header of names, each also
/// in gzip. A connection is told of when it began and, with what it carried, when it was over. The log's devices are printed after the alerts. An end of a connection is a device's where the log says that it is
/// local, or where it lies in a network of `gateway.networks` of --config; without those, where its address is private. Lines that are
/// no connections are told and counted, and the command then ends with 1.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  credwatch replay incident.rec
  credwatch replay incident.rec --output json | jq -r '[.time, .id, .summary] | @tsv'
  credwatch replay --format zeek-conn conn.log.gz --registry /etc/credwatch/registry.d
  credwatch replay conn.log --output json | jq 'select(.kind == \"device\") | .selector'")]
pub struct ReplayArgs {
    /// The recording.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// A configuration whose `detection` section to use. Without it the defaults hold, and not
    /// this host's, so that a recording gives the same alerts everywhere.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Which form FILE has. Without it, its first bytes tell.
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<ReplayFormat>,
    /// The same as --format zeek-conn.
    #[arg(long, hide = true, conflicts_with = "format")]
    pub zeek: bool,
    /// A directory of declared states, as `registry.directory` of the configuration: what it declares holds in
    /// a conn log from its `since` on, and without one from the beginning.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub registry: Option<PathBuf>,
    /// How to print alerts, and devices of a conn log: as JSON an object a line, in which an alert has an `id` and
    /// a device a `selector`.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub output: StreamFormat,
}

impl ReplayArgs {
    /// The form that was asked for, if one was.
    pub fn format(&self) -> Option<ReplayFormat> {
        self.format
            .or_else(|| self.zeek.then_some(ReplayFormat::ZeekConn))
    }
}
