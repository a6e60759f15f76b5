//! `credwatch restore`

use std::ffi::OsString;

use clap::{Args, ValueHint};

use super::args::StateDir;
use super::retire::change;
use super::target::resolve;
use super::{CommandResult, Commands, TableFormat};
use crate::control::Request;

/// Takes a `retire` back: the credential or identity may be used again.
///
/// The history keeps both words, with who said them and when.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  sudo credwatch restore /srv/deploy/.ssh/id_ed25519
  sudo credwatch restore unix:user:svc-backup")]
pub(super) struct RestoreArgs {
    /// A path, a fingerprint or a selector.
    #[arg(value_name = "TARGET", value_hint = ValueHint::FilePath)]
    target: OsString,
    #[command(flatten)]
    state: StateDir,
    /// How to print what changed.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    output: TableFormat,
}

pub(super) fn restore(args: &RestoreArgs, commands: &dyn Commands) -> CommandResult {
    let request = Request::Restore {
        target: resolve(&args.target)?,
    };
    change(&args.state.state_dir, &request, args.output, commands)
}
