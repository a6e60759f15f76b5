//! The ways in which a kernel is booted.

use super::kernels::Kernel;

/// A way to boot a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lane {
    pub(super) name: &'static str,
    /// What it adds to the kernel's command line.
    pub(super) parameters: &'static str,
}

/// As the distribution boots it.
pub(super) const DEFAULT: Lane = Lane {
    name: "default",
    parameters: "",
};
/// LSM programs load, attach and never fire.
const NO_BPF_LSM: Lane = Lane {
    name: "no-bpf-lsm",
    parameters: "lsm=lockdown,capability,yama",
};
/// They fire where by default they do not.
const BPF_LSM: Lane = Lane {
    name: "bpf-lsm",
    parameters: "lsm=lockdown,capability,yama,bpf",
};
/// Nothing in the kernel may be read by programs, and there is no tracefs.
pub(super) const CONFIDENTIALITY: Lane = Lane {
    name: "confidentiality",
    parameters: "lockdown=confidentiality",
};

/// The lanes of a kernel, the default first.
pub(super) fn of(kernel: &Kernel) -> &'static [Lane] {
    match kernel {
        Kernel { refuses: true, .. } => &[DEFAULT],
        Kernel { bpf_lsm: true, .. } => &[DEFAULT, NO_BPF_LSM, CONFIDENTIALITY],
        _ => &[DEFAULT, BPF_LSM, CONFIDENTIALITY],
    }
}
