//! Which compilers and linkers are on the machine, by looking and without running anything.

use std::{
    env, fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{Attempt, BpfTarget, Compiler, CoreLibrary};

/// Everything that could be part of a toolchain.
#[derive(Debug)]
pub(super) struct Survey {
    /// Compilers worth a trial, best first.
    pub(super) compilers: Vec<Compiler>,
    /// Every `bpf-linker`, in the order of the search path.
    pub(super) linkers: Vec<PathBuf>,
    /// Compilers that need no trial to be ruled out.
    pub(super) ruled_out: Vec<Attempt>,
}

impl Survey {
    /// Looks through rustup's toolchains, the search path and where distributions put compilers.
    pub(super) fn of_this_machine(target: &BpfTarget) -> Self {
        let home = env::var_os("HOME").map(PathBuf::from);
        let in_home = |variable: &str, folder: &str| {
            env::var_os(variable)
                .map(PathBuf::from)
                .or_else(|| home.as_ref().map(|home| home.join(folder)))
        };
        let cargo_home = in_home("CARGO_HOME", ".cargo");
        let rustup_home = in_home("RUSTUP_HOME", ".rustup");

        let path = env::var_os("PATH").unwrap_or_default();
        let mut folders: Vec<PathBuf> = env::split_paths(&path).collect();
        let install_root = env::var_os("CARGO_INSTALL_ROOT").map(PathBuf::from);
        for root in install_root.iter().chain(&cargo_home) {
            folders.push(root.join("bin"));
        }
        folders.extend(["/usr/local/bin", "/usr/bin"].map(PathBuf::from));
        // Ubuntu's versioned packages.
        folders.extend(
            children(Path::new("/usr/lib"), |name| name.starts_with("rust-"))
                .map(|f| f.join("bin")),
        );

        let cargo = env::var_os("CARGO")
            .map(PathBuf::from)
            .or_else(|| programs(&folders, "cargo").into_iter().next());
        let rustup_toolchains = rustup_home.map(|home| home.join("toolchains"));
        Self::of(
            target,
            rustup_toolchains.as_deref(),
            &folders,
            cargo.as_deref(),
        )
    }

    fn of(
        target: &BpfTarget,
        rustup_toolchains: Option<&Path>,
        folders: &[PathBuf],
        cargo: Option<&Path>,
    ) -> Self {
        let mut survey = Self {
            compilers: Vec::new(),
            linkers: programs(folders, "bpf-linker"),
            ruled_out: Vec::new(),
        };
        if let Some(toolchains) = rustup_toolchains {
            let mut sysroots: Vec<PathBuf> = children(toolchains, |_| true).collect();
            // Nightlies first: there `-Z build-std` is at home.
            sysroots.sort_by_key(|root| !root.to_string_lossy().contains("/nightly"));
            for root in sysroots {
                let name = root.file_name().unwrap_or_default().to_string_lossy();
                survey.add(
                    format!("rustup's {name}"),
                    root.join("bin/rustc"),
                    &root,
                    Some(&root.join("bin/cargo")),
                    target,
                );
            }
        }
        let by_rustup = |file: &Path| rustup_toolchains.is_some_and(|home| file.starts_with(home));
        for rustc in programs(folders, "rustc") {
            // Under rustup the search path begins with the chosen toolchain.
            if by_rustup(&rustc) {
                continue;
            }
            // In `~/.cargo/bin` it is rustup's proxy, whose toolchains are listed above.
            let root = rustc.parent().and_then(Path::parent).map(Path::to_path_buf);
            if let Some(root) = root.filter(|root| root.join("lib/rustlib").is_dir()) {
                let name = rustc.display().to_string();
                survey.add(name, rustc, &root, cargo, target);
            }
        }
        survey.compilers.sort_by_key(|compiler| {
            let nightly = compiler.rustc.to_string_lossy().contains("/nightly");
            match compiler.core {
                CoreLibrary::FromSource if nightly => 0,
                CoreLibrary::Shipped => 1,
                CoreLibrary::FromSource => 2,
            }
        });
        survey
    }

    fn add(
        &mut self,
        name: String,
        rustc: PathBuf,
        sysroot: &Path,
        cargo: Option<&Path>,
        target: &BpfTarget,
    ) {
        let rustlib = sysroot.join("lib/rustlib");
        let core = if ships_core(&rustlib.join(target.triple()).join("lib")) {
            CoreLibrary::Shipped
        } else if rustlib.join("src/rust/library/core").is_dir() {
            CoreLibrary::FromSource
        } else {
            let reason = format!("has neither core for {} nor rust-src", target.triple());
            self.ruled_out.push(Attempt { name, reason });
            return;
        };
        match cargo.filter(|cargo| cargo.is_file()) {
            Some(cargo) if rustc.is_file() => self.compilers.push(Compiler {
                name,
                rustc,
                cargo: cargo.to_path_buf(),
                core,
            }),
            _ => self.ruled_out.push(Attempt {
                name,
                reason: "there is no cargo to drive it".into(),
            }),
        }
    }

    /// A word that changes when a compiler, its core or a linker is added, removed or replaced.
    pub(super) fn key(&self, target: &BpfTarget) -> String {
        let mut hasher = DefaultHasher::new();
        (target.triple(), target.arch(), env!("CARGO_PKG_VERSION")).hash(&mut hasher);
        for compiler in &self.compilers {
            let core = matches!(compiler.core, CoreLibrary::Shipped);
            (&compiler.name, core, stamp(&compiler.rustc)).hash(&mut hasher);
        }
        for linker in &self.linkers {
            (linker, stamp(linker)).hash(&mut hasher);
        }
        for Attempt { name, .. } in &self.ruled_out {
            name.hash(&mut hasher);
        }
        format!("{:016x}", hasher.finish())
    }
}

fn stamp(file: &Path) -> Option<(u64, Option<SystemTime>)> {
    let metadata = fs::metadata(file).ok()?;
    Some((metadata.len(), metadata.modified().ok()))
}

fn ships_core(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else {
        return false;
    };
    entries.flatten().any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with("libcore-") && name.ends_with(".rlib")
    })
}

/// The folders in `folder` whose names do, sorted.
fn children(folder: &Path, named: impl Fn(&str) -> bool) -> impl Iterator<Item = PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| named(&entry.file_name().to_string_lossy()))
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    found.sort();
    found.into_iter()
}

/// Every file of that name in the folders, links resolved and each once.
fn programs(folders: &[PathBuf], name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in folders {
        // Resolved, so that a sysroot is the compiler's own and `/bin` and `/usr/bin` are one;
        // programs that choose their work by their name (rustup's proxies) keep it.
        let file = folder.join(name);
        let resolved = match fs::canonicalize(&file) {
            Ok(resolved) if resolved.file_name() == file.file_name() => resolved,
            Ok(_) => file,
            Err(_) => continue,
        };
        if resolved.is_file() && !found.contains(&resolved) {
            found.push(resolved);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let folder = env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        fn file(&self, path: &str) -> PathBuf {
            let file = self.0.join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, "").unwrap();
            file
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const CORE: &str = "lib/rustlib/bpfel-unknown-none/lib/libcore-8056.rlib";

    #[test]
    fn compilers_are_sorted_and_ruled_out_by_what_they_have() {
        let scratch = Scratch::new("survey");
        for toolchain in ["nightly-x", "stable-x", "beta-x"] {
            scratch.file(&format!("rustup/{toolchain}/bin/rustc"));
            scratch.file(&format!("rustup/{toolchain}/bin/cargo"));
        }
        scratch.file("rustup/nightly-x/lib/rustlib/src/rust/library/core/x");
        scratch.file("rustup/beta-x/lib/rustlib/src/rust/library/core/x");
        scratch.file("usr/bin/rustc");
        scratch.file(&format!("usr/{CORE}"));
        let cargo = scratch.file("cargo/bin/cargo");
        scratch.file("cargo/bin/rustc");
        let linker = scratch.file("cargo/bin/bpf-linker");

        let folders = [scratch.0.join("cargo/bin"), scratch.0.join("usr/bin")];
        let rustup = scratch.0.join("rustup");
        let target = BpfTarget::new("x86_64", "little");
        let survey = Survey::of(&target, Some(&rustup), &folders, Some(&cargo));

        let order: Vec<_> = survey
            .compilers
            .iter()
            .map(|c| (&c.rustc, c.core))
            .collect();
        assert_eq!(
            order,
            [
                (&rustup.join("nightly-x/bin/rustc"), CoreLibrary::FromSource),
                (&scratch.0.join("usr/bin/rustc"), CoreLibrary::Shipped),
                (&rustup.join("beta-x/bin/rustc"), CoreLibrary::FromSource),
            ]
        );
        assert_eq!(survey.compilers[1].cargo, cargo);
        assert_eq!(survey.linkers, [linker]);
        assert_eq!(survey.ruled_out.len(), 1, "{:?}", survey.ruled_out);
        assert_eq!(survey.ruled_out[0].name, "rustup's stable-x");
    }

    #[test]
    fn the_key_follows_what_is_installed() {
        let scratch = Scratch::new("key");
        scratch.file("usr/bin/rustc");
        let core = scratch.file(&format!("usr/{CORE}"));
        let cargo = scratch.file("usr/bin/cargo");
        let folders = [scratch.0.join("usr/bin")];
        let target = BpfTarget::new("x86_64", "little");
        let key = |target: &BpfTarget| Survey::of(target, None, &folders, Some(&cargo)).key(target);

        let first = key(&target);
        assert_eq!(first, key(&target));
        assert_ne!(first, key(&BpfTarget::new("aarch64", "little")));

        let linker = scratch.file("usr/bin/bpf-linker");
        let with_linker = key(&target);
        assert_ne!(first, with_linker);
        fs::write(&linker, "another").unwrap();
        assert_ne!(with_linker, key(&target));
        fs::remove_file(&linker).unwrap();
        assert_eq!(first, key(&target));
        fs::remove_file(core).unwrap();
        assert_ne!(first, key(&target));
    }
}
