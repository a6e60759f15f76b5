//! What each detection is, once: titles, severities, frameworks, and the text of `explain`.

use crate::model::{CredentialKind, DetectionId, Severity};

/// One detection.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The id.
    pub id: DetectionId,
    /// The title of its alerts.
    pub title: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// MITRE ATT&CK techniques, unless the credential's kind says it better.
    pub attack: &'static [&'static str],
    /// OWASP Non-Human Identities Top 10 (2025).
    pub owasp: &'static [&'static str],
    /// What it means and why it matters.
    pub meaning: &'static str,
    /// What usually explains it without an attack.
    pub innocent: &'static str,
    /// What to do.
    pub next: &'static str,
}

/// The entry of a detection.
pub fn entry(id: DetectionId) -> &'static Entry {
    match id {
        DetectionId::RetiredCredentialRead => &RETIRED_CREDENTIAL_READ,
        DetectionId::RetiredCredentialUsed => &RETIRED_CREDENTIAL_USED,
        DetectionId::RetiredIdentityActive => &RETIRED_IDENTITY_ACTIVE,
        DetectionId::DecoyTouched => &DECOY_TOUCHED,
        DetectionId::MetadataService => &METADATA_SERVICE,
        DetectionId::EnvironScrape => &ENVIRON_SCRAPE,
        DetectionId::MemoryScrape => &MEMORY_SCRAPE,
        DetectionId::ControlSocket => &CONTROL_SOCKET,
        DetectionId::SystemSecret => &SYSTEM_SECRET,
        DetectionId::HookFailed => &HOOK_FAILED,
        DetectionId::EventsLost => &EVENTS_LOST,
        DetectionId::NotWatched => &NOT_WATCHED,
        DetectionId::Tampered => &TAMPERED,
    }
}

/// The ATT&CK techniques that reading a credential of a kind belongs to.
pub fn attack_for(kind: CredentialKind) -> &'static [&'static str] {
    match kind {
        CredentialKind::SshPrivateKey | CredentialKind::X509PrivateKey => &["T1552.004"],
        CredentialKind::SshAuthorizedKey => &["T1098.004"],
        CredentialKind::ShadowPassword => &["T1003.008"],
        CredentialKind::KubernetesServiceAccountToken
        | CredentialKind::Jwt
        | CredentialKind::VaultToken => &["T1528", "T1552.001"],
        CredentialKind::Keytab => &["T1558", "T1552.001"],
        _ => &["T1552.001"],
    }
}

/// The text of `credwatch explain`.
pub fn explain(id: DetectionId) -> String {
    let entry = entry(id);
    format!(
        "{id}  {}\n\nSeverity    {}\nATT&CK      {}\nOWASP NHI   {}\n\nWhat it means\n  {}\n\nWhat explains it \
         without an attack\n  {}\n\nWhat to do\n  {}\n",
        entry.title,
        entry.severity.as_str(),
        list(entry.attack),
        list(entry.owasp),
        entry.meaning,
        entry.innocent,
        entry.next,
    )
}

fn list(of: &[&str]) -> String {
    if of.is_empty() {
        "none: it is about the sensor itself".to_owned()
    } else {
        of.join(", ")
    }
}

const RETIRED_CREDENTIAL_READ: Entry = Entry {
    id: DetectionId::RetiredCredentialRead,
    title: "A retired credential was read",
    severity: Severity::Critical,
    attack: &["T1552.001", "T1552.004"],
    owasp: &["NHI1"],
    meaning: "A process opened, read, mapped or changed a credential that is retired, revoked or \
              expired, by any path or copy, or tried to. Nobody should need it any more: either \
              something still depends on it, or somebody has found it. An open that was refused is \
              medium: nothing was had, and it is more often a forgotten job or a search. An expired \
              credential is medium, and low where it was refused.",
    innocent: "A job that was forgotten when the credential was retired; a backup or a search that \
               reads every file.",
    next: "See who else uses it with `credwatch usage`. If the use is legitimate, finish the move \
           first and `credwatch restore` it until then. If not, treat the credential as stolen: revoke \
           it where it is accepted, then remove the file.",
};

const RETIRED_CREDENTIAL_USED: Entry = Entry {
    id: DetectionId::RetiredCredentialUsed,
    title: "A retired credential was read, then its reader connected",
    severity: Severity::Critical,
    attack: &["T1078", "T1552"],
    owasp: &["NHI1"],
    meaning: "The process that read a retired credential, or a child of it, opened a connection \
              within the window that is configured. It has probably authenticated with it.",
    innocent: "A forgotten job that still works because the account behind the credential was \
               never closed.",
    next: "Look at the destination: does it still accept this credential? Close the account \
           there, then ask the identity's owner.",
};

const RETIRED_IDENTITY_ACTIVE: Entry = Entry {
    id: DetectionId::RetiredIdentityActive,
    title: "A retired identity is active",
    severity: Severity::Critical,
    attack: &["T1078"],
    owasp: &["NHI1"],
    meaning: "Something runs, connects or takes a uid as an identity that is retired: a unix \
              account, a systemd unit or a container that the registry says is gone.",
    innocent: "A unit or account that was retired in the registry and not yet removed from the \
               host; a package script that touches every account.",
    next: "Lock the account or mask the unit now, then find out from the ancestors in the alert \
           who started it.",
};

const DECOY_TOUCHED: Entry = Entry {
    id: DetectionId::DecoyTouched,
    title: "A decoy credential was touched",
    severity: Severity::Critical,
    attack: &["T1552.001"],
    owasp: &["NHI2"],
    meaning: "A process opened, read or changed a credential that was laid out as bait, or tried to. \
              Nothing has a reason to.",
    innocent: "A backup, an indexer or a search that reads every file: exclude the decoy there, so \
               that the next touch means something.",
    next: "Take the process, its ancestors and its login as the start of an investigation; the \
           decoy itself opens nothing.",
};

const METADATA_SERVICE: Entry = Entry {
    id: DetectionId::MetadataService,
    title: "An outsider asked the cloud metadata service",
    severity: Severity::High,
    attack: &["T1552.005"],
    owasp: &["NHI6"],
    meaning: "A process that is not on the list connected to the address at which a cloud hands \
              out this machine's own credentials.",
    innocent: "A cloud agent or SDK that is legitimate here and not on the list yet.",
    next: "If it is legitimate, add its unit or executable to `detection.metadata_service.allowed`. \
           If not, rotate the instance role's credentials and require IMDSv2 with a hop limit of 1.",
};

const ENVIRON_SCRAPE: Entry = Entry {
    id: DetectionId::EnvironScrape,
    title: "The environment of another identity was read",
    severity: Severity::High,
    attack: &["T1552.001"],
    owasp: &["NHI2"],
    meaning: "A process read /proc/PID/environ of a process of another user, service or container. \
              Tokens and passwords are handed to services in their environment, in the clear. A read \
              that was refused is medium: somebody tried.",
    innocent: "A monitoring or inventory agent that reports environments; a person who looks why a \
               service does not start. systemd, container runtimes, ps and its like, and the hooks of \
               package managers raise nothing.",
    next: "Look at the parents and the login in the alert. If it is an agent of yours, add its unit to \
           `detection.process_memory.allowed`. If not, rotate what the service is given by its \
           environment, and move it to LoadCredential= or a file.",
};

const MEMORY_SCRAPE: Entry = Entry {
    id: DetectionId::MemoryScrape,
    title: "The memory of a process that holds a credential was reached",
    severity: Severity::High,
    attack: &["T1003.007"],
    owasp: &["NHI2"],
    meaning: "A process attached by ptrace to another one that has read a secret, reached into its \
              memory by process_vm_readv or /proc/PID/mem, or took a descriptor from it. The secret \
              lies there unwrapped, and no file is opened. Refused it is medium; by a process of the \
              same identity medium, and low where refused; a read of the memory map alone, or a way \
              that the kernel did not name, low.",
    innocent: "A debugger, profiler or crash handler on a running service. A debugger on what it has \
               started itself, under the same identity, raises nothing.",
    next: "If nobody was debugging, take the secret for stolen: rotate it, and look what the process \
           did afterwards. Set kernel.yama.ptrace_scope=2 on hosts where nobody debugs. Agents that \
           may are declared in `detection.process_memory.allowed`.",
};

const CONTROL_SOCKET: Entry = Entry {
    id: DetectionId::ControlSocket,
    title: "An outsider spoke to a control socket",
    severity: Severity::High,
    attack: &["T1550", "T1611"],
    owasp: &["NHI3"],
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
};

const SYSTEM_SECRET: Entry = Entry {
    id: DetectionId::SystemSecret,
    title: "An outsider touched the system's own secrets",
    severity: Severity::High,
    attack: &["T1003.008", "T1098.004"],
    owasp: &["NHI2"],
    meaning: "A program that has no known reason to read or changed the password files, sudo's rules, \
              authorized keys of another user, the host's keytab, keys of the Kubernetes cluster, or a \
              key of the kernel's keyrings that belongs to somebody else. Critical: a change. High: a \
              secret was read. Medium: rules or authorized keys were read, an open of a secret was \
              refused, a user's own authorized keys were changed, or a key of an unknown owner was \
              read. Low: an open of rules or authorized keys was refused.",
    innocent: "A backup, an audit or configuration management that is not declared yet; an \
               administrator with an editor. What logs people in, manages accounts, schedules jobs or \
               installs packages raises nothing.",
    next: "If it is a job of yours, add its unit to `detection.system_secrets.allowed`. If not: after a \
           read of passwords change them; after a change compare the file with a backup, remove what \
           was added, and look for what logged in since.",
};

const HOOK_FAILED: Entry = Entry {
    id: DetectionId::HookFailed,
    title: "A probe is missing or silent",
    severity: Severity::High,
    attack: &[],
    owasp: &[],
    meaning: "A hook could not be attached, or is attached and did not fire when Credwatch made it. \
              What it watches is not seen.",
    innocent: "A kernel that lacks the hook, a build option that is off, or a capability that the \
               daemon was not given.",
    next: "The alert says which hook, why, and what is not seen. `credwatch status` shows them all.",
};

const EVENTS_LOST: Entry = Entry {
    id: DetectionId::EventsLost,
    title: "Events were lost",
    severity: Severity::High,
    attack: &[],
    owasp: &[],
    meaning: "More happened than the daemon could take in, or one process did something so often \
              that the rest of it was only counted: an attacker may try this to hide one read among \
              many. The numbers are exact. Where one process did it, the alert names it.",
    innocent: "A burst of processes or connections on a busy host with a small ring.",
    next: "Where a process is named, look at what it does. Else raise `sensor.ring_bytes`, and look at \
           what ran at that time.",
};

const NOT_WATCHED: Entry = Entry {
    id: DetectionId::NotWatched,
    title: "Credwatch was stopped or held, or the clock was set",
    severity: Severity::High,
    attack: &["T1562.001"],
    owasp: &[],
    meaning: "There is a time of which the alerts do not tell everything. Either somebody has told \
              the daemon to stop, or the former run was killed, or the daemon was held for some \
              seconds, or the wall clock was set, so that times do not compare. Low when the \
              init system stopped it, medium after a crash of the host and for the clock.",
    innocent: "An upgrade or a shutdown (low); an operator who ends the daemon by hand; a host that \
               was out of memory or starved; a clock that was wrong at boot.",
    next: "Find out who did it: the summary names the sender of the signal where there was one. \
           Treat what happened on the host in that time as not seen. Send alerts to a remote sink, \
           so that the last word is not only on this host.",
};

const TAMPERED: Entry = Entry {
    id: DetectionId::Tampered,
    title: "What Credwatch relies on was changed",
    severity: Severity::High,
    attack: &["T1562.001", "T1070"],
    owasp: &[],
    meaning: "The database, the fingerprint key, their directory, a registry file, the \
              configuration or the program itself was replaced, removed or changed by somebody \
              else, or can no longer be read. Medium for registry, configuration and program, \
              whose content takes effect by a reload or a restart only.",
    innocent: "An upgrade before its restart; a registry file or configuration that was edited and \
               not yet reloaded; a person who has written to the database with sqlite3.",
    next: "The summary says what and, where it is known, whose file it is now. If the change is \
           yours, reload (SIGHUP) or restart. If not, keep a copy of what lies there, restore the \
           database and key from a backup, and look at who was root at that time.",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_detection_is_explained() {
        for id in DetectionId::ALL {
            assert_eq!(entry(id).id, id);
            let text = explain(id);
            assert!(text.starts_with(id.as_str()) && text.len() > 300, "{text}");
            assert_eq!(id.as_str().parse(), Ok(id));
        }
    }
}
