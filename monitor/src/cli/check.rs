//! `credwatch check`

use std::path::PathBuf;

use clap::{Args, ValueHint};

/// Checks the configuration and this host, and changes nothing.
///
/// Says what would not work before the daemon has to: a word that the configuration does not
/// know, a registry file that cannot be read, a kernel without what a hook needs. Ends with 78
/// when the configuration is wrong.
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
