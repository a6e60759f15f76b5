//! Where one evasion is played: a directory with a file that is watched and one that nobody minds.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, mount};
use serde::{Deserialize, Serialize};

use super::Evasion;

/// As many bytes as a try has to come by.
pub(super) const ROOM: usize = 64;

/// The content of the file beside the watched one.
const HARMLESS: &[u8; ROOM] = b"Nothing in here lets anybody in anywhere; it is as long as such.";

/// One directory, and what lies in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Scene {
    pub(super) directory: PathBuf,
    /// The file that is to be read.
    pub(super) secret: PathBuf,
    /// A rehearsal's file holds nothing that is watched.
    rehearsal: bool,
    /// Tells this scene's secret from all others.
    number: u32,
}

impl Scene {
    /// Prepares a directory for an evasion: its file system, the secret, and the harmless file.
    pub(super) fn lay(directory: &Path, evasion: &Evasion, number: u32, rehearsal: bool) -> Self {
        let scene = Self {
            directory: directory.to_owned(),
            secret: directory.join(evasion.secret),
            rehearsal,
            number,
        };
        fs::create_dir_all(directory).unwrap();
        if let Some(kind) = evasion.file_system {
            mount("none", directory, kind, MountFlags::empty(), None).unwrap();
        }
        fs::create_dir_all(scene.secret.parent().unwrap()).unwrap();
        // Whoever is refused is refused at the file and not on the way to it.
        for directory in [directory, scene.secret.parent().unwrap()] {
            fs::set_permissions(directory, Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(scene.harmless(), HARMLESS).unwrap();
        fs::write(&scene.secret, scene.content()).unwrap();
        fs::set_permissions(&scene.secret, Permissions::from_mode(0o600)).unwrap();
        scene
    }

    pub(super) fn harmless(&self) -> PathBuf {
        // One letter from the secret's name, for who rewrites paths.
        self.secret.with_file_name("secre_")
    }

    /// What the file holds that is to be read.
    fn content(&self) -> Vec<u8> {
        if self.rehearsal {
            return [&HARMLESS[..], b"\n"].concat();
        }
        let id = format!("AKIA{:A>16}", base_32(self.number));
        format!(
            "[default]\naws_access_key_id = {id}\naws_secret_access_key = evade{id}evade{:0>11}\n",
            self.number
        )
        .into_bytes()
    }

    /// Whether these are the first bytes of the file that is to be read.
    pub(super) fn is_content(&self, bytes: &[u8; ROOM]) -> bool {
        self.content().starts_with(bytes)
    }
}

/// In the digits of AWS' identifiers.
fn base_32(mut number: u32) -> String {
    let mut digits = String::from("EVADE");
    while number > 0 {
        digits.push(char::from(
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[number as usize % 32],
        ));
        number /= 32;
    }
    digits
}
