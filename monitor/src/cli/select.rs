//! Which credentials are shown, and in what order.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};

use super::args;
use crate::control::protocol::{CredentialView, FindingKind};
use crate::model::{CredentialKind, CredentialState, Timestamp};

/// What a credential must be to be shown; all that is given must hold.
#[derive(Debug, Clone, Args)]
pub(super) struct Select {
    /// Only of these kinds, as JSON names them: ssh-private-key, aws-access-key.
    #[arg(long, value_name = "KIND", value_parser = named::<CredentialKind>)]
    kind: Vec<CredentialKind>,
    /// Only in these states: active, rotating, retired, revoked, expired, decoy.
    #[arg(long, value_name = "STATE", value_parser = named::<CredentialState>)]
    state: Vec<CredentialState>,
    /// Only what this identity owns, used last or holds.
    #[arg(long, value_name = "SELECTOR")]
    identity: Option<String>,
    /// Only what has not been used for so long, or never since it was found that long ago.
    #[arg(long, value_name = "TIME", value_parser = args::duration)]
    unused_for: Option<Duration>,
    /// Only with one of these findings: world-readable, group-readable, leaked, expired, never-used,
    /// no-owner, copied, old.
    #[arg(long, value_name = "FINDING", value_parser = named::<FindingKind>)]
    finding: Vec<FindingKind>,
    /// What comes first.
    #[arg(long, value_name = "BY", default_value = "kind")]
    sort: Sort,
}

/// An order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sort {
    /// By kind, then by place.
    Kind,
    /// The oldest first.
    Age,
    /// What was used longest ago first, and before it what never was.
    Used,
    /// What ends soonest first.
    Expiry,
    /// What has most findings first.
    Findings,
    /// By path.
    Path,
}

impl Select {
    /// Leaves what is asked for, in the order that is asked for, as of `now`.
    pub(super) fn apply(&self, rows: &mut Vec<CredentialView>, now: Timestamp) {
        rows.retain(|row| self.takes(row, now));
        rows.sort_by(|a, b| self.compare(a, b));
    }

    fn takes(&self, row: &CredentialView, now: Timestamp) -> bool {
        let unused = |than: Duration| {
            let latest = row.last_used.or(row.first_seen);
            latest.is_none_or(|at| now.since(at) >= than)
        };
        let concerns = |identity: &str| {
            let owner = row.owner.iter().chain(&row.last_used_by);
            let holders = row.held.iter().map(|at| &at.identity);
            owner.chain(holders).any(|of| of.as_str() == identity)
        };
        (self.kind.is_empty() || self.kind.contains(&row.kind))
            && (self.state.is_empty() || self.state.contains(&row.state))
            && self.identity.as_deref().is_none_or(concerns)
            && self.unused_for.is_none_or(unused)
            && (self.finding.is_empty() || row.findings.iter().any(|of| self.finding.contains(of)))
    }

    fn compare(&self, a: &CredentialView, b: &CredentialView) -> std::cmp::Ordering {
        let place = |row: &CredentialView| row.paths.first().cloned();
        // What has no end comes last.
        let end = |row: &CredentialView| (row.expires.is_none(), row.expires);
        let first = match self.sort {
            Sort::Kind => a.kind.label().cmp(b.kind.label()),
            Sort::Age => born(a).cmp(&born(b)),
            Sort::Used => a.last_used.cmp(&b.last_used),
            Sort::Expiry => end(a).cmp(&end(b)),
            Sort::Findings => b.findings.len().cmp(&a.findings.len()),
            Sort::Path => std::cmp::Ordering::Equal,
        };
        first
            .then_with(|| place(a).cmp(&place(b)))
            .then_with(|| a.fingerprint.cmp(&b.fingerprint))
    }
}

/// When it was issued, else when it was first found.
pub(super) fn born(row: &CredentialView) -> Option<Timestamp> {
    row.issued.or(row.first_seen)
}

/// A word as JSON has it.
fn named<T: for<'a> Deserialize<'a>>(text: &str) -> Result<T, String> {
    let deserializer: StrDeserializer<'_, Error> = text.into_deserializer();
    T::deserialize(deserializer).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        select: Select,
    }

    fn rows() -> Vec<CredentialView> {
        let text = r#"[
            {"fingerprint":"a","kind":"ssh-private-key","label":null,"state":"active","retired_at":null,
             "retired_by":null,"reason":null,"owner":"unix:user:ana","paths":["/b"],"issued":null,
             "expires":null,"last_used":"2026-05-01T00:00:00Z","uses":1,
             "first_seen":"2026-01-01T00:00:00Z","findings":["copied"]},
            {"fingerprint":"b","kind":"npm-token","label":null,"state":"retired","retired_at":null,
             "retired_by":null,"reason":null,"owner":null,"paths":["/a"],"issued":null,
             "expires":"2026-06-01T00:00:00Z","last_used":null,"uses":0,
             "first_seen":"2026-05-08T00:00:00Z","findings":[]}]"#;
        serde_json::from_str(text).unwrap()
    }

    fn chosen(args: &[&str]) -> Vec<String> {
        let line = Line::try_parse_from([&["x"], args].concat()).unwrap();
        let mut rows = rows();
        let now: jiff::Timestamp = "2026-05-09T00:00:00Z".parse().unwrap();
        let now = Timestamp(i64::try_from(now.as_nanosecond()).unwrap());
        line.select.apply(&mut rows, now);
        rows.iter().map(|row| row.fingerprint.to_string()).collect()
    }

    #[test]
    fn all_that_is_given_must_hold() {
        assert_eq!(chosen(&["--kind", "npm-token"]), ["b"]);
        assert_eq!(
            chosen(&["--kind", "npm-token", "--kind", "ssh-private-key"]).len(),
            2
        );
        assert_eq!(chosen(&["--state", "active"]), ["a"]);
        assert_eq!(chosen(&["--identity", "unix:user:ana"]), ["a"]);
        assert_eq!(chosen(&["--finding", "copied"]), ["a"]);
        assert_eq!(chosen(&["--unused-for", "7d"]), ["a"]);
        assert_eq!(chosen(&["--unused-for", "12h"]).len(), 2);
        assert!(chosen(&["--kind", "npm-token", "--state", "active"]).is_empty());
    }

    #[test]
    fn rows_are_in_the_order_that_was_asked_for() {
        for (by, order) in [
            ("kind", ["a", "b"]),
            ("path", ["b", "a"]),
            ("used", ["b", "a"]),
            ("age", ["a", "b"]),
            ("expiry", ["b", "a"]),
            ("findings", ["a", "b"]),
        ] {
            assert_eq!(chosen(&["--sort", by]), order, "{by}");
        }
    }

    #[test]
    fn a_wrong_word_says_which_are_right() {
        let error = |args: [&str; 3]| Line::try_parse_from(args).err().unwrap().to_string();
        assert!(error(["x", "--kind", "ssh"]).contains("ssh-private-key"));
        assert!(error(["x", "--unused-for", "soon"]).contains("30d"));
    }
}
