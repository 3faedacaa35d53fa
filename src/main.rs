//! The `pgstow` binary.

fn main() -> std::process::ExitCode {
    pgstow::cli::run()
}
