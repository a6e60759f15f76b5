//! What came of it: tables, and what is not as it should be.

use std::{collections::BTreeMap, time::Duration};

use super::{
    acts::Act,
    daemon::{Baselines, Cost, Habit, Habits, Status},
    place::{Account, PREFIX},
    work::{JOBS, Work},
};
use crate::{
    alerts::{self, Alert},
    ui::{self, Mark},
};

/// What the daemon and the accounts said at the end of the ordinary work.
pub(super) struct Report<'a> {
    pub(super) status: Status,
    pub(super) baselines: Baselines,
    /// Of the soak's accounts, by identity.
    pub(super) habits: BTreeMap<String, Habits>,
    pub(super) alerts: Vec<Alert>,
    pub(super) work: Vec<(&'a Account, Work)>,
    /// How long the work went on, and its processor time, servers included.
    pub(super) went_on: Duration,
    pub(super) worked: Duration,
    /// What the daemon had cost when it was ready, and what by the end.
    pub(super) ready: Cost,
    pub(super) cost: Cost,
}

impl Report<'_> {
    /// Prints the ordinary work, and gives its faults.
    pub(super) fn print(&self) -> Vec<String> {
        let mut faults = self.acts();
        self.identities();
        faults.extend(self.destinations());
        let (own, others) = split(&self.alerts);
        alerts::list(&own);
        if others > 0 {
            println!("  {others} more are about others on this machine");
        }
        faults.extend(self.losses(&own));
        self.costs();
        faults
    }

    fn acts(&self) -> Vec<String> {
        ui::heading("== ordinary work");
        let (mut rows, mut faults) = (Vec::new(), Vec::new());
        for (account, work) in &self.work {
            for (mark, acts) in [(Mark::Ok, &work.done), (Mark::Failed, &work.failed)] {
                rows.extend(acts.iter().map(|(name, times)| {
                    let cells = vec![times.to_string(), name.clone(), account.name.clone()];
                    (mark, cells)
                }));
            }
            let failed: u64 = work.failed.values().sum();
            if failed > 0 {
                faults.push(format!(
                    "{failed} acts of {} failed: {}",
                    account.name,
                    work.failures.trim()
                ));
            }
            if work.done.is_empty() {
                faults.push(format!("{} did nothing", account.name));
            }
        }
        ui::table(&rows);
        faults
    }

    fn identities(&self) {
        ui::heading("== identities");
        let own = self.baselines.of_soak();
        let mut rows = vec![header(&[
            "identity",
            "connections",
            "destinations",
            "suspect",
            "programs",
            "watched",
            "mature",
        ])];
        for of in &own {
            let habits = self.habits.get(&of.identity);
            let opened: u64 = habits.map_or(0, |of| of.where_to.iter().map(|of| of.opened).sum());
            let cells = vec![
                of.identity.clone(),
                opened.to_string(),
                of.destinations.to_string(),
                of.suspect.to_string(),
                of.programs.to_string(),
                format!("{:.1} h", of.hours),
                format!("{:.1} %", 100.0 * of.maturity),
            ];
            rows.push((Mark::Ok, cells));
        }
        ui::table(&rows);
        println!(
            "  {} more are others on this machine; {} false alerts a day are allowed, {} were held back",
            self.baselines.baselines.len() - own.len(),
            self.baselines.budget,
            self.baselines.held_back
        );
    }

    /// Connections that were made against those that were seen: what is missing and was counted by
    /// nobody was lost silently.
    fn destinations(&self) -> Vec<String> {
        ui::heading("== destinations");
        let mut rows = vec![header(&[
            "identity",
            "destination",
            "standing",
            "made",
            "seen",
            "rhythm",
        ])];
        let mut faults = Vec::new();
        for (job, (account, work)) in JOBS.iter().zip(&self.work) {
            let habits = self.habits.get(&account.selector());
            let made = work.connections();
            let mut seen = 0;
            let all = habits.iter().flat_map(|of| &of.where_to);
            for habit in all {
                let is_its = habit.address == job.address && habit.port == job.port;
                if is_its {
                    seen = habit.opened;
                }
                let made = is_its.then(|| made.to_string());
                rows.push((Mark::Ok, row(account, habit, made)));
            }
            if seen < made {
                let to = format!("{}:{}", job.address, job.port);
                let words = format!(
                    "of {made} connections of {} to {to} baselines know {seen}",
                    account.name
                );
                rows.push((Mark::Failed, vec![account.selector(), to, words.clone()]));
                // Losses that are counted are told elsewhere.
                if self.status.lost == 0 {
                    faults.push(words);
                }
            }
        }
        ui::table(&rows);
        faults
    }

    fn losses(&self, own: &[Alert]) -> Option<String> {
        ui::heading("== losses");
        let capped: u64 = self.status.hooks.iter().map(|of| of.capped).sum();
        println!(
            "  of {} events {} were lost and {capped} capped",
            self.status.events, self.status.lost
        );
        for hook in self.status.hooks.iter().filter(|of| !of.attached) {
            println!("  {} is not attached on this kernel", hook.name);
        }
        let is_told = own.iter().any(|alert| alert.id == "CW-902");
        (self.status.lost > 0 && !is_told)
            .then(|| format!("{} events were lost without a CW-902", self.status.lost))
    }

    fn costs(&self) {
        ui::heading("== cost");
        let share = |part: Duration, of: Duration| {
            100.0 * part.as_secs_f64() / of.as_secs_f64().max(f64::EPSILON)
        };
        let daemon = self.cost.processor.saturating_sub(self.ready.processor);
        println!(
            "  credwatch {} on Linux {}, {} credentials: {} of processor time to start, then {}: {:.2} % of one processor, \
             {:.1} % of the {} that the work took; at most {:.1} MiB",
            self.status.version,
            self.status.kernel,
            self.status.credentials,
            ui::seconds(self.ready.processor),
            ui::seconds(daemon),
            share(daemon, self.went_on),
            share(daemon, self.worked),
            ui::seconds(self.worked),
            mebibytes(self.cost.peak),
        );
        println!("  what the kernel half takes is part of the work's time");
    }
}

/// Prints what was told of the injected acts, and gives those that could not be done. What is not
/// found is no fault: little is known of an identity after an hour.
pub(super) fn acts(acts: &[Act]) -> Vec<String> {
    ui::heading("== injected acts");
    let mut rows = Vec::new();
    let mut faults = Vec::new();
    for act in acts {
        let (mark, found) = match (&act.failed, act.after) {
            (Some(why), _) => {
                faults.push(format!("{}: {why}", act.what));
                (Mark::Failed, why.clone())
            }
            (None, Some(after)) => {
                let ids: Vec<_> = act.alerts.iter().map(|(id, _)| id.as_str()).collect();
                let ids = ids.join(", ");
                (
                    Mark::Ok,
                    format!("found after {}: {ids}", ui::seconds(after)),
                )
            }
            (None, None) => (Mark::Missing, "not found".to_owned()),
        };
        rows.push((mark, vec![act.what.clone(), found]));
    }
    ui::table(&rows);
    for (id, summary) in acts.iter().flat_map(|act| &act.alerts) {
        println!("  {id}: {summary}");
    }
    faults
}

/// The last line.
pub(super) fn verdict(
    report: &Report<'_>,
    minutes: u16,
    found: (usize, usize),
    faults: &[String],
) -> bool {
    let done: u64 = report
        .work
        .iter()
        .flat_map(|(_, of)| of.done.values())
        .sum();
    let (own, _) = split(&report.alerts);
    let what = format!(
        "{minutes} minutes, {done} acts, {} alerts about them, {} of {} injected acts found",
        own.len(),
        found.0,
        found.1
    );
    match faults.is_empty() {
        true => println!("SOAK OK: {what}"),
        false => println!("SOAK FAILED: {what}: {}", faults.join("; ")),
    }
    faults.is_empty()
}

/// A line of how far it is.
pub(super) fn progress(
    minute: u64,
    status: &Status,
    alerts: &[Alert],
    work: &[(&Account, Work)],
    cost: Cost,
) {
    let sum = |of: fn(&Work) -> u64| work.iter().map(|(_, work)| of(work)).sum::<u64>();
    eprintln!(
        "  {minute:>3} min: {} acts, {} failed; {} events, {} lost; {} alerts; {:.1} MiB, {}",
        sum(|of| of.done.values().sum()),
        sum(|of| of.failed.values().sum()),
        status.events,
        status.lost,
        split(alerts).0.len(),
        mebibytes(cost.peak),
        ui::seconds(cost.processor)
    );
}

/// Those about the soak and the daemon itself, and how many are about others.
fn split(alerts: &[Alert]) -> (Vec<Alert>, usize) {
    let soak = std::process::id();
    let is_own = |alert: &&Alert| {
        let of_account = alert
            .identity
            .as_ref()
            .is_some_and(|of| of.contains(PREFIX));
        of_account
            || alert
                .process
                .as_ref()
                .is_none_or(|process| process.ancestors.iter().any(|parent| parent.pid == soak))
    };
    let own: Vec<_> = alerts.iter().filter(is_own).cloned().collect();
    let others = alerts.len() - own.len();
    (own, others)
}

fn header(names: &[&str]) -> (Mark, Vec<String>) {
    (
        Mark::Ok,
        names.iter().map(|name| (*name).to_owned()).collect(),
    )
}

fn row(account: &Account, habit: &Habit, made: Option<String>) -> Vec<String> {
    let rhythm = habit.period.map(|period| format!("{period:.0} s"));
    let dash = || "-".to_owned();
    vec![
        account.selector(),
        format!("{}:{}", habit.address, habit.port),
        habit.standing.clone(),
        made.unwrap_or_else(dash),
        habit.opened.to_string(),
        rhythm.unwrap_or_else(dash),
    ]
}

#[expect(
    clippy::cast_precision_loss,
    reason = "one digit behind the point is shown"
)]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
