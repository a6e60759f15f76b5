//! What was tried and what was seen of it, as a table.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use monitor::model::{Access, FileId};

use super::recording::{Accesses, file_id};
use super::scene::Scene;
use super::slots::{End, Slots};
use super::{BY_PATH, EXPECTED_LATER, Evasion, own_program};

/// One evasion.
pub(super) struct Row {
    name: &'static str,
    refused: bool,
    disguised: bool,
    pub(super) wanted: usize,
    file: FileId,
    /// Who came by the secret, and in which file if not in the scene's.
    successes: Vec<(u32, Option<FileId>)>,
    /// Tries of a race that came by the other file.
    misses: usize,
    failures: Vec<String>,
    /// Why it cannot be tried here.
    pub(super) impossible: Option<String>,
    pub(super) time: Duration,
    counts: Counts,
}

/// Of the successes, how many were told of, and as what.
#[derive(Debug, Default)]
struct Counts {
    seen: usize,
    opens: usize,
    reads: usize,
    maps: usize,
    denials: usize,
    /// Told of with another program than that which ran.
    misnamed: usize,
}

impl Row {
    pub(super) fn new(evasion: &Evasion, file: FileId, wanted: usize) -> Self {
        Self {
            name: evasion.name,
            refused: evasion.refused,
            disguised: evasion.disguised,
            wanted,
            file,
            successes: Vec::new(),
            misses: 0,
            failures: Vec::new(),
            impossible: None,
            time: Duration::ZERO,
            counts: Counts::default(),
        }
    }

    /// Takes in what the tries came by.
    pub(super) fn take(&mut self, evasion: &Evasion, scene: &Scene, slots: &Slots) {
        for slot in slots.iter() {
            let end = slot.end();
            if evasion.succeeded(scene, &end) {
                self.successes.push((slot.pid(), slot.file()));
                continue;
            }
            match end {
                End::Open => {}
                End::Read(_) if evasion.racy => self.misses += 1,
                End::Read(_) => self.failures.push("it read something else".to_owned()),
                End::Refused => self.failures.push("it was refused".to_owned()),
                End::Failed(why) => self.failures.push(why),
            }
        }
    }

    fn count(&mut self, accesses: &Accesses, program: FileId) -> bool {
        self.counts = Counts::default();
        let counts = &mut self.counts;
        for (pid, file) in &self.successes {
            let Some(seen) = accesses.get(&(*pid, file.unwrap_or(self.file))) else {
                continue;
            };
            let is = |kind| usize::from(seen.kinds.contains(&kind));
            // An open that was refused is no use of the file, and must not be told as one.
            let denied = is(Access::Denied);
            counts.seen += if self.refused { denied } else { 1 };
            counts.opens += is(Access::Open);
            counts.reads += is(Access::Read);
            counts.maps += is(Access::Map);
            counts.denials += denied;
            let named = self.disguised != seen.programs.contains(&program);
            counts.misnamed += usize::from(!named || seen.programs.len() != 1);
        }
        self.is_equal()
    }

    fn is_equal(&self) -> bool {
        self.counts.seen == self.successes.len()
    }

    fn is_expected_later(&self) -> bool {
        EXPECTED_LATER.contains(&self.name) || self.may_be_late()
    }

    /// Whether what it rests on is hidden on this host.
    fn may_be_late(&self) -> bool {
        let hidden = || {
            std::fs::read_to_string("/sys/kernel/security/lockdown")
                .is_ok_and(|lockdown| lockdown.contains("[confidentiality]"))
        };
        BY_PATH.contains(&self.name) && hidden()
    }

    /// What is wrong with it.
    fn complaint(&self, strict: bool) -> Option<String> {
        let Self {
            name,
            successes,
            counts,
            ..
        } = self;
        let least = if strict { self.wanted } else { 1 };
        if let Some(why) = &self.impossible {
            // A kernel of today has all of this.
            return strict.then(|| format!("{name}: impossible here: {why}"));
        }
        if successes.len() < least || !self.failures.is_empty() {
            let mut failures = self.failures.clone();
            failures.dedup();
            failures.truncate(5);
            return Some(format!(
                "{name}: {} of {} tries succeeded; {failures:?}",
                successes.len(),
                self.wanted
            ));
        }
        if self.is_expected_later() {
            // Few tries may all be seen by luck, and another kernel may have better hooks.
            let now_seen = strict && self.is_equal() && !self.may_be_late();
            return now_seen.then(|| format!("{name}: it is seen now: take it off EXPECTED_LATER"));
        }
        let tries = successes.len();
        if !self.is_equal() {
            return Some(format!("{name}: {} of {tries} were seen", counts.seen));
        }
        (counts.misnamed > 0).then(|| {
            let wrong = counts.misnamed;
            format!("{name}: {wrong} of {tries} were told of with another program")
        })
    }
}

/// All rows.
pub(super) struct Tally {
    rows: Vec<Row>,
    program: FileId,
}

impl Tally {
    pub(super) fn new(rows: Vec<Row>) -> Self {
        Self {
            rows,
            program: file_id(&own_program()),
        }
    }

    /// Counts anew; `true` when all that has to be seen was.
    pub(super) fn count(&mut self, accesses: &Accesses) -> bool {
        let mut all = true;
        for row in &mut self.rows {
            all &= row.count(accesses, self.program) || row.is_expected_later();
        }
        all
    }

    /// Prints the table past the test harness, which shows only what failed tests say.
    pub(super) fn print(&self, place: &Path, lost: u64) {
        let width = self.rows.iter().map(|row| row.name.len()).max();
        let width = width.unwrap_or(0);
        let mut text = format!(
            "\nEvasions on {}, {} CPUs, {}; {lost} events lost\n{:width$}  {:>5}  {:>5}  {:>5}  \
             {:>5}  {:>5}  {:>7}  {:>6}\n",
            kernel(),
            std::thread::available_parallelism().map_or(1, usize::from),
            file_system(place),
            "evasion",
            "tries",
            "seen",
            "open",
            "read",
            "map",
            "refused",
            "time",
        );
        for row in &self.rows {
            if let Some(why) = &row.impossible {
                writeln!(text, "{:width$}  impossible here: {why}", row.name).unwrap();
                continue;
            }
            let counts = &row.counts;
            write!(
                text,
                "{:width$}  {:>5}  {:>5}  {:>5}  {:>5}  {:>5}  {:>7}  {:>5.1}s",
                row.name,
                row.successes.len(),
                counts.seen,
                counts.opens,
                counts.reads,
                counts.maps,
                counts.denials,
                row.time.as_secs_f64(),
            )
            .unwrap();
            if row.misses > 0 {
                write!(text, "  {} others met the other file", row.misses).unwrap();
            }
            if !row.is_equal() {
                text.push_str(if row.is_expected_later() {
                    "  not seen yet, and known"
                } else {
                    "  MISSED"
                });
            }
            text.push('\n');
        }
        let equal = self.rows.iter().filter(|row| row.impossible.is_none());
        let (equal, other): (Vec<_>, Vec<_>) = equal.partition(|row| row.is_equal());
        writeln!(
            text,
            "{} evasions seen in every try, {} not, {} impossible here\n",
            equal.len(),
            other.len(),
            self.rows.len() - equal.len() - other.len()
        )
        .unwrap();
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes()).unwrap();
        out.flush().unwrap();
    }

    /// Fails unless every row is as it has to be; `strict` on a machine that can do all of them as
    /// often as was asked for.
    pub(super) fn judge(&self, strict: bool) {
        let complaints: Vec<_> = self
            .rows
            .iter()
            .filter_map(|row| row.complaint(strict))
            .collect();
        assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    }
}

fn kernel() -> String {
    let name = rustix::system::uname();
    format!("Linux {}", name.release().to_string_lossy())
}

/// What the scenes lie on, as mountinfo has it.
fn file_system(path: &Path) -> String {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let longest = mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            let (at, kind) = (words.next()?, words.next()?);
            path.starts_with(at).then_some((at.len(), kind))
        })
        .max_by_key(|(length, _)| *length);
    longest.map_or("unknown", |(_, kind)| kind).to_owned()
}
