//! What one fact costs from its attribution to its outcome, by its kind, on an ordinary host.

use std::hint::black_box;

use criterion::{BatchSize, Bencher, Criterion};
use monitor::config::DetectionConfig;
use monitor::detection::Detector;

use super::ordinary::{self, ACTS, Act};
use super::ratio::pair;

const FACTS: u32 = 10_000;

pub(super) fn bench(criterion: &mut Criterion) {
    let before = ordinary::before();
    let knowing = || {
        let mut detector = Detector::new(DetectionConfig::default());
        for record in &before {
            detector.step(record);
        }
        detector
    };
    let mut group = criterion.benchmark_group("step");
    group.sample_size(20);
    let all = ACTS.iter().copied();
    for (name, act) in all.chain([("mixed", ordinary::mixed as Act)]) {
        let stream = ordinary::stream(act, FACTS);
        let subject = |bencher: &mut Bencher<'_>| {
            bencher.iter_batched(
                knowing,
                |mut detector| {
                    for record in &stream {
                        black_box(detector.step(record));
                    }
                    detector
                },
                BatchSize::PerIteration,
            );
        };
        let baseline = |bencher: &mut Bencher<'_>| {
            bencher.iter(|| {
                let copies = stream.iter().map(|record| black_box(record).clone());
                copies.collect::<Vec<_>>()
            });
        };
        let facts = u64::from(FACTS);
        pair(
            &mut group,
            "step",
            name,
            facts,
            subject,
            ("clone", baseline),
        );
    }
    group.finish();
}
