//! The table of processes, by itself.

use super::reads::READS;
use super::*;
use crate::model::{AlertCredential, CredentialKind, CredentialState, Fingerprint};

const SECOND: i64 = 1_000_000_000;
const NOW: Timestamp = Timestamp(1_000 * SECOND);
const MINUTE: Duration = Duration::from_secs(60);

fn task(pid: u32, ppid: u32) -> Task {
    Task {
        pid,
        start: Timestamp(i64::from(pid)),
        ppid,
        parent_start: Timestamp(i64::from(ppid)),
        uid: 0,
        euid: 0,
        gid: 0,
        login_uid: None,
        session: None,
        cgroup: 0,
        cgroup_v1: 0,
        exe: FileId::default(),
        tty: None,
    }
}

fn reading(fingerprint: &str, state: CredentialState) -> Reading {
    Reading {
        file: FileId::default(),
        by_path: false,
        by_outsider: false,
        credential: AlertCredential {
            fingerprint: Fingerprint::new(fingerprint),
            kind: CredentialKind::SshPrivateKey,
            path: None,
            state,
            retired_at: None,
            retired_by: None,
            reason: None,
            last_used: None,
        },
    }
}

/// One read at `now`; `true` when it is a use of its own.
fn reads(table: &mut Processes, pid: u32, state: CredentialState, now: Timestamp) -> bool {
    let task = task(pid, 1);
    let new = !table.continues_use(&task, &Fingerprint::new("x"), state, now);
    if new {
        table.read(&task, reading("x", state), now);
    }
    new
}

fn after(milliseconds: i64) -> Timestamp {
    Timestamp(NOW.0 + milliseconds * 1_000_000)
}

#[test]
fn children_inherit_program_and_reads_and_know_their_parents() {
    let mut table = Processes::default();
    table.started(&task(1, 0), Some("/sbin/init"), NOW);
    table.forked(&task(2, 1), NOW);
    table.started(&task(2, 1), Some("/bin/sh"), NOW);
    assert!(reads(&mut table, 2, CredentialState::Active, NOW));
    table.forked(&task(3, 2), NOW);
    assert_eq!(table.exe(&task(3, 2)), Some("/bin/sh"));
    let held = table.has_read(&task(3, 2), MINUTE, NOW);
    assert_eq!((held.len(), held[0].own), (1, false));
    let parents: Vec<_> = table
        .ancestors(&task(3, 2))
        .map(|parent| parent.pid)
        .collect();
    assert_eq!(parents, [2, 1]);
}

#[test]
fn a_pid_names_the_latest_process_that_has_had_it() {
    let mut table = Processes::default();
    let (old, new) = (
        Task {
            start: Timestamp(NOW.0 - 5),
            ..task(7, 1)
        },
        Task {
            start: NOW,
            ..task(7, 1)
        },
    );
    table.started(&new, Some("/bin/new"), NOW);
    table.started(&old, Some("/bin/old"), NOW);
    table.ended(&old, Timestamp(NOW.0 - 1));
    assert_eq!(table.with_pid(7, after(1)), Some(&new));
    assert_eq!(table.with_pid(8, after(1)), None);
    table.ended(&new, after(1));
    assert_eq!(table.with_pid(7, after(59_000)), Some(&new));
    assert_eq!(table.with_pid(7, after(70_000)), None);
}

#[test]
fn memory_is_inherited_by_a_fork_and_emptied_by_a_new_program() {
    let mut table = Processes::default();
    table.started(&task(2, 1), Some("/usr/sbin/nginx"), NOW);
    table.read(&task(2, 1), reading("a", CredentialState::Retired), NOW);
    table.read(
        &task(2, 1),
        reading("b", CredentialState::Active),
        after(10),
    );
    let mut public = reading("c", CredentialState::Active);
    public.credential.kind = CredentialKind::SshAuthorizedKey;
    table.read(&task(2, 1), public, after(20));
    table.forked(&task(3, 2), after(30));
    let held = |table: &Processes, pid, ppid| {
        let held = table.holds(&task(pid, ppid))?;
        Some(held.credential.fingerprint.to_string())
    };
    assert_eq!(held(&table, 3, 2).as_deref(), Some("a"));
    table.started(&task(3, 2), Some("/bin/sh"), after(40));
    assert_eq!(held(&table, 3, 2), None);
    assert_eq!(held(&table, 2, 1).as_deref(), Some("a"));
    // The fork is told of behind the child's exec.
    table.started(&task(4, 2), Some("/bin/sh"), after(50));
    table.forked(&task(4, 2), after(45));
    assert_eq!(held(&table, 4, 2), None);
}

#[test]
fn what_ran_before_is_told_from_what_was_seen_to_start() {
    let mut table = Processes::default();
    table.running(&task(2, 1), Some("/usr/sbin/nginx"), NOW);
    table.forked(&task(3, 2), NOW);
    assert!(table.is_from_before(&task(2, 1)) && table.is_from_before(&task(3, 2)));
    table.started(&task(3, 2), Some("/bin/sh"), NOW);
    assert!(!table.is_from_before(&task(3, 2)));
    // The list of what runs may come behind the first event of a process.
    table.started(&task(4, 1), Some("/bin/sh"), NOW);
    table.running(&task(4, 1), Some("/bin/sh"), NOW);
    assert!(!table.is_from_before(&task(4, 1)));
    assert!(table.is_from_before(&task(9, 1)));
}

#[test]
fn an_open_and_its_reads_are_one_use_of_one_program() {
    let mut table = Processes::default();
    let active = CredentialState::Active;
    assert!(reads(&mut table, 2, active, NOW));
    assert!(!reads(&mut table, 2, active, after(900)));
    assert!(!reads(&mut table, 2, active, after(1_800)));
    assert!(reads(&mut table, 2, CredentialState::Retired, after(1_900)));
    assert!(!reads(
        &mut table,
        2,
        CredentialState::Retired,
        after(1_950)
    ));
    table.started(&task(2, 1), Some("/bin/cat"), after(1_960));
    assert!(reads(&mut table, 2, CredentialState::Retired, after(1_970)));
    table.forked(&task(3, 2), after(1_980));
    assert!(reads(&mut table, 3, CredentialState::Retired, after(1_990)));
}

#[test]
fn what_reads_without_pause_uses_again_and_again() {
    let mut table = Processes::default();
    let uses = (0..600)
        .filter(|i| reads(&mut table, 2, CredentialState::Retired, after(i * 100)))
        .count();
    assert_eq!(uses, 6, "in a minute");
}

#[test]
fn a_clock_that_is_set_back_hides_no_use() {
    let mut table = Processes::default();
    assert!(reads(&mut table, 2, CredentialState::Active, NOW));
    let before = after(-3_600_000);
    assert!(table.has_read(&task(2, 1), MINUTE, before).is_empty());
    assert!(reads(&mut table, 2, CredentialState::Active, before));
    assert_eq!(table.has_read(&task(2, 1), MINUTE, before).len(), 1);
}

#[test]
fn a_process_of_which_nothing_was_heard_is_known_by_its_read() {
    let mut table = Processes::default();
    assert!(reads(&mut table, 7, CredentialState::Retired, NOW));
    assert!(!reads(&mut table, 7, CredentialState::Retired, NOW));
    assert_eq!(table.has_read(&task(7, 1), MINUTE, NOW).len(), 1);
}

#[test]
fn a_fork_that_comes_late_takes_nothing_back() {
    let mut table = Processes::default();
    table.started(&task(2, 1), Some("/bin/sh"), NOW);
    table.started(&task(3, 2), Some("/bin/cat"), NOW);
    assert!(reads(&mut table, 3, CredentialState::Retired, NOW));
    table.forked(&task(3, 2), NOW);
    assert_eq!(table.exe(&task(3, 2)), Some("/bin/cat"));
    assert!(table.has_read(&task(3, 2), MINUTE, NOW)[0].own);
}

#[test]
fn reading_much_else_does_not_make_a_retired_credential_forgotten() {
    let (mut table, task) = (Processes::default(), task(2, 1));
    table.read(&task, reading("retired", CredentialState::Retired), NOW);
    for number in 0..READS * 2 {
        let name = format!("active-{number}");
        table.read(&task, reading(&name, CredentialState::Active), NOW);
    }
    let held = table.has_read(&task, MINUTE, NOW);
    assert_eq!(held.len(), READS);
    let is_it = |held: &Recent| held.reading.credential.fingerprint.as_str() == "retired";
    assert!(held.iter().any(is_it));
}

#[test]
fn the_table_is_bounded_and_a_loop_of_parents_ends() {
    let mut table = Processes::default();
    for pid in 1..=u32::try_from(CAPACITY).unwrap() + 10 {
        table.started(&task(pid, pid), None, Timestamp(1));
    }
    assert!(table.table.len() <= CAPACITY);
    let last = u32::try_from(CAPACITY).unwrap() + 10;
    assert!(table.ancestors(&task(last, last)).count() <= 1);
}

#[test]
fn those_that_ended_go_first() {
    let mut table = Processes::default();
    for pid in 1..=u32::try_from(CAPACITY).unwrap() {
        table.started(&task(pid, 0), Some("/bin/sh"), NOW);
        if pid > 1 {
            table.ended(&task(pid, 0), NOW);
        }
    }
    table.started(&task(99_999, 0), None, NOW);
    assert!(table.table.len() < CAPACITY);
    assert!(
        table.exe(&task(1, 0)).is_some(),
        "it is the oldest, and runs"
    );
}
