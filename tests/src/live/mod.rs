//! The real daemon on the real kernel: every act is really done, every alert comes out of a sink.
//!
//! These tests need root. They never skip: a machine on which one cannot run is a finding.

#[cfg(feature = "kubernetes")]
mod api_server;
#[cfg(feature = "kubernetes")]
mod cluster;
mod containers;
mod daemon;
mod host;
mod turn;

mod appearing;
mod connecting;
mod control;
mod declared;
mod detaching;
mod devices;
mod digests;
mod evading;
mod evasions;
mod flooding;
mod folding;
mod guarding;
mod habits;
mod hanging;
mod holding;
mod humans;
mod identities;
mod kinds;
mod ladders;
mod leaking;
mod moving;
mod namespaces;
mod naming;
mod offboarding;
mod outsiders;
mod overprivileged;
mod privileges;
mod quiet;
mod reaching;
mod reading;
mod recording;
mod reloading;
mod resting;
mod rotating;
mod scale;
mod scored;
mod secrets;
mod surviving;
mod using;
