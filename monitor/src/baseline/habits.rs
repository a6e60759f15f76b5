//! What is normal for an identity, in numbers for a person.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::contact::Way;
use super::destinations::{Known, RHYTHM, Standing};
use super::identity::Baseline;
use super::numbers::regularity;
use super::words::{FrozenView, frozen};
use super::{Baselines, MATURE};
use crate::model::time::rfc3339;
use crate::model::{Protocol, Selector, Timestamp};

/// A rhythm that chance makes as rarely is called one.
const REGULAR: f64 = 0.01;

/// How much is known of an identity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BaselineSummary {
    /// Who.
    pub identity: Selector,
    /// The first act.
    #[serde(with = "rfc3339")]
    pub first: Timestamp,
    /// The latest act.
    #[serde(with = "rfc3339")]
    pub last: Timestamp,
    /// Hours that were watched; old ones fade.
    pub hours: f64,
    /// From 0 to 1: 1 once there were two weeks.
    pub maturity: f64,
    /// Destinations that are kept one by one.
    pub destinations: u64,
    /// Those of them that were alerted about, and that time alone does not make ordinary.
    pub suspect: u64,
    /// Services: a port and transport, who begins, and how far away.
    pub services: u64,
    /// Programs.
    pub programs: u64,
    /// Since when nothing more is learned of it, where that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<FrozenView>,
}

/// The baselines of a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BaselineList {
    /// By identity.
    pub baselines: Vec<BaselineSummary>,
    /// False alerts a day that the configuration allows.
    pub budget: f64,
    /// Alerts that were held back today because more came at once.
    pub held_back: u64,
}

/// What is normal for an identity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Habits {
    /// How much is known.
    #[serde(flatten)]
    pub summary: BaselineSummary,
    /// Where it connects, what is used most days first.
    pub where_to: Vec<Habit>,
    /// Paths of the programs that run under it; those that are not known by name are counted.
    pub programs_run: Vec<String>,
    /// Connections an hour by hour of the week, from Monday's first in UTC.
    pub week: Vec<f64>,
    /// Bytes that are usually sent in each hour of the day, in UTC.
    pub sent_by_hour: Vec<f64>,
}

/// One destination.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Habit {
    /// The other end.
    pub address: IpAddr,
    /// Of the service; 0 where the protocol has none.
    pub port: u16,
    /// The transport.
    pub protocol: Protocol,
    /// Who begins.
    pub way: Way,
    /// The name by which the host knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How far it is believed.
    pub standing: Standing,
    /// The first contact.
    #[serde(with = "rfc3339")]
    pub first: Timestamp,
    /// The latest contact.
    #[serde(with = "rfc3339")]
    pub last: Timestamp,
    /// Days with contact.
    pub days: u16,
    /// Connections.
    pub opened: u32,
    /// Bytes that are usually sent in a day: the mean by their logarithms.
    pub sent_a_day: f64,
    /// Seconds from one connection to the next, where there is a rhythm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<f64>,
}

impl Baselines {
    /// All of them in short.
    pub fn list(&self) -> BaselineList {
        let all = self.identities.iter();
        let mut baselines: Vec<_> = all.map(|(of, baseline)| summary(of, baseline)).collect();
        baselines.sort_by(|left, right| left.identity.cmp(&right.identity));
        BaselineList {
            baselines,
            budget: self.host.budget.per_day(),
            held_back: self.held_back(),
        }
    }

    /// What is normal for an identity; `None` where nothing is known of it.
    pub fn habits(&self, of: &Selector) -> Option<Habits> {
        let baseline = self.identities.get(of)?;
        let mut where_to: Vec<_> = baseline.destinations.iter().map(habit).collect();
        where_to.sort_by_key(|of| (std::cmp::Reverse((of.days, of.opened)), of.address, of.port));
        let (mut programs_run, mut unnamed) = (Vec::new(), 0_u32);
        for program in baseline.programs.iter() {
            match self.names.peek(&program) {
                Some(name) => programs_run.push(name.clone()),
                None => unnamed += 1,
            }
        }
        programs_run.sort();
        if unnamed > 0 {
            programs_run.push(format!("{unnamed} whose path is not known any more"));
        }
        Some(Habits {
            summary: summary(of, baseline),
            where_to,
            programs_run,
            week: baseline.calendar.week(),
            sent_by_hour: baseline.leak.usual_by_hour().to_vec(),
        })
    }
}

fn summary(identity: &Selector, of: &Baseline) -> BaselineSummary {
    let table = of.destinations.iter();
    let suspect = table.filter(|of| of.standing == Standing::Suspect).count();
    let hours = of.maturity().hours;
    BaselineSummary {
        identity: identity.clone(),
        first: moment(of.first),
        last: moment(of.last),
        hours,
        maturity: (hours / MATURE).min(1.0),
        destinations: of.destinations.iter().count() as u64,
        suspect: suspect as u64,
        services: of.services.len() as u64,
        programs: of.programs.len() as u64,
        frozen: frozen(of),
    }
}

fn habit(of: &Known) -> Habit {
    let is_regular = of.gaps.weight() >= RHYTHM && regularity(&of.gaps) < REGULAR;
    Habit {
        address: of.destination.address(),
        port: of.destination.port,
        protocol: of.destination.protocol,
        way: of.destination.way,
        name: None,
        standing: of.standing,
        first: moment(of.first),
        last: moment(of.last),
        days: of.days,
        opened: of.opened,
        sent_a_day: libm::expm1(of.day_sent.mean()),
        period: is_regular.then(|| libm::exp(of.gaps.mean())),
    }
}

fn moment(second: u32) -> Timestamp {
    Timestamp::from_unix_seconds(second.into())
}
