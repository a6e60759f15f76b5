//! Ordinary hosts over weeks, as recordings, with attacks and benign changes that are labelled: what
//! baselines are measured on. `cargo xtask simulate` runs it.
//!
//! # What is modelled
//!
//! A seed is a world: services with their addresses, of which those of clouds and content networks
//! rotate behind a name, those of pods are given up after hours, and those of mail servers and of
//! customers' webhooks are without end and heavy-tailed. In it are hosts of several kinds. A host has identities of every form
//! (units, accounts below cron, containers, service accounts of Kubernetes, jobs of CI, devices behind a
//! gateway), each with activities: at random by the hour of the day and the day of the week, in bursts
//! and with rates that vary from hour to hour; regularly with jitter; or by the clock on the wall. An
//! activity is a process that is started or a daemon's own, reads credentials, and connects: log-normal
//! bytes and times, connections that fail and are tried again. Identities fall silent for hours or
//! days. Names are resolved by the host's own resolver, which keeps what it knows.
//!
//! What happens is written as the facts that the daemon records: processes, reads, openings and ends of
//! connections with their bytes, answers of the DNS, flows of devices, ticks once a minute, and at first what
//! a daemon finds when it starts. So the whole pipeline sees them, attribution included.
//!
//! Ordinary changes (`benign`) and attacks (`attacks`) are drawn from the parameters alone; nothing knows
//! of a detector. Strengths are drawn evenly in orders of magnitude, so that some attacks are smaller
//! than what their identity does anyhow, and cannot be found by anybody.
//!
//! # What is not modelled
//!
//! Incoming connections, sockets of the Unix family, capabilities and changes of uid; forks without a new
//! program; losses of events; what devices ask of the DNS; encrypted DNS and IPv6; failures that spread from one service to others;
//! rights, and what a credential opens; refreshed tokens of service accounts. Hosts of one seed share services, and
//! nothing that happens on one is caused by another: a failover is seen by one host only. People do not
//! log in. An attacker does one thing with one identity and does not react. No identity is attacked twice at
//! a time, or while it is deployed; but holidays, changes of the clock and first runs of monthly jobs come when they
//! come, and can fall on an attack.
//!
//! # Determinism
//!
//! The same parameters and seed give the same bytes on every machine: ChaCha streams by name, `libm`
//! instead of the platform's functions, no clock, no order of hash tables, zones as POSIX strings.

mod attacks;
mod benign;
mod busy;
pub mod calendar;
mod casting;
mod host;
pub mod label;
pub mod parameters;
pub mod places;
pub mod player;
pub mod random;
pub mod routine;
pub mod scene;

pub use host::{Host, Simulated};
pub use label::Label;
pub use parameters::{Parameters, ParametersError};

#[cfg(test)]
mod tests;
