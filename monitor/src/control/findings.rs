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

#[cfg(test)]
mod tests {
    use crate::control::protocol::FindingKind;
    use crate::control::views;
    use crate::model::{
        Credential, CredentialKind, CredentialState, FileId, Fingerprint, HeldIn, LocatedFile,
        ProcessKey, RegistryChange, Selector, Target, Timestamp, UsageKey,
    };
    use crate::registry::{HeldAt, Registry};

    const DAY: i64 = 86_400_000_000_000;

    fn file(path: &str, ino: u64, mode: u32, kind: CredentialKind) -> LocatedFile {
        LocatedFile {
            file: FileId { dev: 1, ino },
            path: path.into(),
            uid: 1000,
            gid: 1000,
            mode,
            modified: Timestamp(0),
            credentials: vec![Credential {
                fingerprint: Fingerprint::new("x"),
                kind,
                label: None,
                subject: None,
                issued: None,
                expires: None,
                bound: None,
            }],
        }
    }

    fn findings(registry: &Registry, day: i64) -> Vec<&'static str> {
        let view = views::credentials(registry, Timestamp(day * DAY)).remove(0);
        view.findings.iter().map(|of| of.as_str()).collect()
    }

    #[test]
    fn each_finding_comes_with_its_cause_and_goes_with_it() {
        let mut registry = Registry::default();
        let kind = CredentialKind::SshPrivateKey;
        registry.locate(&file("/srv/a", 1, 0o600, kind), Timestamp(0));
        assert_eq!(findings(&registry, 1), ["no-owner"]);
        assert_eq!(findings(&registry, 8), ["never-used", "no-owner"]);
        registry.locate(&file("/srv/a", 1, 0o640, kind), Timestamp(0));
        assert_eq!(findings(&registry, 1), ["group-readable", "no-owner"]);
        registry.locate(&file("/srv/a", 1, 0o644, kind), Timestamp(0));
        registry.expose(FileId { dev: 1, ino: 1 });
        assert_eq!(findings(&registry, 1), ["world-readable", "no-owner"]);
        registry.locate(&file("/srv/a", 1, 0o600, kind), Timestamp(0));
        registry.locate(&file("/srv/link", 1, 0o600, kind), Timestamp(0));
        assert_eq!(
            findings(&registry, 1),
            ["no-owner"],
            "one file by two paths"
        );
        registry.locate(&file("/home/a/.bash_history", 2, 0o600, kind), Timestamp(0));
        assert_eq!(findings(&registry, 1), ["leaked", "no-owner", "copied"]);
        registry.unlocate("/home/a/.bash_history".as_ref(), Timestamp(0));
        let owned = RegistryChange {
            target: Target::Credential(Fingerprint::new("x")),
            state: CredentialState::Active,
            since: None,
            by: "root".to_owned(),
            reason: None,
            owner: Some(Selector::unix_user("svc")),
        };
        registry.change(&owned, Timestamp(0));
        assert_eq!(findings(&registry, 400), ["never-used", "old"]);
        let key = UsageKey {
            fingerprint: Fingerprint::new("x"),
            identity: Selector::unix_user("svc"),
            exe: String::new(),
            destination: String::new(),
        };
        registry.usage.note(key, 1, Timestamp(DAY));
        assert_eq!(findings(&registry, 8), [""; 0]);
    }

    #[test]
    fn a_secret_among_arguments_is_leaked_and_in_an_environment_is_not() {
        let mut registry = Registry::default();
        registry.know(
            &file("", 1, 0, CredentialKind::NpmToken).credentials[0],
            Timestamp(0),
        );
        let name = Fingerprint::new("x");
        let at = |place| HeldAt {
            process: ProcessKey {
                pid: 1,
                start: Timestamp(0),
            },
            identity: Selector::unix_user("svc"),
            exe: None,
            place,
            since: Timestamp(0),
        };
        let variable = "A".to_owned();
        registry
            .held
            .hold(&name, at(HeldIn::Environment { variable }));
        assert_eq!(findings(&registry, 1), ["no-owner"]);
        registry.held.hold(&name, at(HeldIn::Arguments));
        assert_eq!(findings(&registry, 1), ["leaked", "no-owner"]);
    }

    #[test]
    fn public_halves_and_bait_have_none() {
        for kind in [
            CredentialKind::SshAuthorizedKey,
            CredentialKind::X509Certificate,
        ] {
            let mut registry = Registry::default();
            registry.locate(&file("/srv/a", 1, 0o644, kind), Timestamp(0));
            registry.expose(FileId { dev: 1, ino: 1 });
            assert_eq!(findings(&registry, 400), [""; 0], "{kind:?}");
        }
        let mut registry = Registry::default();
        registry.locate(&file("/srv/a", 1, 0o644, CredentialKind::Jwt), Timestamp(0));
        let bait = RegistryChange {
            target: Target::Path("/srv/a".into()),
            state: CredentialState::Decoy,
            since: None,
            by: "root".to_owned(),
            reason: None,
            owner: None,
        };
        registry.change(&bait, Timestamp(0));
        assert_eq!(findings(&registry, 400), [""; 0]);
        assert_eq!(FindingKind::ALL.len(), 8);
    }
}
