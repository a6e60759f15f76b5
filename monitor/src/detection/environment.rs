//! CW-211: a credential of one environment is used by, or against, another.

use std::net::SocketAddr;
use std::path::Path;

use super::Detector;
use super::credential::touched;
use super::describe;
use super::fold::Finding;
use crate::attribution::{Actor, Reading, Recent};
use crate::config::Environment;
use crate::model::{Access, AlertCredential, DetectionId, Timestamp};

impl Detector {
    pub(super) fn environment_of_reader(
        &self,
        actor: &Actor,
        reading: &Reading,
        (access, count): (Access, u64),
        now: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        let is_in = |environment: &Environment| self.is_one_of(actor, &environment.identities);
        let Some((of, other)) = self.other_environment(&reading.credential, is_in) else {
            return;
        };
        let summary = format!(
            "{}; the credential belongs to {of}, and the reader to {other}",
            describe::touched(actor, &reading.credential, access, now)
        );
        let id = DetectionId::WrongEnvironment;
        let credential = reading.credential.clone();
        let mut finding = touched(id, actor, credential, None, summary, now);
        finding.weight = count;
        findings.push(finding);
    }

    pub(super) fn environment_of_address(
        &self,
        actor: &Actor,
        recent: &Recent,
        credential: &AlertCredential,
        destination: SocketAddr,
        now: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        let names = || self.state.host.names(destination.ip());
        let is_in = |environment: &Environment| {
            let mut addresses = environment.addresses.iter();
            addresses.any(|pattern| pattern.matches(destination.ip(), names()))
        };
        let Some((of, other)) = self.other_environment(credential, is_in) else {
            return;
        };
        let to = self.destination(destination);
        let summary = format!(
            "{}; the credential belongs to {of}, and the address to {other}",
            describe::used(actor, credential, recent.own, &to, now)
        );
        let id = DetectionId::WrongEnvironment;
        let credential = credential.clone();
        findings.push(touched(id, actor, credential, Some(to), summary, now));
    }

    /// The environments of a credential and of what `is_in` knows, where they have none in common.
    /// What is in no environment is in no wrong one.
    fn other_environment(
        &self,
        credential: &AlertCredential,
        is_in: impl Fn(&Environment) -> bool,
    ) -> Option<(String, String)> {
        if self.settings.environments.is_empty() {
            return None;
        }
        let fingerprint = &credential.fingerprint;
        let entry = self.state.registry.credential(fingerprint)?;
        let known = entry.locations.iter().map(|(path, _)| path.as_path());
        let touched_at = credential.path.as_deref().map(Path::new);
        let paths: Vec<_> = known.chain(touched_at).collect();
        let has = |environment: &&Environment| {
            let mut patterns = environment.credentials.iter();
            patterns.any(|pattern| pattern.matches(fingerprint, paths.iter().copied()))
        };
        let all = self.settings.environments.iter();
        let of: Vec<_> = all.clone().filter(has).collect();
        let other: Vec<_> = all.filter(|environment| is_in(environment)).collect();
        let is_common = of.iter().any(|a| other.iter().any(|b| a.name == b.name));
        if of.is_empty() || other.is_empty() || is_common {
            return None;
        }
        Some((names(&of), names(&other)))
    }
}

fn names(of: &[&Environment]) -> String {
    let names: Vec<_> = of.iter().map(|of| of.name.as_str()).collect();
    names.join(" and ")
}
