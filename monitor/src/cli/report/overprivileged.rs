//! `credwatch report overprivileged`

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::anyhow;
use clap::Args;

use crate::cli::args::StateDir;
use crate::cli::escape::escape;
use crate::cli::query::ask_or_read;
use crate::cli::table::{Rows, optional};
use crate::cli::{CommandError, CommandResult, Commands, TableFormat, output};
use crate::control::{Request, Response, views};
use crate::model::Timestamp;
use crate::registry::{LeastPrivilege, Verdict, span};

/// Exit code for a no.
const NO: u8 = 3;
/// Exit code for a cannot tell.
const CANNOT_TELL: u8 = 4;
/// For how long an identity must be watched, where no daemon says what is configured.
const OBSERVATION: Duration = Duration::from_secs(30 * 86_400);

/// Has an identity no more rights than it uses? Yes, no or cannot tell, each with its reasons.
///
/// IDENTITY is a selector. Without one, everybody whose programs were seen is listed.
///
/// A no names capabilities that its programs were given, and credentials that it can read or that
/// were made for it, which it has not used in all the time for which it was watched: at least
/// `detection.overprivileged.observation` (30 days). It is said only where the start of its programs
/// was seen, because many rights are used at a start and never again.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  sudo credwatch report overprivileged
  sudo credwatch report overprivileged systemd:unit:nginx.service
  sudo credwatch report overprivileged --output json \\
    | jq -r '.[] | select(.verdict == \"no\") | [.identity, .capabilities.unused[]] | @tsv'

Exit codes, with an IDENTITY:
  0   yes
  1   it failed while running, or the daemon refused
  2   the command line is wrong
  3   no
  4   cannot tell
A list ends with 0.")]
pub(in crate::cli) struct OverprivilegedArgs {
    /// A selector.
    #[arg(value_name = "IDENTITY")]
    identity: Option<String>,
    #[command(flatten)]
    state: StateDir,
    /// How to print the answer.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    output: TableFormat,
}

pub(super) fn overprivileged(args: &OverprivilegedArgs, commands: &dyn Commands) -> CommandResult {
    let identity = args.identity.as_deref();
    let answer = ask_or_read(
        &args.state.state_dir,
        &Request::Overprivileged {
            identity: args.identity.clone(),
        },
        |response| match response {
            Response::Overprivileged(answer) => Some(Ok(answer)),
            _ => None,
        },
        |store| {
            let registry = commands.registry(&store.load()?);
            let now = Timestamp::now();
            Ok(views::overprivileged(&registry, identity, OBSERVATION, now))
        },
    )?;
    let answer = answer.map_err(|message| CommandError::Runtime(anyhow!(message)))?;
    let is_one = identity.is_some();
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

/// Every right in a line.
fn details(answer: &[LeastPrivilege]) -> String {
    let mut text = String::new();
    for of in answer {
        let mut line = |key: &str, value: &str| {
            // Writing to a text does not fail.
            let _ = writeln!(text, "{key:<13}{}", escape(value));
        };
        line("least", of.verdict.as_str());
        line("identity", of.identity.as_str());
        for reason in &of.reasons {
            line(reason.verdict.as_str(), &reason.text);
        }
        let capabilities = &of.capabilities;
        for (key, names) in [
            ("unused", &capabilities.unused),
            ("unclear", &capabilities.unclear),
            ("used", &capabilities.used),
        ] {
            if !names.is_empty() {
                line(key, &names.join(", "));
            }
        }
        for credential in &of.credentials {
            let key = match credential.verdict {
                Verdict::Yes => "used",
                Verdict::CannotTell => "unclear",
                Verdict::No => "unused",
            };
            let paths = credential.paths.iter().map(|path| path.to_string_lossy());
            line(
                key,
                &format!(
                    "{} {} ({}): {}; {}",
                    credential.kind.label(),
                    credential.fingerprint,
                    paths.collect::<Vec<_>>().join(", "),
                    credential.given_by.as_str(),
                    credential.reason
                ),
            );
        }
        for program in &of.programs {
            line("program", &program.exe);
        }
        for caveat in &of.caveats {
            line("note", caveat);
        }
        text.push('\n');
    }
    text.pop();
    text
}

fn table(answer: &[LeastPrivilege]) -> String {
    let mut table = Rows::new(&[
        "LEAST",
        "IDENTITY",
        "GIVEN",
        "UNUSED CAPABILITIES",
        "UNUSED CREDENTIALS",
        "WATCHED",
        "NEEDED",
        "WHY",
    ]);
    for of in answer {
        let time = |seconds| span(Duration::from_secs(seconds));
        let unused = &of.capabilities.unused;
        let credentials = of.credentials.iter();
        let credentials = credentials.filter(|of| of.verdict == Verdict::No).count();
        table.add([
            of.verdict.as_str().into(),
            (&of.identity).into(),
            of.capabilities.given.len().into(),
            optional((!unused.is_empty()).then(|| unused.join(", "))),
            credentials.into(),
            time(of.watched_seconds).into(),
            time(of.needed_seconds).into(),
            optional(of.reasons.first().map(|reason| &reason.code)),
        ]);
    }
    table.finish("No program of any identity was seen.")
}
