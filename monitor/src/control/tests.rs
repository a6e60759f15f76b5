//! The control socket from end to end: real sockets, a handler written by hand.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tokio::task::JoinHandle;

use super::connection::MAX_REQUEST;
use super::{Client, ControlError, PeerUser, Request, Response, Server, socket_path};
use crate::control::protocol::ChangeView;
use crate::model::CredentialState;

fn server(state: &Path) -> JoinHandle<std::convert::Infallible> {
    let server = Server::bind(&socket_path(state), None).unwrap();
    tokio::spawn(server.run(|request, user: PeerUser| async move {
        match request {
            Request::Retire { target, .. } => Response::Changed(vec![ChangeView {
                target: format!("{target} by {} ({})", user.name, user.uid),
                kind: None,
                before: CredentialState::Active,
                state: CredentialState::Retired,
                // No UTF-8: must not break the answer.
                paths: vec![PathBuf::from(
                    <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"/k\xff"),
                )],
            }]),
            Request::Usage => panic!("a handler's panic is that request's alone"),
            _ => Response::Alerts(Vec::new()),
        }
    }))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[test]
fn the_default_directory_has_its_socket_in_run() {
    assert_eq!(
        socket_path(Path::new("/var/lib/credwatch")),
        Path::new("/run/credwatch/control.sock")
    );
    assert_eq!(
        socket_path(Path::new("/var/lib/credwatch/")),
        Path::new("/run/credwatch/control.sock")
    );
    assert_eq!(socket_path(Path::new("/s")), Path::new("/s/control.sock"));
}

#[tokio::test]
async fn a_connection_carries_many_requests_and_names_the_user() {
    let state = tempfile::tempdir().unwrap();
    let running = server(state.path());
    let path = socket_path(state.path());
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    let directory = state.path().to_owned();
    let answers = blocking(move || {
        let mut client = Client::connect(&directory).unwrap();
        let retire = Request::Retire {
            target: "unix:user:x".to_owned(),
            reason: None,
        };
        let changed = client.call(&retire).unwrap();
        (changed, client.call(&Request::Alerts { limit: 1 }).unwrap())
    })
    .await;
    let Response::Changed(changes) = answers.0 else {
        panic!("{answers:?}")
    };
    let uid = rustix::process::geteuid().as_raw();
    assert!(changes[0].target.ends_with(&format!("({uid})")));
    assert_eq!(changes[0].paths, [PathBuf::from("/k\u{fffd}")]);
    assert_eq!(answers.1, Response::Alerts(Vec::new()));

    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    assert!(!path.exists());
    let error = Client::connect(state.path()).unwrap_err();
    assert!(error.to_string().contains("credwatch run"), "{error}");
}

#[tokio::test]
async fn a_second_daemon_is_refused_and_a_dead_one_replaced() {
    let state = tempfile::tempdir().unwrap();
    let path = socket_path(state.path());
    let running = server(state.path());
    let own = i32::try_from(std::process::id()).unwrap();
    let refused = |error: ControlError| {
        assert!(
            matches!(error, ControlError::AlreadyRunning { pid: Some(pid) } if pid == own),
            "{error}"
        );
    };
    refused(Server::bind(&path, None).unwrap_err());
    // Also when a cleaner has removed the lock.
    std::fs::remove_file(state.path().join("control.sock.lock")).unwrap();
    refused(Server::bind(&path, None).unwrap_err());
    assert!(UnixStream::connect(&path).is_ok(), "still the first one's");
    running.abort();
    let _ = running.await;

    // What a killed daemon leaves: a socket at which nobody listens.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let error = Client::connect(state.path()).unwrap_err();
    assert!(matches!(error, ControlError::NotRunning { .. }), "{error}");
    let running = server(state.path());
    let directory = state.path().to_owned();
    let answer = blocking(move || Client::connect(&directory).unwrap().call(&Request::Status));
    assert!(answer.await.is_ok());
    running.abort();
    let _ = running.await;

    std::fs::write(&path, "precious").unwrap();
    let error = Server::bind(&path, None).unwrap_err();
    assert!(matches!(error, ControlError::NotASocket { .. }), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
}

#[tokio::test]
async fn a_panicking_handler_ends_one_connection_only() {
    let state = tempfile::tempdir().unwrap();
    let _running = server(state.path());
    let directory = state.path().to_owned();
    blocking(move || {
        let error = Client::connect(&directory)
            .unwrap()
            .call(&Request::Usage)
            .unwrap_err();
        assert!(matches!(error, ControlError::NoAnswer { .. }), "{error}");
        let mut client = Client::connect(&directory).unwrap();
        assert!(client.call(&Request::Status).is_ok());
    })
    .await;
}

#[tokio::test]
async fn connections_are_bounded_and_free_again() {
    let state = tempfile::tempdir().unwrap();
    let _running = server(state.path());
    let directory = state.path().to_owned();
    blocking(move || {
        let call = |client: &mut Client| client.call(&Request::Status).unwrap();
        let mut clients: Vec<_> = (0..32)
            .map(|_| {
                let mut client = Client::connect(&directory).unwrap();
                call(&mut client);
                client
            })
            .collect();
        let mut one_more = Client::connect(&directory).unwrap();
        let refused = call(&mut one_more);
        assert!(
            matches!(&refused, Response::Error { message } if message.contains("too many")),
            "{refused:?}"
        );
        clients.pop();
        let before = std::time::Instant::now();
        loop {
            let mut client = Client::connect(&directory).unwrap();
            if !matches!(call(&mut client), Response::Error { .. }) {
                break;
            }
            assert!(before.elapsed().as_secs() < 5, "no place became free");
        }
    })
    .await;
}

/// What the server says to raw bytes, the client's end closed after them.
fn answers_to(path: &Path, bytes: &[u8]) -> Vec<Response> {
    let mut stream = UnixStream::connect(path).unwrap();
    // A server that has hung up at too long a line takes no more.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    BufReader::new(stream)
        .lines()
        .map_while(Result::ok)
        .map(|line| serde_json::from_str(&line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_comes_in_an_answer_goes_out() {
    let state = tempfile::tempdir().unwrap();
    let _running = server(state.path());
    let path = socket_path(state.path());
    blocking(move || {
        let status = b"{\"request\":\"status\"}";
        assert_eq!(answers_to(&path, b"").len(), 0);
        assert_eq!(
            answers_to(&path, status),
            [Response::Alerts(Vec::new())],
            "without a newline"
        );
        let mixed = [&b"nonsense\n"[..], status, b"\n\xff\xfe\n", status, b"\n"].concat();
        let answers = answers_to(&path, &mixed);
        let good: Vec<_> = answers
            .iter()
            .map(|answer| !matches!(answer, Response::Error { .. }))
            .collect();
        assert_eq!(good, [false, true, false, true]);

        let long = answers_to(&path, &vec![b'{'; MAX_REQUEST * 4]);
        assert!(
            matches!(&long[..], [Response::Error { message }] if message.contains("65536")),
            "{long:?}"
        );
        let nested = answers_to(&path, &[b"[".repeat(60_000), b"\n".to_vec()].concat());
        assert!(
            matches!(&nested[..], [Response::Error { .. }]),
            "{nested:?}"
        );

        proptest!(ProptestConfig::with_cases(64), |(
            lines in proptest::collection::vec("[^\n]{0,80}", 0..8)
        )| {
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            prop_assert_eq!(answers_to(&path, text.as_bytes()).len(), lines.len());
        });
    })
    .await;
}
