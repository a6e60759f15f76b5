//! All that is set up for the work: accounts, the network, the cgroup, and the servers of the world.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{
    cgroup::Cgroup,
    network::{API, DATABASE, GIT, Network, STORE, STRANGERS, Side},
    place::{self, Account, Place},
    said, signal,
    work::{JOBS, Work},
};
use crate::{process, ui};

/// The accounts of servers; those of the jobs are named after these.
const WORLD: &str = "world";
const STORAGE: &str = "store";
const BASE: &str = "base";
/// How long servers may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long jobs may take to end.
const JOB: Duration = Duration::from_secs(70);

/// Fields go in this order: what runs, then the accounts that it ran as.
pub(super) struct Scene {
    cron: Option<Child>,
    network: Network,
    pub(super) cgroup: Cgroup,
    pub(super) place: Place,
}

impl Scene {
    /// Sets all up, with servers that answer, and no work yet.
    ///
    /// # Errors
    /// When the host does not let it, or a server does not answer.
    pub(super) fn make(workspace: &Path) -> Result<Self> {
        place::alone()?;
        let cgroup = Cgroup::make()?;
        place::remove()?;
        let servers = [WORLD, STORAGE, BASE];
        let names: Vec<_> = JOBS.iter().map(|job| job.name).chain(servers).collect();
        let place = Place::make(workspace, &names)?;
        let network = Network::make(&place, &cgroup)?;
        let scene = Self {
            cron: None,
            network,
            cgroup,
            place,
        };
        scene.world()?;
        scene.storage()?;
        scene.base()?;
        scene.rehearse()?;
        Ok(scene)
    }

    /// A program of the soak, as `Network::command` makes it.
    pub(super) fn command(
        &self,
        side: Side,
        account: Option<&Account>,
        program: impl AsRef<OsStr>,
    ) -> Command {
        self.network
            .command(&self.place, &self.cgroup, side, account, program)
    }

    /// Starts a server whose words are kept.
    fn serve(&self, server: &mut Command, name: &str) -> Result<()> {
        let log = fs::File::create(self.place.at("logs").join(name))?;
        server
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(())
    }

    /// The API and git's server, with their clients' credentials.
    fn world(&self) -> Result<()> {
        let place = &self.place;
        let (world, api, deploy) = (
            place.find(WORLD)?,
            place.find("api")?,
            place.find("deploy")?,
        );
        let [certificate, key] = ["world.crt", "world.key"].map(|name| world.home.join(name));
        let addresses = [API, GIT].into_iter().chain(STRANGERS);
        let names: Vec<_> = addresses.map(|address| format!("IP:{address}")).collect();
        let mut openssl = self.command(Side::World, Some(world), "openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"]);
        openssl.args([
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-subj",
            "/CN=soak",
        ]);
        openssl.args(["-addext", &format!("subjectAltName={}", names.join(","))]);
        said(
            openssl
                .arg("-keyout")
                .arg(&key)
                .arg("-out")
                .arg(&certificate),
        )?;
        for client in [api, deploy] {
            place.file(client, "ca.crt", fs::read(&certificate)?)?;
        }

        // In the form of one that a provider gives out.
        let token = format!("dop_v1_{}{}", secret()?, secret()?);
        let given = place.file(world, "token", &token)?;
        place.file(api, "token", format!("Authorization: Bearer {token}\n"))?;

        let password = secret()?;
        let users = place.file(world, "users", format!("deploy:{password}"))?;
        let stored = format!("https://deploy:{password}@{GIT}\n");
        place.file(deploy, ".git-credentials", stored)?;
        let authority = deploy.home.join("ca.crt");
        let settings = format!(
            "[user]\n\tname = Deploy\n\temail = deploy@soak.test\n[credential]\n\thelper = store\n\
             [http]\n\tsslCAInfo = {}\n[init]\n\tdefaultBranch = main\n",
            authority.display()
        );
        place.file(deploy, ".gitconfig", settings)?;

        let repositories = place.directory(world, "git")?;
        let mut init = self.command(Side::World, Some(world), "git");
        init.args(["init", "--quiet", "--bare", "--initial-branch=main"]);
        said(init.arg(repositories.join("shop.git")))?;
        let mut server = self.command(Side::World, Some(world), "python3");
        server.arg(place.job("world.py"));
        server.args([&certificate, &key, &given, &users, &repositories]);
        self.serve(&mut server, WORLD)
    }

    /// rsync's server.
    fn storage(&self) -> Result<()> {
        let place = &self.place;
        let (store, backup) = (place.find(STORAGE)?, place.find("backup")?);
        let password = secret()?;
        place.directory(backup, "data")?;
        place.file(backup, "rsync-password", format!("{password}\n"))?;
        let secrets = place.file(store, "rsyncd.secrets", format!("backup:{password}\n"))?;
        let kept = place.directory(store, "backup")?;
        let settings = format!(
            "address = {STORE}\nport = 873\nuse chroot = no\nreverse lookup = no\n[backup]\npath = {}\nread only = no\n\
             auth users = backup\nsecrets file = {}\n",
            kept.display(),
            secrets.display()
        );
        let settings = place.file(store, "rsyncd.conf", settings)?;
        let mut server = self.command(Side::World, Some(store), "rsync");
        server.args([
            "--daemon",
            "--no-detach",
            "--log-file=/dev/stderr",
            "--config",
        ]);
        self.serve(server.arg(settings), STORAGE)
    }

    /// A cluster of PostgreSQL.
    fn base(&self) -> Result<()> {
        let place = &self.place;
        let (base, report) = (place.find(BASE)?, place.find("report")?);
        let password = secret()?;
        place.file(
            report,
            ".pgpass",
            format!("{DATABASE}:5432:*:report:{password}\n"),
        )?;
        let given = place.file(base, "password", &password)?;
        let data = base.home.join("data");
        let mut init = self.command(Side::World, Some(base), postgres("initdb")?);
        init.args([
            "--username=report",
            "--auth=scram-sha-256",
            "--locale=C",
            "--encoding=UTF8",
        ]);
        said(init.arg("--pwfile").arg(given).arg("--pgdata").arg(&data))?;
        let rules = data.join("pg_hba.conf");
        let mut text = fs::read_to_string(&rules)?;
        text.push_str("host all all 10.77.0.0/24 scram-sha-256\n");
        fs::write(rules, text)?;
        let mut server = self.command(Side::World, Some(base), postgres("postgres")?);
        server.args(["-c", &format!("listen_addresses={DATABASE}")]);
        server.args(["-c", "unix_socket_directories=", "-D"]);
        self.serve(server.arg(data), BASE)?;

        let mut table = self.command(Side::Host, Some(report), "psql");
        table.args(["--no-psqlrc", "--host", DATABASE, "--username=report"]);
        table.args([
            "--dbname=postgres",
            "--command=CREATE TABLE orders (total float)",
        ]);
        let start = Instant::now();
        while let Err(error) = said(&mut table) {
            if start.elapsed() > PATIENCE {
                return Err(error.context("PostgreSQL does not answer"));
            }
            thread::sleep(Duration::from_secs(1));
        }
        Ok(())
    }

    /// Every job once, until it goes well: an hour is not begun with a server that does not answer.
    fn rehearse(&self) -> Result<()> {
        let start = Instant::now();
        for job in JOBS {
            let account = self.place.find(job.name)?;
            loop {
                let mut run = self.command(Side::Host, Some(account), self.place.job(job.name));
                let ended = run.output()?;
                let work = Work::of(account)?;
                for file in ["done", "failed", "failures"] {
                    self.place.file(account, file, "")?;
                }
                if work.failed.is_empty() && !work.done.is_empty() {
                    break;
                }
                if start.elapsed() > PATIENCE {
                    let words = String::from_utf8_lossy(&ended.stderr);
                    bail!("{} does not work: {}{words}", job.name, work.failures);
                }
                thread::sleep(Duration::from_secs(1));
            }
        }
        Ok(())
    }

    /// Starts cron, which runs every job each minute.
    ///
    /// # Errors
    /// When it does not start.
    pub(super) fn start_work(&mut self) -> Result<()> {
        let directory = self.place.at("cron");
        for name in ["crontabs", "nothing"] {
            fs::create_dir_all(directory.join(name))?;
        }
        fs::write(directory.join("none"), "")?;
        for job in JOBS {
            let account = self.place.find(job.name)?;
            let table = directory.join("crontabs").join(&account.name);
            let program = self.place.job(job.name);
            let line = format!("MAILTO=\"\"\n* * * * * {}\n", program.display());
            place::owned(&table, account, line)?;
        }
        let mut cron = self.command(Side::Host, None, "unshare");
        cron.args(["--mount", "--"]).arg(self.place.job("cron"));
        let log = fs::File::create(self.place.at("logs").join("cron"))?;
        cron.arg(directory).stdout(log.try_clone()?).stderr(log);
        self.cron = Some(cron.spawn().context("cannot start cron")?);
        Ok(())
    }

    /// What cron said where it has ended, which it should not.
    ///
    /// # Errors
    /// When it has.
    pub(super) fn is_at_work(&mut self) -> Result<()> {
        if let Some(cron) = &mut self.cron
            && let Some(status) = cron.try_wait()?
        {
            let log = fs::read_to_string(self.place.at("logs").join("cron"));
            bail!("cron ended ({status}): {}", log.unwrap_or_default().trim());
        }
        Ok(())
    }

    /// Ends cron, and waits until its jobs have ended.
    ///
    /// # Errors
    /// When one does not.
    pub(super) fn end_work(&mut self) -> Result<()> {
        let start = Instant::now();
        if let Some(mut cron) = self.cron.take() {
            signal(cron.id(), "TERM")?;
            while cron.try_wait()?.is_none() {
                ensure!(start.elapsed() < JOB, "cron does not end");
                thread::sleep(Duration::from_millis(100));
            }
        }
        let mut uids = Vec::new();
        for job in JOBS {
            uids.push(self.place.find(job.name)?.uid);
        }
        while self.cgroup.is_at_work(&uids) {
            ensure!(start.elapsed() < JOB, "a job does not end");
            thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    /// What was done so far.
    ///
    /// # Errors
    /// When an account's notes cannot be read.
    pub(super) fn work(&self) -> Result<Vec<(&Account, Work)>> {
        let of = |name| {
            let account = self.place.find(name)?;
            Ok((account, Work::of(account)?))
        };
        JOBS.iter().map(|job| of(job.name)).collect()
    }
}

/// A program of PostgreSQL's servers: Debian has them on no search path.
fn postgres(name: &str) -> Result<PathBuf> {
    if let Some(found) = process::which(name) {
        return Ok(found);
    }
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let versions = versions.filter_map(|entry| {
        let path = entry.ok()?.path();
        let number: u32 = path.file_name()?.to_str()?.parse().ok()?;
        let program = path.join("bin").join(name);
        program.is_file().then_some((number, program))
    });
    let newest = versions.max().map(|(_, program)| program);
    newest.with_context(|| format!("PostgreSQL's {name} is missing: install its server"))
}

/// 128 random bits in hexadecimal digits.
fn secret() -> Result<String> {
    use std::io::Read as _;
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl Drop for Scene {
    fn drop(&mut self) {
        ui::heading("Cleaning up");
    }
}
