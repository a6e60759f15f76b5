//! Mistakes in parameters, all at once, each with its place.

use std::collections::BTreeSet;
use std::fmt::Display;

use super::{Activity, Attacks, Identity, Parameters, Range, Role, Service, Spread, Step, When};

/// Everything that is wrong with parameters, in the order of the file.
pub(super) fn mistakes(of: &Parameters) -> Vec<String> {
    let mut check = Check::default();
    check.general(of);
    let mut names = BTreeSet::new();
    for service in &of.services {
        let place = format!("service `{}`", service.name);
        check.is(
            names.insert(&service.name),
            &place,
            "there are two of this name",
        );
        check.service(service, &place);
    }
    let mut names = BTreeSet::new();
    for role in &of.roles {
        let place = format!("role `{}`", role.name);
        check.is(
            names.insert(&role.name),
            &place,
            "there are two of this name",
        );
        check.role(role, of, &place);
    }
    check.attacks(&of.attacks);
    check.up_to(of.benign.settle_hours, 1e4, "benign.settle-hours");
    let [low, high] = of.benign.scale_out;
    check.is(
        1 <= low && low <= high,
        "benign.scale-out",
        "is no range from 1 on",
    );
    check.0
}

/// No number is larger, so that none leaves the range of times and counts.
const LARGEST: f64 = 1e12;

/// What was found.
#[derive(Default)]
struct Check(Vec<String>);

impl Check {
    fn is(&mut self, good: bool, place: impl Display, what: &str) {
        if !good {
            self.0.push(format!("{place}: {what}"));
        }
    }

    fn positive(&mut self, number: f64, place: impl Display) {
        let good = 0.0 < number && number <= LARGEST;
        let what = format!("{number} is not above 0 and up to {LARGEST:e}");
        self.is(good, place, &what);
    }

    fn part(&mut self, number: f64, place: impl Display) {
        let good = (0.0..=1.0).contains(&number);
        self.is(good, place, &format!("{number} is not from 0 to 1"));
    }

    fn range(&mut self, [low, high]: Range, place: impl Display) {
        let good = 0.0 < low && low <= high && high <= LARGEST;
        let what = format!(
            "[{low}, {high}] is no range of numbers above 0 and up to {LARGEST:e}, the lower first"
        );
        self.is(good, place, &what);
    }

    fn spread(&mut self, of: Spread, place: impl Display) {
        self.positive(of.median, format!("{place}.median"));
        let good = (0.0..=6.0).contains(&of.sigma);
        let what = format!("{} is not from 0 to 6", of.sigma);
        self.is(good, format!("{place}.sigma"), &what);
    }

    fn up_to(&mut self, number: f64, most: f64, place: impl Display) {
        let good = 0.0 < number && number <= most;
        self.is(
            good,
            place,
            &format!("{number} is not above 0 and up to {most}"),
        );
    }

    fn general(&mut self, of: &Parameters) {
        self.is(
            (2..=400).contains(&of.days),
            "days",
            "must be from 2 to 400",
        );
        let good = (1..of.days).contains(&of.warm_up_days);
        self.is(good, "warm-up-days", "must be from 1 to below `days`");
        let good = (1980..=2200).contains(&of.start.year());
        self.is(good, "start", "must be in the years from 1980 to 2200");
        self.is(
            (1..=1000).contains(&of.hosts),
            "hosts",
            "must be from 1 to 1000",
        );
        self.is(!of.kinds.is_empty(), "kinds", "there must be one");
        for kind in &of.kinds {
            let good = !kind.is_empty() && kind.bytes().all(|of| of.is_ascii_lowercase());
            self.is(good, "kinds", &format!("`{kind}` is not of small letters"));
            let has_role = of.roles_of(kind).next().is_some();
            self.is(has_role, "kinds", &format!("no role is on `{kind}`"));
        }
        self.is(!of.zones.is_empty(), "zones", "there must be one");
        for zone in &of.zones {
            if let Err(error) = jiff::tz::TimeZone::posix(zone) {
                self.0.push(format!("zones: `{zone}`: {error}"));
            }
        }
        let good = of.day_shape.len() == 24
            && of.day_shape.iter().all(|of| of.is_finite() && *of >= 0.0)
            && of.day_shape.iter().any(|of| *of > 0.0);
        self.is(
            good,
            "day-shape",
            "must be 24 numbers, none below 0 and not all 0",
        );
        self.up_to(of.most_records_a_day as f64, 1e7, "most-records-a-day");
        for seed in of.shared_seeds() {
            let what =
                format!("{seed} is in both lists, and the last must not be looked at before");
            self.is(false, "seeds", &what);
        }
        for file in &of.idle {
            self.is(
                file.path.starts_with('/'),
                "idle",
                &format!("`{}` is no absolute path", file.path),
            );
        }
    }

    fn service(&mut self, of: &Service, place: &str) {
        self.is(
            (1..=4096).contains(&of.addresses),
            place,
            "`addresses` must be from 1 to 4096",
        );
        let good = (1..=of.addresses.min(16)).contains(&of.shown);
        self.is(
            good,
            place,
            "`shown` must be from 1 to `addresses`, and 16 at most",
        );
        self.up_to(of.ttl, 1e7, format!("{place}.ttl"));
        if let Some(hours) = of.renewed {
            self.up_to(hours, 1e6, format!("{place}.renewed"));
        }
        if let Some(exponent) = of.crowd {
            let good = (0.2..=5.0).contains(&exponent);
            self.is(good, place, "`crowd` must be from 0.2 to 5");
        }
        self.is(of.port != 0, place, "`port` must not be 0");
    }

    fn role(&mut self, of: &Role, all: &Parameters, place: &str) {
        for kind in &of.hosts {
            let what = format!("`{kind}` is not in `kinds`");
            self.is(all.kinds.contains(kind), format!("{place}.hosts"), &what);
        }
        let [low, high] = of.instances;
        let good = low <= high && high <= 64;
        self.is(good, format!("{place}.instances"), "is no range up to 64");
        let is_many = of.instances[1] > 1;
        let name = match &of.identity {
            Identity::Unit { name, .. } => Some(name),
            Identity::Account { user } => Some(user),
            Identity::Container { name, .. } => Some(name),
            Identity::Pod { account, .. } => Some(account),
            Identity::Job { job, .. } => Some(job),
            Identity::Device { .. } => None,
        };
        if let Some(name) = name {
            let good = !is_many || name.contains("{n}");
            let what =
                "instances need names of their own: write {n} where their number should stand";
            self.is(good, format!("{place}.identity"), what);
        }
        if let Identity::Unit { name, .. } | Identity::Job { unit: name, .. } = &of.identity {
            let good = name.ends_with(".service");
            self.is(
                good,
                format!("{place}.identity"),
                "a unit's name ends with .service",
            );
        }
        if let Identity::Device { vendor } = &of.identity {
            let good = format!("{vendor}:00:00:00")
                .parse::<monitor::model::MacAddress>()
                .is_ok();
            self.is(
                good,
                format!("{place}.identity"),
                "`vendor` is not like 02:00:5e",
            );
            let good = of.program.is_none() && of.credentials.is_empty();
            self.is(
                good,
                place,
                "a device has neither `program` nor `credentials`",
            );
        }
        for file in &of.credentials {
            let what = format!("`{}` is no absolute path", file.path);
            self.is(
                file.path.starts_with('/'),
                format!("{place}.credentials"),
                &what,
            );
        }
        self.is(
            (0.0..=4.0).contains(&of.silences),
            place,
            "`silences` must be from 0 to 4",
        );
        self.range(of.silence_hours, format!("{place}.silence-hours"));
        let most = of.silence_hours[1].max(1e-9);
        self.up_to(most, 1e4, format!("{place}.silence-hours"));
        self.is(!of.activities.is_empty(), place, "it does nothing");
        for (number, activity) in of.activities.iter().enumerate() {
            let place = format!("{place}.activity {}", number + 1);
            self.activity(activity, of, all, &place);
        }
    }

    fn activity(&mut self, of: &Activity, role: &Role, all: &Parameters, place: &str) {
        let is_device = matches!(role.identity, Identity::Device { .. });
        let good = is_device || of.program.is_some() || role.program.is_some();
        self.is(good, place, "neither it nor the role has a `program`");
        let good = !is_device || of.program.is_none() && of.reads == 0.0;
        self.is(good, place, "a device has no `program` and `reads` nothing");
        self.part(of.reads, format!("{place}.reads"));
        self.when(&of.when, &format!("{place}.when"));
        self.is(!of.steps.is_empty(), place, "it has no `steps`");
        for (number, step) in of.steps.iter().enumerate() {
            self.step(step, all, &format!("{place}.step {}", number + 1));
        }
    }

    fn when(&mut self, of: &When, place: &str) {
        match of {
            When::Random {
                a_day,
                night,
                weekend,
                burst,
                varies,
            } => {
                self.up_to(*a_day, 1e6, format!("{place}.a-day"));
                self.part(*night, format!("{place}.night"));
                self.part(*weekend, format!("{place}.weekend"));
                self.is(
                    (1.0..=1000.0).contains(burst),
                    format!("{place}.burst"),
                    "must be from 1 to 1000",
                );
                self.is(
                    (0.0..=3.0).contains(varies),
                    format!("{place}.varies"),
                    "must be from 0 to 3",
                );
            }
            When::Every { seconds, jitter } => {
                self.is(
                    (1.0..=1e7).contains(seconds),
                    format!("{place}.seconds"),
                    "must be from 1 to 10000000",
                );
                self.part(*jitter, format!("{place}.jitter"));
            }
            When::At {
                day,
                weekday,
                hours,
                minute,
                delay,
            } => {
                let good = day.is_none_or(|of| (1..=28).contains(&of));
                self.is(
                    good,
                    format!("{place}.day"),
                    "must be from 1 to 28, which every month has",
                );
                let good = weekday.is_none_or(|of| (1..=7).contains(&of));
                self.is(good, format!("{place}.weekday"), "must be from 1 to 7");
                let good = hours.iter().all(|of| (0..=23).contains(of));
                self.is(good, format!("{place}.hours"), "must be from 0 to 23");
                self.is(
                    (0..=59).contains(minute),
                    format!("{place}.minute"),
                    "must be from 0 to 59",
                );
                self.is(
                    (0.0..=86_400.0).contains(delay),
                    format!("{place}.delay"),
                    "must be from 0 to 86400",
                );
            }
        }
    }

    fn step(&mut self, of: &Step, all: &Parameters, place: &str) {
        let what = format!("there is no service `{}`", of.to);
        self.is(all.service(&of.to).is_some(), format!("{place}.to"), &what);
        self.part(of.chance, format!("{place}.chance"));
        let [low, high] = of.times;
        self.is(
            low <= high && high <= 10_000,
            format!("{place}.times"),
            "is no range up to 10000",
        );
        self.spread(of.sent, format!("{place}.sent"));
        self.spread(of.received, format!("{place}.received"));
        self.spread(of.seconds, format!("{place}.seconds"));
        self.part(of.failures, format!("{place}.failures"));
    }

    fn attacks(&mut self, of: &Attacks) {
        self.is(
            of.per_host <= 100,
            "attacks.per-host",
            "must be 100 at most",
        );
        self.is(
            !of.ports.is_empty() && !of.ports.contains(&0),
            "attacks.ports",
            "there must be one, and none of them 0",
        );
        for (place, range) in [
            ("identity-swap.hours", of.identity_swap.hours),
            ("identity-swap.connections", of.identity_swap.connections),
            ("identity-swap.bytes", of.identity_swap.bytes),
            ("exfiltration.hours", of.exfiltration.hours),
            ("exfiltration.bytes", of.exfiltration.bytes),
            ("exfiltration.connections", of.exfiltration.connections),
            ("slow-leak.days", of.slow_leak.days),
            ("slow-leak.bytes-an-hour", of.slow_leak.bytes_an_hour),
            ("beacon.hours", of.beacon.hours),
            ("beacon.period", of.beacon.period),
            ("beacon.bytes", of.beacon.bytes),
            ("harvest.files", of.harvest.files),
            ("harvest.minutes", of.harvest.minutes),
            ("harvest.bytes", of.harvest.bytes),
            ("living-off-allowed.hours", of.living_off_allowed.hours),
            (
                "living-off-allowed.multiple",
                of.living_off_allowed.multiple,
            ),
            (
                "living-off-allowed.connections",
                of.living_off_allowed.connections,
            ),
            (
                "poisoned-warm-up.connections",
                of.poisoned_warm_up.connections,
            ),
            ("poisoned-warm-up.bytes", of.poisoned_warm_up.bytes),
            ("poisoned-warm-up.growth", of.poisoned_warm_up.growth),
            ("rate.hours", of.rate.hours),
            ("rate.multiple", of.rate.multiple),
            ("unusual-hour.hours", of.unusual_hour.hours),
            ("unusual-hour.connections", of.unusual_hour.connections),
        ] {
            self.range(range, format!("attacks.{place}"));
        }
        for (place, number) in [
            ("named", of.named),
            (
                "identity-swap.new-destination",
                of.identity_swap.new_destination,
            ),
            ("slow-leak.new-destination", of.slow_leak.new_destination),
            ("beacon.jitter", of.beacon.jitter[0]),
            ("beacon.jitter", of.beacon.jitter[1]),
            ("own-program", of.own_program),
            (
                "living-off-allowed.at-night",
                of.living_off_allowed.at_night,
            ),
            ("poisoned-warm-up.begins", of.poisoned_warm_up.begins[0]),
            ("poisoned-warm-up.begins", of.poisoned_warm_up.begins[1]),
            ("unusual-hour.terminal", of.unusual_hour.terminal),
        ] {
            self.part(number, format!("attacks.{place}"));
        }
        let [low, high] = of.unusual_hour.from;
        let good = 0.0 <= low && low <= high && high <= 24.0;
        self.is(
            good,
            "attacks.unusual-hour.from",
            "is no range of hours of a day",
        );
        self.positive(of.rate.most, "attacks.rate.most");
        self.up_to(of.beacon.period[1], 1e6, "attacks.beacon.period");
        self.up_to(
            of.poisoned_warm_up.connections[1],
            1e4,
            "attacks.poisoned-warm-up.connections",
        );
        let least = of.living_off_allowed.least;
        let good = (1.0..=1e11).contains(&least);
        self.is(
            good,
            "attacks.living-off-allowed.least",
            "must be from 1 to 1e11",
        );
    }
}
