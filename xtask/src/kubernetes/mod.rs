//! `cargo xtask kubernetes`: the watch of a cluster's API, tested against a real API server. Not a part
//! of `ci`, because that server takes ten minutes to build for the first time.

mod server;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Result;

use crate::{
    build::{self, Profile},
    setup, test, ui, usage,
};

/// The cargo features of the packages with the watch.
pub(crate) const FEATURES: &str = "monitor/kubernetes,tests/kubernetes";
/// The module of the tests.
const TESTS: &str = "live::cluster::";
/// What tells the tests where the servers are.
const ETCD: &str = "CREDWATCH_ETCD";
const API_SERVER: &str = "CREDWATCH_KUBE_APISERVER";

/// The command line's `kubernetes`.
pub(crate) fn command(workspace: &Path, args: &[String]) -> Result<ExitCode> {
    let mut profile = Profile::Release;
    let mut is_build_only = false;
    let mut names = Vec::new();
    for arg in args {
        match arg.as_str() {
            "--debug" => profile = Profile::Debug,
            "--build-only" => is_build_only = true,
            other if other.starts_with('-') => {
                return Err(usage(format!("kubernetes does not know `{other}`")));
            }
            name => names.push(format!("{TESTS}{name}")),
        }
    }
    setup::ensure(workspace, setup::Needs::KUBERNETES)?;
    let cache = cache(workspace);
    let etcd = server::etcd(&cache)?;
    let api_server = server::api_server(&cache)?;
    for file in [&etcd, &api_server] {
        eprintln!("  {}", file.display());
    }
    if is_build_only {
        return Ok(ExitCode::SUCCESS);
    }
    ui::heading("Building the daemon, with the watch");
    // Of both packages, so that the tests are not built with other features of the libraries.
    let packages = [
        "--package",
        "monitor",
        "--package",
        "tests",
        "--features",
        FEATURES,
    ];
    let daemon = build::daemon_with(workspace, profile, &packages)?;
    if names.is_empty() {
        names.push(TESTS.to_owned());
    }
    let report = test::run_one(
        workspace,
        &daemon,
        &[&packages[..], &["--test", "tests"]].concat(),
        &names,
        &[(ETCD, &etcd), (API_SERVER, &api_server)],
    )?;
    report.print();
    Ok(report.exit_code())
}

fn cache(workspace: &Path) -> PathBuf {
    build::target_dir(workspace).join("kubernetes")
}
