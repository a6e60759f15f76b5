//! What each kind of attack does.

use monitor::model::{Protocol, Task, Timestamp};

use super::{Act, Kind};
use crate::calendar::{DAY, SECOND, hours, seconds};
use crate::parameters::{Range, Step, When};
use crate::places::{Place, Target, fresh};
use crate::player::{File, Player};
use crate::random::Random;
use crate::routine::{Cast, bytes};
use crate::scene::Exchange;

/// No attack makes more connections than this.
const MOST_CONNECTIONS: usize = 20_000;
/// None that is a multiple of something moves more bytes than this.
const MOST_BYTES: f64 = 1e11;
/// Only what is done more often than this in an hour can be done too often.
const RATE_AT_LEAST: f64 = 0.5;

/// The steps of a player with how often each is come to in an hour, and how many connections it makes
/// then, on average.
fn rates<'a>(player: &'a Player<'_>) -> impl Iterator<Item = (&'a Step, f64, f64)> {
    player.role.activities.iter().flat_map(|activity| {
        let runs = match &activity.when {
            When::Random { a_day, .. } => a_day / 24.0,
            When::Every { seconds, .. } => 3600.0 / seconds,
            When::At {
                day,
                weekday,
                hours,
                ..
            } => {
                let days = match (day, weekday) {
                    (Some(_), _) => 30.0,
                    (None, Some(_)) => 7.0,
                    (None, None) => 1.0,
                };
                let a_day = if hours.is_empty() {
                    24.0
                } else {
                    hours.len() as f64
                };
                a_day / 24.0 / days
            }
        };
        activity.steps.iter().map(move |step| {
            let [low, high] = step.times;
            (step, runs * step.chance, f64::from(low + high) / 2.0)
        })
    })
}

/// Those that are come to often enough to have a rate, with their connections in an hour.
pub(super) fn usual_rates<'a>(player: &'a Player<'_>) -> impl Iterator<Item = (&'a Step, f64)> {
    let often = rates(player).filter(|(_, rate, _)| *rate >= RATE_AT_LEAST);
    often.map(|(step, rate, times)| (step, rate * times))
}

/// The steps of a player over TCP: over UDP nobody counts bytes.
pub(super) fn known<'a>(
    player: &'a Player<'_>,
    cast: &'a Cast<'_>,
) -> impl Iterator<Item = (&'a Step, &'a Place)> {
    let steps = player.role.activities.iter().flat_map(|of| &of.steps);
    let steps = steps.filter_map(|step| Some((step, cast.place(&step.to)?)));
    steps.filter(|(_, place)| place.service.protocol == Protocol::Tcp)
}

/// Those of them to services where an attacker can fetch what was put there.
pub(super) fn stores<'a>(
    player: &'a Player<'_>,
    cast: &'a Cast<'_>,
) -> impl Iterator<Item = (&'a Step, &'a Place)> {
    known(player, cast).filter(|(_, place)| place.service.store)
}

/// How many bytes a player sends to a service on an average day.
fn bytes_a_day(player: &Player<'_>, service: &str) -> f64 {
    let steps = rates(player).filter(|(step, ..)| step.to == service);
    let bytes = steps.map(|(step, rate, times)| {
        let sigma = step.sent.sigma;
        // The mean of a log-normal distribution.
        rate * times * 24.0 * step.sent.median * libm::exp(sigma * sigma / 2.0)
    });
    bytes.sum()
}

impl Act<'_, '_> {
    /// Does it. Returns how strong it was, for people.
    pub(super) fn perform(&mut self, kind: Kind) -> String {
        let note = match kind {
            Kind::IdentitySwap => self.identity_swap(),
            Kind::Exfiltration => self.exfiltration(),
            Kind::SlowLeak => self.slow_leak(),
            Kind::Beacon => self.beacon(),
            Kind::Harvest => self.harvest(),
            Kind::LivingOffAllowed => self.living_off_allowed(),
            Kind::PoisonedWarmUp => self.poisoned_warm_up(),
            Kind::Rate => self.rate(),
            Kind::UnusualHour => self.unusual_hour(),
        };
        self.hand.leaves(self.scene);
        note
    }

    fn draw(&mut self, [low, high]: Range) -> f64 {
        self.random.between_magnitudes(low, high)
    }

    fn count(&mut self, range: Range) -> usize {
        (self.draw(range).round() as usize).clamp(1, MOST_CONNECTIONS)
    }

    /// A destination that nobody on the host knows.
    fn new_target(&mut self) -> Target {
        let attacks = &self.cast.parameters.attacks;
        let port = self.random.one_of(&attacks.ports).copied().unwrap_or(443);
        let named = self.random.chance(attacks.named);
        fresh(&self.source.of("destination"), port, named)
    }

    /// Times within the attack, in order; the first at its beginning.
    fn times(&mut self, count: usize) -> Vec<Timestamp> {
        let length = (self.to.0 - self.from.0) as f64;
        let more = (1..count).map(|_| self.from.0 + (length * self.random.unit()) as i64);
        let mut times: Vec<_> = std::iter::once(self.from.0).chain(more).collect();
        times.sort_unstable();
        times.into_iter().map(Timestamp).collect()
    }

    /// Reads the identity's own credentials, as whoever uses it must.
    fn reads_own(&mut self, at: Timestamp) {
        let player = self.player;
        let Some(task) = self.hand.process(at, self.scene) else {
            return;
        };
        for (number, file) in player.files.iter().enumerate() {
            let at = Timestamp(at.0 + (number as i64 + 1) * SECOND / 200);
            self.scene.read(at, &task, file.at(at), &file.path);
        }
    }

    fn upload(&mut self, at: Timestamp, to: &Target, sent: f64) -> Timestamp {
        let of = Exchange {
            sent: bytes(sent),
            received: bytes(self.random.log_normal(2_000.0, 1.0)),
            seconds: self.random.log_normal(1.0, 1.0),
        };
        self.hand.connects(at, to, of, self.scene)
    }

    /// Another program, which goes where another role goes, or to what is new.
    fn identity_swap(&mut self) -> String {
        let of = &self.cast.parameters.attacks.identity_swap;
        self.hand.use_tool(&self.source, &mut self.random);
        self.reads_own(self.from);
        let others = self
            .cast
            .players
            .iter()
            .filter(|other| other.role.name != self.player.role.name);
        let own: Vec<&str> = self
            .player
            .role
            .activities
            .iter()
            .flat_map(|of| &of.steps)
            .map(|step| &*step.to)
            .collect();
        let steps = others
            .flat_map(|other| &other.role.activities)
            .flat_map(|of| &of.steps);
        let foreign: Vec<&Place> = steps
            .filter(|step| !own.contains(&&*step.to))
            .filter_map(|step| self.cast.place(&step.to))
            .filter(|place| place.service.protocol == Protocol::Tcp)
            .collect();
        let chosen = self.random.one_of(&foreign).copied();
        let foreign = chosen.filter(|_| !self.random.chance(of.new_destination));
        let new = self.new_target();
        let count = self.count(of.connections);
        for at in self.times(count) {
            let to = match foreign {
                Some(place) => place.target(at, &mut self.random),
                None => new.clone(),
            };
            let sent = self.draw(of.bytes);
            self.upload(Timestamp(at.0 + SECOND / 10), &to, sent);
        }
        let whose = foreign.map_or("a new destination", |place| &place.service.name);
        format!("to {whose}")
    }

    fn exfiltration(&mut self) -> String {
        let of = &self.cast.parameters.attacks.exfiltration;
        let to = self.new_target();
        let total = self.draw(of.bytes);
        let count = self.count(of.connections);
        for at in self.times(count) {
            self.upload(at, &to, total / count as f64);
        }
        "to a new destination".to_owned()
    }

    fn slow_leak(&mut self) -> String {
        let of = &self.cast.parameters.attacks.slow_leak;
        let stores: Vec<_> = stores(self.player, self.cast).collect();
        let known = self.random.one_of(&stores).copied();
        let known = known.filter(|_| !self.random.chance(of.new_destination));
        let new = self.new_target();
        let an_hour = self.draw(of.bytes_an_hour);
        let mut at = self.from;
        while at < self.to {
            let when = Timestamp(at.0 + seconds(self.random.between(0.0, 3_000.0)));
            let to = match &known {
                Some((_, place)) => place.target(when, &mut self.random),
                None => new.clone(),
            };
            let sent = self.random.log_normal(an_hour, 0.3);
            self.upload(when, &to, sent);
            at.0 += hours(1.0);
        }
        let whose = known.map_or("a new destination", |(_, place)| &*place.service.name);
        format!("{:.0} bytes an hour to {whose}", an_hour)
    }

    fn beacon(&mut self) -> String {
        let of = &self.cast.parameters.attacks.beacon;
        let to = self.new_target();
        let period = self.draw(of.period).max(1.0);
        let [low, high] = of.jitter;
        let jitter = self.random.between(low, high);
        let size = self.draw(of.bytes);
        let mut at = self.from;
        for _ in 0..MOST_CONNECTIONS {
            if at >= self.to {
                break;
            }
            let of = Exchange {
                sent: bytes(self.random.log_normal(size, 0.2)),
                received: bytes(self.random.log_normal(size, 0.5)),
                seconds: self.random.log_normal(0.3, 0.5),
            };
            self.hand.connects(at, &to, of, self.scene);
            let off = self.random.between(1.0 - jitter, 1.0 + jitter);
            at.0 += seconds((period * off).max(0.5));
        }
        format!("period {period:.0} s, jitter {:.0} %", jitter * 100.0)
    }

    fn harvest(&mut self) -> String {
        let of = &self.cast.parameters.attacks.harvest;
        self.hand.stay();
        let to = self.new_target();
        let others = self.cast.players.iter().flat_map(|other| &other.files);
        let own: Vec<&str> = self.player.files.iter().map(|file| &*file.path).collect();
        let files = others
            .chain(self.idle)
            .filter(|file| !own.contains(&&*file.path));
        let mut files: Vec<&File> = files.collect();
        self.random.shuffle(&mut files);
        files.truncate(self.count(of.files));
        let count = files.len();
        for (at, file) in self.times(count.max(1)).into_iter().zip(files) {
            let Some(task) = self.hand.process(at, self.scene) else {
                break;
            };
            let read = Timestamp(at.0 + SECOND / 100);
            self.scene.read(read, &task, file.at(read), &file.path);
            self.hand.note(at, read);
        }
        let sent = self.draw(of.bytes);
        let sends = Timestamp(self.to.0 + SECOND);
        self.upload(sends, &to, sent);
        format!("{count} files of others")
    }

    fn living_off_allowed(&mut self) -> String {
        let of = &self.cast.parameters.attacks.living_off_allowed;
        let stores: Vec<_> = stores(self.player, self.cast).collect();
        let Some((_, place)) = self.random.one_of(&stores).copied() else {
            return String::new();
        };
        let multiple = self.draw(of.multiple);
        let usual = bytes_a_day(self.player, &place.service.name);
        let total = (usual * multiple).clamp(of.least, MOST_BYTES);
        let count = self.count(of.connections);
        let each = total / count as f64;
        for at in self.times(count) {
            let to = place.target(at, &mut self.random);
            let sent = self.random.log_normal(each, 0.3);
            self.upload(at, &to, sent);
        }
        let days = total / usual;
        format!("{days:.1} times a day's bytes to {}", place.service.name)
    }

    fn poisoned_warm_up(&mut self) -> String {
        let of = &self.cast.parameters.attacks.poisoned_warm_up;
        let to = self.new_target();
        let a_day = self.draw(of.connections);
        let first = self.draw(of.bytes);
        let growth = self.draw(of.growth);
        let mut day = self.from;
        let mut size = first;
        while day < self.to {
            // Each day has its whole connections, and one more by the chance that is left.
            let more = self.random.chance(a_day.fract());
            for number in 0..a_day as usize + usize::from(more) {
                let late = if number == 0 && day == self.from {
                    0.0
                } else {
                    self.random.unit()
                };
                let at = Timestamp(day.0 + (late * DAY as f64) as i64);
                if at < self.to {
                    let sent = self.random.log_normal(size, 0.3);
                    self.upload(at, &to, sent);
                }
            }
            size = (size * growth).min(MOST_BYTES);
            day.0 += DAY;
        }
        format!("from {first:.0} bytes on, {growth:.2} times more each day")
    }

    fn rate(&mut self) -> String {
        let of = &self.cast.parameters.attacks.rate;
        let steps: Vec<_> = usual_rates(self.player).collect();
        let drawn = self.random.one_of(&steps).copied();
        let Some((step, usual)) = drawn else {
            return String::new();
        };
        let Some(place) = self.cast.place(&step.to) else {
            return String::new();
        };
        let multiple = self.draw(of.multiple);
        let hours = (self.to.0 - self.from.0) as f64 / hours(1.0) as f64;
        let count = (usual * multiple * hours).clamp(1.0, of.most) as usize;
        for at in self.times(count.min(MOST_CONNECTIONS)) {
            let to = place.target(at, &mut self.random);
            let of = typical(step, &mut self.random);
            self.hand.connects(at, &to, of, self.scene);
        }
        format!(
            "{multiple:.0} times {usual:.1} an hour to {}",
            place.service.name
        )
    }

    /// Somebody at a shell, with what the identity may do.
    fn unusual_hour(&mut self) -> String {
        let of = &self.cast.parameters.attacks.unusual_hour;
        let terminal = self.random.chance(of.terminal);
        let path = "/usr/bin/bash";
        let Some(shell) = self.player.process(self.from, path, self.scene) else {
            return String::new();
        };
        let tty = terminal.then(|| "pts0".to_owned());
        let shell = Task { tty, ..shell };
        self.player.exec(&shell, path, self.scene);
        let count = self.count(of.connections);
        let known: Vec<_> = known(self.player, self.cast).collect();
        for at in self.times(count) {
            let Some((step, place)) = self.random.one_of(&known).copied() else {
                break;
            };
            let task = Task {
                pid: self.scene.pid(),
                start: at,
                ppid: shell.pid,
                parent_start: shell.start,
                exe: self.player.program("/usr/bin/curl", at),
                ..shell.clone()
            };
            self.scene.exec(at, &task, "/usr/bin/curl");
            let to = place.target(at, &mut self.random);
            let of = typical(step, &mut self.random);
            self.hand.use_process(task.clone());
            let end = self.hand.connects(at, &to, of, self.scene);
            self.scene.exit(Timestamp(end.0 + SECOND / 10), &task);
        }
        self.hand.use_process(shell);
        if terminal {
            "at a terminal"
        } else {
            "without a terminal"
        }
        .to_owned()
    }
}

/// As much as a step usually moves.
fn typical(step: &Step, random: &mut Random) -> Exchange {
    Exchange {
        sent: bytes(random.log_normal(step.sent.median, step.sent.sigma)),
        received: bytes(random.log_normal(step.received.median, step.received.sigma)),
        seconds: random.log_normal(step.seconds.median, step.seconds.sigma),
    }
}
