//! `credwatch baseline list`

use clap::Args;

use super::asked;
use crate::cli::args::StateDir;
use crate::cli::table::{Rows, optional, seconds};
use crate::cli::{CommandResult, Commands, TableFormat, output};
use crate::control::protocol::BaselineList;
use crate::control::{Request, Response};

/// Lists how much is known of each identity.
///
/// A baseline is mature after two weeks that were watched; until half of that its alerts are low.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  sudo credwatch baseline list
  sudo credwatch baseline list --output json | jq -r '.baselines[] | select(.suspect > 0) | .identity'")]
pub(in crate::cli) struct ListArgs {
    #[command(flatten)]
    state: StateDir,
    /// How to print them.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    output: TableFormat,
}

pub(super) fn list(args: &ListArgs, commands: &dyn Commands) -> CommandResult {
    let answer = |response| match response {
        Response::Baselines(list) => Some(list),
        _ => None,
    };
    let list = asked(&args.state.state_dir, &Request::Baselines, commands, answer)?;
    output::answer(list.as_ref(), args.output, table)
}

fn table(list: &BaselineList) -> String {
    let mut rows = Rows::new(&[
        "IDENTITY",
        "MATURE",
        "WATCHED",
        "DESTINATIONS",
        "SUSPECT",
        "PROGRAMS",
        "FROZEN",
        "LATEST ACT",
    ]);
    for of in &list.baselines {
        rows.add([
            (&of.identity).into(),
            format!("{:.0} %", 100.0 * of.maturity).into(),
            watched(of.hours).into(),
            of.destinations.into(),
            of.suspect.into(),
            of.programs.into(),
            optional(of.frozen.as_ref().map(|of| seconds(of.since))),
            seconds(of.last).into(),
        ]);
    }
    let text = rows.finish("Nothing was learned yet: no machine identity has acted.");
    format!(
        "{text}\nBudget: {} false alerts a day; {} held back today\n",
        list.budget, list.held_back
    )
}

/// Hours, or days where there are many.
pub(super) fn watched(hours: f64) -> String {
    if hours < 48.0 {
        format!("{hours:.0} h")
    } else {
        format!("{:.0} d", hours / 24.0)
    }
}
