//! Attacks: which identity is misused when, and the label of each. What each does is in `acts`.
//!
//! All of it is drawn from ranges of the parameters, without a look at what any detector would say: an
//! attack can be as small as what its identity does anyhow.

mod acts;
mod hand;

use monitor::model::Timestamp;

use crate::busy::Busy;
use crate::calendar::{Calendar, SECOND, hours};
use crate::label::Label;
use crate::parameters::{Attacks, Range, When};
use crate::player::{File, Player};
use crate::random::{Random, Source};
use crate::routine::Cast;
use crate::scene::Scene;
use hand::Hand;

/// How often another identity and time are drawn where these are taken.
const DRAWS: usize = 100;
/// An attack leaves this much of the end free, so that there is time to find it.
const MARGIN: i64 = 3_600 * SECOND;

/// What can be done with an identity that was stolen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    IdentitySwap,
    Exfiltration,
    SlowLeak,
    Beacon,
    Harvest,
    LivingOffAllowed,
    PoisonedWarmUp,
    Rate,
    UnusualHour,
}

impl Kind {
    pub(crate) const ALL: [Self; 9] = [
        Self::IdentitySwap,
        Self::Exfiltration,
        Self::SlowLeak,
        Self::Beacon,
        Self::Harvest,
        Self::LivingOffAllowed,
        Self::PoisonedWarmUp,
        Self::Rate,
        Self::UnusualHour,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::IdentitySwap => "identity-swap",
            Self::Exfiltration => "exfiltration",
            Self::SlowLeak => "slow-leak",
            Self::Beacon => "beacon",
            Self::Harvest => "harvest",
            Self::LivingOffAllowed => "living-off-allowed",
            Self::PoisonedWarmUp => "poisoned-warm-up",
            Self::Rate => "rate",
            Self::UnusualHour => "unusual-hour",
        }
    }

    /// For how many hours it goes on; `None` for the one that goes on to the end.
    fn length(self, of: &Attacks) -> Option<Range> {
        let times = |[low, high]: Range, by: f64| Some([low * by, high * by]);
        match self {
            Self::IdentitySwap => Some(of.identity_swap.hours),
            Self::Exfiltration => Some(of.exfiltration.hours),
            Self::SlowLeak => times(of.slow_leak.days, 24.0),
            Self::Beacon => Some(of.beacon.hours),
            Self::Harvest => times(of.harvest.minutes, 1.0 / 60.0),
            Self::LivingOffAllowed => Some(of.living_off_allowed.hours),
            Self::PoisonedWarmUp => None,
            Self::Rate => Some(of.rate.hours),
            Self::UnusualHour => Some(of.unusual_hour.hours),
        }
    }

    /// Whether it can be done with an identity.
    fn fits(self, player: &Player<'_>, cast: &Cast<'_>) -> bool {
        let is_device = player.device.is_some();
        match self {
            Self::LivingOffAllowed => acts::stores(player, cast).next().is_some(),
            Self::IdentitySwap => !is_device,
            // Whoever has no credential is of no use for more of them.
            Self::Harvest => !is_device && !player.files.is_empty(),
            Self::Rate => acts::usual_rates(player).next().is_some(),
            // Who works through the night has no unusual hour.
            Self::UnusualHour => {
                let rests = |when: &When| match when {
                    When::Random { night, .. } => *night <= 0.5,
                    When::Every { .. } => false,
                    // What is done on few days leaves the others.
                    When::At { day: Some(_), .. }
                    | When::At {
                        weekday: Some(_), ..
                    } => true,
                    When::At { hours, delay, .. } => {
                        let ends = |hour: &i8| f64::from(*hour) + delay / 3600.0 < 24.0;
                        let by_day = |hour: &i8| {
                            f64::from(*hour) > cast.parameters.attacks.unusual_hour.from[1]
                        };
                        !hours.is_empty() && hours.iter().all(|hour| by_day(hour) && ends(hour))
                    }
                };
                let knows = acts::known(player, cast).next().is_some();
                !is_device && knows && player.role.activities.iter().all(|of| rests(&of.when))
            }
            _ => true,
        }
    }
}

/// Draws what happens to a host, lets it happen, and says what it was. `kinds` are dealt to the hosts of
/// a seed in turn.
pub(crate) fn draw(
    cast: &Cast<'_>,
    kinds: &[Kind],
    idle: &[File],
    source: &Source,
    busy: &mut Busy,
    scene: &mut Scene,
) -> Vec<Label> {
    let mut labels = Vec::new();
    for (number, kind) in kinds.iter().enumerate() {
        let source = source.at(number as u64);
        let mut random = source.of("draw").stream();
        let players = cast.players.iter().enumerate();
        let fitting: Vec<_> = players
            .filter(|(_, player)| kind.fits(player, cast))
            .collect();
        for _ in 0..DRAWS {
            let Some((index, player)) = random.one_of(&fitting) else {
                break;
            };
            let (from, to) = when(*kind, &cast.calendar, &cast.parameters.attacks, &mut random);
            if !busy.take(*index, from, to) {
                continue;
            }
            let mut act = Act {
                cast,
                idle,
                player,
                from,
                to,
                hand: Hand::new(cast, player, &source, &mut random),
                source: source.clone(),
                random: random.clone(),
                scene: &mut *scene,
            };
            let note = act.perform(*kind);
            labels.extend(act.hand.label(kind.name(), note, cast.calendar.end));
            break;
        }
    }
    labels
}

/// From when to when it is done, within the recording.
fn when(
    kind: Kind,
    calendar: &Calendar,
    of: &Attacks,
    random: &mut Random,
) -> (Timestamp, Timestamp) {
    let end = calendar.end.0 - MARGIN;
    let Some([low, high]) = kind.length(of) else {
        let [low, high] = of.poisoned_warm_up.begins;
        let learning = (calendar.warm.0 - calendar.begin.0) as f64;
        let from = calendar.begin.0 + (learning * random.between(low, high)) as i64;
        return (Timestamp(from), Timestamp(end.max(from + SECOND)));
    };
    let length = hours(random.between_magnitudes(low, high)).max(SECOND);
    let length = length.min((end - calendar.warm.0).max(SECOND));
    let latest = (end - length).max(calendar.warm.0);
    let mut from = Timestamp(random.between(calendar.warm.0 as f64, latest as f64) as i64);
    let at_hour = match kind {
        Kind::UnusualHour => Some(of.unusual_hour.from),
        Kind::LivingOffAllowed if random.chance(of.living_off_allowed.at_night) => {
            Some(of.unusual_hour.from)
        }
        _ => None,
    };
    if let Some([low, high]) = at_hour {
        let past = hours(random.between(low, high));
        let date = calendar.local(from).date();
        let nights = [Some(date), date.tomorrow().ok()].into_iter().flatten();
        let mut nights = nights.filter_map(|date| calendar.moment(date, 0, 0));
        // Where the first lies before the end of the learning time, the next does not.
        let at = nights.find(|midnight| midnight.0 + past >= calendar.warm.0);
        from = at.map_or(from, |midnight| Timestamp(midnight.0 + past));
    }
    (
        from,
        Timestamp((from.0 + length).min(calendar.end.0 - SECOND)),
    )
}

/// One attack, while it happens.
pub(crate) struct Act<'a, 'p> {
    cast: &'a Cast<'p>,
    idle: &'a [File],
    player: &'a Player<'p>,
    from: Timestamp,
    to: Timestamp,
    hand: Hand<'a, 'p>,
    source: Source,
    random: Random,
    scene: &'a mut Scene,
}
