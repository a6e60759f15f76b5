//! What Credwatch's own commands and the daemon's build script share: a toolchain for the kernel
//! half, found by trial, and the kernel half's build.
//!
//! The build script of `monitor` compiles this library before anything else, so it depends on the
//! standard library and anyhow alone; the commands themselves live in the binary beside it.

pub mod build_script;
pub mod ebpf;
mod inner_cargo;
pub mod toolchain;
