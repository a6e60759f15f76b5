//! Interfaces behind which devices are: the classifiers on them, which come and go with them.
//!
//! No ladder of hooks: each interface is watched or not, by the best way that the kernel has for it.

mod attached;
mod filters;
mod flows;
mod table;

use std::fs;
use std::time::Duration;

use aya::Ebpf;
use ipnet::IpNet;
use monitor_common::Hook;
use rustix::net::{AddressFamily, SocketType, netdevice, socket};

pub(super) use flows::Flows;
pub(super) use table::{CAPACITY, Table};

use super::ladder::Tried;
use super::load::explain;
use super::state::HookState;
use crate::model::{Backend, Capability};
use attached::Attached;

/// The kernel's type of interfaces whose frames begin with an Ethernet header (`ARPHRD_ETHER`).
const ETHERNET: &str = "1";

/// What the gateway is told to do.
#[derive(Debug, Clone)]
pub struct GatewayOptions {
    /// Interfaces behind which devices are.
    pub interfaces: Vec<String>,
    /// Addresses of devices; empty for all.
    pub networks: Vec<IpNet>,
    /// How often a flow that goes on is told again.
    pub interval: Duration,
}

impl GatewayOptions {
    /// No interfaces.
    pub fn none() -> Self {
        Self {
            interfaces: Vec::new(),
            networks: Vec::new(),
            interval: Duration::from_secs(60),
        }
    }
}

/// An interface, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceState {
    /// Its name.
    pub name: String,
    /// Why it is not watched; `None` where it is.
    pub failure: Option<String>,
    /// What was found taken off at this look, whether or not it could be put back: nothing was seen
    /// meanwhile.
    pub taken_off: Option<String>,
}

/// The interfaces.
pub(super) struct Gateway {
    interfaces: Vec<Interface>,
    /// What is tried first.
    prefer: Option<Backend>,
    /// Whether the kernel takes the classifiers; `None` before it was asked. It would not change its mind.
    loads: Option<Result<(), String>>,
}

struct Interface {
    name: String,
    /// What it is watched by, or why it is not.
    attached: Result<Attached, String>,
    /// Why it is not known whether that is still there.
    doubt: Option<String>,
}

impl Gateway {
    pub(super) fn new(interfaces: &[String], prefer: Option<Backend>) -> Self {
        let interfaces = interfaces.iter().map(|name| Interface {
            name: name.clone(),
            attached: Err("it was not tried yet".to_owned()),
            doubt: None,
        });
        Self {
            interfaces: interfaces.collect(),
            prefer,
            loads: None,
        }
    }

    pub(super) fn is_configured(&self) -> bool {
        !self.interfaces.is_empty()
    }

    /// Attaches where that is missing: an interface that has come, or has come back, or one from which
    /// somebody has taken what stood there.
    pub(super) fn look(&mut self, ebpf: &mut Ebpf) -> Vec<InterfaceState> {
        if !self.is_configured() {
            return Vec::new();
        }
        let loads = self.loads.get_or_insert_with(|| attached::load(ebpf));
        let states = self.interfaces.iter_mut().map(|interface| {
            let taken_off = match loads {
                Ok(()) => interface.look(self.prefer, ebpf),
                Err(refusal) => {
                    interface.attached = Err(refusal.clone());
                    None
                }
            };
            InterfaceState {
                name: interface.name.clone(),
                failure: interface.failure(),
                taken_off,
            }
        });
        states.collect()
    }

    /// As `status` and `doctor` show it; its counts are added by who has them.
    pub(super) fn hook(&self) -> HookState {
        let attached = self.interfaces.iter();
        let attached: Vec<_> = attached
            .filter_map(|of| Some((of, of.attached.as_ref().ok()?)))
            .collect();
        let kind = attached.first().map(|(_, attached)| attached.by);
        let backends: Vec<_> = attached
            .iter()
            .map(|(of, attached)| format!("{} {}", attached.by, of.name))
            .collect();
        let tried = self.interfaces.iter().filter_map(|of| {
            Some(Tried {
                backend: format!("tc {}", of.name),
                failure: of.failure()?,
            })
        });
        let tried: Vec<_> = tried.collect();
        HookState {
            name: Hook::GatewayFlow.name(),
            capability: Capability::Gateway,
            backend: backends.join(" + "),
            kind,
            attached: tried.is_empty(),
            fired: 0,
            heard: 0,
            lost: 0,
            folded: 0,
            capped: 0,
            tried,
            remark: None,
            blind_to: "traffic of devices behind interfaces of `gateway.interfaces`",
            fix: "an interface that comes is watched within seconds; one that will not come is to be taken out of \
                  `gateway.interfaces`",
            by_choice: false,
        }
    }
}

impl Interface {
    /// Brings it to be watched. Returns what it was watched by and somebody has taken off.
    fn look(&mut self, prefer: Option<Backend>, ebpf: &mut Ebpf) -> Option<String> {
        let index = index_of(&self.name);
        let mut taken_off = None;
        if let Ok(attached) = &self.attached
            && index == Ok(attached.index)
        {
            // Twice: what others attach may go away while it is looked at.
            let mut stands = || attached.stands(&self.name, ebpf);
            match stands().or_else(|_| stands()) {
                Ok(true) => {
                    self.doubt = None;
                    return None;
                }
                Ok(false) => {
                    taken_off = Some(format!(
                        "its {} programs were taken off {}",
                        attached.by, self.name
                    ));
                }
                Err(error) => {
                    self.doubt = Some(format!(
                        "whether its {} programs are still on {} could not be asked: {error}",
                        attached.by, self.name
                    ));
                    return None;
                }
            }
        }
        self.doubt = None;
        if let Ok(attached) = std::mem::replace(&mut self.attached, Err(String::new())) {
            attached.detach(ebpf);
        }
        self.attached = index.and_then(|index| {
            is_ethernet(&self.name)?;
            Attached::to(&self.name, index, prefer, ebpf)
        });
        taken_off
    }

    fn failure(&self) -> Option<String> {
        self.attached
            .as_ref()
            .err()
            .or(self.doubt.as_ref())
            .cloned()
    }
}

fn index_of(name: &str) -> Result<u32, String> {
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None).map_err(explain)?;
    netdevice::name_to_index(&socket, name)
        .map_err(|_| format!("there is no interface {name}; it is watched when it comes"))
}

/// Other interfaces have no hardware addresses, and other headers.
fn is_ethernet(name: &str) -> Result<(), String> {
    // Where sysfs is that of another network namespace, the frames must tell.
    match fs::read_to_string(format!("/sys/class/net/{name}/type")) {
        Ok(kind) if kind.trim() != ETHERNET => Err(format!(
            "{name} is no Ethernet interface (its type is {}): what comes by there has no hardware address",
            kind.trim()
        )),
        _ => Ok(()),
    }
}
