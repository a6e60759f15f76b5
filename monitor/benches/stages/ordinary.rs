//! An ordinary host: two hundred processes of fifty identities, and what they do all day.

use std::net::{Ipv4Addr, SocketAddr};

use monitor::model::{
    Access, Account, AccountClass, Credential, CredentialKind, Direction, Fact, FileId,
    Fingerprint, Flow, LocatedFile, MacAddress, Password, Protocol, Record, Task, Timestamp,
    Traffic,
};

/// Identities: services, three quarters of them with an account of their own; sessions; containers.
const IDENTITIES: u32 = 50;
const SESSIONS: u32 = 5;
const CONTAINERS: u32 = 5;
/// Each identity has a main process and its workers.
const PROCESSES: u32 = 200;
const DESTINATIONS: u32 = 20;
const CREDENTIALS: u32 = IDENTITIES - SESSIONS - CONTAINERS;
const DEVICES: u32 = 20;

const BEGIN: i64 = 1_777_644_300_000_000_000;
const MILLISECOND: i64 = 1_000_000;
/// When the users of all credentials have been learned.
const LEARNED: i64 = BEGIN + 8 * 86_400_000 * MILLISECOND;

/// One kind of act.
pub(super) type Act = fn(u32) -> Fact;

/// The acts that are measured, each by itself.
pub(super) const ACTS: &[(&str, Act)] = &[
    ("connect", connect),
    ("close", close),
    ("flow", flow),
    ("read", read),
    ("fork", fork),
    ("exec", exec),
];

/// All that is known before the stream begins.
pub(super) fn before() -> Vec<Record> {
    let users = (1..=IDENTITIES).map(|number| Fact::UserName {
        uid: uid(number),
        name: Some(format!("account-{number}")),
        account: Some(account(if is_session(number) {
            AccountClass::Regular
        } else {
            AccountClass::System
        })),
    });
    let root = Fact::UserName {
        uid: 0,
        name: Some("root".to_owned()),
        account: Some(account(AccountClass::Root)),
    };
    let cgroups = (1..=IDENTITIES).map(|number| Fact::CgroupPath {
        id: u64::from(number),
        path: cgroup(number),
    });
    let programs = (0..=IDENTITIES).map(|number| Fact::Program {
        file: program(number),
        path: exe(number),
        owner: 0,
        mode: 0o755,
    });
    let names = (0..DESTINATIONS).map(|number| Fact::Name {
        address: destination(number).ip(),
        name: format!("server-{number}.example"),
    });
    let credentials = (0..CREDENTIALS).map(|number| Fact::Located(located(number)));
    let init = Fact::Running {
        task: init(),
        path: Some(exe(0)),
        permitted: None,
    };
    let execs = (0..PROCESSES).flat_map(|number| {
        let task = task(number);
        let exec = Fact::Exec {
            task: task.clone(),
            path: exe(identity_of(number)),
            permitted: None,
        };
        [Fact::Fork { task }, exec]
    });
    let begin = [root, init].into_iter();
    let begin = begin.chain(users).chain(cgroups).chain(programs);
    let begin = begin.chain(names).chain(credentials).chain(execs);
    let reads = (0..PROCESSES).map(read);
    let all = begin.chain(reads).chain([Fact::Tick]);
    all.map(|fact| Record {
        time: Timestamp(BEGIN),
        fact,
    })
    .collect()
}

/// So many acts of one kind, a thousand a second.
pub(super) fn stream(act: Act, count: u32) -> Vec<Record> {
    let at = |number: u32| Timestamp(LEARNED + i64::from(number) * MILLISECOND);
    let acts = (0..count).map(|number| Record {
        time: at(number),
        fact: act(number),
    });
    acts.collect()
}

/// Of a hundred acts: forty-two connections and as many ends, eight flows, four reads, and one each of
/// fork, exec, exit and tick.
pub(super) fn mixed(number: u32) -> Fact {
    match number % 100 {
        50 => fork(number / 100),
        51 => exec(number / 100),
        52 => Fact::Exit {
            task: child(number / 100),
        },
        53 => Fact::Tick,
        54..58 => read(number / 100 * 4 + number % 4),
        58..66 => flow(number / 3),
        of if of.is_multiple_of(2) => connect(number / 2),
        _ => close(number / 2),
    }
}

fn connect(number: u32) -> Fact {
    Fact::Connect {
        task: task(number % PROCESSES),
        socket: u64::from(number),
        protocol: Protocol::Tcp,
        destination: destination(number / 3),
    }
}

fn close(number: u32) -> Fact {
    Fact::SocketClose {
        task: task(number % PROCESSES),
        socket: u64::from(number),
        destination: destination(number / 3),
        sent: 1_000,
        received: 20_000,
    }
}

fn flow(number: u32) -> Fact {
    let device = u8::try_from(number % DEVICES).unwrap_or_default();
    let traffic = Traffic {
        packets: 10,
        bytes: 1_000,
    };
    Fact::Flow(Flow {
        mac: Some(MacAddress([2, 0, 0, 0, 0, device])),
        source: SocketAddr::from(([192, 0, 2, device], 50_000)),
        destination: destination(number / 7),
        protocol: Protocol::Tcp,
        direction: Direction::Outgoing,
        sent: traffic,
        received: traffic,
        continues: !number.is_multiple_of(4),
    })
}

/// A service reads its credential.
fn read(number: u32) -> Fact {
    let service = number % CREDENTIALS;
    // The services are the last identities, and any of their processes reads it.
    let worker = number / CREDENTIALS % (PROCESSES / IDENTITIES);
    let process = IDENTITIES * worker + IDENTITIES - CREDENTIALS + service;
    Fact::FileAccess {
        task: task(process),
        file: file(service),
        access: Access::Read,
        path: None,
        count: 1,
    }
}

fn fork(number: u32) -> Fact {
    Fact::Fork {
        task: child(number),
    }
}

fn exec(number: u32) -> Fact {
    Fact::Exec {
        task: child(number),
        path: "/usr/bin/curl".to_owned(),
        permitted: None,
    }
}

fn destination(number: u32) -> SocketAddr {
    let address = Ipv4Addr::from(0xcb00_7100 + number % DESTINATIONS);
    SocketAddr::from((address, 443))
}

fn located(number: u32) -> LocatedFile {
    LocatedFile {
        file: file(number),
        path: format!("/etc/service-{number}/key.pem").into(),
        uid: 0,
        gid: 0,
        mode: 0o600,
        modified: Timestamp(0),
        credentials: vec![Credential {
            fingerprint: Fingerprint::new(format!("SHA256:{number:043}")),
            kind: CredentialKind::SshPrivateKey,
            label: None,
            subject: None,
            issued: None,
            expires: None,
            bound: None,
        }],
    }
}

fn file(number: u32) -> FileId {
    FileId {
        dev: 1,
        ino: u64::from(number) + 1_000,
    }
}

fn program(number: u32) -> FileId {
    FileId {
        dev: 1,
        ino: u64::from(number) + 1,
    }
}

fn exe(number: u32) -> String {
    match number {
        0 => "/usr/lib/systemd/systemd".to_owned(),
        _ => format!("/usr/bin/program-{number}"),
    }
}

fn identity_of(process: u32) -> u32 {
    process % IDENTITIES + 1
}

fn is_session(identity: u32) -> bool {
    identity <= SESSIONS
}

fn uid(identity: u32) -> u32 {
    match identity {
        of if of <= SESSIONS => 1_000 + of,
        // Services of root, and containers.
        of if of.is_multiple_of(4) => 0,
        of => 100 + of,
    }
}

fn account(class: AccountClass) -> Account {
    Account {
        class,
        shell: class != AccountClass::System,
        password: Password::Locked,
    }
}

fn cgroup(identity: u32) -> String {
    match identity {
        of if of <= SESSIONS => format!("/user.slice/user-{}.slice/session-{of}.scope", uid(of)),
        of if of <= SESSIONS + CONTAINERS => {
            let id = format!("{of:02x}").repeat(32);
            format!("/system.slice/docker-{id}.scope")
        }
        of => format!("/system.slice/service-{of}.service"),
    }
}

fn init() -> Task {
    Task {
        pid: 1,
        start: Timestamp(1),
        ppid: 0,
        parent_start: Timestamp(0),
        uid: 0,
        euid: 0,
        gid: 0,
        login_uid: None,
        session: None,
        cgroup: 0,
        cgroup_v1: 0,
        exe: program(0),
        tty: None,
    }
}

/// The first of each identity are children of the first process, the others theirs.
fn task(number: u32) -> Task {
    let identity = identity_of(number);
    let pid = 1_000 + number;
    let ppid = if number < IDENTITIES {
        1
    } else {
        pid - IDENTITIES
    };
    Task {
        pid,
        start: Timestamp(i64::from(pid)),
        ppid,
        parent_start: Timestamp(i64::from(ppid)),
        uid: uid(identity),
        euid: uid(identity),
        gid: uid(identity),
        login_uid: is_session(identity).then(|| uid(identity)),
        session: is_session(identity).then_some(identity),
        cgroup: u64::from(identity),
        cgroup_v1: 0,
        exe: program(identity),
        tty: is_session(identity).then(|| format!("pts{identity}")),
    }
}

/// What a process starts for a moment.
fn child(number: u32) -> Task {
    let parent = task(number % PROCESSES);
    let pid = 10_000 + number;
    Task {
        pid,
        start: Timestamp(LEARNED + i64::from(pid)),
        ppid: parent.pid,
        parent_start: parent.start,
        exe: FileId { dev: 1, ino: 900 },
        ..parent
    }
}
