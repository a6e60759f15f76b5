//! The real daemon on the real kernel: every act is really done, every alert comes out of a sink.
//!
//! These tests need root. They never skip: a machine on which one cannot run is a finding.

mod daemon;
mod host;

mod appearing;
mod connecting;
mod control;
mod declared;
mod detaching;
mod evading;
mod evasions;
mod flooding;
mod folding;
mod guarding;
mod holding;
mod identities;
mod ladders;
mod moving;
mod namespaces;
mod naming;
mod offboarding;
mod privileges;
mod quiet;
mod reaching;
mod reading;
mod recording;
mod secrets;
mod surviving;
