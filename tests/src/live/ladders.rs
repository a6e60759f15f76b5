//! Every rung of every ladder, forced once: the self-test must come through it to the daemon.

use std::collections::BTreeMap;
use std::io::Write;

use monitor::control::protocol::Doctor;
use monitor::model::Backend;

use super::daemon::Place;
use super::host::act;
use super::turn::shared;

/// What can be asked for, and stands on more than one host.
const KINDS: [Backend; 6] = [
    Backend::Fentry,
    Backend::Lsm,
    Backend::Kprobe,
    Backend::Tracepoint,
    Backend::Fanotify,
    Backend::Connector,
];

fn doctor(place: &Place, kind: Option<Backend>) -> Doctor {
    let mut command = place.client(&["doctor", "--output", "json"]);
    if let Some(kind) = kind {
        command.args(["--try-first", kind.name()]);
    }
    let done = act(&mut command);
    serde_json::from_slice(&done.output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&done.output.stderr)))
}

/// Hooks that stand on a kind of backend and have fired through it.
fn standing(doctor: &Doctor, kind: Backend) -> usize {
    let hooks = doctor.hooks.iter();
    hooks
        .filter(|hook| hook.kind == Some(kind) && hook.fired)
        .count()
}

#[test]
fn every_rung_is_forced_once_and_fires() {
    let _host = shared();
    let place = Place::new();
    let usual = doctor(&place, None);
    let open = usual.lockdown.as_deref() != Some("confidentiality");
    // Under that lockdown no program of a kernel without typed tasks (before 5.11) can tell who acts.
    let programs = open || standing(&usual, Backend::Tracepoint) > 0;
    let mut table = BTreeMap::new();
    for kind in KINDS {
        let forced = doctor(&place, Some(kind));
        // Whatever comes first, nothing is unseen that is seen otherwise.
        for gap in forced.gaps() {
            assert!(usual.gaps().contains(&gap), "{kind}: {gap}: {forced:#?}");
        }
        for hook in &forced.hooks {
            for tried in &hook.tried {
                table.insert(
                    format!("{:16} {}", hook.hook, tried.backend),
                    format!("no: {}", tried.failure),
                );
            }
        }
        for hook in forced
            .hooks
            .iter()
            .filter(|hook| hook.attached && hook.fired)
        {
            table.insert(
                format!("{:16} {}", hook.hook, hook.backend),
                "fires".to_owned(),
            );
        }
        let expected = match kind {
            // Where functions can be hooked at all, each that has such a rung stands on it.
            Backend::Fentry => standing(&usual, Backend::Fentry),
            Backend::Tracepoint if programs => standing(&usual, Backend::Tracepoint).max(4),
            Backend::Connector => 4,
            Backend::Fanotify => 1,
            _ => 0,
        };
        let found = standing(&forced, kind);
        assert!(
            found >= expected,
            "{kind}: {found} of {expected}: {forced:#?}"
        );
    }
    let hooked = standing(&usual, Backend::Fentry) > 0;
    let modules = usual.security_modules.as_deref();
    let lsm = modules.is_some_and(|names| names.split(',').any(|name| name == "bpf"));
    let fires = |backend: &str| {
        let mut rows = table.iter();
        rows.any(|(row, how)| row.ends_with(backend) && how == "fires")
    };
    let mut text = format!(
        "\n{} (lockdown {:?}, {:?})\n",
        usual.kernel, usual.lockdown, modules
    );
    for (row, how) in &table {
        text.push_str(&format!("  {row:90} {how}\n"));
    }
    // Not by print!, which a passing test's harness keeps to itself.
    std::io::stdout().lock().write_all(text.as_bytes()).unwrap();
    assert_eq!(
        fires("lsm file_open"),
        hooked && lsm,
        "a security hook without `bpf` is silent"
    );
    assert_eq!(
        fires("kprobe security_file_open"),
        hooked && open,
        "kprobes, where nothing is locked down"
    );
}
