//! CW-301, CW-303, CW-304: what is not as usual, by a service account that really does it, in a network
//! of its own with addresses of the Internet.

use monitor::model::{Alert, DetectionId, Severity};

use super::daemon::{Daemon, Place};
use super::host::{Account, command, program, run};
use super::turn::shared;

/// Serves 198.51.100.1 to .9 in a fresh network, and runs as the account what is written in each argument:
/// an address, a port, how often, the seconds between, and the bytes to send each time.
const CALLS: &str = "import os, socket, subprocess, sys, threading, time\n\
    uid, calls = int(sys.argv[1]), [call.split() for call in sys.argv[2:]]\n\
    subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)\n\
    for last in range(1, 10):\n\
    \x20   subprocess.run(['ip', 'address', 'add', f'198.51.100.{last}/32', 'dev', 'lo'], check=True)\n\
    def serve(server):\n\
    \x20   while True:\n\
    \x20       peer, _ = server.accept()\n\
    \x20       while peer.recv(1 << 20): pass\n\
    \x20       peer.sendall(b'done')\n\
    \x20       peer.close()\n\
    servers = [socket.create_server(('', port)) for port in sorted({int(call[1]) for call in calls})]\n\
    child = os.fork()\n\
    if child:\n\
    \x20   for server in servers:\n\
    \x20       threading.Thread(target=serve, args=(server,), daemon=True).start()\n\
    \x20   sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n\
    os.setgroups([]); os.setgid(uid); os.setuid(uid)\n\
    for address, port, times, seconds, size in calls:\n\
    \x20   for time_ in range(int(times)):\n\
    \x20       if time_: time.sleep(float(seconds))\n\
    \x20       client = socket.create_connection((address, int(port)))\n\
    \x20       client.sendall(bytes(int(size)))\n\
    \x20       client.shutdown(socket.SHUT_WR)\n\
    \x20       while client.recv(64): pass\n\
    \x20       client.close()\n";

/// What is ordinary for the account.
const USUAL: &str = "198.51.100.1 443 3 0 2000";

pub(super) fn calls(account: &Account, calls: &[&str]) {
    let uid = account.uid.to_string();
    let mut command = command(
        "unshare",
        &[&"--net", &program("python3"), &"-c", &CALLS, &uid],
    );
    command.args(calls);
    run(&mut command);
}

/// Whether an alert is of this detection, and about the account: the host's own traffic goes on beside.
pub(super) fn is(id: DetectionId, account: &Account) -> impl Fn(&Alert) -> bool + use<> {
    let about = about(account);
    move |alert| alert.id == id && about(alert)
}

pub(super) fn about(account: &Account) -> impl Fn(&Alert) -> bool + use<> {
    let selector = account.selector();
    move |alert| {
        let identity = alert.identity.as_ref();
        identity.is_some_and(|of| of.to_string() == selector)
    }
}

fn assert_young(alert: &Alert, address: &str) {
    assert_eq!(
        alert.severity,
        Severity::Low,
        "nothing much is known yet: {alert:#?}"
    );
    let to = alert.destination.as_ref().unwrap();
    assert_eq!(to.address.to_string(), address);
}

#[test]
fn a_service_that_is_new_to_an_identity_is_told() {
    let _host = shared();
    let place = Place::new();
    let account = Account::system();
    let _daemon = Daemon::start(&place);
    calls(&account, &[USUAL, "198.51.100.9 23 1 0 10"]);
    let alert = place.wait("a new service", is(DetectionId::NewDestination, &account));
    assert_young(&alert, "198.51.100.9");
    assert_eq!(alert.destination.as_ref().unwrap().port, 23);
    assert!(
        alert
            .summary
            .contains("198.51.100.9:23 over TCP: a service that is new to it")
    );
}

#[test]
fn much_that_goes_to_a_new_address_is_told() {
    let _host = shared();
    let place = Place::new();
    let account = Account::system();
    let _daemon = Daemon::start(&place);
    calls(&account, &[USUAL, "198.51.100.2 443 1 0 67108864"]);
    let alert = place.wait("much at once", is(DetectionId::UnusualVolume, &account));
    assert_young(&alert, "198.51.100.2");
    // What was sent twice counts twice, as in the kernel.
    assert!(
        alert.summary.contains("443 over TCP: "),
        "{}",
        alert.summary
    );
    assert!(alert.summary.contains(" 64."), "{}", alert.summary);
}

#[test]
fn a_rhythm_of_calls_to_a_new_address_is_told() {
    let _host = shared();
    // So that a few seconds are enough to be told.
    let place = Place::with("[detection.baseline]\nbudget = 20");
    let account = Account::system();
    let _daemon = Daemon::start(&place);
    calls(&account, &[USUAL, "198.51.100.3 443 8 3 200"]);
    let alert = place.wait("a rhythm", is(DetectionId::Beacon, &account));
    assert_young(&alert, "198.51.100.3");
    assert!(alert.summary.contains("every 3 s"), "{}", alert.summary);
}

#[test]
fn ordinary_calls_raise_nothing() {
    let _host = shared();
    let place = Place::new();
    let account = Account::system();
    let _daemon = Daemon::start(&place);
    calls(
        &account,
        &[
            USUAL,
            "198.51.100.2 443 2 1 20000",
            "198.51.100.1 443 20 0.1 2000",
        ],
    );
    calls(&account, &["198.51.100.1 443 1 0 2000"]);
    place.silent("ordinary calls", about(&account));
}
