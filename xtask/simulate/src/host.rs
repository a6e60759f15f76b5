//! One host from its first day to its last.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::{Context as _, Result, ensure};
use monitor::model::{Fact, Timestamp};
use monitor::recording::Writer;

use crate::attacks::{self, Kind};
use crate::benign;
use crate::busy::Busy;
use crate::calendar::{Calendar, DAY, SECOND};
use crate::casting::Casting;
use crate::label::Label;
use crate::parameters::Parameters;
use crate::random::Source;
use crate::scene::Scene;

/// How often it is told that time passes.
const TICK: i64 = 60 * SECOND;
/// What is said to be the kernel of a simulated host.
const KERNEL: &str = "simulated";

/// What a host is made of.
#[derive(Debug, Clone)]
pub struct Host {
    /// The seed.
    pub seed: u64,
    /// Which host of the seed, from 0 on.
    pub number: u32,
    /// What kind of host.
    pub kind: String,
}

/// What was written.
#[derive(Debug)]
pub struct Simulated {
    /// How many records.
    pub records: u64,
    /// By what they tell.
    pub facts: BTreeMap<&'static str, u64>,
    /// What happened that was not ordinary, in no order.
    pub labels: Vec<Label>,
}

impl Host {
    /// All hosts of a seed; their kinds are dealt in the order of the parameters.
    pub fn all(parameters: &Parameters, seed: u64) -> Vec<Self> {
        let kinds = parameters.kinds.iter().cycle();
        let numbers = 0..parameters.hosts;
        let host = |(number, kind): (u32, &String)| Self {
            seed,
            number,
            kind: kind.clone(),
        };
        numbers.zip(kinds).map(host).collect()
    }

    /// What its files are called.
    pub fn name(&self) -> String {
        format!("{}-{:02}-{}", self.seed, self.number + 1, self.kind)
    }

    /// Lets it live, and writes its recording.
    ///
    /// # Errors
    /// When it cannot be written, or a day has more records than the parameters allow.
    pub fn simulate(
        &self,
        parameters: &Parameters,
        to: impl Write,
        mut progress: impl FnMut(u32),
    ) -> Result<Simulated> {
        let world = Source::new(self.seed).of("world");
        let host = Source::new(self.seed).of("host").at(u64::from(self.number));
        let mut random = host.of("zone").stream();
        let zone = random
            .one_of(&parameters.zones)
            .context("there is no zone")?;
        let calendar = Calendar::new(
            parameters.start,
            parameters.days,
            parameters.warm_up_days,
            zone,
        )?;
        let (begin, end) = (calendar.begin, calendar.end);
        let mut scene = Scene::new();
        let casting = Casting::new(&host, begin, &mut scene);
        let (mut cast, idle) = casting.cast(parameters, &self.kind, calendar, &world)?;
        let mut busy = Busy::default();
        let turn = self.number as usize;
        let mut labels = benign::draw(&mut cast, turn, &host.of("benign"), &mut busy, &mut scene);
        let kinds = self.attacks(parameters);
        let source = host.of("attack");
        labels.extend(attacks::draw(
            &cast, &kinds, &idle, &source, &mut busy, &mut scene,
        ));
        let files = cast.players.iter().flat_map(|player| &player.files);
        for (at, fact) in files.chain(&idle).flat_map(|file| file.located()) {
            scene.fact(at, fact);
        }
        scene.fact(begin, Fact::Searched);

        let mut writer = Writer::new(to, KERNEL)?;
        let mut facts = BTreeMap::new();
        let mut from = begin;
        for day in 0..parameters.days {
            progress(day);
            let next = Timestamp(from.0 + DAY);
            let mut tick = from.0 + TICK;
            while tick <= next.0 {
                // The last one of a day is its end.
                scene.fact(Timestamp(tick - 1), Fact::Tick);
                tick += TICK;
            }
            cast.day(from, next, &mut scene);
            let before = writer.records();
            ensure!(
                scene.waiting() <= cast.most_waiting(),
                "{}: day {} has more than a hundred times the records that `most-records-a-day` allows",
                self.name(),
                day + 1,
            );
            scene.until(next, |record| {
                *facts.entry(name(&record.fact)).or_default() += 1;
                writer.write(record)
            })?;
            let made = writer.records() - before;
            ensure!(
                made <= parameters.most_records_a_day,
                "{}: day {} has {made} records, and `most-records-a-day` allows {}: lower the rates, or \
                 raise that",
                self.name(),
                day + 1,
                parameters.most_records_a_day,
            );
            from = next;
        }
        writer.flush()?;
        for label in &mut labels {
            label.end = label.end.min(Timestamp(end.0 - 1));
        }
        Ok(Simulated {
            records: writer.records(),
            facts,
            labels,
        })
    }

    /// Kinds of attacks are dealt from one deck to the hosts of a seed, so that each comes as often.
    fn attacks(&self, parameters: &Parameters) -> Vec<Kind> {
        let mut deck = Kind::ALL;
        Source::new(self.seed)
            .of("deck")
            .stream()
            .shuffle(&mut deck);
        let per_host = parameters.attacks.per_host as usize;
        let first = self.number as usize * per_host;
        deck.into_iter()
            .cycle()
            .skip(first)
            .take(per_host)
            .collect()
    }
}

fn name(fact: &Fact) -> &'static str {
    match fact {
        Fact::Exec { .. } | Fact::Exit { .. } => "processes",
        Fact::FileAccess { .. } => "reads",
        Fact::Connect { .. } | Fact::SocketClose { .. } => "connections",
        Fact::Flow(_) => "flows",
        Fact::Name { .. } => "names",
        Fact::Tick => "ticks",
        _ => "other",
    }
}
