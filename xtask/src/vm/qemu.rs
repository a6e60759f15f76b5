//! One boot: the machine, what its command wrote, and how it ended.

use std::{
    fs::{self, File},
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::initramfs;
use crate::process;

/// What is booted.
pub(super) struct Machine<'a> {
    pub(super) image: &'a Path,
    pub(super) initramfs: &'a Path,
    pub(super) root: &'a Path,
    pub(super) built: &'a Path,
    /// More for the kernel's command line.
    pub(super) parameters: &'a str,
    /// A shell's script.
    pub(super) command: &'a str,
    pub(super) hardware: Hardware,
    /// How long it may take.
    pub(super) limit: Duration,
}

/// What a machine has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hardware {
    /// MiB.
    pub(super) memory: u32,
    pub(super) processors: u32,
    /// A card behind a gateway of QEMU's own.
    pub(super) network: bool,
    /// Whether its disk has an init, and a unit that runs the command.
    pub(super) own_init: bool,
}

impl Hardware {
    /// For one script on a kernel. A second processor makes nothing faster.
    pub(super) const SMALL: Self = Self {
        memory: 1024,
        processors: 1,
        network: false,
        own_init: false,
    };
}

/// How a boot went.
pub(super) struct Boot {
    /// The command's exit code; none when the guest did not come so far.
    pub(super) code: Option<i32>,
    /// What the command wrote.
    pub(super) output: String,
    /// What it wrote for this program to read.
    pub(super) report: String,
    /// What the kernel said.
    pub(super) console: String,
    pub(super) took: Duration,
    pub(super) timed_out: bool,
}

/// What the guest's shell knows.
const SETTINGS: &str = "export CREDWATCH_BIN=/opt/credwatch/credwatch CREDWATCH_TEST_PATIENCE=4\n\
                        export NO_COLOR=1 PATH=/opt/credwatch:$PATH\n";

impl Machine<'_> {
    /// Boots it in a directory of its own, and waits until it is off. What the command writes goes to
    /// `copy` as it comes.
    ///
    /// # Errors
    /// When QEMU cannot be started.
    pub(super) fn boot(&self, directory: &Path, copy: impl Write + Send + 'static) -> Result<Boot> {
        let start = Instant::now();
        let mut files = vec![("settings", SETTINGS), ("command", self.command)];
        if self.hardware.own_init {
            files.push(("own-init", ""));
        }
        let initrd = initramfs::with_files(self.initramfs, directory, &files)?;
        let [console, result, report] =
            ["console", "result", "report"].map(|name| directory.join(name));
        let mut qemu = self.qemu(&initrd, &console, &result, &report)?;
        let said = directory.join("qemu");
        let mut child = qemu
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&said)?)
            .spawn()
            .with_context(|| format!("cannot run {}", process::shown(&qemu)))?;
        let pipe = child.stdout.take().context("QEMU has no output")?;
        let reader = thread::spawn(move || take_in(pipe, copy));
        let timed_out = !wait(&mut child, start + self.limit)?;
        // It ends with the pipe, that is with QEMU.
        let output = reader.join().unwrap_or_default();
        let text = |file: &PathBuf| {
            let bytes = fs::read(file).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace('\r', "")
        };
        Ok(Boot {
            code: text(&result)
                .lines()
                .find_map(|line| line.strip_prefix("RC=")?.trim().parse().ok()),
            output: String::from_utf8_lossy(&output).into_owned(),
            report: text(&report),
            console: text(&console) + &text(&said),
            took: start.elapsed(),
            timed_out,
        })
    }

    fn qemu(&self, initrd: &Path, console: &Path, result: &Path, report: &Path) -> Result<Command> {
        let program = process::which("qemu-system-x86_64").context("qemu is missing")?;
        // The machine ends with this program, however that ends.
        let mut qemu = Command::new("setpriv");
        qemu.args(["--pdeathsig", "KILL", "--"]).arg(program);
        // By emulation: where /dev/kvm exists it may still not work.
        qemu.args(["-accel", "tcg", "-cpu", "max", "-M", "q35"])
            .args(["-m", &self.hardware.memory.to_string()])
            .args(["-smp", &self.hardware.processors.to_string()])
            .args(["-nodefaults", "-no-user-config", "-display", "none"])
            .arg("-no-reboot")
            .arg("-kernel")
            .arg(self.image)
            .arg("-initrd")
            .arg(initrd)
            .arg("-append")
            .arg(format!("console=ttyS0 quiet panic=-1 {}", self.parameters));
        for (name, disk) in [("root", self.root), ("built", self.built)] {
            // What is written goes to a temporary file.
            let disk = disk.display();
            qemu.arg("-drive")
                .arg(format!(
                    "id={name},file={disk},format=raw,if=none,snapshot=on"
                ))
                .arg("-device")
                .arg(format!("virtio-blk-pci,drive={name}"));
        }
        if self.hardware.network {
            qemu.args(["-netdev", "user,id=network"])
                .args(["-device", "virtio-net-pci,netdev=network,romfile="]);
        }
        qemu.args(["-chardev", "stdio,id=output,signal=off"]);
        // In the order of their numbers.
        let file = |path: &Path| format!("file:{}", path.display());
        for line in [
            file(console),
            "chardev:output".to_owned(),
            file(result),
            file(report),
        ] {
            qemu.args(["-serial", &line]);
        }
        Ok(qemu)
    }
}

/// Reads to the end.
fn take_in(mut pipe: impl Read, mut copy: impl Write) -> Vec<u8> {
    let mut output = Vec::new();
    let mut bytes = [0; 4096];
    while let Ok(number @ 1..) = pipe.read(&mut bytes) {
        let bytes = &bytes[..number];
        output.extend_from_slice(bytes);
        // Where the copy goes is no reason to lose the rest.
        let _ = copy.write_all(bytes).and_then(|()| copy.flush());
    }
    output
}

/// Waits for the end; at the deadline brings it about. Gives whether it came by itself.
fn wait(child: &mut Child, deadline: Instant) -> Result<bool> {
    loop {
        if child.try_wait()?.is_some() {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(20));
    }
}
