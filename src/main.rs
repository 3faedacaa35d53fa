//! The `pgstow` binary.

/// The catalogs of many tables are millions of small pieces, made and freed on all threads: reading 10 000 tables takes three
/// quarters of the time that it takes with glibc's allocator, and less memory. All threads of musl's would wait for one lock.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    pgstow::cli::run()
}
