//! Threads of the sensor: others wait for each of them, so none may die alone.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{Builder, JoinHandle};

/// Starts a thread. When it panics, the whole process aborts: every process of the host that opens a
/// marked file would wait for an answer that never comes, and a sensor that is half blind would go
/// on as if it saw. The kernel lets all waiting ones go, systemd starts the daemon again, and the
/// next run tells how this one ended.
///
/// # Errors
/// When the system gives no thread.
pub(super) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.to_owned()).spawn(move || {
        // Nothing is looked at afterwards.
        if catch_unwind(AssertUnwindSafe(run)).is_err() {
            // The panic itself has been printed.
            tracing::error!("a thread of the sensor has panicked: the daemon ends");
            std::process::abort();
        }
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;

    /// Set in the process of its own in which the panic happens.
    const HERE: &str = "CREDWATCH_TEST_PANICS";

    #[test]
    fn a_thread_that_panics_takes_the_process_along() {
        if std::env::var_os(HERE).is_some() {
            let _ = spawn("panics", || panic!("as a test")).unwrap().join();
            return;
        }
        let name = std::thread::current().name().unwrap().to_owned();
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &name])
            .env(HERE, "")
            .output()
            .unwrap();
        assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{output:?}");
        spawn("ends", || {}).unwrap().join().unwrap();
    }
}
