//! By what an attacker acts: the identity's own program, or another that runs under it. Notes what was
//! done, for the label.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use monitor::model::{Task, Timestamp};

use crate::calendar::{SECOND, seconds};
use crate::label::Label;
use crate::places::Target;
use crate::player::Player;
use crate::random::{Random, Source};
use crate::routine::Cast;
use crate::scene::{Exchange, Scene, Who};

/// Programs that lie on most hosts.
const TOOLS: [&str; 5] = [
    "/usr/bin/curl",
    "/usr/bin/python3",
    "/usr/bin/wget",
    "/usr/bin/openssl",
    "/usr/bin/perl",
];

/// What acts.
#[derive(Debug)]
enum By {
    /// The device, or the program that runs anyhow.
    Itself,
    /// The program that the identity's runs start, again each time.
    EachTime(String),
    /// A process that stays.
    Process(Task),
    /// A program that was not started yet.
    Program(String),
}

/// What an attacker acts by, and what was done.
#[derive(Debug)]
pub(super) struct Hand<'a, 'p> {
    player: &'a Player<'p>,
    by: By,
    own: bool,
    targets: BTreeSet<SocketAddr>,
    begin: Option<Timestamp>,
    end: Timestamp,
    /// Connections made.
    pub(super) connections: u64,
    /// Bytes sent.
    pub(super) sent: u64,
}

impl<'a, 'p> Hand<'a, 'p> {
    pub(super) fn new(
        cast: &Cast<'p>,
        player: &'a Player<'p>,
        source: &Source,
        random: &mut Random,
    ) -> Self {
        let own = random.chance(cast.parameters.attacks.own_program);
        let mut programs = player
            .role
            .activities
            .iter()
            .filter_map(|of| of.program.clone());
        let by = if player.device.is_some() || own && player.runs() {
            By::Itself
        } else if let (true, Some(path)) = (own, programs.next()) {
            By::EachTime(path)
        } else {
            By::Program(tool(source, random))
        };
        Self {
            player,
            own: !matches!(by, By::Program(_)),
            by,
            targets: BTreeSet::new(),
            begin: None,
            end: Timestamp(0),
            connections: 0,
            sent: 0,
        }
    }

    /// From now on by another program than the identity's own.
    pub(super) fn use_tool(&mut self, source: &Source, random: &mut Random) {
        self.by = By::Program(tool(source, random));
        self.own = false;
    }

    /// One process does it all.
    pub(super) fn stay(&mut self) {
        if let By::EachTime(path) = &self.by {
            self.by = By::Program(path.clone());
        }
    }

    /// From now on by this process.
    pub(super) fn use_process(&mut self, task: Task) {
        self.by = By::Process(task);
        self.own = false;
    }

    /// The process that acts at a time; `None` of a device. Starts it where it does not run.
    pub(super) fn process(&mut self, at: Timestamp, scene: &mut Scene) -> Option<Task> {
        match &self.by {
            By::Process(task) => return Some(task.clone()),
            By::Itself => return self.player.life(at).map(|life| life.task.clone()),
            By::EachTime(_) | By::Program(_) => {}
        }
        let (By::EachTime(path) | By::Program(path)) = &self.by else {
            return None;
        };
        let task = self.player.starts(at, path, scene)?;
        self.note(at, at);
        if matches!(self.by, By::Program(_)) {
            self.by = By::Process(task.clone());
        }
        Some(task)
    }

    /// Notes that something was done from one time to another.
    pub(super) fn note(&mut self, from: Timestamp, to: Timestamp) {
        self.begin = Some(self.begin.map_or(from, |begin| begin.min(from)));
        self.end = self.end.max(to);
    }

    /// A connection. Returns its end.
    pub(super) fn connects(
        &mut self,
        at: Timestamp,
        to: &Target,
        of: Exchange,
        scene: &mut Scene,
    ) -> Timestamp {
        let task = self.process(at, scene);
        // A program is there before it connects.
        let late = if matches!(self.by, By::Itself) {
            0.0
        } else {
            0.03
        };
        let begin = Timestamp(at.0 + seconds(late));
        let who = match (&task, &self.by) {
            (Some(task), By::Itself) => Some(Who::Daemon(task)),
            (Some(task), _) => Some(Who::Process(task)),
            (None, _) => self.player.device.map(Who::Device),
        };
        let Some(who) = who else { return at };
        let end = scene.connection(begin, who, to, of);
        self.note(at, end);
        self.targets.insert(to.address);
        self.connections += 1;
        self.sent = self.sent.saturating_add(of.sent);
        if let (By::EachTime(_), Some(task)) = (&self.by, &task) {
            scene.exit(Timestamp(end.0 + SECOND / 10), task);
        }
        end
    }

    /// Ends what was started.
    pub(super) fn leaves(&mut self, scene: &mut Scene) {
        if let By::Process(task) = &self.by {
            scene.exit(Timestamp(self.end.0 + SECOND / 10), task);
        }
    }

    /// What was done; `None` where it was nothing. What goes on behind the end of the recording ends there.
    pub(super) fn label(&self, kind: &str, note: String, end: Timestamp) -> Option<Label> {
        let begin = self.begin?;
        let mut targets = self.targets.iter();
        let destination = targets.next().copied().filter(|_| targets.next().is_none());
        Some(Label {
            kind: kind.to_owned(),
            identity: self.player.selector.clone(),
            destination,
            begin,
            end: self.end.min(end),
            benign: false,
            note: format!(
                "{note}; {}, {} bytes sent, by {}",
                connections(self.connections),
                self.sent,
                if self.own {
                    "its own program"
                } else {
                    "another program"
                }
            ),
        })
    }
}

/// What an attacker brings along, or finds.
fn tool(source: &Source, random: &mut Random) -> String {
    let brought = format!("/dev/shm/.{:08x}", source.of("tool").number() >> 32);
    match random.chance(0.5) {
        true => brought,
        false => random
            .one_of(&TOOLS)
            .map_or(brought, |tool| (*tool).to_owned()),
    }
}

fn connections(count: u64) -> String {
    match count {
        1 => "1 connection".to_owned(),
        _ => format!("{count} connections"),
    }
}
