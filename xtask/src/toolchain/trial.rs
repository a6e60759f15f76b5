//! The trial: a tiny BPF program is really compiled and linked.

use std::{
    fs, io,
    path::Path,
    process::{Command, Stdio},
};

use super::{Attempt, BpfTarget, Compiler, NotFound, OLDEST_RUSTC, Toolchain, survey::Survey};
use crate::inner_cargo;

/// Uses what the kernel half needs beyond plain code: a section of its own, inline assembly for BPF
/// and a static that ends up in the BTF.
const PROGRAM: &str = r#"//! Written and compiled to see whether a toolchain builds BPF programs.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

#[unsafe(no_mangle)]
#[unsafe(link_section = "maps")]
static TRIAL: [u32; 4] = [1, 4, 8, 16];

#[unsafe(no_mangle)]
#[unsafe(link_section = "tp_btf/sched_process_exec")]
extern "C" fn trial(context: *mut core::ffi::c_void) -> i32 {
    let low: u64;
    // SAFETY: a register move.
    unsafe { core::arch::asm!("{0} = {1}", out(reg) low, in(reg) context as u64) };
    low as i32 & 1 & TRIAL[0] as i32
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
"#;

/// The ELF machine number of BPF, `EM_BPF` in `linux/elf-em.h`.
const EM_BPF: u16 = 247;

/// The first compiler and linker that work together.
pub(super) fn first_that_works(
    work_dir: &Path,
    target: &BpfTarget,
    survey: Survey,
) -> Result<Toolchain, NotFound> {
    let mut attempts = Vec::new();
    let mut only_linker = None;
    for mut compiler in survey.compilers {
        if let Some(version) = version(&compiler) {
            compiler.name = format!("{version} at {}", compiler.rustc.display());
        }
        if survey.linkers.is_empty() {
            attempts.push(Attempt {
                name: compiler.name.clone(),
                reason: "there is no bpf-linker to link what it compiles".into(),
            });
        }
        for linker in &survey.linkers {
            let toolchain = Toolchain {
                compiler: compiler.clone(),
                linker: linker.clone(),
            };
            match compile(work_dir, target, &toolchain) {
                Ok(()) => return Ok(toolchain),
                Err(reason) => attempts.push(Attempt {
                    name: format!("{} with {}", compiler.name, linker.display()),
                    reason,
                }),
            }
        }
        only_linker.get_or_insert(compiler);
    }
    attempts.extend(survey.ruled_out);
    if attempts.is_empty() {
        attempts.push(Attempt {
            name: "rustc".into(),
            reason: "no compiler was found at all".into(),
        });
    }
    Err(NotFound {
        attempts,
        only_linker,
    })
}

/// `rustc 1.96.0` out of `rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)`.
fn version(compiler: &Compiler) -> Option<String> {
    let output = Command::new(&compiler.rustc)
        .arg("--version")
        .output()
        .ok()?;
    let line = String::from_utf8(output.stdout).ok()?;
    let mut words = line.split_whitespace();
    Some(format!("{} {}", words.next()?, words.next()?))
}

fn compile(work_dir: &Path, target: &BpfTarget, toolchain: &Toolchain) -> Result<(), String> {
    let folder = work_dir.join("trial");
    let manifest = folder.join("Cargo.toml");
    write_crate(&folder).map_err(|error| format!("cannot write {}: {error}", folder.display()))?;
    let target_dir = folder.join("target");
    let output = inner_cargo::command(toolchain, target, "build", &manifest, &target_dir)
        .arg("--quiet")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| {
            format!(
                "{} does not run: {error}",
                toolchain.compiler.cargo.display()
            )
        })?;
    if !output.status.success() {
        return Err(first_error(&String::from_utf8_lossy(&output.stderr)));
    }
    let object = target_dir.join(target.triple()).join("release/trial");
    let bytes = fs::read(&object).map_err(|error| format!("{}: {error}", object.display()))?;
    check_object(&bytes)
}

fn write_crate(folder: &Path) -> io::Result<()> {
    let (major, minor) = OLDEST_RUSTC;
    let manifest = format!(
        "[workspace]\n\n[package]\nname = \"trial\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
         rust-version = \"{major}.{minor}\"\n\n[[bin]]\nname = \"trial\"\npath = \"trial.rs\"\n\n\
         [profile.release]\npanic = \"abort\"\n"
    );
    fs::create_dir_all(folder)?;
    for (name, text) in [("Cargo.toml", manifest.as_str()), ("trial.rs", PROGRAM)] {
        let file = folder.join(name);
        // Unchanged files keep their time, and a repeated trial its compiled output.
        if !fs::read_to_string(&file).is_ok_and(|old| old == text) {
            fs::write(&file, text)?;
        }
    }
    Ok(())
}

/// The line that says most: the first that begins with `error`, and the reason cargo gives below it.
fn first_error(output: &str) -> String {
    let lines: Vec<&str> = output.lines().map(str::trim).collect();
    let error = lines.iter().find(|line| line.starts_with("error"));
    // bpf-linker's own words come as a note below rustc's "linking failed".
    let note = lines.iter().find_map(|line| {
        let note = line.strip_prefix("= note: ")?;
        (note.contains("error") || note.contains("LLVM")).then_some(note)
    });
    match (error, note) {
        (Some(error), Some(note)) => format!("{error}: {note}"),
        (Some(error), None) => (*error).to_owned(),
        (None, _) => lines.last().map_or_else(
            || "failed and said nothing".into(),
            |line| (*line).to_owned(),
        ),
    }
}

fn check_object(bytes: &[u8]) -> Result<(), String> {
    let machine = match bytes {
        [0x7f, b'E', b'L', b'F', _, 2, ..] => {
            bytes.get(18..20).map(|b| u16::from_be_bytes([b[0], b[1]]))
        }
        [0x7f, b'E', b'L', b'F', ..] => bytes.get(18..20).map(|b| u16::from_le_bytes([b[0], b[1]])),
        _ => None,
    };
    if machine != Some(EM_BPF) {
        return Err("what it made is no BPF object".into());
    }
    match bytes.windows(5).any(|window| window == b".BTF\0") {
        true => Ok(()),
        false => {
            Err("the object has no BTF: bpf-linker is too old or has no debug information".into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_must_be_bpf_and_have_btf() {
        let mut object = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0];
        object.resize(64, 0);
        object[18] = 247;
        assert!(check_object(&object).is_err_and(|reason| reason.contains("BTF")));
        object.extend(b"\0.BTF\0");
        assert_eq!(check_object(&object), Ok(()));
        object[18] = 62;
        assert!(check_object(&object).is_err());
        assert!(check_object(b"").is_err());
        assert!(check_object(b"\x7fELF").is_err());
    }

    #[test]
    fn the_error_that_says_most_is_kept() {
        let output = "   Compiling trial v0.0.0\nerror[E0463]: can't find crate for `core`\n  |\n\
                      = note: the `bpfel-unknown-none` target may not be installed\n";
        assert_eq!(
            first_error(output),
            "error[E0463]: can't find crate for `core`"
        );
        let output = "error: linking with `bpf-linker` failed: exit status: 1\n  |\n\
                      = note: error: Invalid record (Producer: 'LLVM23' Reader: 'LLVM 22')\n";
        assert!(first_error(output).contains("Producer"));
        assert_eq!(first_error(""), "failed and said nothing");
    }
}
