//! The process that plays one evasion: it does what has to be done once, then makes a process of
//! its own for every try. It is this test program, started again with an order.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, Signal, WaitOptions, getpid, set_child_subreaper};
use serde::{Deserialize, Serialize};

use super::scene::{ROOM, Scene};
use super::slots::{End, Slot, Slots};
use super::{Evasion, table};

/// Holds an [`Order`] for a process that is to act.
const VARIABLE: &str = "CREDWATCH_EVASION";
/// The test under which this program acts when it is started again.
const TEST: &str = "live::evasions::actor_or_names";
/// How long one try may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long an evasion is tried.
const LONGEST: Duration = Duration::from_secs(90);
/// How many tries of a racy evasion are under way at once.
const CROWD: usize = 3;

/// What to play.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) name: String,
    pub(super) scene: Scene,
    /// A path to the memory with the [`Slots`].
    pub(super) slots: PathBuf,
    /// Tries that have to come by the secret.
    pub(super) tries: usize,
    /// For a process that has replaced its program in the midst of a try.
    hop: Option<Hop>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Hop {
    slot: usize,
    left: u32,
}

impl Order {
    pub(super) fn new(evasion: &Evasion, scene: &Scene, slots: PathBuf, tries: usize) -> Self {
        Self {
            name: evasion.name.to_owned(),
            scene: scene.clone(),
            slots,
            tries,
            hop: None,
        }
    }

    /// The order that this process was started with, if it was.
    pub(super) fn of_this_process() -> Option<Self> {
        let order = std::env::var(VARIABLE).ok()?;
        Some(serde_json::from_str(&order).unwrap())
    }

    /// This test program, or a copy of it, started to carry out the order.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .args(["--exact", TEST, "--nocapture", "--test-threads=1"])
            .env(VARIABLE, serde_json::to_string(self).unwrap())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    /// Carries it out.
    pub(super) fn carry_out(&self) {
        let file = File::options().read(true).write(true).open(&self.slots);
        let slots = Slots::map(&file.unwrap()).unwrap();
        if let Some(hop) = self.hop {
            let mut at = Try {
                order: self,
                index: hop.slot,
                slot: slots.get(hop.slot),
            };
            let done = match hop.left {
                0 => at.open_and_read(&self.scene.secret),
                left => at.exec(Path::new("/proc/self/exe"), left - 1),
            };
            at.finish(&done);
            return;
        }
        let all = table();
        let evasion = all.iter().find(|of| of.name == self.name).unwrap();
        match (evasion.stage)(&self.scene) {
            Ok(act) => self.play(&slots, evasion, &act),
            Err(error) => slots.get(0).fail(&format!("preparing it: {error}")),
        }
    }

    /// Tries until so many have come by the secret, the slots are used up, or time is over.
    fn play(&self, slots: &Slots, evasion: &Evasion, act: &Act) {
        // Orphans of a try are waited for here and not by the host's first process.
        set_child_subreaper(Some(getpid())).unwrap();
        let end = Instant::now() + LONGEST;
        let crowd = if evasion.racy { CROWD } else { 1 };
        let (mut next, mut successes) = (0, 0);
        let mut under_way: Vec<(usize, Instant)> = Vec::new();
        let mut roots = HashMap::new();
        loop {
            while under_way.len() < crowd
                && successes + under_way.len() < self.tries
                && next < slots.len()
                && Instant::now() < end
            {
                let mut at = Try {
                    order: self,
                    index: next,
                    slot: slots.get(next),
                };
                roots.insert(fork(|| at.run(act)).unwrap(), next);
                under_way.push((next, Instant::now()));
                next += 1;
            }
            if under_way.is_empty() {
                return;
            }
            let before = under_way.len();
            while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
                let slot = roots.remove(&pid).map(|index| slots.get(index));
                if let Some((slot, signal)) = slot.zip(status.terminating_signal())
                    && slot.end() == End::Open
                {
                    slot.fail(&format!("killed by signal {signal}"));
                }
            }
            under_way.retain(|(index, since)| {
                let slot = slots.get(*index);
                if slot.end() == End::Open && since.elapsed() > PATIENCE {
                    slot.fail("it did not end");
                }
                let end = slot.end();
                successes += usize::from(evasion.succeeded(&self.scene, &end));
                end == End::Open
            });
            if under_way.len() == before {
                std::thread::sleep(Duration::from_micros(50));
            }
        }
    }
}

/// What each try does, in a process of its own.
pub(super) type Act = Box<dyn Fn(&mut Try<'_>) -> io::Result<()>>;

/// One try, seen from the process that makes it.
pub(super) struct Try<'a> {
    order: &'a Order,
    index: usize,
    pub(super) slot: &'a Slot,
}

impl Try<'_> {
    pub(super) fn scene(&self) -> &Scene {
        &self.order.scene
    }

    fn run(&mut self, act: &Act) {
        self.is_me();
        let done = catch_unwind(AssertUnwindSafe(|| act(self)))
            .unwrap_or_else(|_| Err(io::Error::other("it panicked")));
        self.finish(&done);
    }

    /// Says how it ended.
    pub(super) fn finish(&self, done: &io::Result<()>) {
        match done {
            Ok(()) => self.slot.set_read(),
            Err(error) if error.raw_os_error() == Some(libc::EACCES) => {
                self.slot.set_refused();
            }
            Err(error) => self.slot.fail(&error.to_string()),
        }
    }

    /// From here on the calling process is the one that reads.
    pub(super) fn is_me(&self) {
        self.slot
            .set_pid(getpid().as_raw_nonzero().get().unsigned_abs());
    }

    /// Where the bytes go that are read.
    pub(super) fn room(&mut self) -> &mut [u8; ROOM] {
        // SAFETY: the processes of a try write one after the other, and whoever judges it reads
        // when they are done.
        unsafe { &mut *self.slot.room() }
    }

    /// Whether the secret's bytes are there.
    pub(super) fn is_won(&mut self) -> bool {
        let scene = &self.order.scene;
        scene.is_content(self.room())
    }

    /// read(2)
    pub(super) fn read(&mut self, from: impl AsFd) -> io::Result<()> {
        rustix::io::read(from, self.room())?;
        Ok(())
    }

    /// open(2), read(2)
    pub(super) fn open_and_read(&mut self, path: &Path) -> io::Result<()> {
        let file = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        self.read(file)
    }

    /// Replaces the program by this one, or a copy of it, which does the same so many more times
    /// and then opens the secret and reads it. Returns only when that fails.
    pub(super) fn exec(&self, program: &Path, left: u32) -> io::Result<()> {
        let mut order = self.order.clone();
        order.hop = Some(Hop {
            slot: self.index,
            left,
        });
        Err(order.command(program).exec())
    }
}

/// Makes a process that runs this and is gone.
pub(super) fn fork(child: impl FnOnce()) -> io::Result<Pid> {
    // SAFETY: no other thread of this program holds a lock meanwhile: beside the one that acts
    // there is only the test harness's, which waits.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            child();
            exit()
        }
        pid => Ok(Pid::from_raw(pid).unwrap()),
    }
}

/// Ends this process at once; nothing of its parent's is flushed twice.
pub(super) fn exit() -> ! {
    // SAFETY: touches nothing of this process, which is over.
    unsafe { libc::_exit(0) }
}

/// A process that is at hand through all tries, and gone with the actor.
pub(super) fn helper(run: impl FnOnce()) -> io::Result<Pid> {
    fork(|| {
        if rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).is_ok() {
            run();
        }
    })
}
