//! Ordinary changes, which should raise nothing: they happen to roles, services and the calendar, and
//! what follows from them is labelled.

mod by_calendar;

use std::net::SocketAddr;

use monitor::model::{Task, Timestamp};

use crate::busy::Busy;
use crate::calendar::{DAY, SECOND, hours};
use crate::casting::contained;
use crate::label::Label;
use crate::parameters::{Network, Service, When};
use crate::places::Place;
use crate::player::{Extra, Life, is_deployable};
use crate::random::{Random, Source};
use crate::routine::Cast;
use crate::scene::Scene;

/// How often another time or identity is drawn where one does not do.
const DRAWS: usize = 50;

/// Kinds that are drawn; the others follow from the calendar.
const KINDS: [Change; 6] = [
    Change::Deploy,
    Change::Failover,
    Change::NewEndpoint,
    Change::Holiday,
    Change::ScaleOut,
    Change::Rotation,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Deploy,
    Failover,
    NewEndpoint,
    Holiday,
    ScaleOut,
    Rotation,
}

/// Draws what a host has, and makes it happen. Must come before the first day. `turn` is the host's
/// number: each begins with another kind.
pub(crate) fn draw(
    cast: &mut Cast<'_>,
    turn: usize,
    source: &Source,
    busy: &mut Busy,
    scene: &mut Scene,
) -> Vec<Label> {
    let mut labels = by_calendar::labels(cast);
    let per_host = cast.parameters.benign.per_host as usize;
    for number in 0..per_host {
        let first = turn * per_host + number;
        // Where a host has nothing to which a kind can happen, the next one does.
        for next in 0..KINDS.len() {
            let source = source.at(number as u64).at(next as u64);
            let Some(kind) = KINDS.get((first + next) % KINDS.len()) else {
                continue;
            };
            let drawn = Drawing {
                settle: hours(cast.parameters.benign.settle_hours),
                random: source.stream(),
                source,
                busy: &mut *busy,
                scene: &mut *scene,
                cast: &mut *cast,
            };
            let made = drawn.make(*kind);
            if !made.is_empty() {
                labels.extend(made);
                break;
            }
        }
    }
    labels
}

/// One change.
struct Drawing<'a, 'p> {
    cast: &'a mut Cast<'p>,
    busy: &'a mut Busy,
    scene: &'a mut Scene,
    source: Source,
    random: Random,
    settle: i64,
}

impl Drawing<'_, '_> {
    fn make(mut self, kind: Change) -> Vec<Label> {
        match kind {
            Change::Deploy => self.deploy(),
            Change::Failover => self.failover(),
            Change::NewEndpoint => self.new_endpoint(),
            Change::Holiday => self.holiday(),
            Change::ScaleOut => self.scale_out(),
            Change::Rotation => self.rotation(),
        }
    }

    /// In working hours after the learning time, early enough that what follows can be seen.
    fn time(&mut self) -> Timestamp {
        let calendar = &self.cast.calendar;
        let latest = (calendar.end.0 - self.settle).max(calendar.warm.0 + 1);
        let mut at = calendar.warm;
        for _ in 0..DRAWS {
            let drawn = self.random.between(calendar.warm.0 as f64, latest as f64);
            // Whole seconds, so that the platform's rounding of large numbers does not matter.
            at = Timestamp(drawn as i64 / SECOND * SECOND);
            let local = calendar.local(at);
            if (8..18).contains(&local.hour()) && !calendar.is_day_off(local.date()) {
                break;
            }
        }
        at.max(calendar.warm)
    }

    /// An identity and a time at which nothing else happens to it.
    fn player(&mut self, fits: impl Fn(&Cast<'_>, usize) -> bool) -> Option<(usize, Timestamp)> {
        let players = 0..self.cast.players.len();
        let fitting: Vec<usize> = players.filter(|player| fits(self.cast, *player)).collect();
        for _ in 0..DRAWS {
            let player = *self.random.one_of(&fitting)?;
            let at = self.time();
            if self.busy.take(player, at, Timestamp(at.0 + self.settle)) {
                return Some((player, at));
            }
        }
        None
    }

    fn label(
        &self,
        kind: &str,
        player: usize,
        destination: Option<SocketAddr>,
        begin: Timestamp,
        note: String,
    ) -> Option<Label> {
        Some(Label {
            kind: kind.to_owned(),
            identity: self.cast.players.get(player)?.selector.clone(),
            destination,
            begin,
            end: Timestamp((begin.0 + self.settle).min(self.cast.calendar.end.0)),
            benign: true,
            note,
        })
    }

    /// A new version: new inodes, a restart, and a new destination.
    fn deploy(&mut self) -> Vec<Label> {
        let drawn = self.player(|cast, player| {
            cast.players.get(player).is_some_and(|player| {
                let own = player.role.program.iter();
                let jobs = player
                    .role
                    .activities
                    .iter()
                    .filter_map(|of| of.program.as_ref());
                player.device.is_none() && own.chain(jobs).any(|path| is_deployable(path))
            })
        });
        let Some((player, at)) = drawn else {
            return Vec::new();
        };
        self.restart(player, at);
        let _ = self.extra(player, at);
        let note = "a new version, with a destination of its own".to_owned();
        self.label("deploy", player, None, at, note)
            .into_iter()
            .collect()
    }

    /// Ends what runs, and starts it anew from other inodes; a container in another cgroup.
    fn restart(&mut self, player: usize, at: Timestamp) {
        let Some(of) = self.cast.players.get_mut(player) else {
            return;
        };
        let Some(old) = of.lives.last().cloned() else {
            return;
        };
        let from = Timestamp(at.0 + 2 * SECOND);
        let mut life = Life {
            from,
            ..old.clone()
        };
        if old.root != crate::scene::ROOT_DEVICE {
            (life.task.cgroup, life.root) = contained(of, at, self.scene);
        }
        of.lives.push(life.clone());
        let Some(path) = &of.role.program else {
            // Its jobs are started by somebody else, who goes on.
            if let Some(last) = of.lives.last_mut() {
                last.task = Task {
                    cgroup: life.task.cgroup,
                    ..old.task
                };
            }
            return;
        };
        let task = Task {
            pid: self.scene.pid(),
            start: from,
            exe: of.program(path, from),
            ..life.task
        };
        // What is open is finished first.
        self.scene.exit(Timestamp(from.0 + 30 * SECOND), &old.task);
        self.scene.exec(from, &task, path);
        if let Some(last) = of.lives.last_mut() {
            last.task = task;
        }
    }

    /// A destination that is new, used as often as those that it stands behind.
    fn extra(&mut self, player: usize, from: Timestamp) -> Option<SocketAddr> {
        let count = self.cast.players.get(player)?.role.activities.len();
        let activity = self.random.below(count);
        let role = self.cast.players.get(player)?.role;
        let step = self
            .random
            .one_of(&role.activities.get(activity)?.steps)?
            .clone();
        let word = self.source.of("endpoint").number() & 0xffff;
        let service = Service {
            name: format!("endpoint {word:x}"),
            dns: Some(format!("api-{word:x}.partner.example")),
            port: 443,
            protocol: monitor::model::Protocol::Tcp,
            network: Network::Internet,
            addresses: 1,
            shown: 1,
            ttl: 300.0,
            renewed: None,
            crowd: None,
            fails_over: false,
            scales: false,
            store: false,
        };
        let place = Place::new(&service, &self.source);
        let address = place.target(from, &mut self.random).address;
        let extra = Extra {
            from,
            activity,
            step,
            place,
        };
        self.cast.players.get_mut(player)?.extras.push(extra);
        Some(address)
    }

    fn new_endpoint(&mut self) -> Vec<Label> {
        let Some((player, at)) = self.player(|_, _| true) else {
            return Vec::new();
        };
        let address = self.extra(player, at);
        let note = "an API that is used from now on".to_owned();
        self.label("new-endpoint", player, address, at, note)
            .into_iter()
            .collect()
    }

    /// The players that connect to a service.
    fn users(&self, place: usize) -> Vec<usize> {
        let Some(place) = self.cast.places.get(place) else {
            return Vec::new();
        };
        let players = self.cast.players.iter().enumerate();
        let uses = players.filter(|(_, player)| {
            let mut steps = player.role.activities.iter().flat_map(|of| &of.steps);
            steps.any(|step| step.to == place.service.name)
        });
        uses.map(|(player, _)| player).collect()
    }

    /// A service to which something may happen, and who uses it.
    fn place(&mut self, fits: impl Fn(&Service) -> bool) -> Option<(usize, Vec<usize>)> {
        let places = self.cast.places.iter().enumerate();
        let fitting = places.filter(|(_, place)| fits(&place.service));
        let fitting = fitting.map(|(place, _)| (place, self.users(place)));
        let fitting: Vec<_> = fitting.filter(|(_, users)| !users.is_empty()).collect();
        self.random.one_of(&fitting).cloned()
    }

    fn failover(&mut self) -> Vec<Label> {
        let Some((place, users)) = self.place(|of| of.fails_over) else {
            return Vec::new();
        };
        let at = self.time();
        let Some(of) = self.cast.places.get_mut(place) else {
            return Vec::new();
        };
        of.moves.push(at);
        let name = of.service.name.clone();
        let single = of.service.addresses == 1 && of.service.crowd.is_none();
        let address = of.target(at, &mut self.random).address;
        let users = users.into_iter();
        let labels = users.filter_map(|player| {
            let until = Timestamp(at.0 + self.settle);
            self.busy.hold(player, at, until);
            let note = format!("{name} has another address");
            self.label("failover", player, single.then_some(address), at, note)
        });
        labels.collect()
    }

    fn scale_out(&mut self) -> Vec<Label> {
        let Some((place, users)) = self.place(|of| of.scales) else {
            return Vec::new();
        };
        let at = self.time();
        let [low, high] = self.cast.parameters.benign.scale_out;
        let more = u64::from(low) + self.random.below((high - low + 1) as usize) as u64;
        let Some(of) = self.cast.places.get_mut(place) else {
            return Vec::new();
        };
        of.grows.push((at, more));
        let name = of.service.name.clone();
        let users = users.into_iter();
        let labels = users.filter_map(|player| {
            let until = Timestamp(at.0 + self.settle);
            self.busy.hold(player, at, until);
            let note = format!("{name} has {more} addresses more");
            self.label("scale-out", player, None, at, note)
        });
        labels.collect()
    }

    fn rotation(&mut self) -> Vec<Label> {
        let fits = |cast: &Cast<'_>, player: usize| {
            let player = cast.players.get(player);
            player.is_some_and(|player| !player.files.is_empty())
        };
        let Some((player, at)) = self.player(fits) else {
            return Vec::new();
        };
        let Some(of) = self.cast.players.get_mut(player) else {
            return Vec::new();
        };
        for file in &mut of.files {
            file.renew(at);
        }
        // What runs for long takes up the new one soon.
        let Some(life) = of.life(at).filter(|_| of.runs()) else {
            let note = "its credentials are new".to_owned();
            return self
                .label("rotation", player, None, at, note)
                .into_iter()
                .collect();
        };
        let read = Timestamp(at.0 + 5 * SECOND);
        for file in &of.files {
            self.scene.read(read, &life.task, file.at(read), &file.path);
        }
        let note = "its credentials are new, and read at once".to_owned();
        self.label("rotation", player, None, at, note)
            .into_iter()
            .collect()
    }

    /// A weekday on which nobody works.
    fn holiday(&mut self) -> Vec<Label> {
        if !self.cast.calendar.holidays.is_empty() {
            return Vec::new();
        }
        let at = self.time();
        let calendar = &mut self.cast.calendar;
        let date = calendar.local(at).date();
        let Some(begin) = calendar
            .moment(date, 0, 0)
            .filter(|_| !calendar.is_day_off(date))
        else {
            return Vec::new();
        };
        calendar.holidays.push(date);
        let rests = |when: &When| matches!(when, When::Random { weekend, .. } if *weekend < 1.0);
        let players = self.cast.players.iter();
        let resting = players.filter(|of| of.role.activities.iter().any(|of| rests(&of.when)));
        let end = Timestamp((begin.0 + DAY).min(self.cast.calendar.end.0));
        let labels = resting.map(|player| Label {
            kind: "holiday".to_owned(),
            identity: player.selector.clone(),
            destination: None,
            begin,
            end,
            benign: true,
            note: format!("{date} is like a Sunday"),
        });
        labels.collect()
    }
}
