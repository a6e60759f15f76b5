//! Floods: who tries to hide one act among a million is counted to the last, and hides nothing.

use std::io::BufReader;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use monitor::model::{Access, DetectionId, Fact, Record};
use monitor::recording::Reader;

use super::daemon::{Daemon, Place, patiently};
use super::host::{SshKey, command, compile, run};
use super::turn::alone;

/// Opens and closes a file so many times, and reads it as often on one descriptor.
const LOOP: &str = r#"
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv) {
    long opens = atol(argv[2]), reads = atol(argv[3]);
    char byte;
    for (long i = 0; i < opens; i++) {
        int fd = open(argv[1], O_RDONLY);
        if (fd < 0) return 1;
        close(fd);
    }
    int fd = open(argv[1], O_RDONLY);
    for (long i = 0; i < reads; i++)
        if (pread(fd, &byte, 1, 0) != 1) return 2;
    return 0;
}
"#;

/// Sends so many datagrams of nothing, each to another port than the one before.
const SENDER: &str = r#"
#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>
int main(int argc, char **argv) {
    long count = atol(argv[1]);
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in to = { .sin_family = AF_INET };
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (long i = 0; i < count; i++) {
        to.sin_port = htons(20000 + i % 1000);
        sendto(s, 0, 0, 0, (void *)&to, sizeof to);
    }
    return 0;
}
"#;

/// How many: the bar is a million, and an emulated machine takes fewer.
fn many() -> u64 {
    let set = std::env::var("CREDWATCH_TRIES").ok();
    set.and_then(|tries| tries.parse().ok())
        .map_or(1_000_000, |tries: u64| tries * 10)
}

/// Records until it is told to stop.
fn record(place: &Place, file: &Path) -> Child {
    let mut record = place.client(&["record", file.to_str().unwrap(), "--config"]);
    record
        .arg(place.at("credwatch.toml"))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let child = record.spawn().unwrap();
    place.until("the recording has begun", || {
        std::fs::metadata(file).is_ok_and(|of| of.len() > 2_000)
    });
    std::thread::sleep(patiently(Duration::from_secs(2)));
    child
}

/// Ends a recording and gives what it holds.
fn facts(mut recorder: Child, file: &Path) -> Vec<Fact> {
    std::thread::sleep(patiently(Duration::from_secs(2)));
    super::host::signal(recorder.id(), rustix::process::Signal::TERM);
    assert!(recorder.wait().unwrap().success());
    let file = std::fs::File::open(file).unwrap();
    let records = Reader::new(BufReader::new(file)).unwrap();
    records
        .map(|record| record.map(|Record { fact, .. }| fact))
        .collect::<Result<_, _>>()
        .unwrap()
}

/// How many events of a hook were lost.
fn lost(facts: &[Fact], of: &str) -> u64 {
    facts
        .iter()
        .filter_map(|fact| match fact {
            Fact::Lost { hook, count, .. } if hook == of => Some(*count),
            _ => None,
        })
        .sum()
}

#[test]
fn a_million_opens_and_reads_add_up() {
    let _host = alone();
    let place = Place::new();
    let key = SshKey::ed25519(place.root().join("deploy"));
    let reader = compile(&place.at(""), "loop", LOOP);
    let file = place.at("flood.rec");
    let recorder = record(&place, &file);
    let count = many();
    let done = run(Command::new(reader)
        .arg(&key.path)
        .arg(count.to_string())
        .arg(count.to_string()));
    let facts = facts(recorder, &file);
    let told = |wanted: Access| -> (u64, u64) {
        facts
            .iter()
            .filter_map(|fact| match fact {
                Fact::FileAccess {
                    task,
                    access,
                    count,
                    ..
                } if task.pid == done.pid && *access == wanted => Some(*count),
                _ => None,
            })
            .fold((0, 0), |(facts, sum), count| (facts + 1, sum + count))
    };
    let (open_facts, opens) = told(Access::Open);
    let (read_facts, reads) = told(Access::Read);
    eprintln!(
        "{} opens: {opens} told in {open_facts} facts, {} lost; {count} reads: {reads} told in \
         {read_facts} facts, {} lost",
        count + 1,
        lost(&facts, "file_open"),
        lost(&facts, "file_read"),
    );
    assert_eq!(opens + lost(&facts, "file_open"), count + 1);
    assert_eq!(reads + lost(&facts, "file_read"), count);
    assert_eq!(
        lost(&facts, "file_read"),
        0,
        "these have a ring of their own"
    );
}

#[test]
fn a_flood_of_datagrams_hides_no_read_and_is_counted_to_the_last() {
    let _host = alone();
    let place = Place::new();
    let key = SshKey::ed25519(place.root().join("deploy"));
    let sender = compile(&place.at(""), "sender", SENDER);
    let file = place.at("flood.rec");
    let recorder = record(&place, &file);
    let count = many() / 5;
    let flood = Command::new(&sender)
        .arg(count.to_string())
        .spawn()
        .unwrap();
    let pid = flood.id();
    let read = run(&mut command("cat", &[&key.path]));
    assert!(flood.wait_with_output().unwrap().status.success());
    let facts = facts(recorder, &file);
    let seen = facts
        .iter()
        .any(|fact| matches!(fact, Fact::FileAccess { task, .. } if task.pid == read.pid));
    assert!(seen, "the read in the middle of it");
    let sent = facts
        .iter()
        .filter(|fact| matches!(fact, Fact::Connect { task, .. } if task.pid == pid))
        .count() as u64;
    let capped: u64 = facts
        .iter()
        .filter_map(|fact| match fact {
            Fact::Capped { task, hook, count } if task.pid == pid && hook == "sendmsg4" => {
                Some(*count)
            }
            _ => None,
        })
        .sum();
    let lost = lost(&facts, "sendmsg4");
    eprintln!("{count} datagrams: {sent} told, {capped} capped, {lost} lost");
    assert_eq!(sent + capped + lost, count);
    assert!(capped > 0, "nobody honest sends that many");
}

#[test]
fn who_floods_is_told_with_how_much() {
    let _host = alone();
    let place = Place::new();
    let sender = compile(&place.at(""), "sender", SENDER);
    let _daemon = Daemon::start(&place);
    let done = run(Command::new(&sender).arg("100000"));
    let alert = place.wait("a flood is told", done.is(DetectionId::EventsLost));
    assert!(alert.summary.contains("sendmsg4"), "{}", alert.summary);
    assert!(
        alert.summary.contains(sender.to_str().unwrap()),
        "{}",
        alert.summary
    );
    let hook = place.hook("sendmsg4");
    assert!(hook.capped > 0, "{hook:?}");
}
