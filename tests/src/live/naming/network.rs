//! A network namespace with addresses of its own.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::super::daemon::Place;
use super::super::host::{Partner, command, program};

/// Lasts as long as the process that has made it.
pub(super) struct Network {
    holder: Partner,
    files: PathBuf,
}

impl Network {
    /// With these addresses, as `ip address` takes them, on its loopback device.
    pub(super) fn new(place: &Place, addresses: &[String]) -> Self {
        let line = "ip link set lo up\n\
            for at in \"$@\"; do ip address add $at dev lo; done\n\
            echo ready; read -r end";
        let mut holder = command("unshare", &[&"--net", &program("sh"), &"-ec", &line, &"sh"]);
        holder.args(addresses);
        Self {
            holder: Partner::start(&mut holder),
            files: place.at(""),
        }
    }

    fn path(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.holder.pid()).into()
    }

    /// Does something in it, such as to make sockets: they stay there.
    pub(super) fn within<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let network = File::open(self.path()).unwrap();
        std::thread::scope(|scope| {
            let inside = scope.spawn(move || {
                let kind = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(network.as_fd(), kind).unwrap();
                act()
            });
            inside.join().unwrap()
        })
    }

    /// A program in it, to which the C library's resolver is the one given.
    pub(super) fn command(
        &self,
        resolver: &str,
        name: &str,
        args: &[&dyn AsRef<OsStr>],
    ) -> Command {
        let conf = self.files.join(format!("resolv-{resolver}.conf"));
        let lines = format!("nameserver {resolver}\noptions timeout:2 attempts:2\n");
        fs::write(&conf, lines).unwrap();
        let line = "mount --bind \"$1\" /etc/resolv.conf; shift; exec \"$@\"";
        let network = format!("--net={}", self.path().display());
        let mut within = command("nsenter", &[&network, &program("unshare"), &"--mount"]);
        within
            .arg(program("sh"))
            .args(["-ec", line, "sh"])
            .arg(conf);
        within.arg(program(name));
        within.args(args.iter().map(|arg| arg.as_ref()));
        within
    }

    /// A line of Python in it.
    pub(super) fn python(
        &self,
        resolver: &str,
        script: &str,
        args: &[&dyn AsRef<OsStr>],
    ) -> Command {
        let mut python = self.command(resolver, "python3", &[&"-c", &script]);
        python.args(args.iter().map(|arg| arg.as_ref()));
        python
    }
}
