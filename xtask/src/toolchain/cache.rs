//! The outcome of the trials, kept in a file of tab-separated lines.

use std::{fmt::Write as _, fs, io, path::Path};

use super::{Attempt, Compiler, CoreLibrary, NotFound, Toolchain};

/// The outcome kept under `key`; `None` when there is none, it is another machine's state, or the
/// file is not of this form.
pub(super) fn read(file: &Path, key: &str) -> Option<Result<Toolchain, NotFound>> {
    decode(&fs::read_to_string(file).ok()?, key)
}

/// Keeps an outcome. The file is left alone when it says the same already, because build scripts
/// watch its time of change.
pub(super) fn write(
    file: &Path,
    key: &str,
    outcome: &Result<Toolchain, NotFound>,
) -> io::Result<()> {
    let text = encode(key, outcome);
    if fs::read_to_string(file).is_ok_and(|old| old == text) {
        return Ok(());
    }
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    // Two builds may write at once; a reader sees one whole outcome or the other.
    let draft = file.with_extension(std::process::id().to_string());
    fs::write(&draft, text)?;
    fs::rename(&draft, file)
}

fn encode(key: &str, outcome: &Result<Toolchain, NotFound>) -> String {
    let mut text = format!("key\t{key}\n");
    // Writing to a string cannot fail.
    let _ = match outcome {
        Ok(Toolchain { compiler, linker }) => {
            write_compiler(&mut text, compiler);
            writeln!(text, "linker\t{}", linker.display())
        }
        Err(NotFound {
            attempts,
            only_linker,
        }) => {
            if let Some(compiler) = only_linker {
                write_compiler(&mut text, compiler);
            }
            for Attempt { name, reason } in attempts {
                let _ = writeln!(text, "tried\t{name}\t{}", reason.replace(['\n', '\t'], " "));
            }
            writeln!(text, "none")
        }
    };
    text
}

fn write_compiler(text: &mut String, compiler: &Compiler) {
    let Compiler {
        name,
        rustc,
        cargo,
        core,
    } = compiler;
    let core = match core {
        CoreLibrary::Shipped => "shipped",
        CoreLibrary::FromSource => "from-source",
    };
    let (rustc, cargo) = (rustc.display(), cargo.display());
    let _ = writeln!(text, "compiler\t{name}\t{rustc}\t{cargo}\t{core}");
}

fn decode(text: &str, key: &str) -> Option<Result<Toolchain, NotFound>> {
    let mut lines = text
        .lines()
        .map(|line| line.split('\t').collect::<Vec<_>>());
    if lines.next()? != ["key", key] {
        return None;
    }
    let mut compiler = None;
    let mut attempts = Vec::new();
    for line in lines {
        match line.as_slice() {
            ["compiler", name, rustc, cargo, core] => {
                compiler = Some(Compiler {
                    name: (*name).to_owned(),
                    rustc: rustc.into(),
                    cargo: cargo.into(),
                    core: match *core {
                        "shipped" => CoreLibrary::Shipped,
                        "from-source" => CoreLibrary::FromSource,
                        _ => return None,
                    },
                });
            }
            ["linker", linker] => {
                return Some(Ok(Toolchain {
                    compiler: compiler?,
                    linker: linker.into(),
                }));
            }
            ["tried", name, reason] => attempts.push(Attempt {
                name: (*name).to_owned(),
                reason: (*reason).to_owned(),
            }),
            ["none"] => {
                return Some(Err(NotFound {
                    attempts,
                    only_linker: compiler,
                }));
            }
            _ => return None,
        }
    }
    // Cut short: no last line.
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiler() -> Compiler {
        Compiler {
            name: "rustc 1.96.0 at /usr/bin/rustc".into(),
            rustc: "/usr/bin/rustc".into(),
            cargo: "/root/.cargo/bin/cargo".into(),
            core: CoreLibrary::Shipped,
        }
    }

    fn outcomes() -> Vec<Result<Toolchain, NotFound>> {
        let attempts = vec![Attempt {
            name: "nightly".into(),
            reason: "has no rust-src".into(),
        }];
        vec![
            Ok(Toolchain {
                compiler: compiler(),
                linker: "/opt/bpf-linker".into(),
            }),
            Err(NotFound {
                attempts: attempts.clone(),
                only_linker: Some(compiler()),
            }),
            Err(NotFound {
                attempts,
                only_linker: None,
            }),
        ]
    }

    #[test]
    fn an_outcome_survives_the_file() {
        for outcome in outcomes() {
            assert_eq!(decode(&encode("k", &outcome), "k"), Some(outcome));
        }
    }

    #[test]
    fn another_key_or_a_damaged_file_is_no_outcome() {
        for outcome in outcomes() {
            let text = encode("k", &outcome);
            assert_eq!(decode(&text, "other"), None);
            let whole_lines = text.trim_end().rfind('\n').unwrap_or_default();
            assert_eq!(decode(&text[..whole_lines], "k"), None);
            assert_eq!(decode(&text.replace('\t', " "), "k"), None);
        }
        assert_eq!(decode("", "k"), None);
    }
}
