//! `credwatch report`: pages for people who decide and who audit. A report a file.

mod inventory;
mod rotation;

use clap::Subcommand;

use super::{CommandResult, Commands};

/// Writes a report: what there is, for whoever has to decide about it or to audit it.
#[derive(Debug, Subcommand)]
#[command(after_long_help = "\
Examples:
  sudo credwatch report inventory > inventory.md
  sudo credwatch report inventory --output csv > inventory.csv
  sudo credwatch report rotation")]
pub(super) enum ReportCommand {
    Inventory(inventory::InventoryArgs),
    Rotation(rotation::RotationArgs),
}

pub(super) fn report(of: &ReportCommand, commands: &dyn Commands) -> CommandResult {
    match of {
        ReportCommand::Inventory(args) => inventory::inventory(args, commands),
        ReportCommand::Rotation(args) => rotation::rotation(args, commands),
    }
}
