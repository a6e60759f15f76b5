//! The daemon about itself: its log, on stderr, and how late it takes events in.

use hdrhistogram::Histogram;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Starts logging: warnings and worse, or what `CREDWATCH_LOG` asks for (`info`, `debug`,
/// `monitor::sensor=trace`). The kernel half's log and that of libraries come in through `log`.
pub fn init() {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::WARN.into())
        .with_env_var("CREDWATCH_LOG")
        .from_env_lossy();
    let filter = quieted(filter);
    let colour = std::io::IsTerminal::is_terminal(&std::io::stderr())
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .with_target(false)
        .finish();
    // Both fail only when a logger is there already, as in a test.
    let _ = tracing::subscriber::set_global_default(subscriber);
    let _ = tracing_log::LogTracer::init();
}

/// Libraries that log what the other end of a connection has sent, as it was sent.
const REPEATERS: &[&str] = &["kube_client=off", "kube_runtime=off", "tower_http=off"];

fn quieted(filter: EnvFilter) -> EnvFilter {
    let off = REPEATERS.iter().filter_map(|text| text.parse().ok());
    off.fold(filter, EnvFilter::add_directive)
}

/// How long events waited between the kernel and the pipeline, in microseconds.
#[derive(Debug)]
pub struct Delays(Histogram<u64>);

/// The longest wait that is told apart from longer ones: a minute.
const LONGEST: u64 = 60_000_000;

impl Delays {
    /// Two significant digits from a microsecond to a minute, in some 25 KiB.
    ///
    /// # Errors
    /// None with these constants; the library cannot know.
    pub fn new() -> Result<Self, hdrhistogram::CreationError> {
        Histogram::new_with_bounds(1, LONGEST, 2).map(Self)
    }

    /// Notes one wait.
    pub fn note(&mut self, wait: std::time::Duration) {
        let micros = u64::try_from(wait.as_micros()).unwrap_or(LONGEST);
        self.0.saturating_record(micros.clamp(1, LONGEST));
    }

    /// The wait that this part of events did not exceed, in microseconds; 0 before the first.
    pub fn quantile(&self, part: f64) -> u64 {
        if self.0.is_empty() {
            0
        } else {
            self.0.value_at_quantile(part)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn tells_the_usual_wait_from_the_longest() {
        let mut delays = Delays::new().unwrap();
        assert_eq!(delays.quantile(0.5), 0);
        for millis in [1, 1, 1, 1, 200] {
            delays.note(Duration::from_millis(millis));
        }
        let within = |found: u64, micros: u64| found.abs_diff(micros) * 50 <= micros;
        assert!(within(delays.quantile(0.5), 1_000));
        assert!(within(delays.quantile(1.0), 200_000));
        delays.note(Duration::MAX);
        assert!(within(delays.quantile(1.0), LONGEST));
    }
}
