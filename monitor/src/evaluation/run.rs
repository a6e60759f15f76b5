//! An evaluation from its files to its figures.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::exchange::{Export, Scores};
use super::judge::{Judged, Span, judge};
use super::report::{HostLabels, HostLine, Report, RuleLine, measure};
use super::score::{Scored, score};
use super::source::{Source, SourceError};
use super::split::Split;
use super::told::Series;
use crate::config::DetectionConfig;

/// What is to be evaluated, and how.
#[derive(Debug)]
pub struct Evaluation {
    /// Files, each of one host.
    pub sources: Vec<Source>,
    /// Where the labels of the only source lie, if not where they belong.
    pub labels: Option<PathBuf>,
    /// Budgets, and the settings of a pipeline at each.
    pub budgets: Vec<(f64, DetectionConfig)>,
    /// Where the warm-up ends.
    pub split: Option<Split>,
    /// Alerts of other programs.
    pub scores: Scores,
}

/// Why it cannot be.
#[derive(Debug, thiserror::Error)]
pub enum EvaluationError {
    /// One of the files.
    #[error("{}: {error}", path.display())]
    Source {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        error: SourceError,
    },
    /// A file to be written.
    #[error("cannot write {}: {error}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        error: io::Error,
    },
    /// An alert about a host that there is not.
    #[error("an alert of `{detector}` is about the host `{host}`, which is not evaluated here")]
    Host {
        /// Whose.
        detector: String,
        /// About whom.
        host: String,
    },
}

impl Evaluation {
    /// Runs it, several hosts at once. `progress` is told a host and how many facts it has taken in.
    ///
    /// # Errors
    /// At the first file that is damaged, or whose labels are.
    pub fn run(&self, progress: impl Fn(&str, u64) + Sync) -> Result<Report, EvaluationError> {
        self.check_hosts()?;
        let hosts = self.each(|source| {
            let scored = score(
                source,
                &self.budgets,
                |_| {},
                |facts| progress(&source.name, facts),
            )?;
            progress(&source.name, scored.facts);
            self.judge(source, scored)
        })?;
        Ok(self.report(hosts))
    }

    /// Writes what every detector is given to a file instead, and judges nothing.
    ///
    /// # Errors
    /// At the first file that is damaged, and those of the file that is written.
    pub fn export(
        &self,
        to: &PathBuf,
        progress: impl Fn(&str, u64) + Sync,
    ) -> Result<(), EvaluationError> {
        let write = |error| EvaluationError::Write {
            path: to.clone(),
            error,
        };
        let mut file = BufWriter::new(File::create(to).map_err(write)?);
        for source in &self.sources {
            let mut export = Export::new(&mut file, &source.name);
            let mut failed = None;
            let scored = score(
                source,
                &[],
                |event| {
                    if failed.is_none() {
                        failed = export.write(event).err();
                    }
                },
                |facts| progress(&source.name, facts),
            );
            let scored = scored.map_err(|error| EvaluationError::Source {
                path: source.path.clone(),
                error,
            })?;
            failed.map_or(Ok(()), Err).map_err(write)?;
            let span = Split::span(self.split, scored.begin, scored.end);
            export.finish(scored.begin, span).map_err(write)?;
            progress(&source.name, scored.facts);
        }
        file.flush().map_err(write)
    }

    /// What is about a host that there is not would be missing in every figure.
    fn check_hosts(&self) -> Result<(), EvaluationError> {
        let is_known = |host: &str| self.sources.iter().any(|of| of.name == host);
        let mut alerts = self.scores.alerts.iter();
        match alerts.find(|of| !is_known(&of.host)) {
            None => Ok(()),
            Some(of) => Err(EvaluationError::Host {
                detector: of.detector.clone(),
                host: of.host.clone(),
            }),
        }
    }

    /// The same for every source, at once where there are processors, in their order.
    fn each<T: Send>(
        &self,
        of: impl Fn(&Source) -> Result<T, SourceError> + Sync,
    ) -> Result<Vec<T>, EvaluationError> {
        let next = AtomicUsize::new(0);
        let done = Mutex::new(BTreeMap::new());
        let workers = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            for _ in 0..workers.min(self.sources.len()) {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(source) = self.sources.get(index) else {
                            return;
                        };
                        let result = of(source).map_err(|error| EvaluationError::Source {
                            path: source.path.clone(),
                            error,
                        });
                        if result.is_err() {
                            // Nothing more is begun.
                            next.store(usize::MAX / 2, Ordering::Relaxed);
                        }
                        let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                        done.insert(index, result);
                    }
                });
            }
        });
        let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.into_values().collect()
    }

    /// Only here are labels read: all scoring of the host is done.
    fn judge(&self, source: &Source, mut scored: Scored) -> Result<Host, SourceError> {
        let labels = source.labels(self.labels.as_deref())?;
        let span = Split::span(self.split, scored.begin, scored.end);
        for run in &self.scores.runs {
            scored.series.push(Series {
                detector: run.0.clone(),
                budget: run.1,
                told: self.scores.told(run, &source.name),
            });
        }
        let judged = scored.series.iter().map(|series| {
            let judged = judge(&series.told, &labels, &scored, span);
            (series.detector.clone(), series.budget, judged)
        });
        let judged = judged.collect();
        let rules = scored.rules.iter().filter(|(time, _)| *time >= span.from);
        let mut by_rule = BTreeMap::new();
        for (_, id) in rules {
            *by_rule.entry(*id).or_default() += 1;
        }
        let line = line(&scored, &labels, span);
        Ok(Host {
            line,
            labels: HostLabels {
                name: source.name.clone(),
                labels,
                days: span.days(),
                from: span.from,
            },
            judged,
            rules: by_rule,
            untold: scored.untold,
        })
    }

    fn report(&self, hosts: Vec<Host>) -> Report {
        let mut report = Report {
            version: env!("CARGO_PKG_VERSION"),
            split: self.split.map(|of| of.to_string()),
            hosts: Vec::new(),
            host_days: hosts.iter().map(|of| of.line.days).sum(),
            untold: hosts.iter().map(|of| of.untold).sum(),
            rules: Vec::new(),
            detectors: Vec::new(),
        };
        let mut rules = BTreeMap::new();
        let (mut labels, mut judged) = (Vec::new(), Vec::new());
        for host in hosts {
            report.hosts.push(host.line);
            for (id, alerts) in host.rules {
                *rules.entry(id).or_default() += alerts;
            }
            labels.push(host.labels);
            judged.push(host.judged.into_iter());
        }
        let rules = rules.into_iter();
        report.rules = rules.map(|(id, alerts)| RuleLine { id, alerts }).collect();
        // Each host has the same detectors in the same order.
        loop {
            let of_all: Vec<_> = judged.iter_mut().filter_map(Iterator::next).collect();
            let Some((detector, budget, _)) = of_all.first().cloned() else {
                break;
            };
            let of_all: Vec<Judged> = of_all.into_iter().map(|(_, _, judged)| judged).collect();
            let measured = measure(&detector, budget, &labels, &of_all);
            report.detectors.push(measured);
        }
        report
    }
}

/// A host that was judged.
struct Host {
    line: HostLine,
    labels: HostLabels,
    judged: Vec<(String, Option<f64>, Judged)>,
    rules: BTreeMap<crate::model::DetectionId, u64>,
    untold: u64,
}

fn line(scored: &Scored, labels: &[super::label::Label], span: Span) -> HostLine {
    let count = |benign: bool| {
        let of = labels
            .iter()
            .filter(|of| of.benign == benign && of.end >= span.from);
        of.count() as u64
    };
    HostLine {
        name: scored.name.clone(),
        facts: scored.facts,
        days: span.days(),
        instances: count(false),
        benign: count(true),
    }
}
