//! Ratios to the baselines, from what criterion has just measured.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use criterion::measurement::WallTime;
use criterion::{Bencher, BenchmarkGroup, Throughput};

thread_local! {
    static PAIRS: RefCell<Vec<Pair>> = const { RefCell::new(Vec::new()) };
}

struct Pair {
    group: &'static str,
    name: String,
    baseline: String,
    /// What one iteration handles.
    elements: u64,
}

/// Where criterion writes: below the target directory of this build.
pub(super) fn directory() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("criterion")
}

/// Measures something and its baseline, and notes that they belong together. Each handles
/// `elements` things in an iteration.
pub(super) fn pair(
    criterion: &mut BenchmarkGroup<'_, WallTime>,
    group: &'static str,
    name: &str,
    elements: u64,
    subject: impl FnMut(&mut Bencher<'_>),
    baseline: (&str, impl FnMut(&mut Bencher<'_>)),
) {
    let baseline_name = format!("{name} ({})", baseline.0);
    criterion.throughput(Throughput::Elements(elements));
    criterion.bench_function(name, subject);
    criterion.bench_function(&baseline_name, baseline.1);
    PAIRS.with_borrow_mut(|pairs| {
        pairs.push(Pair {
            group,
            name: name.to_owned(),
            baseline: baseline_name,
            elements,
        });
    });
}

/// Prints a line for each pair that was measured since `began`: files of earlier runs lie there
/// too.
pub(super) fn print(began: SystemTime) {
    println!(
        "\n{:<34} {:>12} {:>12}  ratio to its baseline",
        "", "ns", "per second"
    );
    PAIRS.with_borrow(|pairs| {
        for pair in pairs {
            let (Some(subject), Some(baseline)) = (
                median(pair.group, &pair.name, began),
                median(pair.group, &pair.baseline, began),
            ) else {
                continue;
            };
            println!(
                "{:<34} {:>12.1} {:>12.0}  {:.2} x {:.1} ns, {}",
                format!("{}/{}", pair.group, pair.name),
                subject / pair.elements as f64,
                pair.elements as f64 * 1e9 / subject,
                subject / baseline,
                baseline / pair.elements as f64,
                pair.baseline
            );
        }
    });
}

/// The median time of an iteration in nanoseconds, from criterion's file of this run.
fn median(group: &str, name: &str, not_before: SystemTime) -> Option<f64> {
    let name = name.replace('/', "_");
    let file = directory()
        .join(group)
        .join(name)
        .join("new/estimates.json");
    let written = std::fs::metadata(&file).and_then(|metadata| metadata.modified());
    if written.ok()? < not_before {
        return None;
    }
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    json["median"]["point_estimate"].as_f64()
}
