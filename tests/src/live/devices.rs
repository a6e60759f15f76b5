//! Devices behind a gateway: two devices, a server, and between them a network namespace that forwards, in
//! which the daemon runs.

use std::process::Command;
use std::time::{Duration, Instant};

use monitor::control::devices::{DestinationView, DeviceView};
use monitor::control::protocol::{Doctor, IdentityView};
use monitor::model::{Alert, DetectionId, Protocol};

use super::daemon::{Daemon, Place, patiently, program};
use super::host::{Partner, command, program as path_of, python, run};
use super::turn::{alone, shared};

const ACTIVE: DetectionId = DetectionId::RetiredIdentityActive;
const SERVER: &str = "198.51.100.7";
/// Told again every second, and interfaces looked for as often.
const GATEWAY: &str = "[gateway]\ninterfaces = [\"iot1\", \"iot2\"]\ninterval = \"1s\"\n\
    [sensor]\nheartbeat = \"1s\"";

/// A network namespace that lasts as long as the process that has made it.
struct Host(Partner);

impl Host {
    fn new() -> Self {
        let line = "ip link set lo up; echo ready; read -r end";
        let mut holder = command("unshare", &[&"--net", &path_of("sh"), &"-ec", &line]);
        Self(Partner::start(&mut holder))
    }

    fn pid(&self) -> u32 {
        self.0.pid()
    }

    /// Runs a command in it.
    fn enter(&self, command_line: &Command) -> Command {
        let network = format!("--net=/proc/{}/ns/net", self.pid());
        let mut within = command("nsenter", &[&network]);
        within.arg(command_line.get_program());
        within.args(command_line.get_args());
        within
    }

    fn shell(&self, line: &str) {
        run(&mut self.enter(&command("sh", &[&"-ec", &line])));
    }

    fn python(&self, script: &str, args: &[&dyn AsRef<std::ffi::OsStr>]) -> Command {
        self.enter(&python(script, args))
    }
}

/// Two devices behind a gateway, and a server beyond it.
struct Scene {
    gateway: Host,
    devices: [Device; 2],
    server: Host,
}

struct Device {
    host: Host,
    interface: String,
    mac: String,
    address: String,
}

impl Scene {
    fn new() -> Self {
        let gateway = Host::new();
        let server = Host::new();
        let devices = [1, 2].map(|number| Device {
            host: Host::new(),
            interface: format!("iot{number}"),
            mac: format!("02:00:5e:10:00:0{number}"),
            address: format!("192.168.5{number}.7"),
        });
        gateway.shell(&format!(
            "ip link add up0 type veth peer name eth0 netns {}\n\
             ip address add 198.51.100.1/24 dev up0; ip link set up0 up\n\
             echo 1 > /proc/sys/net/ipv4/ip_forward",
            server.pid()
        ));
        server.shell(&format!(
            "ip address add {SERVER}/24 dev eth0; ip link set eth0 up\n\
             ip route add default via 198.51.100.1"
        ));
        let scene = Self {
            gateway,
            devices,
            server,
        };
        for device in &scene.devices {
            scene.plug(device);
        }
        scene
    }

    /// Gives a device its interface, and the gateway the other end of it.
    fn plug(&self, device: &Device) {
        let Device {
            host,
            interface,
            mac,
            address,
        } = device;
        let network = address.trim_end_matches(".7");
        self.gateway.shell(&format!(
            "ip link add {interface} type veth peer name eth0 address {mac} netns {}\n\
             ip address add {network}.1/24 dev {interface}; ip link set {interface} up",
            host.pid()
        ));
        host.shell(&format!(
            "ip address add {address}/24 dev eth0; ip link set eth0 up\n\
             ip route add default via {network}.1"
        ));
    }

    fn unplug(&self, device: &Device) {
        self.gateway
            .shell(&format!("ip link del {}", device.interface));
    }

    /// The daemon on the gateway.
    fn watch<'a>(&self, place: &'a Place) -> Daemon<'a> {
        let daemon = Command::new(program());
        Daemon::start_by(place, self.gateway.enter(&daemon))
    }

    /// A server that reads all that comes on each connection, and answers with 200 bytes.
    fn serve(&self, port: u16) -> Partner {
        let script = "import socket, sys\n\
            s = socket.create_server(('', int(sys.argv[1])))\n\
            print('ready', flush=True)\n\
            while True:\n\
            \x20   c, _ = s.accept()\n\
            \x20   while c.recv(65536): pass\n\
            \x20   c.sendall(b'a' * 200)\n\
            \x20   c.close()";
        Partner::start(&mut self.server.python(script, &[&port.to_string()]))
    }
}

impl Device {
    fn selector(&self) -> String {
        format!("device:mac:{}", self.mac)
    }

    /// Sends so many bytes over TCP, and takes in what is answered.
    fn connects(&self, port: u16, bytes: usize) {
        let script = "import socket, sys\n\
            host, port, many = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])\n\
            s = socket.create_connection((host, port), 10)\n\
            s.sendall(b'd' * many)\n\
            s.shutdown(socket.SHUT_WR)\n\
            assert len(s.recv(1000, socket.MSG_WAITALL)) == 200";
        let (port, bytes) = (port.to_string(), bytes.to_string());
        run(&mut self.host.python(script, &[&SERVER, &port, &bytes]));
    }

    /// Sends so many datagrams of 100 bytes from one port, each to the port after the one before, or
    /// all to one.
    fn sends(&self, port: u16, many: usize, step: u16) {
        let script = "import socket, sys\n\
            host, port, many, step = sys.argv[1], *map(int, sys.argv[2:])\n\
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
            for n in range(many):\n\
            \x20   s.sendto(b'd' * 100, (host, port + n * step))";
        let [port, many, step] = [port.to_string(), many.to_string(), step.to_string()];
        run(&mut self.host.python(script, &[&SERVER, &port, &many, &step]));
    }

    /// Whether an alert is about this device.
    fn is_in(&self, alert: &Alert) -> bool {
        alert.summary.contains(&self.mac) || alert.summary.contains(&self.address)
    }

    fn seen(&self, place: &Place) -> Option<DeviceView> {
        let known: Vec<IdentityView> = place.ask(&["identities"]);
        let own = known
            .into_iter()
            .find(|of| of.selector.as_str() == self.selector())?;
        assert_eq!(own.kind, "device");
        assert!(own.first_seen <= own.last_seen);
        own.device
    }

    /// What it has sent to a port of the server, once that holds.
    fn destination(
        &self,
        place: &Place,
        port: u16,
        holds: impl Fn(&DestinationView) -> bool,
    ) -> DestinationView {
        let deadline = Instant::now() + patiently(Duration::from_secs(30));
        loop {
            let seen = self.seen(place);
            let all = seen.iter().flat_map(|of| &of.destinations);
            let mut own = all.filter(|of| of.port == port && of.address.to_string() == SERVER);
            if let Some(found) = own.find(|of| holds(of)) {
                return found.clone();
            }
            assert!(
                Instant::now() < deadline,
                "port {port}: {seen:#?}\n{}",
                place.log()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

#[test]
fn devices_behind_a_gateway_are_named_and_their_traffic_is_counted() {
    let _host = shared();
    let scene = Scene::new();
    let place = Place::with(GATEWAY);
    let _server = scene.serve(8883);
    let daemon = scene.watch(&place);
    let [camera, meter] = &scene.devices;
    camera.connects(8883, 100_000);
    meter.connects(8883, 300);
    meter.sends(5683, 3, 0);

    // Closed: all of it is told. A frame has at most 60 bytes of TCP's headers and 60 of IP's.
    let fits = |of: &DestinationView, sent: u64| {
        let most = sent + of.sent.packets * 120;
        (sent..=most).contains(&of.sent.bytes) && of.received.bytes >= 200
    };
    let of_camera = camera.destination(&place, 8883, |of| fits(of, 100_000));
    assert_eq!((of_camera.protocol, of_camera.flows), (Protocol::Tcp, 1));
    assert!(
        of_camera.sent.packets > 60,
        "segments are counted: {of_camera:#?}"
    );
    let of_meter = meter.destination(&place, 8883, |of| fits(of, 300));
    assert_eq!(of_meter.flows, 1);
    let of_meter = meter.destination(&place, 5683, |of| of.sent.packets == 3);
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
    meter.connects(8883, 300);
    meter.destination(&place, 8883, |_| true);
    camera.connects(8883, 300);
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

    // And by its address; a device that is restored is quiet.
    place.restore(camera.selector());
    place.retire(format!("device:ip:{}", meter.address));
    meter.sends(5683, 1, 0);
    let by_address = |alert: &Alert| alert.id == ACTIVE && meter.is_in(alert);
    let alert = place.wait("the meter", by_address);
    let says = format!("sent 1 packet (128 bytes) to {SERVER}:5683 over UDP");
    assert!(alert.summary.ends_with(&says), "{}", alert.summary);
    assert!(
        alert.summary.contains(&format!("({})", meter.mac)),
        "{}",
        alert.summary
    );
    camera.connects(8883, 300);
    camera.destination(&place, 8883, |of| of.flows == 2);
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
    camera.sends(5_000, 40_000, 1);
    // Another device is not hidden by it.
    meter.sends(5683, 1, 0);
    meter.destination(&place, 5683, |of| of.sent.packets == 1);
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

#[test]
fn an_interface_that_goes_is_told_and_one_that_comes_is_watched() {
    let _host = shared();
    let scene = Scene::new();
    let [camera, meter] = &scene.devices;
    scene.unplug(camera);
    let place = Place::with(GATEWAY);
    let _server = scene.serve(8883);
    let _daemon = scene.watch(&place);
    let missing = |device: &Device| {
        let hook = format!("gateway_flow on {}", device.interface);
        move |alert: &Alert| alert.id == DetectionId::HookFailed && alert.summary.contains(&hook)
    };
    let alert = place.wait("the camera's interface", missing(camera));
    assert!(
        alert.summary.contains("there is no interface iot1"),
        "{}",
        alert.summary
    );
    assert_eq!(place.all(missing(meter)), []);
    // The other is watched meanwhile, and `doctor` says which is not.
    meter.connects(8883, 300);
    meter.destination(&place, 8883, |of| of.flows == 1);
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
    camera.connects(8883, 300);
    camera.destination(&place, 8883, |of| of.flows == 1);
    // It goes while the daemon runs, and comes back as another of the same name.
    scene.unplug(meter);
    place.wait("the meter's interface", missing(meter));
    scene.plug(meter);
    place.until("it is watched again", watched);
    meter.connects(8883, 300);
    meter.destination(&place, 8883, |of| of.flows == 2);
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
