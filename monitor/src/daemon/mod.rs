//! The daemon: starts the parts in order, joins them, and ends them.

mod accounts;
mod allow;
mod containers;
mod control;
mod core;
mod doctor;
mod enrich;
mod exposure;
mod followed;
mod guard;
mod heartbeat;
mod holders;
mod jobs;
mod keys;
mod logs;
mod look;
mod mounts;
mod offline;
mod output;
mod parts;
mod privileges;
mod programs;
mod record;
mod restore;
mod rotation;
mod serve;
mod startup;
mod target;

pub use doctor::doctor;
pub use offline::{change_offline, registry};
pub use record::record;
pub use startup::{RunOptions, check, load_config, run};
