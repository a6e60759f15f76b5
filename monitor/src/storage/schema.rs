//! The schema's versions. `PRAGMA user_version` holds how many of the numbered migrations a
//! database has been through.

use rusqlite::{Connection, TransactionBehavior};

/// Marks a database as credwatch's (`PRAGMA application_id`): "CRWD" in ASCII.
pub(super) const APPLICATION_ID: i32 = 0x4352_5744;

/// All migrations, in order. One that was released is never changed: a new one is added.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_runs.sql"),
    include_str!("migrations/0003_life.sql"),
    include_str!("migrations/0004_users.sql"),
    include_str!("migrations/0005_offboard.sql"),
    include_str!("migrations/0006_units.sql"),
    include_str!("migrations/0007_rights.sql"),
    include_str!("migrations/0008_cluster.sql"),
    include_str!("migrations/0009_baselines.sql"),
    include_str!("migrations/0010_baseline_words.sql"),
];

/// How many migrations a database has been through.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Runs the migrations that a database lacks, each in a transaction of its own, so that one that
/// fails leaves the database as the one before it left it.
pub(super) fn migrate(connection: &mut Connection, migrations: &[&str]) -> rusqlite::Result<()> {
    let done = version(connection)?;
    for (number, sql) in (1u32..).zip(migrations).skip(done as usize) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(connection: &Connection) -> Vec<String> {
        connection
            .prepare("SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_schema ORDER BY 1")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect()
    }

    #[test]
    fn every_version_migrates_to_the_same_schema() {
        let mut whole = Connection::open_in_memory().unwrap();
        migrate(&mut whole, MIGRATIONS).unwrap();
        for start in 0..=MIGRATIONS.len() {
            let mut connection = Connection::open_in_memory().unwrap();
            migrate(&mut connection, &MIGRATIONS[..start]).unwrap();
            assert_eq!(version(&connection).unwrap() as usize, start);
            migrate(&mut connection, MIGRATIONS).unwrap();
            assert_eq!(version(&connection).unwrap() as usize, MIGRATIONS.len());
            assert_eq!(tables(&connection), tables(&whole), "from version {start}");
        }
        for name in [
            "table credential ",
            "table location ",
            "table registry_change ",
            "view registry_state ",
            "table identity_seen ",
            "table usage ",
            "table alert ",
            "table meta ",
            "table run ",
            "table succession ",
            "table rhythm ",
            "table credential_learning ",
            "table credential_user ",
            "table exception ",
            "table watched ",
            "table unwatched ",
            "table use_pattern ",
            "table account ",
            "table removal ",
            "table cluster_object ",
            "table baseline ",
            "table baseline_word ",
        ] {
            assert!(
                tables(&whole).iter().any(|row| row.starts_with(name)),
                "{name}"
            );
        }
    }

    #[test]
    fn a_migration_that_fails_leaves_the_version_before_it() {
        let mut connection = Connection::open_in_memory().unwrap();
        let steps = [
            "CREATE TABLE a (x); INSERT INTO a VALUES (7);",
            "ALTER TABLE a ADD COLUMN y; INSERT INTO nowhere VALUES (1);",
        ];
        assert!(migrate(&mut connection, &steps).is_err());
        assert_eq!(version(&connection).unwrap(), 1);
        let columns: i64 = connection
            .query_row("SELECT count(*) FROM pragma_table_info('a')", [], |row| {
                row.get(0)
            })
            .unwrap();
        assert_eq!(columns, 1);

        // The repaired second step runs, and the first does not run again.
        let repaired = [steps[0], "ALTER TABLE a ADD COLUMN y;"];
        migrate(&mut connection, &repaired).unwrap();
        let rows: i64 = connection
            .query_row("SELECT count(*) FROM a", [], |row| row.get(0))
            .unwrap();
        assert_eq!((version(&connection).unwrap(), rows), (2, 1));
    }
}
