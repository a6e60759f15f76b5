//! `credwatch check`

use std::path::PathBuf;

use clap::{Args, ValueHint};

/// Checks the configuration and the registry's files, and changes nothing.
///
/// Says what would not work before the daemon has to: a key that the configuration does not know,
/// a registry file that cannot be read, a group that this host does not have. Tells all mistakes at
/// once, and ends with 78 when there are any.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  credwatch check
  credwatch check --config ./credwatch.toml && sudo systemctl restart credwatch")]
pub struct CheckArgs {
    /// The configuration; /etc/credwatch/credwatch.toml where that exists.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
}
