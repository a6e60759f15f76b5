//! Alerts as text for people. Pure: the time zone and the present come from the caller.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use jiff::tz::TimeZone;
use owo_colors::{OwoColorize, Style};
use textwrap::{Options, WordSeparator, WordSplitter};

use super::escape::visible;
use crate::model::alert::{AlertCredential, AlertProcess};
use crate::model::{Alert, AlertStatus, DetectionId, Evidence, Severity, Timestamp};

/// How an alert is to be shown.
#[derive(Debug, Clone)]
pub struct View {
    /// Whether ANSI colours are used.
    pub colour: bool,
    /// Columns of the terminal; `None` leaves lines as long as they are.
    pub width: Option<usize>,
    /// For all times.
    pub zone: TimeZone,
    /// A time that is not of this day is shown with its date.
    pub now: Timestamp,
}

impl View {
    /// The same wherever and whenever it is printed: no colour, UTC, every time with its date.
    pub fn replay() -> Self {
        Self {
            colour: false,
            width: None,
            zone: TimeZone::UTC,
            now: Timestamp(0),
        }
    }
}

/// The column at which values begin.
const INDENT: usize = 14;
/// Narrower terminals are not served: the words of an alert would stand one a line.
const NARROWEST: usize = 48;
/// How many ancestors are named.
const ANCESTORS: usize = 4;

/// An alert as lines of text, ending with a newline. An ended alert is one line, and nothing when
/// its cause never repeated. Text from the host is shown with control characters escaped.
pub fn render(alert: &Alert, view: &View) -> String {
    match alert.status {
        AlertStatus::Open => render_open(alert, view),
        AlertStatus::Ended if alert.repeats == 0 => String::new(),
        AlertStatus::Ended => render_ended(alert, view),
    }
}

fn render_open(alert: &Alert, view: &View) -> String {
    let mut text = view.head(alert);
    text.push('\n');
    let mut row = |label: &str, parts: Vec<String>, separator: &str| {
        if !parts.is_empty() {
            text += &view.row(label, &parts.join(separator));
        }
    };
    // An alert about a credential says it all in its rows; another one in its sentence.
    let is_told = matches!(
        alert.id,
        DetectionId::RetiredCredentialRead
            | DetectionId::RetiredCredentialUsed
            | DetectionId::DecoyTouched
    );
    if alert.credential.is_none() || !is_told {
        row("what", vec![visible(&alert.summary).into_owned()], "");
    }
    if let Some(credential) = &alert.credential {
        row("credential", view.credential(credential), "");
    }
    row("who", who(alert), ", ");
    if let Some(to) = &alert.destination {
        let address = SocketAddr::new(to.address, to.port);
        let to = match &to.name {
            Some(name) => format!("{} ({address})", visible(name)),
            None => address.to_string(),
        };
        row("to", vec![to], "");
    }
    row("evidence", evidence(alert), " · ");
    // Commands are for copying, so they are not wrapped.
    let _ = writeln!(text, "{}{}", view.label("next"), next(alert).join(" · "));
    text
}

fn render_ended(alert: &Alert, view: &View) -> String {
    let times = match alert.repeats {
        1 => "once".to_owned(),
        n => format!("{n} times"),
    };
    let subject = alert
        .credential
        .as_ref()
        .map(|c| format!(", {}", abbreviated(c.fingerprint.as_str())))
        .or_else(|| {
            alert
                .identity
                .as_ref()
                .map(|i| format!(", {}", visible(i.as_str())))
        });
    format!(
        "{}{}: repeated {times} until {}, now quiet\n",
        view.head(alert),
        subject.unwrap_or_default(),
        view.time(alert.last_time)
    )
}

impl View {
    fn head(&self, alert: &Alert) -> String {
        let severity = alert.severity.as_str().to_uppercase();
        let style = match alert.severity {
            Severity::Critical => Style::new().red().bold(),
            Severity::High => Style::new().red(),
            Severity::Medium => Style::new().yellow(),
            Severity::Low => Style::new().blue(),
        };
        format!(
            "{}  {}  {}  {}",
            self.time(alert.time),
            self.paint(&severity, style),
            alert.id,
            self.paint(&visible(&alert.title), Style::new().bold())
        )
    }

    fn label(&self, label: &str) -> String {
        let padding = INDENT - 2 - label.len();
        format!(
            "  {}{:padding$}",
            self.paint(label, Style::new().dimmed()),
            ""
        )
    }

    fn row(&self, label: &str, value: &str) -> String {
        let indent = " ".repeat(INDENT);
        let mut row = self.label(label);
        match self.width {
            Some(width) => {
                let options = Options::new(width.max(NARROWEST) - INDENT)
                    .word_separator(WordSeparator::AsciiSpace)
                    // A path that is broken in two cannot be copied.
                    .word_splitter(WordSplitter::NoHyphenation)
                    .break_words(false);
                row += &textwrap::wrap(value, options).join(&format!("\n{indent}"));
            }
            None => row += value,
        }
        row.push('\n');
        row
    }

    fn paint(&self, text: &str, style: Style) -> String {
        if self.colour {
            text.style(style).to_string()
        } else {
            text.to_owned()
        }
    }

    fn time(&self, time: Timestamp) -> String {
        let zoned = |time: Timestamp| Some(time.to_jiff()?.to_zoned(self.zone.clone()));
        match (zoned(time), zoned(self.now)) {
            (Some(at), Some(now)) if at.date() == now.date() => at.strftime("%H:%M:%S").to_string(),
            (Some(at), _) => at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            (None, _) => time.to_string(),
        }
    }

    fn date(&self, time: Timestamp) -> String {
        match time.to_jiff() {
            Some(at) => at.to_zoned(self.zone.clone()).date().to_string(),
            None => time.to_string(),
        }
    }

    fn credential(&self, credential: &AlertCredential) -> Vec<String> {
        let mut parts = vec![format!(
            "{} {}",
            credential.kind.label(),
            abbreviated(credential.fingerprint.as_str())
        )];
        parts.extend(
            credential
                .path
                .iter()
                .map(|path| format!(" at {}", visible(path))),
        );
        parts.push(format!(", {}", credential.state));
        parts.extend(
            credential
                .retired_at
                .map(|at| format!(" {}", self.date(at))),
        );
        parts.extend(
            credential
                .retired_by
                .iter()
                .map(|by| format!(" by {}", visible(by))),
        );
        parts.extend(
            credential
                .reason
                .iter()
                .map(|why| format!(": \"{}\"", visible(why))),
        );
        parts
    }
}

fn who(alert: &Alert) -> Vec<String> {
    let mut parts = Vec::new();
    parts.extend(
        alert
            .identity
            .iter()
            .map(|i| visible(i.as_str()).into_owned()),
    );
    let Some(process) = &alert.process else {
        return parts;
    };
    parts.push(match &process.exe {
        Some(exe) => format!("by {} (pid {})", visible(exe), process.pid),
        None => format!("by pid {}", process.pid),
    });
    let user = match &process.user {
        Some(user) => format!("unix:user:{user}"),
        None => format!("unix:uid:{}", process.uid),
    };
    if alert.identity.as_ref().is_none_or(|i| i.as_str() != user) {
        parts.push(match &process.user {
            Some(user) => format!("as user {}", visible(user)),
            None => format!("as uid {}", process.uid),
        });
    }
    parts.extend(ancestry(process));
    parts.extend(session(process));
    parts.extend(
        process
            .unit
            .iter()
            .map(|unit| format!("unit {}", visible(unit))),
    );
    parts.extend(process.container.iter().map(|id| {
        // Twelve characters, as the container tools show.
        let short: String = id.chars().take(12).collect();
        format!("container {}", visible(&short))
    }));
    parts
}

fn ancestry(process: &AlertProcess) -> Option<String> {
    let mut names: Vec<String> = process
        .ancestors
        .iter()
        .take(ANCESTORS)
        .map(|parent| match &parent.exe {
            Some(exe) => visible(exe).into_owned(),
            None => format!("pid {}", parent.pid),
        })
        .collect();
    if process.ancestors.len() > ANCESTORS {
        names.push("…".into());
    }
    (!names.is_empty()).then(|| format!("from {}", names.join(" ← ")))
}

fn session(process: &AlertProcess) -> Option<String> {
    match (&process.login_user, &process.terminal) {
        (Some(user), Some(tty)) => Some(format!(
            "in a session of {} ({})",
            visible(user),
            visible(tty)
        )),
        (Some(user), None) => Some(format!("in a session of {}", visible(user))),
        (None, Some(tty)) => Some(format!("on {}", visible(tty))),
        (None, None) => None,
    }
}

fn evidence(alert: &Alert) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    parts.extend(alert.evidence.map(|evidence| {
        match evidence {
            Evidence::Read => "read",
            Evidence::ReadThenConnect => "read, then connected",
            Evidence::OnTheWire => "seen on the wire",
        }
        .to_owned()
    }));
    let last_used = alert.credential.as_ref().and_then(|c| c.last_used);
    parts.extend(last_used.map(|used| {
        format!(
            "last used before that {} ago",
            elapsed(alert.time.since(used))
        )
    }));
    let mut frameworks: Vec<String> = Vec::new();
    frameworks.extend(
        alert
            .owasp
            .iter()
            .map(|id| format!("OWASP {}", visible(id))),
    );
    frameworks.extend(
        alert
            .attack
            .iter()
            .map(|id| format!("ATT&CK {}", visible(id))),
    );
    if !frameworks.is_empty() {
        parts.push(frameworks.join(", "));
    }
    parts
}

fn next(alert: &Alert) -> Vec<String> {
    let mut commands = vec![format!("credwatch explain {}", alert.id)];
    commands.extend(alert.credential.as_ref().and_then(|credential| {
        // A fingerprint may hold what a token's issuer chose, and this line is pasted to a shell.
        let whole = credential.fingerprint.as_str();
        let safe = visible(whole) == whole;
        let quoted = shlex::try_quote(whole).ok().filter(|_| safe)?;
        Some(format!("credwatch usage {quoted}"))
    }));
    commands
}

/// A fingerprint short enough for a line: `SHA256:nTh…Q4`.
fn abbreviated(fingerprint: &str) -> String {
    const WHOLE: usize = 28;
    let shown = visible(fingerprint);
    let characters: Vec<char> = shown.chars().collect();
    let kind = shown.find(':').map_or(0, |colon| colon + 1);
    let (Some(head), Some(tail)) = (
        shown.get(..kind).filter(|kind| kind.len() <= 20),
        characters
            .len()
            .checked_sub(4)
            .and_then(|at| characters.get(at..)),
    ) else {
        return shown.into_owned();
    };
    if characters.len() <= WHOLE {
        return shown.into_owned();
    }
    let start: String = shown.chars().skip(head.chars().count()).take(6).collect();
    format!("{head}{start}…{}", tail.iter().collect::<String>())
}

/// A duration in its largest unit, rounded down.
fn elapsed(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3_600 => (seconds / 60, "minute"),
        3_600..86_400 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}
