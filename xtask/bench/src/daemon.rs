//! The daemon under measurement: started, waited for, asked, and stopped by its own process id.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::Deserialize;

/// How long the daemon may take until it is ready, and until it has ended.
const PATIENCE: Duration = Duration::from_secs(60);

/// What of the daemon's status is of interest here.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Status {
    pub(crate) version: String,
    pub(crate) ready: bool,
    pub(crate) lost: u64,
    pub(crate) events: u64,
    pub(crate) credentials: u64,
    pub(crate) watched_files: u64,
}

/// Where the daemon is and how it is started.
#[derive(Debug)]
pub(crate) struct Installation {
    binary: PathBuf,
    state: PathBuf,
    config: PathBuf,
    log: PathBuf,
}

impl Installation {
    /// Lays a configuration in a folder: look for credentials in `root`, write alerts to a file.
    pub(crate) fn new(binary: &Path, folder: &Path, root: &Path) -> Result<Self> {
        let config = folder.join("credwatch.toml");
        let text = format!(
            "[discovery]\nroots = [{}]\n\n[[sinks]]\ntype = \"json\"\npath = {}\n",
            quoted(root)?,
            quoted(&folder.join("alerts.json"))?
        );
        fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))?;
        let state = folder.join("state");
        fs::create_dir_all(&state).with_context(|| format!("cannot make {}", state.display()))?;
        Ok(Self {
            binary: binary.to_path_buf(),
            state,
            config,
            log: folder.join("daemon.log"),
        })
    }

    /// Starts the daemon and waits until it is ready.
    pub(crate) fn start(&self) -> Result<Daemon<'_>> {
        let log = File::create(&self.log)?;
        let child = Command::new(&self.binary)
            .arg("run")
            .arg("--state-dir")
            .arg(&self.state)
            .arg("--config")
            .arg(&self.config)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.binary.display()))?;
        let mut daemon = Daemon {
            installation: self,
            child,
            stopped: false,
        };
        let start = Instant::now();
        loop {
            if let Some(status) = daemon.child.try_wait()? {
                daemon.stopped = true;
                bail!(
                    "the daemon ended before it was ready ({status}):\n{}",
                    self.last_words()
                );
            }
            if let Ok(status) = daemon.status()
                && status.ready
            {
                return Ok(daemon);
            }
            ensure!(
                start.elapsed() < PATIENCE,
                "the daemon is not ready after {} s:\n{}",
                PATIENCE.as_secs(),
                self.last_words()
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

/// A string of TOML that is this path.
fn quoted(path: &Path) -> Result<String> {
    let path = path
        .to_str()
        .with_context(|| format!("{} is no text; choose another --dir", path.display()))?;
    // A string of JSON is a string of TOML.
    Ok(serde_json::to_string(path)?)
}

/// A running daemon; it is ended when this goes.
#[derive(Debug)]
pub(crate) struct Daemon<'a> {
    installation: &'a Installation,
    child: Child,
    stopped: bool,
}

impl Daemon<'_> {
    /// Its process id.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Asks the daemon how it is, as an operator does.
    pub(crate) fn status(&self) -> Result<Status> {
        let output = Command::new(&self.installation.binary)
            .arg("status")
            .arg("--state-dir")
            .arg(&self.installation.state)
            .args(["--output", "json"])
            .stdin(Stdio::null())
            .output()?;
        serde_json::from_slice(&output.stdout).with_context(|| {
            let said = String::from_utf8_lossy(&output.stderr);
            format!("`credwatch status` gave no status: {}", said.trim())
        })
    }

    /// Ends it as a service manager does.
    pub(crate) fn stop(mut self) -> Result<()> {
        let status = self.end()?;
        ensure!(
            status.success(),
            "the daemon ended badly ({status}):\n{}",
            self.installation.last_words()
        );
        Ok(())
    }

    fn end(&mut self) -> Result<ExitStatus> {
        self.stopped = true;
        kill(self.pid(), Signal::SIGTERM).context("cannot signal the daemon")?;
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(20));
        }
        self.child.kill()?;
        self.child.wait()?;
        bail!(
            "the daemon did not end within {} s of SIGTERM",
            PATIENCE.as_secs()
        )
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        if !self.stopped
            && let Err(error) = self.end()
        {
            eprintln!("error: {error:#}");
        }
    }
}
