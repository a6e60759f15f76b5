//! Two devices, a server, and between them a network namespace that forwards.

use std::process::Command;
use std::time::{Duration, Instant};

use monitor::control::devices::{DestinationView, DeviceView};
use monitor::control::protocol::IdentityView;
use monitor::evaluation::is_scored;
use monitor::model::Alert;

use crate::live::daemon::{Daemon, Place, patiently, program};
use crate::live::host::{Partner, act, command, program as path_of, python, run};

pub(super) const SERVER: &str = "198.51.100.7";
pub(super) const SERVER_V6: &str = "2001:db8:7::7";

/// A network namespace that lasts as long as the process that has made it.
pub(super) struct Host(Partner);

impl Host {
    pub(super) fn new() -> Self {
        // Who speaks IPv6 by itself sends what no test has asked for.
        let line = "for of in all default; do echo 1 > /proc/sys/net/ipv6/conf/$of/disable_ipv6; done\n\
                    ip link set lo up; echo ready; read -r end";
        let mut holder = command("unshare", &[&"--net", &path_of("sh"), &"-ec", &line]);
        Self(Partner::start(&mut holder))
    }

    pub(super) fn pid(&self) -> u32 {
        self.0.pid()
    }

    /// Runs a command in it.
    pub(super) fn enter(&self, command_line: &Command) -> Command {
        let network = format!("--net=/proc/{}/ns/net", self.pid());
        let mut within = command("nsenter", &[&network]);
        within.arg(command_line.get_program());
        within.args(command_line.get_args());
        within
    }

    pub(super) fn shell(&self, line: &str) {
        self.says(line);
    }

    /// Runs a line that may fail, with what it says then.
    pub(super) fn try_shell(&self, line: &str) -> Result<(), String> {
        let done = act(&mut self.enter(&command("sh", &[&"-ec", &line])));
        if done.output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&done.output.stderr).into_owned())
        }
    }

    /// What a line prints.
    pub(super) fn says(&self, line: &str) -> String {
        let done = run(&mut self.enter(&command("sh", &[&"-ec", &line])));
        String::from_utf8(done.output.stdout).unwrap()
    }

    pub(super) fn python(&self, script: &str, args: &[&dyn AsRef<std::ffi::OsStr>]) -> Command {
        self.enter(&python(script, args))
    }
}

/// Two devices behind a gateway, and a server beyond it.
pub(super) struct Scene {
    pub(super) gateway: Host,
    pub(super) devices: [Device; 2],
    pub(super) server: Host,
}

pub(super) struct Device {
    pub(super) host: Host,
    pub(super) interface: String,
    pub(super) mac: String,
    pub(super) address: String,
    pub(super) address_v6: String,
    /// The hardware address of the gateway's end.
    pub(super) gateway_mac: String,
}

impl Scene {
    pub(super) fn new() -> Self {
        let gateway = Host::new();
        let server = Host::new();
        let devices = [1, 2].map(|number| Device {
            host: Host::new(),
            interface: format!("iot{number}"),
            mac: format!("02:00:5e:10:00:0{number}"),
            address: format!("192.168.5{number}.7"),
            address_v6: format!("2001:db8:5{number}::7"),
            gateway_mac: format!("02:00:5e:10:01:0{number}"),
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
    pub(super) fn plug(&self, device: &Device) {
        let Device {
            host,
            interface,
            mac,
            address,
            gateway_mac,
            ..
        } = device;
        let network = address.trim_end_matches(".7");
        self.gateway.shell(&format!(
            "ip link add {interface} address {gateway_mac} type veth peer name eth0 address {mac} netns {}\n\
             ip address add {network}.1/24 dev {interface}; ip link set {interface} up",
            host.pid()
        ));
        host.shell(&format!(
            "ip address add {address}/24 dev eth0; ip link set eth0 up\n\
             ip route add default via {network}.1"
        ));
    }

    /// Gives all of them IPv6, beside which neighbours are discovered.
    pub(super) fn speak_ipv6(&self) {
        let up =
            "for of in all default; do echo 0 > /proc/sys/net/ipv6/conf/$of/disable_ipv6; done\n";
        self.gateway.shell(&format!(
            "{up} echo 1 > /proc/sys/net/ipv6/conf/all/forwarding\n\
             ip address add 2001:db8:7::1/64 dev up0 nodad"
        ));
        self.server.shell(&format!(
            "{up} ip address add {SERVER_V6}/64 dev eth0 nodad\n\
             ip route add default via 2001:db8:7::1"
        ));
        for device in &self.devices {
            let network = device.address_v6.trim_end_matches('7');
            let interface = &device.interface;
            self.gateway.shell(&format!(
                "ip address add {network}1/64 dev {interface} nodad"
            ));
            device.host.shell(&format!(
                "{up} ip address add {network}7/64 dev eth0 nodad\n\
                 ip route add default via {network}1"
            ));
        }
    }

    /// Tells a device and the gateway the hardware address of each other, so that neither asks.
    pub(super) fn know_each_other(&self, device: &Device) {
        let gateway = device.address.replace(".7", ".1");
        device.host.shell(&format!(
            "ip neigh replace {gateway} lladdr {} nud permanent dev eth0",
            device.gateway_mac
        ));
        self.gateway.shell(&format!(
            "ip neigh replace {} lladdr {} nud permanent dev {}",
            device.address, device.mac, device.interface
        ));
    }

    pub(super) fn unplug(&self, device: &Device) {
        self.gateway
            .shell(&format!("ip link del {}", device.interface));
    }

    /// The daemon on the gateway.
    pub(super) fn watch<'a>(&self, place: &'a Place) -> Daemon<'a> {
        let daemon = Command::new(program());
        Daemon::start_by(place, self.gateway.enter(&daemon))
    }

    /// A server that reads all that comes on each connection, and answers with 200 bytes.
    pub(super) fn serve(&self, port: u16) -> Partner {
        let script = "import socket, sys\n\
            s = socket.create_server(('', int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True)\n\
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
    pub(super) fn selector(&self) -> String {
        format!("device:mac:{}", self.mac)
    }

    /// Sends so many bytes over TCP, and takes in what is answered.
    pub(super) fn connects(&self, to: &str, port: u16, bytes: usize) {
        let script = "import socket, sys\n\
            host, port, many = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])\n\
            s = socket.create_connection((host, port), 10)\n\
            s.sendall(b'd' * many)\n\
            s.shutdown(socket.SHUT_WR)\n\
            assert len(s.recv(1000, socket.MSG_WAITALL)) == 200";
        let (port, bytes) = (port.to_string(), bytes.to_string());
        run(&mut self.host.python(script, &[&to, &port, &bytes]));
    }

    /// Sends so many datagrams of 100 bytes from one port, each to the port after the one before, or
    /// all to one.
    pub(super) fn sends(&self, to: &str, port: u16, many: usize, step: u16) {
        let script = "import socket, sys\n\
            host, port, many, step = sys.argv[1], *map(int, sys.argv[2:])\n\
            s = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET, socket.SOCK_DGRAM)\n\
            for n in range(many):\n\
            \x20   s.sendto(b'd' * 100, (host, port + n * step))";
        let [port, many, step] = [port.to_string(), many.to_string(), step.to_string()];
        run(&mut self.host.python(script, &[&to, &port, &many, &step]));
    }

    /// Whether a rule tells of it. What a device does here for the first time may be unusual, and that is
    /// no matter of these tests.
    pub(super) fn is_in(&self, alert: &Alert) -> bool {
        let is_named = alert.summary.contains(&self.mac) || alert.summary.contains(&self.address);
        is_named && !is_scored(alert.id)
    }

    pub(super) fn seen(&self, place: &Place) -> Option<DeviceView> {
        let known: Vec<IdentityView> = place.ask(&["identities"]);
        let own = known
            .into_iter()
            .find(|of| of.selector.as_str() == self.selector())?;
        assert_eq!(own.kind, "device");
        assert!(own.first_seen <= own.last_seen);
        own.device
    }

    /// What it has sent to a port of an address, once that holds.
    pub(super) fn destination(
        &self,
        place: &Place,
        to: &str,
        port: u16,
        holds: impl Fn(&DestinationView) -> bool,
    ) -> DestinationView {
        let deadline = Instant::now() + patiently(Duration::from_secs(30));
        loop {
            let seen = self.seen(place);
            let all = seen.iter().flat_map(|of| &of.destinations);
            let mut own = all.filter(|of| of.port == port && of.address.to_string() == to);
            if let Some(found) = own.find(|of| holds(of)) {
                return found.clone();
            }
            assert!(
                Instant::now() < deadline,
                "{to} port {port}: {seen:#?}\n{}",
                place.log()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}
