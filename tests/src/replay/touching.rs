//! CW-207 and CW-208: sockets and files that only few have a reason to touch.

use monitor::config::ActorPattern;
use monitor::model::{
    Access, Credential, CredentialKind, CredentialState, DetectionId, Fact, FileId, Severity,
    Target, Task,
};

use super::story::{BEGIN, Story, child_of, key, of_root, process, with_program};

const AGENT: &str = "/tmp/ssh-XyZ12/agent.4711";
const SHADOW: FileId = FileId {
    dev: 2049,
    ino: 900,
};
const SUDOERS: FileId = FileId {
    dev: 2049,
    ino: 901,
};
const KEYS: FileId = FileId {
    dev: 2049,
    ino: 902,
};

/// Root as process 60 runs this.
fn root_with(path: &str) -> (Story, Task) {
    let mut story = Story::new();
    let root = of_root(60);
    story.runs(&root, path);
    (story, root)
}

#[test]
fn another_users_ssh_agent_is_the_classic_hijack() {
    for program in ["/usr/bin/ssh", "/usr/bin/ssh-add", "/usr/bin/python3"] {
        let (mut story, root) = root_with(program);
        story.speaks(&root, AGENT, Some(1000));
        assert_eq!(
            story.told(),
            [format!(
                "high CW-207: unix:user:root by {program} (pid 60) connected to an ssh agent of \
                 deploy at {AGENT}"
            )]
        );
    }
    let (mut story, root) = root_with("/usr/bin/ssh");
    story.speaks(&root, AGENT, Some(1000));
    insta::assert_snapshot!(serde_json::to_string_pretty(&story.alert()).unwrap());
}

#[test]
fn the_owner_of_an_agent_with_ssh_is_no_outsider() {
    let mut story = Story::new();
    let user = with_program(process(42));
    for program in [
        "/usr/bin/ssh",
        "/usr/bin/ssh-add",
        "/usr/bin/scp",
        "/usr/bin/sftp",
    ] {
        story.runs(&user, program);
        story.speaks(&user, AGENT, Some(1000));
        story.speaks(&user, "/run/user/1000/keyring/ssh", None);
        story.speaks(&user, AGENT, None);
    }
    assert_eq!(story.told(), [""; 0]);
    story.runs(&user, "/usr/bin/python3");
    story.speaks(&user, AGENT, Some(1000));
    // The person who logged in as the owner, with sudo -E.
    let sudo = Task {
        login_uid: Some(1000),
        ..of_root(61)
    };
    story.runs(&sudo, "/usr/bin/ssh");
    story.speaks(&sudo, AGENT, Some(1000));
    // Nobody knows whose it is.
    story.runs(&of_root(62), "/usr/bin/ssh");
    story.speaks(&of_root(62), AGENT, None);
    let severities: Vec<_> = story.alerts().iter().map(|alert| alert.severity).collect();
    assert_eq!(severities, [Severity::Low, Severity::Low, Severity::Medium]);
}

#[test]
fn a_container_runtime_and_its_clients_are_insiders_and_no_others() {
    for program in [
        "/usr/bin/docker",
        "/usr/bin/dockerd",
        "/usr/bin/containerd-shim-runc-v2",
        "/usr/bin/kubelet",
        "/usr/local/bin/nerdctl",
        "/usr/libexec/docker/cli-plugins/docker-compose",
    ] {
        let (mut story, root) = root_with(program);
        story.speaks(&root, "/run/docker.sock", Some(0));
        story.speaks(&root, "/run/containerd/containerd.sock", Some(0));
        assert_eq!(story.told(), [""; 0], "{program}");
    }
    let (mut story, root) = root_with("/usr/bin/curl");
    for path in [
        "/run/docker.sock",
        "/run/containerd/containerd.sock",
        "/run/podman/podman.sock",
    ] {
        story.speaks(&root, path, Some(0));
        story.speaks(&root, path, Some(0));
    }
    let alerts = story.alerts();
    // Each socket is a cause, and a second word on it a repeat.
    assert_eq!(alerts.len(), 6);
    for alert in &alerts {
        assert_eq!(
            (alert.id, alert.severity),
            (DetectionId::ControlSocket, Severity::High)
        );
        assert_eq!(alert.attack, ["T1611"]);
        assert!(
            alert
                .summary
                .contains("connected to a container runtime at /run/")
        );
    }
    // In a container whose image has a file of that name.
    let mut story = Story::new();
    story.exec(&of_root(60), "/usr/bin/docker");
    story.speaks(&of_root(60), "/run/docker.sock", Some(0));
    assert_eq!(story.told().len(), 1);
}

#[test]
fn who_may_speak_to_vault_and_spire_is_declared() {
    let (mut story, root) = root_with("/opt/app/bin/app");
    story.cgroup(7, "/system.slice/app.service");
    let app = Task { cgroup: 7, ..root };
    story.speaks(&app, "/run/spire/agent/public/api.sock", Some(0));
    story.speaks(&app, "/run/vault/agent.sock", Some(0));
    assert_eq!(
        story.told(),
        [
            "medium CW-207: systemd:unit:app.service by /opt/app/bin/app (pid 60, unit app.service) \
             connected to a SPIRE agent at /run/spire/agent/public/api.sock; who may is declared \
             in detection.control_sockets.allowed",
            "medium CW-207: systemd:unit:app.service by /opt/app/bin/app (pid 60, unit app.service) \
             connected to a Vault agent at /run/vault/agent.sock; who may is declared in \
             detection.control_sockets.allowed",
        ]
    );
    for allowed in ["systemd:unit:app.service", "/opt/app/bin/*"] {
        story.settings.control_sockets.allowed = vec![ActorPattern::new(allowed).unwrap()];
        assert_eq!(story.told(), [""; 0], "{allowed}");
    }
}

/// A host with its password file, sudo's rules, and the keys that let deploy in.
fn guarded() -> Story {
    let mut story = Story::new();
    let shadow = Credential {
        kind: CredentialKind::ShadowPassword,
        ..key("hmac:1")
    };
    let authorized = Credential {
        kind: CredentialKind::SshAuthorizedKey,
        ..key("authorized:SHA256:a")
    };
    story.located("/etc/shadow", SHADOW, &[shadow]);
    story.located("/etc/sudoers", SUDOERS, &[]);
    story.located("/home/deploy/.ssh/authorized_keys", KEYS, &[authorized]);
    story
}

#[test]
fn an_outsider_reads_and_changes_the_systems_secrets() {
    let mut story = guarded();
    let other = Task {
        uid: 998,
        euid: 998,
        ..with_program(process(61))
    };
    story.runs(&of_root(60), "/usr/bin/cat");
    story.runs(&other, "/usr/bin/python3");
    for file in [SHADOW, SUDOERS, KEYS] {
        story.access(&of_root(60), file, Access::Read, None);
    }
    for file in [SHADOW, SUDOERS] {
        story.access(&other, file, Access::Denied, None);
    }
    for file in [SHADOW, SUDOERS, KEYS] {
        story.access(&of_root(60), file, Access::Write, None);
    }
    let cat = "unix:user:root by /usr/bin/cat (pid 60)";
    let python = "unix:user:svc-legacy by /usr/bin/python3 (pid 61)";
    let keys = "a list of authorized SSH keys at /home/deploy/.ssh/authorized_keys";
    assert_eq!(
        story.told(),
        [
            format!("high CW-208: {cat} read the host's passwords at /etc/shadow"),
            format!("medium CW-208: {cat} read sudo's rules at /etc/sudoers"),
            format!("medium CW-208: {cat} read {keys}"),
            format!(
                "medium CW-208: {python} tried to open the host's passwords at /etc/shadow; it was \
                 refused"
            ),
            format!(
                "low CW-208: {python} tried to open sudo's rules at /etc/sudoers; it was refused"
            ),
            format!("critical CW-208: {cat} changed the host's passwords at /etc/shadow"),
            format!("critical CW-208: {cat} changed sudo's rules at /etc/sudoers"),
            format!("critical CW-208: {cat} changed {keys}"),
        ]
    );
    let alerts = story.alerts();
    let attack: Vec<_> = alerts[..3]
        .iter()
        .map(|alert| alert.attack.join(","))
        .collect();
    assert_eq!(attack, ["T1003.008", "T1548.003", "T1098.004"]);
    insta::assert_snapshot!(serde_json::to_string_pretty(&alerts[0]).unwrap());
}

#[test]
fn what_manages_the_host_raises_nothing() {
    let mut story = guarded();
    let acts = [
        ("/usr/sbin/sshd", &[SHADOW, KEYS][..]),
        ("/usr/lib/openssh/sshd-session", &[SHADOW, KEYS]),
        ("/usr/bin/sudo", &[SHADOW, SUDOERS]),
        ("/usr/bin/passwd", &[SHADOW]),
        ("/usr/sbin/useradd", &[SHADOW]),
        ("/usr/sbin/unix_chkpwd", &[SHADOW]),
        ("/sbin/unix_chkpwd", &[SHADOW]),
        ("/usr/sbin/cron", &[SHADOW]),
        ("/usr/lib/systemd/systemd-userwork", &[SHADOW]),
        ("/usr/lib/systemd/systemd", &[SHADOW]),
        ("/usr/sbin/visudo", &[SUDOERS]),
        ("/usr/bin/dpkg", &[SHADOW, SUDOERS]),
    ];
    for (pid, (program, files)) in (100..).zip(acts) {
        let root = of_root(pid);
        story.runs(&root, program);
        for file in files {
            story.access(&root, *file, Access::Open, None);
            story.access(&root, *file, Access::Write, None);
        }
    }
    // The owner of a list of keys looks at it.
    story.runs(&with_program(process(42)), "/usr/bin/cat");
    story.access(&with_program(process(42)), KEYS, Access::Read, None);
    assert_eq!(story.told(), [""; 0]);
    // To add a key is to let somebody in, also to one's own account.
    story.access(&with_program(process(42)), KEYS, Access::Write, None);
    assert!(story.told()[0].starts_with("medium CW-208"));
}

#[test]
fn perl_asks_for_a_password_with_every_name_and_may_not_change_one() {
    let mut story = guarded();
    let adduser = of_root(100);
    story.runs(&adduser, "/usr/bin/perl");
    for access in [Access::Open, Access::Read] {
        story.access(&adduser, SHADOW, access, None);
    }
    let wrapper = with_program(process(101));
    story.runs(&wrapper, "/usr/bin/perl");
    story.access(&wrapper, SHADOW, Access::Denied, None);
    assert_eq!(story.told(), [""; 0]);
    // Another file of the system's, and a change.
    story.access(&adduser, SUDOERS, Access::Read, None);
    story.access(&adduser, SHADOW, Access::Write, None);
    let told = story.told();
    assert!(told[0].starts_with("medium CW-208"), "{told:?}");
    assert!(told[1].starts_with("critical CW-208"), "{told:?}");
    assert_eq!(told.len(), 2, "{told:?}");
}

/// Processes 300, 301, … each the child of the one before, each with its program.
fn chain(story: &mut Story, programs: &[&str]) -> Task {
    let mut task = of_root(300);
    for (pid, program) in (300..).zip(programs) {
        if pid > 300 {
            task = with_program(child_of(&task, pid));
            story.fork(&task);
        }
        story.runs(&task, program);
    }
    task
}

#[test]
fn scripts_of_packages_may_and_a_shell_out_of_a_pager_may_not() {
    let dpkg = [
        "/usr/bin/apt-get",
        "/usr/bin/dpkg",
        "/usr/bin/dash",
        "/usr/bin/md5sum",
    ];
    let visudo = ["/usr/sbin/visudo", "/usr/bin/vim.basic"];
    let daily = [
        "/usr/sbin/cron",
        "/usr/bin/run-parts",
        "/usr/bin/dash",
        "/usr/bin/cp",
    ];
    for programs in [&dpkg[..], &visudo, &daily] {
        let mut story = guarded();
        let task = chain(&mut story, programs);
        story.access(&task, SUDOERS, Access::Open, None);
        story.access(&task, SHADOW, Access::Open, None);
        assert_eq!(story.told(), [""; 0], "{programs:?}");
    }
    let pager = [
        "/usr/bin/dpkg",
        "/usr/bin/less",
        "/usr/bin/dash",
        "/usr/bin/cp",
    ];
    let cat = ["/usr/bin/dpkg", "/usr/bin/dash", "/usr/bin/cat"];
    let shell = ["/usr/bin/bash", "/usr/bin/cp"];
    let job = ["/usr/sbin/cron", "/usr/bin/dash", "/usr/bin/cp"];
    for programs in [&pager[..], &cat, &shell, &job] {
        let mut story = guarded();
        let task = chain(&mut story, programs);
        story.access(&task, SHADOW, Access::Open, None);
        assert_eq!(story.told().len(), 1, "{programs:?}");
    }
}

#[test]
fn the_password_file_is_one_file_and_a_loop_over_it_one_cause() {
    let mut story = Story::new();
    let passwords: Vec<_> = ["hmac:1", "hmac:2", "hmac:3"]
        .map(|name| Credential {
            kind: CredentialKind::ShadowPassword,
            ..key(name)
        })
        .into();
    story.located("/etc/shadow", SHADOW, &passwords);
    story.fact(Fact::FileAccess {
        task: process(42),
        file: SHADOW,
        access: Access::Open,
        path: None,
        count: 5,
    });
    story.access(&process(43), SHADOW, Access::Read, None);
    let alerts = story.alerts();
    let repeats: Vec<_> = alerts.iter().map(|alert| alert.repeats).collect();
    assert_eq!(repeats, [4, 5], "{alerts:#?}");
    assert_eq!(story.usage().len(), 3);
}

#[test]
fn backups_are_declared_and_a_decoy_is_told_once() {
    let mut story = guarded();
    story.cgroup(7, "/system.slice/backup.service");
    let backup = Task {
        cgroup: 7,
        ..of_root(60)
    };
    story.runs(&backup, "/usr/bin/tar");
    story.access(&backup, SHADOW, Access::Read, None);
    assert_eq!(story.told().len(), 1);
    let allowed = ActorPattern::new("systemd:unit:backup.service").unwrap();
    story.settings.system_secrets.allowed = vec![allowed];
    assert_eq!(story.told(), [""; 0]);
    story.said(Target::Path("/etc/shadow".into()), CredentialState::Decoy);
    story.access(&process(42), SHADOW, Access::Read, None);
    let ids: Vec<_> = story.alerts().iter().map(|alert| alert.id).collect();
    assert_eq!(ids, [DetectionId::DecoyTouched]);
}

#[test]
fn the_control_plane_in_its_containers_may() {
    const CA: FileId = FileId {
        dev: 2049,
        ino: 910,
    };
    let mut story = Story::new();
    let ca = Credential {
        kind: CredentialKind::X509PrivateKey,
        ..key("x509:spki-sha256:1")
    };
    story.located("/etc/kubernetes/pki/ca.key", CA, &[ca]);
    story.cgroup(
        7,
        &format!("/kubepods/burstable/pod1/{}", "3f4a".repeat(16)),
    );
    let pod = Task {
        cgroup: 7,
        ..of_root(60)
    };
    story.exec(&pod, "/usr/local/bin/kube-apiserver");
    story.access(&pod, CA, Access::Read, None);
    assert_eq!(story.told(), [""; 0]);
    story.exec(&pod, "/usr/bin/cat");
    story.access(&pod, CA, Access::Read, None);
    story.exec(&of_root(61), "/usr/local/bin/kube-apiserver");
    story.access(&of_root(61), CA, Access::Read, None);
    assert_eq!(story.told().len(), 2);
}

#[test]
fn keys_of_the_kernel_are_their_owners() {
    let mut story = Story::new();
    story.runs(&of_root(60), "/usr/bin/keyctl");
    let mut reads = |task: &Task, owner, description: &str| {
        story.fact(Fact::KeyRead {
            task: task.clone(),
            serial: 77,
            description: Some(description.to_owned()),
            owner,
        });
    };
    reads(&of_root(60), Some(0), "own");
    reads(&process(42), Some(1000), "own");
    reads(&process(42), None, "of somebody");
    reads(&of_root(60), Some(1000), "invocation_id");
    reads(&of_root(60), Some(1000), "krb5cc");
    reads(&of_root(60), None, "of somebody");
    reads(&process(42), Some(998), "db");
    assert_eq!(
        story.told(),
        [
            "high CW-208: unix:user:root by /usr/bin/keyctl (pid 60) read key 77 (krb5cc) of the \
             kernel's keyrings, which is deploy's",
            "medium CW-208: unix:user:root by /usr/bin/keyctl (pid 60) read key 77 (of somebody) of \
             the kernel's keyrings, whose owner is not known",
            "high CW-208: unix:user:deploy (pid 42) read key 77 (db) of the kernel's keyrings, \
             which is svc-legacy's",
        ]
    );
}

#[test]
fn a_file_that_went_just_now_was_guarded_then() {
    let mut story = guarded();
    story.runs(&of_root(60), "/usr/bin/cat");
    story.wait(1_000);
    // useradd puts a new file in its place; the read was before, and is told of late.
    let new = FileId { ino: 950, ..SHADOW };
    story.located("/etc/shadow", new, &[]);
    story.wait(-10);
    story.access(&of_root(60), SHADOW, Access::Read, None);
    story.wait(5_000);
    story.access(&of_root(60), SHADOW, Access::Read, None);
    let alert = story.alert();
    assert_eq!(alert.time.0 - BEGIN.0, 990_000_000);
    assert_eq!(alert.path.as_deref(), Some("/etc/shadow"));
}
