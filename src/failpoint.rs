//! Places at which a test can let the process die, as if by `kill -9`. In release builds there are none.

/// Dies here if `PGSTOW_FAILPOINT` names this place. For tests, in debug builds.
pub(crate) fn failpoint(place: &str) {
    #[cfg(debug_assertions)]
    if std::env::var_os("PGSTOW_FAILPOINT").is_some_and(|wanted| wanted == place) {
        std::process::abort();
    }
    #[cfg(not(debug_assertions))]
    let _ = place;
}
