//! Measures operations without the daemon and with it, in turns, so that a machine that gets slower
//! or faster meanwhile does so for both.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use crate::{
    clock,
    daemon::{Daemon, Installation, Status},
    operation::{Operation, Stage},
};

/// How many batches of each operation make its part of a round.
pub(crate) const BATCHES: usize = 5;

/// How long the daemon's CPU is looked at while nothing happens.
const IDLE: Duration = Duration::from_millis(500);

/// How often, and how many times at most, to look whether the daemon has caught up.
const CATCHING_UP: (Duration, u32) = (Duration::from_millis(100), 50);

/// How much to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) rounds: u32,
    pub(crate) batch: Duration,
}

/// Nanoseconds per operation, one number a batch.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Series {
    pub(crate) cpu: Vec<f64>,
    pub(crate) wall: Vec<f64>,
}

/// What one operation costs.
#[derive(Debug, Clone)]
pub(crate) struct Cost {
    pub(crate) operation: Operation,
    pub(crate) off: Series,
    pub(crate) on: Series,
    /// The daemon's own CPU per operation, nanoseconds, one number a round.
    pub(crate) daemon: Vec<f64>,
}

/// The whole measurement.
#[derive(Debug, Clone)]
pub(crate) struct Costs {
    pub(crate) costs: Vec<Cost>,
    /// The daemon's CPU while nothing happens, nanoseconds a second, one number a round.
    pub(crate) idle: Vec<f64>,
    /// Resident memory at the end of each round, bytes.
    pub(crate) rss: Vec<u64>,
    /// Events taken in and lost, over all rounds.
    pub(crate) events: u64,
    pub(crate) lost: u64,
    /// The daemon's version.
    pub(crate) version: String,
}

/// Measures everything.
///
/// # Errors
/// When the daemon does not start or end well, watches nothing, or an operation fails.
pub(crate) fn measure(binary: &Path, folder: &Path, plan: Plan) -> Result<Costs> {
    let stage = Stage::set_up(folder)?;
    let installation = Installation::new(binary, folder, &stage.root)?;
    // How many operations fill a batch, found once: both sides do the same number.
    let times: Vec<u64> = Operation::ALL
        .iter()
        .map(|operation| fill(&stage, *operation, plan.batch))
        .collect::<Result<_>>()?;

    let mut costs = Costs {
        costs: Operation::ALL
            .iter()
            .map(|operation| Cost::new(*operation))
            .collect(),
        idle: Vec::new(),
        rss: Vec::new(),
        events: 0,
        lost: 0,
        version: String::new(),
    };
    for round in 1..=plan.rounds {
        eprintln!("round {round} of {}: without, with the daemon", plan.rounds);
        for (cost, times) in costs.costs.iter_mut().zip(&times) {
            batches(&stage, cost.operation, *times, &mut cost.off)?;
        }
        let daemon = installation.start()?;
        with_daemon(&stage, &daemon, &times, &mut costs)?;
        daemon.stop()?;
    }
    Ok(costs)
}

impl Cost {
    fn new(operation: Operation) -> Self {
        Self {
            operation,
            off: Series::default(),
            on: Series::default(),
            daemon: Vec::new(),
        }
    }
}

fn with_daemon(stage: &Stage, daemon: &Daemon<'_>, times: &[u64], costs: &mut Costs) -> Result<()> {
    let idle = idle(daemon)?;
    costs.idle.push(idle);
    for (cost, times) in costs.costs.iter_mut().zip(times) {
        let (start, cpu) = (Instant::now(), clock::of(daemon.pid())?);
        batches(stage, cost.operation, *times, &mut cost.on)?;
        catch_up(daemon, idle)?;
        let spent = (clock::of(daemon.pid())? - cpu) as f64;
        let for_nothing = idle * start.elapsed().as_secs_f64();
        let operations = (times * BATCHES as u64) as f64;
        // What the daemon spends on itself varies; less than nothing is nothing.
        cost.daemon
            .push((spent - for_nothing).max(0.0) / operations);
    }
    let Status {
        version,
        lost,
        events,
        watched_files,
        ..
    } = daemon.status()?;
    ensure!(
        watched_files > 0,
        "the daemon watches no file, so the credential's line would say nothing"
    );
    costs.events += events;
    costs.lost += lost;
    costs.version = version;
    costs
        .rss
        .push(crate::memory::Usage::of(daemon.pid())?.resident);
    Ok(())
}

/// The daemon's CPU while nothing happens, nanoseconds a second, once it has settled.
fn idle(daemon: &Daemon<'_>) -> Result<f64> {
    catch_up(daemon, 0.0)?;
    let (start, cpu) = (Instant::now(), clock::of(daemon.pid())?);
    thread::sleep(IDLE);
    let spent = (clock::of(daemon.pid())? - cpu) as f64;
    Ok(spent / start.elapsed().as_secs_f64())
}

/// Waits until the daemon does no more than when nothing happens, or for five seconds.
fn catch_up(daemon: &Daemon<'_>, idle: f64) -> Result<()> {
    let (interval, most) = CATCHING_UP;
    // A quarter of a percent of a CPU is no work.
    let quiet = idle * 2.0 + 2_500_000.0;
    for _ in 0..most {
        let (start, cpu) = (Instant::now(), clock::of(daemon.pid())?);
        thread::sleep(interval);
        let spent = (clock::of(daemon.pid())? - cpu) as f64;
        if spent / start.elapsed().as_secs_f64() <= quiet {
            break;
        }
    }
    Ok(())
}

fn batches(stage: &Stage, operation: Operation, times: u64, series: &mut Series) -> Result<()> {
    for _ in 0..BATCHES {
        let (start, cpu) = (Instant::now(), clock::own()?);
        stage.repeat(operation, times)?;
        let (wall, cpu) = (start.elapsed(), clock::own()? - cpu);
        series.cpu.push(cpu as f64 / times as f64);
        series.wall.push(wall.as_nanos() as f64 / times as f64);
    }
    Ok(())
}

/// How many of an operation take as long as a batch.
fn fill(stage: &Stage, operation: Operation, batch: Duration) -> Result<u64> {
    let mut times = 1;
    loop {
        let start = Instant::now();
        stage.repeat(operation, times)?;
        let took = start.elapsed();
        if took >= batch / 4 {
            let wanted = times as f64 * batch.as_secs_f64() / took.as_secs_f64();
            return Ok((wanted as u64).max(1));
        }
        times *= 2;
    }
}

/// How far two halves of one series, odd rounds and even ones, are apart in their least: what a
/// difference between two series must exceed to mean anything. In parts of one; `None` for one round.
pub(crate) fn noise(series: &[f64]) -> Option<f64> {
    let half = |odd: usize| {
        let rounds = series.chunks(BATCHES).skip(odd).step_by(2);
        least(&rounds.flatten().copied().collect::<Vec<_>>())
    };
    let (even, odd) = (half(0), half(1));
    odd.is_finite().then(|| (odd / even - 1.0).abs())
}

/// The least of them; nothing else on the machine makes a number smaller.
pub(crate) fn least(numbers: &[f64]) -> f64 {
    numbers.iter().copied().fold(f64::INFINITY, f64::min)
}

/// The middle one, or the mean of the middle two.
pub(crate) fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => f64::NAN,
        (length, middle) if length % 2 == 1 => sorted[middle],
        (_, middle) => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_summed_up() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
        assert_eq!(least(&[3.0, 1.0, 2.0]), 1.0);
    }

    #[test]
    fn noise_is_the_difference_of_like_halves() {
        let round = |nanoseconds: f64| [nanoseconds; BATCHES];
        let series = [round(100.0), round(110.0), round(104.0), round(105.0)].concat();
        let noise_found = noise(&series).unwrap();
        assert!((noise_found - 0.05).abs() < 1e-9, "{noise_found}");
        assert_eq!(noise(&round(100.0)), None);
    }

    #[test]
    fn a_batch_is_filled_and_costs_add_up() {
        let folder = tempfile::tempdir().unwrap();
        let stage = Stage::set_up(folder.path()).unwrap();
        let batch = Duration::from_millis(4);
        let times = fill(&stage, Operation::OpenClose, batch).unwrap();
        assert!(times > 0);

        let mut series = Series::default();
        batches(&stage, Operation::OpenClose, times, &mut series).unwrap();
        assert_eq!(series.cpu.len(), BATCHES);
        let (cpu, wall) = (least(&series.cpu), least(&series.wall));
        assert!(cpu > 100.0 && cpu < 1e6, "{cpu} ns is no open and close");
        assert!(wall > 100.0, "{wall}");
    }
}
