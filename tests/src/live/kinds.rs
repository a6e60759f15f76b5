//! The kinds of identity: each is really there, is found by what it does, and named.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use monitor::model::Usage;
use serde_json::json;

use super::containers::Container;
use super::daemon::{Daemon, Place, patiently};
use super::host::{Account, Partner, SshKey, command, run};
use super::turn::{alone, shared};

/// A cgroup as systemd lays it out, where no systemd runs too: in every hierarchy that the daemon may
/// go by.
pub(super) struct Unit {
    groups: Vec<PathBuf>,
}

impl Unit {
    pub(super) fn make(path: &str) -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let roots = mounts.lines().filter_map(|line| {
            let (mount, of) = line.split_once(" - ")?;
            let at = mount.split(' ').nth(4)?;
            let mut of = of.split(' ');
            let kind = of.next()?;
            let options = of.nth(1)?;
            let is_v1 = options.split(',').any(|of| of == "memory" || of == "pids");
            (kind == "cgroup2" || kind == "cgroup" && is_v1).then(|| PathBuf::from(at))
        });
        let groups: Vec<_> = roots.map(|root| root.join(path)).collect();
        assert!(!groups.is_empty(), "no cgroups are mounted");
        for group in &groups {
            fs::create_dir_all(group).unwrap();
        }
        Self { groups }
    }

    /// What a shell does to put itself there.
    pub(super) fn enter(&self) -> String {
        let groups = self.groups.iter();
        let lines = groups.map(|group| format!("echo $$ >{}/cgroup.procs", group.display()));
        lines.collect::<Vec<_>>().join("; ")
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        for group in &self.groups {
            // The outer directories may be in use by others.
            let mut at = group.as_path();
            while fs::remove_dir(at).is_ok() {
                let Some(above) = at.parent() else { break };
                at = above;
            }
        }
    }
}

/// A token as the kubelet lays it out, on the host's side of a pod's volume.
struct Token {
    pod: PathBuf,
}

impl Token {
    fn make(uid: &str, account: &str) -> Self {
        let pod = Path::new("/var/lib/kubelet/pods").join(uid);
        let volume = pod.join("volumes/kubernetes.io~projected/kube-api-access-x");
        fs::create_dir_all(volume.join("..data")).unwrap();
        let script = "import base64, json, sys\n\
            e = lambda b: base64.urlsafe_b64encode(b).rstrip(b'=').decode()\n\
            print('.'.join([e(b'{\"alg\":\"RS256\"}'), e(json.dumps({'iss': 'https://kubernetes.default.svc', \
            'sub': 'system:serviceaccount:' + sys.argv[1], 'exp': 4000000000}).encode()), e(b's' * 64)]))";
        let done = run(&mut command("python3", &[&"-c", &script, &account]));
        let token = String::from_utf8(done.output.stdout).unwrap();
        fs::write(volume.join("..data/token"), token.trim()).unwrap();
        std::os::unix::fs::symlink("..data/token", volume.join("token")).unwrap();
        Self { pod }
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.pod);
        for above in self.pod.ancestors().skip(1).take(2) {
            // Only where this test has made it.
            let _ = fs::remove_dir(above);
        }
    }
}

/// Who has used a key.
fn user_of(place: &Place, key: &SshKey) -> Option<String> {
    let rows = place.usage().into_iter();
    let is_own = |row: &Usage| row.key.fingerprint.as_str() == key.fingerprint;
    let mut rows = rows.filter(is_own);
    rows.next_back().map(|row| row.key.identity.to_string())
}

#[test]
fn each_kind_of_identity_is_found_and_named() {
    // Containers of other tests come and go beside, and runc is slow when many do.
    let _host = alone();
    let place = Place::with("[sensor]\njob_environment = true");
    let service = Account::system();
    let test = std::process::id();
    let key = |name: &str| SshKey::ed25519(place.root().join(name));
    let mut kinds: Vec<(&str, SshKey, String)> = Vec::new();
    let unit = |name: &str| Unit::make(&format!("system.slice/{name}"));
    let jobs = [
        (
            "GitHub job",
            "actions.runner.org-repo.host",
            "GITHUB_REPOSITORY=org/repo",
            "ci:github:org/repo",
        ),
        (
            "GitLab job",
            "gitlab-runner",
            "CI_PROJECT_PATH=group/project",
            "ci:gitlab:group/project",
        ),
        (
            "Jenkins job",
            "jenkins",
            "JOB_NAME=team/nightly",
            "ci:jenkins:team/nightly",
        ),
        (
            "Buildkite job",
            "buildkite-agent",
            "BUILDKITE_ORGANIZATION_SLUG=acme BUILDKITE_PIPELINE_SLUG=web",
            "ci:buildkite:acme/web",
        ),
    ];
    let job_keys = jobs.map(|(kind, ..)| key(&kind.replace(' ', "-")));
    let liar = key("liar");
    let keys = [
        "account",
        "unit",
        "instance",
        "transient",
        "user-unit",
        "image",
        "name",
        "pod",
    ]
    .map(key);
    let [
        account,
        of_unit,
        instance,
        transient,
        user_unit,
        image,
        name,
        pod,
    ] = keys;
    let all = [
        &account, &of_unit, &instance, &transient, &user_unit, &image, &name, &pod,
    ];
    std::os::unix::fs::chown(&account.path, Some(service.uid), None).unwrap();
    let uid = format!("cwlive-{test}");
    let token = Token::make(&uid, "prod:api");
    let _daemon = Daemon::start(&place);
    for key in all.into_iter().chain(&job_keys).chain([&liar]) {
        place.known(&key.path);
    }

    run(&mut service.runs("cat", &[&account.path]));
    kinds.push(("unix account", account, service.selector()));

    let backup = format!("cwlive-{test}.service");
    let etc = format!("cwlive-{test}@etc.service");
    let made_up = format!("run-u{test}.service");
    let manager = format!("user@{}.service", service.uid);
    let own = format!(
        "user.slice/user-{uid}.slice/{manager}/app.slice/sync.service",
        uid = service.uid
    );
    for (kind, key, unit, named) in [
        (
            "systemd unit",
            of_unit,
            unit(&backup),
            format!("systemd:unit:{backup}"),
        ),
        (
            "systemd template instance",
            instance,
            unit(&etc),
            format!("systemd:unit:{etc}"),
        ),
        (
            "systemd transient unit",
            transient,
            unit(&made_up),
            "unix:user:root".to_owned(),
        ),
        (
            "systemd user unit",
            user_unit,
            Unit::make(&own),
            format!("systemd:user-unit:{}/sync.service", service.name),
        ),
    ] {
        let line = format!("{}; cat \"$1\" >/dev/null", unit.enter());
        // A child, so that the unit is not left with somebody in it.
        run(&mut command("sh", &[&"-ec", &line, &"sh", &key.path]));
        // A cgroup that is gone before anybody has asked for its path cannot be named.
        place.until(kind, || user_of(&place, &key).is_some());
        drop(unit);
        kinds.push((kind, key, named));
    }

    for ((kind, unit_name, variables, named), key) in jobs.into_iter().zip(job_keys) {
        let unit = unit(&format!("{unit_name}.cwlive-{test}.service"));
        // The runner has no variables of a job, starts a shell that has, and that does the job's work, here
        // with a lie.
        let line = format!(
            "{}; env {variables} sh -ec 'sleep 0.3; GITHUB_REPOSITORY=evil/x JOB_NAME=evil CI_PROJECT_PATH=evil/x \
             BUILDKITE_PIPELINE_SLUG=evil sh -ec \"cat $0 >/dev/null; true\"; true' \"$1\"; true",
            unit.enter()
        );
        run(&mut command("sh", &[&"-ec", &line, &"sh", &key.path]));
        kinds.push((kind, key, named.to_owned()));
    }
    // The same words, and no runner.
    let mut lie = command("cat", &[&liar.path]);
    run(lie.env("GITHUB_REPOSITORY", "org/repo"));
    kinds.push(("no job, by a lie", liar, "unix:user:root".to_owned()));

    let of_pod = json!({
        "io.kubernetes.cri.container-name": "api",
        "io.kubernetes.cri.image-name": "registry.example/api:1.4",
        "io.kubernetes.cri.sandbox-name": "api-7d9f",
        "io.kubernetes.cri.sandbox-namespace": "prod",
        "io.kubernetes.cri.sandbox-uid": uid,
    });
    for (kind, key, annotations, named) in [
        (
            "container image",
            image,
            json!({ "io.kubernetes.cri.image-name": "registry.example/web:1.4" }),
            "container:image:registry.example/web:1.4",
        ),
        (
            "container name",
            name,
            json!({ "nerdctl/name": "web" }),
            "container:name:web",
        ),
        ("Kubernetes service account", pod, of_pod, "k8s:sa:prod/api"),
    ] {
        let id = format!("cwlive-{}", kind.replace(' ', "-"));
        let mut container = Container::start(&place, &id, &annotations, Some(&key.path));
        std::thread::sleep(patiently(Duration::from_millis(500)));
        container.go_on();
        kinds.push((kind, key, named.to_owned()));
    }

    let mut wrong = 0;
    println!("{:<28}{:<7}{:<7}tested", "identity kind", "found", "named");
    for (kind, key, named) in &kinds {
        place.until(kind, || user_of(&place, key).is_some());
        let user = user_of(&place, key);
        let is_named = user.as_ref() == Some(named);
        wrong += u32::from(!is_named);
        let yes = |is: bool| if is { "yes" } else { "no" };
        println!(
            "{kind:<28}{:<7}{:<7}as {}",
            yes(user.is_some()),
            yes(is_named),
            user.as_deref().unwrap_or("-")
        );
    }
    assert_eq!(wrong, 0);
    drop(token);
}

#[test]
fn what_is_declared_for_a_template_holds_for_its_instances() {
    let _host = shared();
    let place = Place::new();
    let _daemon = Daemon::start(&place);
    let name = format!("cwlive-{}-t", std::process::id());
    place.retire(format!("systemd:unit:{name}@.service"));
    let unit = Unit::make(&format!("system.slice/{name}@etc.service"));
    let mut lines = command(
        "sh",
        &[
            &"-ec",
            &format!("{}; echo up; read line; exec sleep 0.01", unit.enter()),
        ],
    );
    let partner = Partner::start(&mut lines);
    let done = partner.finish();
    let alert = place.wait(
        "an instance of a retired template",
        done.is(monitor::model::DetectionId::RetiredIdentityActive),
    );
    let identity = alert.identity.unwrap();
    assert_eq!(identity.as_str(), format!("systemd:unit:{name}@.service"));
}
