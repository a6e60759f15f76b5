//! Credwatch's own commands, a file each: `cargo xtask`.

mod alerts;
mod apt;
mod bench;
mod build;
mod ci;
mod deny;
mod evaluate;
mod kubernetes;
mod process;
mod run;
mod setup;
mod simulate;
mod soak;
mod test;
mod ui;
mod vm;

use std::{env, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};

const HELP: &str = "\
Credwatch's own commands

Usage: cargo xtask COMMAND

Commands
  setup [--test] [--lint] [--yes]  install what building needs; --test and --lint: also what tests and lints need
  build [--debug]                  build the daemon: target/release/credwatch
  run [--] [ARGS…]                 set up, build, and run `credwatch run ARGS` in the foreground as root
  test [FILTER…] [-- ARGS…]        set up, build, and run all tests, the live ones on this kernel as root
  bench [--rss] [--json] [--rounds N]
                                   what the daemon costs: CPU per operation without and with it, its memory
  simulate FOLDER [--set development|final] [--seed N]… [--parameters FILE]
                                   recordings of ordinary hosts over weeks, with attacks and changes that are labelled
  vm [--kernel SERIES]… [--lane NAME]… [--jobs N] [--list] [--quick] [--write-docs]
                                   the live tests on stock kernels in emulated machines; all kernels, all lanes
  vm --kernel SERIES --command SCRIPT [--debug] [--limit SECONDS] [--parameters WORDS]
                                   a shell script in such a machine, with `credwatch` and `tests` at hand
  vm debian [--minutes N] [--learning DURATION] [--kernel SERIES] [--debug]
                                   an hour of ordinary use of a whole Debian with systemd: the alerts, which should be none
  soak [--minutes N]               an hour of real cron jobs, curl, git, rsync and psql on this machine: what baselines
                                   learn of it, their alerts, and acts that they should find
  kubernetes [NAME…] [--debug] [--build-only]
                                   the watch of a cluster's API against a real API server, which is built the first time
  evaluate [--captures DIR] [--recordings DIR] [--split TIME|FRACTION] [--page FILE]
                                   detections and those of others over captures and simulated hosts: docs/evaluation.md
  ci                               everything that must hold before a change lands
  deny                             check licences, sources and advisories of all dependencies

Every command installs what it lacks, and says so first; --yes or no terminal: without asking.
";

/// A command line that cannot be understood: exit code 2.
#[derive(Debug)]
struct Usage(String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; `cargo xtask help` lists the commands", self.0)
    }
}

impl std::error::Error for Usage {}

fn usage(message: impl Into<String>) -> anyhow::Error {
    Usage(message.into()).into()
}

fn main() -> ExitCode {
    match dispatch(env::args().skip(1).collect()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{} {error:#}", ui::error_word());
            match error.is::<Usage>() {
                true => ExitCode::from(2),
                false => ExitCode::FAILURE,
            }
        }
    }
}

fn dispatch(mut args: Vec<String>) -> Result<ExitCode> {
    if args.is_empty() {
        eprint!("{HELP}");
        return Ok(ExitCode::from(2));
    }
    let command = args.remove(0);
    let workspace = workspace()?;
    match command.as_str() {
        "setup" => setup::command(&workspace, &args),
        "build" => build::command(&workspace, &args),
        "run" => run::command(&workspace, args),
        "test" => test::command(&workspace, &args),
        "bench" => bench::command(&workspace, args),
        "ci" => ci::command(&workspace, &args),
        "kubernetes" => kubernetes::command(&workspace, &args),
        "evaluate" => evaluate::command(&workspace, &args),
        "simulate" => simulate::command(&workspace, args),
        "soak" => soak::command(&workspace, &args),
        "vm" => vm::command(&workspace, &args),
        "deny" => deny::command(&workspace, &args),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        other => Err(usage(format!("there is no command `{other}`"))),
    }
}

/// The folder of the workspace that this was compiled in.
fn workspace() -> Result<PathBuf> {
    let package = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let workspace = package.parent().context("xtask lies in no workspace")?;
    anyhow::ensure!(
        workspace.join("Cargo.toml").is_file(),
        "{} is gone; call xtask as `cargo xtask` from the source tree",
        workspace.display()
    );
    Ok(workspace.to_path_buf())
}
