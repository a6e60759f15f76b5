//! `credwatch baseline digest`

use std::time::Duration;

use clap::Args;

use super::asked;
use crate::cli::args::{self, StateDir};
use crate::cli::table::{Rows, seconds};
use crate::cli::{CommandResult, Commands, TableFormat, output};
use crate::control::protocol::DigestView;
use crate::control::{Request, Response};

/// Shows what stayed under the budget: the least likely of what was asked about and not told.
///
/// The budget of false alerts decides what is unlikely enough for an alert. What was nearly so is here, the
/// least likely first: for who looks into something, or wonders whether the budget is too small. 64
/// things of each day are kept, today's and yesterday's (UTC); the same of one identity is one line.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Columns:
  CHANCE  how often something as unlikely comes on an ordinary day
  TOLD    below which chance it would have been an alert; `held back` where it was, and more came at
          once than five days' budget
  TIMES   how often it was asked about

Examples:
  sudo credwatch baseline digest
  sudo credwatch baseline digest --since 2h
  sudo credwatch baseline digest --output json | jq '.untold[] | select(.identity == \"unix:user:deploy\")'")]
pub(in crate::cli) struct DigestArgs {
    /// Only what was asked in this time: 2h, 1d. At most two days are kept.
    #[arg(long, value_name = "TIME", default_value = "1d", value_parser = args::duration)]
    since: Duration,
    #[command(flatten)]
    state: StateDir,
    /// How to print it.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    output: TableFormat,
}

pub(super) fn digest(args: &DigestArgs, commands: &dyn Commands) -> CommandResult {
    let answer = |response| match response {
        Response::BaselineDigest(digest) => Some(digest),
        _ => None,
    };
    let request = Request::BaselineDigest {
        seconds: args.since.as_secs(),
    };
    let digest = asked(&args.state.state_dir, &request, commands, answer)?;
    output::answer(digest.as_ref(), args.output, table)
}

fn table(digest: &DigestView) -> String {
    let mut rows = Rows::new(&["TIME", "CHANCE", "TOLD", "TIMES", "DETECTION", "WHAT"]);
    for of in &digest.untold {
        let told = if of.held_back {
            "held back".to_owned()
        } else {
            format!("{:.1e}", of.alpha)
        };
        rows.add([
            seconds(of.time).into(),
            format!("{:.1e}", of.p).into(),
            told.into(),
            of.times.into(),
            of.id.into(),
            (&of.summary).into(),
        ]);
    }
    let text = rows.finish("Nothing unusual stayed under the budget.");
    format!(
        "{text}\nBudget: {} false alerts a day. On the days since {}: {} asked, {} told, {} held back; {} unusual not \
         shown, for more was less likely\n",
        digest.budget,
        seconds(digest.since),
        digest.asked,
        digest.told,
        digest.held_back,
        digest.left_out
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::UntoldView;
    use crate::model::{DetectionId, Timestamp};

    #[test]
    fn a_person_reads_what_stayed_under_the_budget() {
        let at = Timestamp::from_unix_seconds(1_777_000_000);
        let untold = |held_back| UntoldView {
            time: at,
            id: DetectionId::UnusualRate,
            identity: "unix:user:deploy".parse().unwrap(),
            p: 3.2e-4,
            alpha: 1.5e-4,
            held_back,
            times: 3,
            summary: "unix:user:deploy by /srv/\u{1b}[2Jx: 40 connections".to_owned(),
        };
        let text = table(&DigestView {
            since: at,
            budget: 1.0,
            asked: 812,
            told: 1,
            held_back: 1,
            left_out: 0,
            untold: vec![untold(false), untold(true)],
        });
        for part in [
            "3.2e-4",
            "1.5e-4",
            "held back",
            "CW-302",
            "812 asked, 1 told",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}
