//! Whether every account can come to a file.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::model::LocatedFile;

/// Whether a file with a secret can be read by all: its mode says so, and so do the directories
/// above it. Access lists are not asked.
pub(super) fn is_exposed(located: &LocatedFile) -> bool {
    let is_secret = located.credentials.iter().any(|of| of.kind.is_secret());
    is_secret && located.mode & 0o004 != 0 && is_reachable(&located.path)
}

fn is_reachable(path: &Path) -> bool {
    let Ok(path) = path.canonicalize() else {
        return false;
    };
    let lets_in = |directory: &Path| {
        directory
            .metadata()
            .is_ok_and(|metadata| metadata.mode() & 0o001 != 0)
    };
    path.ancestors().skip(1).all(lets_in)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_directory_that_nobody_may_enter_keeps_its_files() {
        let directory = tempfile::tempdir().unwrap();
        let mode = |mode| fs::set_permissions(directory.path(), Permissions::from_mode(mode));
        let file = directory.path().join("a");
        fs::write(&file, "x").unwrap();
        mode(0o711).unwrap();
        assert!(is_reachable(&file));
        mode(0o750).unwrap();
        assert!(!is_reachable(&file));
        assert!(!is_reachable(&directory.path().join("missing")));
    }
}
