//! What the answers of reports are made of: a verdict, and its reasons.

use serde::{Deserialize, Serialize};

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing uses it any more.
    Yes,
    /// Too little is known.
    CannotTell,
    /// Something uses it.
    No,
}

impl Verdict {
    /// As a person reads it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::CannotTell => "cannot tell",
            Self::No => "no",
        }
    }
}

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The answer for which it speaks, and which it alone would give.
    pub verdict: Verdict,
    /// What it is, for programs: `in-use`, `held`, `not-watched`.
    pub code: String,
    /// In a sentence.
    pub text: String,
}

impl Reason {
    pub(super) fn new(verdict: Verdict, code: &str, text: String) -> Self {
        Self {
            verdict,
            code: code.to_owned(),
            text,
        }
    }
}

/// What follows from the reasons: the worst of them, which is to stand first.
pub(super) fn settle(reasons: &mut [Reason]) -> Verdict {
    let worst = reasons.iter().map(|reason| reason.verdict).max();
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.verdict));
    worst.unwrap_or(Verdict::CannotTell)
}
