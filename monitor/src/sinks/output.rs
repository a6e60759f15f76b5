//! The ways out, behind one face for the worker.

use std::future::pending;
use std::io;

use jiff::tz::TimeZone;
use tokio::io::AsyncWriteExt;

use super::SinkError;
use super::json::{self, JsonFile};
use super::syslog::Encoder;
use super::tcp::Tcp;
use super::terminal::{self, View};
use super::transport::{Udp, Unix};
use super::worker::Fault;
use crate::config::{Colour, SinkConfig, SinkKind, SyslogTransport};
use crate::model::{Alert, Timestamp};

pub(super) enum Output {
    Terminal { colour: bool },
    JsonStdout,
    // `None` only while a blocking thread has it.
    JsonFile(Option<JsonFile>),
    SyslogUnix(Encoder, Unix),
    SyslogUdp(Encoder, Udp),
    SyslogTcp(Encoder, Tcp),
}

impl Output {
    pub(super) fn open(config: &SinkConfig) -> Result<Self, SinkError> {
        Ok(match &config.kind {
            SinkKind::Terminal { colour } => Self::Terminal {
                colour: coloured(*colour),
            },
            SinkKind::Json { path: None } => Self::JsonStdout,
            SinkKind::Json { path: Some(path) } => {
                let file = JsonFile::open(path).map_err(|source| SinkError::File {
                    path: path.clone(),
                    source,
                })?;
                Self::JsonFile(Some(file))
            }
            SinkKind::Syslog {
                transport,
                facility,
            } => {
                let encoder = Encoder::of_this_host(*facility);
                match transport {
                    SyslogTransport::Unix(path) => Self::SyslogUnix(encoder, Unix::new(path)),
                    SyslogTransport::Udp(address) => Self::SyslogUdp(encoder, Udp::new(address)),
                    SyslogTransport::Tcp(address) => Self::SyslogTcp(encoder, Tcp::new(address)),
                }
            }
        })
    }

    /// Writes one alert; with none, mends a connection that is broken.
    pub(super) async fn write(&mut self, alert: Option<&Alert>) -> Result<(), Fault> {
        match self {
            Self::Terminal { colour } => match alert {
                Some(alert) => stdout(&on_terminal(alert, *colour)).await,
                None => Ok(()),
            },
            Self::JsonStdout => match alert {
                Some(alert) => stdout(&json_text(alert)?).await,
                None => Ok(()),
            },
            Self::JsonFile(file) => match alert {
                Some(alert) => append(file, json_text(alert)?).await,
                None => Ok(()),
            },
            Self::SyslogUnix(encoder, unix) => match alert {
                Some(alert) => unix.send(encoder.encode(alert)?).await,
                None => Ok(()),
            },
            Self::SyslogUdp(encoder, udp) => match alert {
                Some(alert) => udp.send(&encoder.encode(alert)?).await,
                None => Ok(()),
            },
            Self::SyslogTcp(encoder, tcp) => match alert {
                Some(alert) => tcp.send(&encoder.encode(alert)?).await.map_err(Fault::from),
                None => tcp.mend().await.map_err(Fault::from),
            },
        }
    }

    /// Ends when the output was found broken while it was idle.
    pub(super) async fn broken(&mut self) {
        match self {
            Self::SyslogTcp(_, tcp) => tcp.lost().await,
            _ => pending().await,
        }
    }

    /// Closes in a way that lets the other end have all that was written.
    pub(super) async fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::SyslogTcp(_, tcp) => tcp.finish().await,
            _ => Ok(()),
        }
    }
}

fn coloured(colour: Colour) -> bool {
    match colour {
        Colour::Always => true,
        Colour::Never => false,
        // Knows NO_COLOR, CLICOLOR_FORCE and TERM=dumb.
        Colour::Auto => anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never,
    }
}

fn on_terminal(alert: &Alert, colour: bool) -> Vec<u8> {
    let width = terminal_size::terminal_size_of(io::stdout());
    let view = View {
        colour,
        width: width.map(|(width, _)| usize::from(width.0)),
        zone: TimeZone::system(),
        now: Timestamp::now(),
    };
    terminal::render(alert, &view).into_bytes()
}

fn json_text(alert: &Alert) -> Result<Vec<u8>, Fault> {
    json::line(alert).map_err(|error| Fault::Refused(error.into()))
}

async fn stdout(text: &[u8]) -> Result<(), Fault> {
    let mut stdout = tokio::io::stdout();
    stdout.write_all(text).await?;
    stdout.flush().await?;
    Ok(())
}

/// Appends on a thread that may block, as a file on a network or a pipe does.
async fn append(file: &mut Option<JsonFile>, line: Vec<u8>) -> Result<(), Fault> {
    let Some(mut owned) = file.take() else {
        let gone = io::Error::other("the writing thread ended early; restart the daemon");
        return Err(Fault::Passing(gone));
    };
    let (owned, result) = tokio::task::spawn_blocking(move || {
        let result = owned.append(&line);
        (owned, result)
    })
    .await
    .map_err(io::Error::other)?;
    *file = Some(owned);
    Ok(result?)
}
