//! `credwatch run`

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::StreamFormat;

/// Watches this host and prints alerts; the daemon itself.
///
/// Needs root, of whose capabilities it keeps CAP_SYS_ADMIN, CAP_DAC_READ_SEARCH, CAP_SETUID and,
/// for a control.group, CAP_CHOWN, and drops all others when it starts. Alerts go to the sinks of
/// the configuration, by default to stdout; logs go to stderr. SIGHUP reads the registry's files
/// again. SIGTERM, SIGINT and SIGQUIT end it after it has said who sent them and stored what it
/// knows.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  sudo credwatch run
  sudo credwatch run --config ./credwatch.toml --state-dir /tmp/credwatch-trial
  sudo credwatch run --output json | jq .summary")]
pub struct RunArgs {
    /// The configuration; /etc/credwatch/credwatch.toml where that exists.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Where to keep what it knows; /var/lib/credwatch where it is not given.
    #[arg(long, value_name = "DIR", env = "CREDWATCH_STATE_DIR", value_hint = ValueHint::DirPath)]
    pub state_dir: Option<PathBuf>,
    /// How to print alerts on stdout: json takes the place of any other sink on stdout.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub output: StreamFormat,
}
