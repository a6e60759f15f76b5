//! Interfaces that come and go, and what stands on them.

use std::time::{Duration, Instant};

use monitor::control::protocol::{Doctor, IdentityView};
use monitor::model::alert::AlertStatus;
use monitor::model::{Alert, DetectionId};

use super::scene::{Device, SERVER, Scene};
use super::{BY_CLSACT, GATEWAY};
use crate::live::daemon::{Daemon, Place, patiently};
use crate::live::detaching::{detach, links};
use crate::live::host::kernel;
use crate::live::turn::shared;

/// Whether an alert says that the interface of a device is not watched.
fn missing(device: &Device) -> impl Fn(&Alert) -> bool + use<> {
    let hook = format!("gateway_flow on {}", device.interface);
    move |alert: &Alert| alert.id == DetectionId::HookFailed && alert.summary.contains(&hook)
}

#[test]
fn an_interface_that_goes_is_told_and_one_that_comes_is_watched() {
    let _host = shared();
    let scene = Scene::new();
    let [camera, meter] = &scene.devices;
    scene.unplug(camera);
    let place = Place::with(GATEWAY);
    let _server = scene.serve(8883);
    let _daemon = scene.watch(&place);
    let alert = place.wait("the camera's interface", missing(camera));
    assert!(
        alert.summary.contains("there is no interface iot1"),
        "{}",
        alert.summary
    );
    assert_eq!(place.all(missing(meter)), []);
    // The other is watched meanwhile, and `doctor` says which is not.
    meter.connects(SERVER, 8883, 300);
    meter.destination(&place, SERVER, 8883, |of| of.flows == 1);
    let doctor = place
        .client(&["doctor", "--output", "json"])
        .output()
        .unwrap();
    assert_eq!(doctor.status.code(), Some(1));
    let doctor: Doctor = serde_json::from_slice(&doctor.stdout).unwrap();
    let hook = doctor
        .hooks
        .iter()
        .find(|of| of.hook == "gateway_flow")
        .unwrap();
    assert!(!hook.attached && hook.gap.is_some(), "{hook:#?}");
    assert_eq!(hook.tried.len(), 1, "{hook:#?}");
    assert_eq!(hook.tried[0].backend, "tc iot1");

    scene.plug(camera);
    let watched = || place.hook("gateway_flow").attached;
    place.until("the interface is watched", watched);
    camera.connects(SERVER, 8883, 300);
    camera.destination(&place, SERVER, 8883, |of| of.flows == 1);
    // It goes while the daemon runs, and comes back as another of the same name.
    scene.unplug(meter);
    place.wait("the meter's interface", missing(meter));
    scene.plug(meter);
    place.until("it is watched again", watched);
    meter.connects(SERVER, 8883, 300);
    meter.destination(&place, SERVER, 8883, |of| of.flows == 2);
}

#[test]
fn who_has_no_gateway_looks_at_no_traffic() {
    let _host = shared();
    let place = Place::new();
    let _daemon = Daemon::start(&place);
    let hooks = place.status().hooks;
    assert!(hooks.iter().all(|hook| hook.name != "gateway_flow"));
    let known: Vec<IdentityView> = place.ask(&["identities"]);
    assert!(known.iter().all(|of| of.kind != "device"));
}

/// Takes off what stands on the camera's interface, with hearts that beat as they do by default: it is
/// told in time, put back, and counts on.
fn is_missed(config: &str, backend: &str, take_off: impl Fn(&Scene, &Daemon<'_>)) {
    let _host = shared();
    let scene = Scene::new();
    let [camera, meter] = &scene.devices;
    let place = Place::with(&config.replace("heartbeat = \"1s\"", "heartbeat = \"4s\""));
    let _server = scene.serve(8883);
    let daemon = scene.watch(&place);
    let whole = format!("{backend} iot1 + {backend} iot2");
    place.until("both are watched", || {
        place.hook("gateway_flow").backend == whole
    });
    camera.connects(SERVER, 8883, 300);
    camera.destination(&place, SERVER, 8883, |of| of.flows == 1);
    assert_eq!(place.all(missing(camera)), []);

    let before = Instant::now();
    take_off(&scene, &daemon);
    let deadline = before + patiently(Duration::from_secs(10));
    while place.all(missing(camera)).is_empty() {
        assert!(
            Instant::now() < deadline,
            "nothing was told: {}",
            place.log()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    eprintln!(
        "{backend}: told after {:.1} s",
        before.elapsed().as_secs_f64()
    );
    let told = place.all(missing(camera));
    let says = format!("its {backend} programs were taken off iot1");
    assert!(told[0].summary.contains(&says), "{}", told[0].summary);
    // One without repeats ends without a word to the sinks.
    place.until("its alert has ended", || {
        let stored = place.stored_alerts();
        let mut own = stored.iter().filter(|alert| missing(camera)(alert));
        own.all(|alert| alert.status == AlertStatus::Ended)
    });
    let hook = place.hook("gateway_flow");
    assert!(hook.attached && hook.backend == whole, "{hook:#?}");
    // Both ways are counted again.
    camera.connects(SERVER, 8883, 300);
    camera.destination(&place, SERVER, 8883, |of| {
        of.flows == 2 && of.received.bytes >= 400
    });
    // And it stays so: nothing is told of later looks, nor of the other interface.
    std::thread::sleep(patiently(Duration::from_secs(6)));
    assert_eq!(place.all(missing(camera)).len(), 1);
    assert_eq!(place.all(missing(meter)), []);
}

#[test]
fn a_filter_that_is_taken_off_is_told_within_ten_seconds_and_put_back() {
    is_missed(BY_CLSACT, "clsact", |scene, _| {
        scene.gateway.shell("tc filter del dev iot1 ingress");
    });
}

#[test]
fn a_qdisc_that_is_taken_off_is_told_within_ten_seconds_and_put_back() {
    is_missed(BY_CLSACT, "clsact", |scene, _| {
        scene.gateway.shell("tc qdisc del dev iot1 clsact");
    });
}

#[test]
fn a_link_that_is_detached_is_told_within_ten_seconds_and_put_back() {
    if kernel() < (6, 6) {
        // There are no such links yet.
        return;
    }
    is_missed(GATEWAY, "tcx", |scene, daemon| {
        let index = scene.gateway.says("ip -o link show dev iot1 | cut -d: -f1");
        let of_interface = format!("ifindex:\t{}", index.trim());
        let found = links(daemon.pid(), &["link_type:\ttcx", &of_interface]);
        assert_eq!(found.len(), 2, "ingress and egress");
        detach(found[0]);
    });
}

#[test]
fn the_filter_of_another_that_took_the_place_of_ours_is_left_alone() {
    let _host = shared();
    let scene = Scene::new();
    let [camera, _] = &scene.devices;
    let place = Place::with(BY_CLSACT);
    let daemon = scene.watch(&place);
    place.until("it is watched", || place.hook("gateway_flow").attached);
    // The same priority and number as ours had.
    scene.gateway.shell(
        "tc filter show dev iot1 ingress | grep -q 'pref 1 bpf .* handle 0x1 gateway_ingress'\n\
         tc filter del dev iot1 ingress\n\
         tc filter add dev iot1 ingress pref 1 handle 0x1 bpf bytecode '1,6 0 0 4294967295' classid 1:1",
    );
    place.wait("the camera's interface", missing(camera));
    place.until("it is watched again", || {
        place.hook("gateway_flow").attached
    });
    let shown = scene.gateway.says("tc filter show dev iot1 ingress");
    assert!(shown.contains("bytecode"), "{shown}");
    assert!(shown.contains("gateway_ingress"), "{shown}");
    daemon.stop();
    let shown = scene.gateway.says("tc filter show dev iot1 ingress");
    assert!(shown.contains("bytecode"), "{shown}");
    assert!(!shown.contains("gateway_ingress"), "{shown}");
}
