//! Names of accounts and groups, which only the host knows on which the client runs.

use std::collections::HashMap;

use crate::control::protocol::{CredentialView, FindingKind};
use crate::model::Selector;
use crate::registry::OwnerFrom;

/// Names that were asked for, each once: a directory service may be far away.
#[derive(Default)]
pub(super) struct Accounts {
    users: HashMap<u32, Option<String>>,
    groups: HashMap<u32, Option<String>>,
}

impl Accounts {
    /// Adds the names of those who own the files, and takes the account of all of them for the owner
    /// where nothing better is known. Root's is nobody's in particular.
    pub(super) fn complete(&mut self, credentials: &mut [CredentialView]) {
        for view in credentials {
            for file in &mut view.files {
                file.user = self.user(file.uid);
                file.group = self.group(file.gid);
            }
            if view.owner.is_none()
                && let Some(first) = view.files.first()
                && first.uid != 0
                && view.files.iter().all(|file| file.uid == first.uid)
                && let Some(name) = &first.user
            {
                view.owner = Some(Selector::unix_user(name));
                view.owner_from = Some(OwnerFrom::File);
                view.findings.retain(|kind| *kind != FindingKind::NoOwner);
            }
        }
    }

    fn user(&mut self, uid: u32) -> Option<String> {
        let name =
            || uzers::get_user_by_uid(uid).map(|of| of.name().to_string_lossy().into_owned());
        self.users.entry(uid).or_insert_with(name).clone()
    }

    fn group(&mut self, gid: u32) -> Option<String> {
        let name =
            || uzers::get_group_by_gid(gid).map(|of| of.name().to_string_lossy().into_owned());
        self.groups.entry(gid).or_insert_with(name).clone()
    }
}
