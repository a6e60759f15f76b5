//! What stands on an interface: both classifiers, or none.
//!
//! tcx (Linux 6.6) is a link that ends with the daemon and stands beside what others have attached; before
//! that it is a filter of a clsact qdisc.

use aya::Ebpf;
use aya::programs::tc::{
    NlOptions, SchedClassifierLinkId, TcAttachOptions, qdisc_add_clsact, qdisc_detach_program,
};
use aya::programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType};

use super::filters;
use crate::model::Backend;
use crate::sensor::load::explain;

/// The classifiers, with where they stand.
const PROGRAMS: [(&str, TcAttachType); 2] = [
    ("gateway_ingress", TcAttachType::Ingress),
    ("gateway_egress", TcAttachType::Egress),
];
/// The ways to attach them, the best first.
const WAYS: [Backend; 2] = [Backend::Tcx, Backend::Clsact];
/// Before other filters, which may have the last word on a packet.
const FIRST: u16 = 1;

/// The classifiers on an interface.
pub(super) struct Attached {
    /// The interface's index. Another of the same name has another.
    pub(super) index: u32,
    /// One of [`WAYS`].
    pub(super) by: Backend,
    links: Links,
}

type Links = Vec<(&'static str, SchedClassifierLinkId)>;

/// Whether the kernel takes the classifiers.
pub(super) fn load(ebpf: &mut Ebpf) -> Result<(), String> {
    let mut names = PROGRAMS.iter();
    names.try_for_each(|(name, _)| classifier(ebpf, name).map(drop))
}

impl Attached {
    /// Attaches both, by the best way that works or by the one that is preferred.
    pub(super) fn to(
        interface: &str,
        index: u32,
        prefer: Option<Backend>,
        ebpf: &mut Ebpf,
    ) -> Result<Self, String> {
        let mut ways = WAYS;
        ways.sort_by_key(|way| prefer != Some(*way));
        let mut refusals = Vec::new();
        for by in ways {
            let links = match by {
                Backend::Clsact => by_clsact(interface, ebpf),
                _ => by_tcx(interface, ebpf),
            };
            match links {
                Ok(links) => return Ok(Self { index, by, links }),
                Err(refusal) => refusals.push(format!("{by}: {refusal}")),
            }
        }
        Err(refusals.join("; "))
    }

    /// Whether nobody has taken one of them off, or put another program in its place.
    pub(super) fn stands(&self, interface: &str, ebpf: &mut Ebpf) -> Result<bool, String> {
        for (name, place) in PROGRAMS {
            let stands = match self.by {
                Backend::Clsact => is_filter(name, place, self.index, ebpf)?,
                _ => {
                    let own = id(name, ebpf)?;
                    let there = SchedClassifier::query_tcx(interface, place);
                    let (_, there) = there.map_err(explain)?;
                    there.iter().any(|of| of.id() == own)
                }
            };
            if !stands {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes off what still stands there.
    pub(super) fn detach(mut self, ebpf: &mut Ebpf) {
        if self.by == Backend::Clsact {
            for (name, place) in PROGRAMS {
                if is_filter(name, place, self.index, ebpf) != Ok(true) {
                    self.forget(name, ebpf);
                }
            }
        }
        detach(ebpf, self.links);
    }

    /// A filter is taken off by its number, which another's may have by now: where ours is gone, nothing
    /// may be taken off.
    fn forget(&mut self, name: &str, ebpf: &mut Ebpf) {
        let gone = self.links.extract_if(.., |(of, _)| *of == name);
        for (name, link) in gone.collect::<Links>() {
            if let Ok(link) =
                classifier(ebpf, name).and_then(|of| of.take_link(link).map_err(explain))
            {
                // It holds nothing but the number, and would use it when it is dropped.
                std::mem::forget(link);
            }
        }
    }
}

/// The number that the kernel has given a classifier.
fn id(name: &str, ebpf: &mut Ebpf) -> Result<u32, String> {
    classifier(ebpf, name)?
        .info()
        .map(|of| of.id())
        .map_err(explain)
}

/// Whether a classifier is a filter of an interface's clsact qdisc.
fn is_filter(name: &str, place: TcAttachType, index: u32, ebpf: &mut Ebpf) -> Result<bool, String> {
    let there = filters::programs(index, place).map_err(explain)?;
    Ok(there.contains(&id(name, ebpf)?))
}

fn by_tcx(interface: &str, ebpf: &mut Ebpf) -> Result<Links, String> {
    both(ebpf, |program, _, place| {
        let first = TcAttachOptions::TcxOrder(LinkOrder::first());
        program.attach_with_options(interface, place, first)
    })
}

fn by_clsact(interface: &str, ebpf: &mut Ebpf) -> Result<Links, String> {
    // One that is there already is as good.
    let _ = qdisc_add_clsact(interface);
    both(ebpf, |program, own_name, place| {
        // A filter outlives a daemon that was killed.
        let _ = qdisc_detach_program(interface, place, own_name);
        let first = NlOptions {
            priority: FIRST,
            ..NlOptions::default()
        };
        program.attach_with_options(interface, place, TcAttachOptions::Netlink(first))
    })
}

fn both(
    ebpf: &mut Ebpf,
    attach: impl Fn(
        &mut SchedClassifier,
        &str,
        TcAttachType,
    ) -> Result<SchedClassifierLinkId, ProgramError>,
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
