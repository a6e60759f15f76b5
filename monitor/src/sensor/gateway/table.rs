//! The kernel half's table of flows.

use aya::Ebpf;
use aya::maps::{HashMap, MapData};
use monitor_common::{FlowCounts, FlowKey, Hook};
use zerocopy::{FromBytes, IntoBytes};

use super::flows::{Flows, Swept};
use crate::model::Flow;
use crate::sensor::load::LoadError;
use crate::sensor::maps::{Counters, take};

/// Most flows at a time.
pub(in crate::sensor) const CAPACITY: u32 = 32_768;

const KEY_WORDS: usize = size_of::<FlowKey>() / size_of::<u64>();
const COUNT_WORDS: usize = size_of::<FlowCounts>() / size_of::<u64>();

/// The table.
pub(in crate::sensor) struct Table(HashMap<MapData, [u64; KEY_WORDS], [u64; COUNT_WORDS]>);

impl Table {
    pub(in crate::sensor) fn take(ebpf: &mut Ebpf) -> Result<Self, LoadError> {
        take(ebpf, "FLOWS").map(Self)
    }

    /// What is to be told of flows at this moment, in nanoseconds of CLOCK_BOOTTIME, and how many the
    /// table has lost since the last call.
    pub(in crate::sensor) fn sweep(
        &mut self,
        flows: &mut Flows,
        counters: &Counters,
        now: u64,
    ) -> (Vec<Flow>, u64) {
        let began = || -> u64 {
            let counters = counters.read(Hook::GatewayFlow);
            counters.iter().map(|of| of.fired).sum()
        };
        // Before the look: what begins meanwhile is there, and not counted yet.
        let began = began();
        // A key that goes away while it is the last that was asked for begins the walk anew.
        let most = 2 * CAPACITY as usize;
        let mut steps = 0;
        let keys = self.0.keys().take(most).inspect(|_| steps += 1);
        let entries = keys.filter_map(Result::ok).filter_map(|key| {
            let counts = self.0.get(&key, 0).ok()?;
            let key = FlowKey::read_from_bytes(key.as_bytes()).ok()?;
            Some((key, FlowCounts::read_from_bytes(counts.as_bytes()).ok()?))
        });
        let Swept {
            flows: told,
            over,
            present,
        } = flows.sweep(entries, now);
        // A walk that did not come to its end has not seen all that is there: the next one will.
        let lost = if steps < most {
            flows.driven_out(began, present)
        } else {
            0
        };
        // What comes in the moment between the look and this is a connection's last word.
        let gone = over.iter().filter(|key| {
            let words = <[u64; KEY_WORDS]>::read_from_bytes(key.as_bytes());
            words.is_ok_and(|key| self.0.remove(&key).is_ok())
        });
        let gone = gone.count() as u64;
        flows.removed(gone);
        (told, lost)
    }
}
