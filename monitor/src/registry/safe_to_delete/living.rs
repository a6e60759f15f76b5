//! What the living processes say about deleting something.

use super::Assessment;
use crate::model::Target;
use crate::registry::answer::Verdict;
use crate::registry::words::counted;

/// How many processes a reason names.
const NAMED: usize = 5;

/// A process that speaks against it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its pid.
    pub pid: u32,
    /// Its program, where that is known.
    pub exe: Option<String>,
}

/// What the living processes tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Living {
    /// Those that have read it, or whose parent had; for an identity those that run as it.
    pub holders: Vec<Holder>,
    /// Those that run since before they could be watched, and are of the owner of a file that holds
    /// it, or of whoever is known to use it: they may have it in memory or environment.
    pub older: Vec<Holder>,
    /// How many others run since before.
    pub older_others: usize,
}

impl Assessment {
    pub(super) fn living(&mut self, subject: &Target, living: &Living) {
        let is_identity = matches!(subject, Target::Identity(_));
        let plural = |of: &[Holder]| counted(of.len() as u64, "living process");
        if !living.holders.is_empty() {
            let (code, what) = if is_identity {
                ("running", "runs as it")
            } else {
                ("held", "has read it and may use it from memory")
            };
            let (count, names) = (plural(&living.holders), named(&living.holders));
            self.add(Verdict::No, code, format!("{count} {what}: {names}"));
        }
        if !living.older.is_empty() {
            let (count, names) = (plural(&living.older), named(&living.older));
            self.add(
                Verdict::CannotTell,
                "older-processes",
                format!(
                    "{count} of its owner or its users started before they could be watched and may \
                     have it in memory or environment; restart them: {names}"
                ),
            );
        }
        if is_identity {
            return;
        }
        if living.older_others > 0 {
            self.caveats.push(format!(
                "{} of others started before they could be watched; one of root's may have read it",
                counted(living.older_others as u64, "living process")
            ));
        }
    }

    /// Takes in who has a file open that holds it, and how many processes could not be looked into.
    pub fn add_open(&mut self, open: &[Holder], unread: usize) {
        if !open.is_empty() {
            let (count, names) = (counted(open.len() as u64, "living process"), named(open));
            let text = format!("{count} has its file open: {names}");
            self.add(Verdict::No, "open", text);
            self.settle();
        }
        if unread > 0 {
            self.caveats.push(format!(
                "descriptors of {} could not be looked at: run this as root",
                counted(unread as u64, "process")
            ));
        }
    }
}

fn named(holders: &[Holder]) -> String {
    let mut names: Vec<_> = holders
        .iter()
        .take(NAMED)
        .map(|of| match &of.exe {
            Some(exe) => format!("{exe} (pid {})", of.pid),
            None => format!("pid {}", of.pid),
        })
        .collect();
    if holders.len() > NAMED {
        names.push(format!("and {} more", holders.len() - NAMED));
    }
    names.join(", ")
}
