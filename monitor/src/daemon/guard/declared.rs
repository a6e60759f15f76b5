//! Registry files and the configuration: what they say now against what is in force.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::super::restore::{self, DeclaredIn};
use super::super::startup::{CONFIG, read_config};
use super::stamp::Stamp;
use crate::config::Config;
use crate::model::{Fact, Relied, Target};

/// What a directory holds, or why that is not known.
type Listing = Result<BTreeMap<OsString, Stamp>, ErrorKind>;

/// Whatever is looked at by cheap means, and judged once it has settled: whoever writes files is
/// then done, and has had the time to reload.
#[derive(Debug)]
struct Settling<T> {
    seen: T,
    judged: T,
}

impl<T: Clone + PartialEq> Settling<T> {
    fn new(now: T) -> Self {
        Self {
            seen: now.clone(),
            judged: now,
        }
    }

    /// Whether `now` is new, and was the same at the last look.
    fn is_due(&mut self, now: T) -> bool {
        if now == self.judged {
            self.seen = now;
            return false;
        }
        let settled = now == self.seen;
        self.seen = now.clone();
        if settled {
            self.judged = now;
        }
        settled
    }
}

/// The files in which an operator declares things.
#[derive(Debug)]
pub(super) struct Declared {
    config: Config,
    named: Option<PathBuf>,
    files: Settling<Listing>,
    configuration: Settling<Option<Stamp>>,
}

impl Declared {
    /// With the configuration that is in force, and the name that it was given by.
    pub(super) fn new(config: Config, named: Option<PathBuf>) -> Self {
        // A first look judges whatever has changed since the start: nothing is taken for granted.
        let nothing = Settling::new(Err(ErrorKind::Interrupted));
        Self {
            config,
            named,
            files: nothing,
            configuration: Settling::new(None),
        }
    }

    /// What was changed and is not in force.
    pub(super) fn look(&mut self, in_force: &DeclaredIn) -> Vec<Fact> {
        let directory = self.config.registry.directory.clone();
        let mut facts = Vec::new();
        if self.files.is_due(list(&directory))
            && let Some((path, detail)) = judge_registry(&directory, in_force)
        {
            facts.push(Fact::Tampered {
                what: Relied::Registry,
                path,
                detail,
            });
        }
        let path = self.named.clone().unwrap_or_else(|| PathBuf::from(CONFIG));
        let stamp = Stamp::followed(&path).ok();
        if self.configuration.is_due(stamp)
            && let Some(detail) = self.judge_configuration(stamp)
        {
            facts.push(Fact::Tampered {
                what: Relied::Configuration,
                path,
                detail,
            });
        }
        facts
    }

    fn judge_configuration(&self, stamp: Option<Stamp>) -> Option<String> {
        let whose = stamp.map_or_else(|| "it is gone".to_owned(), |stamp| stamp.whose());
        match read_config(self.named.as_deref()) {
            Ok(now) if now == self.config => None,
            Ok(_) => Some(format!(
                "was changed and is not in force ({whose}): a restart takes it in"
            )),
            Err(error) => Some(format!(
                "can no longer be read or is wrong ({whose}), and the next start will fail: {}",
                first_line(&error.to_string())
            )),
        }
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

/// Where and how the files differ from the words in force.
fn judge_registry(directory: &Path, in_force: &DeclaredIn) -> Option<(PathBuf, String)> {
    let now = match restore::declared(directory, &[]) {
        Ok((_, now)) => now,
        Err(error) => {
            let detail = format!(
                "can no longer be read or is wrong, and the former words hold: {}",
                first_line(&error.to_string())
            );
            return Some((directory.to_owned(), detail));
        }
    };
    let mut differing: Vec<_> = now
        .keys()
        .chain(in_force.keys())
        .filter(|target| now.get(target) != in_force.get(target))
        .collect();
    differing.sort();
    differing.dedup();
    let first = *differing.first()?;
    let count = |is: fn(bool, bool) -> bool| {
        let is = |target: &&&Target| is(now.contains_key(target), in_force.contains_key(target));
        differing.iter().filter(is).count()
    };
    let said = now.get(first).or_else(|| in_force.get(first))?;
    let whose =
        Stamp::followed(&said.file).map_or_else(|_| "it is gone".to_owned(), |stamp| stamp.whose());
    let detail = format!(
        "was changed and is not in force ({whose}): {} declared anew, {} no longer, {} otherwise, \
         such as {}; a reload (SIGHUP) takes it in",
        count(|now, before| now && !before),
        count(|now, before| !now && before),
        count(|now, before| now && before),
        name(first)
    );
    Some((said.file.clone(), detail))
}

fn name(target: &Target) -> String {
    match target {
        Target::Credential(fingerprint) => fingerprint.to_string(),
        Target::Identity(selector) => selector.to_string(),
        Target::Path(path) => path.display().to_string(),
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    struct Host {
        directory: tempfile::TempDir,
        declared: Declared,
        in_force: DeclaredIn,
    }

    impl Host {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("credwatch.toml");
            let registry = directory.path().join("registry.d");
            fs::create_dir(&registry).unwrap();
            fs::write(&path, format!("[registry]\ndirectory = {registry:?}\n")).unwrap();
            fs::write(registry.join("a.toml"), retired("unix:user:a")).unwrap();
            let config = Config::load(&path).unwrap();
            let mut host = Self {
                directory,
                declared: Declared::new(config, Some(path)),
                in_force: DeclaredIn::new(),
            };
            host.reload();
            host
        }

        fn reload(&mut self) {
            let directory = &self.declared.config.registry.directory;
            self.in_force = restore::declared(directory, &[]).unwrap().1;
        }

        fn registry(&self, name: &str) -> PathBuf {
            self.declared.config.registry.directory.join(name)
        }

        /// What three looks tell, one after the other.
        fn tells(&mut self) -> [Option<String>; 3] {
            [(); 3].map(|()| {
                let mut facts = self.declared.look(&self.in_force);
                assert!(facts.len() < 2, "{facts:?}");
                facts.pop().map(|fact| match fact {
                    Fact::Tampered { what, path, detail } => {
                        let path = path.strip_prefix(self.directory.path()).unwrap();
                        format!("{} {} {detail}", what.label(), path.display())
                    }
                    other => panic!("{other:?}"),
                })
            })
        }

        fn check(&mut self, expected: &str) {
            let [first, second, third] = self.tells();
            assert_eq!((first, third), (None, None), "at the second look, once");
            let said = second.unwrap();
            assert!(said.contains(expected), "{said} has no {expected}");
        }
    }

    fn retired(selector: &str) -> String {
        format!("[[identity]]\nselector = \"{selector}\"\nstate = \"retired\"\n")
    }

    #[test]
    fn what_is_in_force_is_no_change() {
        let mut host = Host::new();
        assert_eq!(host.tells(), [None, None, None]);
        let touched = retired("unix:user:a") + "# a comment\n";
        fs::write(host.registry("a.toml"), touched).unwrap();
        fs::write(host.registry("notes.txt"), "no registry file").unwrap();
        assert_eq!(host.tells(), [None, None, None]);
    }

    #[test]
    fn words_that_are_not_in_force_are_told_until_a_reload() {
        let mut host = Host::new();
        host.tells();
        fs::write(host.registry("b.toml"), retired("unix:user:b")).unwrap();
        host.check("registry.d/b.toml was changed and is not in force (owner ");
        host.reload();
        fs::write(host.registry("b.toml"), retired("unix:user:c")).unwrap();
        host.check("1 declared anew, 1 no longer, 0 otherwise, such as unix:user:b; a reload");
        host.reload();
        fs::remove_file(host.registry("a.toml")).unwrap();
        host.check("a.toml was changed and is not in force (it is gone): 0 declared anew, 1 no");
        let decoy = retired("unix:user:c").replace("retired", "decoy");
        host.reload();
        fs::write(host.registry("b.toml"), decoy).unwrap();
        host.check("0 no longer, 1 otherwise, such as unix:user:c");
        fs::write(host.registry("b.toml"), retired("unix:user:c")).unwrap();
        assert_eq!(host.tells(), [None, None, None], "back as it was");
    }

    #[test]
    fn a_reload_before_it_has_settled_leaves_nothing_to_tell() {
        let mut host = Host::new();
        host.tells();
        fs::write(host.registry("b.toml"), retired("unix:user:b")).unwrap();
        assert_eq!(host.declared.look(&host.in_force), []);
        host.reload();
        assert_eq!(host.tells(), [None, None, None]);
    }

    #[test]
    fn a_file_that_is_wrong_or_unreadable_is_told() {
        let mut host = Host::new();
        host.tells();
        fs::write(host.registry("a.toml"), "[[identity]]\nstate = 7\n").unwrap();
        host.check("The registry registry.d can no longer be read or is wrong, and the former");
        fs::remove_dir_all(host.registry("")).unwrap();
        fs::write(host.directory.path().join("registry.d"), "no directory").unwrap();
        host.check("the directory cannot be read");
    }

    #[test]
    fn a_configuration_that_is_not_in_force_is_told() {
        let mut host = Host::new();
        host.tells();
        let path = host.declared.named.clone().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{text}# a comment\n")).unwrap();
        assert_eq!(host.tells(), [None, None, None]);
        fs::write(
            &path,
            format!("{text}[detection]\ndisabled = [\"CW-101\"]\n"),
        )
        .unwrap();
        host.check("The configuration credwatch.toml was changed and is not in force (owner ");
        fs::write(&path, "nonsense").unwrap();
        host.check("is wrong (owner ");
        fs::remove_file(&path).unwrap();
        host.check("(it is gone), and the next start will fail");
    }
}
