//! Credwatch's daemon, as a library so that its tests and benchmarks reach the stages.
//!
//! Data goes one way: `sensor` → `decode` → `attribution` → `registry` →
//! `baseline` → `detection` → `sinks`;
//! a recording enters behind `decode`. A stage imports only earlier ones. See ARCHITECTURE.md.

pub mod attribution;
pub mod baseline;
pub mod cli;
pub mod config;
pub mod control;
pub mod credential;
pub mod daemon;
pub mod decode;
pub mod detection;
pub mod evaluation;
pub mod model;
pub mod recording;
pub mod registry;
pub mod sensor;
pub mod sinks;
pub mod storage;
pub mod telemetry;
