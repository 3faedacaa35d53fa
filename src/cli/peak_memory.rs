//! How much memory the process has needed at most.

/// The most memory that was resident at once since the process began, in bytes; `None` where the system does not tell
/// (`VmHWM` is Linux's).
pub(super) fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    of_status(&status)
}

fn of_status(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|it| it.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_told_in_bytes() {
        let status = "Name:\tpgstow\nVmPeak:\t  900 kB\nVmHWM:\t  12 kB\n";
        assert_eq!(of_status(status), Some(12 * 1024));
        assert_eq!(of_status("VmPeak:\t 900 kB\n"), None);
    }
}
