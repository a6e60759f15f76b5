//! `credwatch replay`

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::StreamFormat;

/// Runs a recording through the pipeline and prints its alerts.
///
/// Needs no root and no kernel hooks. The same recording gives the same alerts, byte for byte.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  credwatch replay incident.rec
  credwatch replay incident.rec --output json | jq -r '[.time, .id, .summary] | @tsv'")]
pub struct ReplayArgs {
    /// The recording.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// A configuration whose `detection` section to use. Without it the defaults hold, and not
    /// this host's, so that a recording gives the same alerts everywhere.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// How to print alerts.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub output: StreamFormat,
}
