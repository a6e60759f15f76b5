//! A BPF toolchain, found by trial.
