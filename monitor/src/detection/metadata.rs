//! CW-203: who may ask for this machine's own cloud credentials.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Detector;
use super::describe;
use super::fold::{Cause, Finding};
use crate::attribution::Actor;
use crate::config::ProgramOf;
use crate::model::{DetectionId, Timestamp};

/// Where clouds hand out credentials: AWS, Azure, GCP and OCI instances; ECS tasks; EKS pods;
/// Alibaba; AWS over IPv6; EKS over IPv6.
const ADDRESSES: [IpAddr; 6] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
];

/// Whether credentials are handed out there. Port 53 and 123 of the same addresses are the clouds'
/// resolver and clock.
pub(super) fn is_service(to: SocketAddr) -> bool {
    ADDRESSES.contains(&to.ip().to_canonical()) && ![53, 123].contains(&to.port())
}

impl Detector {
    pub(super) fn metadata_service(
        &self,
        actor: &Actor,
        destination: SocketAddr,
        now: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        let address = destination.ip().to_canonical();
        if !is_service(destination) {
            return;
        }
        let allowed = &self.settings.metadata_service;
        let program = ProgramOf {
            exe: actor.exe.as_deref(),
            ..self.program_of(actor)
        };
        if allowed.allows(&actor.selectors, program) {
            return;
        }
        let id = DetectionId::MetadataService;
        let to = self.destination(SocketAddr::new(address, destination.port()));
        let mut alert = describe::alert(id, now);
        alert.summary = describe::metadata(actor, &to);
        alert.identity = Some(actor.identity().clone());
        alert.process = Some(actor.to_alert());
        let mut parts = describe::actor_parts(actor);
        parts.push(to.address.to_string());
        alert.destination = Some(to);
        findings.push(Finding {
            cause: Cause { id, parts },
            alert,
            weight: 1,
        });
    }
}
