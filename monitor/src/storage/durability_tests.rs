//! What the database promises: it gives back what it was given, it outlives a killed process, and
//! a full disk is an error and no end.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use proptest::prelude::*;

use super::samples::{alert, some_of_each, writes};
use super::{Keep, Kept, Mode, Run, Snapshot, StorageError, StorageHandle, Store, Write};
use crate::model::{
    Alert, AlertStatus, ClusterUid, CredentialUser, Learning, ProgramRights, Succession, Timestamp,
    Usage,
};

/// What a database should hold after `writes`, by other means.
fn expected(writes: &[Write]) -> (Snapshot, Vec<Alert>) {
    let mut files: Vec<(Timestamp, crate::model::LocatedFile)> = Vec::new();
    let mut last_found = BTreeMap::new();
    let mut usage: BTreeMap<_, Usage> = BTreeMap::new();
    let mut identities = BTreeMap::new();
    let mut learning = BTreeMap::new();
    let mut alerts: Vec<Alert> = Vec::new();
    let mut snapshot = Snapshot::default();
    let mut first_found = BTreeMap::new();
    let mut successions = BTreeMap::new();
    let mut rhythms = BTreeMap::new();
    let mut runs = BTreeMap::new();
    for write in writes {
        match write {
            Write::Change(time, change) => snapshot.changes.push((*time, change.clone())),
            Write::Located(time, file) => {
                for credential in &file.credentials {
                    let first = first_found.entry(credential.fingerprint.clone());
                    let first = first.or_insert(*time);
                    *first = (*first).min(*time);
                    let of = &credential.fingerprint;
                    learning.entry(of.clone()).or_insert(*time);
                    let key = (credential.fingerprint.clone(), credential.kind);
                    let entry = last_found.entry(key).or_insert((*time, credential.clone()));
                    *entry = (entry.0.max(*time), credential.clone());
                }
                match files.iter_mut().find(|(_, old)| old.path == file.path) {
                    Some(old) => *old = (*time, file.clone()),
                    None => files.push((*time, file.clone())),
                }
            }
            Write::Unlocated(_, id, path) => {
                files.retain(|(_, file)| file.path != *path || file.file != *id);
            }
            Write::Usage(new) => {
                let row = usage.entry(new.key.clone()).or_insert(new.clone());
                row.first = row.first.min(new.first);
                row.last = row.last.max(new.last);
                row.count = row.count.max(new.count);
            }
            Write::IdentitySeen {
                selector,
                first,
                last,
            } => {
                let row = identities
                    .entry(selector.clone())
                    .or_insert((*first, *last));
                *row = (row.0.min(*first), row.1.max(*last));
            }
            Write::Alert(new) => match alerts.iter_mut().find(|old| old.alert_id == new.alert_id) {
                Some(old) => *old = new.as_ref().clone(),
                None => alerts.push(new.as_ref().clone()),
            },
            Write::Succession(new) => {
                successions.insert(new.old.clone(), new.clone());
            }
            Write::Rhythm(new) => {
                rhythms.insert(new.target.clone(), new.clone());
            }
            Write::Learning(new) => {
                learning.insert(new.fingerprint.clone(), new.since);
            }
            Write::User(new) => {
                let same = |of: &CredentialUser| {
                    CredentialUser {
                        since: new.since,
                        ..of.clone()
                    } == *new
                };
                if !snapshot.users.iter().any(same) {
                    snapshot.users.push(new.clone());
                }
            }
            Write::Forgotten(of) => snapshot.users.retain(|user| user.fingerprint != *of),
            Write::Allowed(new) => {
                snapshot.exceptions.retain(|of| of.id != new.id);
                snapshot.exceptions.push(new.as_ref().clone());
            }
            Write::NotAllowed(_, id) => snapshot.exceptions.retain(|of| of.id != *id),
            Write::Run(run) => {
                runs.insert(run.started, run.clone());
                let last = snapshot.last_run.get_or_insert_with(|| run.clone());
                if run.started >= last.started {
                    *last = run.clone();
                }
            }
            Write::Said(word) => snapshot.words.push(word.as_ref().clone()),
            Write::Keep(keep) => {
                if let Keep::Said(identity) = keep.as_ref() {
                    let about = snapshot.words.iter_mut();
                    let about = about.filter(|of| of.said.identity == *identity);
                    about.for_each(|of| of.taken = true);
                }
                keep_in(&mut snapshot.kept, keep);
            }
        }
    }
    snapshot.users.sort_by_key(|of| (of.since, of.clone()));
    let learning = learning.into_iter();
    snapshot.learning = learning
        .map(|(fingerprint, since)| Learning { fingerprint, since })
        .collect();
    last_found.retain(|(fingerprint, kind), _| {
        !files.iter().any(|(_, file)| {
            file.credentials
                .iter()
                .any(|held| held.fingerprint == *fingerprint && held.kind == *kind)
        })
    });
    snapshot.gone = last_found.into_values().collect();
    snapshot.gone.sort_by_key(|(_, credential)| {
        let kind = serde_json::to_string(&credential.kind).unwrap();
        (credential.fingerprint.clone(), kind)
    });
    // Both sorts keep the order of arrival where times are equal, as the database does.
    files.sort_by_key(|(found, _)| *found);
    snapshot.files = files;
    snapshot.usage = usage.into_values().collect();
    snapshot.identities = identities
        .into_iter()
        .map(|(selector, (first, last))| (selector, first, last))
        .collect();
    snapshot.first_found = first_found.into_iter().collect();
    snapshot.successions = successions.into_values().collect();
    snapshot.successions.sort_by_key(|of: &Succession| of.began);
    snapshot.rhythms = rhythms.into_values().collect();
    let runs: Vec<Run> = runs.into_values().collect();
    let between = runs.windows(2).map(|of| {
        let until = of[0].ended.unwrap_or(of[0].last_seen);
        (until, of[1].started)
    });
    snapshot.unwatched = between.filter(|(until, next)| next > until).collect();
    alerts.sort_by_key(|alert| alert.time);
    snapshot.open_alerts = alerts
        .iter()
        .filter(|alert| alert.status == AlertStatus::Open)
        .cloned()
        .collect();
    (snapshot, alerts)
}

fn keep_in(kept: &mut Kept, keep: &Keep) {
    match keep {
        Keep::Ledger(ledger) => kept.ledger = Some(ledger.clone()),
        Keep::Pattern(new) => {
            kept.patterns.retain(|old| old.subject != new.subject);
            kept.patterns.push(new.clone());
            kept.patterns.sort_by(|a, b| a.subject.cmp(&b.subject));
        }
        Keep::Account(name, state) => {
            kept.accounts.retain(|(old, _)| old != name);
            let new = state.iter().map(|state| (name.clone(), state.clone()));
            kept.accounts.extend(new);
            kept.accounts.sort_by(|a, b| a.0.cmp(&b.0));
        }
        Keep::Unit(name, present) => {
            kept.units.retain(|old| old != name);
            kept.units.extend(present.then(|| name.clone()));
            kept.units.sort();
        }
        Keep::Removal(selector, removal) => {
            kept.removals.retain(|(old, _, _)| old != selector);
            let new = removal.map(|(at, uid)| (selector.clone(), at, uid));
            kept.removals.extend(new);
            kept.removals.sort();
        }
        Keep::ClusterObject(uid, selector) => {
            forget_object(kept, uid);
            kept.cluster.push((uid.clone(), selector.clone()));
            kept.cluster.sort();
        }
        Keep::ClusterRemoved(removal) => {
            forget_object(kept, &removal.uid);
            kept.cluster_removed.push(removal.clone());
            kept.cluster_removed.sort_by(|a, b| a.uid.cmp(&b.uid));
        }
        Keep::ClusterForgotten(uid) => forget_object(kept, uid),
        // Read by themselves.
        Keep::Baseline(_) | Keep::NoBaseline(_) => {}
        // Said of the words themselves.
        Keep::Said(_) => {}
        Keep::Rights(identity, exe, program) => {
            let same = |of: &ProgramRights| of.identity == *identity && of.exe == *exe;
            kept.rights.retain(|of| !same(of));
            kept.rights.extend(program.clone());
            kept.rights
                .sort_by(|a, b| (&a.identity, &a.exe).cmp(&(&b.identity, &b.exe)));
        }
    }
}

fn forget_object(kept: &mut Kept, uid: &ClusterUid) {
    kept.cluster.retain(|(old, _)| old != uid);
    kept.cluster_removed.retain(|old| old.uid != *uid);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_written_is_what_is_loaded(writes in writes(40), cut in 0..40usize) {
        let state = tempfile::tempdir().unwrap();
        let cut = cut.min(writes.len());
        let mut store = Store::open(state.path(), Mode::ReadWrite).unwrap();
        store.write(&writes[..cut]).unwrap();
        drop(store);
        let mut store = Store::open(state.path(), Mode::ReadWrite).unwrap();
        store.write(&writes[cut..]).unwrap();
        store.close().unwrap();

        let (snapshot, alerts) = expected(&writes);
        let store = Store::open(state.path(), Mode::ReadOnly).unwrap();
        prop_assert_eq!(store.load().unwrap(), snapshot);
        let newest = alerts.len().saturating_sub(2);
        prop_assert_eq!(store.alerts(2).unwrap(), &alerts[newest..]);
    }
}

#[test]
fn a_transaction_is_stored_whole_or_not_at_all() {
    let state = tempfile::tempdir().unwrap();
    let mut store = Store::open(state.path(), Mode::ReadWrite).unwrap();
    store
        .connection
        .execute_batch(
            "CREATE TRIGGER no BEFORE INSERT ON alert BEGIN SELECT raise(ABORT, 'no'); END",
        )
        .unwrap();
    let error = store.write(&some_of_each()).unwrap_err();
    assert!(!error.is_passing(), "{error}");
    assert_eq!(store.load().unwrap(), Snapshot::default());
}

#[test]
fn history_cannot_be_changed_and_views_read_well() {
    let state = tempfile::tempdir().unwrap();
    let mut store = Store::open(state.path(), Mode::ReadWrite).unwrap();
    store.write(&some_of_each()).unwrap();
    for sql in [
        "DELETE FROM registry_change",
        "UPDATE registry_change SET state = 'active'",
    ] {
        let error = store.connection.execute(sql, []).unwrap_err();
        assert!(error.to_string().contains("history"), "{error}");
    }
    let text = |sql: &str| -> String {
        store
            .connection
            .query_row(sql, [], |row| row.get(0))
            .unwrap()
    };
    assert_eq!(
        text("SELECT state || ' since ' || since || ' by ' || changed_by FROM registry_state"),
        "retired since 2026-05-01 14:03:21 by root"
    );
    assert_eq!(
        text(
            "SELECT paths || ' ' || declared_state || ' ' || last_used || ' ' || uses FROM credential_overview"
        ),
        "/srv/deploy/.ssh/id_ed25519 retired 2026-05-01 14:03:21 3"
    );
}

#[test]
fn a_row_that_makes_no_sense_is_reported_as_damage() {
    let state = tempfile::tempdir().unwrap();
    let mut store = Store::open(state.path(), Mode::ReadWrite).unwrap();
    store.write(&some_of_each()).unwrap();
    drop(store);
    let path = state.path().join(super::FILE_NAME);
    let sane = std::fs::read(&path).unwrap();
    for sql in [
        "UPDATE identity_seen SET selector = 'nobody'",
        "UPDATE location SET subject = '/etc'",
        "UPDATE file SET path = 7",
        "UPDATE alert SET alert = '{}'",
    ] {
        std::fs::write(&path, &sane).unwrap();
        let store = Store::open(state.path(), Mode::ReadWrite).unwrap();
        store.connection.execute(sql, []).unwrap();
        let error = store.load().unwrap_err();
        assert!(
            matches!(error, StorageError::Damaged { .. }),
            "{sql}: {error}"
        );
    }
}

const KILL_DIRECTORY: &str = "CREDWATCH_TEST_KILL_DIRECTORY";

/// The child of the next test: commits and says so until it is killed. Does nothing by itself.
#[tokio::test]
async fn commits_until_it_is_killed() {
    let Some(directory) = std::env::var_os(KILL_DIRECTORY) else {
        return;
    };
    let store = Store::open(Path::new(&directory), Mode::ReadWrite).unwrap();
    let handle = StorageHandle::start(store).unwrap();
    for number in 0i64.. {
        let time = Timestamp(number);
        let committed = alert(&format!("a-{number}"), time, AlertStatus::Open);
        // Something always waits beside the commits.
        handle.try_enqueue(some_of_each());
        handle
            .commit(vec![Write::Alert(Box::new(committed))])
            .await
            .unwrap();
        println!("committed {number}");
    }
}

#[test]
fn what_was_committed_outlives_sigkill() {
    for delay in [0, 7, 40] {
        let state = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "--quiet"])
            .arg("storage::durability_tests::commits_until_it_is_killed")
            .env(KILL_DIRECTORY, state.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let number = |line: String| line.strip_prefix("committed ")?.parse::<u32>().ok();
        let mut last = None;
        while last < Some(50) {
            let line = lines.next().expect("the child ended by itself").unwrap();
            last = number(line).or(last);
        }
        std::thread::sleep(Duration::from_millis(delay));
        child.kill().unwrap();
        // Lines that were on their way when it died; the last may be cut.
        for line in lines.map_while(Result::ok) {
            last = number(line).or(last);
        }
        let status = child.wait().unwrap();
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&status),
            Some(9)
        );

        let last = last.unwrap();
        let store = Store::open(state.path(), Mode::ReadWrite).unwrap();
        let alerts = store.alerts(u32::MAX).unwrap();
        let ids: std::collections::HashSet<_> =
            alerts.iter().map(|alert| alert.alert_id.as_str()).collect();
        for number in 0..=last {
            assert!(
                ids.contains(format!("a-{number}").as_str()),
                "{number} of {last}"
            );
        }
    }
}

/// A small file system; unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> Self {
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs"])
            .arg(at)
            .status()
            .unwrap();
        assert!(status.success(), "mounting a tmpfs needs root");
        Self(at.to_owned())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a panicking test may still hold files.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_then_goes_on() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: mounting a small file system needs root");
        return;
    }
    let state = tempfile::tempdir().unwrap();
    let _disk = SmallDisk::mount(state.path());
    let store = Store::open(state.path(), Mode::ReadWrite).unwrap();
    let handle = StorageHandle::start(store).unwrap();
    handle.commit(some_of_each()).await.unwrap();

    // Somebody else fills the disk.
    let filler = state.path().join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    let filled = std::io::copy(&mut std::io::repeat(0), &mut file);
    assert_eq!(filled.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    let big = |number: i64| {
        let mut big = alert(&format!("b-{number}"), Timestamp(number), AlertStatus::Open);
        big.summary = "x".repeat(64 * 1024);
        Write::Alert(Box::new(big))
    };
    let error = handle.commit(vec![big(0)]).await.unwrap_err();
    assert!(error.is_passing(), "{error}");
    assert!(error.to_string().contains("full"), "{error}");
    assert!(handle.try_enqueue(vec![big(1)]));
    assert!(handle.flush().await.is_err());
    assert!(handle.stats().error.is_some());
    let reader = Store::open(state.path(), Mode::ReadOnly).unwrap();
    assert_eq!(reader.load().unwrap().open_alerts.len(), 1);

    drop(file);
    std::fs::remove_file(&filler).unwrap();
    // Without being asked: what was enqueued is tried again.
    let before = std::time::Instant::now();
    while reader.load().unwrap().open_alerts.len() < 2 {
        let stats = handle.stats();
        assert!(
            before.elapsed() < Duration::from_secs(10),
            "never: {stats:?}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    handle.commit(vec![big(2)]).await.unwrap();
    drop(reader);
    handle.shutdown().await.unwrap();
    let store = Store::open(state.path(), Mode::ReadOnly).unwrap();
    let ids: Vec<_> = store
        .alerts(10)
        .unwrap()
        .into_iter()
        .map(|alert| alert.alert_id)
        .collect();
    assert_eq!(ids, ["b-1", "b-2", "a-1"]);
}
