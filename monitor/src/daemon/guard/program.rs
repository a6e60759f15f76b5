//! The program on disk against the one that runs.

use std::path::{Path, PathBuf};

use super::stamp::Stamp;
use crate::model::{Fact, Relied};

/// What /proc adds to the path of a program whose file is gone.
const DELETED: &str = " (deleted)";

/// The daemon's own program.
#[derive(Debug)]
pub(super) struct Program {
    /// `None` where /proc does not tell it.
    path: Option<PathBuf>,
    runs: Option<Stamp>,
    /// What was found at the last look, and whether it was told.
    seen: Option<Stamp>,
    told: bool,
}

impl Program {
    /// As the kernel runs it.
    pub(super) fn own() -> Self {
        Self::of(Path::new("/proc/self/exe"))
    }

    fn of(link: &Path) -> Self {
        let path = std::fs::read_link(link).ok().map(without_mark);
        // Through the link it is the file that runs, also when that has no name any more.
        let runs = Stamp::followed(link).ok();
        Self {
            path,
            runs,
            seen: runs,
            told: false,
        }
    }

    /// Tells once that another program lies there, when it has been the same at two looks: an
    /// upgrade restarts the daemon in a moment.
    pub(super) fn look(&mut self) -> Option<Fact> {
        let (path, runs) = (self.path.as_ref()?, self.runs?);
        let now = Stamp::followed(path).ok();
        let settled = std::mem::replace(&mut self.seen, now) == now;
        let same = now.is_some_and(|now| now.is_same_file(&runs) && now.has_same_content(&runs));
        if same || !settled || self.told {
            return None;
        }
        self.told = true;
        let what = match now {
            Some(now) => format!("was replaced ({})", now.whose()),
            None => "was removed".to_owned(),
        };
        Some(Fact::Tampered {
            what: Relied::Program,
            path: path.clone(),
            detail: format!("{what}: the program on disk is not the one that runs"),
        })
    }
}

fn without_mark(path: PathBuf) -> PathBuf {
    match path.to_str().and_then(|text| text.strip_suffix(DELETED)) {
        Some(text) => PathBuf::from(text),
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A link as /proc has it.
    fn program(directory: &Path) -> (PathBuf, Program) {
        let (path, link) = (directory.join("program"), directory.join("exe"));
        fs::write(&path, "one").unwrap();
        symlink(&path, &link).unwrap();
        let program = Program::of(&link);
        (path, program)
    }

    #[test]
    fn another_program_is_told_once_it_has_stayed() {
        let directory = tempfile::tempdir().unwrap();
        let (path, mut program) = program(directory.path());
        assert_eq!(program.look(), None);
        let new = directory.path().join("new");
        fs::write(&new, "two").unwrap();
        fs::rename(&new, &path).unwrap();
        assert_eq!(program.look(), None, "not yet");
        let Some(Fact::Tampered { detail, .. }) = program.look() else {
            panic!("nothing")
        };
        assert!(detail.starts_with("was replaced (owner "), "{detail}");
        assert_eq!(program.look(), None, "once");
    }

    #[test]
    fn a_program_that_is_removed_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let (path, mut program) = program(directory.path());
        fs::remove_file(path).unwrap();
        assert_eq!(program.look(), None, "not yet");
        assert!(program.look().is_some());
    }

    #[test]
    fn the_mark_of_a_deleted_program_is_no_part_of_its_path() {
        let path = without_mark(PathBuf::from("/usr/local/bin/credwatch (deleted)"));
        assert_eq!(path, Path::new("/usr/local/bin/credwatch"));
        assert!(Program::own().runs.is_some());
    }
}
