//! Baselines: bodies that this module does not look into, each under its seal.

use rusqlite::Row;

use super::load::in_column;
use super::write::{Failure, prepare};
use super::{Result, Store};
use crate::model::{Selector, StoredBaseline, Timestamp};

/// A baseline, and the seal of who wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedBaseline {
    /// What is stored.
    pub stored: StoredBaseline,
    /// When.
    pub updated: Timestamp,
    /// By whoever holds the installation's key, over all of the above.
    pub seal: Vec<u8>,
}

/// A row as it was found: another program may have written anything into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundBaseline {
    /// A baseline, if its seal fits.
    Row(SealedBaseline),
    /// Something that credwatch does not write.
    Foreign {
        /// Of whom it says that it is.
        of: String,
    },
}

pub(super) fn upsert(to: &rusqlite::Connection, of: &SealedBaseline) -> Result<(), Failure> {
    let identity = of.stored.identity.as_ref();
    prepare(
        to,
        "INSERT OR REPLACE INTO baseline (identity, version, updated, body, seal)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute((
        identity.map_or("", Selector::as_str),
        of.stored.version,
        of.updated.0,
        &of.stored.body,
        &of.seal,
    ))?;
    Ok(())
}

pub(super) fn forget(to: &rusqlite::Connection, identity: &Selector) -> Result<(), Failure> {
    let sql = "DELETE FROM baseline WHERE identity = ?1";
    prepare(to, sql)?.execute([identity.as_str()])?;
    Ok(())
}

impl Store {
    /// All baselines, those first that were stored first. They are no part of
    /// [`super::Snapshot`], because only a daemon needs them and they are most of a database.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn baselines(&self) -> Result<Vec<FoundBaseline>> {
        self.rows(
            "SELECT identity, version, updated, body, seal FROM baseline
             ORDER BY updated, identity",
            [],
            found,
        )
    }
}

fn found(row: &Row<'_>) -> rusqlite::Result<FoundBaseline> {
    let of: String = row.get(0)?;
    let identity = if of.is_empty() {
        None
    } else {
        match of.parse() {
            Ok(identity) => Some(identity),
            Err(_) => return Ok(FoundBaseline::Foreign { of }),
        }
    };
    let Ok(version) = u16::try_from(row.get::<_, i64>(1)?) else {
        return Ok(FoundBaseline::Foreign { of });
    };
    let body = in_column(3, row, row.get_ref(3)?.as_blob())?;
    let seal = in_column(4, row, row.get_ref(4)?.as_blob())?;
    Ok(FoundBaseline::Row(SealedBaseline {
        stored: StoredBaseline {
            identity,
            version,
            body: body.to_vec(),
        },
        updated: Timestamp(row.get(2)?),
        seal: seal.to_vec(),
    }))
}

#[cfg(test)]
mod tests {
    use super::super::{Keep, Mode, Write};
    use super::*;

    fn of(identity: Option<&str>, updated: i64, body: &[u8]) -> SealedBaseline {
        SealedBaseline {
            stored: StoredBaseline {
                identity: identity.map(Selector::unix_user),
                version: 1,
                body: body.to_vec(),
            },
            updated: Timestamp(updated),
            seal: vec![7; 32],
        }
    }

    fn write(store: &mut Store, of: &[&SealedBaseline]) {
        let keep = of.iter().map(|of| Keep::Baseline((*of).clone()));
        let writes: Vec<_> = keep.map(|keep| Write::Keep(Box::new(keep))).collect();
        store.write(&writes).unwrap();
    }

    #[test]
    fn they_come_back_as_they_were_the_oldest_first() {
        let state = tempfile::tempdir().unwrap();
        let mut store = Store::open(state.path(), Mode::ReadWrite).unwrap();
        let (host, ana) = (of(None, 9, b"host"), of(Some("ana"), 7, &[0, 255]));
        let (old, new) = (of(Some("bob"), 3, b"old"), of(Some("bob"), 8, b"new"));
        write(&mut store, &[&host, &ana, &old]);
        write(&mut store, &[&new]);
        let expected: Vec<_> = [&ana, &new, &host]
            .map(|of| FoundBaseline::Row(of.clone()))
            .into();
        assert_eq!(store.baselines().unwrap(), expected);
        let gone = Keep::NoBaseline(Selector::unix_user("bob"));
        store.write(&[Write::Keep(Box::new(gone))]).unwrap();
        assert_eq!(store.baselines().unwrap().len(), 2);
    }

    #[test]
    fn what_others_write_is_told_apart() {
        let state = tempfile::tempdir().unwrap();
        let mut store = Store::open(state.path(), Mode::ReadWrite).unwrap();
        write(&mut store, &[&of(Some("ana"), 1, b"a")]);
        store
            .connection
            .execute_batch(
                "INSERT INTO baseline VALUES ('no selector', 1, 2, x'00', x'00');
                 INSERT INTO baseline VALUES ('unix:user:bob', 70000, 3, x'00', x'00');",
            )
            .unwrap();
        let found = store.baselines().unwrap();
        let foreign = |of: &str| FoundBaseline::Foreign { of: of.to_owned() };
        assert_eq!(found.len(), 3);
        assert_eq!(
            found[1..],
            [foreign("no selector"), foreign("unix:user:bob")]
        );
    }
}
