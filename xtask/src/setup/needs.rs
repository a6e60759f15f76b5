//! What must be on a machine, and what for.

use std::ops::BitOr;

use crate::process;

/// What the machine is to be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Needs {
    pub(super) test: bool,
    pub(super) lint: bool,
}

impl Needs {
    /// Building and running the daemon; the others include it.
    pub(crate) const BUILD: Self = Self {
        test: false,
        lint: false,
    };
    /// Running the tests.
    pub(crate) const TEST: Self = Self {
        test: true,
        lint: false,
    };
    /// Linting both halves.
    pub(crate) const LINT: Self = Self {
        test: false,
        lint: true,
    };
}

impl BitOr for Needs {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self {
            test: self.test || other.test,
            lint: self.lint || other.lint,
        }
    }
}

/// A program that must be there, and the Debian package it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) name: &'static str,
    pub(super) package: &'static str,
    pub(super) why: &'static str,
}

const BUILD_PROGRAMS: [Program; 1] = [Program {
    name: "cc",
    package: "gcc",
    why: "compiles the bundled SQLite",
}];

const TEST_PROGRAMS: [Program; 3] = [
    Program {
        name: "rsyslogd",
        package: "rsyslog",
        why: "tests: a real syslog receiver",
    },
    Program {
        name: "ssh-keygen",
        package: "openssh-client",
        why: "tests: makes real SSH keys",
    },
    Program {
        name: "python3",
        package: "python3",
        why: "tests: an interpreter that reads credentials",
    },
];

impl Needs {
    /// The programs, each with whether it is there.
    pub(super) fn programs(self) -> Vec<(Program, Option<String>)> {
        let tests: &[Program] = if self.test { &TEST_PROGRAMS } else { &[] };
        BUILD_PROGRAMS
            .iter()
            .chain(tests)
            .map(|program| {
                let found = process::which(program.name);
                (*program, found.map(|file| file.display().to_string()))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_need_more_than_the_build() {
        let names = |needs: Needs| -> Vec<&str> {
            needs
                .programs()
                .iter()
                .map(|(program, _)| program.name)
                .collect()
        };
        assert_eq!(names(Needs::BUILD), ["cc"]);
        assert_eq!(names(Needs::LINT), ["cc"]);
        assert!(names(Needs::TEST).contains(&"rsyslogd"));
        assert_eq!(names(Needs::LINT | Needs::TEST), names(Needs::TEST));
    }
}
