//! What should not be so with a credential: by the registry alone, so that it is the same for a
//! daemon and for a database at rest.

use std::collections::BTreeSet;
use std::time::Duration;

use super::protocol::{CredentialView, FindingKind};
use crate::model::{CredentialKind, CredentialState, HeldIn, Timestamp, is_history};
use crate::registry::CredentialEntry;

const DAY: u64 = 86_400;
/// A secret that nobody has used for so long since it was found waits to be misused.
const UNUSED: Duration = Duration::from_secs(7 * DAY);
/// A secret without an end of its own is old after so long.
const OLD: Duration = Duration::from_secs(365 * DAY);

/// The findings about a credential. Those that need names of accounts are for the client.
pub(super) fn of(
    entry: &CredentialEntry,
    view: &CredentialView,
    now: Timestamp,
) -> Vec<FindingKind> {
    if view.state == CredentialState::Decoy {
        return Vec::new();
    }
    let is_secret = view.kind.is_secret();
    let is_key = matches!(
        view.kind,
        CredentialKind::SshPrivateKey | CredentialKind::X509PrivateKey
    );
    let group_may = |mode: &str| u32::from_str_radix(mode, 8).is_ok_and(|mode| mode & 0o040 != 0);
    let is_argument = |place: &HeldIn| *place == HeldIn::Arguments;
    let inodes: BTreeSet<_> = entry.locations.iter().map(|(_, file)| file).collect();
    let since = |at: Timestamp| now.since(at);
    let born = entry.credential.issued.unwrap_or(entry.first_seen);
    let is = |kind| match kind {
        FindingKind::WorldReadable => is_secret && view.files.iter().any(|of| of.world_readable),
        FindingKind::GroupReadable => {
            let mut shared = view.files.iter().filter(|of| !of.world_readable);
            is_key && shared.any(|of| of.gid != 0 && group_may(&of.mode))
        }
        FindingKind::Leaked => {
            is_secret
                && (!view.logs.is_empty()
                    || view.held.iter().any(|at| is_argument(&at.place))
                    || view.paths.iter().any(|path| is_history(path)))
        }
        FindingKind::Expired => view.state == CredentialState::Expired,
        FindingKind::NeverUsed => is_secret && view.uses == 0 && since(entry.first_seen) >= UNUSED,
        FindingKind::NoOwner => is_secret && view.owner.is_none(),
        FindingKind::Copied => is_secret && inodes.len() > 1,
        FindingKind::Old => is_secret && view.expires.is_none() && since(born) >= OLD,
    };
    FindingKind::ALL
        .iter()
        .copied()
        .filter(|kind| is(*kind))
        .collect()
}
