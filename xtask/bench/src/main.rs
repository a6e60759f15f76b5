//! What the daemon costs the machine it watches: CPU per operation without and with it, its own CPU,
//! and its memory. Started by `cargo xtask bench`.

mod clock;
mod daemon;
mod measure;
mod memory;
mod operation;
mod report;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::Parser;

/// What the daemon costs: CPU time per operation without and with it.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench")]
struct Arguments {
    /// The daemon to measure.
    #[arg(long, value_name = "FILE")]
    daemon: PathBuf,
    /// How many times to measure without the daemon and then with it.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// How long one batch of an operation takes, in milliseconds; five make a round.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    batch_ms: u64,
    /// Measure the daemon's memory instead, with this many credentials to watch.
    #[arg(long, value_name = "CREDENTIALS", num_args = 0..=1, default_missing_value = "1000")]
    rss: Option<u64>,
    /// Where to lay the files that are opened; on a file system that the kernel half sees.
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// Print JSON for programs.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let folder = arguments.dir.clone().unwrap_or_else(std::env::temp_dir);
    let scratch = tempfile::Builder::new()
        .prefix("credwatch-bench-")
        .tempdir_in(&folder)
        .with_context(|| format!("cannot make a folder in {}", folder.display()))?;
    match arguments.rss {
        Some(credentials) => {
            let memory = memory::measure(&arguments.daemon, scratch.path(), credentials)?;
            report::memory(&memory, arguments.json)
        }
        None => {
            let plan = measure::Plan {
                rounds: arguments.rounds,
                batch: std::time::Duration::from_millis(arguments.batch_ms),
            };
            let costs = measure::measure(&arguments.daemon, scratch.path(), plan)?;
            report::costs(&costs, arguments.json)
        }
    }
}
