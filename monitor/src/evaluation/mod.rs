//! How good the scored detections are: recordings and conn logs of which it is known what happened are
//! run through the pipeline, and what it told is held against that.
//!
//! The unit is an instance (an identity, another end, an episode), never a connection. Labels are no
//! part of what is run: [`score`] has no way to them, and they are read when it is done.

mod episodes;
mod event;
mod exchange;
mod first_seen;
mod interval;
mod judge;
mod label;
mod report;
mod run;
mod score;
mod source;
mod split;
mod told;

pub use event::{Event, Events};
pub use exchange::{Export, Scores, ScoresError};
pub use interval::{Interval, clopper_pearson, poisson};
pub use judge::{Found, Judged, Span, judge};
pub use label::{Label, LabelError};
pub use report::{
    ChangeLine, FalseAlert, HostLine, KindShare, Measured, Missed, Quantiles, Rate, Report,
    RuleLine, Share,
};
pub use run::{Evaluation, EvaluationError};
pub use score::{FIRST_SEEN, OURS, Scored, Sent, score};
pub use source::{Source, SourceError};
pub use split::{Split, SplitError};
pub use told::{Series, Told, is_scored};

#[cfg(test)]
mod tests;
