//! `cargo xtask simulate`: recordings of ordinary hosts over weeks, with labels beside them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use comfy_table::{CellAlignment, Table, presets};
use simulate::{Host, Label, Parameters, Simulated, label};

/// Writes recordings of ordinary hosts over weeks, with attacks and benign changes, and their labels.
///
/// Each host gives NAME.rec, which `credwatch replay` reads, and NAME.labels.jsonl, an instance a line.
/// The same parameters and seed give the same bytes.
///
/// With the shipped parameters a host of 28 days takes two seconds and 100 MB: 1.8 GB for the 18 hosts
/// of the set development, 3.6 GB for the 36 of final. 40,000 records a day are not exceeded.
#[derive(Debug, Parser)]
#[command(name = "simulate", bin_name = "cargo xtask simulate")]
struct Arguments {
    /// The folder for the files; it is made where there is none.
    #[arg(value_name = "FOLDER", required_unless_present = "print_parameters")]
    to: Option<PathBuf>,
    /// The seeds of this list of the parameters: development or final.
    #[arg(long, value_name = "NAME", default_value = "development")]
    set: String,
    /// This seed instead of a list; can be repeated.
    #[arg(long, value_name = "N", conflicts_with = "set")]
    seed: Vec<u64>,
    /// Other parameters than those that are shipped (xtask/simulate/parameters.toml).
    #[arg(long, value_name = "FILE")]
    parameters: Option<PathBuf>,
    /// Another number of days than the parameters say.
    #[arg(long, value_name = "N")]
    days: Option<u32>,
    /// Another number of days before attacks begin.
    #[arg(long, value_name = "N")]
    warm_up_days: Option<u32>,
    /// Another number of hosts of each seed.
    #[arg(long, value_name = "N")]
    hosts: Option<u32>,
    /// Write over files that are there.
    #[arg(long)]
    force: bool,
    /// Print the shipped parameters, to begin one's own with.
    #[arg(long)]
    print_parameters: bool,
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
    if arguments.print_parameters {
        let written = std::io::stdout().write_all(simulate::parameters::SHIPPED.as_bytes());
        return written.context("cannot write to standard output");
    }
    let to = arguments.to.as_deref().context("no folder is named")?;
    let parameters = parameters(arguments)?;
    let seeds = if arguments.seed.is_empty() {
        let Some(seeds) = parameters.set(&arguments.set) else {
            bail!(
                "there is no set `{}`: take development or final",
                arguments.set
            );
        };
        seeds
    } else {
        &arguments.seed
    };
    ensure!(
        !seeds.is_empty(),
        "the set `{}` has no seeds",
        arguments.set
    );
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    let hosts: Vec<Host> = seeds
        .iter()
        .flat_map(|seed| Host::all(&parameters, *seed))
        .collect();
    for host in &hosts {
        for file in files(to, host) {
            let is_there = file.exists() && !arguments.force;
            ensure!(
                !is_there,
                "{} is there already: --force writes over it",
                file.display()
            );
        }
    }
    let mut summary = Summary::default();
    for (number, host) in hosts.iter().enumerate() {
        let place = format!("{} ({} of {})", host.name(), number + 1, hosts.len());
        let simulated = write(&parameters, host, to, &place)?;
        summary.add(&simulated, parameters.days);
    }
    println!("{}", summary.table());
    Ok(())
}

/// The parameters with what the command line changes in them.
fn parameters(arguments: &Arguments) -> Result<Parameters> {
    let mut parameters = Parameters::load(arguments.parameters.as_deref())?;
    if let Some(days) = arguments.days {
        parameters.days = days;
    }
    if let Some(days) = arguments.warm_up_days {
        parameters.warm_up_days = days;
    }
    if let Some(hosts) = arguments.hosts {
        parameters.hosts = hosts;
    }
    Ok(parameters.checked("the parameters with the command line's")?)
}

fn files(to: &Path, host: &Host) -> [PathBuf; 2] {
    ["rec", "labels.jsonl"].map(|ending| to.join(format!("{}.{ending}", host.name())))
}

/// Writes a host's files under other names first, so that what is there is whole.
fn write(parameters: &Parameters, host: &Host, to: &Path, place: &str) -> Result<Simulated> {
    let [recording, labels] = files(to, host);
    let unfinished = recording.with_extension("rec.unfinished");
    let cannot = || format!("cannot write {}", unfinished.display());
    let file = File::create(&unfinished).with_context(cannot)?;
    let mut progress = Progress::new(place, parameters.days);
    let mut simulated = host
        .simulate(parameters, file, |day| progress.at(day))
        .with_context(cannot)?;
    progress.done(simulated.records);
    let cannot = || format!("cannot write {}", labels.display());
    let file = File::create(&labels).with_context(cannot)?;
    label::write(&mut simulated.labels, BufWriter::new(file)).with_context(cannot)?;
    fs::rename(&unfinished, &recording)
        .with_context(|| format!("cannot write {}", recording.display()))?;
    Ok(simulated)
}

/// How far it is, on stderr: on a terminal in one line, else a line every ten seconds and host.
struct Progress<'a> {
    place: &'a str,
    days: u32,
    begun: Instant,
    told: Instant,
}

impl<'a> Progress<'a> {
    fn new(place: &'a str, days: u32) -> Self {
        let begun = Instant::now();
        Self {
            place,
            days,
            begun,
            told: begun,
        }
    }

    fn at(&mut self, day: u32) {
        let terminal = std::io::stderr().is_terminal();
        let wait = Duration::from_millis(if terminal { 500 } else { 10_000 });
        if self.told.elapsed() >= wait {
            self.told = Instant::now();
            let (start, end) = if terminal {
                ("\r", "\x1b[K")
            } else {
                ("", "\n")
            };
            eprint!(
                "{start}{}: day {} of {}{end}",
                self.place,
                day + 1,
                self.days
            );
        }
    }

    fn done(&self, records: u64) {
        let start = if std::io::stderr().is_terminal() {
            "\r\x1b[K"
        } else {
            ""
        };
        let took = self.begun.elapsed().as_secs_f64();
        eprintln!("{start}{}: {records} records in {took:.1} s", self.place);
    }
}

/// What was written in all.
#[derive(Default)]
struct Summary {
    hosts: u64,
    days: u64,
    records: u64,
    facts: BTreeMap<&'static str, u64>,
    instances: BTreeMap<(bool, String), u64>,
}

impl Summary {
    fn add(&mut self, of: &Simulated, days: u32) {
        self.hosts += 1;
        self.days += u64::from(days);
        self.records += of.records;
        for (name, count) in &of.facts {
            *self.facts.entry(name).or_default() += count;
        }
        for Label { kind, benign, .. } in &of.labels {
            *self.instances.entry((*benign, kind.clone())).or_default() += 1;
        }
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        let mut row = |what: &str, count: u64| {
            table.add_row([what.to_owned(), count.to_string()]);
        };
        row("hosts", self.hosts);
        row("host-days", self.days);
        row("records", self.records);
        for (name, count) in &self.facts {
            row(&format!("  {name}"), *count);
        }
        for (benign, title) in [(false, "attacks"), (true, "benign changes")] {
            let of = || self.instances.iter().filter(|((is, _), _)| *is == benign);
            row(title, of().map(|(_, count)| count).sum());
            for ((_, kind), count) in of() {
                row(&format!("  {kind}"), *count);
            }
        }
        if let Some(column) = table.column_mut(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }
}
