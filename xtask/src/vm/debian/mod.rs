//! `cargo xtask vm debian`: an hour of ordinary use of a freshly installed Debian with systemd, with
//! Credwatch as its unit file runs it, and every alert that it raised: none is the goal.

mod image;
mod kinds;
mod report;

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Result, bail};

use self::report::Report;
use super::{
    guest, initramfs,
    kernels::Kernel,
    qemu::{Boot, Hardware, Machine},
};
use crate::{
    alerts::{self, Alert},
    build::{self, Profile},
    setup, ui, usage,
};

/// What runs in the guest, beside the daemon and its unit.
const SCRIPTS: &str = "xtask/vm/debian";
/// What such a host has.
const HARDWARE: Hardware = Hardware {
    memory: 3072,
    processors: 2,
    network: true,
    own_init: true,
};
/// systemd does not ask questions, and the unit is started that runs the command.
const PARAMETERS: &str = "systemd.wants=desk.service systemd.firstboot=no \
    systemd.condition-first-boot=no systemd.machine_id=5c0e7bd1f2a94f0c8a7d3e6b9f1a2c4d";
/// For all that is not ordinary use: boot, setting up, and what follows.
const MORE: Duration = Duration::from_secs(45 * 60);

/// What the command line asks for.
struct Request {
    minutes: u16,
    /// How long users are learned there, as the configuration has it. Unset, no user of anything is an
    /// outsider within the time that this takes.
    learning: Option<String>,
    kernel: &'static Kernel,
    profile: Profile,
}

/// The command line's `vm debian`.
pub(super) fn command(workspace: &Path, args: &[String]) -> Result<ExitCode> {
    let request = Request::parse(args)?;
    setup::ensure(workspace, setup::Needs::DEBIAN)?;
    let cache = super::cache(workspace);
    let logs = cache.join("logs");
    fs::create_dir_all(&logs)?;
    let kernel = super::obtain(&cache, request.kernel)?;
    let root = image::disk(&cache, &kernel)?;
    let daemon = build::daemon(workspace, request.profile)?;
    let built = built_disk(workspace, &cache, &daemon)?;
    let log = logs.join("debian.log");
    ui::heading(&format!(
        "Booting Debian with Linux {}, for {} minutes of ordinary use: {}",
        kernel.release,
        request.minutes,
        log.display()
    ));
    let machine = Machine {
        image: &kernel.image,
        initramfs: &initramfs::of_kernel(&kernel)?,
        root: &root,
        built: &built,
        parameters: PARAMETERS,
        command: &request.command(),
        hardware: HARDWARE,
        limit: Duration::from_secs(u64::from(request.minutes) * 60) + MORE,
    };
    let mut file = File::create(&log)?;
    let boot = super::boot(&cache, &machine, Copies(io::stderr(), file.try_clone()?))?;
    write!(
        file,
        "\n== report\n{}\n== console\n{}",
        boot.report, boot.console
    )?;
    match judge(&boot)? {
        true => Ok(ExitCode::SUCCESS),
        false => Ok(ExitCode::FAILURE),
    }
}

impl Request {
    fn parse(args: &[String]) -> Result<Self> {
        let mut request = Self {
            minutes: 60,
            learning: None,
            kernel: super::find("6.1")?,
            profile: Profile::Release,
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || {
                let value = args.next();
                value.ok_or_else(|| usage(format!("{arg} needs a value")))
            };
            match arg.as_str() {
                "--minutes" => {
                    let text = value()?;
                    let minutes = text.parse().ok().filter(|minutes| *minutes > 0);
                    request.minutes = minutes.ok_or_else(|| {
                        usage(format!("--minutes needs a number, and `{text}` is none"))
                    })?;
                }
                "--learning" => {
                    let text = value()?;
                    let is_duration = text.ends_with(['s', 'm', 'h'])
                        && text[..text.len() - 1].parse::<u16>().is_ok();
                    if !is_duration {
                        return Err(usage(format!(
                            "--learning needs a duration like 20m, and `{text}` is none"
                        )));
                    }
                    request.learning = Some(text.clone());
                }
                "--kernel" => request.kernel = super::find(value()?)?,
                "--debug" => request.profile = Profile::Debug,
                other => return Err(usage(format!("vm debian does not know `{other}`"))),
            }
        }
        Ok(request)
    }

    fn command(&self) -> String {
        let learning = self.learning.as_deref().unwrap_or_default();
        format!("exec bash /opt/credwatch/guest {} {learning}", self.minutes)
    }
}

/// What the guest writes is shown and kept.
struct Copies(io::Stderr, File);

impl Write for Copies {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1.write_all(bytes)?;
        // A closed terminal ends nothing.
        let _ = self.0.write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.1.flush()
    }
}

/// The daemon, its unit, and what runs in the guest.
fn built_disk(workspace: &Path, cache: &Path, daemon: &Path) -> Result<PathBuf> {
    let unit = workspace.join("monitor/dist/credwatch.service");
    let mut files = vec![
        ("credwatch".to_owned(), daemon.to_owned()),
        ("credwatch.service".to_owned(), unit),
    ];
    for entry in fs::read_dir(workspace.join(SCRIPTS))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        files.push((name, entry.path()));
    }
    files.sort();
    let files: Vec<_> = files
        .iter()
        .map(|(name, file)| (name.as_str(), file.as_path()))
        .collect();
    guest::built_disk(cache, "debian-built", &files)
}

/// Prints what came of it, and gives whether all is well.
fn judge(boot: &Boot) -> Result<bool> {
    let mut faults = Vec::new();
    if boot.timed_out {
        faults.push("the guest was not done in time".to_owned());
    } else if boot.code != Some(0) {
        faults.push(match boot.code {
            Some(code) => format!("the guest's script ended with {code}"),
            None => "the guest ended without a word of how it went".to_owned(),
        });
    }
    let report = Report::read(&boot.report);
    let Ok(alerts) = report.json::<Vec<Alert>>("alerts") else {
        bail!(
            "{}\n{}: it did not come so far as to tell its alerts",
            boot.console,
            faults.join("; ")
        );
    };
    faults.extend(checks(&report));
    faults.extend(acts(&report));
    match kinds::print(&report)? {
        0 => {}
        wrong => faults.push(format!(
            "{wrong} rows of the table of identities are not right"
        )),
    }
    alerts::list(&alerts);
    if !alerts.is_empty() {
        faults.push(format!("{} alerts", alerts.len()));
    }
    if let Err(fault) = stopped(&report, &alerts) {
        faults.push(format!("{fault:#}"));
    }
    let facts = |name| report.fact(name);
    let nanoseconds: u64 = facts("processor").parse().unwrap_or(0);
    println!(
        "  {}, {} packages; upgrades pending before: {}, afterwards: {}; credwatch took {:.1} s of processor time (emulated), {}, at most {}",
        facts("release"),
        facts("packages"),
        facts("pending before"),
        facts("pending after"),
        Duration::from_nanos(nanoseconds).as_secs_f64(),
        facts("memory"),
        facts("peak"),
    );
    let seconds: u64 = facts("seconds").parse().unwrap_or(0);
    let acts: u64 = report.counts("done").iter().map(|(times, _)| times).sum();
    let what = format!("{} minutes, {acts} acts", seconds / 60);
    if faults.is_empty() {
        println!("DEBIAN OK: {what}, no alert");
    } else {
        println!("DEBIAN FAILED: {what}: {}", faults.join("; "));
    }
    Ok(faults.is_empty())
}

/// How systemd and Credwatch get on.
fn checks(report: &Report) -> Option<String> {
    ui::heading("== under systemd");
    let mut failed = 0;
    let mut rows = Vec::new();
    for fields in report.rows("checks") {
        let [word, name] = fields[..] else { continue };
        let mark = match word {
            "ok" => ui::Mark::Ok,
            _ => ui::Mark::Failed,
        };
        failed += usize::from(mark != ui::Mark::Ok);
        rows.push((mark, vec![name.to_owned()]));
    }
    ui::table(&rows);
    for line in report.text("privileges").lines() {
        println!("  {line}");
    }
    match (rows.len(), failed) {
        (0, _) => Some("nothing was checked".to_owned()),
        (_, 0) => None,
        (all, failed) => Some(format!("{failed} of {all} checks failed")),
    }
}

/// What was done, and how often.
fn acts(report: &Report) -> Option<String> {
    ui::heading("== ordinary use");
    let (done, failed) = (report.counts("done"), report.counts("failed"));
    let mut rows = Vec::new();
    let row = |mark, times: u64, name: &str| (mark, vec![times.to_string(), name.to_owned()]);
    rows.extend(
        done.iter()
            .map(|(times, name)| row(ui::Mark::Ok, *times, name)),
    );
    rows.extend(
        failed
            .iter()
            .map(|(times, name)| row(ui::Mark::Failed, *times, name)),
    );
    ui::table(&rows);
    match (done.len(), failed.len()) {
        (0, _) => Some("nothing was done".to_owned()),
        (_, 0) => None,
        // What did not work is no ordinary use.
        (_, failed) => Some(format!("{failed} sorts of acts failed")),
    }
}

/// Whether `systemctl stop` was told, with its sender, and nothing else since the alerts were listed.
fn stopped(report: &Report, before: &[Alert]) -> Result<()> {
    let last: Vec<Alert> = report.json("stopped")?;
    let is_new = |alert: &&Alert| before.iter().all(|of| of.alert_id != alert.alert_id);
    let new: Vec<_> = last.iter().filter(is_new).collect();
    ui::heading("== at its end");
    for alert in &new {
        println!("  {} {}: {}", alert.id, alert.severity, alert.summary);
    }
    match new[..] {
        [one]
            if one.id == "CW-903"
                && one.severity == "low"
                && one.summary.contains("by the init system (pid 1)") =>
        {
            Ok(())
        }
        _ => bail!("`systemctl stop` is not told with systemd as its sender"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot(code: Option<i32>, report: &str) -> Boot {
        Boot {
            code,
            output: String::new(),
            report: report.to_owned(),
            console: String::new(),
            took: Duration::from_secs(1),
            timed_out: false,
        }
    }

    const ALERT: &str = r#"{"alert_id":"1","time":"t","id":"CW-903","severity":"low",
        "summary":"told to stop by the init system (pid 1)","process":null,"repeats":0}"#;

    /// A report in which all is well, with something in place of something else.
    fn report(change: (&str, &str)) -> String {
        let good = format!(
            "== alerts\n[]\n== identities\n[{{\"selector\":\"unix:user:a\"}}]\n== credentials\n\
             [{{\"fingerprint\":\"f\",\"kind\":\"jwt\",\"paths\":[\"/k\"]}}]\n== usage\n\
             [{{\"fingerprint\":\"f\",\"identity\":\"unix:user:a\",\"exe\":\"/x\",\"count\":1}}]\n\
             == kinds\nservice account\tkey\tunix:user:a\t/k\n== checks\nok\tactive\n\
             == done\n  3 logins\n== failed\n== stopped\n[{ALERT}]\n"
        );
        assert!(good.contains(change.0), "{}", change.0);
        good.replace(change.0, change.1)
    }

    #[test]
    fn all_must_be_well() {
        let judged = |code, change| judge(&boot(code, &report(change))).unwrap_or(false);
        assert!(judged(Some(0), ("", "")));
        assert!(!judged(Some(1), ("", "")), "the script failed");
        assert!(!judged(None, ("", "")), "it died");
        for (from, to) in [
            ("== alerts\n[]", &*format!("== alerts\n[{ALERT}]")),
            ("== alerts", "== nothing"),
            ("ok\tactive", "failed\tactive"),
            ("ok\tactive\n", ""),
            ("== failed\n", "== failed\n 1 logins\n"),
            ("  3 logins\n", ""),
            ("unix:user:a\t/k", "unix:user:b\t/k"),
            ("service account\tkey\tunix:user:a\t/k\n", ""),
            ("the init system", "ana"),
            ("\"low\"", "\"high\""),
        ] {
            assert!(!judged(Some(0), (from, to)), "{from} -> {to}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let parse = |args: &[&str]| {
            let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
            Request::parse(&args)
        };
        assert_eq!(parse(&[]).unwrap().minutes, 60);
        let request = parse(&["--minutes", "6", "--kernel", "6.12"]).unwrap();
        assert_eq!((request.minutes, request.kernel.series), (6, "6.12"));
        assert!(request.command().ends_with("guest 6 "));
        let request = parse(&["--learning", "20m"]).unwrap();
        assert!(request.command().ends_with("guest 60 20m"));
        for args in [
            &["--minutes", "0"][..],
            &["--learning", "soon"],
            &["--learning", "\"m"],
            &["--minutes"],
            &["--kernel", "2.4"],
            &["60"],
        ] {
            assert!(parse(args).err().unwrap().is::<crate::Usage>(), "{args:?}");
        }
    }
}
