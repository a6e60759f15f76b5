//! Baselines where no daemon runs: what is stored of them, and what a recording teaches.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::{Context as _, anyhow};

use super::baselines::{unstored, verify};
use super::startup::load_config;
use super::words;
use crate::cli::{BaselinesLearned, CommandError};
use crate::config::DetectionConfig;
use crate::control::{Request, Response};
use crate::credential::FingerprintKey;
use crate::detection::Detector;
use crate::model::{Fact, Selector, Timestamp};
use crate::recording::Reader;
use crate::storage::{Mode, Store};

/// Answers a request about baselines.
pub(super) fn answer(request: &Request, detector: &Detector, now: Timestamp) -> Response {
    let failed = |message: String| Response::Error { message };
    match request {
        Request::Habits { identity } => {
            let selector: Selector = match identity.parse() {
                Ok(selector) => selector,
                Err(error) => return failed(format!("{error}")),
            };
            let Some(mut habits) = detector.state.baselines.habits(&selector) else {
                return failed(format!(
                    "nothing was learned of {selector}; `credwatch baseline list` says of whom \
                     something was"
                ));
            };
            for habit in &mut habits.where_to {
                let name = detector.state.host.names(habit.address).next();
                habit.name = name.map(str::to_owned);
            }
            Response::Habits(Box::new(habits))
        }
        Request::BaselineDigest { seconds } => {
            let back = i64::try_from(*seconds).unwrap_or(i64::MAX);
            let since = now.0.saturating_sub(back.saturating_mul(1_000_000_000));
            let digest = detector.digest(Timestamp(since.max(0)));
            Response::BaselineDigest(Box::new(digest))
        }
        _ => Response::Baselines(Box::new(detector.state.baselines.list())),
    }
}

/// The same from a database alone.
///
/// # Errors
/// When the database cannot be read.
pub fn baselines_offline(state_dir: &Path, request: &Request) -> Result<Response, CommandError> {
    let store = Store::open(state_dir, Mode::ReadOnly)?;
    let (detector, _) = stored(state_dir, &store)?;
    Ok(answer(request, &detector, Timestamp::now()))
}

/// A detector that knows what is stored of baselines and nothing else.
pub(super) fn stored(
    state_dir: &Path,
    store: &Store,
) -> Result<(Detector, FingerprintKey), CommandError> {
    let key = FingerprintKey::load_or_create(state_dir).map_err(anyhow::Error::from)?;
    let settings = match load_config(None) {
        Ok(config) => config.detection,
        Err(_) => DetectionConfig::default(),
    };
    let mut detector = Detector::new(settings);
    let verified = verify(store.baselines()?, &key, state_dir);
    for of in &verified.stored {
        detector.state.baselines.restore(of);
    }
    let words = store.words()?;
    let (words, foreign) = words::waiting(&words, &key, state_dir);
    for word in words {
        detector.state.baselines.say(&word.said, word.time);
    }
    for refused in detector.state.baselines.take_refused() {
        tracing::warn!("{refused}");
    }
    for fact in [verified.tampered, foreign].into_iter().flatten() {
        if let Fact::Tampered { path, detail, .. } = fact {
            tracing::warn!("{} {detail}", path.display());
        }
    }
    Ok((detector, key))
}

/// Learns the baselines of a recording into a state directory.
///
/// # Errors
/// When the recording is damaged or begins before what is known, or the database cannot be
/// written. Nothing is stored then.
pub fn learn_baselines(
    state_dir: &Path,
    recording: &Path,
) -> Result<BaselinesLearned, CommandError> {
    let shown = recording.display();
    let file = File::open(recording).with_context(|| format!("cannot open {shown}"))?;
    let reader = Reader::new(BufReader::new(file)).with_context(|| shown.to_string())?;
    let mut store = Store::open(state_dir, Mode::ReadWrite)?;
    let (mut detector, key) = stored(state_dir, &store)?;
    let known = detector.state.baselines.until();
    let mut facts = 0;
    for record in reader {
        let record = record.with_context(|| format!("{shown}: nothing was learned"))?;
        if facts == 0 {
            if record.time < known {
                return Err(anyhow!(
                    "{shown} begins at {}, and what is known in {} goes on until {known}: habits \
                     are learned forwards in time, so give it a state directory of its own",
                    record.time,
                    state_dir.display()
                )
                .into());
            }
            detector.state.baselines.unwatched(known, record.time);
        }
        facts += 1;
        detector.step(&record);
    }
    let now = Timestamp::now();
    loop {
        let writes = unstored(&mut detector, &key, now, 0);
        if writes.is_empty() {
            break;
        }
        store.write(&writes)?;
    }
    store.close()?;
    Ok(BaselinesLearned {
        facts,
        identities: detector.state.baselines.len(),
    })
}
