//! What must be on a machine, and what for.

use std::ops::BitOr;

use crate::process;

/// What the machine is to be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Needs {
    test: bool,
    pub(super) lint: bool,
    bench: bool,
    vm: bool,
    debian: bool,
    kubernetes: bool,
    soak: bool,
}

impl Needs {
    /// Building and running the daemon; the others include it.
    pub(crate) const BUILD: Self = Self {
        test: false,
        lint: false,
        bench: false,
        vm: false,
        debian: false,
        kubernetes: false,
        soak: false,
    };
    /// Running the tests.
    pub(crate) const TEST: Self = Self {
        test: true,
        ..Self::BUILD
    };
    /// Linting both halves.
    pub(crate) const LINT: Self = Self {
        lint: true,
        ..Self::BUILD
    };
    /// Measuring what the daemon costs.
    pub(crate) const BENCH: Self = Self {
        bench: true,
        ..Self::BUILD
    };
    /// Running the tests on other kernels, in emulated machines.
    pub(crate) const VM: Self = Self {
        test: true,
        vm: true,
        ..Self::BUILD
    };
    /// Running the daemon on a whole Debian, in an emulated machine.
    pub(crate) const DEBIAN: Self = Self {
        vm: true,
        debian: true,
        ..Self::BUILD
    };
    /// Running the tests against a real API server of Kubernetes.
    pub(crate) const KUBERNETES: Self = Self {
        test: true,
        kubernetes: true,
        ..Self::BUILD
    };
    /// Watching real jobs on this machine for an hour.
    pub(crate) const SOAK: Self = Self {
        soak: true,
        ..Self::BUILD
    };
}

impl BitOr for Needs {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self {
            test: self.test || other.test,
            lint: self.lint || other.lint,
            bench: self.bench || other.bench,
            vm: self.vm || other.vm,
            debian: self.debian || other.debian,
            kubernetes: self.kubernetes || other.kubernetes,
            soak: self.soak || other.soak,
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

const KEYS: Program = Program {
    name: "ssh-keygen",
    package: "openssh-client",
    why: "tests and benchmarks: makes real SSH keys",
};

const TEST_PROGRAMS: [Program; 10] = [
    Program {
        name: "rsyslogd",
        package: "rsyslog",
        why: "tests: a real syslog receiver",
    },
    KEYS,
    Program {
        name: "python3",
        package: "python3",
        why: "tests: an interpreter that reads credentials",
    },
    Program {
        name: "openssl",
        package: "openssl",
        why: "tests: agrees with it on the names of keys",
    },
    Program {
        name: "git",
        package: "git",
        why: "tests: ordinary work that must raise nothing",
    },
    Program {
        name: "ip",
        package: "iproute2",
        why: "tests: addresses in network namespaces of their own",
    },
    Program {
        name: "useradd",
        package: "passwd",
        why: "tests: real accounts",
    },
    Program {
        name: "setpriv",
        package: "util-linux",
        why: "tests: programs under other accounts",
    },
    Program {
        name: "sudo",
        package: "sudo",
        why: "tests: people who act as a service's account",
    },
    Program {
        name: "runc",
        package: "runc",
        why: "tests: real containers",
    },
];

const VM_PROGRAMS: [Program; 8] = [
    Program {
        name: "qemu-system-x86_64",
        package: "qemu-system-x86",
        why: "vm: the machines",
    },
    Program {
        name: "busybox",
        package: "busybox-static",
        why: "vm: the guest's first programs",
    },
    Program {
        name: "depmod",
        package: "kmod",
        why: "vm: the order of kernel modules",
    },
    Program {
        name: "mke2fs",
        package: "e2fsprogs",
        why: "vm: the guest's disks",
    },
    Program {
        name: "cpio",
        package: "cpio",
        why: "vm: the guest's first files",
    },
    Program {
        name: "xz",
        package: "xz-utils",
        why: "vm: unpacks kernel modules",
    },
    Program {
        name: "zstd",
        package: "zstd",
        why: "vm: unpacks kernel modules",
    },
    // No program: the search takes a whole path as it is.
    Program {
        name: "/usr/share/keyrings/debian-archive-keyring.gpg",
        package: "debian-archive-keyring",
        why: "vm: the signatures of Debian's kernels",
    },
];

const DEBIAN_PROGRAMS: [Program; 1] = [Program {
    name: "mmdebstrap",
    package: "mmdebstrap",
    why: "vm debian: installs a Debian into a directory",
}];

const KUBERNETES_PROGRAMS: [Program; 6] = [
    Program {
        name: "go",
        package: "golang-go",
        why: "kubernetes: builds the API server",
    },
    Program {
        name: "make",
        package: "make",
        why: "kubernetes: builds the API server",
    },
    Program {
        name: "rsync",
        package: "rsync",
        why: "kubernetes: builds the API server",
    },
    Program {
        name: "dpkg-source",
        package: "dpkg-dev",
        why: "kubernetes: unpacks its sources",
    },
    // No programs: the search takes a whole path as it is.
    Program {
        name: "/usr/share/gocode/src/github.com/modern-go/reflect2/reflect2.go",
        package: "golang-github-modern-go-reflect2-dev",
        why: "kubernetes: a newer part of its sources",
    },
    Program {
        name: "/usr/share/keyrings/debian-archive-keyring.gpg",
        package: "debian-archive-keyring",
        why: "kubernetes: the signatures of its sources",
    },
];

const SOAK_PROGRAMS: [Program; 5] = [
    Program {
        name: "cron",
        package: "cron",
        why: "soak: runs the jobs",
    },
    Program {
        name: "curl",
        package: "curl",
        why: "soak: a job's client",
    },
    Program {
        name: "rsync",
        package: "rsync",
        why: "soak: a job's client, and its server",
    },
    Program {
        name: "psql",
        package: "postgresql-client",
        why: "soak: a job's client",
    },
    // No program of the server is on the search path.
    Program {
        name: "pg_ctlcluster",
        package: "postgresql",
        why: "soak: a job's server",
    },
];

/// Of the programs that tests need, those that the soak needs too.
const SOAK_AS_TESTS: [&str; 6] = ["git", "ip", "openssl", "python3", "setpriv", "useradd"];

impl Needs {
    /// The programs, each with whether it is there.
    pub(super) fn programs(self) -> Vec<(Program, Option<String>)> {
        let more: &[Program] = match self {
            Self { test: true, .. } => &TEST_PROGRAMS,
            Self { bench: true, .. } => &[KEYS],
            _ => &[],
        };
        let vm: &[Program] = if self.vm { &VM_PROGRAMS } else { &[] };
        let debian: &[Program] = match self.debian {
            true => &DEBIAN_PROGRAMS,
            false => &[],
        };
        let kubernetes: &[Program] = match self.kubernetes {
            true => &KUBERNETES_PROGRAMS,
            false => &[],
        };
        let soak: &[Program] = if self.soak { &SOAK_PROGRAMS } else { &[] };
        let is_shared =
            |program: &&Program| self.soak && !self.test && SOAK_AS_TESTS.contains(&program.name);
        BUILD_PROGRAMS
            .iter()
            .chain(more)
            .chain(vm)
            .chain(debian)
            .chain(kubernetes)
            .chain(soak)
            .chain(TEST_PROGRAMS.iter().filter(is_shared))
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
        assert_eq!(names(Needs::BENCH), ["cc", "ssh-keygen"]);
        assert!(names(Needs::TEST).contains(&"rsyslogd"));
        assert_eq!(names(Needs::BENCH | Needs::TEST), names(Needs::TEST));
        assert_eq!(names(Needs::LINT | Needs::TEST), names(Needs::TEST));
        assert!(names(Needs::VM).starts_with(&names(Needs::TEST)));
        assert!(names(Needs::VM).contains(&"qemu-system-x86_64"));
        assert_eq!(names(Needs::TEST | Needs::VM), names(Needs::VM));
        assert!(!names(Needs::VM).contains(&"mmdebstrap"));
        assert!(names(Needs::KUBERNETES).starts_with(&names(Needs::TEST)));
        assert!(names(Needs::KUBERNETES).contains(&"go"));
        assert!(
            names(Needs::SOAK)
                .ends_with(&["python3", "openssl", "git", "ip", "useradd", "setpriv"])
        );
        assert!(!names(Needs::SOAK | Needs::TEST).ends_with(&["setpriv"]));
        assert!(names(Needs::DEBIAN).ends_with(&["mmdebstrap"]));
    }
}
