//! `credwatch baseline learn`

use std::path::PathBuf;

use anyhow::anyhow;
use clap::{Args, ValueHint};

use crate::cli::args::StateDir;
use crate::cli::{CommandResult, Commands, print};
use crate::control::{Client, ControlError};

/// Learns from a recording what identities normally do, for a daemon that does not run yet.
///
/// A host that begins with the habits of one like it needs no two weeks to be mature. What was recorded is
/// taken for ordinary: record a host that you trust. What is known of an identity already goes on from there, so a recording must begin
/// after what is known.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  sudo credwatch record --duration 2w golden.rec            on the host that is as it should be
  sudo credwatch baseline learn golden.rec                  on the new one, before its daemon starts
  sudo credwatch baseline learn golden.rec --state-dir /srv/image/var/lib/credwatch")]
pub struct LearnArgs {
    /// The recording.
    #[arg(value_name = "RECORDING", value_hint = ValueHint::FilePath)]
    pub recording: PathBuf,
    #[command(flatten)]
    pub(in crate::cli) state: StateDir,
}

pub(super) fn learn(args: &LearnArgs, commands: &dyn Commands) -> CommandResult {
    let state_dir = &args.state.state_dir;
    match Client::connect(state_dir) {
        Err(ControlError::NotRunning { .. }) => {}
        Err(error) => return Err(error.into()),
        Ok(_) => {
            return Err(anyhow!(
                "a daemon runs with {}, and would write over what is learned: stop it first",
                state_dir.display()
            )
            .into());
        }
    }
    let learned = commands.learn_baselines(state_dir, &args.recording)?;
    print(&format!(
        "{} facts; {} identities are known in {}\n",
        learned.facts,
        learned.identities,
        state_dir.display()
    ))
}

/// What a recording taught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BaselinesLearned {
    /// Facts of the recording.
    pub facts: u64,
    /// Identities that have a baseline now.
    pub identities: usize,
}
