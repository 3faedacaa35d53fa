//! HTTP clients. There is one TLS implementation in this program: rustls with ring.

use std::time::Duration;

use crate::{Error, Result};

/// Makes ring the process' TLS implementation. Clients that are built before this panic, so everybody
/// who builds one calls it first; again is fine.
pub fn install_tls() {
    // Err: installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A client for pings and webhooks. `timeout` is for a whole request; redirects are followed, proxies are
/// taken from the environment.
///
/// # Errors
/// `Io` if the system's certificates cannot be read.
pub fn http_client(timeout: Duration) -> Result<reqwest::Client> {
    install_tls();
    reqwest::Client::builder()
        .timeout(timeout)
        .connect_timeout(timeout.min(CONNECT_TIMEOUT))
        .user_agent(concat!("pgstow/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|e| {
            Error::new(crate::ErrorKind::Io, "could not prepare an HTTP client")
                .detail(e.to_string())
                .hint("Are CA certificates installed (package ca-certificates)?")
        })
}

/// Of one attempt.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
