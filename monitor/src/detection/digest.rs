//! What stayed under the budget of false alerts, in sentences.

use super::{Detector, scored};
use crate::baseline::{DigestView, UntoldView};
use crate::model::Timestamp;

impl Detector {
    /// What was asked about since a moment and not told.
    pub fn digest(&self, since: Timestamp) -> DigestView {
        let (mut view, untold) = self.state.baselines.digest(since);
        for of in untold {
            let shown = of.anomaly.destination.map(|to| self.shown(to).1);
            let exe = of.program.as_deref();
            view.untold.push(UntoldView {
                time: of.time(),
                id: of.anomaly.id(),
                identity: of.identity.clone(),
                p: of.anomaly.p,
                alpha: of.anomaly.alpha,
                held_back: of.held_back,
                times: of.times,
                summary: scored::sentence(&of.anomaly, &of.identity, exe, shown.as_deref()),
            });
        }
        view
    }
}
