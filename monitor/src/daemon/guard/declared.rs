//! Registry files and the configuration: whether they have changed.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::stamp::Stamp;

/// What a directory holds, or why that is not known.
type Listing = Result<BTreeMap<OsString, Stamp>, ErrorKind>;

/// Whatever is looked at by cheap means, and counts once it has settled: whoever writes files is then
/// done.
#[derive(Debug)]
struct Settling<T> {
    seen: Option<T>,
    told: Option<T>,
}

impl<T: Clone + PartialEq> Settling<T> {
    /// A first look counts too: nothing that has changed since the start is taken for granted.
    const NOTHING: Self = Self {
        seen: None,
        told: None,
    };

    /// Whether `now` is new, and was the same at the last look.
    fn is_due(&mut self, now: T) -> bool {
        let now = Some(now);
        let settled = now == self.seen;
        self.seen.clone_from(&now);
        if now == self.told || !settled {
            return false;
        }
        self.told = now;
        true
    }
}

/// The files in which an operator declares things.
#[derive(Debug)]
pub(super) struct Declared {
    registry: Settling<(PathBuf, Listing)>,
    configuration: Settling<Option<Stamp>>,
}

impl Declared {
    pub(super) fn new() -> Self {
        Self {
            registry: Settling::NOTHING,
            configuration: Settling::NOTHING,
        }
    }

    /// Whether there is something to take in: told once for each change.
    pub(super) fn has_changed(&mut self, configuration: &Path, registry: &Path) -> bool {
        let listing = (registry.to_owned(), list(registry));
        let registry = self.registry.is_due(listing);
        let configuration = Stamp::followed(configuration).ok();
        self.configuration.is_due(configuration) || registry
    }
}

fn list(directory: &Path) -> Listing {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        entries => entries.map_err(|error| error.kind())?,
    };
    let mut listing = BTreeMap::new();
    for entry in entries {
        let entry = entry.map_err(|error| error.kind())?;
        // One that has gone meanwhile is missing at the next look.
        if let Ok(stamp) = Stamp::followed(&entry.path()) {
            listing.insert(entry.file_name(), stamp);
        }
    }
    Ok(listing)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    struct Host {
        directory: tempfile::TempDir,
        declared: Declared,
    }

    impl Host {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            fs::create_dir(directory.path().join("registry.d")).unwrap();
            fs::write(directory.path().join("registry.d/a.toml"), "a").unwrap();
            fs::write(directory.path().join("credwatch.toml"), "a").unwrap();
            let declared = Declared::new();
            let mut host = Self {
                directory,
                declared,
            };
            assert_eq!(host.looks(), [false, true, false], "at the start, once");
            host
        }

        fn looks(&mut self) -> [bool; 3] {
            [(); 3].map(|()| {
                let at = |name: &str| self.directory.path().join(name);
                self.declared
                    .has_changed(&at("credwatch.toml"), &at("registry.d"))
            })
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.directory.path().join(name), text).unwrap();
        }
    }

    #[test]
    fn each_change_is_told_once_when_it_has_settled() {
        let mut host = Host::new();
        assert_eq!(host.looks(), [false; 3]);
        for (name, text) in [
            ("credwatch.toml", "another"),
            ("registry.d/a.toml", "another"),
            ("registry.d/b.toml", "new"),
        ] {
            host.write(name, text);
            assert_eq!(host.looks(), [false, true, false], "{name}");
        }
        fs::remove_file(host.directory.path().join("registry.d/a.toml")).unwrap();
        assert_eq!(host.looks(), [false, true, false]);
        fs::remove_file(host.directory.path().join("credwatch.toml")).unwrap();
        assert_eq!(host.looks(), [false, true, false]);
    }

    #[test]
    fn who_is_still_writing_is_waited_for() {
        let mut host = Host::new();
        let at = |name: &str| host.directory.path().join(name);
        let (configuration, registry) = (at("credwatch.toml"), at("registry.d"));
        for text in ["1", "12", "123"] {
            host.write("credwatch.toml", text);
            assert!(!host.declared.has_changed(&configuration, &registry));
        }
        assert!(host.declared.has_changed(&configuration, &registry));
    }

    #[test]
    fn a_directory_that_cannot_be_read_is_a_change() {
        let mut host = Host::new();
        fs::remove_dir_all(host.directory.path().join("registry.d")).unwrap();
        host.write("registry.d", "no directory");
        assert_eq!(host.looks(), [false, true, false]);
    }
}
