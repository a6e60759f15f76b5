//! `credwatch man`

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Command, ValueHint};
use clap_mangen::Man;

use super::{CommandResult, output};

/// Prints the manual page, or writes one for every subcommand into a directory.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  credwatch man | man -l -
  credwatch man /usr/local/share/man/man1")]
pub(super) struct ManArgs {
    /// Where to write credwatch.1, credwatch-run.1 and so on; made where it is missing.
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    directory: Option<PathBuf>,
}

pub(super) fn man(args: &ManArgs, command: Command) -> CommandResult {
    match &args.directory {
        None => {
            let mut page = Vec::new();
            Man::new(command)
                .render(&mut page)
                .context("cannot make the manual page")?;
            output::print(&String::from_utf8_lossy(&page))
        }
        Some(directory) => {
            let cannot = || format!("cannot write manual pages to {}", directory.display());
            std::fs::create_dir_all(directory).with_context(cannot)?;
            clap_mangen::generate_to(command, directory).with_context(cannot)?;
            Ok(())
        }
    }
}
