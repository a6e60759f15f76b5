//! `credwatch report safe-to-delete`

use std::ffi::OsString;
use std::fmt::Write as _;
use std::time::Duration;

use clap::{Args, ValueHint};

use super::open_files;
use crate::cli::args::StateDir;
use crate::cli::escape::escape;
use crate::cli::query::ask_or_read;
use crate::cli::table::{Rows, optional, paths, seconds, state};
use crate::cli::target::resolve;
use crate::cli::{CommandError, CommandResult, Commands, TableFormat, output};
use crate::control::{Request, Response};
use crate::registry::{Assessment, Verdict, span};

/// Exit code for a no.
const NO: u8 = 3;
/// Exit code for a cannot tell.
const CANNOT_TELL: u8 = 4;

/// Can this be deleted? Yes, no or cannot tell, each with its reasons.
///
/// TARGET is a file that holds credentials, a fingerprint or a selector. Without one, all that is
/// retired, revoked or expired, or was not used for a while, is listed.
///
/// A yes says: had anything on this host still used it as it was used before, that would have been
/// seen by now. It takes time: more than twice the longest pause between two uses, and never less
/// than `offboard.least_observation` (30 days); where too few uses were seen to know a rhythm,
/// `offboard.unknown_rhythm` (400 days). Times that were not watched, lost events, living processes
/// that have read it, and processes that are older than the observation speak against it. Other hosts
/// are never seen.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  sudo credwatch report safe-to-delete
  sudo credwatch report safe-to-delete /srv/deploy/.ssh/id_ed25519
  sudo credwatch report safe-to-delete unix:user:svc-backup && userdel svc-backup

Exit codes, with a TARGET:
  0   yes
  1   it failed while running, or the daemon refused
  2   the command line is wrong
  3   no
  4   cannot tell
Of several credentials in one file the worst decides. A list ends with 0.")]
pub(in crate::cli) struct SafeToDeleteArgs {
    /// A path, a fingerprint or a selector.
    #[arg(value_name = "TARGET", value_hint = ValueHint::FilePath)]
    target: Option<OsString>,
    #[command(flatten)]
    state: StateDir,
    /// How to print the answer.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    output: TableFormat,
}

pub(super) fn safe_to_delete(args: &SafeToDeleteArgs, commands: &dyn Commands) -> CommandResult {
    let target = args.target.as_deref().map(resolve).transpose()?;
    let request = Request::SafeToDelete {
        target: target.clone(),
    };
    let state_dir = &args.state.state_dir;
    let mut snapshot = None;
    let answer = ask_or_read(
        state_dir,
        &request,
        |response| match response {
            Response::SafeToDelete(answer) => Some(answer),
            _ => None,
        },
        |store| {
            snapshot = Some(store.load()?);
            Ok(Vec::new())
        },
    )?;
    let mut answer = match snapshot {
        Some(snapshot) => commands.assess_offline(state_dir, &snapshot, target.as_deref())?,
        None => answer,
    };
    open_files::add_to(&mut answer);
    let is_one = target.is_some();
    output::answer(answer.as_slice(), args.output, |answer| {
        if is_one {
            details(answer)
        } else {
            table(answer)
        }
    })?;
    let worst = answer.iter().map(|of| of.verdict).max();
    match worst {
        Some(Verdict::No) if is_one => Err(CommandError::Answer(NO)),
        Some(Verdict::CannotTell) | None if is_one => Err(CommandError::Answer(CANNOT_TELL)),
        _ => Ok(()),
    }
}

/// One after the other, every reason in a line.
fn details(answer: &[Assessment]) -> String {
    let mut text = String::new();
    for of in answer {
        let kind = of.kind.map_or("identity", |kind| kind.label());
        let mut line = |key: &str, value: &str| {
            // Writing to a text does not fail.
            let _ = writeln!(text, "{key:<13}{}", escape(value));
        };
        line("safe", of.verdict.as_str());
        line("target", &format!("{} {kind} {}", of.state, of.target));
        for path in &of.paths {
            line("path", path);
        }
        if let Some(last) = of.last_used {
            let by = of.last_used_by.as_ref();
            let by = by.map(|by| format!(" by {by}")).unwrap_or_default();
            let with = of.last_used_with.as_ref();
            let with = with.map(|exe| format!(" with {exe}")).unwrap_or_default();
            line("last used", &format!("{}{by}{with}", seconds(last)));
        } else {
            line("last used", "never, as far as it was seen");
        }
        for reason in &of.reasons {
            line(reason.verdict.as_str(), &reason.text);
        }
        for caveat in &of.caveats {
            line("note", caveat);
        }
        text.push('\n');
    }
    text.pop();
    text
}

fn table(answer: &[Assessment]) -> String {
    let mut table = Rows::new(&[
        "SAFE",
        "STATE",
        "TARGET",
        "LAST USED",
        "QUIET",
        "NEEDED",
        "WHY",
        "PATHS",
    ]);
    for of in answer {
        let time = |seconds| span(Duration::from_secs(seconds));
        let all: Vec<_> = of.paths.iter().map(Into::into).collect();
        table.add([
            of.verdict.as_str().into(),
            state(of.state),
            (&of.target).into(),
            optional(of.last_used.map(seconds)),
            time(of.quiet_seconds).into(),
            time(of.needed_seconds).into(),
            optional(of.reasons.first().map(|reason| &reason.code)),
            paths(&all),
        ]);
    }
    table.finish("Nothing is retired, expired or dormant.")
}
