//! The ordinary work: which jobs there are, and what their accounts noted of it.

use std::{collections::BTreeMap, fs, io};

use anyhow::Result;

use super::{
    network::{API, DATABASE, GIT, STORE},
    place::Account,
};

/// A job that cron runs each minute, and the account that it runs as.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job {
    pub(super) name: &'static str,
    /// Where each of its acts connects, once at the least.
    pub(super) address: &'static str,
    pub(super) port: u16,
}

pub(super) const JOBS: [Job; 4] = [
    Job {
        name: "api",
        address: API,
        port: 443,
    },
    Job {
        name: "deploy",
        address: GIT,
        port: 443,
    },
    Job {
        name: "backup",
        address: STORE,
        port: 873,
    },
    Job {
        name: "report",
        address: DATABASE,
        port: 5432,
    },
];

/// The only act that needs nobody else.
const ALONE: &str = "git: committed";

/// What an account has noted: each act with how often.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Work {
    pub(super) done: BTreeMap<String, u64>,
    pub(super) failed: BTreeMap<String, u64>,
    /// The last words of what failed.
    pub(super) failures: String,
}

impl Work {
    /// # Errors
    /// When its notes cannot be read.
    pub(super) fn of(account: &Account) -> Result<Self> {
        let note = |name| match fs::read_to_string(account.home.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            other => other,
        };
        Ok(Self {
            done: count(&note("done")?),
            failed: count(&note("failed")?),
            failures: note("failures")?,
        })
    }

    /// Connections that it has made at the least.
    pub(super) fn connections(&self) -> u64 {
        let acts = self.done.iter().filter(|(name, _)| *name != ALONE);
        acts.map(|(_, times)| times).sum()
    }
}

fn count(lines: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for line in lines.lines() {
        *counts.entry(line.to_owned()).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_those_of_acts_that_went_well() {
        let work = Work {
            done: count("git: fetched\ngit: committed\ngit: pushed\ngit: fetched\n"),
            failed: count("git: pushed\n"),
            failures: String::new(),
        };
        assert_eq!(work.done["git: fetched"], 2);
        assert_eq!(work.connections(), 3);
    }

    #[test]
    fn every_job_calls_where_its_connections_are_looked_for() {
        let scripts = concat!(env!("CARGO_MANIFEST_DIR"), "/soak");
        let read = |name| fs::read_to_string(format!("{scripts}/{name}")).unwrap();
        for job in JOBS {
            let script = read(job.name);
            assert!(script.contains("/tally\"\n"), "{} counts nothing", job.name);
            assert!(script.contains(job.address), "{}", job.name);
        }
        assert!(read("deploy").contains(ALONE));
        assert!(read("world.py").contains(&format!("API = \"{API}\"")));
    }
}
