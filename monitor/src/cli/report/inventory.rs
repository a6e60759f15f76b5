//! `credwatch report inventory`

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Context;
use clap::{Args, ValueEnum};

use crate::cli::accounts::Accounts;
use crate::cli::args::StateDir;
use crate::cli::credentials::places;
use crate::cli::escape::{escape, escape_json};
use crate::cli::query::ask_or_read;
use crate::cli::select::{Select, born};
use crate::cli::table::{age, seconds};
use crate::cli::{CommandResult, Commands, output};
use crate::control::protocol::{CredentialView, FindingKind, Inventory};
use crate::control::{Request, Response, views};
use crate::model::{CredentialKind, Timestamp};

/// Writes down every credential with its owner, places, age, uses and findings.
///
/// Markdown is for people: a summary, the findings, then a table for each kind. JSON has everything
/// that is known. CSV has a line for each credential, for a spreadsheet or an auditor. Where no daemon
/// runs, the database is read: what processes hold and kernel keys are then unknown.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  sudo credwatch report inventory > inventory.md
  sudo credwatch report inventory --output csv --state active > active.csv
  sudo credwatch report inventory --output json | jq '.credentials | length'")]
pub(in crate::cli) struct InventoryArgs {
    #[command(flatten)]
    select: Select,
    #[command(flatten)]
    state: StateDir,
    /// How to write it.
    #[arg(long, value_name = "FORMAT", default_value = "markdown")]
    output: ReportFormat,
}

/// A form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    /// For people.
    Markdown,
    /// For programs: everything.
    Json,
    /// For spreadsheets: a line for each credential.
    Csv,
}

pub(super) fn inventory(args: &InventoryArgs, commands: &dyn Commands) -> CommandResult {
    let mut inventory = ask_or_read(
        &args.state.state_dir,
        &Request::Inventory,
        |response| match response {
            Response::Inventory(inventory) => Some(*inventory),
            _ => None,
        },
        |store| {
            let registry = commands.registry(&store.load()?);
            Ok(views::inventory(&registry, |_| None, Timestamp::now()))
        },
    )?;
    Accounts::default().complete(&mut inventory.credentials);
    args.select
        .apply(&mut inventory.credentials, inventory.time);
    let text = match args.output {
        ReportFormat::Markdown => markdown(&inventory),
        ReportFormat::Csv => csv(&inventory).context("cannot write CSV")?,
        ReportFormat::Json => {
            let json = serde_json::to_string_pretty(&inventory).context("cannot write JSON")?;
            format!("{}\n", escape_json(&json))
        }
    };
    output::print(&text)
}

fn markdown(of: &Inventory) -> String {
    let mut page = format!(
        "# Credentials of this host\n\nAs of {}. {} credentials, {} identities, {} keys of the \
         kernel.\n",
        seconds(of.time),
        of.credentials.len(),
        of.identities.len(),
        of.kernel_keys.len()
    );
    let mut by_kind: BTreeMap<CredentialKind, Vec<&CredentialView>> = BTreeMap::new();
    for row in &of.credentials {
        by_kind.entry(row.kind).or_default().push(row);
    }
    // Writing to a text cannot fail.
    let _ = findings(&mut page, &of.credentials);
    for (kind, rows) in by_kind {
        let _ = write!(page, "\n## {} ({})\n\n", kind.label(), rows.len());
        let _ = table(&mut page, &rows, of.time);
    }
    let _ = keys(&mut page, of);
    page
}

fn findings(page: &mut String, rows: &[CredentialView]) -> std::fmt::Result {
    page.push_str("\n## Findings\n\n| finding | credentials | what it means |\n|---|---:|---|\n");
    for &kind in FindingKind::ALL {
        let count = rows
            .iter()
            .filter(|row| row.findings.contains(&kind))
            .count();
        writeln!(page, "| {kind} | {count} | {} |", meaning(kind))?;
    }
    Ok(())
}

fn meaning(kind: FindingKind) -> &'static str {
    match kind {
        FindingKind::WorldReadable => "a secret that every account of the host can read",
        FindingKind::GroupReadable => "a private key that a group can read",
        FindingKind::Leaked => "among arguments, in a log or in a shell's history",
        FindingKind::Expired => "past its end",
        FindingKind::NeverUsed => "not used since it was found, a week ago or longer",
        FindingKind::NoOwner => "nobody declared whose it is, and nothing tells",
        FindingKind::Copied => "in more than one file",
        FindingKind::Old => "older than a year and without an end",
    }
}

fn table(page: &mut String, rows: &[&CredentialView], now: Timestamp) -> std::fmt::Result {
    page.push_str(
        "| state | fingerprint | owner | lies at | mode | age | expires | first used | last used | by | \
         users | findings |\n|---|---|---|---|---|---|---|---|---|---|---:|---|\n",
    );
    for row in rows {
        let time = |at: Option<Timestamp>| at.map_or_else(String::new, seconds);
        let cells = [
            row.state.to_string(),
            row.fingerprint.to_string(),
            row.owner
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            places(row),
            modes(row),
            born(row).map(|at| age(at, now)).unwrap_or_default(),
            time(row.expires),
            time(row.first_used),
            time(row.last_used),
            row.last_used_by
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            row.users.to_string(),
            names(row),
        ];
        let cells = cells.map(|cell| cell_text(&cell));
        writeln!(page, "| {} |", cells.join(" | "))?;
    }
    Ok(())
}

fn keys(page: &mut String, of: &Inventory) -> std::fmt::Result {
    if of.kernel_keys.is_empty() {
        return Ok(());
    }
    page.push_str("\n## Keys of the kernel\n\n| serial | type | description | uid | permissions |\n|---|---|---|---:|---|\n");
    for key in &of.kernel_keys {
        writeln!(
            page,
            "| {:08x} | {} | {} | {} | {:08x} |",
            key.serial,
            cell_text(&key.kind),
            cell_text(&key.description),
            key.uid,
            key.permissions
        )?;
    }
    Ok(())
}

/// A text that is nothing to Markdown or a terminal but itself.
fn cell_text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in escape(text).chars() {
        if matches!(
            c,
            '|' | '`' | '*' | '_' | '<' | '>' | '[' | ']' | '\\' | '&' | '#'
        ) {
            safe.push('\\');
        }
        safe.push(c);
    }
    safe
}

fn modes(row: &CredentialView) -> String {
    let mut modes: Vec<_> = row.files.iter().map(|of| of.mode.clone()).collect();
    modes.sort();
    modes.dedup();
    modes.join(", ")
}

fn names(row: &CredentialView) -> String {
    let names: Vec<_> = row.findings.iter().map(|of| of.as_str()).collect();
    names.join(", ")
}

/// The names of the columns are stable.
const COLUMNS: &[&str] = &[
    "kind",
    "fingerprint",
    "label",
    "state",
    "retired_at",
    "retired_by",
    "owner",
    "owner_from",
    "places",
    "modes",
    "file_owners",
    "issued",
    "first_seen",
    "expires",
    "first_used",
    "last_used",
    "last_used_by",
    "last_used_with",
    "uses",
    "users",
    "findings",
];

fn csv(of: &Inventory) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS)?;
    for row in &of.credentials {
        let time = |at: Option<Timestamp>| at.map_or_else(String::new, seconds);
        let owners = row.files.iter().map(|of| match &of.user {
            Some(user) => user.clone(),
            None => of.uid.to_string(),
        });
        let owner_from = serde_json::to_value(row.owner_from)?;
        let record = [
            row.kind.label().to_owned(),
            row.fingerprint.to_string(),
            row.label.clone().unwrap_or_default(),
            row.state.to_string(),
            time(row.retired_at),
            row.retired_by.clone().unwrap_or_default(),
            row.owner
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            owner_from.as_str().unwrap_or_default().to_owned(),
            places(row),
            modes(row),
            owners.collect::<Vec<_>>().join(", "),
            time(row.issued),
            time(row.first_seen),
            time(row.expires),
            time(row.first_used),
            time(row.last_used),
            row.last_used_by
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            row.last_used_with.clone().unwrap_or_default(),
            row.uses.to_string(),
            row.users.to_string(),
            names(row),
        ];
        writer.write_record(record.map(|field| plain(&field)))?;
    }
    let bytes = writer.into_inner().map_err(|error| error.into_error())?;
    Ok(String::from_utf8(bytes)?)
}

/// A field that neither a terminal nor a spreadsheet takes for a command: a file's name, which any
/// account can choose, may begin like a formula.
fn plain(field: &str) -> String {
    let field = escape(field);
    if field.starts_with(['=', '+', '-', '@']) {
        format!("'{field}")
    } else {
        field.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventory() -> Inventory {
        let text = r#"{"time":"2026-05-09T00:00:00Z","identities":[],
            "kernel_keys":[{"serial":26,"kind":"user","description":"aws:deploy","uid":0,"permissions":1057030144}],
            "credentials":[
            {"fingerprint":"SHA256:a","kind":"ssh-private-key","label":"=cmd|x","state":"active",
             "retired_at":null,"retired_by":null,"reason":null,"owner":"unix:user:ana","owner_from":"file",
             "paths":["/home/ana/a,b|c\u001b[2J"],"issued":null,"expires":null,
             "last_used":"2026-05-01T00:00:00Z","uses":3,"users":2,"last_used_by":"unix:user:ana",
             "first_seen":"2026-05-01T00:00:00Z","findings":["copied","old"],
             "files":[{"path":"/home/ana/a","uid":1000,"user":"ana","gid":1000,"group":null,"mode":"0640",
                       "modified":"2026-05-01T00:00:00Z","world_readable":false}],
             "held":[{"pid":42,"started":"2026-05-01T00:00:00Z","identity":"unix:user:ana","exe":"/bin/x",
                      "in":"environment","variable":"KEY"}]}]}"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_page_tells_places_and_findings_and_no_text_breaks_it() {
        let page = markdown(&inventory());
        assert!(page.contains("| copied | 1 |"), "{page}");
        assert!(page.contains("## SSH private key (1)"), "{page}");
        assert!(page.contains("KEY in the environ of 42 (/bin/x)"), "{page}");
        assert!(page.contains("a,b\\|c"), "{page}");
        assert!(!page.contains('\u{1b}'), "{page}");
        assert!(
            page.contains("| 0000001a | user | aws:deploy | 0 | 3f010000 |"),
            "{page}"
        );
        for line in page.lines().filter(|line| line.starts_with("| active")) {
            assert_eq!(line.replace("\\|", "").matches('|').count(), 13, "{line}");
        }
    }

    #[test]
    fn csv_reads_back_and_holds_no_formula() {
        let text = csv(&inventory()).unwrap();
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        assert_eq!(reader.headers().unwrap(), COLUMNS);
        let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), 1);
        let of = |name: &str| {
            let at = COLUMNS.iter().position(|column| *column == name).unwrap();
            rows[0][at].to_owned()
        };
        assert_eq!(of("label"), "'=cmd|x");
        assert_eq!(of("findings"), "copied, old");
        assert!(of("places").contains("KEY in the environ of 42"));
        assert!(!text.contains('\u{1b}'));
    }
}
