//! `credwatch doctor`

use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;

use super::args::StateDir;
use super::exit::note;
use super::query::ask;
use super::table::{Rows, Text, optional};
use super::{CommandError, CommandResult, Commands, TableFormat, output};
use crate::control::protocol::Doctor;
use crate::control::{Client, ControlError, Request, Response};
use crate::model::Backend;

/// Shows what this host lets Credwatch see, by what, and how to close each gap.
///
/// Asks the daemon. Where none runs, hooks everything for a moment, makes each hook fire by a
/// harmless act, and takes all of it out again.
///
/// Ends with 1 where something cannot be seen.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  sudo credwatch doctor
  sudo credwatch doctor --output json | jq '.hooks[] | select(.gap)'
  sudo credwatch doctor --try-first kprobe")]
pub struct DoctorArgs {
    #[command(flatten)]
    state: StateDir,
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Ask no daemon: try this kind of backend first wherever a hook has it.
    #[arg(long, value_name = "KIND", value_parser = backend)]
    pub try_first: Option<Backend>,
    /// How to print it.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    output: TableFormat,
}

fn backend(name: &str) -> Result<Backend, String> {
    let found = Backend::ALL.iter().find(|known| known.name() == name);
    found.copied().ok_or_else(|| {
        let names: Vec<_> = Backend::ALL.iter().map(|known| known.name()).collect();
        format!("the kinds are {}", names.join(", "))
    })
}

pub(super) fn doctor(args: &DoctorArgs, commands: &dyn Commands) -> CommandResult {
    let report = report(args, commands)?;
    output::answer(&report, args.output, table)?;
    let gaps = report.gaps();
    match gaps.as_slice() {
        [] => Ok(()),
        [one] => Err(anyhow!("{one} is not seen on this host").into()),
        several => Err(anyhow!("{} are not seen on this host", several.join(", ")).into()),
    }
}

fn report(args: &DoctorArgs, commands: &dyn Commands) -> Result<Doctor, CommandError> {
    if args.try_first.is_none() {
        match Client::connect(&args.state.state_dir) {
            Ok(mut client) => {
                return ask(&mut client, &Request::Doctor, |response| match response {
                    Response::Doctor(report) => Some(*report),
                    _ => None,
                });
            }
            Err(ControlError::NotRunning { path }) => {
                note(&format!(
                    "no daemon answers at {}; trying every hook here and now",
                    path.display()
                ));
            }
            Err(error) => return Err(error.into()),
        }
    }
    commands.doctor(args)
}

fn table(report: &Doctor) -> String {
    let mut facts = Rows::new(&["KERNEL", &report.kernel]);
    let unknown = || "not known (securityfs is not mounted)".to_owned();
    facts.add([
        "lockdown".into(),
        Text::from(report.lockdown.clone().unwrap_or_else(unknown).as_str()),
    ]);
    let modules = report.security_modules.clone().unwrap_or_else(unknown);
    facts.add(["security modules".into(), Text::from(modules.as_str())]);
    let by = report.daemon.map_or_else(
        || "this command, for a moment".to_owned(),
        |pid| format!("the daemon (pid {pid})"),
    );
    facts.add(["hooked by".into(), Text::from(by.as_str())]);
    if let Some(price) = &report.system_call_hook {
        let price = format!(
            "would make a system call take {:.0} ns instead of {:.0} ns: measured now",
            price.with_ns, price.without_ns
        );
        facts.add(["system call hook".into(), Text::from(price.as_str())]);
    }

    let mut hooks = Rows::new(&[
        "CAPABILITY",
        "HOOK",
        "BACKEND",
        "ATTACHED",
        "FIRED",
        "NOT COVERED HERE",
    ]);
    for hook in &report.hooks {
        let capability = hook.capability.to_string();
        let backend = if hook.attached { &hook.backend } else { "none" };
        hooks.add([
            Text::from(capability.as_str()),
            (&hook.hook).into(),
            backend.into(),
            yes(hook.attached, hook.by_choice),
            yes(hook.fired, hook.by_choice || !hook.is_testable()),
            optional(hook.gap.as_ref()),
        ]);
    }

    let mut fixes = Rows::new(&["GAP", "TO CLOSE IT"]);
    for hook in &report.hooks {
        if let Some(fix) = &hook.fix {
            fixes.add([(&hook.hook).into(), fix.into()]);
        }
    }

    let mut tried = Rows::new(&["HOOK", "BACKEND THAT DOES NOT WORK HERE", "WHY"]);
    for hook in &report.hooks {
        for of in &hook.tried {
            tried.add([
                (&hook.hook).into(),
                (&of.backend).into(),
                (&of.failure).into(),
            ]);
        }
    }
    [
        facts.finish(""),
        hooks.finish("No hooks."),
        fixes.finish("No gaps."),
        tried.finish("Every hook has its best backend."),
    ]
    .join("\n")
}

fn yes(is: bool, excused: bool) -> Text {
    match (is, excused) {
        (true, _) => "yes".into(),
        (false, true) => "-".into(),
        (false, false) => "NO".into(),
    }
}
