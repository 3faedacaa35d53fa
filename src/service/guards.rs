//! Who may ask: the token, the Host and the Origin of a request.
//!
//! Without a token the API listens on loopback alone, and a page in a browser of the same host must not be able to use it: a
//! foreign name that resolves to loopback shows in Host, a foreign page in Origin.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, StatusCode, header};

use crate::config::read_secret_file;
use crate::{Error, ErrorKind, Result};

/// The rules of one service.
#[derive(Clone)]
pub struct Guards {
    listen: SocketAddr,
    /// BLAKE3 of the token: comparing hashes takes the same time whatever differs.
    token: Option<blake3::Hash>,
}

impl Guards {
    /// Reads the token. An address that others can reach needs one.
    ///
    /// # Errors
    /// `Usage` if it has none, or others can read its file; `NotFound`, `Io`.
    pub fn new(listen: SocketAddr, token_file: Option<&std::path::Path>) -> Result<Guards> {
        let token = token_file.map(read_secret_file).transpose()?;
        if token.is_none() && !listen.ip().is_loopback() {
            return Err(Error::new(
                ErrorKind::Usage,
                format!("{listen} can be reached by others and there is no token"),
            )
            .hint("Give --token-file with a file that holds a long random word, or listen on 127.0.0.1."));
        }
        Ok(Guards {
            listen,
            token: token.map(|token| blake3::hash(token.as_bytes())),
        })
    }

    /// Lets a request pass, or tells why not.
    ///
    /// # Errors
    /// The status and the text for the client.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), (StatusCode, &'static str)> {
        let host = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok())
            .unwrap_or_default();
        if let Some(origin) = headers.get(header::ORIGIN) {
            let origin = origin.to_str().unwrap_or_default();
            let own = ["http://", "https://"].map(|scheme| format!("{scheme}{host}"));
            if host.is_empty() || !own.iter().any(|own| own == origin) {
                return Err((StatusCode::FORBIDDEN, "requests of other sites are refused"));
            }
        }
        match &self.token {
            Some(token) if is_bearer_of(headers, token) => Ok(()),
            Some(_) => Err((
                StatusCode::UNAUTHORIZED,
                "a token is needed: Authorization: Bearer TOKEN",
            )),
            None if self.is_own(host) => Ok(()),
            None => Err((
                StatusCode::FORBIDDEN,
                "this name is not one of the service: use localhost or 127.0.0.1",
            )),
        }
    }

    fn is_own(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let address = name.trim_start_matches('[').trim_end_matches(']');
        match address.parse::<IpAddr>() {
            Ok(address) => address.is_loopback() || address == self.listen.ip(),
            Err(_) => name.eq_ignore_ascii_case("localhost"),
        }
    }
}

fn is_bearer_of(headers: &HeaderMap, token: &blake3::Hash) -> bool {
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    given.is_some_and(|(_, given)| blake3::hash(given.trim().as_bytes()) == *token)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn status(guards: &Guards, headers: &[(&'static str, &str)]) -> u16 {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        guards
            .check(&headers)
            .map_or_else(|(s, _)| s.as_u16(), |()| 200)
    }

    #[test]
    fn without_a_token_only_own_names_and_pages_pass() {
        let guards = Guards::new("127.0.0.1:3000".parse().unwrap(), None).unwrap();
        for host in [
            "localhost:3000",
            "LOCALHOST",
            "127.0.0.1:3000",
            "[::1]:3000",
            "127.0.0.1",
        ] {
            assert_eq!(status(&guards, &[("host", host)]), 200, "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:3000",
            "localhost.evil.example",
            "",
            "10.0.0.1",
        ] {
            assert_eq!(status(&guards, &[("host", host)]), 403, "{host}");
        }
        assert_eq!(status(&guards, &[]), 403);
        let host = ("host", "localhost:3000");
        assert_eq!(
            status(&guards, &[host, ("origin", "http://localhost:3000")]),
            200
        );
        for origin in ["http://evil.example", "null", "http://localhost:4000"] {
            assert_eq!(
                status(&guards, &[host, ("origin", origin)]),
                403,
                "{origin}"
            );
        }
    }

    #[test]
    fn other_addresses_need_a_token() {
        let listen = "0.0.0.0:3000".parse().unwrap();
        assert_eq!(
            Guards::new(listen, None).err().unwrap().kind(),
            ErrorKind::Usage
        );
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, "sesame\n").unwrap();
        let readable = Guards::new(listen, Some(&file)).err().unwrap();
        assert_eq!(readable.kind(), ErrorKind::Usage);
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let guards = Guards::new(listen, Some(&file)).unwrap();
        let host = ("host", "backup.example");
        assert_eq!(status(&guards, &[host]), 401);
        assert_eq!(
            status(&guards, &[host, ("authorization", "Bearer sesam")]),
            401
        );
        assert_eq!(
            status(&guards, &[host, ("authorization", "Basic sesame")]),
            401
        );
        assert_eq!(
            status(&guards, &[host, ("authorization", "Bearer sesame")]),
            200
        );
    }
}
