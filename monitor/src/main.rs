//! Credwatch on the command line.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use monitor::cli::{
    self, CheckArgs, CommandError, CommandResult, Commands, DoctorArgs, RecordArgs, ReplayArgs,
    RunArgs, StreamFormat,
};
use monitor::config::DetectionConfig;
use monitor::control::Request;
use monitor::control::protocol::{ChangeView, Doctor};
use monitor::daemon::{self, RunOptions};
use monitor::model::{Alert, DetectionId};
use monitor::registry::{Assessment, Registry};
use monitor::sensor::self_test;
use monitor::storage::Snapshot;
use monitor::{detection, recording, sinks, telemetry};

fn main() -> ExitCode {
    // The sensor's own child: before anything else, so that it does nothing but its acts.
    let mut arguments = std::env::args_os().skip(1);
    if arguments
        .next()
        .is_some_and(|first| first == self_test::SUBCOMMAND)
        && let Some(directory) = arguments.next()
    {
        return match self_test::act(Path::new(&directory)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    telemetry::init();
    cli::main(&Program)
}

/// Joins the command line with the parts of the program that do what it asks for.
struct Program;

impl Commands for Program {
    fn run(&self, args: &RunArgs) -> CommandResult {
        daemon::run(&RunOptions {
            config: args.config.clone(),
            state_dir: args.state_dir.clone(),
            output: args.output,
        })
    }

    fn check(&self, args: &CheckArgs) -> CommandResult {
        cli::print(&daemon::check(args.config.as_deref())?)
    }

    fn doctor(&self, args: &DoctorArgs) -> Result<Doctor, CommandError> {
        let mut config = daemon::load_config(args.config.as_deref())?;
        config.sensor.backend = args.try_first.or(config.sensor.backend);
        daemon::doctor(&config)
    }

    fn record(&self, args: &RecordArgs) -> CommandResult {
        daemon::record(args)
    }

    fn replay(&self, args: &ReplayArgs) -> CommandResult {
        let file = File::open(&args.file)
            .with_context(|| format!("cannot open {}", args.file.display()))?;
        let settings = match &args.config {
            Some(file) => daemon::load_config(Some(file))?.detection,
            None => DetectionConfig::default(),
        };
        let mut printed = Ok(());
        let replayed = recording::replay(BufReader::new(file), settings, |alert| {
            if printed.is_ok() {
                printed = print_alert(&alert, args.output);
            }
        });
        printed?;
        let replayed = replayed.with_context(|| args.file.display().to_string())?;
        eprintln!("{} facts, {} alerts", replayed.facts, replayed.alerts);
        Ok(())
    }

    fn explain(&self, id: DetectionId) -> Result<String, CommandError> {
        Ok(detection::catalog::explain(id))
    }

    fn registry(&self, of: &Snapshot) -> Registry {
        daemon::registry(of)
    }

    fn assess_offline(
        &self,
        state_dir: &Path,
        of: &Snapshot,
        target: Option<&str>,
    ) -> Result<Vec<Assessment>, CommandError> {
        daemon::assess_offline(state_dir, of, target)
    }

    fn change_offline(
        &self,
        state_dir: &Path,
        request: &Request,
        by: &str,
    ) -> Result<Vec<ChangeView>, CommandError> {
        daemon::change_offline(state_dir, request, by)
    }
}

/// One alert on stdout. Times are shown in UTC and with their date, so that a replay prints the
/// same anywhere and any day.
fn print_alert(alert: &Alert, format: StreamFormat) -> CommandResult {
    let text = match format {
        StreamFormat::Json => {
            let line = sinks::json_line(alert).context("cannot write an alert")?;
            String::from_utf8_lossy(&line).into_owned()
        }
        StreamFormat::Text => sinks::render(alert, &sinks::View::replay()),
    };
    cli::print(&text)
}
