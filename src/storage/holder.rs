//! Who holds a lock, in words for whoever finds it taken.

/// One line about this process.
pub(super) fn describe() -> String {
    format!(
        "{PREFIX}, process {} on host {}, since {}\n",
        std::process::id(),
        host(),
        jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S UTC")
    )
}

/// Whether a lock file was written by [`describe`]: other programs' files are none of our business.
pub(super) fn is_ours(text: &str) -> bool {
    text.starts_with(PREFIX)
}

pub(super) fn host() -> String {
    whoami::hostname().unwrap_or_else(|_| "unknown".to_owned())
}

const PREFIX: &str = "pgstow";
