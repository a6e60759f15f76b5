//! The connector against the kernel that runs. As root, in the host's namespaces.

use std::collections::{HashMap, HashSet};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::thread::{Scope, ScopedJoinHandle};

use rustix::net::sockopt;
use rustix::thread::{
    CpuSet, UnshareFlags, sched_getaffinity, sched_setaffinity, set_name, unshare_unsafe,
};

use super::socket::{BUFFER, Refused};
use super::*;
use crate::model::{FileId, Timestamp};

const ALL: Wants = Wants {
    processes: true,
    identity: true,
    ptrace: true,
};
/// Holds some ten events.
const TINY: usize = 4_096;
const NOBODY: u32 = 65_534;
const PATIENCE: Duration = Duration::from_secs(20);

/// Facts as they come.
struct Facts {
    clock: Clock,
    stop: AtomicBool,
    facts: Mutex<Vec<Record>>,
}

impl Outlet for Facts {
    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn clock(&self) -> Clock {
        self.clock
    }

    fn push(&self, facts: Vec<Record>) {
        self.facts.lock().unwrap().extend(facts);
    }
}

impl Facts {
    fn new() -> Self {
        Self {
            clock: Clock::new(Timestamp::now(), boot_time()),
            stop: AtomicBool::new(false),
            facts: Mutex::default(),
        }
    }

    /// Those that `of` picks, once it has picked `count`.
    fn wait<T>(&self, count: usize, of: impl Fn(&Record) -> Option<T>) -> Vec<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found: Vec<T> = self.facts.lock().unwrap().iter().filter_map(&of).collect();
            if found.len() >= count || Instant::now() >= deadline {
                return found;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// All facts of which a process is the actor, once its end is among them.
    fn life(&self, pid: u32) -> Vec<Record> {
        self.wait(1, |record| match &record.fact {
            Fact::Exit { task } if task.pid == pid => Some(()),
            _ => None,
        });
        self.wait(0, |record| {
            let acts = matches!(&record.fact,
                Fact::Fork { task }
                | Fact::Exec { task, .. }
                | Fact::Exit { task }
                | Fact::IdentityChange { task, .. }
                | Fact::MemoryAccess { task, .. } if task.pid == pid);
            acts.then(|| record.clone())
        })
    }
}

/// Stops serving also when the test fails.
struct Stopper<'a>(&'a Facts);

impl Drop for Stopper<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Release);
    }
}

fn serve<'scope>(
    scope: &'scope Scope<'scope, '_>,
    connector: &'scope Connector,
    facts: &'scope Facts,
) -> (ScopedJoinHandle<'scope, ()>, Stopper<'scope>) {
    (scope.spawn(|| connector.serve(facts)), Stopper(facts))
}

fn by_table(wants: Wants) -> (Connector, Arc<Tasks>) {
    let tasks = Arc::new(Tasks::new());
    let actors = Actors::Table(Arc::clone(&tasks));
    (Connector::open(actors, wants).unwrap(), tasks)
}

fn file_id(path: &str) -> FileId {
    let stat = rustix::fs::stat(path).unwrap();
    FileId {
        dev: stat.st_dev,
        ino: stat.st_ino,
    }
}

fn start(program: &str, arguments: &[&str]) -> Child {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn the_life_of_a_process_comes_out_in_order() {
    let (connector, tasks) = by_table(ALL);
    let facts = Facts::new();
    let before = facts.clock.event(boot_time());
    std::thread::scope(|scope| {
        let _serving = serve(scope, &connector, &facts);
        let mut child = Command::new("sleep")
            .arg("0.3")
            .uid(NOBODY)
            .gid(NOBODY)
            .spawn()
            .unwrap();
        let pid = child.id();
        // `spawn` returns when the program has been started.
        let seen = tasks.of(pid, &facts.clock).unwrap();
        child.wait().unwrap();
        let life = facts.life(pid);
        let [fork, identity, exec, exit] = life.as_slice() else {
            panic!("{life:#?}");
        };
        let own = tasks.of(std::process::id(), &facts.clock).unwrap();
        let Fact::Fork { task } = &fork.fact else {
            panic!("{fork:?}");
        };
        let child_of_own = Task {
            pid,
            start: seen.start,
            ppid: own.pid,
            parent_start: own.start,
            ..own.clone()
        };
        assert_eq!(*task, child_of_own);
        let Fact::IdentityChange { task, uid } = &identity.fact else {
            panic!("{identity:?}");
        };
        assert_eq!((task.key(), *uid), (seen.key(), NOBODY));
        assert_eq!((task.uid, task.euid, task.gid), (own.uid, own.euid, NOBODY));
        let Fact::Exec { task, path, .. } = &exec.fact else {
            panic!("{exec:?}");
        };
        let sleep = std::fs::canonicalize("/bin/sleep").unwrap();
        assert_eq!(path.as_str(), sleep.to_str().unwrap());
        assert_eq!(*task, seen);
        assert_eq!((task.uid, task.euid, task.gid), (NOBODY, NOBODY, NOBODY));
        assert_eq!(task.exe, file_id(path));
        assert_eq!((task.cgroup, task.cgroup_v1), (own.cgroup, own.cgroup_v1));
        assert_eq!(exit.fact, Fact::Exit { task: seen });
        let mut times: Vec<_> = life.iter().map(|record| record.time).collect();
        times.insert(0, before);
        times.push(facts.clock.event(boot_time()));
        assert!(times.is_sorted(), "{times:?}");
        let lived = exit.time.since(exec.time);
        assert!(lived >= Duration::from_millis(300), "{lived:?}");
    });
    assert_eq!(connector.counts().malformed, 0);
    assert!(connector.backend().starts_with("process connector"));
}

#[test]
fn what_is_gone_before_it_is_looked_at_has_what_it_inherited() {
    let (connector, tasks) = by_table(ALL);
    let facts = Facts::new();
    let mut child = start("true", &[]);
    let now = facts.clock.start(boot_time());
    child.wait().unwrap();
    facts.stop.store(true, Ordering::Release);
    connector.serve(&facts);
    let life = facts.life(child.id());
    let own = tasks.of(std::process::id(), &facts.clock).unwrap();
    let [fork, exec, exit] = life.as_slice() else {
        panic!("{life:#?}");
    };
    let Fact::Fork { task } = &fork.fact else {
        panic!("{fork:?}");
    };
    let (pid, start) = (child.id(), task.start);
    let inherited = Task {
        pid,
        start,
        ppid: own.pid,
        parent_start: own.start,
        ..own
    };
    assert_eq!(*task, inherited);
    assert!(now.since(start) < Duration::from_secs(5), "{now} {start}");
    // It runs something else than its parent, and nobody knows what.
    let task = Task {
        exe: FileId::default(),
        ..inherited
    };
    let path = String::new();
    let expected = Fact::Exec {
        task,
        path,
        permitted: None,
    };
    assert_eq!(exec.fact, expected);
    let Fact::Exec { task, .. } = expected else {
        return;
    };
    assert_eq!(exit.fact, Fact::Exit { task });
    assert!(connector.counts().late >= 1);
}

#[test]
fn the_task_is_as_proc_says() {
    let clock = Clock::new(Timestamp::now(), boot_time());
    let own = Tasks::new().of(std::process::id(), &clock).unwrap();
    let own_process = procfs::process::Process::myself().unwrap();
    let stat = own_process.stat().unwrap();
    assert_eq!(own.ppid, u32::try_from(stat.ppid).unwrap());
    let ago = u64::try_from(clock.event(boot_time()).0 - own.start.0).unwrap();
    let by_ticks = boot_time() - stat.starttime * 10_000_000;
    assert!(ago.abs_diff(by_ticks) < 1_000_000_000, "{ago} {by_ticks}");
    assert_eq!(own.exe, file_id("/proc/self/exe"));
    assert_eq!(own.uid, rustix::process::getuid().as_raw());
    let login = std::fs::read_to_string("/proc/self/loginuid").unwrap_or_default();
    let login = login.trim().parse().ok().filter(|uid| *uid != u32::MAX);
    assert_eq!(own.login_uid, login);
    // The way back, as paths of cgroups are found by their ids.
    let mounts = own_process.mountinfo().unwrap();
    let v2 = mounts.0.iter().find(|mount| mount.fs_type == "cgroup2");
    let group = own_process.cgroups().unwrap();
    let group = group.into_iter().find(|group| group.hierarchy == 0);
    if let (Some(mount), Some(group)) = (v2, group) {
        let path = mount
            .mount_point
            .join(group.pathname.trim_start_matches('/'));
        assert_eq!(own.cgroup, file_id(path.to_str().unwrap()).ino);
    }
    assert_eq!(own.cgroup_v1 & Task::V1_HIERARCHY == 0, own.cgroup_v1 == 0);
}

#[test]
fn an_attach_within_one_uid_is_seen_and_a_detach_is_not() {
    let (connector, tasks) = by_table(ALL);
    let facts = Facts::new();
    std::thread::scope(|scope| {
        let _serving = serve(scope, &connector, &facts);
        let mut child = start("sleep", &["30"]);
        let pid = i32::try_from(child.id()).unwrap();
        let null = std::ptr::null_mut::<libc::c_void>;
        // SAFETY: the child is this test's own; neither request touches memory of this process.
        let results = unsafe {
            let attached = libc::ptrace(libc::PTRACE_ATTACH, pid, null(), null());
            let stopped = libc::waitpid(pid, std::ptr::null_mut(), 0);
            let detached = libc::ptrace(libc::PTRACE_DETACH, pid, null(), null());
            (attached, stopped, detached)
        };
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(results, (0, pid, 0));
        facts.life(child.id());
        let attaches = facts.wait(0, |record| match &record.fact {
            Fact::MemoryAccess {
                task,
                target,
                how,
                granted,
            } if target.pid == child.id() => Some((task.clone(), *how, *granted)),
            _ => None,
        });
        let own = tasks.of(std::process::id(), &facts.clock).unwrap();
        let [(task, MemoryAccess::Ptrace, true)] = attaches.as_slice() else {
            panic!("{attaches:?}");
        };
        assert_eq!(task.key(), own.key());
    });
}

#[test]
fn a_thousand_short_lives_are_all_told() {
    const CHILDREN: usize = 1_000;
    let (connector, _) = by_table(ALL);
    let facts = Facts::new();
    let children: HashSet<u32> = std::thread::scope(|scope| {
        let _serving = serve(scope, &connector, &facts);
        let children = (0..CHILDREN)
            .map(|_| {
                let mut child = start("true", &[]);
                child.wait().unwrap();
                child.id()
            })
            .collect();
        let is_child = |task: &Task| (task.ppid == std::process::id()).then_some(task.key());
        // Other tests have children too: these are found by their pids.
        let of_children = |found: Vec<crate::model::ProcessKey>| {
            let children: &HashSet<u32> = &children;
            found
                .into_iter()
                .filter(|key| children.contains(&key.pid))
                .collect::<Vec<_>>()
        };
        let deadline = Instant::now() + PATIENCE;
        let (mut forks, mut execs, mut exits);
        loop {
            forks = of_children(facts.wait(0, |record| match &record.fact {
                Fact::Fork { task } => is_child(task),
                _ => None,
            }));
            execs = of_children(facts.wait(0, |record| match &record.fact {
                Fact::Exec { task, .. } => is_child(task),
                _ => None,
            }));
            exits = of_children(facts.wait(0, |record| match &record.fact {
                Fact::Exit { task } => is_child(task),
                _ => None,
            }));
            if exits.len() >= CHILDREN || Instant::now() > deadline {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(
            (forks.len(), execs.len(), exits.len()),
            (CHILDREN, CHILDREN, CHILDREN)
        );
        assert_eq!(
            forks, exits,
            "each is one process from its fork to its exit"
        );
        assert_eq!(forks, execs);
        children
    });
    assert_eq!(children.len(), CHILDREN, "no pid was used again");
    let counts = connector.counts();
    assert_eq!((counts.lost, counts.malformed), (0, 0), "{counts:?}");
    println!("{counts:?}");
    let prompt = std::thread::spawn(priority::raise).join().unwrap();
    assert!(counts.late * 10 < counts.execs || prompt.is_err());
}

/// Makes an event of no consequence on each CPU.
fn touch_each_cpu() {
    let all = sched_getaffinity(None).unwrap();
    for cpu in (0..CpuSet::MAX_CPU).filter(|cpu| all.is_set(*cpu)) {
        let mut one = CpuSet::new();
        one.set(cpu);
        sched_setaffinity(None, &one).unwrap();
        set_name(c"connector-test").unwrap();
    }
    sched_setaffinity(None, &all).unwrap();
}

/// Gives a socket more or less room.
fn set_room(socket: &Socket, bytes: usize) {
    sockopt::set_socket_recv_buffer_size_force(socket, bytes).unwrap();
}

/// A socket with all that came to it, by CPU, and the account of what did not.
struct Account {
    socket: Socket,
    losses: Losses,
    numbers: HashMap<u32, Vec<u32>>,
}

impl Account {
    fn open() -> Self {
        Self {
            socket: Socket::open().unwrap(),
            losses: Losses::new(0),
            numbers: HashMap::new(),
        }
    }

    fn drain(&mut self) {
        let mut buffer = [0; LONGEST];
        while let Ok(datagram) = self.socket.receive(&mut buffer) {
            for message in messages(datagram.unwrap()) {
                let message = message.unwrap();
                self.losses.message(message.cpu, message.sequence);
                let numbers = self.numbers.entry(message.cpu).or_default();
                numbers.push(message.sequence);
            }
        }
    }

    fn drops(&self) -> u64 {
        u64::from(self.socket.drops().unwrap())
    }
}

#[test]
fn what_finds_no_room_is_counted_to_the_last_event() {
    let mut ample = Account::open();
    let mut tiny = Account::open();
    touch_each_cpu();
    tiny.drain();
    set_room(&tiny.socket, TINY);
    for _ in 0..200 {
        start("true", &[]).wait().unwrap();
    }
    set_room(&tiny.socket, BUFFER);
    tiny.drain();
    // A gap is seen with the next event of its CPU.
    touch_each_cpu();
    tiny.drain();
    ample.drain();
    let lost = tiny.losses.total();
    assert_eq!(tiny.drops(), lost, "the socket's count and the gaps");
    assert!(lost > 100, "{lost}");
    assert_eq!((ample.drops(), ample.losses.total()), (0, 0));
    let (mut all, mut taken) = (0, 0);
    for (cpu, numbers) in &tiny.numbers {
        let (first, last) = (numbers[0], numbers[numbers.len() - 1]);
        let span = last.wrapping_sub(first);
        let within = ample.numbers[cpu]
            .iter()
            .filter(|number| number.wrapping_sub(first) <= span);
        all += within.count() as u64;
        taken += numbers.len() as u64;
    }
    println!("{all} events: {taken} taken, {lost} lost");
    assert_eq!(all, taken + lost);
}

#[test]
fn losses_are_told_once_served() {
    let (connector, _) = by_table(ALL);
    set_room(&connector.socket, TINY);
    for _ in 0..50 {
        start("true", &[]).wait().unwrap();
    }
    let facts = Facts::new();
    facts.stop.store(true, Ordering::Release);
    connector.serve(&facts);
    let lost = connector.counts().lost;
    assert!(lost > 0);
    let told: Vec<_> = facts.wait(1, |record| match &record.fact {
        Fact::Lost { hook, count, .. } => Some((hook.clone(), *count)),
        _ => None,
    });
    assert_eq!(told, [(NAME.to_owned(), lost)]);
}

#[test]
fn what_is_not_wanted_does_not_come_and_can_be_wanted_again() {
    let tasks = Arc::new(Tasks::new());
    let named = Arc::clone(&tasks);
    let by_kernel: Arc<ByKernel> = Arc::new(move |pid, clock| named.of(pid, clock));
    let wants = Wants {
        ptrace: true,
        ..Wants::default()
    };
    let connector = Connector::open(Actors::Kernel(by_kernel), wants).unwrap();
    let facts = Facts::new();
    std::thread::scope(|scope| {
        let _serving = serve(scope, &connector, &facts);
        // What came before the mask was set.
        std::thread::sleep(Duration::from_millis(300));
        let before = connector.counts();
        for _ in 0..20 {
            start("true", &[]).wait().unwrap();
        }
        std::thread::sleep(Duration::from_millis(300));
        let after = connector.counts();
        if connector.socket.has_masks() {
            assert_eq!(after.forks + after.execs, before.forks + before.execs);
        }
        assert!(facts.facts.lock().unwrap().is_empty());
        connector.set_wants(ALL).unwrap();
        for _ in 0..20 {
            start("true", &[]).wait().unwrap();
        }
        let deadline = Instant::now() + PATIENCE;
        while connector.counts().execs < after.execs + 20 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let counts = connector.counts();
        assert!(counts.forks >= after.forks + 20, "{counts:?}");
        assert!(counts.execs >= after.execs + 20, "{counts:?}");
        assert!(connector.whole.load(Ordering::Acquire), "the answer came");
        // What the kernel sorted out has numbers too, and is no loss.
        assert_eq!(counts.lost, 0);
    });
}

#[test]
fn every_running_process_is_told() {
    let tasks = Tasks::new();
    let clock = Clock::new(Timestamp::now(), boot_time());
    let mut child = start("sleep", &["30"]);
    let running: Vec<_> = tasks.running(&clock).collect();
    let seen = tasks.of(child.id(), &clock);
    child.kill().unwrap();
    child.wait().unwrap();
    let find = |pid: u32| {
        running.iter().find_map(|fact| match fact {
            Fact::Running { task, path, .. } if task.pid == pid => {
                Some((task.clone(), path.clone()))
            }
            _ => None,
        })
    };
    let (task, path) = find(child.id()).unwrap();
    assert_eq!(Some(&task), seen.as_ref());
    let sleep = std::fs::canonicalize("/bin/sleep").unwrap();
    assert_eq!(path.as_deref(), sleep.to_str());
    let (parent, _) = find(std::process::id()).unwrap();
    assert_eq!(task.parent(), parent.key());
    let (kernel, path) = find(2).unwrap();
    assert_eq!((kernel.exe, path), (FileId::default(), None));
    // Gone now, and known still.
    assert_eq!(tasks.of(child.id(), &clock), Some(task));
}

#[test]
fn another_network_namespace_is_named_as_the_reason() {
    let refused = std::thread::spawn(|| {
        // SAFETY: only this thread's network changes; it opens a socket and ends.
        unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.unwrap();
        Socket::open().map(drop)
    })
    .join()
    .unwrap();
    assert!(
        matches!(refused, Err(Refused::NetworkNamespace)),
        "{refused:?}"
    );
}

/// Runs itself again in such a namespace.
#[test]
fn another_pid_namespace_is_named_as_the_reason() {
    const INSIDE: &str = "CREDWATCH_TEST_IN_PID_NAMESPACE";
    if std::env::var_os(INSIDE).is_some() {
        let refused = Socket::open().map(drop);
        let expected = matches!(refused, Err(Refused::Namespace("pid")));
        assert!(expected, "{refused:?}");
        return;
    }
    let name = "sensor::connector::tests::another_pid_namespace_is_named_as_the_reason";
    let output = Command::new("unshare")
        .args(["--fork", "--pid", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

#[test]
fn ids_follow_the_events_and_what_was_lost_is_doubted() {
    let (tasks, clock) = (Tasks::new(), Clock::new(Timestamp::now(), boot_time()));
    let mut child = start("sleep", &["30"]);
    let pid = child.id();
    let before = tasks.running(&clock).find_map(|fact| match fact {
        Fact::Running { task, .. } if task.pid == pid => Some(task),
        _ => None,
    });
    let leader = Thread {
        id: pid,
        process: pid,
    };
    let other = Thread {
        id: pid + 1,
        process: pid,
    };
    let take = |thread, uids| match tasks.took_uids(thread, uids, boot_time(), &clock) {
        Change::Uid(task, uid) => Some((task.uid, task.euid, uid)),
        Change::None => None,
        Change::Unclear => panic!("the ids before are known"),
    };
    let own = before.map(|task| (task.uid, task.euid)).unwrap();
    assert_eq!(take(leader, (5, 5)), Some((own.0, own.1, 5)));
    assert_eq!(take(other, (5, 5)), None, "its other thread follows");
    assert_eq!(take(leader, (5, 6)), Some((5, 5, 6)));
    tasks.doubt();
    assert_eq!(take(leader, (7, 7)), Some((5, 6, 7)));
    tasks.doubt();
    let read_anew = tasks.at(pid, boot_time(), &clock).unwrap();
    assert_eq!((read_anew.uid, read_anew.euid), own);
    // Nobody knows what they were before a process of which nothing was heard.
    let fresh = Tasks::new();
    let unclear = fresh.took_uids(leader, own, 0, &clock);
    assert!(matches!(unclear, Change::Unclear));
    // The first thread may end before the others do.
    tasks.forked(leader, other, boot_time(), &clock);
    assert!(tasks.exited(leader).is_some());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(tasks.of(pid, &clock).map(|task| task.pid), Some(pid));
    assert!(fresh.exited(leader).is_none());
    assert_eq!(fresh.of(pid, &clock), None);
}
