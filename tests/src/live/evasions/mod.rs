//! Every known way of not being seen, really gone on the live kernel, and what the sensor saw.
//!
//! Each try is a process of its own, in which an act comes by the bytes of a watched file: the bytes
//! lie in shared memory and are compared by this test. `credwatch record` runs beside and must have
//! told of that very process and that very file.

mod actor;
mod descriptors;
mod filesystems;
mod paths;
mod processes;
mod races;
mod recording;
mod rings;
mod scene;
mod slots;
mod tally;

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use self::actor::{Act, Order};
use self::recording::{Recorder, file_id};
use self::scene::Scene;
use self::slots::{End, Slots};
use self::tally::{Row, Tally};
use super::daemon::Place;
use super::host::run;
use super::turn::shared;

/// Evasions that the sensor is known not to see yet, or not always. They are tried and printed; one
/// that has come to be seen has to leave this list.
const EXPECTED_LATER: &[&str] = &[];

/// Those that rest on a path which the kernel half tells, as a new file has no mark yet. Under
/// lockdown=confidentiality it may read none: the daemon then finds the file by its directory, and whoever
/// reads it in the milliseconds before is not told of.
const BY_PATH: &[&str] = &["overlayfs, copied up by a write"];

/// Tries of an evasion whose end is always the same.
const TRIES: usize = 20;
/// Tries of one that is a race, or that hopes to be gone before anybody looks.
const RACY_TRIES: usize = 3_000;
/// Sets another number for the racy ones; others are tried no more often.
const TRIES_VARIABLE: &str = "CREDWATCH_TRIES";
/// Tries only evasions whose name contains this.
const ONLY_VARIABLE: &str = "CREDWATCH_EVASIONS";

/// A way of not being seen.
struct Evasion {
    name: &'static str,
    /// Runs once, before the tries: what it gives is done in a process of its own for each.
    stage: fn(&Scene) -> io::Result<Act>,
    /// Whether how it ends differs from try to try.
    racy: bool,
    /// Whether the kernel is to refuse it.
    refused: bool,
    /// What not every kernel has. Where the act fails in a rehearsal, on a file that nobody
    /// watches, that is missing.
    needs: Option<&'static str>,
    /// Where the secret lies in the scene.
    secret: &'static str,
    /// A file system of its own for the scene.
    file_system: Option<&'static str>,
    /// Whether whoever reads runs another program than this one.
    disguised: bool,
}

impl Evasion {
    const fn new(name: &'static str, stage: fn(&Scene) -> io::Result<Act>) -> Self {
        Self {
            name,
            stage,
            racy: false,
            refused: false,
            needs: None,
            secret: "secret",
            file_system: None,
            disguised: false,
        }
    }

    const fn racy(mut self) -> Self {
        self.racy = true;
        self
    }

    const fn refused(mut self) -> Self {
        self.refused = true;
        self
    }

    const fn needs(mut self, what: &'static str) -> Self {
        self.needs = Some(what);
        self
    }

    const fn secret_at(mut self, path: &'static str) -> Self {
        self.secret = path;
        self
    }

    const fn on(mut self, file_system: &'static str) -> Self {
        self.file_system = Some(file_system);
        self
    }

    const fn disguised(mut self) -> Self {
        self.disguised = true;
        self
    }

    /// A name for its scenes that mount options and system calls take as it is.
    fn directory(&self) -> String {
        self.name
            .replace(|letter: char| !letter.is_ascii_alphanumeric(), "_")
    }

    fn tries(&self, racy: usize) -> usize {
        if self.racy { racy } else { racy.min(TRIES) }
    }

    /// Whether a try came by what it was after.
    fn succeeded(&self, scene: &Scene, end: &End) -> bool {
        match end {
            End::Read(bytes) => !self.refused && scene.is_content(bytes),
            End::Refused => self.refused,
            End::Open | End::Failed(_) => false,
        }
    }
}

/// All of them, in the order in which they are printed.
fn table() -> Vec<Evasion> {
    let parts = [
        paths::evasions(),
        filesystems::evasions(),
        descriptors::evasions(),
        rings::evasions(),
        races::evasions(),
        processes::evasions(),
    ];
    parts.into_iter().flatten().collect()
}

/// Where the acts happen: started with an order, this program carries it out under this name.
/// Started by whoever runs the tests, it makes sure that an order finds its evasion.
#[test]
fn actor_or_names() {
    if let Some(order) = Order::of_this_process() {
        order.carry_out();
        return;
    }
    let mut names: Vec<_> = table().iter().map(|evasion| evasion.name).collect();
    assert!(EXPECTED_LATER.iter().all(|name| names.contains(name)));
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "two of one name: {names:?}");
}

#[test]
fn no_evasion_is_one() {
    let _host = shared();
    // It is removed from here, where nothing is mounted in it.
    let place = Place::new();
    // A thread may have mounts of its own, which are gone with it, however it ends.
    let thread = || {
        // SAFETY: changes what this thread and its children see, and closes no descriptor.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.unwrap();
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private).unwrap();
        every_evasion_is_seen(&place);
    };
    let done = std::thread::scope(|scope| scope.spawn(thread).join());
    if let Err(panic) = done {
        std::panic::resume_unwind(panic);
    }
}

fn every_evasion_is_seen(place: &Place) {
    let number = std::env::var(TRIES_VARIABLE).ok();
    let asked: Option<usize> = number.map(|number| number.parse().unwrap());
    let only = std::env::var(ONLY_VARIABLE).unwrap_or_default();
    let table: Vec<_> = table()
        .into_iter()
        .filter(|evasion| evasion.name.contains(&only))
        .collect();
    let lay = |directory: PathBuf, rehearsal| -> Vec<Scene> {
        (1..)
            .zip(&table)
            .map(|(number, evasion)| {
                let directory = directory.join(evasion.directory());
                Scene::lay(&directory, evasion, number, rehearsal)
            })
            .collect()
    };
    let rehearsals = lay(place.at("rehearsals"), true);
    let scenes = lay(place.root(), false);
    let mut recorder = Recorder::start(place, scenes.iter().map(|scene| &*scene.secret));
    let mut rows = Vec::new();
    for ((evasion, scene), rehearsal) in table.iter().zip(&scenes).zip(&rehearsals) {
        let file = file_id(&scene.secret);
        let mut row = Row::new(evasion, file, evasion.tries(asked.unwrap_or(RACY_TRIES)));
        let rehearsed = play(evasion, rehearsal, 1);
        if let (Some(what), End::Failed(why)) = (evasion.needs, rehearsed.get(0).end()) {
            row.impossible = Some(format!("{what}: {why}"));
        } else {
            let started = Instant::now();
            row.take(evasion, scene, &play(evasion, scene, row.wanted));
            row.time = started.elapsed();
        }
        rows.push(row);
        // What has come meanwhile is off the disk before it is much.
        recorder.read();
    }
    recorder.catch_up();
    let mut tally = Tally::new(rows);
    let deadline = Instant::now() + Duration::from_secs(10);
    // Copies are looked into before their reads are told of, and that may take a moment.
    while !tally.count(&recorder.accesses) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(200));
        recorder.read();
    }
    tally.count(&recorder.accesses);
    let lost = recorder.stop();
    tally.print(&place.root(), lost);
    tally.judge(asked.is_none());
}

/// Has an evasion tried until so many tries have succeeded.
fn play(evasion: &Evasion, scene: &Scene, tries: usize) -> Slots {
    // Of a race's tries, some come by the harmless file.
    let room = if evasion.racy { 2 * tries } else { tries };
    let memory = memfd_create("credwatch-tries", MemfdFlags::CLOEXEC).unwrap();
    let memory = File::from(memory);
    memory.set_len(Slots::size(room)).unwrap();
    let path = format!("/proc/{}/fd/{}", std::process::id(), memory.as_raw_fd());
    let order = Order::new(evasion, scene, path.into(), tries);
    run(&mut order.command(&own_program()));
    Slots::map(&memory).unwrap()
}

fn own_program() -> PathBuf {
    fs::read_link("/proc/self/exe").unwrap()
}

/// The directory of a path.
fn directory_of(path: &Path) -> &Path {
    path.parent().unwrap()
}
