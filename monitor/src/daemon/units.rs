//! Tells of systemd units whose files came or went. A unit without a file of its own, made by a
//! generator or for the moment, is nobody's to remove.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use crate::model::Fact;
use crate::storage::Keep;

/// Where packages and administrators put units that stay.
const DIRECTORIES: &[&str] = &[
    "/etc/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
/// What has processes of its own.
const SERVICE: &str = ".service";

/// The unit files as they were last seen.
pub(super) struct Units {
    /// `None` where no daemon has looked before: there is nothing to compare with.
    names: Option<BTreeSet<String>>,
    modified: Vec<Option<SystemTime>>,
}

impl Units {
    /// Goes on from what an earlier daemon saw last.
    pub(super) fn new(stored: &[String]) -> Self {
        let stored = stored.iter().cloned();
        Self {
            names: Some(stored.collect()).filter(|names: &BTreeSet<_>| !names.is_empty()),
            modified: Vec::new(),
        }
    }

    /// What came and went since the last look, and what to keep of it. A stat of four directories
    /// where nothing has.
    pub(super) fn look(&mut self) -> (Vec<Fact>, Vec<Keep>) {
        let modified = |path: &&str| fs::metadata(path).and_then(|of| of.modified()).ok();
        let modified: Vec<_> = DIRECTORIES.iter().map(modified).collect();
        if modified == self.modified {
            return (Vec::new(), Vec::new());
        }
        self.modified = modified;
        self.compare(names(DIRECTORIES.iter().map(Path::new)))
    }

    fn compare(&mut self, now: BTreeSet<String>) -> (Vec<Fact>, Vec<Keep>) {
        let is_first = self.names.is_none();
        let before = self.names.replace(now.clone()).unwrap_or_default();
        let gone = before.difference(&now).map(|name| (name, false));
        let come = now.difference(&before).map(|name| (name, true));
        let changes: Vec<_> = gone.chain(come).collect();
        let facts = changes.iter().filter(|_| !is_first);
        let facts = facts.map(|&(name, present)| Fact::Unit {
            name: name.clone(),
            present,
        });
        let keep = changes.iter();
        let keep = keep.map(|&(name, present)| Keep::Unit(name.clone(), present));
        (facts.collect(), keep.collect())
    }
}

fn names<'a>(directories: impl Iterator<Item = &'a Path>) -> BTreeSet<String> {
    let entries = directories.filter_map(|path| fs::read_dir(path).ok());
    let names = entries.flatten().filter_map(Result::ok);
    names
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.ends_with(SERVICE))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_found_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["a.service", "b.timer", "c@.service", "d.service.d"] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        let found = names([directory.path()].into_iter());
        assert_eq!(
            found.into_iter().collect::<Vec<_>>(),
            ["a.service", "c@.service"]
        );
    }

    #[test]
    fn what_went_while_nobody_looked_is_told_and_a_first_look_tells_nothing() {
        let of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let told = |units: &mut Units, names: &[&str]| {
            let (facts, keep) = units.compare(of(names));
            let facts = facts.into_iter().map(|fact| match fact {
                Fact::Unit { name, present } => (name, present),
                other => panic!("{other:?}"),
            });
            let keep = keep.into_iter().map(|keep| match keep {
                Keep::Unit(name, present) => (name, present),
                other => panic!("{other:?}"),
            });
            (facts.collect::<Vec<_>>(), keep.collect::<Vec<_>>())
        };
        let (a, b) = (
            ("a.service".to_owned(), false),
            ("b.service".to_owned(), true),
        );
        let mut first = Units::new(&[]);
        assert_eq!(told(&mut first, &["b.service"]), (vec![], vec![b.clone()]));
        let mut units = Units::new(std::slice::from_ref(&a.0));
        let both = vec![a, b];
        assert_eq!(told(&mut units, &["b.service"]), (both.clone(), both));
        assert_eq!(told(&mut units, &["b.service"]), (vec![], vec![]));
    }
}
