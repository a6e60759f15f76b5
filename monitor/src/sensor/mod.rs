//! The sensor: the only module that knows aya, fanotify and the kernel half.

mod hooks;
mod load;
mod offsets;

pub use load::LoadError;
