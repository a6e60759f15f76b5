//! The daemon: started with a state directory of its own, asked over its control socket, and ended.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    place::{PREFIX, Place},
    signal,
};
use crate::alerts::Alert;

/// How long it may take to start, and to end.
const PATIENCE: Duration = Duration::from_secs(120);
/// Ticks a second in `/proc/PID/stat`: USER_HZ, which is 100 on x86.
const TICKS: u64 = 100;

/// What is asked of `credwatch status`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Status {
    pub(super) version: String,
    pub(super) kernel: String,
    pub(super) ready: bool,
    pub(super) lost: u64,
    pub(super) events: u64,
    pub(super) credentials: u64,
    pub(super) hooks: Vec<Hook>,
}

/// One of its hooks.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Hook {
    pub(super) name: String,
    pub(super) attached: bool,
    pub(super) capped: u64,
}

/// `credwatch baseline list`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Baselines {
    pub(super) baselines: Vec<Baseline>,
    pub(super) budget: f64,
    pub(super) held_back: u64,
}

impl Baselines {
    /// Those of the soak's accounts.
    pub(super) fn of_soak(&self) -> Vec<&Baseline> {
        let is_its = |of: &&Baseline| of.identity.contains(PREFIX);
        self.baselines.iter().filter(is_its).collect()
    }
}

/// One identity.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Baseline {
    pub(super) identity: String,
    pub(super) hours: f64,
    pub(super) maturity: f64,
    pub(super) destinations: u64,
    pub(super) suspect: u64,
    pub(super) programs: u64,
}

/// `credwatch baseline show`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Habits {
    pub(super) where_to: Vec<Habit>,
}

/// A destination.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Habit {
    pub(super) address: String,
    pub(super) port: u16,
    pub(super) standing: String,
    pub(super) opened: u64,
    pub(super) period: Option<f64>,
}

/// What the daemon has cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    /// The most memory that it ever had, bytes.
    pub(super) peak: u64,
    pub(super) processor: Duration,
}

pub(super) struct Daemon {
    child: Child,
    binary: PathBuf,
    state: PathBuf,
    log: PathBuf,
}

impl Daemon {
    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready, with its last words.
    pub(super) fn start(binary: &Path, place: &Place) -> Result<Self> {
        // What is not written here is as on any host.
        let config = format!(
            "[discovery]\nroots = [{:?}]\n[registry]\ndirectory = {:?}\n[[sinks]]\ntype = \"json\"\npath = {:?}\n",
            place.at("home"),
            place.at("registry.d"),
            place.at("alerts.jsonl")
        );
        let file = place.at("credwatch.toml");
        fs::write(&file, config)?;
        let (state, log) = (place.at("state"), place.at("logs").join("credwatch"));
        let words = File::create(&log)?;
        // It ends with this program, however that ends.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "--"])
            .arg(binary)
            .arg("run")
            .arg("--state-dir")
            .arg(&state)
            .arg("--config")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(words.try_clone()?)
            .stderr(words)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let mut daemon = Self {
            child,
            binary: binary.to_owned(),
            state,
            log,
        };
        let start = Instant::now();
        while !daemon.status().is_ok_and(|status| status.ready) {
            daemon.lives()?;
            ensure!(
                start.elapsed() < PATIENCE,
                "the daemon is not ready:\n{}",
                daemon.last_words()
            );
            thread::sleep(Duration::from_millis(100));
        }
        Ok(daemon)
    }

    /// # Errors
    /// When it has ended, with its last words.
    pub(super) fn lives(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the daemon died ({status}):\n{}", self.last_words());
        }
        Ok(())
    }

    /// What a client prints in JSON.
    ///
    /// # Errors
    /// When it does not answer, with its words.
    fn ask<T: DeserializeOwned>(&self, question: &[&str]) -> Result<T> {
        let output = Command::new(&self.binary)
            .args(question)
            .args(["--output", "json", "--state-dir"])
            .arg(&self.state)
            .stdin(Stdio::null())
            .output()?;
        let asked = || format!("`credwatch {}`", question.join(" "));
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            bail!("{} failed: {}", asked(), words.trim());
        }
        serde_json::from_slice(&output.stdout).with_context(asked)
    }

    pub(super) fn status(&self) -> Result<Status> {
        self.ask(&["status"])
    }

    pub(super) fn alerts(&self) -> Result<Vec<Alert>> {
        self.ask(&["alerts", "--limit", "10000"])
    }

    pub(super) fn baselines(&self) -> Result<Baselines> {
        self.ask(&["baseline", "list"])
    }

    pub(super) fn habits(&self, identity: &str) -> Result<Habits> {
        self.ask(&["baseline", "show", identity])
    }

    /// # Errors
    /// When the kernel does not say.
    pub(super) fn cost(&self) -> Result<Cost> {
        let process = format!("/proc/{}", self.child.id());
        let status = fs::read_to_string(format!("{process}/status"))?;
        let stat = fs::read_to_string(format!("{process}/stat"))?;
        cost(&status, &stat).with_context(|| format!("{process} says nothing of its cost"))
    }

    /// Ends it as a service manager does.
    ///
    /// # Errors
    /// When it does not end well, with its last words.
    pub(super) fn stop(mut self) -> Result<()> {
        let status = self.end()?;
        ensure!(
            status.success(),
            "the daemon ended badly ({status}):\n{}",
            self.last_words()
        );
        Ok(())
    }

    fn end(&mut self) -> Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        signal(self.child.id(), "TERM")?;
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(50));
        }
        self.child.kill()?;
        Ok(self.child.wait()?)
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("  the daemon does not end: {error:#}");
        }
    }
}

/// Of `/proc/PID/status` and `/proc/PID/stat`, proc(5).
fn cost(status: &str, stat: &str) -> Option<Cost> {
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = peak.split_whitespace().next()?.parse().ok()?;
    // The name is in brackets, and may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut ticks = fields.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (ticks.next()?.parse().ok()?, ticks.next()?.parse().ok()?);
    Some(Cost {
        peak: kibibytes * 1024,
        processor: Duration::from_millis((user + system) * 1000 / TICKS),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_costs_is_read_from_proc() {
        let stat = "42 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 1 0 99 0 0";
        let cost = cost("Name:\tx\nVmHWM:\t 2048 kB\n", stat).unwrap();
        assert_eq!(
            (cost.peak, cost.processor),
            (2 << 20, Duration::from_secs(3))
        );
        assert!(super::cost("Name:\tkthreadd\n", stat).is_none());
    }
}
