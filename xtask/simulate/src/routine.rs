//! What roles do on an ordinary day.

use monitor::model::Timestamp;

use crate::calendar::{Calendar, SECOND, hours, seconds};
use crate::parameters::{Activity, Parameters, Step, When};
use crate::places::{Place, Target};
use crate::player::Player;
use crate::random::{Random, Source};
use crate::scene::{Exchange, Scene, Who};

/// A connection that fails is tried again this often.
const TRIES: u32 = 3;

/// A host without its time: who is on it, and where they connect to.
#[derive(Debug)]
pub struct Cast<'p> {
    /// All parameters.
    pub parameters: &'p Parameters,
    /// The host's days.
    pub calendar: Calendar,
    /// The services, in the order of the parameters.
    pub places: Vec<Place>,
    /// Instances of roles.
    pub players: Vec<Player<'p>>,
}

impl Cast<'_> {
    /// A service by its name.
    pub fn place(&self, name: &str) -> Option<&Place> {
        self.places.iter().find(|of| of.service.name == name)
    }

    /// What everybody does from one time to another, a day or less later.
    pub fn day(&self, from: Timestamp, to: Timestamp, scene: &mut Scene) {
        for player in &self.players {
            for (number, activity) in player.role.activities.iter().enumerate() {
                let source = player.source.of("activity").at(number as u64);
                let mut random = source.of("day").at(from.0.unsigned_abs()).stream();
                if scene.waiting() > self.most_waiting() {
                    return;
                }
                for at in self.times(&activity.when, (from, to), &source, &mut random) {
                    if !player.is_silent(at) {
                        self.run(player, (number, activity), at, &mut random, scene);
                    }
                }
            }
        }
    }

    /// More facts than this need not wait: the parameters do not allow them.
    pub fn most_waiting(&self) -> usize {
        100 * usize::try_from(self.parameters.most_records_a_day).unwrap_or(usize::MAX / 100)
    }

    /// When something is done, in any order.
    fn times(
        &self,
        when: &When,
        (from, to): (Timestamp, Timestamp),
        source: &Source,
        random: &mut Random,
    ) -> Vec<Timestamp> {
        match when {
            When::Random {
                a_day,
                night,
                weekend,
                burst,
                varies,
            } => {
                let shape = self.shape(*night);
                let mut times = Vec::new();
                let mut begin = from;
                while begin < to {
                    let end = Timestamp((begin.0 + hours(1.0)).min(to.0));
                    let local = self.calendar.local(begin);
                    let share = shape.get(usize::from(local.hour().unsigned_abs()));
                    let mut rate = a_day * share.copied().unwrap_or_default();
                    if self.calendar.is_day_off(local.date()) {
                        rate *= weekend;
                    }
                    // So that the mean stays what it is.
                    rate *= random.log_normal(1.0, *varies) * libm::exp(-varies * varies / 2.0);
                    bursts(begin, end, rate / burst, *burst, random, &mut times);
                    begin = end;
                }
                times
            }
            When::Every {
                seconds: every,
                jitter,
            } => {
                let period = seconds(*every).max(SECOND);
                let phase = (source.number() % period.unsigned_abs()).cast_signed();
                let mut at = from.0 + (phase - from.0).rem_euclid(period);
                let mut times = Vec::new();
                while at < to.0 {
                    let late = random.between(0.0, jitter * every);
                    times.push(Timestamp(at + seconds(late)));
                    at += period;
                }
                times
            }
            When::At {
                day,
                weekday,
                hours,
                minute,
                delay,
            } => {
                let all: Vec<i8> = (0..24).collect();
                let at_hours = if hours.is_empty() { &all } else { hours };
                let dates = self.calendar.dates(from, to).into_iter();
                let dates = dates.filter(|date| {
                    day.is_none_or(|day| date.day() == day)
                        && weekday.is_none_or(|of| date.weekday().to_monday_one_offset() == of)
                });
                let moments = dates.flat_map(|date| {
                    let hours = at_hours.iter();
                    hours.filter_map(move |hour| self.calendar.moment(date, *hour, *minute))
                });
                let mut moments: Vec<_> = moments.filter(|at| (from..to).contains(at)).collect();
                // An hour that is not on the wall falls on the one behind it.
                moments.dedup();
                let late = |at: Timestamp| Timestamp(at.0 + seconds(random.between(0.0, *delay)));
                moments.into_iter().map(late).collect()
            }
        }
    }

    /// Each hour's share of a day.
    fn shape(&self, night: f64) -> Vec<f64> {
        let shape = &self.parameters.day_shape;
        let peak = shape.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let weights = shape.iter().map(|of| night + (1.0 - night) * of / peak);
        let weights: Vec<f64> = weights.collect();
        let sum: f64 = weights.iter().sum();
        weights.iter().map(|of| of / sum).collect()
    }

    /// One run of an activity.
    fn run(
        &self,
        player: &Player<'_>,
        (number, activity): (usize, &Activity),
        begin: Timestamp,
        random: &mut Random,
        scene: &mut Scene,
    ) {
        let mut at = begin;
        let job = activity.program.as_deref();
        let job = job.and_then(|path| player.starts(begin, path, scene));
        let Some(who) = job.as_ref().map(Who::Process).or_else(|| player.itself(at)) else {
            return;
        };
        if let Who::Process(task) | Who::Daemon(task) = who
            && random.chance(activity.reads)
        {
            for file in &player.files {
                at.0 += seconds(random.between(0.005, 0.05));
                scene.read(at, task, file.at(at), &file.path);
            }
            at.0 += seconds(random.between(0.005, 0.05));
        }
        let steps = activity.steps.iter();
        let steps = steps.filter_map(|step| Some((step, self.place(&step.to)?)));
        let more = player.extras.iter();
        let more = more.filter(|extra| extra.activity == number && extra.from <= begin);
        let steps = steps.chain(more.map(|extra| (&extra.step, &extra.place)));
        let mut last = at;
        for (step, place) in steps {
            if !random.chance(step.chance) {
                continue;
            }
            let [low, high] = step.times;
            let times = low + random.below((high - low + 1) as usize) as u32;
            for _ in 0..times {
                let end = connections(at, who, (step, place), random, scene);
                last = last.max(end);
                // One thing after the other, but what runs for long does several at once.
                at = if job.is_some() { end } else { at };
                at.0 += seconds(random.exponential(0.2));
            }
        }
        if let Some(task) = &job {
            scene.exit(Timestamp(last.0.max(at.0) + SECOND / 50), task);
        }
    }
}

/// Times of an hour, in bursts.
fn bursts(
    begin: Timestamp,
    end: Timestamp,
    an_hour: f64,
    size: f64,
    random: &mut Random,
    times: &mut Vec<Timestamp>,
) {
    if an_hour <= 0.0 {
        return;
    }
    let mut at = begin
        .0
        .saturating_add(hours(random.exponential(1.0 / an_hour)));
    while at < end.0 {
        let mut one = at;
        for _ in 0..random.geometric(size) {
            times.push(Timestamp(one));
            one += seconds(random.exponential(2.0));
        }
        at = at.saturating_add(hours(random.exponential(1.0 / an_hour)).max(1));
    }
}

/// A connection of a step, tried again where it fails. Returns its end.
fn connections(
    mut at: Timestamp,
    who: Who<'_>,
    (step, place): (&Step, &Place),
    random: &mut Random,
    scene: &mut Scene,
) -> Timestamp {
    let mut wait = 1.0;
    for _ in 0..TRIES {
        if !random.chance(step.failures) {
            break;
        }
        let nothing = Exchange {
            sent: 0,
            received: 0,
            seconds: random.between(0.01, 3.0),
        };
        let to = place.target(at, random);
        at = scene.connection(at, who, &to, nothing);
        at.0 += seconds(wait * random.between(0.8, 1.2));
        wait *= 2.0;
    }
    let to: Target = place.target(at, random);
    let of = Exchange {
        sent: bytes(random.log_normal(step.sent.median, step.sent.sigma)),
        received: bytes(random.log_normal(step.received.median, step.received.sigma)),
        seconds: random
            .log_normal(step.seconds.median, step.seconds.sigma)
            .min(43_200.0),
    };
    scene.connection(at, who, &to, of)
}

/// A number of bytes; a tebibyte at most.
pub fn bytes(of: f64) -> u64 {
    (of as u64).min(1 << 40)
}
