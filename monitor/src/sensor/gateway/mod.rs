//! Interfaces behind which devices are: the classifiers on them, which come and go with them.
//!
//! No ladder of hooks: each interface is watched or not, by the best way that the kernel has for it. tcx
//! (Linux 6.6) is a link that ends with the daemon and stands beside what others have attached; before that it is a
//! filter of a clsact qdisc.

mod flows;
mod table;

use std::fs;
use std::time::Duration;

use aya::Ebpf;
use aya::programs::tc::{
    NlOptions, SchedClassifierLinkId, TcAttachOptions, qdisc_add_clsact, qdisc_detach_program,
};
use aya::programs::{LinkOrder, SchedClassifier, TcAttachType};
use ipnet::IpNet;
use monitor_common::Hook;
use rustix::net::{AddressFamily, SocketType, netdevice, socket};

pub(super) use flows::Flows;
pub(super) use table::{CAPACITY, Table};

use super::ladder::Tried;
use super::load::explain;
use super::state::HookState;
use crate::model::{Backend, Capability};

/// The classifiers, with where they stand.
const PROGRAMS: [(&str, TcAttachType); 2] = [
    ("gateway_ingress", TcAttachType::Ingress),
    ("gateway_egress", TcAttachType::Egress),
];
/// The kernel's type of interfaces whose frames begin with an Ethernet header (`ARPHRD_ETHER`).
const ETHERNET: &str = "1";
/// Before other filters, which may have the last word on a packet.
const FIRST: u16 = 1;

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

/// An interface, and why it is not watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceState {
    /// Its name.
    pub name: String,
    /// `None` where it is watched.
    pub failure: Option<String>,
}

/// The interfaces.
pub(super) struct Gateway {
    interfaces: Vec<Interface>,
    /// Whether the kernel takes the classifiers; `None` before it was asked. It would not change its mind.
    loads: Option<Result<(), String>>,
}

struct Interface {
    name: String,
    /// What it is watched by, and the index that it had.
    attached: Result<Attached, String>,
}

struct Attached {
    index: u32,
    how: &'static str,
    links: Vec<(&'static str, SchedClassifierLinkId)>,
}

impl Gateway {
    pub(super) fn new(interfaces: &[String]) -> Self {
        let interfaces = interfaces.iter().map(|name| Interface {
            name: name.clone(),
            attached: Err("it was not tried yet".to_owned()),
        });
        Self {
            interfaces: interfaces.collect(),
            loads: None,
        }
    }

    pub(super) fn is_configured(&self) -> bool {
        !self.interfaces.is_empty()
    }

    /// Attaches where that is missing: an interface that has come, or has come back.
    pub(super) fn look(&mut self, ebpf: &mut Ebpf) {
        if !self.is_configured() {
            return;
        }
        let loads = self.loads.get_or_insert_with(|| {
            let mut names = PROGRAMS.iter();
            names.try_for_each(|(name, _)| classifier(ebpf, name).map(drop))
        });
        for interface in &mut self.interfaces {
            match loads {
                Ok(()) => interface.look(ebpf),
                Err(refusal) => interface.attached = Err(refusal.clone()),
            }
        }
    }

    pub(super) fn states(&self) -> Vec<InterfaceState> {
        let states = self.interfaces.iter().map(|interface| InterfaceState {
            name: interface.name.clone(),
            failure: interface.attached.as_ref().err().cloned(),
        });
        states.collect()
    }

    /// As `status` and `doctor` show it; its counts are added by who has them.
    pub(super) fn hook(&self) -> HookState {
        let attached = self.interfaces.iter();
        let attached = attached.filter_map(|of| Some((of, of.attached.as_ref().ok()?)));
        let backends: Vec<_> = attached
            .map(|(of, attached)| format!("{} {}", attached.how, of.name))
            .collect();
        let tried: Vec<_> = self
            .states()
            .into_iter()
            .filter_map(|of| {
                Some(Tried {
                    backend: format!("tc {}", of.name),
                    failure: of.failure?,
                })
            })
            .collect();
        HookState {
            name: Hook::GatewayFlow.name(),
            capability: Capability::Gateway,
            backend: backends.join(" + "),
            kind: (!backends.is_empty()).then_some(Backend::Classifier),
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
    fn look(&mut self, ebpf: &mut Ebpf) {
        let index = index_of(&self.name);
        if let Ok(attached) = &self.attached
            && index == Ok(attached.index)
            && attached.holds(&self.name, ebpf)
        {
            return;
        }
        if let Ok(attached) = std::mem::replace(&mut self.attached, Err(String::new())) {
            detach(ebpf, attached.links);
        }
        self.attached = index.and_then(|index| {
            is_ethernet(&self.name)?;
            let (how, links) = attach(ebpf, &self.name)?;
            Ok(Attached { index, how, links })
        });
    }
}

impl Attached {
    /// Whether nobody has taken it off. What filters a qdisc has cannot be asked for so simply.
    fn holds(&self, name: &str, ebpf: &mut Ebpf) -> bool {
        self.how != TCX
            || PROGRAMS.iter().all(|(program, place)| {
                let own = classifier(ebpf, program).and_then(|of| of.info().map_err(explain));
                let there = SchedClassifier::query_tcx(name, *place);
                match (own, there) {
                    (Ok(own), Ok((_, there))) => there.iter().any(|of| of.id() == own.id()),
                    _ => false,
                }
            })
    }
}

const TCX: &str = "tcx";
const CLSACT: &str = "tc clsact";

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

type Links = Vec<(&'static str, SchedClassifierLinkId)>;

/// Both ways, or none.
fn attach(ebpf: &mut Ebpf, name: &str) -> Result<(&'static str, Links), String> {
    let by_tcx = both(ebpf, |program, _, place| {
        let first = TcAttachOptions::TcxOrder(LinkOrder::first());
        program.attach_with_options(name, place, first)
    });
    let without_tcx = match by_tcx {
        Ok(links) => return Ok((TCX, links)),
        Err(error) => error,
    };
    // One that is there already is as good.
    let _ = qdisc_add_clsact(name);
    let by_clsact = both(ebpf, |program, own_name, place| {
        // A filter outlives a daemon that was killed.
        let _ = qdisc_detach_program(name, place, own_name);
        let first = NlOptions {
            priority: FIRST,
            ..NlOptions::default()
        };
        program.attach_with_options(name, place, TcAttachOptions::Netlink(first))
    });
    match by_clsact {
        Ok(links) => Ok((CLSACT, links)),
        Err(error) => Err(format!("{TCX}: {without_tcx}; {CLSACT}: {error}")),
    }
}

fn both(
    ebpf: &mut Ebpf,
    attach: impl Fn(
        &mut SchedClassifier,
        &str,
        TcAttachType,
    ) -> Result<SchedClassifierLinkId, aya::programs::ProgramError>,
) -> Result<Links, String> {
    let mut links = Links::new();
    for (name, place) in PROGRAMS {
        let link = classifier(ebpf, name)
            .and_then(|program| attach(program, name, place).map_err(explain));
        match link {
            Ok(link) => links.push((name, link)),
            Err(error) => {
                detach(ebpf, links);
                return Err(error);
            }
        }
    }
    Ok(links)
}

/// A classifier, in the kernel.
fn classifier<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut SchedClassifier, String> {
    let program = ebpf
        .program_mut(name)
        .ok_or("the kernel half for this kernel has no such program")?;
    let program: &mut SchedClassifier = program.try_into().map_err(explain)?;
    if program.fd().is_err() {
        program.load().map_err(explain)?;
    }
    Ok(program)
}

fn detach(ebpf: &mut Ebpf, links: Links) {
    for (name, link) in links {
        if let Ok(program) = classifier(ebpf, name) {
            // What went with its interface is gone already.
            let _ = program.detach(link);
        }
    }
}
