//! The daemon's memory with many credentials to watch.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::unistd::Pid;

use crate::{daemon::Installation, operation::make_key};

/// How long discovery may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the daemon may tidy up before it is looked at.
const SETTLE: Duration = Duration::from_secs(2);

/// A process's memory, bytes, as `/proc/PID/status` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    /// `VmRSS`.
    pub(crate) resident: u64,
    /// `RssAnon`: what is its own, without the program's file.
    pub(crate) anonymous: u64,
    /// `VmHWM`: the most it ever was.
    pub(crate) peak: u64,
}

impl Usage {
    pub(crate) fn of(process: Pid) -> Result<Self> {
        let path = format!("/proc/{process}/status");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        Self::parse(&text).with_context(|| format!("{path} says nothing of memory"))
    }

    fn parse(status: &str) -> Option<Self> {
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
            Some(kibibytes * 1024)
        };
        Some(Self {
            resident: field("VmRSS:")?,
            anonymous: field("RssAnon:")?,
            peak: field("VmHWM:")?,
        })
    }
}

/// What was found.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    pub(crate) credentials: u64,
    pub(crate) watched_files: u64,
    pub(crate) usage: Usage,
    pub(crate) version: String,
}

/// Makes the credentials, starts the daemon and looks at it once it knows them all.
///
/// # Errors
/// When the daemon does not start, or does not find them all.
pub(crate) fn measure(binary: &Path, folder: &Path, credentials: u64) -> Result<Memory> {
    let root = folder.join("root");
    eprintln!("making {credentials} SSH keys");
    for number in 0..credentials {
        make_key(&root, number)?;
    }
    let installation = Installation::new(binary, folder, &root)?;
    eprintln!("starting the daemon");
    let daemon = installation.start()?;
    let start = Instant::now();
    let mut status = daemon.status()?;
    while status.credentials < credentials {
        ensure!(
            start.elapsed() < PATIENCE,
            "of {credentials} credentials the daemon has found {} after {} s",
            status.credentials,
            PATIENCE.as_secs()
        );
        thread::sleep(Duration::from_millis(200));
        status = daemon.status()?;
    }
    thread::sleep(SETTLE);
    let usage = Usage::of(daemon.pid())?;
    daemon.stop()?;
    Ok(Memory {
        credentials: status.credentials,
        watched_files: status.watched_files,
        usage,
        version: status.version,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_proc() {
        let usage = Usage::of(Pid::this()).unwrap();
        assert!(usage.resident > 100 * 1024, "{usage:?}");
        assert!(usage.peak >= usage.resident / 2, "{usage:?}");
        let text = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\nRssAnon:\t 512 kB\n";
        let parsed = Usage::parse(text).unwrap();
        assert_eq!(
            (parsed.resident, parsed.anonymous, parsed.peak),
            (1 << 20, 1 << 19, 2 << 20)
        );
        assert_eq!(Usage::parse("Name:\tkthreadd\n"), None);
    }
}
