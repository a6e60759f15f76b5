//! `credwatch report`: pages for people who decide and who audit. A report a file.

mod inventory;
mod open_files;
mod overprivileged;
mod rotation;
mod safe_to_delete;

use clap::Subcommand;

use super::{CommandResult, Commands};

/// Writes a report: what there is, for whoever has to decide about it or to audit it.
#[derive(Debug, Subcommand)]
#[command(after_long_help = "\
Examples:
  sudo credwatch report inventory > inventory.md
  sudo credwatch report inventory --output csv > inventory.csv
  sudo credwatch report rotation
  sudo credwatch report overprivileged systemd:unit:nginx.service
  sudo credwatch report safe-to-delete /srv/deploy/.ssh/id_ed25519")]
pub(super) enum ReportCommand {
    Inventory(inventory::InventoryArgs),
    Overprivileged(overprivileged::OverprivilegedArgs),
    Rotation(rotation::RotationArgs),
    SafeToDelete(safe_to_delete::SafeToDeleteArgs),
}

pub(super) fn report(of: &ReportCommand, commands: &dyn Commands) -> CommandResult {
    match of {
        ReportCommand::Inventory(args) => inventory::inventory(args, commands),
        ReportCommand::Overprivileged(args) => overprivileged::overprivileged(args, commands),
        ReportCommand::Rotation(args) => rotation::rotation(args, commands),
        ReportCommand::SafeToDelete(args) => safe_to_delete::safe_to_delete(args, commands),
    }
}
