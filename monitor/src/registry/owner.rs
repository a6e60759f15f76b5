//! Whose a credential is: what was declared, else what its content says, else the service that it
//! was made for.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{CredentialEntry, Registry};
use crate::model::Selector;

/// Whose word an owner is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OwnerFrom {
    /// An operator or a registry file declared it.
    Declared,
    /// The credential names it.
    Content,
    /// It lies where systemd puts the credentials of one unit.
    Unit,
    /// All its files are of one account that is not root's.
    File,
}

impl Registry {
    /// The owner of a credential, where anything tells.
    pub fn owner(&self, entry: &CredentialEntry) -> Option<(Selector, OwnerFrom)> {
        let declared = entry.declared.as_ref().and_then(|said| said.owner.clone());
        let declared = declared.map(|owner| (owner, OwnerFrom::Declared));
        let content = || Some((entry.credential.subject.clone()?, OwnerFrom::Content));
        let unit = || {
            let mut paths = entry.locations.iter().map(|(path, _)| path.as_path());
            let unit = paths.find_map(unit_of)?;
            Some((
                format!("systemd:unit:{unit}").parse().ok()?,
                OwnerFrom::Unit,
            ))
        };
        declared.or_else(content).or_else(unit)
    }
}

/// The unit for which systemd has made this file: `/run/credentials/UNIT/NAME`
/// (`LoadCredential=`, `SetCredential=` and `ImportCredential=` in systemd.exec(5)).
fn unit_of(path: &Path) -> Option<&str> {
    let below = path.strip_prefix("/run/credentials").ok()?;
    let mut parts = below.iter();
    let unit = parts.next()?.to_str()?;
    // What the system itself was given at boot lies in directories that are named for no unit.
    (parts.next().is_some() && unit.contains('.')).then_some(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_a_directory_of_its_own() {
        let unit = |path| unit_of(Path::new(path));
        assert_eq!(unit("/run/credentials/web.service/db"), Some("web.service"));
        assert_eq!(
            unit("/run/credentials/web@1.service/a/b"),
            Some("web@1.service")
        );
        assert_eq!(unit("/run/credentials/@system/db"), None);
        assert_eq!(unit("/run/credentials/web.service"), None);
        assert_eq!(unit("/srv/credentials/web.service/db"), None);
    }
}
