//! What is thought before anything was seen. Numbers are shares of ordinary hosts and devices at which such
//! a thing is at least as unlikely, rounded to what can be defended: they matter for the first hours only.

use super::contact::{Scope, Service, Way};
use super::numbers::Belief;
use crate::model::Protocol;

/// What acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A program of this host: it may be made for anything.
    Program,
    /// A device of the network: it is made for one thing.
    Device,
}

/// How likely a service is that nobody here has used so far, or one that is less likely.
pub(super) fn service_tail(of: Service, role: Role) -> f64 {
    match (of.way, of.scope) {
        (_, Scope::Loopback) => 0.8,
        (Way::In, Scope::Private) => 0.5,
        (Way::In, _) => 0.2,
        (Way::Out, Scope::Group) => 0.5,
        (Way::Out, Scope::Private) => private_tail(of, role),
        (Way::Out, Scope::Public) => public_tail(of, role),
    }
}

fn private_tail(of: Service, role: Role) -> f64 {
    match (of.protocol, of.port, role) {
        (_, 53 | 67 | 123 | 443 | 5353, _) => 0.8,
        (Protocol::Tcp, 22, _) => 0.1,
        (_, _, Role::Program) => 0.3,
        (_, _, Role::Device) => 0.15,
    }
}

fn public_tail(of: Service, role: Role) -> f64 {
    match (of.protocol, of.port, role) {
        (Protocol::Tcp, 443, _) => 0.9,
        (Protocol::Udp, 53 | 123, _) => 0.7,
        (Protocol::Udp, 443, _) | (Protocol::Tcp, 53 | 853, _) => 0.4,
        // Packages come without encryption; what a device is sent that way has become rare.
        (Protocol::Tcp, 80, Role::Program) => 0.4,
        (Protocol::Tcp, 80, Role::Device) => 0.1,
        (Protocol::Other | Protocol::Arp, _, _) => 0.2,
        // Remote shells without encryption, other people's desktops and files, chat.
        (Protocol::Tcp, 23 | 445 | 2323 | 3389 | 4444 | 6660..=6669, _) => 0.005,
        (Protocol::Tcp, 1433 | 3306 | 5432 | 6379, Role::Device) => 0.005,
        (Protocol::Tcp, 22 | 25 | 465 | 587 | 993 | 5671 | 8080 | 8443 | 8883, _) => 0.08,
        (_, _, Role::Program) => 0.05,
        (Protocol::Tcp, _, Role::Device) => 0.01,
        (Protocol::Udp, _, Role::Device) => 0.03,
    }
}

/// What goes to a new destination in its first day, as ln(1 + bytes): 3 KiB, seldom over 1 MiB.
pub(super) const NEW_SENT: Belief = Belief {
    mean: 8.0,
    variance: 5.0,
    worth: 6.0,
};

/// What comes from it: 4 KiB for a device, seldom more than 256 KiB; programs of a host fetch anything.
pub(super) fn new_received(role: Role) -> Belief {
    let (mean, variance) = match role {
        Role::Device => (8.3, 4.0),
        Role::Program => (11.0, 16.0),
    };
    Belief {
        mean,
        variance,
        worth: 6.0,
    }
}

/// How much what an identity's other destinations are sent says of one of them, in days of its own.
pub(super) const WORTH_OF_OTHERS: f64 = 3.0;
/// New destinations that never answer, of how many.
pub(super) const UNANSWERED: (f64, f64) = (1.0, 15.0);
/// New destinations that are spoken to in a rhythm, of how many that are called often: what a timer starts is
/// much of a server's work.
pub(super) fn rhythmic(role: Role) -> (f64, f64) {
    match role {
        Role::Program => (3.0, 12.0),
        Role::Device => (2.0, 12.0),
    }
}
/// New destinations on the Internet that nobody asked a name for, of how many: nobody knows at first whether
/// this host hears the answers.
pub(super) const UNNAMED: (f64, f64) = (10.0, 20.0);
/// What all of a host says of one identity's new destinations, in destinations of its own.
pub(super) const WORTH_OF_HOST: f64 = 4.0;
