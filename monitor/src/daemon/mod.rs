//! The daemon: starts the parts in order, joins them, and ends them.

mod account_changes;
mod control;
mod core;
mod doctor;
mod enrich;
mod followed;
mod guard;
mod heartbeat;
mod kept;
mod living;
mod look;
mod offboard;
mod offline;
mod output;
mod parts;
mod privileges;
mod programs;
mod record;
mod restore;
mod serve;
mod startup;
mod target;
mod units;

pub use doctor::doctor;
pub use offline::{assess_offline, change_offline, registry};
pub use record::record;
pub use startup::{RunOptions, check, load_config, run};
