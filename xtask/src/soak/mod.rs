//! `cargo xtask soak`: real cron jobs with curl, git, rsync and psql on this machine, watched by a daemon
//! with its default detections; what baselines learn of it, every alert, and acts that should be found.
//! Not a part of `ci`: it takes an hour and more.

mod acts;
mod cgroup;
mod daemon;
mod network;
mod place;
mod report;
mod scene;
mod work;

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use self::{
    daemon::{Cost, Daemon},
    report::Report,
    scene::Scene,
};
use crate::{
    build::{self, Profile},
    process, setup, ui, usage,
};

const MINUTE: Duration = Duration::from_secs(60);
/// How long a beacon calls: a part of the ordinary work, and within these.
const BEACON: (Duration, Duration) = (MINUTE, Duration::from_secs(300));
const BEACON_PART: u32 = 12;
/// What the daemon may lag behind.
const LAG: Duration = Duration::from_secs(2);

/// When the daemon was ready, and what had been taken until then.
struct Start {
    at: Instant,
    /// Processor time of setting up.
    worked: Duration,
    cost: Cost,
}

/// The command line's `soak`.
pub(crate) fn command(workspace: &Path, args: &[String]) -> Result<ExitCode> {
    let minutes = minutes(args)?;
    if !process::is_root() {
        bail!("the soak makes accounts, a network and a cgroup: run it as root");
    }
    setup::ensure(workspace, setup::Needs::SOAK)?;
    let binary = build::daemon(workspace, Profile::Release)?;
    ui::heading("Setting up accounts, a network and servers");
    let mut scene = Scene::make(workspace)?;
    let mut daemon = Daemon::start(&binary, &scene.place)?;
    let start = Start {
        at: Instant::now(),
        worked: scene.cgroup.processor_time()?,
        cost: daemon.cost()?,
    };
    ui::heading(&format!("{minutes} minutes of ordinary work"));
    scene.start_work()?;
    watch(&mut scene, &mut daemon, minutes)?;
    scene.end_work()?;
    thread::sleep(LAG);

    let report = read(&scene, &daemon, &start)?;
    let mut faults = report.print();
    let length = (MINUTE * u32::from(minutes) / BEACON_PART).clamp(BEACON.0, BEACON.1);
    ui::heading(&format!("Injecting acts, for {}", ui::seconds(length)));
    let acts = acts::run(&scene, &mut daemon, length)?;
    faults.extend(report::acts(&acts));
    if let Err(error) = daemon.stop() {
        faults.push(format!("{error:#}"));
    }
    let found = acts.iter().filter(|act| act.after.is_some()).count();
    match report::verdict(&report, minutes, (found, acts.len()), &faults) {
        true => Ok(ExitCode::SUCCESS),
        false => Ok(ExitCode::FAILURE),
    }
}

fn minutes(args: &[String]) -> Result<u16> {
    match args {
        [] => Ok(60),
        [name] if name == "--minutes" => Err(usage("--minutes needs a value")),
        [name, text] if name == "--minutes" => {
            let minutes = text.parse().ok().filter(|minutes| *minutes > 0);
            minutes.ok_or_else(|| usage(format!("--minutes needs a number, and `{text}` is none")))
        }
        [other, ..] => Err(usage(format!("soak does not know `{other}`"))),
    }
}

/// Waits until the time is over, with a line a minute.
fn watch(scene: &mut Scene, daemon: &mut Daemon, minutes: u16) -> Result<()> {
    let start = Instant::now();
    for minute in 1..=u64::from(minutes) {
        while start.elapsed().as_secs() < minute * 60 {
            daemon.lives()?;
            scene.is_at_work()?;
            thread::sleep(Duration::from_millis(500));
        }
        let (status, alerts, cost) = (daemon.status()?, daemon.alerts()?, daemon.cost()?);
        report::progress(minute, &status, &alerts, &scene.work()?, cost);
    }
    Ok(())
}

fn read<'a>(scene: &'a Scene, daemon: &Daemon, start: &Start) -> Result<Report<'a>> {
    let baselines = daemon.baselines()?;
    let mut habits = BTreeMap::new();
    for of in baselines.of_soak() {
        habits.insert(of.identity.clone(), daemon.habits(&of.identity)?);
    }
    Ok(Report {
        status: daemon.status()?,
        baselines,
        habits,
        alerts: daemon.alerts()?,
        work: scene.work()?,
        went_on: start.at.elapsed(),
        worked: scene.cgroup.processor_time()?.saturating_sub(start.worked),
        ready: start.cost,
        cost: daemon.cost()?,
    })
}

/// Runs a program to its end, and gives its output.
///
/// # Errors
/// When it does not run or fails, with its words.
fn said(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", process::shown(command)))?;
    if !output.status.success() {
        bail!(
            "this failed ({}): {}\n{}",
            output.status,
            process::shown(command),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Sends a signal to one process.
///
/// # Errors
/// When there is no such process.
fn signal(pid: u32, name: &str) -> Result<()> {
    let mut kill = Command::new("sh");
    said(kill.args(["-c", "kill -s \"$1\" \"$2\"", "sh", name, &pid.to_string()]))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused() {
        let parse = |args: &[&str]| {
            let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
            minutes(&args)
        };
        assert_eq!(parse(&[]).unwrap(), 60);
        assert_eq!(parse(&["--minutes", "3"]).unwrap(), 3);
        for args in [
            &["--minutes"][..],
            &["--minutes", "0"],
            &["--minutes", "x"],
            &["60"],
            &["--debug", "1"],
        ] {
            assert!(parse(args).err().unwrap().is::<crate::Usage>(), "{args:?}");
        }
    }
}
