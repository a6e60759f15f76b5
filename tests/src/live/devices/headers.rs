//! What stands around a packet's ports: IPv6 with its extension headers, fragments, tags of VLANs. By each
//! of the two ways to look at packets.

use monitor::control::devices::DestinationView;
use monitor::model::Protocol;

use super::frames::{
    DESTINATION_OPTIONS, IPV4, IPV6, UDP, VLAN, VLAN_OF_PROVIDER, frame, ipv4, ipv6, padding, put,
    udp,
};
use super::scene::{Device, SERVER, SERVER_V6, Scene};
use super::{BY_CLSACT, GATEWAY};
use crate::live::daemon::Place;
use crate::live::host::run;
use crate::live::turn::shared;

/// Does the same by each way.
fn by_each_way(does: impl Fn(&str)) {
    let _host = shared();
    for config in [GATEWAY, BY_CLSACT] {
        does(config);
    }
}

/// Nothing was lost, and nobody told of anything.
fn is_quiet(place: &Place, scene: &Scene) {
    let hook = place.hook("gateway_flow");
    assert_eq!((hook.attached, hook.lost), (true, 0), "{hook:#?}");
    for device in &scene.devices {
        assert_eq!(place.all(|alert| device.is_in(alert)), []);
    }
}

fn all_sent(packets: u64, bytes: u64) -> impl Fn(&DestinationView) -> bool {
    move |of| (of.sent.packets, of.sent.bytes) == (packets, bytes)
}

#[test]
fn devices_are_named_and_counted_over_ipv6_beside_neighbour_discovery() {
    by_each_way(|config| {
        let scene = Scene::new();
        scene.speak_ipv6();
        let place = Place::with(config);
        let _server = scene.serve(8883);
        let _daemon = scene.watch(&place);
        let [camera, meter] = &scene.devices;
        // Whoever is connected to must be looked for first.
        camera.host.shell("ip neigh flush dev eth0");
        camera.connects(SERVER_V6, 8883, 100_000);
        meter.sends(SERVER_V6, 5683, 3, 0);

        let of_camera = camera.destination(&place, SERVER_V6, 8883, |of| {
            // A frame has at most 60 bytes of TCP's headers and 40 of IP's.
            let most = 100_000 + of.sent.packets * 100;
            (100_000..=most).contains(&of.sent.bytes) && of.received.bytes >= 200
        });
        assert_eq!((of_camera.protocol, of_camera.flows), (Protocol::Tcp, 1));
        assert!(of_camera.sent.packets > 60, "{of_camera:#?}");
        // An IPv6 header of 40 bytes, a UDP header of 8.
        meter.destination(&place, SERVER_V6, 5683, all_sent(3, 3 * 148));
        for device in &scene.devices {
            let seen = device.seen(&place).unwrap();
            let addresses: Vec<_> = seen.addresses.iter().map(ToString::to_string).collect();
            assert!(addresses.contains(&device.address_v6), "{addresses:?}");
        }
        // The question for the gateway goes to a group, and is a flow of its own.
        let asked = camera.destination(&place, "ff02::1:ff00:1", 0, |_| true);
        assert_eq!(asked.protocol, Protocol::Other);
        assert_eq!(asked.received.packets, 0);
        is_quiet(&place, &scene);
    });
}

#[test]
fn fragments_are_counted_whole() {
    // One datagram of 4,000 bytes in three packets, of which the first alone has ports.
    let script = "import socket, sys\n\
        host = sys.argv[1]\n\
        s = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET, socket.SOCK_DGRAM)\n\
        s.sendto(b'd' * 4000, (host, 5683))";
    by_each_way(|config| {
        let scene = Scene::new();
        scene.speak_ipv6();
        let place = Place::with(config);
        let _daemon = scene.watch(&place);
        let [camera, _] = &scene.devices;
        for to in [SERVER, SERVER_V6] {
            run(&mut camera.host.python(script, &[&to]));
        }
        // 1,480 bytes and twice the rest of 8 + 4,000, each behind an IPv4 header.
        camera.destination(&place, SERVER, 5683, all_sent(1, 1_500));
        let rest = camera.destination(&place, SERVER, 0, all_sent(2, 2_528 + 2 * 20));
        assert_eq!(rest.protocol, Protocol::Udp);
        // 1,448 bytes, the most that is a multiple of eight, behind an IPv6 header and a fragment header.
        camera.destination(&place, SERVER_V6, 5683, all_sent(1, 1_448 + 48));
        let rest = camera.destination(&place, SERVER_V6, 0, all_sent(2, 2_560 + 2 * 48));
        assert_eq!(rest.protocol, Protocol::Udp);
        is_quiet(&place, &scene);
    });
}

#[test]
fn extension_headers_are_followed_and_what_is_behind_many_is_counted_without_ports() {
    by_each_way(|config| {
        let scene = Scene::new();
        scene.speak_ipv6();
        let place = Place::with(config);
        let _daemon = scene.watch(&place);
        let [camera, _] = &scene.devices;
        let sends = |next: u8, payload: &[u8], many| {
            let packet = ipv6(&camera.address_v6, SERVER_V6, next, payload);
            let frame = frame(&camera.mac, &camera.gateway_mac, &[], IPV6, &packet);
            put(&camera.host, "eth0", &frame, many);
        };
        // Four of them, as long as they may be here, and one more.
        for (port, headers) in [(5_001, 1), (5_004, 4), (5_005, 5)] {
            let mut payload = udp(5_000, port, 100);
            let mut next = UDP;
            for units in 1..=headers {
                payload = [padding(next, units), payload].concat();
                next = DESTINATION_OPTIONS;
            }
            sends(next, &payload, 3);
        }
        camera.destination(&place, SERVER_V6, 5_001, all_sent(3, 3 * (40 + 8 + 108)));
        camera.destination(&place, SERVER_V6, 5_004, all_sent(3, 3 * (40 + 80 + 108)));
        // One header that says that it is longer than the packet.
        sends(DESTINATION_OPTIONS, &[UDP, 255, 1, 4, 0, 0, 0, 0], 2);
        // And one that is not there at all, and a datagram without its ports.
        sends(DESTINATION_OPTIONS, &[], 1);
        sends(UDP, &[1, 2], 4);
        let other = 3 * (40 + 120 + 108) + 40;
        let is_other =
            |of: &DestinationView| of.protocol == Protocol::Other && all_sent(4, other)(of);
        camera.destination(&place, SERVER_V6, 0, is_other);
        let is_cut =
            |of: &DestinationView| of.protocol == Protocol::Udp && all_sent(6, 2 * 48 + 4 * 42)(of);
        camera.destination(&place, SERVER_V6, 0, is_cut);
        is_quiet(&place, &scene);
    });
}

#[test]
fn devices_are_named_and_counted_behind_tags() {
    let stacks: [&[u16]; 4] = [&[], &[VLAN], &[VLAN_OF_PROVIDER, VLAN], &[VLAN, VLAN]];
    by_each_way(|config| {
        let scene = Scene::new();
        let place = Place::with(config);
        let _daemon = scene.watch(&place);
        let [camera, _] = &scene.devices;
        for (port, tags) in (6_000..).zip(stacks) {
            let packet = ipv4(&camera.address, SERVER, UDP, &udp(5_000, port, 100));
            let sent = frame(&camera.mac, &camera.gateway_mac, tags, IPV4, &packet);
            put(&camera.host, "eth0", &sent, 3);
            let packet = ipv4(SERVER, &camera.address, UDP, &udp(port, 5_000, 50));
            let answer = frame(&camera.gateway_mac, &camera.mac, tags, IPV4, &packet);
            put(&scene.gateway, &camera.interface, &answer, 2);
            let [packet, answer] = [
                (&camera.address_v6[..], SERVER_V6),
                (SERVER_V6, &camera.address_v6[..]),
            ]
            .map(|(from, to)| ipv6(from, to, UDP, &udp(port, port, 10)));
            let sent = frame(&camera.mac, &camera.gateway_mac, tags, IPV6, &packet);
            put(&camera.host, "eth0", &sent, 1);
            let answer = frame(&camera.gateway_mac, &camera.mac, tags, IPV6, &answer);
            put(&scene.gateway, &camera.interface, &answer, 1);
        }
        for (port, tags) in (6_000..).zip(stacks) {
            let of = camera.destination(&place, SERVER, port, |of| {
                all_sent(3, 3 * 128)(of) && of.received.packets == 2
            });
            assert_eq!(of.received.bytes, 2 * 78, "{tags:x?}");
            camera.destination(&place, SERVER_V6, port, |of| {
                all_sent(1, 58)(of) && of.received.bytes == 58
            });
        }
        is_quiet(&place, &scene);
    });
}

/// Gives a device and the gateway an interface in a VLAN, which may lie in another. `false` where this
/// kernel has none.
fn in_a_vlan(scene: &Scene, device: &Device, protocol: &str) -> bool {
    let add = |on: &str, name: &str| {
        format!("ip link add link {on} name {on}.{name} type vlan protocol {protocol} id {name}")
    };
    let first = scene.gateway.try_shell(&add(&device.interface, "50"));
    if let Err(error) = first {
        assert!(
            error.contains("Unknown device type") || error.contains("not supported"),
            "{error}"
        );
        return false;
    }
    device.host.shell(&add("eth0", "50"));
    true
}

#[test]
fn devices_in_a_vlan_are_named_and_counted_through_its_interface() {
    by_each_way(|config| {
        // The tag of the VLAN's own interface, alone and around another.
        for protocol in ["802.1Q", "802.1ad"] {
            let scene = Scene::new();
            let [camera, _] = &scene.devices;
            if !in_a_vlan(&scene, camera, protocol) {
                eprintln!("this kernel has no interfaces of VLANs");
                return;
            }
            let (mut near, mut far) = ("eth0.50".to_owned(), "iot1.50".to_owned());
            if protocol == "802.1ad" {
                for (host, name) in [(&camera.host, &mut near), (&scene.gateway, &mut far)] {
                    host.shell(&format!(
                        "ip link set {name} up\n\
                         ip link add link {name} name {name}.6 type vlan id 6"
                    ));
                    name.push_str(".6");
                }
            }
            scene.gateway.shell(&format!(
                "ip address add 192.168.61.1/24 dev {far}; ip link set {far} up"
            ));
            camera.host.shell(&format!(
                "ip address add 192.168.61.7/24 dev {near}; ip link set {near} up\n\
                 ip route add {SERVER} via 192.168.61.1"
            ));
            // By the interface of the VLAN, and by the one below it.
            for watched in [far.as_str(), "iot1"] {
                let place =
                    Place::with(&config.replace("\"iot1\", \"iot2\"", &format!("{watched:?}")));
                let _server = scene.serve(8883);
                let _daemon = scene.watch(&place);
                camera.connects(SERVER, 8883, 100_000);
                let of = camera.destination(&place, SERVER, 8883, |of| {
                    let most = 100_000 + of.sent.packets * 120;
                    (100_000..=most).contains(&of.sent.bytes) && of.received.bytes >= 200
                });
                assert_eq!((of.protocol, of.flows), (Protocol::Tcp, 1), "{watched}");
                let seen = camera.seen(&place).unwrap();
                let addresses: Vec<_> = seen.addresses.iter().map(ToString::to_string).collect();
                assert!(
                    addresses.contains(&"192.168.61.7".to_owned()),
                    "{addresses:?}"
                );
                is_quiet(&place, &scene);
            }
        }
    });
}
