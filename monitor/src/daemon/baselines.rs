//! Baselines from before, and for later: what was learned comes in as facts where its seal is this
//! installation's, and what has changed goes to the database.

use std::path::Path;

use super::core::{Core, Output};
use super::output::Stored;
use super::words;
use crate::credential::FingerprintKey;
use crate::detection::Detector;
use crate::model::{Fact, Relied, StoredBaseline, Timestamp};
use crate::storage::{FILE_NAME, FoundBaseline, Keep, SealedBaseline, SealedWord, Write};

/// What seals of baselines are made under.
const DOMAIN: &str = "baseline";
/// Seconds between two writes of one identity: what is lost at the most when the daemon is killed.
const EVERY: u32 = 180;

/// Rows that are this installation's, and what is to be said of the others.
pub(super) struct Verified {
    /// In the order in which they were stored.
    pub(super) stored: Vec<StoredBaseline>,
    /// One for all that are not.
    pub(super) tampered: Option<Fact>,
}

/// Tells what this installation has written from what others have.
pub(super) fn verify(
    found: Vec<FoundBaseline>,
    key: &FingerprintKey,
    state_dir: &Path,
) -> Verified {
    let (mut stored, mut foreign) = (Vec::new(), Vec::new());
    for row in found {
        match row {
            FoundBaseline::Row(of) => {
                let (version, updated) = numbers(&of.stored, of.updated);
                let parts = parts(&of.stored, &version, &updated);
                if key.is_sealed(DOMAIN, &parts, &of.seal) {
                    stored.push(of.stored);
                } else {
                    foreign.push(of.stored.of().to_owned());
                }
            }
            FoundBaseline::Foreign { of } => foreign.push(of),
        }
    }
    let tampered = foreign.first().map(|first| Fact::Tampered {
        what: Relied::Database,
        path: state_dir.join(FILE_NAME),
        detail: match foreign.len() {
            1 => format!(
                "holds a baseline of {first} that this installation did not write: it is learned \
                 anew"
            ),
            more => format!(
                "holds {more} baselines that this installation did not write, the first of {first}: \
                 they are learned anew"
            ),
        },
    });
    Verified { stored, tampered }
}

fn numbers(of: &StoredBaseline, updated: Timestamp) -> ([u8; 2], [u8; 8]) {
    (of.version.to_be_bytes(), updated.0.to_be_bytes())
}

fn parts<'a>(of: &'a StoredBaseline, version: &'a [u8], updated: &'a [u8]) -> [&'a [u8]; 4] {
    let identity = of.identity.as_ref().map_or("", |of| of.as_str());
    [identity.as_bytes(), version, updated, &of.body]
}

fn seal(stored: StoredBaseline, updated: Timestamp, key: &FingerprintKey) -> SealedBaseline {
    let (version, moment) = numbers(&stored, updated);
    let seal = key.seal(DOMAIN, &parts(&stored, &version, &moment));
    SealedBaseline {
        stored,
        updated,
        seal,
    }
}

/// A part of what the database does not know yet; empty once it knows all that is due.
pub(super) fn unstored(
    detector: &mut Detector,
    key: &FingerprintKey,
    now: Timestamp,
    every: u32,
) -> Vec<Write> {
    let unstored = detector.state.baselines.take_unstored(now, every);
    let changed = unstored.changed.into_iter();
    let changed = changed.map(|of| Keep::Baseline(seal(of, now, key)));
    let forgotten = unstored.forgotten.into_iter().map(Keep::NoBaseline);
    let said = unstored.said.into_iter().map(Keep::Said);
    let keep = forgotten.chain(changed).chain(said);
    keep.map(|keep| Write::Keep(Box::new(keep))).collect()
}

impl<O: Output> Core<O> {
    /// Takes in what was learned before, and what was said of it since it was stored.
    pub(super) async fn restore_baselines(
        &mut self,
        found: Vec<FoundBaseline>,
        words: &[SealedWord],
    ) {
        let verified = verify(found, &self.key, &self.own);
        for stored in verified.stored {
            self.fact(Fact::Baseline(stored)).await;
        }
        for refused in self.detector.state.baselines.take_refused() {
            tracing::warn!("{refused}");
        }
        let (words, foreign) = words::waiting(words, &self.key, &self.own);
        for word in words {
            self.fact(Fact::BaselineWord(word.said.clone())).await;
        }
        for fact in [verified.tampered, foreign].into_iter().flatten() {
            self.fact(fact).await;
        }
    }
}

impl Core<Stored> {
    /// Hands to the database what has changed and was not handed to it for a while.
    pub(super) fn keep_baselines(&mut self) {
        let now = self.sensor.now();
        self.output
            .keep(unstored(&mut self.detector, &self.key, now, EVERY));
    }

    /// Stores all that has changed, at the end.
    pub(super) async fn store_baselines(&mut self) {
        let now = self.sensor.now();
        loop {
            let writes = unstored(&mut self.detector, &self.key, now, 0);
            if writes.is_empty() {
                return;
            }
            self.output.store(writes).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Selector;

    #[test]
    fn what_others_changed_is_told_and_not_taken_in() {
        let state = tempfile::tempdir().unwrap();
        let key = FingerprintKey::load_or_create(state.path()).unwrap();
        let of = |name: &str| StoredBaseline {
            identity: Some(Selector::unix_user(name)),
            version: 1,
            body: vec![1, 2, 3],
        };
        let good = seal(of("ana"), Timestamp(5), &key);
        let mut flipped = seal(of("bob"), Timestamp(5), &key);
        flipped.stored.body[1] ^= 1;
        let mut moved = seal(of("carl"), Timestamp(5), &key);
        moved.stored.identity = Some(Selector::unix_user("dora"));
        let mut dated = seal(of("emil"), Timestamp(5), &key);
        dated.updated = Timestamp(6);
        let mut other_form = seal(of("fritz"), Timestamp(5), &key);
        other_form.stored.version = 2;
        let mut of_host = seal(of("gina"), Timestamp(5), &key);
        of_host.stored.identity = None;
        let bad = [flipped, moved, dated, other_form, of_host];
        for row in &bad {
            let found = vec![FoundBaseline::Row(row.clone())];
            let verified = verify(found, &key, state.path());
            assert_eq!(verified.stored, []);
            assert!(verified.tampered.is_some(), "{row:?}");
        }
        let rows = bad.into_iter().chain([good.clone()]);
        let verified = verify(rows.map(FoundBaseline::Row).collect(), &key, state.path());
        assert_eq!(verified.stored, [good.stored]);
        let Some(Fact::Tampered { detail, .. }) = verified.tampered else {
            panic!("nothing is said")
        };
        assert!(detail.starts_with("holds 5 baselines"), "{detail}");
        assert!(detail.contains("unix:user:bob"), "{detail}");
    }
}
