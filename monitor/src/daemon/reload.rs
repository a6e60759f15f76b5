//! Takes in the configuration and the registry's files anew, while everything goes on: on SIGHUP, and
//! when a file has changed. A file that is wrong changes nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::core::Core;
use super::guard::Stamp;
use super::output::Stored;
use super::parts::Parts;
use super::restore::{self, DeclaredIn};
use super::startup::{self, CONFIG, read_config};
use crate::cli::StreamFormat;
use crate::config::{Config, ConfigError, Succession};
use crate::model::{CredentialState, RegistryChange, Relied, Target, Timestamp};
use crate::sinks::Sinks;
use crate::storage::{Mode, Store};

/// How long sinks that are replaced have for what they still hold.
const REPLACED: Duration = Duration::from_secs(30);

/// What the daemon goes by.
pub(super) struct InForce {
    /// The file that was named when it was started.
    named: Option<PathBuf>,
    output: StreamFormat,
    /// The configuration.
    pub(super) config: Config,
    /// What the registry's files say.
    pub(super) declared_in: DeclaredIn,
    /// When the configuration was last taken in.
    pub(super) since: Timestamp,
    /// Keys whose new values hold after a restart.
    pub(super) waiting: Vec<&'static str>,
    /// What is wrong with the configuration, in one line.
    pub(super) wrong: Option<String>,
    /// The same of the registry's files.
    pub(super) registry_wrong: Option<String>,
}

impl InForce {
    pub(super) fn new(
        named: Option<PathBuf>,
        output: StreamFormat,
        config: Config,
        declared_in: DeclaredIn,
    ) -> Self {
        Self {
            named,
            output,
            config,
            declared_in,
            since: Timestamp::now(),
            waiting: Vec::new(),
            wrong: None,
            registry_wrong: None,
        }
    }

    /// The file of the configuration, which need not exist.
    pub(super) fn file(&self) -> &Path {
        self.named.as_deref().unwrap_or(Path::new(CONFIG))
    }
}

/// Takes in what the files say now. Each of the two is taken in whole or not at all.
pub(super) async fn reload(core: &mut Core<Stored>, parts: &Parts, in_force: &mut InForce) {
    configuration(core, parts, in_force).await;
    registry(core, in_force).await;
    core.retire_with_owners().await;
}

async fn configuration(core: &mut Core<Stored>, parts: &Parts, in_force: &mut InForce) {
    let file = in_force.file().to_owned();
    let next = read_config(in_force.named.as_deref()).map_err(|error| one_line(&error));
    let prepared = next.and_then(|next| {
        let succession = in_force.config.succeeded_by(next);
        let change = Prepared::new(succession, parts, in_force.output)?;
        Ok(change)
    });
    match prepared {
        Err(error) => {
            tracing::error!(
                error,
                "the configuration is not taken in; the former one holds"
            );
            if in_force.wrong.as_ref() != Some(&error) {
                let detail = format!(
                    "can no longer be read or is wrong ({}); the former one holds, and the next \
                     start will fail: {error}",
                    whose(&file)
                );
                in_force.wrong = Some(error);
                core.tampered(Relied::Configuration, file, detail).await;
            }
        }
        Ok(prepared) => {
            in_force.wrong = None;
            in_force.since = Timestamp::now();
            let Succession { taken, waiting, .. } = &prepared.succession;
            if taken.is_empty() && *waiting == in_force.waiting {
                return;
            }
            tracing::info!(?taken, ?waiting, "the configuration was read again");
            // Told by what held until now: it may be the last that is.
            let detail = changed(taken, waiting, &whose(&file));
            core.tampered(Relied::Configuration, file, detail).await;
            in_force.waiting.clone_from(waiting);
            in_force.config = prepared.succession.in_force;
            core.go_by(&in_force.config, prepared.search);
            if let Some(sinks) = prepared.sinks {
                let former = std::mem::replace(&mut core.output.sinks, sinks);
                tokio::spawn(former.shutdown(REPLACED));
            }
        }
    }
}

/// `was changed (owner root, …) and holds: detection.disabled`
fn changed(taken: &[&str], waiting: &[&str], whose: &str) -> String {
    let mut said = format!("was changed ({whose})");
    if !taken.is_empty() {
        said += &format!(" and holds: {}", taken.join(", "));
    }
    if !waiting.is_empty() {
        said += &format!("; after a restart: {}", waiting.join(", "));
    }
    if taken.is_empty() && waiting.is_empty() {
        said += " back to what holds";
    }
    said
}

/// All that a configuration needs, made before anything is given up for it.
struct Prepared {
    succession: Succession,
    sinks: Option<Sinks>,
    search: Option<crate::credential::WatchHandle>,
}

impl Prepared {
    fn new(succession: Succession, parts: &Parts, output: StreamFormat) -> Result<Self, String> {
        let config = &succession.in_force;
        let changes = |section: &str| succession.taken.iter().any(|key| key.starts_with(section));
        let sinks = changes("[[sinks]]").then(|| Sinks::open(&startup::sinks(config, output)));
        let search = changes("discovery.").then(|| parts.search(config));
        Ok(Self {
            sinks: sinks.transpose().map_err(|error| error.to_string())?,
            search: search.transpose().map_err(|error| error.to_string())?,
            succession,
        })
    }
}

async fn registry(core: &mut Core<Stored>, in_force: &mut InForce) {
    let directory = in_force.config.registry.directory.clone();
    let history = Store::open(&core.own, Mode::ReadOnly).and_then(|store| store.changes());
    let history = match history {
        Ok(history) => history,
        Err(error) => {
            tracing::error!(%error, "the registry's files were not read again");
            return;
        }
    };
    let (changes, declared_in) = match restore::declared(&directory, &history) {
        Ok(declared) => declared,
        Err(error) => {
            tracing::error!(%error, "the registry's files are wrong; the former words hold");
            let error = one_line(&error);
            if in_force.registry_wrong.as_ref() != Some(&error) {
                let detail = format!(
                    "can no longer be read or is wrong, and the former words hold: {error}"
                );
                in_force.registry_wrong = Some(error);
                core.tampered(Relied::Registry, directory, detail).await;
            }
            return;
        }
    };
    in_force.registry_wrong = None;
    let lifted = lifted(&changes, &history);
    let number = changes.len();
    if let Err(error) = core.say(changes).await {
        tracing::error!(%error, "the registry's files were not taken in");
        return;
    }
    tracing::info!(changes = number, "the registry's files were read again");
    if let Some((first, more)) = lifted.split_first() {
        let said = in_force.declared_in.get(first).or(declared_in.get(first));
        let file = said.map_or(directory, |said| said.file.clone());
        let others = match more.len() {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        let detail = format!(
            "was changed ({}): nobody is told any more who uses {}{others}",
            whose(&file),
            name(first)
        );
        core.tampered(Relied::Registry, file, detail).await;
    }
    in_force.declared_in = declared_in;
    core.look_at_declared().await;
}

/// Of what was ended or a decoy, what is so no longer. The rest makes more be told than before.
fn lifted(changes: &[RegistryChange], history: &[(Timestamp, RegistryChange)]) -> Vec<Target> {
    let active = changes
        .iter()
        .filter(|change| change.state == CredentialState::Active);
    let lifted = active.filter(|change| {
        let mut before = history.iter().rev().map(|(_, before)| before);
        let before = before.find(|before| before.target == change.target);
        before.is_some_and(|before| before.state != CredentialState::Active)
    });
    lifted.map(|change| change.target.clone()).collect()
}

fn name(target: &Target) -> String {
    match target {
        Target::Credential(fingerprint) => fingerprint.to_string(),
        Target::Identity(selector) => selector.to_string(),
        Target::Path(path) => path.display().to_string(),
    }
}

fn whose(file: &Path) -> String {
    Stamp::followed(file).map_or_else(|_| "it is gone".to_owned(), |stamp| stamp.whose())
}

fn one_line(error: &ConfigError) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(selector: &str, state: CredentialState) -> RegistryChange {
        RegistryChange {
            target: Target::Identity(selector.parse().unwrap()),
            state,
            since: None,
            by: "legacy.toml".to_owned(),
            reason: None,
            owner: None,
        }
    }

    #[test]
    fn a_change_says_what_holds_and_what_waits() {
        let said = changed(&["life"], &["sensor.dns"], "owner root");
        assert_eq!(
            said,
            "was changed (owner root) and holds: life; after a restart: sensor.dns"
        );
        let said = changed(&[], &[], "owner root");
        assert_eq!(said, "was changed (owner root) back to what holds");
    }

    #[test]
    fn only_what_was_ended_can_be_lifted() {
        use CredentialState::{Active, Decoy, Retired};
        let history = [
            word("unix:user:a", Retired),
            word("unix:user:b", Decoy),
            word("unix:user:c", Retired),
            word("unix:user:c", Active),
        ];
        let history: Vec<_> = (0..).map(Timestamp).zip(history).collect();
        let changes = ["a", "b", "c", "d"].map(|name| word(&format!("unix:user:{name}"), Active));
        let expected = ["unix:user:a", "unix:user:b"];
        let lifted = lifted(&changes, &history);
        assert_eq!(lifted.iter().map(name).collect::<Vec<_>>(), expected);
        assert_eq!(super::lifted(&[word("unix:user:c", Retired)], &history), []);
    }
}
