//! Builds the kernel half; see `xtask::build_script`.

use std::process::ExitCode;

fn main() -> ExitCode {
    xtask::build_script::run()
}
