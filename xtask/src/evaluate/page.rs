//! `docs/evaluation.md`: the figures, and what is not good about them.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};

use super::figures::{Host, Measured, Report, Share, number, percent, rates, share, shown, span};

/// Below this share a kind is named as not good.
const GOOD: f64 = 0.95;
const OURS: &str = "credwatch";

const HEAD: &str = "\
# Evaluation

Made by `cargo xtask evaluate`. Do not edit it by hand.

All detectors are given the same events (who connects where, when, with how many bytes), and one judge, `credwatch evaluate`, holds what
they tell against labels that none of them sees. The unit is an instance: an identity, another end, an episode. An alert finds one when it is
about its identity and its other end (or names none), from its beginning until an hour after its end. All else is a false alert; those
of our rules (CW-1xx, CW-2xx) are in neither column. Intervals are exact, at 95 %: Clopper and Pearson for shares, Poisson for rates.

- **credwatch**: CW-301 to CW-307 at each budget, a run of its own, with the defaults otherwise.
- **first-seen**: an alert for each identity, address, port and transport that was never seen before. It knows no budget.
- **aminer**: AMiner 2.6 of Debian, `NewMatchPathValueComboDetector` over host, identity, address, port and transport, always learning. It knows
  no budget.
- **half-space trees** (river) and **rrcf**: a point is what an identity did in a window: connections, other ends, new ones, bytes both ways, hour. The
  threshold of each budget is taken from the development part and then frozen. Their alerts name no other end, and so find
  any instance of the identity: that is in their favour.
";

/// Where events are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Captures,
    Simulated,
}

impl Part {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Captures => "captures",
            Self::Simulated => "simulated",
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Captures => "IoT-23",
            Self::Simulated => "Simulated hosts",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Captures => {
                "Conn logs of Zeek with labels: IoT-23, Stratosphere Laboratory, CTU Prague, CC BY 4.0 \
                 (<https://doi.org/10.5281/zenodo.4743746>). Each device is one host. Infections begin \
                 almost at once, so that this is cold start: all of the time is judged. For the thresholds of the trees the benign \
                 captures are the development part, and they are judged too. A window is a minute."
            }
            Self::Simulated => {
                "`cargo xtask simulate`: ordinary hosts for weeks, with injected attacks and ordinary \
                 changes; what it models and what not stands there. The first part of each host is warm-up, which is \
                 the development part of the trees. A window is an hour."
            }
        }
    }
}

/// The page.
///
/// # Errors
/// Where nothing was evaluated.
pub(super) fn page(reports: &[(Part, Report)]) -> Result<String> {
    let mut page = HEAD.to_owned();
    let (_, first) = reports.first().context("nothing was evaluated")?;
    // Writing to a string does not fail.
    let _ = writeln!(page, "\nCredwatch {}.", first.version);
    page.push_str("\n## What is not good\n\n");
    let mut any = false;
    for (part, report) in reports {
        for line in faults(report) {
            any = true;
            let _ = writeln!(page, "- {}: {line}", part.title());
        }
    }
    if !any {
        page.push_str("No kind of attack is found in less than 95 of 100 instances, and no budget is exceeded.\n");
    }
    for (part, report) in reports {
        section(&mut page, *part, report);
    }
    Ok(page)
}

/// Each kind that is found too seldom and each budget that is exceeded, of our own detections.
fn faults(report: &Report) -> Vec<String> {
    let mut faults = Vec::new();
    for of in report.detectors.iter().filter(|of| of.detector == OURS) {
        let budget = shown(of.budget);
        for kind in &of.kinds {
            let Share {
                found,
                all,
                interval,
            } = kind.share;
            if share(kind.share) < GOOD {
                faults.push(format!(
                    "**{}** is found in {found} of {all} instances at a budget of {budget} ({})",
                    cell(&kind.kind),
                    percent(interval)
                ));
            }
        }
        let rate = &of.false_alerts;
        if of.budget.is_some_and(|budget| rate.per_host_day > budget) {
            faults.push(format!(
                "the budget of {budget} is exceeded: {} false alerts by host and day ({})",
                number(rate.per_host_day),
                rates(rate.interval)
            ));
        }
    }
    if report.untold > 0 {
        faults.push(format!(
            "{} items did not fit into memory and are in no figure",
            report.untold
        ));
    }
    faults
}

fn section(page: &mut String, part: Part, report: &Report) {
    let sum = |of: fn(&Host) -> u64| -> u64 { report.hosts.iter().map(of).sum() };
    let _ = write!(
        page,
        "\n## {}\n\n{}\n\n{} hosts, {} host-days judged{}, {} facts, {} instances, {} ordinary changes. ",
        part.title(),
        part.words(),
        report.hosts.len(),
        number(report.host_days),
        report
            .split
            .as_ref()
            .map_or(String::new(), |of| format!(" (after {of} of each)")),
        sum(|of| of.facts),
        sum(|of| of.instances),
        sum(|of| of.benign)
    );
    let rules = report
        .rules
        .iter()
        .map(|of| format!("{} {}", of.id, of.alerts));
    let rules: Vec<_> = rules.collect();
    let _ = writeln!(
        page,
        "Alerts of rules: {}.",
        if rules.is_empty() {
            "none".to_owned()
        } else {
            rules.join(", ")
        }
    );
    page.push_str(
        "\n| detector | budget | found | 95 % | hosts | false by host-day | 95 % | median | p90 | bytes before, median |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for of in &report.detectors {
        let time = of.seconds_to_detect;
        let _ = writeln!(
            page,
            "| {} | {} | {}/{} | {} | {}/{} | {} | {} | {} | {} | {} |",
            of.detector,
            shown(of.budget),
            of.instances.found,
            of.instances.all,
            percent(of.instances.interval),
            of.hosts.found,
            of.hosts.all,
            number(of.false_alerts.per_host_day),
            rates(of.false_alerts.interval),
            time.map_or("–".to_owned(), |of| span(of.median)),
            time.map_or("–".to_owned(), |of| span(of.p90)),
            of.bytes_before_alert
                .map_or("–".to_owned(), |of| format!("{:.0}", of.median)),
        );
    }
    kinds(page, report);
    changes(page, report);
}

/// A row for each kind, a column for each detector.
fn kinds(page: &mut String, report: &Report) {
    let Some(first) = report.detectors.first().filter(|of| !of.kinds.is_empty()) else {
        return;
    };
    heads(page, "found, by kind", report);
    for (place, kind) in first.kinds.iter().enumerate() {
        let _ = write!(page, "| {} |", cell(&kind.kind));
        for of in &report.detectors {
            let cell = of.kinds.get(place).map_or("–".to_owned(), |of| {
                let Share {
                    found,
                    all,
                    interval,
                } = of.share;
                format!("{found}/{all} ({})", percent(interval))
            });
            let _ = write!(page, " {cell} |");
        }
        page.push('\n');
    }
}

/// The same for false alerts about ordinary changes.
fn changes(page: &mut String, report: &Report) {
    let all = report
        .detectors
        .iter()
        .flat_map(|of| &of.false_alerts.by_change);
    let mut names: Vec<_> = all.map(|of| of.change.as_deref()).collect();
    names.sort_unstable();
    names.dedup();
    if names.iter().all(Option::is_none) {
        return;
    }
    heads(page, "false alerts, by ordinary change", report);
    for name in names {
        let line = |of: &Measured| {
            let mut lines = of.false_alerts.by_change.iter();
            let found = lines.find(|of| of.change.as_deref() == name);
            found.map_or((0, 0), |of| (of.alerts, of.changes))
        };
        let there = report
            .detectors
            .iter()
            .map(|of| line(of).1)
            .max()
            .unwrap_or(0);
        let shown = name.map_or("none".to_owned(), |name| {
            format!("{} ({there})", cell(name))
        });
        let _ = write!(page, "| {shown} |");
        for of in &report.detectors {
            let _ = write!(page, " {} |", line(of).0);
        }
        page.push('\n');
    }
    page.push_str("| **all** |");
    for of in &report.detectors {
        let _ = write!(page, " {} |", of.false_alerts.alerts);
    }
    page.push('\n');
}

fn heads(page: &mut String, first: &str, report: &Report) {
    let _ = write!(page, "\n| {first} |");
    for of in &report.detectors {
        let budget = of
            .budget
            .map_or(String::new(), |budget| format!(" {budget}"));
        let _ = write!(page, " {}{budget} |", of.detector);
    }
    let columns = "---|".repeat(report.detectors.len() + 1);
    let _ = writeln!(page, "\n|{columns}");
}

/// On one line, and no end of a table's cell.
fn cell(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detector(name: &str, budget: &str, found: u64, rate: f64) -> String {
        format!(
            r#"{{"detector":"{name}","budget":{budget},"instances":{{"found":{found},"all":10,"interval":{{"low":0.1,"high":0.9}}}},
            "kinds":[{{"kind":"slow|leak","found":{found},"all":10,"interval":{{"low":0.1,"high":0.9}}}}],
            "hosts":{{"found":1,"all":1,"interval":{{"low":0.0,"high":1.0}}}},
            "false_alerts":{{"alerts":3,"per_host_day":{rate},"interval":{{"low":0.1,"high":9.0}},
            "by_change":[{{"change":null,"alerts":2,"changes":0}},{{"change":"deploy","alerts":1,"changes":4}}]}},
            "seconds_to_detect":{{"median":12.0,"p90":7200.0}},"bytes_before_alert":null}}"#
        )
    }

    fn report(detectors: &[String]) -> Report {
        let text = format!(
            r#"{{"version":"1","split":"0.5","hosts":[{{"facts":5,"instances":10,"benign":4}}],"host_days":2.0,"untold":0,"rules":[],"detectors":[{}]}}"#,
            detectors.join(",")
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn what_is_not_good_is_said_of_ours_and_first() {
        let bad = [
            detector("credwatch", "1.0", 9, 1.5),
            detector("first-seen", "null", 2, 40.0),
        ];
        let page = page(&[(Part::Simulated, report(&bad))]).unwrap();
        for line in [
            "- Simulated hosts: **slow\\|leak** is found in 9 of 10 instances at a budget of 1 (10–90 %)",
            "- Simulated hosts: the budget of 1 is exceeded: 1.50 false alerts by host and day (0.10–9.00)",
            "| credwatch | 1 | 9/10 | 10–90 % | 1/1 | 1.50 | 0.10–9.00 | 12.0 s | 2.0 h | – |",
            "| slow\\|leak | 9/10 (10–90 %) | 2/10 (10–90 %) |",
            "| deploy (4) | 1 | 1 |",
        ] {
            assert!(page.lines().any(|of| of == line), "{line}\n{page}");
        }
        assert!(!page.contains("of 10 instances at a budget of –"), "{page}");
        let good = [detector("credwatch", "1.0", 10, 0.5)];
        let page = super::page(&[(Part::Captures, report(&good))]).unwrap();
        assert!(page.contains("No kind of attack"), "{page}");
    }
}
