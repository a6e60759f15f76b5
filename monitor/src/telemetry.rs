//! The daemon's own log, on stderr. Data goes to stdout, never here.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Starts logging: warnings and worse, or what `CREDWATCH_LOG` asks for (`info`, `debug`,
/// `monitor::sensor=trace`). The kernel half's log and that of libraries come in through `log`.
pub fn init() {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::WARN.into())
        .with_env_var("CREDWATCH_LOG")
        .from_env_lossy();
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
