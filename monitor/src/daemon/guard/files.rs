//! The daemon's own files, which nobody else has a reason to touch.

use std::path::{Path, PathBuf};

use super::stamp::Stamp;
use crate::credential::KEY_FILE_NAME;
use crate::model::{Fact, Relied};
use crate::storage::FILE_NAME;

/// How a file may change without anybody's doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// Not at all.
    Untouched,
    /// The daemon writes to it, and never makes it smaller.
    Grows,
    /// The daemon writes to it.
    Written,
}

/// One of them.
#[derive(Debug)]
struct Own {
    what: Relied,
    path: PathBuf,
    rest: Rest,
    /// `None` once it is gone.
    expected: Option<Stamp>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct OwnFiles(Vec<Own>);

impl OwnFiles {
    /// What lies in a state directory now is what is expected. A file that is not there is not
    /// expected, such as the log of a database that was never written.
    pub(super) fn new(state_dir: &Path) -> Self {
        let database = |suffix: &str| state_dir.join(format!("{FILE_NAME}{suffix}"));
        let own = [
            (Relied::StateDirectory, state_dir.to_owned(), Rest::Written),
            (Relied::Database, database(""), Rest::Grows),
            (Relied::Database, database("-wal"), Rest::Written),
            (Relied::Database, database("-shm"), Rest::Written),
            (
                Relied::FingerprintKey,
                state_dir.join(KEY_FILE_NAME),
                Rest::Untouched,
            ),
        ];
        let own = own.into_iter().filter_map(|(what, path, rest)| {
            Some(Own {
                what,
                expected: Some(Stamp::of(&path).ok()?),
                path,
                rest,
            })
        });
        Self(own.collect())
    }

    /// What has changed since the last look.
    pub(super) fn look(&mut self) -> Vec<Fact> {
        self.0.iter_mut().filter_map(Own::look).collect()
    }
}

impl Own {
    fn look(&mut self) -> Option<Fact> {
        let now = Stamp::of(&self.path).ok();
        let before = std::mem::replace(&mut self.expected, now);
        let detail = self.difference(before.as_ref(), now.as_ref())?;
        Some(Fact::Tampered {
            what: self.what,
            path: self.path.clone(),
            detail,
        })
    }

    fn difference(&self, before: Option<&Stamp>, now: Option<&Stamp>) -> Option<String> {
        let detail = match (before, now) {
            (None, None) => return None,
            (Some(_), None) => format!("was removed{}", self.consequence()),
            (None, Some(now)) => format!("is there again as another file ({})", now.whose()),
            (Some(before), Some(now)) if !now.is_same_file(before) => {
                let consequence = self.consequence();
                format!("was replaced ({}){consequence}", now.whose())
            }
            (Some(before), Some(now)) if !now.has_same_owner_and_mode(before) => format!(
                "has another owner or mode: it was {}, and is {}",
                before.access(),
                now.access()
            ),
            (Some(before), Some(now)) => match self.rest {
                Rest::Written => return None,
                Rest::Grows if now.size >= before.size => return None,
                Rest::Grows => format!("was cut from {} to {} bytes", before.size, now.size),
                Rest::Untouched if now == before => return None,
                Rest::Untouched => format!("was written to or touched ({})", now.whose()),
            },
        };
        Some(detail)
    }

    fn consequence(&self) -> &'static str {
        match self.what {
            Relied::Database => {
                ": what the daemon stores goes into the former file and is lost with its end"
            }
            Relied::FingerprintKey => {
                ": after a restart, secrets without a public part have other names"
            }
            _ => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, Permissions};
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    struct State(tempfile::TempDir);

    impl State {
        fn new() -> Self {
            let state = Self(tempfile::tempdir().unwrap());
            for name in ["credwatch.db", "credwatch.db-wal", "fingerprint.key"] {
                fs::write(state.at(name), "something").unwrap();
            }
            state
        }

        fn at(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        /// What is told after `change`, once.
        fn tells(&self, change: impl FnOnce(&Self)) -> Vec<String> {
            let mut own = OwnFiles::new(self.0.path());
            assert_eq!(own.look(), []);
            change(self);
            let told = own.look();
            assert_eq!(own.look(), [], "once");
            let told = told.into_iter().map(|fact| match fact {
                Fact::Tampered { what, path, detail } => {
                    let name = path.strip_prefix(self.0.path()).unwrap();
                    format!("{} {} {detail}", what.label(), name.display())
                }
                other => panic!("{other:?}"),
            });
            told.collect()
        }
    }

    fn check(change: impl FnOnce(&State), expected: &[&str]) {
        let told = State::new().tells(change);
        assert_eq!(told.len(), expected.len(), "{told:?}");
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.starts_with(expected), "{told} is not {expected}");
        }
    }

    fn append(path: &Path) {
        let mut file = File::options().append(true).open(path).unwrap();
        file.write_all(b" more").unwrap();
    }

    #[test]
    fn the_daemons_own_writing_is_no_change() {
        check(
            |state| {
                append(&state.at("credwatch.db"));
                fs::write(state.at("credwatch.db-wal"), "").unwrap();
                fs::write(state.at("another"), "").unwrap();
            },
            &[],
        );
    }

    #[test]
    fn what_is_replaced_removed_or_cut_is_told() {
        let copy_over = |state: &State, name: &str| {
            fs::copy(state.at(name), state.at("copy")).unwrap();
            fs::rename(state.at("copy"), state.at(name)).unwrap();
        };
        check(
            |state| copy_over(state, "credwatch.db"),
            &["The database credwatch.db was replaced (owner "],
        );
        check(
            |state| fs::remove_file(state.at("credwatch.db-wal")).unwrap(),
            &["The database credwatch.db-wal was removed: what "],
        );
        check(
            |state| drop(File::create(state.at("credwatch.db")).unwrap()),
            &["The database credwatch.db was cut from 9 to 0 bytes"],
        );
        check(
            |state| copy_over(state, "fingerprint.key"),
            &["The fingerprint key fingerprint.key was replaced"],
        );
        check(
            |state| append(&state.at("fingerprint.key")),
            &["The fingerprint key fingerprint.key was written to"],
        );
    }

    #[test]
    fn a_new_mode_is_told_with_both() {
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        };
        check(
            |state| {
                mode(state.0.path(), 0o777);
                mode(&state.at("credwatch.db"), 0o666);
            },
            &[
                "The state directory  has another owner or mode: it was ",
                "The database credwatch.db has another owner or mode: it was ",
            ],
        );
    }

    #[test]
    fn what_comes_back_is_another_file() {
        let state = State::new();
        let mut own = OwnFiles::new(state.0.path());
        fs::rename(state.at("credwatch.db"), state.at("away")).unwrap();
        assert_eq!(own.look().len(), 1);
        fs::write(state.at("credwatch.db"), "another").unwrap();
        let told = own.look();
        let [Fact::Tampered { detail, .. }] = &told[..] else {
            panic!("{told:?}")
        };
        assert!(detail.starts_with("is there again"), "{detail}");
    }
}
