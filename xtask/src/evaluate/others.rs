//! Detectors of others: AMiner from Debian's package, half-space trees and robust random cut forests
//! from the Python Package Index. Nothing is installed on the machine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use crate::{
    apt::{Apt, DEBIAN, Holds, debian_keys, unpack},
    process,
};

/// The release that has AMiner 2.6, for its Python.
const SUITE: &str = "bookworm";
/// AMiner, and what it imports besides the standard library.
const PACKAGES: [&str; 2] = ["logdata-anomaly-miner", "python3-pylibacl"];
/// What runs the two kinds of trees, and all that this needs.
const PINNED: [&str; 5] = [
    "river==0.26.1",
    "rrcf==0.4.4",
    "numpy==2.4.6",
    "scipy==1.17.1",
    "narwhals==2.29.0",
];

/// They, ready to run.
pub(super) struct Others {
    scripts: PathBuf,
    tree: PathBuf,
    python: PathBuf,
}

impl Others {
    /// Fetches what is not there yet.
    ///
    /// # Errors
    /// When it cannot be had.
    pub(super) fn ready(workspace: &Path, work: &Path) -> Result<Self> {
        let tree = work.join("aminer");
        if !tree.join("done").is_file() {
            let (keys, from) = (debian_keys()?, (DEBIAN, SUITE));
            let apt = Apt::updated(work.join("apt"), &keys, from, Holds::Packages)?;
            let packages = PACKAGES.map(str::to_owned);
            for file in apt.download(&packages, &work.join("packages"))? {
                unpack(&file, &tree)?;
            }
            fs::write(tree.join("done"), "")?;
        }
        let environment = work.join("python");
        // Named by its versions, so that others are not taken for these.
        let done = environment.join(PINNED.join("+"));
        let python = environment.join("bin/python");
        if !done.is_file() {
            let mut make = Command::new("python3");
            make.args(["-m", "venv", "--clear"]).arg(&environment);
            process::run_quietly("Making a Python environment", &mut make)?;
            let mut install = Command::new(&python);
            install
                .args(["-m", "pip", "install", "--quiet"])
                .args(PINNED);
            process::run_quietly("Installing river and rrcf there", &mut install)?;
            fs::write(done, "")?;
        }
        Ok(Self {
            scripts: workspace.join("xtask/evaluate"),
            tree,
            python,
        })
    }

    /// Runs all of them over exported events, and gives the files of their alerts.
    ///
    /// # Errors
    /// When one fails, with its last words.
    pub(super) fn run(
        &self,
        events: &Path,
        work: &Path,
        window: &str,
        budgets: &str,
        development: &str,
    ) -> Result<Vec<PathBuf>> {
        let aminer = events.with_extension("aminer.jsonl");
        let mut command = self.script("aminer.py");
        command.args([events, &aminer, &self.tree, &work.join("aminer-run")]);
        process::run_quietly("AMiner", &mut command)?;
        let trees = events.with_extension("trees.jsonl");
        let mut command = self.script("trees.py");
        command
            .args([events, &trees])
            .args([window, budgets, development]);
        process::run_quietly("Half-space trees and random cut forests", &mut command)?;
        Ok(vec![aminer, trees])
    }

    fn script(&self, name: &str) -> Command {
        let mut command = Command::new(&self.python);
        // Beside other work; and no bytecode among the sources.
        command.arg("-B").arg(self.scripts.join(name));
        command
    }
}
