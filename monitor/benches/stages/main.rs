//! What each stage costs, beside a baseline of the same run: nanoseconds say something about this
//! machine, ratios about the code.
//!
//! `cargo bench --package monitor`, with a name to run only some: `-- detection`.

mod attribution;
mod decode;
mod detection;
mod ordinary;
mod ratio;
mod recognise;
mod step;
mod tasks;

use std::time::{Duration, SystemTime};

use criterion::Criterion;

fn main() {
    let began = SystemTime::now();
    let mut criterion = Criterion::default()
        .output_directory(&ratio::directory())
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .sample_size(30)
        .without_plots()
        .configure_from_args();
    decode::bench(&mut criterion);
    attribution::bench(&mut criterion);
    detection::bench(&mut criterion);
    step::bench(&mut criterion);
    recognise::bench(&mut criterion);
    criterion.final_summary();
    // `cargo test --benches` and `cargo bench -- --test` run everything once and measure nothing.
    if std::env::args().any(|argument| argument == "--bench") {
        ratio::print(began);
    }
}
