//! A file system that answers nobody, as that of a server which is away: the daemon goes on, and says
//! what it could not look at.

use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use monitor::model::DetectionId;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::daemon::{Daemon, Place};
use super::host::{SshKey, command, run};
use super::turn::alone;

const READ: DetectionId = DetectionId::RetiredCredentialRead;
const LOST: DetectionId = DetectionId::EventsLost;

/// A file system in user space whose server takes no request: whoever looks at a path in it waits.
struct Silent {
    at: PathBuf,
    server: Option<File>,
}

impl Silent {
    fn new(at: PathBuf) -> Self {
        fs::create_dir(&at).unwrap();
        let mut options = File::options();
        let server = options.read(true).write(true).open("/dev/fuse").unwrap();
        let data = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0",
            server.as_raw_fd()
        );
        let data = CString::new(data).unwrap();
        mount("silent", &at, "fuse", MountFlags::empty(), data.as_c_str()).unwrap();
        Self {
            at,
            server: Some(server),
        }
    }

    fn path(&self) -> &Path {
        &self.at
    }

    /// The server goes: whoever waits gets an error.
    fn end(&mut self) {
        self.server = None;
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        self.end();
        let _ = unmount(&self.at, UnmountFlags::DETACH);
    }
}

#[test]
fn a_file_system_that_does_not_answer_stops_nothing() {
    // Others would look at the mount, too.
    let _host = alone();
    let place = Place::new();
    let key = SshKey::ed25519(place.root().join("deploy"));
    let mut silent = Silent::new(place.at("silent"));
    let declared = [silent.path().join("old-key"), key.path.clone()];
    let entry = |path: &PathBuf| format!("[[credential]]\npath = {path:?}\nstate = \"retired\"\n");
    let text: String = declared.iter().map(entry).collect();
    fs::write(place.at("registry.d/old.toml"), text).unwrap();
    let daemon = Daemon::start(&place);

    let done = run(&mut command("cat", &[&key.path]));
    place.wait("a read while a file system hangs", done.is(READ));
    let lost = place.wait("what could not be looked at", |alert| {
        alert.id == LOST && alert.summary.contains("file_look")
    });
    assert!(lost.credential.is_none());

    silent.end();
    // Another program is another cause.
    let done = run(&mut command("head", &[&key.path]));
    place.wait("a read after that", done.is(READ));
    daemon.stop();
}
