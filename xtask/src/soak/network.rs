//! A network of the soak's own: this host and the world, two namespaces with a cable between them. The
//! world has public addresses (RFC 5737, RFC 2544) and private ones, because the distance of an address matters, and
//! loopback is looked at by no baseline.

use std::{
    ffi::OsStr,
    fs,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use super::{cgroup::Cgroup, place::Account, place::Place, said};

/// A partner's API, on port 443.
pub(super) const API: &str = "198.51.100.10";
/// Where git's repositories are, on port 443.
pub(super) const GIT: &str = "198.51.100.20";
/// The store of backups, in the same house, on port 873.
pub(super) const STORE: &str = "10.77.0.30";
/// The database, in the same house, on port 5432.
pub(super) const DATABASE: &str = "10.77.0.40";
/// Addresses that nobody talks to before the injected acts, in a network of their own.
pub(super) const STRANGERS: [&str; 3] = ["198.18.0.97", "198.18.0.98", "198.18.0.99"];

const HOST: [&str; 3] = ["198.51.100.1", "198.18.0.1", "10.77.0.1"];
const CABLE: &str = "soak0";
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How long a namespace may take to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// At which end of the cable a program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Host,
    World,
}

/// The namespaces, each held open by a process that sleeps.
pub(super) struct Network {
    host: Child,
    world: Child,
}

impl Network {
    /// # Errors
    /// When the kernel makes no such network.
    pub(super) fn make(place: &Place, cgroup: &Cgroup) -> Result<Self> {
        let network = Self {
            host: hold(place, cgroup)?,
            world: hold(place, cgroup)?,
        };
        let (host, world) = (
            network.host.id().to_string(),
            network.world.id().to_string(),
        );
        said(
            Command::new("ip")
                .args(["link", "add", CABLE, "netns", &host, "type", "veth", "peer"])
                .args(["name", CABLE, "netns", &world]),
        )?;
        let addresses = [API, GIT, STORE, DATABASE].into_iter().chain(STRANGERS);
        network.dress(place, cgroup, Side::Host, &HOST)?;
        network.dress(place, cgroup, Side::World, &addresses.collect::<Vec<_>>())?;
        Ok(network)
    }

    fn dress(&self, place: &Place, cgroup: &Cgroup, side: Side, addresses: &[&str]) -> Result<()> {
        let ip = |arguments: &[&str]| {
            let mut ip = self.command(place, cgroup, side, None, "ip");
            said(ip.args(arguments))
        };
        for address in addresses {
            ip(&["address", "add", &format!("{address}/24"), "dev", CABLE])?;
        }
        for link in ["lo", CABLE] {
            ip(&["link", "set", link, "up"])?;
        }
        // Servers need no root for their ports. The file is that of the reader's namespace.
        let mut ports = self.command(place, cgroup, side, None, "sh");
        said(ports.args([
            "-c",
            "echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start",
        ]))?;
        Ok(())
    }

    /// A program on one side, in the cgroup, under an account or as root; it ends with this one.
    pub(super) fn command(
        &self,
        place: &Place,
        cgroup: &Cgroup,
        side: Side,
        account: Option<&Account>,
        program: impl AsRef<OsStr>,
    ) -> Command {
        let holder = match side {
            Side::Host => self.host.id(),
            Side::World => self.world.id(),
        };
        let mut command = enter(place, cgroup);
        command
            .args(["nsenter", &format!("--net=/proc/{holder}/ns/net"), "--"])
            .args(["setpriv", "--pdeathsig", "TERM"]);
        if let Some(account) = account {
            let (uid, gid) = (account.uid.to_string(), account.gid.to_string());
            command.args(["--reuid", &uid, "--regid", &gid, "--clear-groups"]);
            command.env("HOME", &account.home);
        }
        command.arg("--").arg(program);
        command
    }
}

fn enter(place: &Place, cgroup: &Cgroup) -> Command {
    let mut command = Command::new(place.job("enter"));
    command
        .arg(cgroup.directory())
        .env_clear()
        .envs([("PATH", PATH), ("LC_ALL", "C.UTF-8"), ("HOME", "/root")])
        .current_dir("/")
        .stdin(Stdio::null());
    command
}

fn hold(place: &Place, cgroup: &Cgroup) -> Result<Child> {
    let mut holder = enter(place, cgroup);
    holder.args(["setpriv", "--pdeathsig", "TERM", "--"]);
    holder.args(["unshare", "--net", "--", "sleep", "infinity"]);
    let child = holder.spawn()?;
    let start = Instant::now();
    let own = fs::read_link("/proc/self/ns/net")?;
    let namespace = format!("/proc/{}/ns/net", child.id());
    while fs::read_link(&namespace).is_ok_and(|of| of == own) {
        ensure!(start.elapsed() < PATIENCE, "no network namespace comes");
        thread::sleep(Duration::from_millis(20));
    }
    ensure!(
        fs::read_link(&namespace).is_ok(),
        "a network namespace cannot be made"
    );
    Ok(child)
}
