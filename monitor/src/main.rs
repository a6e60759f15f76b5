//! Credwatch on the command line.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use monitor::cli::{
    self, BaselinesLearned, CheckArgs, CommandError, CommandResult, Commands, DoctorArgs,
    EvaluateArgs, RecordArgs, ReplayArgs, ReplayFormat, RunArgs, StreamFormat,
};
use monitor::config::{Config, DetectionConfig, load_registry};
use monitor::control::protocol::{ChangeView, Doctor, WordView};
use monitor::control::{self, Request, Response};
use monitor::daemon::{self, RunOptions};
use monitor::evaluation::{Evaluation, Scores, ScoresError, Source};
use monitor::model::{Alert, DetectionId};
use monitor::recording::{Format, zeek};
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
        let mut file = BufReader::new(file);
        match format(&mut file, args.format()).with_context(|| args.file.display().to_string())? {
            Format::ZeekConn => return replay_zeek(args, file),
            Format::Credwatch if args.registry.is_some() => {
                return Err(CommandError::Usage(
                    "--registry is for conn logs: a recording holds what was declared".to_owned(),
                ));
            }
            Format::Credwatch => {}
        }
        let settings = match &args.config {
            Some(file) => daemon::load_config(Some(file))?.detection,
            None => DetectionConfig::default(),
        };
        let mut printed = Ok(());
        let replayed = recording::replay(file, settings, |alert| {
            if printed.is_ok() {
                printed = print_alert(&alert, args.output);
            }
        });
        printed?;
        let replayed = replayed.with_context(|| args.file.display().to_string())?;
        eprintln!("{} facts, {} alerts", replayed.facts, replayed.alerts);
        Ok(())
    }

    fn evaluate(&self, args: &EvaluateArgs) -> CommandResult {
        evaluate(args)
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

    fn baselines_offline(
        &self,
        state_dir: &Path,
        request: &Request,
    ) -> Result<Response, CommandError> {
        daemon::baselines_offline(state_dir, request)
    }

    fn word_offline(
        &self,
        state_dir: &Path,
        request: &Request,
        by: &str,
    ) -> Result<WordView, CommandError> {
        daemon::word_offline(state_dir, request, by)
    }

    fn learn_baselines(
        &self,
        state_dir: &Path,
        recording: &Path,
    ) -> Result<BaselinesLearned, CommandError> {
        daemon::learn_baselines(state_dir, recording)
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

/// Detections against what is known to have happened.
fn evaluate(args: &EvaluateArgs) -> CommandResult {
    let config = match &args.config {
        Some(file) => daemon::load_config(Some(file))?,
        None => Config::default(),
    };
    if args.labels.is_some() && args.files.len() > 1 {
        let text = "--labels is for one FILE; those of several lie beside them";
        return Err(CommandError::Usage(text.to_owned()));
    }
    let networks = zeek::Networks::new(config.gateway.networks.clone());
    let format = args.format.map(form);
    let mut sources: Vec<Source> = Vec::new();
    for file in &args.files {
        let source = Source::open(file, format, &networks)
            .with_context(|| format!("cannot open {}", file.display()))?;
        if sources.iter().any(|of| of.name == source.name) {
            let text = format!(
                "two files are of a host `{}`: name them otherwise",
                source.name
            );
            return Err(CommandError::Usage(text));
        }
        sources.push(source);
    }
    let mut scores = Scores::default();
    for file in &args.scores {
        let opened = File::open(file).map_err(ScoresError::from);
        let read = opened.and_then(|of| scores.read(BufReader::new(of)));
        read.with_context(|| file.display().to_string())?;
    }
    let budgets = args.budgets.iter().map(|budget| {
        let mut detection = config.detection.clone();
        detection.baseline.budget = *budget;
        (*budget, detection)
    });
    let evaluation = Evaluation {
        sources,
        labels: args.labels.clone(),
        budgets: budgets.collect(),
        split: args.split,
        scores,
    };
    let progress = |host: &str, facts: u64| eprintln!("{host}: {facts} facts");
    if let Some(file) = &args.export {
        evaluation
            .export(file, progress)
            .map_err(anyhow::Error::new)?;
        return Ok(());
    }
    let report = evaluation.run(progress).map_err(anyhow::Error::new)?;
    cli::print_evaluation(&report, args.output)
}

/// The form that was asked for, or the one that the file itself tells.
fn format(file: &mut BufReader<File>, asked: Option<ReplayFormat>) -> std::io::Result<Format> {
    match asked {
        Some(asked) => Ok(form(asked)),
        None => Format::of(file),
    }
}

fn form(of: ReplayFormat) -> Format {
    match of {
        ReplayFormat::Credwatch => Format::Credwatch,
        ReplayFormat::ZeekConn => Format::ZeekConn,
    }
}

/// A conn log of Zeek through the pipeline.
fn replay_zeek(args: &ReplayArgs, file: BufReader<File>) -> CommandResult {
    let config = match &args.config {
        Some(file) => daemon::load_config(Some(file))?,
        None => Config::default(),
    };
    let words = match &args.registry {
        Some(directory) => load_registry(directory)
            .map_err(|error| CommandError::Configuration(error.into()))?
            .into_iter()
            .map(|(_, word)| word)
            .collect(),
        None => Vec::new(),
    };
    let shown = args.file.display().to_string();
    let networks = zeek::Networks::new(config.gateway.networks.clone());
    let log = zeek::plain(file).map_err(zeek::ZeekError::from);
    let log = log.and_then(|from| zeek::read(from, &networks));
    let log = log.with_context(|| shown.clone())?;
    for zeek::Rejected { line, why } in &log.told {
        eprintln!("{shown}:{line}: {why}");
    }
    let (lines, rejected, of_others) = (log.lines(), log.rejected, log.of_others);
    let mut printed = Ok(());
    let (replayed, registry) = zeek::replay(log, words, config.detection, |alert| {
        if printed.is_ok() {
            printed = print_alert(&alert, args.output);
        }
    });
    printed?;
    let identities = control::views::identities(&registry, |_| None);
    let devices: Vec<_> = identities
        .into_iter()
        .filter(|of| of.selector.is_device())
        .collect();
    cli::print_identities(&devices, args.output)?;
    eprintln!("{lines} connections, {} alerts", replayed.alerts);
    if of_others > 0 {
        eprintln!(
            "{of_others} of them have no end that is a device's; `gateway.networks` says where devices are"
        );
    }
    if rejected > 0 {
        let error = anyhow!("{rejected} of {lines} lines of {shown} are no connections");
        return Err(error.into());
    }
    Ok(())
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
