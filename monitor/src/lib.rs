//! Credwatch's daemon, as a library so that its tests and benchmarks reach the stages.
//!
//! Data goes one way: `sensor` → `decode` → `attribution` → `registry` → `detection` → `sinks`;
//! a recording enters behind `decode`. A stage imports only earlier ones. See ARCHITECTURE.md.

pub mod control;
pub mod credential;
pub mod model;
