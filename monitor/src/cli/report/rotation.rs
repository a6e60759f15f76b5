//! `credwatch report rotation`

use clap::Args;

use crate::cli::args::StateDir;
use crate::cli::query::ask_or_read;
use crate::cli::table::{Rows, Text, optional, seconds, state};
use crate::cli::{CommandResult, Commands, TableFormat, output};
use crate::control::life::{self, HolderView, RotationView};
use crate::control::{Request, Response};
use crate::model::Timestamp;

/// Shows whether rotations reached everybody: who has read the new version, who still holds the
/// old one, and of whom nobody can tell.
///
/// A process that has run since before the daemon may have read a version that nobody saw; it is
/// listed as `cannot tell` where its program has used the old version before. Where no daemon
/// runs, shows the rotations without the processes.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  sudo credwatch report rotation
  sudo credwatch report rotation SHA256:nThbg6kXUp
  sudo credwatch report rotation --output json | jq '.[] | select(.stale != [])'")]
pub(in crate::cli) struct RotationArgs {
    /// Only rotations of this credential, by the fingerprint of either version or its start.
    #[arg(value_name = "FINGERPRINT")]
    of: Option<String>,
    #[command(flatten)]
    state: StateDir,
    /// How to print it.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    output: TableFormat,
}

pub(in crate::cli) fn rotation(args: &RotationArgs, commands: &dyn Commands) -> CommandResult {
    let rows = ask_or_read(
        &args.state.state_dir,
        &Request::Rotations {
            of: args.of.clone(),
        },
        |response| match response {
            Response::Rotations(rows) => Some(rows),
            _ => None,
        },
        |store| {
            let registry = commands.registry(&store.load()?);
            let of = args.of.as_deref();
            Ok(life::rotations(&registry, of, None, Timestamp::now()))
        },
    )?;
    output::answer(rows.as_slice(), args.output, table)
}

fn table(rows: &[RotationView]) -> String {
    let mut table = Rows::new(&[
        "BEGAN", "ENDS", "OLD", "STATE", "NEW", "PATH", "VERSION", "IDENTITY", "PROGRAM", "PID",
        "READ",
    ]);
    for row in rows {
        let lists = [
            ("old", &row.stale),
            ("new", &row.renewed),
            ("cannot tell", &row.unknown),
        ];
        let mut processes: Vec<_> = lists
            .into_iter()
            .flat_map(|(version, list)| list.iter().map(move |of| (version, Some(of))))
            .collect();
        if processes.is_empty() {
            let nobody = if row.watched { "nobody" } else { "no daemon" };
            processes.push((nobody, None));
        }
        for (version, of) in processes {
            add(&mut table, row, version, of);
        }
    }
    table.finish("No rotation was seen.")
}

fn add(table: &mut Rows, row: &RotationView, version: &str, of: Option<&HolderView>) {
    let dash = || -> Text { "-".into() };
    table.add([
        seconds(row.began).into(),
        optional(row.ends.map(seconds)),
        (&row.old).into(),
        state(row.state),
        (&row.new).into(),
        row.path.to_string_lossy().into_owned().into(),
        version.into(),
        of.map_or_else(dash, |of| (&of.identity).into()),
        optional(of.and_then(|of| of.exe.as_ref())),
        of.map_or_else(dash, |of| of.pid.into()),
        optional(of.and_then(|of| of.read).map(seconds)),
    ]);
}
