//! The programs: one file for what one part of the kernel tells. Their names end in how they are
//! attached; the daemon's table of hooks (`sensor/hooks`) says which stands in for which.

mod capability;
mod connect;
mod dns;
mod exec;
mod exit;
mod file_access;
mod fix_setuid;
mod fork;
mod gateway;
mod key_read;
mod memory;
mod page_cache;
mod running_tasks;
mod socket_address;
mod socket_close;
mod unix_connect;
