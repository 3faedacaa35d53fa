//! The `pgstow` binary.

/// The catalogs of many tables are millions of small pieces, made and freed on all threads: that takes a sixth less of our CPU
/// than with glibc's allocator, and no more memory. All threads of musl's would wait for one lock. See `benches/PROFILE.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    pgstow::cli::run()
}
