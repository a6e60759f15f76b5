//! What is kept beside the pipeline: when the host was watched, how things were used, its accounts,
//! and who is gone.

use rusqlite::Row;

use super::load::{in_column, name, selector_of, time, uid_of};
use super::values::{bits, count, name_of};
use super::write::{Failure, prepare};
use super::{Result, SealedBaseline, Store, baselines, words};
use crate::model::{
    AccountState, Blindness, CapabilitySet, ClusterRemoval, ClusterUid, Fingerprint, Hole, Ledger,
    ProgramRights, Selector, Target, Timestamp, UsePattern,
};

/// One thing to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keep {
    /// When the host was watched; takes the place of what was known.
    Ledger(Ledger),
    /// How one thing is used; takes the place of what was known of it.
    Pattern(UsePattern),
    /// An account as it is now; `None` where it is gone.
    Account(String, Option<AccountState>),
    /// A service has a file of its own, or no longer.
    Unit(String, bool),
    /// An identity is gone from the host, since when and with which uid; `None` once that is
    /// settled.
    Removal(Selector, Option<(Timestamp, Option<u32>)>),
    /// An object that the cluster has.
    ClusterObject(ClusterUid, Selector),
    /// An object that the cluster has no longer; takes the place of what was known of it.
    ClusterRemoved(ClusterRemoval),
    /// An object of the cluster that is of no interest any more.
    ClusterForgotten(ClusterUid),
    /// What a program of an identity was given and used; `None` where that is forgotten.
    Rights(Selector, String, Option<ProgramRights>),
    /// What was learned of an identity's habits, or of the host's; takes the place of what was known.
    Baseline(SealedBaseline),
    /// What was learned of an identity is forgotten.
    NoBaseline(Selector),
    /// What operators said of an identity's habits is in what is stored of these.
    Said(Selector),
}

/// All that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kept {
    /// When the host was watched.
    pub ledger: Option<Ledger>,
    /// How things were used, identities behind credentials.
    pub patterns: Vec<UsePattern>,
    /// Accounts by their name.
    pub accounts: Vec<(String, AccountState)>,
    /// Services with files of their own, by name.
    pub units: Vec<String>,
    /// Identities that are gone, since when and with which uid.
    pub removals: Vec<(Selector, Timestamp, Option<u32>)>,
    /// Objects that the cluster had when it was last looked at, by uid.
    pub cluster: Vec<(ClusterUid, Selector)>,
    /// Objects that it has no longer, by uid.
    pub cluster_removed: Vec<ClusterRemoval>,
    /// What programs were given and used, by identity and path.
    pub rights: Vec<ProgramRights>,
}

pub(super) fn keep(to: &rusqlite::Connection, keep: &Keep) -> Result<(), Failure> {
    match keep {
        Keep::Ledger(ledger) => keep_ledger(to, ledger),
        Keep::Pattern(pattern) => keep_pattern(to, pattern),
        Keep::Account(name, None) => {
            prepare(to, "DELETE FROM account WHERE name = ?1")?.execute([name])?;
            Ok(())
        }
        Keep::Account(name, Some(state)) => {
            prepare(
                to,
                "INSERT OR REPLACE INTO account (name, uid, password, shell, expires, is_system)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute((
                name,
                state.uid,
                name_of("a password's class", &state.password)?,
                name_of("a shell's class", &state.shell)?,
                state.expires.map(|at| at.0),
                state.is_system,
            ))?;
            Ok(())
        }
        Keep::Unit(name, true) => {
            prepare(to, "INSERT OR IGNORE INTO unit (name) VALUES (?1)")?.execute([name])?;
            Ok(())
        }
        Keep::Unit(name, false) => {
            prepare(to, "DELETE FROM unit WHERE name = ?1")?.execute([name])?;
            Ok(())
        }
        Keep::Removal(selector, None) => {
            let sql = "DELETE FROM removal WHERE selector = ?1";
            prepare(to, sql)?.execute([selector.as_str()])?;
            Ok(())
        }
        Keep::Removal(selector, Some((at, uid))) => {
            let sql = "INSERT OR REPLACE INTO removal (selector, at, uid) VALUES (?1, ?2, ?3)";
            prepare(to, sql)?.execute((selector.as_str(), at.0, uid))?;
            Ok(())
        }
        Keep::ClusterObject(uid, selector) => {
            let sql = "INSERT OR REPLACE INTO cluster_object (uid, selector, gone, settled)
                       VALUES (?1, ?2, NULL, 0)";
            prepare(to, sql)?.execute((uid.as_str(), selector.as_str()))?;
            Ok(())
        }
        Keep::ClusterRemoved(of) => {
            let sql = "INSERT OR REPLACE INTO cluster_object (uid, selector, gone, settled)
                       VALUES (?1, ?2, ?3, ?4)";
            prepare(to, sql)?.execute((
                of.uid.as_str(),
                of.selector.as_str(),
                of.at.0,
                of.settled,
            ))?;
            Ok(())
        }
        Keep::ClusterForgotten(uid) => {
            let sql = "DELETE FROM cluster_object WHERE uid = ?1";
            prepare(to, sql)?.execute([uid.as_str()])?;
            Ok(())
        }
        Keep::Baseline(of) => baselines::upsert(to, of),
        Keep::NoBaseline(identity) => baselines::forget(to, identity),
        Keep::Said(identity) => words::taken(to, identity),
        Keep::Rights(identity, exe, None) => {
            let sql = "DELETE FROM program_rights WHERE identity = ?1 AND exe = ?2";
            prepare(to, sql)?.execute((identity.as_str(), exe))?;
            Ok(())
        }
        Keep::Rights(identity, exe, Some(of)) => {
            prepare(
                to,
                "INSERT OR REPLACE INTO program_rights
                     (identity, exe, uid, gid, given, ever_given, used, since, started, last)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute((
                identity.as_str(),
                exe,
                of.uid,
                of.gid,
                bits(of.given.0),
                bits(of.ever_given.0),
                bits(of.used.0),
                of.since.0,
                of.started.map(|at| at.0),
                of.last.0,
            ))?;
            Ok(())
        }
    }
}

fn keep_ledger(to: &rusqlite::Connection, ledger: &Ledger) -> Result<(), Failure> {
    let sql = "INSERT OR REPLACE INTO watched (one, since, until) VALUES (1, ?1, ?2)";
    prepare(to, sql)?.execute((ledger.since.0, ledger.until.0))?;
    prepare(to, "DELETE FROM unwatched")?.execute([])?;
    let sql = "INSERT INTO unwatched (position, began, ended, cause, hook, rebooted)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let mut insert = prepare(to, sql)?;
    for (position, hole) in (0i64..).zip(&ledger.holes) {
        let (cause, hook, rebooted) = match &hole.cause {
            Blindness::NotRunning { rebooted } => ("not-running", None, *rebooted),
            Blindness::Held => ("held", None, false),
            Blindness::ClockSet => ("clock-set", None, false),
            Blindness::Lost { hook } => ("lost", Some(hook), false),
            Blindness::Hook { hook } => ("hook", Some(hook), false),
            Blindness::Several => ("several", None, false),
        };
        let ended = hole.to.map(|at| at.0);
        insert.execute((position, hole.from.0, ended, cause, hook, rebooted))?;
    }
    Ok(())
}

fn keep_pattern(to: &rusqlite::Connection, of: &UsePattern) -> Result<(), Failure> {
    let (kind, target) = match &of.subject {
        Target::Credential(fingerprint) => ("credential", fingerprint.as_str()),
        Target::Identity(selector) => ("identity", selector.as_str()),
        // Paths have no uses of their own.
        Target::Path(_) => return Ok(()),
    };
    prepare(
        to,
        "INSERT OR REPLACE INTO use_pattern
             (target_kind, target, present_since, first, last, uses, longest, alike)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute((
        kind,
        target,
        of.present_since.map(|at| at.0),
        of.first.map(|at| at.0),
        of.last.map(|at| at.0),
        count(of.uses),
        count(of.longest),
        count(of.alike),
    ))?;
    Ok(())
}

impl Store {
    pub(super) fn kept(&self) -> Result<Kept> {
        let holes = self.rows(
            "SELECT began, ended, cause, hook, rebooted FROM unwatched ORDER BY position",
            [],
            hole_of,
        )?;
        let watched = self.rows("SELECT since, until FROM watched", [], |row| {
            Ok((Timestamp(row.get(0)?), Timestamp(row.get(1)?)))
        })?;
        let ledger = watched.into_iter().next().map(|(since, until)| Ledger {
            since,
            until,
            holes,
        });
        Ok(Kept {
            ledger,
            patterns: self.rows(
                "SELECT target_kind, target, present_since, first, last, uses, longest, alike
                 FROM use_pattern ORDER BY target_kind, target",
                [],
                pattern_of,
            )?,
            accounts: self.rows(
                "SELECT name, uid, password, shell, expires, is_system FROM account ORDER BY name",
                [],
                |row| {
                    let state = AccountState {
                        uid: row.get(1)?,
                        password: name(row, 2)?,
                        shell: name(row, 3)?,
                        expires: time(row, 4)?,
                        is_system: row.get(5)?,
                    };
                    Ok((row.get(0)?, state))
                },
            )?,
            units: self.rows("SELECT name FROM unit ORDER BY name", [], |row| row.get(0))?,
            removals: self.rows(
                "SELECT selector, at, uid FROM removal ORDER BY selector",
                [],
                |row| Ok((selector_of(row, 0)?, Timestamp(row.get(1)?), row.get(2)?)),
            )?,
            cluster: self.rows(
                "SELECT uid, selector FROM cluster_object WHERE gone IS NULL ORDER BY uid",
                [],
                |row| Ok((uid_of(row, 0)?, selector_of(row, 1)?)),
            )?,
            cluster_removed: self.rows(
                "SELECT uid, selector, gone, settled FROM cluster_object
                 WHERE gone IS NOT NULL ORDER BY uid",
                [],
                |row| {
                    Ok(ClusterRemoval {
                        uid: uid_of(row, 0)?,
                        selector: selector_of(row, 1)?,
                        at: Timestamp(row.get(2)?),
                        settled: row.get(3)?,
                    })
                },
            )?,
            rights: self.rows(
                "SELECT identity, exe, uid, gid, given, ever_given, used, since, started, last
                 FROM program_rights ORDER BY identity, exe",
                [],
                rights_of,
            )?,
        })
    }
}

fn hole_of(row: &Row<'_>) -> rusqlite::Result<Hole> {
    let hook = || Ok::<_, rusqlite::Error>(row.get::<_, Option<String>>(3)?.unwrap_or_default());
    let cause: String = row.get(2)?;
    let cause = match cause.as_str() {
        "not-running" => Blindness::NotRunning {
            rebooted: row.get(4)?,
        },
        "held" => Blindness::Held,
        "clock-set" => Blindness::ClockSet,
        "lost" => Blindness::Lost { hook: hook()? },
        "hook" => Blindness::Hook { hook: hook()? },
        "several" => Blindness::Several,
        other => {
            let error = format!("`{other}` is no cause of a time that was not watched");
            return in_column(
                2,
                row,
                Err(rusqlite::types::FromSqlError::Other(error.into())),
            );
        }
    };
    Ok(Hole {
        from: Timestamp(row.get(0)?),
        to: time(row, 1)?,
        cause,
    })
}

fn rights_of(row: &Row<'_>) -> rusqlite::Result<ProgramRights> {
    let set = |column| {
        Ok::<_, rusqlite::Error>(CapabilitySet(row.get::<_, i64>(column)?.cast_unsigned()))
    };
    Ok(ProgramRights {
        identity: selector_of(row, 0)?,
        exe: row.get(1)?,
        uid: row.get(2)?,
        gid: row.get(3)?,
        given: set(4)?,
        ever_given: set(5)?,
        used: set(6)?,
        since: Timestamp(row.get(7)?),
        started: time(row, 8)?,
        last: Timestamp(row.get(9)?),
    })
}

fn pattern_of(row: &Row<'_>) -> rusqlite::Result<UsePattern> {
    let subject = match row.get_ref(0)?.as_str() {
        Ok("identity") => Target::Identity(selector_of(row, 1)?),
        // The table's check knows no other.
        _ => Target::Credential(Fingerprint::new(row.get::<_, String>(1)?)),
    };
    let number = |column| Ok::<_, rusqlite::Error>(u64::try_from(row.get::<_, i64>(column)?));
    Ok(UsePattern {
        subject,
        present_since: time(row, 2)?,
        first: time(row, 3)?,
        last: time(row, 4)?,
        uses: number(5)?.unwrap_or(0),
        longest: number(6)?.unwrap_or(0),
        alike: number(7)?.unwrap_or(0),
    })
}
