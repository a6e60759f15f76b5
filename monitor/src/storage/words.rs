//! What operators said of baselines: history, and what a daemon has still to take in.

use rusqlite::{Connection, Row};

use super::load::{in_column, name, selector_of};
use super::values::name_of;
use super::write::{Failure, prepare};
use super::{Result, Store};
use crate::model::{BaselineWord, Selector, Timestamp};

/// A word, and the seal of who took it down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedWord {
    /// When it was said.
    pub time: Timestamp,
    /// What.
    pub said: BaselineWord,
    /// By whoever holds the installation's key, over all of the above.
    pub seal: Vec<u8>,
    /// Whether what it did is stored.
    pub taken: bool,
}

/// Appends a word. Whether it is taken is told later.
pub(super) fn append(to: &Connection, of: &SealedWord) -> Result<(), Failure> {
    prepare(
        to,
        "INSERT INTO baseline_word (time, identity, word, said_by, reason, seal)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute((
        of.time.0,
        of.said.identity.as_str(),
        name_of("a word about a baseline", &of.said.word)?,
        &of.said.by,
        &of.said.reason,
        &of.seal,
    ))?;
    Ok(())
}

/// What all words about an identity did is stored.
pub(super) fn taken(to: &Connection, identity: &Selector) -> Result<(), Failure> {
    let sql = "UPDATE baseline_word SET taken = 1 WHERE identity = ?1 AND taken = 0";
    prepare(to, sql)?.execute([identity.as_str()])?;
    Ok(())
}

impl Store {
    /// All that was said of baselines, oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn words(&self) -> Result<Vec<SealedWord>> {
        self.rows(
            "SELECT time, identity, word, said_by, reason, seal, taken FROM baseline_word
             ORDER BY id",
            [],
            found,
        )
    }
}

fn found(row: &Row<'_>) -> rusqlite::Result<SealedWord> {
    let seal = in_column(5, row, row.get_ref(5)?.as_blob())?;
    Ok(SealedWord {
        time: Timestamp(row.get(0)?),
        said: BaselineWord {
            identity: selector_of(row, 1)?,
            word: name(row, 2)?,
            by: row.get(3)?,
            reason: row.get(4)?,
        },
        seal: seal.to_vec(),
        taken: row.get(6)?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Keep, Mode, Write};
    use super::*;
    use crate::model::Word;

    fn said(name: &str, word: Word, time: i64) -> SealedWord {
        SealedWord {
            time: Timestamp(time),
            said: BaselineWord {
                identity: Selector::unix_user(name),
                word,
                by: "ana".to_owned(),
                reason: "the new mirror".to_owned(),
            },
            seal: vec![7; 32],
            taken: false,
        }
    }

    fn write(of: &SealedWord) -> Write {
        Write::Said(Box::new(of.clone()))
    }

    #[test]
    fn words_are_history_and_wait_until_they_are_taken() {
        let state = tempfile::tempdir().unwrap();
        let mut store = Store::open(state.path(), Mode::ReadWrite).unwrap();
        let mut words = [
            said("backup", Word::Freeze, 5),
            said("web", Word::Forget, 6),
            said("backup", Word::Approve, 7),
        ];
        let writes: Vec<_> = words.iter().map(write).collect();
        store.write(&writes).unwrap();
        assert_eq!(store.load().unwrap().words, words);
        let taken = Keep::Said(Selector::unix_user("backup"));
        store.write(&[Write::Keep(Box::new(taken))]).unwrap();
        (words[0].taken, words[2].taken) = (true, true);
        assert_eq!(store.load().unwrap().words, words);
        for sql in [
            "UPDATE baseline_word SET reason = ''",
            "UPDATE baseline_word SET word = 'forget'",
            "DELETE FROM baseline_word",
        ] {
            let error = store.connection.execute(sql, []).unwrap_err();
            assert!(error.to_string().contains("is history"), "{sql}: {error}");
        }
    }
}
