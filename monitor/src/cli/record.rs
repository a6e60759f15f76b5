//! `credwatch record`

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};

use super::StreamFormat;
use crate::control::DEFAULT_STATE_DIR;

/// Records what the sensor sees, for `credwatch replay`.
///
/// A recording holds no secrets: credentials are named by their fingerprints. It does hold paths,
/// user names and addresses of this host.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  sudo credwatch record incident.rec --duration 10m
  sudo credwatch record incident.rec        until Ctrl-C")]
pub struct RecordArgs {
    /// The file to write; an existing one is not overwritten.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// How long, such as 30s, 10m or 1h30m; until Ctrl-C where it is not given.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// The configuration; /etc/credwatch/credwatch.toml where that exists.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Where a daemon keeps what it knows, to begin with. Nothing is changed there; where there is no
    /// fingerprint key, one is made.
    #[arg(
        long,
        value_name = "DIR",
        env = "CREDWATCH_STATE_DIR",
        default_value = DEFAULT_STATE_DIR,
        value_hint = ValueHint::DirPath
    )]
    pub state_dir: PathBuf,
    /// How to print the alerts that come meanwhile.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub output: StreamFormat,
}

fn duration(text: &str) -> Result<Duration, String> {
    text.parse::<jiff::SignedDuration>()
        .ok()
        .and_then(|span| Duration::try_from(span).ok())
        .filter(|span| !span.is_zero())
        .ok_or_else(|| "write it like 30s, 10m or 1h30m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        for bad in ["", "30", "-5s", "0s", "soon"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
