//! From roles to a host's identities: accounts, cgroups, containers, the processes that were there
//! before, and the files that lie on it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use anyhow::Result;
use monitor::model::{
    Account, AccountClass, Container, Fact, MacAddress, Password, Selector, Task, Timestamp,
};

use crate::calendar::{Calendar, DAY, SECOND, hours};
use crate::parameters::{Identity, Parameters, Role};
use crate::places::Place;
use crate::player::{File, Life, Player, program};
use crate::random::{Random, Source};
use crate::routine::Cast;
use crate::scene::{Device, ROOT_DEVICE, Scene};

/// The uid within containers, which no account of the host has.
const CONTAINED: u32 = 10_001;
/// Accounts of services have uids up to this one.
const SYSTEM_UIDS: u32 = 990;
const INIT: &str = "/usr/lib/systemd/systemd";

/// Puts together who is on a host, and tells what the daemon finds when it starts.
pub(crate) struct Casting<'a> {
    pub(crate) host: Source,
    pub(crate) random: Random,
    pub(crate) scene: &'a mut Scene,
    begin: Timestamp,
    users: BTreeMap<String, u32>,
    devices: u16,
    /// Cgroups of units that have several members.
    units: BTreeMap<String, u64>,
}

impl<'a> Casting<'a> {
    pub(crate) fn new(host: &Source, begin: Timestamp, scene: &'a mut Scene) -> Self {
        Self {
            host: host.clone(),
            random: host.of("casting").stream(),
            scene,
            begin,
            users: BTreeMap::new(),
            devices: 0,
            units: BTreeMap::new(),
        }
    }

    /// Everybody on a host of a kind, and the credentials that nobody reads.
    pub(crate) fn cast<'p>(
        mut self,
        parameters: &'p Parameters,
        kind: &str,
        calendar: Calendar,
        world: &Source,
    ) -> Result<(Cast<'p>, Vec<File>)> {
        self.scene.fact(self.begin, Fact::Restored);
        self.user("root");
        let init = self.unit_cgroup("/init.scope");
        let init = self.runs(INIT, 0, init, ROOT_DEVICE, 1);
        let resolver = self.user("systemd-resolve");
        let cgroup = self.unit_cgroup("/system.slice/systemd-resolved.service");
        let resolver = self.runs(
            "/usr/lib/systemd/systemd-resolved",
            resolver,
            cgroup,
            ROOT_DEVICE,
            300,
        );
        self.scene.set_resolver(resolver);
        let cgroup = self.unit_cgroup("/system.slice/cron.service");
        let cron = self.runs("/usr/sbin/cron", 0, cgroup, ROOT_DEVICE, 301);
        let mut players = Vec::new();
        for role in parameters.roles_of(kind) {
            let [low, high] = role.instances;
            let count = low + self.random.below((high - low + 1) as usize) as u32;
            for number in 1..=count {
                players.push(self.player(role, number, &init, &cron, &calendar)?);
            }
        }
        let idle = parameters.idle.iter();
        let idle = idle.map(|of| File::new(of, 0, 0, self.begin, &self.host));
        let idle: Vec<File> = idle.collect();
        let since = None;
        let watching = Fact::Watching {
            since,
            rebooted: false,
        };
        self.scene.fact(self.begin, watching);
        let places = parameters.services.iter().map(|of| Place::new(of, world));
        let cast = Cast {
            parameters,
            calendar,
            places: places.collect(),
            players,
        };
        Ok((cast, idle))
    }

    fn player<'p>(
        &mut self,
        role: &'p Role,
        number: u32,
        init: &Task,
        cron: &Task,
        calendar: &Calendar,
    ) -> Result<Player<'p>> {
        let source = self.host.of("role").of(&role.name).at(u64::from(number));
        let named = |text: &str| text.replace("{n}", &number.to_string());
        let mut device = None;
        let mut job = None;
        let uid;
        let selector: Selector = match &role.identity {
            Identity::Unit { name, user } => {
                uid = self.user(&named(user));
                format!("systemd:unit:{}", named(name)).parse()?
            }
            Identity::Account { user } => {
                uid = self.user(&named(user));
                format!("unix:user:{}", named(user)).parse()?
            }
            Identity::Container { image, .. } => {
                uid = CONTAINED;
                format!("container:image:{}", named(image)).parse()?
            }
            Identity::Pod {
                namespace, account, ..
            } => {
                uid = CONTAINED;
                format!("k8s:sa:{namespace}/{}", named(account)).parse()?
            }
            Identity::Job {
                system,
                job: name,
                user,
                ..
            } => {
                uid = self.user(&named(user));
                let selector: Selector = format!("ci:{system}:{}", named(name)).parse()?;
                job = Some(selector.clone());
                selector
            }
            Identity::Device { vendor } => {
                uid = 0;
                let [a, b, c, ..] = source.of("mac").number().to_be_bytes();
                let mac: MacAddress = format!("{vendor}:{a:02x}:{b:02x}:{c:02x}").parse()?;
                let [.., a, b] = self.next_address().to_be_bytes();
                let address = Ipv4Addr::new(192, 168, a, b);
                device = Some(Device { mac, address });
                Selector::device_mac(mac)
            }
        };
        let files = role.credentials.iter();
        let files = files.map(|of| File::new(of, number, uid, self.begin, &self.host));
        let mut player = Player {
            role,
            number,
            selector,
            uid,
            files: files.collect(),
            silences: silences(role, calendar, &source),
            source,
            device,
            job,
            lives: Vec::new(),
            extras: Vec::new(),
        };
        if device.is_none() {
            let life = self.life(&player, init, cron);
            player.lives.push(life);
        }
        Ok(player)
    }

    /// The process that it is, or that starts its jobs.
    fn life(&mut self, player: &Player<'_>, init: &Task, cron: &Task) -> Life {
        let mut root = ROOT_DEVICE;
        let cgroup = match &player.role.identity {
            Identity::Unit { name, .. } | Identity::Job { unit: name, .. } => {
                self.unit_cgroup(&format!("/system.slice/{}", player.named(name)))
            }
            Identity::Account { .. } | Identity::Device { .. } => cron.cgroup,
            Identity::Container { .. } | Identity::Pod { .. } => {
                let (cgroup, of) = contained(player, self.begin, self.scene);
                root = of;
                cgroup
            }
        };
        let task = match (&player.role.program, &player.role.identity) {
            (Some(path), _) => {
                let pid = self.scene.pid();
                self.runs(path, player.uid, cgroup, root, pid)
            }
            (None, Identity::Account { .. }) => cron.clone(),
            (None, _) => Task {
                cgroup,
                uid: player.uid,
                ..init.clone()
            },
        };
        Life {
            from: self.begin,
            task,
            root,
        }
    }

    /// A process that was there before the daemon.
    fn runs(&mut self, path: &str, uid: u32, cgroup: u64, root: u64, pid: u32) -> Task {
        let before = hours(self.random.between(1.0, 24.0 * 20.0));
        let task = Task {
            pid,
            start: Timestamp(self.begin.0 - before),
            ppid: u32::from(pid != 1),
            parent_start: Timestamp(self.begin.0 - 30 * DAY),
            uid,
            euid: uid,
            gid: uid,
            login_uid: None,
            session: None,
            cgroup,
            cgroup_v1: 0,
            exe: program(root, path, u64::from(crate::player::is_deployable(path))),
            tty: None,
        };
        let fact = Fact::Running {
            task: task.clone(),
            path: Some(path.to_owned()),
            permitted: None,
        };
        self.scene.fact(self.begin, fact);
        task
    }

    /// Within 192.168.0.0/16, as a number.
    fn next_address(&mut self) -> u32 {
        self.devices += 1;
        50 * 256 + 9 + u32::from(self.devices)
    }

    fn unit_cgroup(&mut self, path: &str) -> u64 {
        if let Some(id) = self.units.get(path) {
            return *id;
        }
        let id = self.scene.cgroup(self.begin, path.to_owned());
        self.units.insert(path.to_owned(), id);
        id
    }

    /// The uid of an account, which is made where there is none.
    fn user(&mut self, name: &str) -> u32 {
        if let Some(uid) = self.users.get(name) {
            return *uid;
        }
        let uid = match name {
            "root" => 0,
            _ => SYSTEM_UIDS - self.users.len() as u32,
        };
        self.users.insert(name.to_owned(), uid);
        let account = Account {
            class: if uid == 0 {
                AccountClass::Root
            } else {
                AccountClass::System
            },
            shell: uid == 0,
            password: Password::Locked,
        };
        let fact = Fact::UserName {
            uid,
            name: Some(name.to_owned()),
            account: Some(account),
        };
        self.scene.fact(self.begin, fact);
        uid
    }
}

/// A container of a player that is made at a time: its cgroup, and the device of its root.
pub(crate) fn contained(player: &Player<'_>, at: Timestamp, scene: &mut Scene) -> (u64, u64) {
    let source = player.source.of("container").at(player.lives.len() as u64);
    let id: String = (0..4)
        .map(|part| format!("{:016x}", source.at(part).number()))
        .collect();
    let root = 60 + (source.of("root").number() & 0xffff);
    let pod = &source.of("pod").number().to_string();
    let path = match &player.role.identity {
        Identity::Pod { .. } => format!(
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{pod}.slice/\
             cri-containerd-{id}.scope"
        ),
        _ => format!("/system.slice/docker-{id}.scope"),
    };
    let cgroup = scene.cgroup(at, path);
    let mut container = Container {
        id,
        device: Some(root),
        ..Container::default()
    };
    match &player.role.identity {
        Identity::Container { image, name } => {
            container.image = Some(player.named(image));
            container.name = Some(player.named(name));
        }
        Identity::Pod {
            namespace,
            account,
            image,
        } => {
            container.image = Some(player.named(image));
            container.name = Some(player.named(account));
            container.namespace = Some(namespace.clone());
            container.pod = Some(format!(
                "{}-{:08x}",
                player.named(account),
                source.number() >> 32
            ));
            container.service_account = Some(player.selector.clone());
        }
        _ => {}
    }
    scene.fact(at, Fact::Container(Box::new(container)));
    (cgroup, root)
}

/// When a role does nothing, drawn for the whole time.
fn silences(role: &Role, calendar: &Calendar, source: &Source) -> Vec<(Timestamp, Timestamp)> {
    let mut random = source.of("silences").stream();
    let mut silences = Vec::new();
    if role.silences <= 0.0 {
        return silences;
    }
    let mut at = calendar.begin;
    loop {
        at.0 =
            at.0.saturating_add(hours(random.exponential(24.0 / role.silences)).max(SECOND));
        if at >= calendar.end {
            return silences;
        }
        let [low, high] = role.silence_hours;
        let end = Timestamp(at.0 + hours(random.between_magnitudes(low, high)));
        silences.push((at, end));
        at = end;
    }
}
