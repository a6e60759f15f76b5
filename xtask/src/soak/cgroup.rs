//! The cgroup of the work: what runs in it, what it costs, and the end of all of it.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use super::signal;

const NAME: &str = "credwatch-soak";
/// How long what is told to end may take until it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// A cgroup of version 2, below the root: of no service, so that what runs in it is named by its account.
pub(super) struct Cgroup {
    directory: PathBuf,
}

impl Cgroup {
    /// Makes it, and ends what an earlier run left in it.
    ///
    /// # Errors
    /// When the kernel has no cgroups of version 2, or it cannot be made.
    pub(super) fn make() -> Result<Self> {
        let directory = mount()?.join(NAME);
        if directory.is_dir() {
            drop(Self {
                directory: directory.clone(),
            });
        }
        fs::create_dir(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        Ok(Self { directory })
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Processor time of all that ever ran in it.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub(super) fn processor_time(&self) -> Result<Duration> {
        let text = fs::read_to_string(self.directory.join("cpu.stat"))?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("usage_usec "));
        let microseconds = line.context("cpu.stat says no usage_usec")?;
        Ok(Duration::from_micros(microseconds.trim().parse()?))
    }

    /// Whether anything of one of these accounts runs in it.
    pub(super) fn is_at_work(&self, uids: &[u32]) -> bool {
        let mut processes = self.processes().into_iter();
        processes.any(|pid| {
            let process = fs::metadata(format!("/proc/{pid}"));
            process.is_ok_and(|of| uids.contains(&of.uid()))
        })
    }

    fn processes(&self) -> Vec<u32> {
        let text = fs::read_to_string(self.directory.join("cgroup.procs")).unwrap_or_default();
        // 0 is what lies in another pid namespace.
        let pids = text.lines().filter_map(|line| line.parse().ok());
        pids.filter(|pid| *pid != 0).collect()
    }

    fn end(&self) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < 2 * GRACE {
            let processes = self.processes();
            if processes.is_empty() {
                // The kernel may still be about to let go of the last one.
                if fs::remove_dir(&self.directory).is_ok() {
                    return Ok(());
                }
            }
            let name = match start.elapsed() < GRACE {
                true => "TERM",
                false => "KILL",
            };
            for pid in processes {
                // It may have ended since.
                let _ = signal(pid, name);
            }
            thread::sleep(Duration::from_millis(300));
        }
        ensure!(
            !self.directory.exists(),
            "processes {:?} do not end; {} stays",
            self.processes(),
            self.directory.display()
        );
        Ok(())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("  {error:#}");
        }
    }
}

fn mount() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let of = |line: &str| {
        let mut fields = line.split(' ').skip(1);
        let (place, kind) = (fields.next()?, fields.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(place))
    };
    mounts
        .lines()
        .find_map(of)
        .context("no cgroup2 file system is mounted, which the soak needs")
}
