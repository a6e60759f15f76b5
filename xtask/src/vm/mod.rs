//! `cargo xtask vm`: the daemon and its live tests on stock kernels, in emulated machines.

mod built;
mod debian;
mod docs;
mod doctor;
mod guest;
mod initramfs;
mod kernels;
mod lanes;
mod matrix;
mod packages;
mod qemu;

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Result, bail, ensure};

use self::{
    kernels::{KERNELS, Kernel, Unpacked},
    matrix::Task,
    qemu::{Boot, Hardware, Machine},
};
use crate::{
    build::{self, Profile},
    setup, ui, usage,
};

/// What the command line asks for.
struct Request {
    kernels: Vec<&'static Kernel>,
    lanes: Vec<String>,
    command: Option<String>,
    parameters: String,
    profile: Profile,
    limit: Duration,
    jobs: usize,
    list: bool,
    write_docs: bool,
    quick: bool,
}

/// The command line's `vm`.
pub(crate) fn command(workspace: &Path, args: &[String]) -> Result<ExitCode> {
    if let Some((first, rest)) = args.split_first()
        && first == "debian"
    {
        return debian::command(workspace, rest);
    }
    let request = Request::parse(args)?;
    if request.list {
        list(workspace)?;
        return Ok(ExitCode::SUCCESS);
    }
    let tasks = request.tasks()?;
    let guest = Guest::build(workspace, request.profile)?;
    if let Some(command) = &request.command {
        return request.run(&guest, &tasks, command);
    }
    let rows = matrix::run(&guest, &tasks, request.jobs)?;
    let good = matrix::print(&rows);
    if request.write_docs {
        let file = workspace.join("docs/kernels.md");
        fs::write(&file, docs::page(&rows))?;
        eprintln!("Wrote {}", file.display());
    }
    match good {
        true => Ok(ExitCode::SUCCESS),
        false => Ok(ExitCode::FAILURE),
    }
}

/// What every change is tested with: the kernels of Debian's last two releases, as they are.
///
/// # Errors
/// When a guest cannot be made, or its tests fail.
pub(crate) fn ci(workspace: &Path) -> Result<()> {
    let guest = Guest::build(workspace, Profile::Release)?;
    let tasks: Vec<Task> = KERNELS
        .iter()
        .filter(|kernel| ["6.1", "6.12"].contains(&kernel.series))
        .map(|kernel| Task {
            kernel,
            lane: lanes::DEFAULT,
            quick: false,
        })
        .collect();
    let rows = matrix::run(&guest, &tasks, JOBS)?;
    ensure!(matrix::print(&rows), "tests fail on other kernels");
    Ok(())
}

/// Boots at a time: each takes a processor.
const JOBS: usize = 2;

impl Request {
    fn parse(args: &[String]) -> Result<Self> {
        let mut request = Self {
            kernels: Vec::new(),
            lanes: Vec::new(),
            command: None,
            parameters: String::new(),
            profile: Profile::Release,
            limit: Duration::from_secs(600),
            jobs: JOBS,
            list: false,
            write_docs: false,
            quick: false,
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || {
                let value = args.next();
                value.ok_or_else(|| usage(format!("{arg} needs a value")))
            };
            let number = |text: &String| {
                let number = text.parse::<u16>().ok().filter(|number| *number > 0);
                number.ok_or_else(|| usage(format!("{arg} needs a number, and `{text}` is none")))
            };
            match arg.as_str() {
                "--kernel" => request.kernels.push(find(value()?)?),
                "--lane" => request.lanes.push(value()?.clone()),
                "--command" => request.command = Some(value()?.clone()),
                "--parameters" => request.parameters.clone_from(value()?),
                "--limit" => request.limit = Duration::from_secs(number(value()?)?.into()),
                "--jobs" => request.jobs = number(value()?)?.into(),
                "--debug" => request.profile = Profile::Debug,
                "--list" => request.list = true,
                "--write-docs" => request.write_docs = true,
                "--quick" => request.quick = true,
                other => return Err(usage(format!("vm does not know `{other}`"))),
            }
        }
        let partial = !request.kernels.is_empty() || !request.lanes.is_empty();
        if request.write_docs && (partial || request.command.is_some()) {
            return Err(usage("--write-docs needs the whole matrix"));
        }
        if request.command.is_none() && !request.parameters.is_empty() {
            return Err(usage(
                "--parameters goes with --command; the matrix has lanes",
            ));
        }
        Ok(request)
    }

    /// The boots that are asked for.
    fn tasks(&self) -> Result<Vec<Task>> {
        let mut tasks = Vec::new();
        for kernel in &KERNELS {
            if !self.kernels.is_empty() && !self.kernels.contains(&kernel) {
                continue;
            }
            for lane in lanes::of(kernel) {
                if self.lanes.is_empty() || self.lanes.iter().any(|name| name == lane.name) {
                    tasks.push(Task {
                        kernel,
                        lane: *lane,
                        quick: self.quick,
                    });
                }
            }
        }
        match tasks.is_empty() {
            true => Err(usage("no such kernel has such a lane")),
            false => Ok(tasks),
        }
    }

    /// One command in one guest; its exit code is ours.
    fn run(&self, guest: &Guest, tasks: &[Task], command: &str) -> Result<ExitCode> {
        let task = match (&self.kernels[..], tasks) {
            ([_], [task, ..]) => task,
            _ => return Err(usage("--command needs one --kernel")),
        };
        let kernel = guest.kernel(task.kernel)?;
        let parameters = format!("{} {}", task.lane.parameters, self.parameters);
        let copy = io::stdout();
        let boot = guest.boot(&kernel, &parameters, command, self.limit, copy)?;
        let took = ui::seconds(boot.took);
        if boot.timed_out {
            bail!(
                "{}\nThe guest was not done in {}; --limit SECONDS gives it more",
                boot.console,
                ui::seconds(self.limit)
            );
        }
        let Some(code) = boot.code else {
            bail!(
                "{}\nThe guest ended after {took} without a word of how the command went",
                boot.console
            );
        };
        eprintln!("Linux {}: exit code {code} after {took}", kernel.release);
        Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
    }
}

fn find(series: &str) -> Result<&'static Kernel> {
    let kernel = KERNELS.iter().find(|kernel| kernel.series == series);
    kernel.ok_or_else(|| {
        let known: Vec<_> = KERNELS.iter().map(|kernel| kernel.series).collect();
        usage(format!(
            "there is no kernel {series}, but {}",
            known.join(", ")
        ))
    })
}

fn list(workspace: &Path) -> Result<()> {
    let cache = cache(workspace);
    for kernel in &KERNELS {
        let here = kernel.here(&cache)?;
        let here = here.map_or("not fetched yet".to_owned(), |here| here.release);
        let lanes: Vec<_> = lanes::of(kernel).iter().map(|lane| lane.name).collect();
        println!("{:<6} {:<32} {}", kernel.series, here, lanes.join(" "));
    }
    Ok(())
}

fn cache(workspace: &Path) -> PathBuf {
    build::target_dir(workspace).join("vm")
}

/// All that guests of any kernel have in common.
struct Guest {
    cache: PathBuf,
    root: PathBuf,
    built: PathBuf,
}

impl Guest {
    /// Sets up, builds, and makes the disks, where something changed.
    fn build(workspace: &Path, profile: Profile) -> Result<Self> {
        setup::ensure(workspace, setup::Needs::VM)?;
        let cache = cache(workspace);
        fs::create_dir_all(&cache)?;
        let daemon = build::daemon(workspace, profile)?;
        let tests = built::tests(workspace)?;
        Ok(Self {
            built: guest::built_disk(
                &cache,
                "built",
                &[("credwatch", &daemon), ("tests", &tests)],
            )?,
            root: guest::root_disk(&cache)?,
            cache,
        })
    }

    fn kernel(&self, kernel: &Kernel) -> Result<Unpacked> {
        obtain(&self.cache, kernel)
    }

    fn boot(
        &self,
        kernel: &Unpacked,
        parameters: &str,
        command: &str,
        limit: Duration,
        copy: impl Write + Send + 'static,
    ) -> Result<Boot> {
        let machine = Machine {
            image: &kernel.image,
            initramfs: &initramfs::of_kernel(kernel)?,
            root: &self.root,
            built: &self.built,
            parameters,
            command,
            hardware: Hardware::SMALL,
            limit,
        };
        boot(&self.cache, &machine, copy)
    }
}

/// Brings a kernel here, with the first files that it needs.
fn obtain(cache: &Path, kernel: &Kernel) -> Result<Unpacked> {
    let unpacked = kernel.obtain(cache)?;
    if let Some(note) = &unpacked.note {
        eprintln!("note: Linux {}: {note}", unpacked.release);
    }
    initramfs::of_kernel(&unpacked)?;
    Ok(unpacked)
}

/// Boots a machine in a directory of its own.
fn boot(cache: &Path, machine: &Machine<'_>, copy: impl Write + Send + 'static) -> Result<Boot> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("boot-{}-{number}", std::process::id());
    let directory = cache.join(name);
    fs::create_dir_all(&directory)?;
    let boot = machine.boot(&directory, copy);
    fs::remove_dir_all(&directory)?;
    boot
}

/// Writes a script that can be run.
fn write_program(file: &Path, content: &str) -> Result<()> {
    fs::write(file, content)?;
    Ok(fs::set_permissions(
        file,
        fs::Permissions::from_mode(0o755),
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Request> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        Request::parse(&args)
    }

    fn tasks(args: &[&str]) -> Vec<String> {
        let tasks = parse(args).unwrap().tasks().unwrap();
        let name = |task: &Task| format!("{} {}", task.kernel.series, task.lane.name);
        tasks.iter().map(name).collect()
    }

    #[test]
    fn without_a_choice_it_is_the_whole_matrix() {
        let all = tasks(&[]);
        assert_eq!(all.len(), 13);
        assert_eq!(all[..2], ["5.4 default", "5.10 default"]);
        let args = ["--lane", "default", "--kernel", "7.3", "--kernel", "5.10"];
        assert_eq!(tasks(&args), ["5.10 default", "7.3 default"]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for args in [
            &["--kernel", "6.0"][..],
            &["--kernel"],
            &["--jobs", "0"],
            &["--limit", "soon"],
            &["--write-docs", "--kernel", "6.1"],
            &["--parameters", "quiet"],
            &["6.1"],
        ] {
            let error = parse(args).err().unwrap();
            assert!(error.is::<crate::Usage>(), "{args:?}: {error}");
        }
        let none = parse(&["--kernel", "5.4", "--lane", "confidentiality"]);
        assert!(none.unwrap().tasks().is_err());
    }
}
