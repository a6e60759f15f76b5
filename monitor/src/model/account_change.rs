//! Accounts of this host, as far as it matters who can log in as them. Never a password's hash.

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// What an account's password field allows (shadow(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PasswordField {
    /// `*`, `!`, `!*`: no password fits.
    None,
    /// `!` before a hash: it had a password, and gets it back by taking the `!` away.
    Locked,
    /// A hash.
    Set,
    /// Nothing at all: whoever asks gets in.
    Empty,
}

impl PasswordField {
    /// Whether some password, or none, lets somebody in.
    pub fn lets_in(self) -> bool {
        matches!(self, Self::Set | Self::Empty)
    }
}

/// What is run for who logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShellClass {
    /// `nologin`, `false` and their like: it says no, and ends.
    None,
    /// Anything else.
    Login,
}

/// How an account stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountState {
    /// Its uid.
    pub uid: u32,
    /// Its password field.
    pub password: PasswordField,
    /// Its shell.
    pub shell: ShellClass,
    /// The day on which it ends, at midnight in UTC; `None` where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// Whether it is made for a machine: its uid is below those that people get (`UID_MIN` of
    /// login.defs), and it is not root; or it is `nobody`.
    pub is_system: bool,
}

impl AccountState {
    /// Whether its end has come.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }
}

/// An account that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountChange {
    /// Its name.
    pub name: String,
    /// Before; `None` where there was none of that name.
    pub before: Option<AccountState>,
    /// Now; `None` where it is gone.
    pub after: Option<AccountState>,
    /// Whether no account has the uid that it had before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub uid_is_free: bool,
    /// Whether no daemon ran when this happened, so that nobody can say who did it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub while_unwatched: bool,
}
