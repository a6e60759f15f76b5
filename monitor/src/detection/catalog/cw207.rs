//! CW-207: an outsider spoke to a control socket.

use super::{Entry, Maturity};
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::ControlSocket,
    title: "An outsider spoke to a control socket",
    severity: Severity::High,
    attack: &["T1550", "T1611"],
    owasp: &["NHI3"],
    maturity: Maturity::Stable,
    sentence: "WHO by EXE (pid N) connected to the ssh agent of USER at PATH",
    meaning: "A process connected to the socket of an ssh agent, a container runtime, a Vault agent or \
              a SPIRE agent, and has no known reason to. An agent signs for whoever asks; a container \
              runtime makes whoever asks root. High: another user's ssh agent, root included, and any \
              container runtime by a program that is none of its own. Medium: Vault and SPIRE, where \
              only declared clients are insiders, and an agent whose owner is not known. Low: the \
              owner of an ssh agent with another program than those of SSH, or the person who logged \
              in as its owner and became root.",
    innocent: "A deployment tool that speaks SSH itself; a CI runner or monitoring agent that asks \
               docker; an application that gets its identity from SPIRE and is not declared yet.",
    next: "If it may, add its unit or program to `detection.control_sockets.allowed`. If another user \
           spoke to an ssh agent, remove its keys (`ssh-add -D`) and look at the log-ins that they \
           allow. If an outsider spoke to a container runtime, look for containers that were started.",
    proof: &[
        "reaching::root_uses_the_agent_of_somebody_who_is_logged_in",
        "reaching::a_program_of_no_container_runtime_speaks_to_docker",
    ],
    quiet: &[
        "quiet::ordinary_administration_is_quiet",
    ],
};
