//! Alerts, as the client prints them in JSON, and as commands here list them.

use serde::Deserialize;

use crate::ui;

/// An alert, as far as it is listed.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Alert {
    pub(crate) alert_id: String,
    pub(crate) time: String,
    pub(crate) id: String,
    pub(crate) severity: String,
    pub(crate) summary: String,
    #[serde(default)]
    pub(crate) identity: Option<String>,
    pub(crate) process: Option<Process>,
    pub(crate) repeats: u64,
}

/// By what it came.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Process {
    pub(crate) exe: Option<String>,
    pub(crate) unit: Option<String>,
    pub(crate) login_user: Option<String>,
    pub(crate) ancestors: Vec<Ancestor>,
}

/// A parent.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Ancestor {
    pub(crate) pid: u32,
    pub(crate) exe: Option<String>,
}

/// Prints them below a heading, with what did it.
pub(crate) fn list(alerts: &[Alert]) {
    ui::heading("== alerts");
    if alerts.is_empty() {
        println!("  none");
    }
    for alert in alerts {
        let Alert {
            time, id, severity, ..
        } = alert;
        println!(
            "  {time} {id} {severity}, repeated {} times\n    {}",
            alert.repeats, alert.summary
        );
        if let Some(process) = &alert.process {
            let exes = process.ancestors.iter().filter_map(|of| of.exe.as_deref());
            let parents: Vec<_> = exes.collect();
            println!(
                "    by {} in {} (login {}), from {}",
                process.exe.as_deref().unwrap_or("-"),
                process.unit.as_deref().unwrap_or("-"),
                process.login_user.as_deref().unwrap_or("-"),
                parents.join(" < ")
            );
        }
    }
}
