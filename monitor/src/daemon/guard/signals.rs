//! Signals, with who sent them. Every signal that would end the daemon without a word and can be
//! taken is taken.

use std::io;

use libc::{
    SIGALRM, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGPWR, SIGQUIT, SIGSTKFLT, SIGTERM, SIGUSR1, SIGUSR2,
    SIGVTALRM, SIGXCPU,
};
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::iterator::{Handle, SignalsInfo};
use signal_hook::low_level::siginfo::{Cause, Origin as Info, Process, Sent};
use signal_hook::low_level::signal_name;
use tokio::sync::mpsc;

use crate::model::{Fact, Origin, Record, Sender, Timestamp};

/// Signals that end the daemon, after it has said so.
const STOP: [i32; 3] = [SIGTERM, SIGINT, SIGQUIT];
/// Signals that mean nothing to the daemon, and would end it where nobody takes them. So would the
/// real-time signals.
const MEANINGLESS: [i32; 9] = [
    SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO, SIGPWR, SIGSTKFLT, SIGXCPU,
];
/// The real-time signals that the C library leaves to programs.
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::daemon) enum Wish {
    /// To end.
    Stop,
    /// To take in the configuration and the registry's files anew.
    Reload,
}

/// A signal that was taken.
#[derive(Debug)]
pub(in crate::daemon) struct Received {
    /// What it asks for.
    pub(in crate::daemon) wish: Wish,
    /// When it came.
    pub(in crate::daemon) time: Timestamp,
    signal: String,
    from: Origin,
}

impl Received {
    /// That the daemon stops by this signal, at the time when it came.
    pub(in crate::daemon) fn stopping(self) -> Record {
        let Self {
            time, signal, from, ..
        } = self;
        Record {
            time,
            fact: Fact::Stopping { signal, from },
        }
    }
}

/// Takes the signals. Once dropped, they are still taken and not obeyed: the end is under way.
pub(in crate::daemon) struct Signals {
    received: mpsc::Receiver<Received>,
    handle: Handle,
}

impl Signals {
    /// Takes the signals from now on.
    ///
    /// # Errors
    /// When the system refuses a handler or a thread.
    pub(in crate::daemon) fn take() -> io::Result<Self> {
        let taken = STOP.into_iter().chain([SIGHUP]);
        let taken = taken.chain(MEANINGLESS).chain(REAL_TIME);
        let mut signals = SignalsInfo::<WithOrigin>::new(taken)?;
        let handle = signals.handle();
        let (sender, received) = mpsc::channel(16);
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                for info in &mut signals {
                    let received = receive(&info);
                    if let Some(received) = received
                        && sender.blocking_send(received).is_err()
                    {
                        return;
                    }
                }
            })?;
        Ok(Self { received, handle })
    }

    /// The next signal that asks for something.
    pub(in crate::daemon) async fn next(&mut self) -> Received {
        match self.received.recv().await {
            Some(received) => received,
            // Only where the thread has died: there is nothing left to wait for.
            None => std::future::pending().await,
        }
    }

    /// The next signal that ends a run.
    pub(in crate::daemon) async fn end(&mut self) -> Received {
        loop {
            let received = self.next().await;
            if received.wish == Wish::Stop {
                return received;
            }
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.handle.close();
    }
}

/// Names the sender at once: it may be gone in a moment.
fn receive(info: &Info) -> Option<Received> {
    let time = Timestamp::now();
    let from = origin(info);
    let name = signal_name(info.signal).map(str::to_owned);
    let signal = name.unwrap_or_else(|| format!("signal {}", info.signal));
    let wish = match info.signal {
        SIGHUP => Wish::Reload,
        stop if STOP.contains(&stop) => Wish::Stop,
        _ => {
            tracing::warn!(signal, ?from, "a signal that means nothing here was sent");
            return None;
        }
    };
    tracing::info!(signal, ?from, "a signal came");
    Some(Received {
        wish,
        time,
        signal,
        from,
    })
}

/// Whose word a signal is. The kernel writes the sender of kill(2) and tgkill(2), and lets nobody
/// pretend these; what was queued carries what its sender wrote.
fn origin(info: &Info) -> Origin {
    match (info.cause, info.process) {
        (Cause::Kernel, _) => Origin::Kernel,
        (Cause::Sent(Sent::User | Sent::TKill), Some(process)) => Origin::Process(sender(&process)),
        (_, Some(process)) => Origin::Claimed(sender(&process)),
        (_, None) => Origin::Unknown,
    }
}

fn sender(process: &Process) -> Sender {
    let pid = process.pid.unsigned_abs();
    Sender {
        pid,
        uid: process.uid,
        program: program(pid),
    }
}

/// The executable's path. Of a process that has more capabilities than the daemon, the kernel tells
/// only the name.
fn program(pid: u32) -> Option<String> {
    let exe = std::fs::read_link(format!("/proc/{pid}/exe"));
    let exe = exe.map(|path| path.to_string_lossy().into_owned());
    exe.or_else(|_| std::fs::read_to_string(format!("/proc/{pid}/comm")))
        .map(|text| text.trim_end().to_owned())
        .ok()
}
