//! CW-209: people who act as machines, and what is no such thing. A person is a process with a login
//! uid, which any root process may set once, or with a terminal, which script(1) opens.

use std::io::{PipeReader, PipeWriter, pipe};
use std::os::unix::fs::chown;
use std::process::Command;
use std::sync::LazyLock;

use monitor::model::{Alert, DetectionId, Selector, Severity};
use serde_json::json;

use super::containers::Container;
use super::daemon::{Daemon, Place, is_own};
use super::host::{Account, SshKey, act, command, exe, program, run};
use super::turn::{alone, is_typed, shared};

const HUMAN: DetectionId = DetectionId::HumanUse;

/// A command as a person does it, who has logged in.
fn logged_in(person: &Account, doing: &Command) -> Command {
    let script = "echo \"$1\" >/proc/self/loginuid; shift; exec \"$@\"";
    let uid = person.uid.to_string();
    let mut command = command("sh", &[&"-ec", &script, &"sh", &uid]);
    command.arg(doing.get_program()).args(doing.get_args());
    command
}

/// A command at a terminal at which nobody types. sudo hangs once in 250 times where typing has come to
/// its end before it starts.
fn at_a_terminal(doing: &Command) -> Command {
    static NOBODY: LazyLock<(PipeReader, PipeWriter)> = LazyLock::new(|| pipe().unwrap());
    let words = std::iter::once(doing.get_program()).chain(doing.get_args());
    let words: Vec<_> = words.map(|word| word.to_str().unwrap()).collect();
    let line = format!("exec '{}'", words.join("' '"));
    let mut command = command("script", &[&"-qec", &line, &"/dev/null"]);
    command.stdin(NOBODY.0.try_clone().unwrap());
    command
}

/// How a person takes a service's uid and runs something.
type Way<'a> = &'a dyn Fn(&Account) -> Command;

fn is_of(alert: &Alert, service: &Account) -> bool {
    let identity = alert.identity.as_ref();
    alert.id == HUMAN && identity.is_some_and(|of| of.as_str() == service.selector())
}

#[test]
fn a_person_who_acts_as_a_services_account_is_told_of() {
    let _host = shared();
    let person = Account::new();
    let sleep = program("sleep");
    let sleep = sleep.to_str().unwrap();
    let ways: [(&str, Way<'_>); 4] = [
        ("sudo", &|service| {
            command("sudo", &[&"-n", &"-u", &service.name, &sleep, &"0.1"])
        }),
        ("su", &|service| {
            let sh = program("sh");
            let line = format!("exec {sleep} 0.1");
            command("su", &[&"-s", &sh, &"-c", &line, &service.name])
        }),
        ("setpriv", &|service| service.runs("sleep", &[&"0.1"])),
        ("python3", &|service| {
            let script =
                "import os, sys\nos.setuid(int(sys.argv[1]))\nos.execv(sys.argv[2], sys.argv[2:])";
            command(
                "python3",
                &[&"-c", &script, &service.uid.to_string(), &sleep, &"0.1"],
            )
        }),
    ];
    let place = Place::new();
    let _daemon = Daemon::start(&place);
    for (way, acts) in ways {
        let service = Account::system();
        let done = run(&mut logged_in(&person, &acts(&service)));
        let alert = place.wait(way, |alert| is_of(alert, &service));
        done.assert_time(&alert);
        assert_eq!(alert.severity, Severity::Medium);
        assert_eq!(alert.owasp, ["NHI10"]);
        let process = alert.process.as_ref().unwrap();
        assert_eq!(process.login_user.as_ref(), Some(&person.name), "{way}");
        assert_eq!(process.uid, service.uid);
        let by = exe(way);
        assert!(
            alert.summary.contains(&format!("by way of {by}")),
            "{}",
            alert.summary
        );
        // Nobody has logged in: a terminal is enough.
        let service = Account::system();
        run(&mut at_a_terminal(&acts(&service)));
        let alert = place.wait(way, |alert| is_of(alert, &service));
        assert!(
            alert.summary.starts_with("somebody at terminal"),
            "{}",
            alert.summary
        );
    }
    // Whoever has logged in as the service, as by ssh.
    let service = Account::system();
    run(&mut at_a_terminal(&logged_in(
        &service,
        &service.runs("sleep", &[&"0.1"]),
    )));
    let alert = place.wait("a login as a service", |alert| is_of(alert, &service));
    assert!(
        alert.summary.contains("logged in as it"),
        "{}",
        alert.summary
    );

    // Whether it is locked is read beside, and told with what happens next.
    let is_shown = || {
        let known: Vec<monitor::control::protocol::IdentityView> = place.ask(&["identities"]);
        let mut known = known.into_iter();
        let shown = known.find(|of| of.selector.as_str() == service.selector());
        shown.unwrap().account.unwrap().to_string() == "system, no shell, locked"
    };
    place.until("what account it is", is_shown);
}

#[test]
fn a_person_who_reads_a_services_key_is_told_of() {
    let _host = shared();
    let place = Place::new();
    let (person, service) = (Account::new(), Account::system());
    let (key, own) = (
        SshKey::ed25519(place.root().join("service")),
        SshKey::ed25519(place.root().join("own")),
    );
    chown(&key.path, Some(service.uid), Some(service.gid)).unwrap();
    chown(&own.path, Some(person.uid), Some(person.gid)).unwrap();
    let _daemon = Daemon::start(&place);
    place.known(&own.path);
    place.known(&key.path);
    for of in [&own, &key] {
        run(&mut logged_in(&person, &command("cat", &[&of.path])));
    }
    let alert = place.wait("a service's key", |alert| {
        alert.id == HUMAN && key.is_in(alert)
    });
    assert_eq!(alert.severity, Severity::High);
    assert_eq!(alert.identity.unwrap().as_str(), service.selector());
    assert_eq!(alert.process.unwrap().exe, Some(exe("cat")));
    place.silent("a person's own key", |alert| own.is_in(alert));
}

#[test]
fn a_person_who_goes_into_a_container_is_told_of() {
    // Containers of other tests come and go beside, and runc is slow when many do.
    let _host = alone();
    let place = Place::new();
    let person = Account::new();
    let _daemon = Daemon::start(&place);
    let started = |name: &str| {
        let image = format!("registry.example/{name}:1.4");
        let annotations = json!({ "io.kubernetes.cri.image-name": image });
        let container = Container::start(&place, name, &annotations, None);
        (container, Selector::container_image(&image).unwrap())
    };
    for name in ["exec", "enter", "probe"] {
        let (mut container, image) = started(&format!("credwatch-{name}"));
        let known = || {
            let known: Vec<monitor::control::protocol::IdentityView> = place.ask(&["identities"]);
            known.iter().any(|of| of.selector == image)
        };
        // Its own first process is nobody's entering; what the runtime does for itself neither.
        run(&mut container.exec(&[]));
        place.until("the container is known by its image", known);
        match name {
            "exec" => run(&mut logged_in(&person, &container.exec(&[]))),
            "enter" => run(&mut logged_in(&person, &container.enter())),
            _ => run(&mut container.exec(&[])),
        };
        let is = |alert: &Alert| alert.id == HUMAN && alert.identity.as_ref() == Some(&image);
        if name == "probe" {
            place.silent("a runtime's own exec", is);
        } else {
            let alert = place.wait(name, is);
            let process = alert.process.unwrap();
            assert_eq!(process.login_user.as_ref(), Some(&person.name));
            assert_eq!(process.exe.as_deref(), Some("/program"));
        }
        container.go_on();
    }
}

#[test]
fn people_as_themselves_and_programs_as_their_own_accounts_are_quiet() {
    // Other tests are of the same process, and all they do would count as its own.
    let _host = alone();
    let place = Place::new();
    let (person, other) = (Account::new(), Account::new());
    let (service, job) = (Account::system(), Account::system());
    let _daemon = Daemon::start(&place);
    let own = |doing: &Command| {
        run(&mut logged_in(&person, doing));
        run(&mut at_a_terminal(&logged_in(&person, doing)));
    };
    own(&person.runs("id", &[]));
    own(&other.runs("id", &[]));
    own(&command("sudo", &[&"-n", &program("id")]));
    own(&command("sudo", &[&"-n", &"-u", &"nobody", &program("id")]));
    // Root starts a program that changes to the account of its service by itself.
    let drops = format!(
        "$< = $> = {uid}; exec q({id}) or die",
        uid = service.uid,
        id = program("id").display()
    );
    own(&command("perl", &[&"-e", &drops]));
    // apt fetches as its own account.
    let sources = place.at("sources.list");
    std::fs::write(
        &sources,
        "deb [trusted=yes] http://127.0.0.1:9/ none main\n",
    )
    .unwrap();
    let options = [
        format!("Dir::Etc::sourcelist={}", sources.display()),
        "Dir::Etc::sourceparts=/dev/null".to_owned(),
        format!("Dir::State::lists={}", place.at("").display()),
    ];
    let mut update = command("apt-get", &[&"update"]);
    update.args(options.iter().flat_map(|option| ["-o", option]));
    act(&mut at_a_terminal(&logged_in(&person, &update)));
    // A job of a service itself, and one that cron would start for it; unless somebody types these
    // tests, by whose hand they are.
    run(&mut job.runs("id", &[]));
    run(&mut logged_in(&job, &job.runs("id", &[])));
    let is_by_hand = |alert: &Alert| is_typed() && is_of(alert, &job);
    if is_typed() {
        place.wait("a service's job that a person starts", is_by_hand);
    }
    place.silent("ordinary work", |alert| {
        alert.id == HUMAN && is_own(alert) && !is_by_hand(alert)
    });
}
