//! `cargo xtask setup`: finds out what is missing, says so, and installs it.

mod apt;
mod bpf;
mod needs;

use std::{
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Result, anyhow, bail};
use xtask::toolchain::{self, BpfTarget, NotFound, Toolchain};

pub(crate) use self::needs::Needs;
use crate::{
    process,
    ui::{self, Mark},
    usage,
};

/// The command line's `setup`.
pub(crate) fn command(workspace: &Path, args: &[String]) -> Result<ExitCode> {
    let mut needs = Needs::BUILD;
    let mut ask = true;
    for arg in args {
        match arg.as_str() {
            "--test" => needs = needs | Needs::TEST,
            "--lint" => needs = needs | Needs::LINT,
            "--yes" | "-y" => ask = false,
            other => return Err(usage(format!("setup does not know `{other}`"))),
        }
    }
    let toolchain = install_missing(workspace, needs, ask)?;
    ui::heading("Everything needed is there");
    ui::table(&State::look(needs, Ok(toolchain)).rows());
    Ok(ExitCode::SUCCESS)
}

/// Sees to it that everything needed is there; says nothing when it is.
///
/// # Errors
/// When something is missing and could not be installed, with what to type.
pub(crate) fn ensure(workspace: &Path, needs: Needs) -> Result<Toolchain> {
    install_missing(workspace, needs, true)
}

/// What is there and what is not.
struct State {
    needs: Needs,
    programs: Vec<(needs::Program, Option<String>)>,
    toolchain: Result<Toolchain, NotFound>,
}

impl State {
    fn look(needs: Needs, toolchain: Result<Toolchain, NotFound>) -> Self {
        Self {
            needs,
            programs: needs.programs(),
            toolchain,
        }
    }

    /// The packages of missing programs.
    fn missing_packages(&self) -> Vec<(String, &'static str)> {
        let mut packages: Vec<_> = self
            .programs
            .iter()
            .filter(|(_, found)| found.is_none())
            .map(|(program, _)| (program.package.to_owned(), program.why))
            .collect();
        if self.lacks_clippy()
            && let Ok(toolchain) = &self.toolchain
            && let Some(debian) = bpf::Packages::of(&toolchain.compiler)
        {
            packages.push((debian.clippy.to_owned(), "lints the kernel half"));
        }
        packages
    }

    fn lacks_clippy(&self) -> bool {
        let clippy = self.toolchain.as_ref().map(Toolchain::clippy_driver);
        self.needs.lint && matches!(clippy, Ok(None))
    }

    fn rows(&self) -> Vec<(Mark, Vec<String>)> {
        let mut rows: Vec<_> = self
            .programs
            .iter()
            .map(|(program, found)| match found {
                Some(file) => (Mark::Ok, vec![program.name.to_owned(), file.clone()]),
                None => {
                    let why = program.why.to_owned();
                    (Mark::Missing, vec![program.name.to_owned(), why])
                }
            })
            .collect();
        let name = "BPF toolchain".to_owned();
        match &self.toolchain {
            Ok(toolchain) => rows.push((Mark::Ok, vec![name, toolchain.to_string()])),
            Err(not_found) => {
                let why = "compiles the kernel half".to_owned();
                rows.push((Mark::Missing, vec![name, why]));
                for attempt in &not_found.attempts {
                    let tried = format!("{}: {}", attempt.name, attempt.reason);
                    rows.push((Mark::Failed, vec!["  tried".to_owned(), tried]));
                }
            }
        }
        if self.needs.lint
            && let Ok(toolchain) = &self.toolchain
        {
            let (mark, text) = match toolchain.clippy_driver() {
                Some(driver) => (Mark::Ok, driver.display().to_string()),
                None => (Mark::Missing, "lints the kernel half".to_owned()),
            };
            rows.push((mark, vec!["clippy for BPF".to_owned(), text]));
        }
        rows
    }
}

/// What is to be installed: rows for people, commands for the machine.
#[derive(Default)]
struct Plan {
    rows: Vec<[String; 3]>,
    packages: Vec<String>,
    rustup: bool,
    /// The release of LLVM that a `bpf-linker` is compiled against.
    linker: Option<u32>,
}

impl Plan {
    fn package(&mut self, package: &str, why: &str) {
        if !self.packages.iter().any(|planned| planned == package) {
            self.rows.push([
                package.to_owned(),
                "Debian package".to_owned(),
                why.to_owned(),
            ]);
            self.packages.push(package.to_owned());
        }
    }

    fn for_linker(&mut self, llvm: u32) {
        if bpf::llvm_prefix(llvm).is_none() {
            let package = bpf::llvm_package(llvm);
            self.package(&package, "bpf-linker is built on it");
        }
        if process::which("c++").is_none() {
            self.package("g++", "LLVM's library is C++");
        }
        self.rows.push([
            format!("bpf-linker {}", bpf::LINKER_VERSION),
            "crates.io, compiled here".to_owned(),
            "links the kernel half; about a minute".to_owned(),
        ]);
        self.linker = Some(llvm);
    }

    fn for_toolchain(&mut self, missing: &NotFound) -> Result<()> {
        if let Some(compiler) = &missing.only_linker
            && let Some(llvm) = bpf::llvm_inside(compiler)
        {
            self.for_linker(llvm);
        } else if let Some((debian, llvm)) = bpf::Packages::on_offer() {
            self.package(debian.rustc, "a rustc that compiles for BPF");
            self.package(debian.core, "its core library for BPF");
            if process::which("bpf-linker").is_none() {
                self.for_linker(llvm);
            }
        } else if process::which("rustup").is_some() {
            self.rustup = true;
            self.rows.push([
                "nightly, rust-src".to_owned(),
                "rustup".to_owned(),
                "a rustc that compiles for BPF, its core library from source".to_owned(),
            ]);
        } else {
            bail!(
                "{missing}\nNo package here offers one. Install rustup from https://rustup.rs, then type\n  \
                 {}\n  cargo xtask setup",
                process::shown(&bpf::install_nightly())
            );
        }
        Ok(())
    }

    /// The plan as commands, for people without the right or the wish to let this run them.
    fn by_hand(&self) -> String {
        let mut lines = Vec::new();
        let root = if process::is_root() { "" } else { "sudo " };
        if !self.packages.is_empty() {
            lines.push(format!("{root}apt-get update"));
            let packages = self.packages.join(" ");
            lines.push(format!(
                "{root}apt-get install --no-install-recommends {packages}"
            ));
        }
        if self.rustup {
            lines.push(process::shown(&bpf::install_nightly()));
        }
        if let Some(llvm) = self.linker {
            lines.push(process::shown(&bpf::install_linker(llvm)));
        }
        lines.push("cargo xtask setup".to_owned());
        lines.join("\n  ")
    }
}

fn install_missing(workspace: &Path, needs: Needs, ask: bool) -> Result<Toolchain> {
    let work_dir = toolchain::work_dir(workspace);
    let target = BpfTarget::host();
    let found = toolchain::find_again(&work_dir, &target);
    let state = State::look(needs, found);
    let packages = state.missing_packages();
    if packages.is_empty()
        && let Ok(toolchain) = state.toolchain
    {
        return Ok(toolchain);
    }

    ui::heading("Something needed is missing");
    ui::table(&state.rows());
    let has_apt = apt::present();
    // Before it a new machine knows of no packages at all, and the plan would be wrong. One source
    // out of several that does not answer is common, and the lists of the others do.
    if has_apt && let Err(error) = apt::run("Reading the lists of packages", apt::update()) {
        eprintln!("  going on with the lists there are: {error:#}");
    }
    let mut plan = Plan::default();
    for (package, why) in &packages {
        plan.package(package, why);
    }
    if let Err(missing) = &state.toolchain {
        plan.for_toolchain(missing)?;
    }
    if !has_apt && !plan.packages.is_empty() {
        bail!(
            "this system has no apt-get; install what Debian calls {} by its own means, then type\n  \
             cargo xtask setup",
            plan.packages.join(", ")
        );
    }

    ui::heading("To be installed");
    let widths = [0, 1].map(|column| {
        plan.rows
            .iter()
            .map(|row| row[column].len())
            .max()
            .unwrap_or(0)
    });
    for [what, from, why] in &plan.rows {
        eprintln!("  {what:<0$}  {from:<1$}  {why}", widths[0], widths[1]);
    }
    if ask && !ui::confirm("Install these now?")? {
        bail!(
            "nothing was installed; to do it by hand, type\n  {}",
            plan.by_hand()
        );
    }
    carry_out(&plan)
        .and_then(|()| finish(workspace, needs, &mut plan))
        .map_err(|error| {
            let by_hand = plan.by_hand();
            anyhow!("{error:#}\nSetting up failed. To do it by hand, type\n  {by_hand}")
        })
}

fn carry_out(plan: &Plan) -> Result<()> {
    if !plan.packages.is_empty() {
        let packages = plan.packages.iter().map(String::as_str);
        let step = format!("Installing {}", plan.packages.join(", "));
        apt::run(&step, apt::install(packages))?;
    }
    if plan.rustup {
        process::run_quietly(
            "Installing a nightly Rust by rustup",
            &mut bpf::install_nightly(),
        )?;
    }
    if let Some(llvm) = plan.linker {
        compile_linker(&mut bpf::install_linker(llvm))?;
    }
    Ok(())
}

fn compile_linker(command: &mut Command) -> Result<()> {
    let step = format!("Compiling bpf-linker {}", bpf::LINKER_VERSION);
    process::run_quietly(&step, command)
}

/// Looks again. A compiler that has just come may need a `bpf-linker` of its own LLVM, which could
/// not be known before.
fn finish(workspace: &Path, needs: Needs, plan: &mut Plan) -> Result<Toolchain> {
    let work_dir = toolchain::work_dir(workspace);
    let target = BpfTarget::host();
    let mut found = toolchain::find_again(&work_dir, &target);
    if let Err(missing) = &found
        && plan.linker.is_none()
    {
        let mut second = Plan::default();
        second.for_toolchain(missing)?;
        carry_out(&second)?;
        plan.packages.append(&mut second.packages);
        plan.linker = second.linker;
        found = toolchain::find_again(&work_dir, &target);
    }
    let state = State::look(needs, found);
    let packages = state.missing_packages();
    match packages.is_empty() {
        true => Ok(state.toolchain?),
        // The clippy that belongs to a compiler is known only once the compiler is there.
        false => {
            let names = packages.iter().map(|(name, _)| name.as_str());
            apt::run("Installing what goes with it", apt::install(names))?;
            let state = State::look(needs, toolchain::find_again(&work_dir, &target));
            if let Some((package, why)) = state.missing_packages().first() {
                bail!("{package} was installed and what it should bring ({why}) is still missing");
            }
            Ok(state.toolchain?)
        }
    }
}
