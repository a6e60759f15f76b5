//! One file per hook or per family of hooks that share a body.

mod connect;
mod exec;
mod exit;
mod file_read;
mod file_write;
mod fork;
mod identity_change;
mod running_tasks;
mod socket_close;
mod unix_send;
