//! Devices that say no more than which address they have.

use monitor::control::protocol::IdentityView;
use monitor::model::Alert;

use super::frames::{ARP, arp_request, frame, put};
use super::scene::Scene;
use super::{ACTIVE, BY_CLSACT, GATEWAY};
use crate::live::daemon::Place;
use crate::live::host::run;
use crate::live::turn::shared;

const EVERYBODY: &str = "ff:ff:ff:ff:ff:ff";
/// Devices that are frames and nothing else.
const SENSOR: &str = "02:00:5e:10:00:33";
const PRETENDER: &str = "02:00:5e:10:00:44";

/// A device behind the camera's interface asks who has an address.
fn asks(scene: &Scene, mac: &str, from: &str, to: &str) {
    let packet = arp_request(mac, from, to);
    let frame = frame(mac, EVERYBODY, &[], ARP, &packet);
    put(&scene.devices[0].host, "eth0", &frame, 1);
}

fn identity(place: &Place, mac: &str) -> Option<IdentityView> {
    let known: Vec<IdentityView> = place.ask(&["identities"]);
    let selector = format!("device:mac:{mac}");
    known
        .into_iter()
        .find(|of| of.selector.as_str() == selector)
}

#[test]
fn a_device_that_speaks_arp_alone_is_named_and_told_when_it_is_retired() {
    let _host = shared();
    for config in [GATEWAY, BY_CLSACT] {
        let scene = Scene::new();
        let place = Place::with(config);
        let _daemon = scene.watch(&place);
        asks(&scene, SENSOR, "192.168.51.33", "192.168.51.1");
        place.until("the sensor is known", || identity(&place, SENSOR).is_some());
        let seen = identity(&place, SENSOR).unwrap().device.unwrap();
        assert_eq!(
            seen.addresses,
            ["192.168.51.33".parse::<std::net::IpAddr>().unwrap()]
        );
        assert_eq!((seen.sent.packets, seen.sent.bytes), (1, 28));
        assert_eq!(
            (seen.flows, seen.destinations.len(), seen.shares.len()),
            (1, 0, 0)
        );
        // While it asks for an address it has none.
        asks(&scene, PRETENDER, "0.0.0.0", "192.168.51.44");
        place.until("the other is known", || {
            identity(&place, PRETENDER).is_some()
        });
        let other = identity(&place, PRETENDER).unwrap().device.unwrap();
        assert_eq!(other.addresses.len(), 0, "{other:#?}");

        let of_sensor = |alert: &Alert| alert.summary.contains(SENSOR);
        assert_eq!(place.all(of_sensor), []);
        place.retire(format!("device:mac:{SENSOR}"));
        asks(&scene, SENSOR, "192.168.51.33", "192.168.51.2");
        let alert = place.wait("the sensor", of_sensor);
        assert_eq!(alert.id, ACTIVE);
        let says = "sent 1 packet (28 bytes) to 192.168.51.2 over ARP";
        assert!(alert.summary.ends_with(says), "{}", alert.summary);
    }
}

#[test]
fn who_claims_the_address_of_another_is_shown_at_both() {
    let _host = shared();
    let scene = Scene::new();
    let place = Place::with(GATEWAY);
    let _daemon = scene.watch(&place);
    let [camera, meter] = &scene.devices;
    for device in &scene.devices {
        let gateway = device.address.replace(".7", ".1");
        device.sends(&gateway, 5683, 1, 0);
        place.until("it is known", || {
            let seen = device.seen(&place);
            seen.is_some_and(|of| {
                of.addresses
                    .iter()
                    .any(|of| of.to_string() == device.address)
            })
        });
        assert_eq!(device.seen(&place).unwrap().shares, []);
    }
    asks(&scene, PRETENDER, &camera.address, &camera.address);
    place.until("the claim is shown", || {
        camera.seen(&place).is_some_and(|of| !of.shares.is_empty())
    });
    let with = |mac: &str| {
        let shares = identity(&place, mac).unwrap().device.unwrap().shares;
        let shares = shares.iter();
        let shares = shares.map(|of| format!("{} {}", of.address, of.with.as_str()));
        shares.collect::<Vec<_>>()
    };
    let pretender = format!("device:mac:{PRETENDER}");
    assert_eq!(
        with(&camera.mac),
        [format!("{} {pretender}", camera.address)]
    );
    assert_eq!(
        with(PRETENDER),
        [format!("{} {}", camera.address, camera.selector())]
    );
    assert_eq!(meter.seen(&place).unwrap().shares, []);
    let listed = run(&mut place.client(&["identities"]));
    let listed = String::from_utf8_lossy(&listed.output.stdout).into_owned();
    let both = format!("{} (also {pretender})", camera.address);
    assert!(listed.contains(&both), "{listed}");
    // An address that is given to another device looks alike.
    assert_eq!(place.all(|alert| camera.is_in(alert)), []);
}
