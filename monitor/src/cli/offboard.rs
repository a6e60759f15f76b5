//! `credwatch offboard`

use std::io::{self, BufRead, IsTerminal, Write};
use std::time::Duration;

use clap::Args;

use super::args::StateDir;
use super::exit::note;
use super::query::{ask, ask_or_read};
use super::table::{Rows, optional, paths, seconds, state};
use super::{CommandError, CommandResult, Commands, TableFormat, output};
use crate::control::protocol::{OffboardView, OffboardedView, OwnedView};
use crate::control::{Client, Request, Response, views};
use crate::model::{Selector, Timestamp};
use crate::registry::span;

/// Retires an identity with the credentials that are its own, and says later whether they are quiet.
///
/// Its own are credentials that were declared to be, that name it in their content, whose files its
/// account owns, or that it used. What others use or own too is shown and left alone. Nothing is
/// deleted. From then on every use is an alert (CW-101, CW-103), and `--status` says for each how
/// long it is quiet.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  sudo credwatch offboard unix:user:svc-backup --dry-run
  sudo credwatch offboard unix:user:svc-backup --reason 'moved to the cloud'
  sudo credwatch offboard systemd:unit:sync.service --yes --output json
  sudo credwatch offboard --status
  sudo credwatch offboard --status unix:user:svc-backup")]
pub(super) struct OffboardArgs {
    /// A selector: unix:user:svc-backup, systemd:unit:backup.service.
    #[arg(value_name = "IDENTITY", required_unless_present = "status")]
    identity: Option<Selector>,
    /// Why; shown in every alert about it.
    #[arg(long, value_name = "TEXT", conflicts_with = "status")]
    reason: Option<String>,
    /// Only say what would be retired.
    #[arg(long, conflicts_with = "status")]
    dry_run: bool,
    /// Retire also what others use or own.
    #[arg(long, conflicts_with = "status")]
    include_shared: bool,
    /// Do not ask.
    #[arg(long, conflicts_with = "status")]
    yes: bool,
    /// Say for what was offboarded whether it is quiet since.
    #[arg(long)]
    status: bool,
    #[command(flatten)]
    state: StateDir,
    /// How to print the answer.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    output: TableFormat,
}

pub(super) fn offboard(args: &OffboardArgs, commands: &dyn Commands) -> CommandResult {
    match &args.identity {
        Some(identity) if !args.status => retire(args, identity),
        identity => status(args, identity.as_ref(), commands),
    }
}

fn retire(args: &OffboardArgs, identity: &Selector) -> CommandResult {
    let asks = !args.yes && !args.dry_run;
    if asks && !io::stdin().is_terminal() {
        return Err(CommandError::Usage(
            "there is nobody to ask here: add --yes, or see with --dry-run what would be done"
                .to_owned(),
        ));
    }
    let mut client = Client::connect(&args.state.state_dir)?;
    let mut request = |dry_run| {
        let request = Request::Offboard {
            identity: identity.to_string(),
            reason: args.reason.clone(),
            include_shared: args.include_shared,
            dry_run,
        };
        ask(&mut client, &request, |response| match response {
            Response::Offboard(view) => Some(*view),
            _ => None,
        })
    };
    if args.dry_run {
        return show(&request(true)?, args.output);
    }
    if asks {
        let plan = request(true)?;
        // On stderr: what is printed in the end is the answer.
        let mut stderr = anstream::stderr().lock();
        let asked = write!(stderr, "{}\nRetire this? [y/N] ", table(&plan));
        asked
            .and_then(|()| stderr.flush())
            .map_err(anyhow::Error::from)?;
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line);
        read.map_err(anyhow::Error::from)?;
        if !matches!(line.trim(), "y" | "Y" | "yes") {
            note("nothing was changed");
            return Ok(());
        }
    }
    show(&request(false)?, args.output)
}

fn show(view: &OffboardView, format: TableFormat) -> CommandResult {
    output::answer(view, format, table)?;
    let shared = view.credentials.iter().filter(|of| is_left(of)).count();
    if shared > 0 {
        note(&format!(
            "{shared} of them are used or owned by others too and are left alone; --include-shared \
             retires them"
        ));
    }
    if view.done {
        note(&format!(
            "any use is an alert from now on; `credwatch offboard --status {}` says whether it is quiet",
            view.identity
        ));
    }
    Ok(())
}

fn is_left(of: &OwnedView) -> bool {
    !of.retires && !of.shared_with.is_empty()
}

fn table(view: &OffboardView) -> String {
    let mut table = Rows::new(&[
        "RETIRES",
        "BEFORE",
        "TARGET",
        "WHY",
        "SHARED WITH",
        "LAST USED",
        "PATHS",
    ]);
    table.add([
        "yes".into(),
        state(view.before),
        (&view.identity).into(),
        "itself".into(),
        optional(None::<String>),
        optional(None::<String>),
        optional(None::<String>),
    ]);
    for of in &view.credentials {
        let shared: Vec<_> = of.shared_with.iter().map(Selector::as_str).collect();
        table.add([
            if of.retires { "yes" } else { "no" }.into(),
            state(of.before),
            (&of.fingerprint).into(),
            of.why.as_str().into(),
            optional((!shared.is_empty()).then(|| shared.join(", "))),
            optional(of.last_used.map(seconds)),
            paths(&of.paths),
        ]);
    }
    table.finish("")
}

fn status(
    args: &OffboardArgs,
    identity: Option<&Selector>,
    commands: &dyn Commands,
) -> CommandResult {
    let request = Request::OffboardStatus {
        identity: identity.map(ToString::to_string),
    };
    let rows = ask_or_read(
        &args.state.state_dir,
        &request,
        |response| match response {
            Response::OffboardStatus(rows) => Some(rows),
            _ => None,
        },
        |store| {
            let registry = commands.registry(&store.load()?);
            Ok(views::offboarded(&registry, identity, Timestamp::now()))
        },
    )?;
    output::answer(rows.as_slice(), args.output, status_table)
}

fn status_table(rows: &[OffboardedView]) -> String {
    let mut table = Rows::new(&["IDENTITY", "TARGET", "RETIRED", "SINCE THEN", "NOT WATCHED"]);
    for row in rows {
        let by = row.used_by.as_ref();
        let by = by.map(|by| format!(" by {by}")).unwrap_or_default();
        let with = row.used_with.as_ref();
        let with = with.map(|exe| format!(" with {exe}")).unwrap_or_default();
        let quiet = span(Duration::from_secs(row.quiet_seconds));
        let since = match row.used {
            Some(at) => format!("used at {}{by}{with}, then quiet for {quiet}", seconds(at)),
            None => format!("quiet since {quiet}"),
        };
        table.add([
            (&row.identity).into(),
            (&row.target).into(),
            format!("{} by {}", seconds(row.since), row.by).into(),
            since.into(),
            span(Duration::from_secs(row.unwatched_seconds)).into(),
        ]);
    }
    table.finish("No identity is retired.")
}
