//! CW-206: the memory of a process that holds a credential was reached.

use super::{Entry, Maturity};
use crate::model::{DetectionId, Severity};

pub(super) const ENTRY: Entry = Entry {
    id: DetectionId::MemoryScrape,
    title: "The memory of a process that holds a credential was reached",
    severity: Severity::High,
    attack: &["T1003.007"],
    owasp: &["NHI2"],
    maturity: Maturity::Stable,
    sentence: "WHO by EXE (pid N) attached by ptrace to EXE (pid N) of IDENTITY, which has read the KIND FINGERPRINT at PATH",
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
    proof: &[
        "reaching::each_way_into_the_memory_of_a_process_that_holds_a_key",
        "reaching::a_descriptor_is_taken_from_another_account",
    ],
    quiet: &[
        "reaching::a_process_that_holds_nothing_and_a_tracer_of_its_own_child_raise_nothing",
    ],
};
