//! A real rsyslogd with its own directory, ports and end.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take here.
const PATIENCE: Duration = Duration::from_secs(30);

/// How rsyslogd is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// By SIGTERM: it writes what it holds.
    Asked,
    /// By SIGKILL.
    Killed,
}

/// The server; it ends when this is dropped.
pub(crate) struct Rsyslog {
    directory: TempDir,
    udp: u16,
    tcp: u16,
    child: Option<Child>,
}

impl Rsyslog {
    /// Starts a server, and waits until it listens.
    pub(crate) fn start() -> Self {
        let free_tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let free_udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut server = Self {
            directory: tempfile::tempdir().unwrap(),
            udp: free_udp.local_addr().unwrap().port(),
            tcp: free_tcp.local_addr().unwrap().port(),
            child: None,
        };
        drop((free_tcp, free_udp));
        fs::write(server.file("rsyslog.conf"), server.configuration()).unwrap();
        server.restart();
        server
    }

    fn configuration(&self) -> String {
        // By default the unix socket knows RFC 3164 alone, and takes its own clock for the time.
        format!(
            r#"
global(workDirectory="{directory}" maxMessageSize="64k")
module(load="imuxsock" sysSock.use="off")
module(load="imudp")
module(load="imptcp")
module(load="mmpstrucdata")
template(name="time" type="string" string="%timereported:::date-rfc3339%")
template(name="line" type="string" string="%$!all-json%\n")
input(type="imuxsock" socket="{socket}" useSpecialParser="off" parseHostname="on"
      useSysTimestamp="off" ignoreTimestamp="off" rateLimit.interval="0")
input(type="imudp" address="127.0.0.1" port="{udp}")
input(type="imptcp" address="127.0.0.1" port="{tcp}" supportOctetCountedFraming="on")
action(type="mmpstrucdata")
set $!msg = $msg;
set $!msgid = $msgid;
set $!app = $app-name;
set $!procid = $procid;
set $!facility = $syslogfacility-text;
set $!severity = $syslogseverity-text;
set $!time = exec_template("time");
action(type="omfile" file="{output}" template="line")
"#,
            directory = self.directory.path().display(),
            socket = self.socket().display(),
            udp = self.udp,
            tcp = self.tcp,
            output = self.file("messages").display(),
        )
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Its unix socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.file("log")
    }

    /// Its `host:port` for UDP.
    pub(crate) fn udp(&self) -> String {
        format!("127.0.0.1:{}", self.udp)
    }

    /// Its `host:port` for TCP.
    pub(crate) fn tcp(&self) -> String {
        format!("127.0.0.1:{}", self.tcp)
    }

    /// Starts it, and waits until it listens everywhere.
    pub(crate) fn restart(&mut self) {
        let log = fs::File::create(self.file("stderr")).unwrap();
        let child = Command::new("/usr/sbin/rsyslogd")
            .arg("-n")
            .arg("-f")
            .arg(self.file("rsyslog.conf"))
            .arg("-i")
            .arg(self.file("pid"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("rsyslogd: {error}; run `cargo xtask setup`"));
        self.child = Some(child);
        let start = Instant::now();
        // A UDP port that cannot be bound is the server's.
        while !self.socket().exists()
            || TcpStream::connect(self.tcp()).is_err()
            || UdpSocket::bind(self.udp()).is_ok()
        {
            let log = fs::read_to_string(self.file("stderr")).unwrap();
            assert!(
                start.elapsed() < PATIENCE,
                "rsyslogd does not listen: {log}"
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it, by its own pid, and waits for that.
    pub(crate) fn stop(&mut self, form: Form) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        match form {
            Form::Asked => kill_process(Pid::from_child(&child), Signal::TERM).unwrap(),
            Form::Killed => child.kill().unwrap(),
        }
        child.wait().unwrap();
    }

    /// Waits for a number of messages, and a little for more than that.
    pub(crate) async fn messages(&self, count: usize) -> Vec<Value> {
        self.messages_until(|messages| messages.len() >= count)
            .await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        self.read()
    }

    /// Waits until what was received is enough.
    pub(crate) async fn messages_until(&self, enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let start = Instant::now();
        loop {
            let messages = self.read();
            if enough(&messages) {
                return messages;
            }
            if start.elapsed() > PATIENCE {
                let log = fs::read_to_string(self.file("stderr")).unwrap();
                panic!(
                    "only {} messages came: {messages:#?}\n{log}",
                    messages.len()
                );
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn read(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.file("messages")).unwrap_or_default();
        // The last line may be half written, or cut by a kill.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
            .collect()
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
