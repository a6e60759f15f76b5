//! What this host lets Credwatch see, and by what.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::{parts, privileges, startup};
use crate::cli::CommandError;
use crate::config::Config;
use crate::control::protocol::{Doctor, DoctorHook, SystemCallPrice, TriedView};
use crate::sensor::self_test::SelfTest;
use crate::sensor::{self, HookState, Sensor};

/// Watches for a moment, on its own, and says what works. `state_dir` is where its files may be.
///
/// # Errors
/// When nothing at all can be watched.
pub fn doctor(config: &Config) -> Result<Doctor, CommandError> {
    // What a daemon has, or what it lacks would not show here.
    let prefer = config.sensor.backend;
    privileges::keep_what_is_needed(None, config.discovery.environments, prefer);
    let runtime = startup::runtime()?;
    let _context = runtime.enter();
    let directory = scratch()?;
    // What is seen meanwhile is nobody's business.
    let (sensor, batches) = Sensor::start(sensor::Options {
        ring_bytes: config.sensor.ring_bytes,
        wakeup_interval: config.sensor.wakeup_interval,
        permission_events: config.sensor.permission_events,
        backend: prefer,
        system_call_hook: config.sensor.system_call_hook,
        rate_cap: config.sensor.rate_cap,
        dns: config.sensor.dns,
        gateway: parts::gateway(config),
        // Nothing is watched but the test's own file.
        inspect: Arc::new(|_, _| None),
    })
    .map_err(anyhow::Error::from)?;
    let drained = runtime.spawn(async move {
        let mut batches = batches;
        while batches.recv().await.is_some() {}
    });
    let result = SelfTest::new(&sensor, directory.path())
        .and_then(|test| {
            let settled = test.settle(&sensor);
            let settled = settled.map(|_| sensor.hooks());
            test.end(&sensor);
            settled
        })
        .map_err(anyhow::Error::msg)?;
    let mut report = report(result, None);
    if report.hooks.iter().any(|hook| hook.by_choice)
        && let Some(price) = sensor.system_call_price()
    {
        report.system_call_hook = Some(SystemCallPrice {
            without_ns: price.without_ns,
            with_ns: price.with_ns,
        });
    }
    drop(sensor);
    drained.abort();
    Ok(report)
}

/// The report of these hooks, of a daemon with this pid or of nobody.
pub(super) fn report(hooks: Vec<HookState>, daemon: Option<u32>) -> Doctor {
    let mut hooks: Vec<_> = hooks.into_iter().map(hook).collect();
    hooks.sort_by_key(|hook| hook.capability);
    Doctor {
        kernel: startup::kernel(),
        lockdown: chosen("/sys/kernel/security/lockdown"),
        security_modules: read("/sys/kernel/security/lsm"),
        daemon,
        system_call_hook: None,
        hooks,
    }
}

fn hook(state: HookState) -> DoctorHook {
    // What works at start only has shown that by then.
    let fired =
        state.heard > 0 || state.folded > 0 || (state.name == "running_tasks" && state.attached);
    DoctorHook {
        capability: state.capability,
        hook: state.name.to_owned(),
        backend: state.backend,
        kind: state.kind,
        attached: state.attached,
        fired,
        events: state.fired,
        gap: (!state.attached).then(|| state.blind_to.to_owned()),
        fix: (!state.attached).then(|| state.fix.to_owned()),
        by_choice: state.by_choice,
        tried: state
            .tried
            .into_iter()
            .map(|tried| TriedView {
                backend: tried.backend,
                failure: tried.failure,
            })
            .collect(),
    }
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned())
}

/// Of `none [integrity] confidentiality` the one in brackets.
fn chosen(path: &str) -> Option<String> {
    let text = read(path)?;
    let (_, rest) = text.split_once('[')?;
    let (chosen, _) = rest.split_once(']')?;
    Some(chosen.to_owned())
}

/// A place whose reads go through the page cache, for as long as this lives.
fn scratch() -> Result<Scratch, CommandError> {
    let path = Path::new("/var/tmp").join(format!("credwatch-doctor-{}", std::process::id()));
    fs::create_dir(&path).map_err(|error| {
        anyhow::anyhow!("cannot make {} for the self-test: {error}", path.display())
    })?;
    Ok(Scratch(path))
}

struct Scratch(std::path::PathBuf);

impl Scratch {
    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed lies in a place that is cleaned.
        let _ = fs::remove_dir_all(&self.0);
    }
}
