//! `cargo xtask evaluate`: our scored detections and those of others over the same events, by one judge;
//! writes `docs/evaluation.md`.

mod figures;
mod others;
mod page;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    build::{self, Profile},
    process, setup, simulate, ui, usage,
};
use figures::Report;
use others::Others;
use page::Part;

/// False alerts a host and day that are allowed.
const BUDGETS: &str = "0.1,1,5";
/// Where its parts lie, below the target directory.
const FOLDER: &str = "evaluate";

/// What the command line asks for.
struct Options {
    captures: Option<PathBuf>,
    recordings: Option<PathBuf>,
    split: String,
    page: PathBuf,
}

/// Data of one form, and how it is judged.
struct Data {
    part: Part,
    files: Vec<PathBuf>,
    split: Option<String>,
    /// Seconds in which what an identity did is one point, for detectors of points.
    window: &'static str,
    /// Hosts whose whole time sets the thresholds of others.
    development: String,
}

/// The command line's `evaluate`.
pub(crate) fn command(workspace: &Path, args: &[String]) -> Result<ExitCode> {
    let options = options(workspace, args)?;
    setup::ensure(workspace, setup::Needs::BUILD)?;
    let work = build::target_dir(workspace).join(FOLDER);
    fs::create_dir_all(&work)?;
    let credwatch = build::daemon(workspace, Profile::Release)?;
    let others = Others::ready(workspace, &work)?;
    let mut reports = Vec::new();
    for data in data(workspace, &work, &options)? {
        ui::heading(&format!(
            "{}: {} hosts",
            data.part.title(),
            data.files.len()
        ));
        reports.push((data.part, measure(&credwatch, &others, &work, &data)?));
    }
    let page = page::page(&reports)?;
    fs::write(&options.page, page)
        .with_context(|| format!("cannot write {}", options.page.display()))?;
    eprintln!("Wrote {}", options.page.display());
    Ok(ExitCode::SUCCESS)
}

fn options(workspace: &Path, args: &[String]) -> Result<Options> {
    let mut options = Options {
        captures: None,
        recordings: None,
        split: "0.5".to_owned(),
        page: workspace.join("docs/evaluation.md"),
    };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || {
            let value = args.next();
            value.ok_or_else(|| usage(format!("{arg} needs a value")))
        };
        match arg.as_str() {
            "--captures" => options.captures = Some(value()?.into()),
            "--recordings" => options.recordings = Some(value()?.into()),
            "--split" => options.split.clone_from(value()?),
            "--page" => options.page = value()?.into(),
            other => return Err(usage(format!("evaluate does not know `{other}`"))),
        }
    }
    Ok(options)
}

/// What there is to evaluate. Without recordings they are simulated, from the seeds for the final table.
fn data(workspace: &Path, work: &Path, options: &Options) -> Result<Vec<Data>> {
    let mut all = Vec::new();
    if let Some(directory) = &options.captures {
        let files = files(directory, |name| name.contains("conn.log"))?;
        let name = |file: &PathBuf| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            name.split(".conn.log")
                .next()
                .unwrap_or_default()
                .to_owned()
        };
        let benign = files.iter().map(name).filter(|of| of.contains("Honeypot"));
        all.push(Data {
            part: Part::Captures,
            development: benign.collect::<Vec<_>>().join(","),
            files,
            split: None,
            window: "60",
        });
    } else {
        eprintln!("  without --captures DIRECTORY (conn logs of IoT-23) these are left out");
    }
    let recordings = match &options.recordings {
        Some(directory) => directory.clone(),
        None => {
            let directory = work.join("final");
            if !directory.join("done").is_file() {
                let folder = directory.to_string_lossy().into_owned();
                let args = vec![folder, "--set".to_owned(), "final".to_owned()];
                let code = simulate::command(workspace, args)?;
                ensure!(code == ExitCode::SUCCESS, "the simulator failed");
                fs::write(directory.join("done"), "")?;
            }
            directory
        }
    };
    all.push(Data {
        part: Part::Simulated,
        files: files(&recordings, |name| name.ends_with(".rec"))?,
        split: Some(options.split.clone()),
        window: "3600",
        development: String::new(),
    });
    Ok(all)
}

/// The files of a directory by name, in their order.
fn files(directory: &Path, is_one: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let entries =
        fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    for entry in entries {
        let entry = entry?;
        if is_one(&entry.file_name().to_string_lossy()) {
            files.push(entry.path());
        }
    }
    files.sort();
    ensure!(
        !files.is_empty(),
        "there is nothing to evaluate in {}",
        directory.display()
    );
    Ok(files)
}

/// Runs all detectors over it, ours last: it judges.
fn measure(credwatch: &Path, others: &Others, work: &Path, data: &Data) -> Result<Report> {
    let evaluate = || {
        let mut command = Command::new(credwatch);
        command.arg("evaluate").args(&data.files);
        if let Some(split) = &data.split {
            command.args(["--split", split]);
        }
        command
    };
    let events = work.join(format!("{}-events.jsonl", data.part.word()));
    let mut export = evaluate();
    process::run_quietly(
        "Writing the events that all are given",
        export.arg("--export").arg(&events),
    )?;
    let scores = others.run(&events, work, data.window, BUDGETS, &data.development)?;
    let mut judge = evaluate();
    judge.args(["--output", "json", "--budgets", BUDGETS]);
    for file in &scores {
        judge.arg("--scores").arg(file);
    }
    let output = judge
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run {}", process::shown(&judge)))?;
    if !output.status.success() {
        bail!(
            "this failed ({}): {}",
            output.status,
            process::shown(&judge)
        );
    }
    let kept = work.join(format!("{}.json", data.part.word()));
    fs::write(&kept, &output.stdout)?;
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{} is no evaluation", kept.display()))
}
