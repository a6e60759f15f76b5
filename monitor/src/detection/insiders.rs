//! Who has a reason to do what only few do. Nothing is learned yet: insiders are the programs that
//! do it on every host, and whom the configuration declares.
//!
//! A program is known by the path that the kernel walked and by its inode, which must be the one
//! that lies at that path on this host; the name that a process gives itself counts for nothing. For
//! the lists here it must be root's own, too.

use super::Detector;
use crate::attribution::Actor;
use crate::config::{ActorPattern, AllowedConfig};
use crate::model::FileId;

/// Where distributions and administrators put the system's programs.
const DIRECTORIES: &[&str] = &[
    "/usr/bin/",
    "/usr/sbin/",
    "/bin/",
    "/sbin/",
    "/usr/local/bin/",
    "/usr/local/sbin/",
];
/// Below these lie programs that others start.
const HELPERS: &[&str] = &[
    "/usr/lib/",
    "/usr/lib64/",
    "/usr/libexec/",
    "/lib/",
    "/lib64/",
];

/// Where systemd keeps what only it starts.
const SYSTEMD: &[&str] = &["/usr/lib/systemd/", "/lib/systemd/"];

/// Programs that install others, as root, by scripts of packages.
pub(super) const MANAGERS: &[&str] = &[
    "dpkg",
    "apt",
    "apt-get",
    "aptitude",
    "rpm",
    "dnf5",
    "zypper",
    "pacman",
    "apk",
    "packagekitd",
];
/// What such scripts are run by.
pub(super) const INTERPRETERS: &[&str] = &["sh", "dash", "bash", "perl", "busybox", "run-parts"];
/// What such scripts do files with.
const FILE_TOOLS: &[&str] = &[
    "chmod",
    "chown",
    "cmp",
    "cp",
    "diff",
    "install",
    "md5sum",
    "mv",
    "rm",
    "sha256sum",
];
/// With what such scripts make and look at keys and certificates.
const PACKAGE_TOOLS: &[&str] = &[
    "awk",
    "cat",
    "gawk",
    "grep",
    "head",
    "mawk",
    "openssl",
    "sed",
    "ssh-keygen",
    "sshd",
];
/// Programs that lock the system's files and start an editor on them.
const EDITORS: &[&str] = &["visudo", "vipw", "vigr"];

impl Detector {
    /// Whether the configuration allows this actor.
    pub(super) fn is_declared(&self, actor: &Actor, config: &AllowedConfig) -> bool {
        self.is_one_of(actor, &config.allowed)
    }

    /// Whether one of these patterns is about this actor.
    pub(super) fn is_one_of(&self, actor: &Actor, patterns: &[ActorPattern]) -> bool {
        let program = self.program_of(actor);
        let mut patterns = patterns.iter();
        patterns.any(|pattern| pattern.matches(&actor.selectors, program))
    }

    /// Whether an actor runs one of these programs of the system. A `*` at the end of a name stands
    /// for anything.
    pub(super) fn runs(&self, actor: &Actor, programs: &[&str]) -> bool {
        let exe = actor.exe.as_deref().unwrap_or_default();
        self.is_program(actor.task.exe, exe, programs)
    }

    pub(super) fn is_program(&self, file: FileId, exe: &str, programs: &[&str]) -> bool {
        system_program(exe).is_some_and(|name| is_one_of(name, programs))
            && self.state.host.has_program_of_root(file, exe)
    }

    /// Whether an actor runs one of systemd's own programs, whatever it is called: generators are numbered.
    pub(super) fn is_of_systemd(&self, actor: &Actor) -> bool {
        let exe = actor.exe.as_deref().unwrap_or_default();
        let is_its = SYSTEMD.iter().any(|place| exe.starts_with(place));
        is_its && self.state.host.has_program_of_root(actor.task.exe, exe)
    }

    /// Whether a script of a package does this, with one of the usual tools. Somebody who has
    /// broken out into a shell on the way (a pager, an editor) is no script.
    pub(super) fn is_package_script(&self, actor: &Actor) -> bool {
        self.runs(actor, FILE_TOOLS) && self.is_started_by(actor, MANAGERS)
    }

    /// Whether a package manager's hook does this by itself, as needrestart does.
    pub(super) fn is_package_hook(&self, actor: &Actor) -> bool {
        self.runs(actor, INTERPRETERS) && self.is_started_by(actor, MANAGERS)
    }

    /// Whether a package manager, or a script of a package with a usual tool, does this.
    pub(super) fn is_package_work(&self, actor: &Actor) -> bool {
        self.runs(actor, MANAGERS)
            || self.is_package_script(actor)
            || self.is_package_hook(actor)
            || self.runs(actor, PACKAGE_TOOLS) && self.is_started_by(actor, MANAGERS)
    }

    /// Whether one of these programs is among the nearest parents.
    pub(super) fn is_below(&self, actor: &Actor, programs: &[&str]) -> bool {
        const DEEPEST: usize = 16;
        let mut lineage = self.state.processes.lineage(&actor.task).take(DEEPEST);
        lineage.any(|(key, file, exe)| key.pid != 1 && self.is_program(file, exe, programs))
    }

    /// Whether this is the editor that visudo or vipw has started, or a daily job that keeps a
    /// copy of the password file.
    pub(super) fn is_keeper_of_files(&self, actor: &Actor) -> bool {
        self.is_started_by(actor, EDITORS)
            || self.runs(actor, &["cp", "cmp"]) && self.is_started_by(actor, &["run-parts"])
    }

    /// Whether one of these programs is a parent, with nothing but interpreters in between.
    fn is_started_by(&self, actor: &Actor, programs: &[&str]) -> bool {
        const DEEPEST: usize = 16;
        let mut lineage = self.state.processes.lineage(&actor.task).take(DEEPEST);
        lineage
            .find(|(_, file, exe)| {
                !self.is_program(*file, exe, INTERPRETERS) || is_named(exe, programs)
            })
            .is_some_and(|(_, file, exe)| self.is_program(file, exe, programs))
    }
}

fn is_named(exe: &str, programs: &[&str]) -> bool {
    system_program(exe).is_some_and(|name| is_one_of(name, programs))
}

fn is_one_of(name: &str, programs: &[&str]) -> bool {
    programs
        .iter()
        .any(|program| match program.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == *program,
        })
}

/// The name of a program that lies where the system's programs do.
fn system_program(exe: &str) -> Option<&str> {
    let (directory, name) = exe.split_at(exe.rfind('/')? + 1);
    let is_helper = || HELPERS.iter().any(|place| directory.starts_with(place));
    (DIRECTORIES.contains(&directory) || is_helper()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_the_system_are_told_by_place_and_name() {
        for (exe, name) in [
            ("/usr/bin/ssh", Some("ssh")),
            ("/sbin/unix_chkpwd", Some("unix_chkpwd")),
            ("/usr/lib/systemd/systemd", Some("systemd")),
            ("/usr/lib/openssh/ssh-keysign", Some("ssh-keysign")),
            ("/dev/shm/usr/bin/ssh", None),
            ("/usr/bin/deeper/ssh", None),
            ("…/usr/bin/ssh", None),
            ("ssh", None),
            ("", None),
        ] {
            assert_eq!(system_program(exe), name, "{exe}");
        }
        assert!(is_one_of("containerd-shim-runc-v2", &["containerd-shim*"]));
        assert!(!is_one_of("dockerd-x", &["docker", "dockerd"]));
    }
}
