//! `cargo xtask vm`: the daemon and its live tests on stock kernels, in emulated machines.

mod guest;
mod initramfs;
mod kernels;
mod packages;
mod qemu;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use self::{
    kernels::{KERNELS, Kernel},
    qemu::{Boot, Machine},
};
use crate::{
    build::{self, Profile},
    process, setup, ui, usage,
};

/// The command line's `vm`.
pub(crate) fn command(workspace: &Path, args: &[String]) -> Result<ExitCode> {
    let mut kernel = None;
    let mut command = None;
    let mut profile = Profile::Release;
    let mut parameters = String::new();
    let mut limit = 600;
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || {
            args.next()
                .ok_or_else(|| usage(format!("{arg} needs a value")))
        };
        match arg.as_str() {
            "--kernel" => kernel = Some(find(value()?)?),
            "--command" => command = Some(value()?.clone()),
            "--parameters" => parameters = value()?.clone(),
            "--limit" => {
                limit = value()?
                    .parse()
                    .map_err(|_| usage("--limit takes seconds"))?
            }
            "--debug" => profile = Profile::Debug,
            other => return Err(usage(format!("vm does not know `{other}`"))),
        }
    }
    let (Some(kernel), Some(command)) = (kernel, command) else {
        return Err(usage("vm needs --kernel and --command"));
    };
    setup::ensure(workspace, setup::Needs::VM)?;
    let cache = build::target_dir(workspace).join("vm");
    fs::create_dir_all(&cache)?;
    let daemon = build::daemon(workspace, profile)?;
    let tests = build_tests(workspace)?;
    let built = guest::built_disk(&cache, &[("credwatch", &daemon), ("tests", &tests)])?;
    let root = guest::root_disk(&cache)?;
    let kernel = kernel.obtain(&cache)?;
    let boot = Machine {
        image: &kernel.image,
        initramfs: &initramfs::of_kernel(&kernel)?,
        root: &root,
        built: &built,
        parameters: &parameters,
        cpus: 1,
        command: &command,
        limit: Duration::from_secs(limit),
        show: true,
    };
    let directory = cache.join(format!("boot-{}", std::process::id()));
    fs::create_dir_all(&directory)?;
    let result = boot.boot(&directory);
    fs::remove_dir_all(&directory)?;
    let Boot {
        code,
        console,
        took,
        timed_out,
        ..
    } = result?;
    let took = ui::seconds(took);
    match code {
        _ if timed_out => bail!("{console}\nThe guest was not done in {limit} s"),
        None => {
            bail!("{console}\nThe guest ended after {took} without a word of how the command went")
        }
        Some(code) => {
            eprintln!("Linux {}: exit code {code} after {took}", kernel.release);
            Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
        }
    }
}

fn find(series: &str) -> Result<&'static Kernel> {
    let known = || KERNELS.iter().map(|kernel| kernel.series);
    KERNELS
        .iter()
        .find(|kernel| kernel.series == series)
        .ok_or_else(|| {
            let known: Vec<_> = known().collect();
            usage(format!(
                "there is no kernel {series}, but {}",
                known.join(", ")
            ))
        })
}

/// The program of the tests.
fn build_tests(workspace: &Path) -> Result<PathBuf> {
    ui::heading("Building the tests");
    let mut cargo = build::cargo(workspace, "test");
    cargo
        .args([
            "--package",
            "tests",
            "--no-run",
            "--message-format=json-render-diagnostics",
        ])
        .stderr(std::process::Stdio::inherit());
    let output = cargo.output()?;
    if !output.status.success() {
        bail!(
            "this failed ({}): {}",
            output.status,
            process::shown(&cargo)
        );
    }
    let messages = String::from_utf8(output.stdout)?;
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "tests")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .context("cargo named no program of the tests")
}

/// Writes a script that can be run.
fn write_program(file: &Path, content: &str) -> Result<()> {
    fs::write(file, content)?;
    Ok(fs::set_permissions(
        file,
        fs::Permissions::from_mode(0o755),
    )?)
}
