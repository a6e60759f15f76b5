//! Real containers, by runc.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::daemon::Place;
use super::host::{Partner, command, run};

/// Waits for a line, and reads the files that it is given; linked statically, for nothing else is there.
const PROGRAM: &str = r#"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv) {
    char buffer[512];
    if (argc > 1 && !strcmp(argv[1], "wait")) {
        write(1, "up\n", 3);
        read(0, buffer, sizeof buffer);
        argc--, argv++;
    }
    for (int i = 1; i < argc; i++) {
        int fd = open(argv[i], O_RDONLY);
        if (fd < 0 || read(fd, buffer, sizeof buffer) < 1) return 1;
        close(fd);
    }
    return 0;
}
"#;

/// A container that waits, on an overlay of its own.
pub(super) struct Container {
    pub(super) id: String,
    root: PathBuf,
    init: Option<Partner>,
}

impl Container {
    /// Starts one whose first process reads `file`, mounted there from the host, once it goes on.
    pub(super) fn start(place: &Place, id: &str, annotations: &Value, file: Option<&Path>) -> Self {
        let id = format!("{id}-{}", std::process::id());
        let bundle = place.at(&id);
        let below = |name: &str| bundle.join(name);
        for name in ["rootfs", "lower", "upper", "work"] {
            fs::create_dir_all(below(name)).unwrap();
        }
        let source = below("program.c");
        fs::write(&source, PROGRAM).unwrap();
        compile_static(&source, &below("lower/program"));
        fs::write(below("lower/file"), "").unwrap();
        let layers = format!(
            "lowerdir={},upperdir={},workdir={}",
            below("lower").display(),
            below("upper").display(),
            below("work").display()
        );
        let root = below("rootfs");
        run(&mut command(
            "mount",
            &[&"-t", &"overlay", &"overlay", &"-o", &layers, &root],
        ));
        let mut container = Self {
            id,
            root,
            init: None,
        };
        run(command("runc", &[&"spec"]).current_dir(&bundle));
        let config = below("config.json");
        let mut spec: Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
        spec["process"]["terminal"] = json!(false);
        spec["process"]["args"] = match file {
            Some(_) => json!(["/program", "wait", "/file"]),
            None => json!(["/program", "wait"]),
        };
        spec["annotations"] = annotations.clone();
        if let Some(file) = file {
            let mounts = spec["mounts"].as_array_mut().unwrap();
            mounts.push(json!({
                "destination": "/file", "type": "bind", "source": file, "options": ["rbind", "ro"],
            }));
        }
        fs::write(&config, spec.to_string()).unwrap();
        let mut runc = command("runc", &[&"run", &container.id]);
        container.init = Some(Partner::start(runc.current_dir(&bundle)));
        container
    }

    /// The host's pid of its first process.
    pub(super) fn pid(&self) -> u32 {
        let state = run(&mut command("runc", &[&"state", &self.id]));
        let state: Value = serde_json::from_slice(&state.output.stdout).unwrap();
        u32::try_from(state["pid"].as_u64().unwrap()).unwrap()
    }

    /// A program in the container, by runc.
    pub(super) fn exec(&self, args: &[&str]) -> Command {
        let mut command = command("runc", &[&"exec", &self.id, &"/program"]);
        command.args(args);
        command
    }

    /// The same by nsenter.
    pub(super) fn enter(&self) -> Command {
        let pid = self.pid().to_string();
        command(
            "nsenter",
            &[&"--target", &pid, &"--mount", &"--pid", &"/program"],
        )
    }

    /// Lets it go on to its end.
    pub(super) fn go_on(&mut self) {
        self.init.take().unwrap().finish();
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // What has ended already is no error.
        let _ = command("runc", &[&"delete", &"--force", &self.id]).output();
        drop(self.init.take());
        let _ = command("umount", &[&self.root]).output();
    }
}

fn compile_static(source: &Path, to: &Path) {
    run(&mut command(
        "cc",
        &[&"-O2", &"-static", &"-o", &to, &source],
    ));
}
