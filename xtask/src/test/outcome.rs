//! What a test run came to, read from the lines that Rust's test harness prints.

use std::fmt;

/// Tests whose names begin so run the daemon on the live kernel.
const LIVE: &str = "live::";

/// Numbers of tests by how they ended.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Counts {
    pub(crate) fn total(self) -> u64 {
        self.passed + self.failed + self.skipped
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            passed,
            failed,
            skipped,
        } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

/// All tests, and those on the live kernel among them.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) all: Counts,
    pub(crate) live: Counts,
    /// A test that has begun a line and printed something itself before its end.
    begun: Option<String>,
}

impl Outcome {
    /// Takes in one line of the harness; lines that are not its own are ignored.
    pub(crate) fn line(&mut self, line: &str) {
        let begins = line
            .strip_prefix("test ")
            .and_then(|line| line.rsplit_once(" ..."));
        let (name, end) = match (begins, line, &self.begun) {
            (Some((name, "" | " ")), ..) => {
                self.begun = Some(name.to_owned());
                return;
            }
            (Some((name, end)), ..) => (name.to_owned(), end.trim_start()),
            (None, "ok" | "FAILED", Some(name)) => (name.clone(), line),
            _ => return,
        };
        self.begun = None;
        let counts: fn(&mut Counts) -> &mut u64 = match end.split([',', ' ']).next() {
            Some("ok") => |counts| &mut counts.passed,
            Some("FAILED") => |counts| &mut counts.failed,
            Some("ignored") => |counts| &mut counts.skipped,
            _ => return,
        };
        *counts(&mut self.all) += 1;
        if name.starts_with(LIVE) {
            *counts(&mut self.live) += 1;
        }
    }

    /// A test that ended well because it saw that it cannot run here, and said so.
    pub(crate) fn skipped_itself(&mut self, name: &str) {
        let both = [&mut self.all, &mut self.live];
        let affected = if name.starts_with(LIVE) { 2 } else { 1 };
        for counts in both.into_iter().take(affected) {
            counts.passed = counts.passed.saturating_sub(1);
            counts.skipped += 1;
        }
    }

    /// Live tests that were not even started.
    pub(crate) fn live_left_out(&mut self, number: u64) {
        self.all.skipped += number;
        self.live.skipped += number;
    }

    /// A test program that died, which has no line of its own.
    pub(crate) fn crashed(&mut self) {
        self.all.failed += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(lines: &str) -> Outcome {
        let mut outcome = Outcome::default();
        lines.lines().for_each(|line| outcome.line(line));
        outcome
    }

    #[test]
    fn a_test_that_prints_in_the_middle_of_its_line_is_counted() {
        let outcome = outcome(
            "test live::evasions::all ... \n\
             a table\n\
             ok\n\
             test live::ladders::all ...\n\
             FAILED\n\
             ok\n",
        );
        assert_eq!((outcome.live.passed, outcome.live.failed), (1, 1));
    }

    #[test]
    fn the_harness_is_counted_and_nothing_else() {
        let outcome = outcome(
            "running 6 tests\n\
             test model::time::tests::round ... ok\n\
             test parse - should panic ... ok\n\
             test live::retire::read ... ok\n\
             test live::exec::short ... FAILED\n\
             test live::vm::old ... ignored, needs qemu\n\
             test xtask/src/lib.rs - find (line 3) ... ok\n\
             test slow has been running for over 60 seconds\n\
             test of the emergency system\n\
             test result: FAILED. 4 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out\n",
        );
        assert_eq!(outcome.all.to_string(), "4 passed, 1 failed, 1 skipped");
        assert_eq!(outcome.live.to_string(), "1 passed, 1 failed, 1 skipped");
        assert_eq!(outcome.all.total(), 6);
    }

    #[test]
    fn a_test_that_could_not_run_is_no_pass() {
        let mut outcome = outcome("test live::a ... ok\ntest live::b ... ok\ntest c ... ok\n");
        outcome.skipped_itself("live::b");
        outcome.skipped_itself("c");
        assert_eq!(outcome.all.to_string(), "1 passed, 0 failed, 2 skipped");
        assert_eq!(outcome.live.to_string(), "1 passed, 0 failed, 1 skipped");
        outcome.live_left_out(3);
        outcome.crashed();
        assert_eq!(outcome.all.to_string(), "1 passed, 1 failed, 5 skipped");
        assert_eq!(outcome.live.skipped, 4);
    }
}
