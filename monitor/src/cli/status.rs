//! `credwatch status`

use clap::Args;

use super::args::StateDir;
use super::query::ask;
use super::table::{Rows, optional, seconds};
use super::{CommandResult, TableFormat, output};
use crate::control::protocol::Status;
use crate::control::{Client, Request, Response};

/// Shows how the daemon is: its hooks, its losses, its sinks.
///
/// Ends with 1 where no daemon answers.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  sudo credwatch status
  sudo credwatch status --output json | jq -e .ready")]
pub(super) struct StatusArgs {
    #[command(flatten)]
    state: StateDir,
    /// How to print it.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    output: TableFormat,
}

pub(super) fn status(args: &StatusArgs) -> CommandResult {
    let mut client = Client::connect(&args.state.state_dir)?;
    let status = ask(&mut client, &Request::Status, |response| match response {
        Response::Status(status) => Some(status),
        _ => None,
    })?;
    output::answer(status.as_ref(), args.output, table)
}

fn millis(micros: u64) -> String {
    format!("{}.{}", micros / 1_000, micros / 100 % 10)
}

fn table(status: &Status) -> String {
    let mut facts = Rows::new(&["CREDWATCH", &status.version]);
    let ready = if status.ready { "yes" } else { "not yet" };
    facts.add(["ready".into(), ready.into()]);
    facts.add(["pid".into(), status.pid.into()]);
    facts.add(["started".into(), seconds(status.started).into()]);
    facts.add(["kernel".into(), (&status.kernel).into()]);
    let configuration = &status.configuration;
    let file = configuration.file.display().to_string();
    let since = seconds(configuration.since);
    facts.add([
        "configuration".into(),
        format!("{file}, as of {since}").as_str().into(),
    ]);
    if !configuration.waiting.is_empty() {
        let keys = configuration.waiting.join(", ");
        facts.add(["after a restart".into(), keys.as_str().into()]);
    }
    for wrong in &configuration.wrong {
        facts.add(["NOT TAKEN IN".into(), wrong.into()]);
    }
    for (name, number) in [
        ("events", status.events),
        ("lost", status.lost),
        ("credentials", status.credentials),
        ("watched files", status.watched_files),
        ("identities", status.identities),
        ("alerts", status.alerts),
    ] {
        facts.add([name.into(), number.into()]);
    }

    if let Some(of) = &status.kubernetes {
        let mut known = format!(
            "node {}: {} service accounts, {} pods",
            of.node, of.accounts, of.pods
        );
        if of.left_out > 0 {
            known += &format!(", {} passed over", of.left_out);
        }
        facts.add(["kubernetes".into(), known.as_str().into()]);
        if let Some(away) = &of.away {
            let away = format!("{away}, since {}", seconds(of.since));
            facts.add(["KUBERNETES API AWAY".into(), away.as_str().into()]);
        }
    }

    let delay = status.delay;
    let delay = format!(
        "{} ms at most for half of the events, {} ms for 99 in 100, {} ms for all",
        millis(delay.p50_us),
        millis(delay.p99_us),
        millis(delay.max_us)
    );
    facts.add(["delay".into(), delay.as_str().into()]);

    let mut hooks = Rows::new(&[
        "HOOK", "ATTACHED", "FIRED", "FOLDED", "CAPPED", "LOST", "BACKEND", "NOTE",
    ]);
    for hook in &status.hooks {
        hooks.add([
            (&hook.name).into(),
            (if hook.attached { "yes" } else { "NO" }).into(),
            hook.fired.into(),
            hook.folded.into(),
            hook.capped.into(),
            hook.lost.into(),
            (&hook.backend).into(),
            optional(hook.note.as_ref()),
        ]);
    }

    let mut sinks = Rows::new(&["SINK", "SENT", "FAILED", "LATEST ERROR"]);
    for sink in &status.sinks {
        sinks.add([
            (&sink.name).into(),
            sink.sent.into(),
            sink.failed.into(),
            optional(sink.error.as_ref()),
        ]);
    }
    [
        facts.finish(""),
        hooks.finish("No hooks."),
        sinks.finish("No sinks."),
    ]
    .join("\n")
}
