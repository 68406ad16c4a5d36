//! The one binary; what it does is in `certwright::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    certwright::cli::run()
}
