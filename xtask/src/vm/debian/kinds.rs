//! The table of identities: what was set up in the guest against what Credwatch says of it.

use super::report::{Credential, Identity, Report, Usage};
use crate::ui::{self, Mark};
use anyhow::Result;

/// What one kind of identity was set up as.
struct Row<'a> {
    kind: &'a str,
    what: &'a str,
    selector: &'a str,
    path: &'a str,
}

/// What Credwatch knows.
struct Known {
    identities: Vec<Identity>,
    credentials: Vec<Credential>,
    usage: Vec<Usage>,
}

/// What was found of a row.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    /// The credential's kind, where it was found.
    credential: Option<String>,
    /// Whoever is named as its user, with program and number of uses; the right one first.
    users: Vec<(String, String, u64)>,
    is_named: bool,
}

/// Prints the table, and gives how many rows are not as they should be.
///
/// # Errors
/// When the guest did not say what it knows.
pub(super) fn print(report: &Report) -> Result<usize> {
    let known = Known {
        identities: report.json("identities")?,
        credentials: report.json("credentials")?,
        usage: report.json("usage")?,
    };
    ui::heading("== identities");
    let mut wrong = 0;
    let mut cells = Vec::new();
    for fields in report.rows("kinds") {
        let [kind, what, selector, path] = fields[..] else {
            continue;
        };
        let row = Row {
            kind,
            what,
            selector,
            path,
        };
        let found = known.look(&row);
        wrong += usize::from(!found.is_right());
        cells.push(found.cells(&row));
    }
    // Devices are set up by nobody here: their row is what was found.
    let is_device = |identity: &&Identity| identity.selector.starts_with("device:");
    for device in known.identities.iter().filter(is_device) {
        let words = ["IoT and edge", "a device on the network", "-", "yes"];
        let mut words: Vec<_> = words.map(str::to_owned).into();
        words.extend(["yes".to_owned(), format!("as {}", device.selector)]);
        cells.push((Mark::Ok, words));
    }
    let mut table = vec![(
        Mark::Ok,
        ["kind", "what", "credential", "found", "named", "tested"]
            .map(str::to_owned)
            .into(),
    )];
    let none = cells.is_empty();
    table.append(&mut cells);
    ui::table(&table);
    println!(
        "  {} identities and {} credentials are known",
        known.identities.len(),
        known.credentials.len()
    );
    Ok(wrong + usize::from(none))
}

impl Known {
    fn look(&self, row: &Row<'_>) -> Found {
        let lies_there = |of: &&Credential| of.paths.iter().any(|path| path == row.path);
        let lying: Vec<_> = self.credentials.iter().filter(lies_there).collect();
        let mut users: Vec<(String, String, u64)> = Vec::new();
        for usage in &self.usage {
            if !lying.iter().any(|of| of.fingerprint == usage.fingerprint) {
                continue;
            }
            // A use and the connections after it are rows of their own.
            let same = users
                .iter_mut()
                .find(|(identity, exe, _)| *identity == usage.identity && *exe == usage.exe);
            match same {
                Some((.., count)) => *count = (*count).max(usage.count),
                None => users.push((usage.identity.clone(), usage.exe.clone(), usage.count)),
            }
        }
        users.sort_by_key(|(identity, _, count)| (identity != row.selector, u64::MAX - count));
        let is_known = |name: &str| self.identities.iter().any(|of| of.selector == name);
        Found {
            credential: lying.first().map(|of| of.kind.clone()),
            is_named: users
                .first()
                .is_some_and(|(identity, ..)| identity == row.selector && is_known(identity)),
            users,
        }
    }
}

impl Found {
    fn is_right(&self) -> bool {
        self.credential.is_some() && self.is_named
    }

    fn cells(&self, row: &Row<'_>) -> (Mark, Vec<String>) {
        let mark = match self.is_right() {
            true => Mark::Ok,
            false => Mark::Failed,
        };
        let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
        let tested = match self.users.first() {
            Some((identity, exe, count)) => format!("as {identity} with {exe}, {count} times"),
            None => format!("nobody used {}", row.path),
        };
        let credential = self.credential.clone().unwrap_or_else(|| "-".to_owned());
        let cells = vec![
            row.kind.to_owned(),
            row.what.to_owned(),
            credential,
            yes(!self.users.is_empty()),
            yes(self.is_named),
            tested,
        ];
        (mark, cells)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(fingerprint: &str, identity: &str, count: u64) -> Usage {
        Usage {
            fingerprint: fingerprint.to_owned(),
            identity: identity.to_owned(),
            exe: "/usr/bin/cat".to_owned(),
            count,
        }
    }

    #[test]
    fn only_the_right_name_is_right() {
        let row = Row {
            kind: "CI/CD",
            what: "a job",
            selector: "ci:github:acme/shop",
            path: "/k",
        };
        let mut known = Known {
            identities: vec![Identity {
                selector: row.selector.to_owned(),
            }],
            credentials: vec![Credential {
                fingerprint: "hmac:1".to_owned(),
                kind: "npm-token".to_owned(),
                paths: vec!["/k".to_owned()],
            }],
            usage: vec![usage("hmac:2", row.selector, 3)],
        };
        assert!(!known.look(&row).is_right(), "another credential");
        known.usage.push(usage("hmac:1", "unix:user:runner", 9));
        let found = known.look(&row);
        assert!(!found.is_right(), "another identity");
        assert_eq!(found.users.len(), 1);
        known.usage.push(usage("hmac:1", row.selector, 1));
        assert!(known.look(&row).is_right());
        known.identities.clear();
        assert!(!known.look(&row).is_right(), "not among the identities");
    }
}
