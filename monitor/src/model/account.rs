//! What a unix account is: a person's or a machine's, and whether anybody can log in to it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An account, by the user database, login.defs(5) and shadow(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Account {
    /// Whose it is, by its uid.
    pub class: AccountClass,
    /// Whether its shell is one in which somebody can work.
    pub shell: bool,
    /// Whether a password opens it.
    #[serde(default)]
    pub password: Password,
}

/// What a uid stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccountClass {
    /// uid 0, which every administrator takes on.
    Root,
    /// Below `UID_MIN` of login.defs(5): made for a service.
    System,
    /// From `UID_MIN` on: a person's, unless it has no shell.
    Regular,
    /// The kernel's overflow uid: nobody's, and so nobody's identity either.
    Nobody,
}

/// The password of an account, as far as it is anybody's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Password {
    /// It has one.
    Set,
    /// No password opens it: the field starts with `!` or `*`. Keys may.
    Locked,
    /// It needs none.
    Empty,
    /// shadow(5) does not tell.
    #[default]
    Unknown,
}

impl Account {
    /// Whether it is a machine's: made for a service, or such that no person can work in it. Root is
    /// nobody's machine identity by itself, and the overflow uid nobody's at all.
    pub fn is_machine(self) -> bool {
        match self.class {
            AccountClass::System => true,
            AccountClass::Regular => !self.shell,
            AccountClass::Root | AccountClass::Nobody => false,
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.class {
            AccountClass::Root => "root",
            AccountClass::System => "system",
            AccountClass::Regular => "regular",
            AccountClass::Nobody => "nobody",
        })?;
        if !self.shell {
            f.write_str(", no shell")?;
        }
        match self.password {
            Password::Locked => f.write_str(", locked"),
            Password::Empty => f.write_str(", no password"),
            Password::Set | Password::Unknown => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machines_account_is_a_services_or_one_without_a_shell() {
        for (class, shell, is_machine) in [
            (AccountClass::System, true, true),
            (AccountClass::System, false, true),
            (AccountClass::Regular, false, true),
            (AccountClass::Regular, true, false),
            (AccountClass::Root, true, false),
            (AccountClass::Nobody, false, false),
        ] {
            let account = Account {
                class,
                shell,
                password: Password::Locked,
            };
            assert_eq!(account.is_machine(), is_machine, "{account}");
        }
    }
}
