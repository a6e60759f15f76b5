//! `credwatch completions`

use clap::{Args, Command};
use clap_complete::{Shell, generate};

use super::{CommandResult, output};

/// Prints completions for a shell.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  credwatch completions bash > /etc/bash_completion.d/credwatch
  credwatch completions zsh > /usr/local/share/zsh/site-functions/_credwatch
  credwatch completions fish > ~/.config/fish/completions/credwatch.fish")]
pub(super) struct CompletionsArgs {
    /// The shell.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub(super) fn completions(args: &CompletionsArgs, mut command: Command) -> CommandResult {
    // Into memory first: clap_complete panics where writing fails.
    let mut script = Vec::new();
    generate(args.shell, &mut command, "credwatch", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}
