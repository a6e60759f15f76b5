//! Devices behind a gateway: the daemon runs in the network namespace that forwards for them.

mod arp;
mod frames;
mod headers;
mod scene;
mod standing;

use std::time::{Duration, Instant};

use monitor::control::devices::DestinationView;
use monitor::model::{Alert, DetectionId, Protocol};

use super::daemon::{Place, patiently};
use super::host::run;
use super::turn::{alone, shared};
use scene::{SERVER, Scene};

const ACTIVE: DetectionId = DetectionId::RetiredIdentityActive;
/// Told again every second, and interfaces looked for as often.
const GATEWAY: &str = "[gateway]\ninterfaces = [\"iot1\", \"iot2\"]\ninterval = \"1s\"\n\
    [sensor]\nheartbeat = \"1s\"";
/// The same by a filter of a clsact qdisc, on whatever kernel.
const BY_CLSACT: &str = "[gateway]\ninterfaces = [\"iot1\", \"iot2\"]\ninterval = \"1s\"\n\
    [sensor]\nheartbeat = \"1s\"\nbackend = \"clsact\"";

#[test]
fn devices_behind_a_gateway_are_named_and_their_traffic_is_counted() {
    named_and_counted(GATEWAY);
}

#[test]
fn devices_are_named_and_counted_by_a_filter_of_a_qdisc() {
    named_and_counted(BY_CLSACT);
}

fn named_and_counted(config: &str) {
    let _host = shared();
    let scene = Scene::new();
    let place = Place::with(config);
    let _server = scene.serve(8883);
    let daemon = scene.watch(&place);
    let [camera, meter] = &scene.devices;
    camera.connects(SERVER, 8883, 100_000);
    meter.connects(SERVER, 8883, 300);
    meter.sends(SERVER, 5683, 3, 0);

    // Closed: all of it is told. A frame has at most 60 bytes of TCP's headers and 60 of IP's.
    let fits = |of: &DestinationView, sent: u64| {
        let most = sent + of.sent.packets * 120;
        (sent..=most).contains(&of.sent.bytes) && of.received.bytes >= 200
    };
    let of_camera = camera.destination(&place, SERVER, 8883, |of| fits(of, 100_000));
    assert_eq!((of_camera.protocol, of_camera.flows), (Protocol::Tcp, 1));
    assert!(
        of_camera.sent.packets > 60,
        "segments are counted: {of_camera:#?}"
    );
    let of_meter = meter.destination(&place, SERVER, 8883, |of| fits(of, 300));
    assert_eq!(of_meter.flows, 1);
    let of_meter = meter.destination(&place, SERVER, 5683, |of| of.sent.packets == 3);
    assert_eq!((of_meter.protocol, of_meter.flows), (Protocol::Udp, 1));
    // An IPv4 header of 20 bytes, a UDP header of 8.
    assert_eq!(of_meter.sent.bytes, 3 * 128);

    for device in &scene.devices {
        let seen = device.seen(&place).unwrap();
        let addresses: Vec<_> = seen.addresses.iter().map(ToString::to_string).collect();
        assert!(addresses.contains(&device.address), "{addresses:?}");
        assert_eq!(place.all(|alert| device.is_in(alert)), []);
    }
    let listed = run(&mut place.client(&["identities"]));
    let listed = String::from_utf8_lossy(&listed.output.stdout).into_owned();
    let line = listed
        .lines()
        .find(|line| line.contains(&camera.mac))
        .unwrap();
    assert!(
        line.contains("device") && line.contains(&camera.address),
        "{listed}"
    );
    let hook = place.hook("gateway_flow");
    assert!(
        hook.attached && hook.fired >= 3 && hook.lost == 0,
        "{hook:#?}"
    );
    if config == BY_CLSACT {
        assert_eq!(hook.backend, "clsact iot1 + clsact iot2");
    }
    daemon.stop();
}

#[test]
fn a_retired_device_that_sends_is_told_and_another_is_not() {
    let _host = shared();
    let scene = Scene::new();
    let place = Place::with(GATEWAY);
    let _server = scene.serve(8883);
    let _daemon = scene.watch(&place);
    let [camera, meter] = &scene.devices;
    // However an operator writes it.
    place.retire(
        camera
            .selector()
            .to_uppercase()
            .replace("DEVICE:MAC", "device:mac"),
    );
    meter.connects(SERVER, 8883, 300);
    meter.destination(&place, SERVER, 8883, |_| true);
    camera.connects(SERVER, 8883, 300);
    let alert = place.wait("the camera", |alert| alert.id == ACTIVE);
    assert_eq!(alert.identity.as_ref().unwrap().as_str(), camera.selector());
    let start = format!("{} ({}), retired on ", camera.selector(), camera.address);
    assert!(alert.summary.starts_with(&start), "{}", alert.summary);
    assert!(
        alert.summary.contains("\"moved to OIDC\", sent "),
        "{}",
        alert.summary
    );
    let to = alert.destination.as_ref().unwrap();
    assert!(
        alert.summary.contains(&to.address.to_string()),
        "{}",
        alert.summary
    );
    assert_eq!((alert.process, alert.credential), (None, None));
    assert_eq!(place.all(|alert| meter.is_in(alert)), []);

    // Who is known on the link for good is not asked for again: what is told first is the datagram.
    scene.know_each_other(meter);
    // And by its address; a device that is restored is quiet.
    place.restore(camera.selector());
    place.retire(format!("device:ip:{}", meter.address));
    meter.sends(SERVER, 5683, 1, 0);
    let by_address = |alert: &Alert| alert.id == ACTIVE && meter.is_in(alert);
    let alert = place.wait("the meter", by_address);
    let says = format!("sent 1 packet (128 bytes) to {SERVER}:5683 over UDP");
    assert!(alert.summary.ends_with(&says), "{}", alert.summary);
    assert!(
        alert.summary.contains(&format!("({})", meter.mac)),
        "{}",
        alert.summary
    );
    camera.connects(SERVER, 8883, 300);
    camera.destination(&place, SERVER, 8883, |of| of.flows == 2);
    let of_camera = |alert: &Alert| alert.id == ACTIVE && alert.repeats == 0 && camera.is_in(alert);
    assert_eq!(place.all(of_camera).len(), 1);
}

#[test]
fn a_flood_of_short_flows_loses_nothing_silently() {
    const MANY: u64 = 40_000;
    let _host = alone();
    let scene = Scene::new();
    let place = Place::with(GATEWAY);
    let _daemon = scene.watch(&place);
    let [camera, meter] = &scene.devices;
    camera.sends(SERVER, 5_000, 40_000, 1);
    // Another device is not hidden by it.
    meter.sends(SERVER, 5683, 1, 0);
    meter.destination(&place, SERVER, 5683, |of| of.sent.packets == 1);
    let told = || camera.seen(&place).map_or(0, |of| of.flows);
    let lost = || place.hook("gateway_flow").lost;
    // What is too much for once is told later.
    let deadline = Instant::now() + patiently(Duration::from_secs(60));
    while told() + lost() < MANY {
        assert!(Instant::now() < deadline, "{} and {}", told(), lost());
        std::thread::sleep(Duration::from_millis(500));
    }
    // More than the table has room for, unless this machine is too slow to send them in half a minute.
    assert!(lost() < MANY, "{}", lost());
    if lost() > 0 {
        let is_its = |alert: &Alert| alert.summary.contains("of gateway_flow were lost");
        place.wait("the loss", |alert| {
            alert.id == DetectionId::EventsLost && is_its(alert)
        });
    }
}
