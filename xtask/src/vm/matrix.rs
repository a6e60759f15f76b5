//! The matrix: each kernel in each lane, what its tests came to, and the table of it.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::Result;

use super::{
    Guest,
    doctor::Doctor,
    kernels::{Kernel, Unpacked},
    lanes::{self, Lane},
    qemu::Boot,
};
use crate::{
    test::Outcome,
    ui::{self, Mark},
};

/// The live tests of each boot, by the beginnings of their names: all ways to hide, every rung of every
/// ladder, alerts at the end of them, and all of it with no more privileges than are kept.
const TESTS: &[&str] = &[
    "live::connecting::a_",
    "live::evasions::",
    "live::ladders::",
    "live::moving::a_file_that",
    "live::moving::the_inode",
    "live::naming::a_flood",
    "live::naming::a_socket",
    "live::privileges::it_keeps",
];

/// Those where no program of the kernel can tell who acts: what fanotify and the process connector
/// see.
const WITHOUT_PROGRAMS: &[&str] = &[
    "live::declared::",
    "live::ladders::",
    "live::reading::restoring",
    "live::surviving::sigterm",
];

/// One that shows that tests run at all.
const QUICK: &[&str] = &["live::evasions::actor_or_names"];

/// Tries of each way to hide: an emulated machine does the three thousand in no time worth waiting
/// for.
const TRIES: u32 = 20;

/// How long a boot may take.
pub(super) const LIMIT: Duration = Duration::from_secs(45 * 60);

/// A boot that is to be done.
pub(super) struct Task {
    pub(super) kernel: &'static Kernel,
    pub(super) lane: Lane,
    /// Only what the doctor says, and one test that the tests can run.
    pub(super) quick: bool,
}

/// What came of it.
pub(super) struct Row {
    pub(super) series: &'static str,
    /// As `uname -r` gives it, or the series.
    pub(super) release: String,
    pub(super) lane: Lane,
    quick: bool,
    pub(super) outcome: Outcome,
    pub(super) doctor: Option<Doctor>,
    /// The daemon's sentence on a kernel that it refuses, as it should.
    pub(super) refusal: Option<String>,
    took: Duration,
    /// Why it failed; none when all is well.
    failure: Option<String>,
}

impl Row {
    fn failed(task: &Task, failure: String) -> Self {
        Self {
            series: task.kernel.series,
            release: task.kernel.series.to_owned(),
            lane: task.lane,
            quick: task.quick,
            outcome: Outcome::default(),
            doctor: None,
            refusal: None,
            took: Duration::ZERO,
            failure: Some(failure),
        }
    }

    /// One with nothing in it but this.
    #[cfg(test)]
    pub(super) fn of_doctor(kernel: &'static Kernel, doctor: Doctor) -> Self {
        let lane = lanes::DEFAULT;
        Self {
            doctor: Some(doctor),
            ..Self::failed(
                &Task {
                    kernel,
                    lane,
                    quick: false,
                },
                String::new(),
            )
        }
    }

    pub(super) fn good(&self) -> bool {
        self.failure.is_none()
    }

    /// How the tests went, in a few words.
    pub(super) fn summary(&self) -> String {
        match &self.refusal {
            Some(_) => "refuses to start, as it should".to_owned(),
            None if self.quick && self.good() => "self-test only".to_owned(),
            None => {
                let all = self.outcome.all;
                format!("{} passed, {} failed", all.passed, all.failed)
            }
        }
    }

    fn cells(&self) -> (Mark, Vec<String>) {
        let mark = match self.good() {
            true => Mark::Ok,
            false => Mark::Failed,
        };
        let rungs = self.doctor.as_ref().map_or("-".to_owned(), Doctor::rungs);
        let note = self.failure.as_deref().or(self.refusal.as_deref());
        let note = note.unwrap_or_default().lines().next().unwrap_or_default();
        let cells = vec![
            self.release.clone(),
            self.lane.name.to_owned(),
            self.summary(),
            ui::seconds(self.took),
            rungs,
            note.to_owned(),
        ];
        (mark, cells)
    }
}

/// Boots them all, so many at a time, and gives the rows in the order of the tasks.
///
/// # Errors
/// When a guest cannot be started at all; all else is in the rows.
pub(super) fn run(guest: &Guest, tasks: &[Task], jobs: usize) -> Result<Vec<Row>> {
    let logs = guest.cache.join("logs");
    fs::create_dir_all(&logs)?;
    // One kernel after the other: apt's directories are shared.
    let mut kernels: Vec<(&str, Result<Unpacked, String>)> = Vec::new();
    for task in tasks {
        let series = task.kernel.series;
        if !kernels.iter().any(|(known, _)| *known == series) {
            let kernel = guest.kernel(task.kernel);
            kernels.push((series, kernel.map_err(|error| format!("{error:#}"))));
        }
    }
    ui::heading("Booting");
    let queue = Mutex::new(tasks.iter().enumerate());
    let rows = Mutex::new(Vec::new());
    let work = || {
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((number, task)) = next else { return };
            let kernel = kernels
                .iter()
                .find(|(series, _)| *series == task.kernel.series);
            let row = match kernel {
                Some((_, Ok(kernel))) => one(guest, task, kernel, &logs),
                Some((_, Err(error))) => Row::failed(task, error.clone()),
                None => Row::failed(task, "nobody asked for it".to_owned()),
            };
            ui::table(&[row.cells()]);
            let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
            rows.push((number, row));
        }
    };
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(work);
        }
    });
    let mut rows = rows.into_inner().unwrap_or_else(PoisonError::into_inner);
    rows.sort_by_key(|(number, _)| *number);
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

fn one(guest: &Guest, task: &Task, kernel: &Unpacked, logs: &Path) -> Row {
    let script = match task.kernel.refuses {
        true => REFUSAL.to_owned(),
        false => tests(task),
    };
    let log = logs.join(format!("{}-{}.log", task.kernel.series, task.lane.name));
    eprintln!("  {} {}: {}", kernel.release, task.lane.name, log.display());
    let boot = boot(guest, task.lane, kernel, &script, &log);
    match boot {
        Ok(boot) => {
            let mut row = judge(task, &boot, &log);
            row.release.clone_from(&kernel.release);
            row
        }
        Err(error) => Row::failed(task, format!("{error:#}")),
    }
}

/// One boot, with all that was said in a log.
fn boot(guest: &Guest, lane: Lane, kernel: &Unpacked, script: &str, log: &Path) -> Result<Boot> {
    let mut file = File::create(log)?;
    let boot = guest.boot(kernel, lane.parameters, script, LIMIT, file.try_clone()?)?;
    write!(
        file,
        "\n== doctor\n{}\n== console\n{}",
        boot.report, boot.console
    )?;
    Ok(boot)
}

/// First what the daemon finds out by itself, then the tests; the exit code is theirs.
fn tests(task: &Task) -> String {
    let names = match task {
        Task { quick: true, .. } => QUICK,
        Task { kernel, lane, .. } if !kernel.typed_tasks && *lane == lanes::CONFIDENTIALITY => {
            WITHOUT_PROGRAMS
        }
        _ => TESTS,
    };
    let mut script = "credwatch doctor --output json >/dev/ttyS3\n".to_owned();
    script.push_str(&format!(
        "CREDWATCH_TRIES={TRIES} tests --color=never --test-threads=1"
    ));
    for name in names {
        script.push_str(&format!(" {name}"));
    }
    script.push_str(" 2>&1\n");
    script
}

/// On a kernel that has no ring buffer: it ends by itself, with a failure.
const REFUSAL: &str = "mkdir /var/lib/credwatch\n\
    timeout 120 credwatch run --state-dir /var/lib/credwatch 2>&1 >/dev/null\n\
    code=$?\n\
    test $code = 1 || { echo \"exit code $code\"; exit 1; }\n";

/// What a boot came to.
fn judge(task: &Task, boot: &Boot, log: &Path) -> Row {
    let mut row = Row::failed(task, String::new());
    row.took = boot.took;
    row.doctor = Doctor::read(&boot.report);
    boot.output
        .lines()
        .for_each(|line| row.outcome.line(line.trim_end()));
    let all = row.outcome.all;
    let log = log.display();
    row.failure = if boot.timed_out {
        Some(format!("not done in {}: {log}", ui::seconds(LIMIT)))
    } else {
        match boot.code {
            None => Some(format!("the guest ended without a result: {log}")),
            Some(0) if task.kernel.refuses => match one_sentence(&boot.output) {
                Some(sentence) => {
                    row.refusal = Some(sentence);
                    None
                }
                None => Some(format!("it does not refuse in one clear sentence: {log}")),
            },
            Some(0) if all.failed == 0 && all.passed > 0 => None,
            Some(0) => Some(format!("no tests ran: {log}")),
            Some(code) => Some(format!("exit code {code}: {log}")),
        }
    };
    row
}

/// The one line that the daemon wrote, if it is one that tells an operator what is missing.
fn one_sentence(output: &str) -> Option<String> {
    let mut lines = output.lines().filter(|line| !line.trim().is_empty());
    let line = lines.next()?.trim_end();
    let sentence = line.strip_prefix("error: ")?;
    (lines.next().is_none() && sentence.contains("Linux 5.8")).then(|| sentence.to_owned())
}

/// The table, and the line that machines look for. Gives whether all is well.
pub(super) fn print(rows: &[Row]) -> bool {
    ui::heading("== kernels");
    let cells: Vec<_> = rows.iter().map(Row::cells).collect();
    ui::table(&cells);
    let failed: Vec<String> = rows
        .iter()
        .filter(|row| !row.good())
        .map(|row| format!("{} {}", row.series, row.lane.name))
        .collect();
    let passed: u64 = rows.iter().map(|row| row.outcome.all.passed).sum();
    if failed.is_empty() {
        println!("VM OK: {} boots, {passed} tests passed", rows.len());
    } else {
        println!(
            "VM FAILED: {} of {} boots: {}",
            failed.len(),
            rows.len(),
            failed.join(", ")
        );
    }
    failed.is_empty()
}

#[cfg(test)]
mod tests {
    use super::{super::kernels::KERNELS, *};

    fn boot(output: &str, code: Option<i32>) -> Boot {
        Boot {
            code,
            output: output.to_owned(),
            report: String::new(),
            console: String::new(),
            took: Duration::from_secs(1),
            timed_out: false,
        }
    }

    fn judged(refuses: bool, boot: &Boot) -> Row {
        judged_as(refuses, false, boot)
    }

    fn judged_as(refuses: bool, quick: bool, boot: &Boot) -> Row {
        let kernel = KERNELS.iter().find(|kernel| kernel.refuses == refuses);
        let task = Task {
            kernel: kernel.unwrap(),
            lane: lanes::DEFAULT,
            quick,
        };
        judge(&task, boot, Path::new("log"))
    }

    #[test]
    fn a_quick_row_does_not_pass_for_a_whole_one() {
        let passed = "test live::a ... ok\n";
        let row = judged_as(false, true, &boot(passed, Some(0)));
        assert_eq!(row.summary(), "self-test only");
        let row = judged_as(false, true, &boot("test live::a ... FAILED\n", Some(101)));
        assert_eq!(row.summary(), "0 passed, 1 failed");
    }

    #[test]
    fn only_tests_that_ran_and_passed_are_well() {
        let passed = "test live::a ... ok\ntest live::b ... ok\n";
        let row = judged(false, &boot(passed, Some(0)));
        assert!(row.good());
        assert_eq!(row.summary(), "2 passed, 0 failed");
        assert!(!judged(false, &boot("", Some(0))).good(), "nothing ran");
        assert!(!judged(false, &boot(passed, None)).good(), "it died");
        assert!(!judged(false, &boot(passed, Some(101))).good());
        let late = Boot {
            timed_out: true,
            ..boot(passed, Some(0))
        };
        assert!(!judged(false, &late).good());
    }

    #[test]
    fn a_refusal_is_one_sentence() {
        let sentence = "error: this is Linux 5.4: Credwatch needs Linux 5.8\n";
        let row = judged(true, &boot(sentence, Some(0)));
        assert!(row.good());
        assert_eq!(
            row.refusal.as_deref(),
            Some("this is Linux 5.4: Credwatch needs Linux 5.8")
        );
        let two = format!("{sentence}thread main panicked\n");
        for output in ["", "error: no such map\n", &two] {
            assert!(!judged(true, &boot(output, Some(0))).good(), "{output}");
        }
        assert!(!judged(true, &boot(sentence, Some(1))).good(), "exit code");
    }
}
