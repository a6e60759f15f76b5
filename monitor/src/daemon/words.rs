//! What operators say of baselines: `credwatch baseline approve|forget|freeze|unfreeze`.

use std::path::Path;

use anyhow::anyhow;

use super::baselines::unstored;
use super::core::Core;
use super::learn;
use super::output::Stored;
use crate::cli::CommandError;
use crate::control::protocol::WordView;
use crate::control::{PeerUser, Request, Response};
use crate::credential::FingerprintKey;
use crate::detection::Detector;
use crate::model::{BaselineWord, Fact, Record, RegistryChange, Relied, Timestamp, Word};
use crate::storage::{FILE_NAME, Mode, SealedWord, Store, Write};

/// What seals of words are made under.
const DOMAIN: &str = "baseline word";
/// Longest reason, in bytes: it is kept with the baseline.
const REASON: usize = 512;

/// What a client asks for.
pub(super) struct Wish<'a> {
    pub(super) identity: &'a str,
    pub(super) word: Word,
    pub(super) reason: String,
}

impl Wish<'_> {
    /// The word, if it can be taken.
    fn of(self, by: &str, detector: &Detector) -> Result<BaselineWord, String> {
        if self.reason.trim().is_empty() {
            return Err("a word about a baseline needs a reason: say why with --reason".to_owned());
        }
        if self.reason.len() > REASON {
            return Err(format!(
                "the reason has {} bytes, and {REASON} are kept: say it in fewer words",
                self.reason.len()
            ));
        }
        let identity = self.identity.parse();
        let identity =
            identity.map_err(|error: crate::model::identity::SelectorError| error.to_string())?;
        let may = detector.state.baselines.may_say(&identity, self.word);
        may.map_err(|error| error.to_string())?;
        let by = match by {
            // A user of this name does not speak for the program.
            RegistryChange::DERIVED => format!("user {by}"),
            by => by.to_owned(),
        };
        Ok(BaselineWord {
            identity,
            word: self.word,
            by,
            reason: self.reason,
        })
    }
}

fn parts<'a>(said: &'a BaselineWord, time: &'a [u8]) -> [&'a [u8]; 5] {
    [
        time,
        said.identity.as_str().as_bytes(),
        said.word.done().as_bytes(),
        said.by.as_bytes(),
        said.reason.as_bytes(),
    ]
}

fn sealed(said: BaselineWord, time: Timestamp, key: &FingerprintKey) -> SealedWord {
    let seal = key.seal(DOMAIN, &parts(&said, &time.0.to_be_bytes()));
    SealedWord {
        time,
        said,
        seal,
        taken: false,
    }
}

/// Words that what is stored of baselines does not know yet, and what is to be said of those that this
/// installation did not take down.
pub(super) fn waiting<'a>(
    words: &'a [SealedWord],
    key: &FingerprintKey,
    state_dir: &Path,
) -> (Vec<&'a SealedWord>, Option<Fact>) {
    let waiting = words.iter().filter(|of| !of.taken);
    let (own, foreign): (Vec<_>, Vec<_>) = waiting.partition(|of| {
        let time = of.time.0.to_be_bytes();
        key.is_sealed(DOMAIN, &parts(&of.said, &time), &of.seal)
    });
    let tampered = foreign.first().map(|first| Fact::Tampered {
        what: Relied::Database,
        path: state_dir.join(FILE_NAME),
        detail: format!(
            "holds a word about the baseline of {} that this installation did not take down: it is \
             not taken in",
            first.said.identity
        ),
    });
    (own, tampered)
}

/// Takes a word: on disk before anybody is told that it is so.
pub(super) async fn say(wish: Wish<'_>, peer: &PeerUser, core: &mut Core<Stored>) -> Response {
    match try_say(wish, peer, core).await {
        Ok(view) => Response::BaselineWord(Box::new(view)),
        Err(message) => Response::Error { message },
    }
}

async fn try_say(
    wish: Wish<'_>,
    peer: &PeerUser,
    core: &mut Core<Stored>,
) -> Result<WordView, String> {
    let said = wish.of(&peer.name, &core.detector)?;
    let time = core.sensor.now();
    let write = Write::Said(Box::new(sealed(said.clone(), time, &core.key)));
    let stored = core.output.storage.commit(vec![write]).await;
    stored.map_err(|error| format!("nothing was changed: {error}"))?;
    let fact = Fact::BaselineWord(said);
    core.take(Record { time, fact }).await;
    core.keep_baselines();
    let view = core.detector.take_said();
    view.ok_or_else(|| "the word is stored, and not taken in: restart the daemon".to_owned())
}

/// Takes a word where no daemon runs, in the name of `by`: what it does is in the database then.
///
/// # Errors
/// When the word cannot be taken, or the database cannot be written. Nothing is changed then.
pub fn word_offline(
    state_dir: &Path,
    request: &Request,
    by: &str,
) -> Result<WordView, CommandError> {
    let Request::BaselineWord {
        identity,
        word,
        reason,
    } = request
    else {
        return Err(anyhow!("this needs a running daemon").into());
    };
    let mut store = Store::open(state_dir, Mode::ReadWrite)?;
    let (mut detector, key) = learn::stored(state_dir, &store)?;
    let wish = Wish {
        identity,
        word: *word,
        reason: reason.clone(),
    };
    let said = wish.of(by, &detector);
    let said = said.map_err(|message| anyhow!(message))?;
    let now = Timestamp::now();
    let view = detector.state.baselines.say(&said, now);
    let mut writes = vec![Write::Said(Box::new(sealed(said, now, &key)))];
    writes.extend(unstored(&mut detector, &key, now, 0));
    store.write(&writes)?;
    store.close()?;
    Ok(view)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Selector;

    fn said() -> BaselineWord {
        BaselineWord {
            identity: Selector::unix_user("ana"),
            word: Word::Freeze,
            by: "root".to_owned(),
            reason: "a new version comes".to_owned(),
        }
    }

    #[test]
    fn a_word_that_others_wrote_is_told_and_not_taken() {
        let state = tempfile::tempdir().unwrap();
        let key = FingerprintKey::load_or_create(state.path()).unwrap();
        let own = sealed(said(), Timestamp(5), &key);
        let mut taken = own.clone();
        taken.taken = true;
        let mut other_word = own.clone();
        other_word.said.word = Word::Approve;
        let mut other_identity = own.clone();
        other_identity.said.identity = Selector::unix_user("bob");
        let mut dated = own.clone();
        dated.time = Timestamp(6);
        for foreign in [other_word, other_identity, dated] {
            let words = [foreign, own.clone(), taken.clone()];
            let (waiting, tampered) = waiting(&words, &key, state.path());
            assert_eq!(waiting, [&own]);
            let Some(Fact::Tampered { detail, .. }) = tampered else {
                panic!("nothing is said of {:?}", words[0])
            };
            assert!(detail.contains("did not take down"), "{detail}");
        }
    }

    #[test]
    fn what_cannot_be_said_tells_what_to_do() {
        let detector = Detector::new(crate::config::DetectionConfig::default());
        let refused = |identity: &str, reason: &str| {
            let wish = Wish {
                identity,
                word: Word::Freeze,
                reason: reason.to_owned(),
            };
            wish.of("root", &detector).unwrap_err()
        };
        assert!(refused("unix:user:ana", " ").contains("--reason"));
        assert!(refused("unix:user:ana", &"x".repeat(600)).contains("600 bytes"));
        assert!(refused("ana", "why").contains("ana"));
        assert!(refused("unix:user:ana", "why").contains("credwatch baseline list"));
    }
}
