//! CPU time, of this process and of another, in nanoseconds.

use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::{
    sys::{
        resource::{UsageWho, getrusage},
        time::TimeValLike as _,
    },
    time::{ClockId, clock_getcpuclockid, clock_gettime},
    unistd::Pid,
};

/// The CPU time of this process so far, and of the children it has waited for.
pub(crate) fn own() -> Result<u64> {
    let own = read(ClockId::CLOCK_PROCESS_CPUTIME_ID)?;
    let children = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let children = children.user_time() + children.system_time();
    Ok(own + u64::try_from(children.num_nanoseconds())?)
}

/// The CPU time of another process so far, of all its threads, ended ones too.
pub(crate) fn of(process: Pid) -> Result<u64> {
    let clock = clock_getcpuclockid(process)
        .with_context(|| format!("process {process} has no CPU clock any more"))?;
    read(clock)
}

fn read(clock: ClockId) -> Result<u64> {
    let time = Duration::from(clock_gettime(clock)?);
    Ok(u64::try_from(time.as_nanos())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_and_waited_children_count() {
        let before = own().unwrap();
        let mut sum = 0u64;
        while own().unwrap() < before + 2_000_000 {
            sum = std::hint::black_box(sum + 1);
        }
        let worked = own().unwrap();
        let spin = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done";
        std::process::Command::new("sh")
            .args(["-c", spin])
            .status()
            .unwrap();
        let with_child = own().unwrap();
        assert!(with_child > worked + 1_000_000, "{worked} {with_child}");
        let seen_from_outside = of(Pid::this()).unwrap();
        assert!(
            seen_from_outside >= worked - before,
            "the same clock by another name"
        );
    }
}
