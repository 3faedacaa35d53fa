//! Connection URIs: `postgresql://user:password@host1:5432,host2/db?sslmode=require`.
//!
//! Manual: "Connection Strings", "Connection URIs".

use percent_encoding::percent_decode_str;

const SCHEMES: [&str; 2] = ["postgresql://", "postgres://"];

/// Whether the text begins as a connection URI does.
pub(super) fn is_uri(text: &str) -> bool {
    SCHEMES.iter().any(|scheme| text.starts_with(scheme))
}

/// Splits a URI into keyword pairs. Several hosts and ports become lists with commas, as in
/// keyword strings. What the URI leaves empty is absent from the result.
/// The error is a factual line that never quotes a part of the URI, which may be a password.
pub(super) fn parse(uri: &str) -> Result<Vec<(String, String)>, String> {
    let rest = SCHEMES
        .iter()
        .find_map(|scheme| uri.strip_prefix(scheme))
        .ok_or("the connection URI does not begin with postgresql://")?;
    let mut pairs = Vec::new();
    let rest = match credentials(rest) {
        Some((user, password, rest)) => {
            push(&mut pairs, "user", user)?;
            push(&mut pairs, "password", password)?;
            rest
        }
        None => rest,
    };
    let end = host_list_end(rest)?;
    let (hosts, rest) = rest.split_at(end);
    // libpq would take a part of such a password for a port or a database, and show it.
    if hosts.contains('@') || (pairs.is_empty() && hosts.contains(':') && path(rest).contains('@'))
    {
        return Err(
            "a \"/\" or \"@\" in the user or password of a connection URI must be written %2F or %40"
                .to_owned(),
        );
    }
    let (hosts, ports) = split_hosts(hosts)?;
    push(&mut pairs, "host", &hosts)?;
    push(&mut pairs, "port", &ports)?;
    push(&mut pairs, "dbname", path(rest))?;
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    for parameter in query.split('&') {
        if !parameter.is_empty() {
            pairs.push(query_parameter(parameter)?);
        }
    }
    Ok(pairs)
}

/// User, password and what follows the "@", if there is one before the path.
pub(super) fn credentials(rest: &str) -> Option<(&str, &str, &str)> {
    let end = rest.find(['@', '/'])?;
    let after = rest[end..].strip_prefix('@')?;
    let (user, password) = rest[..end].split_once(':').unwrap_or((&rest[..end], ""));
    Some((user, password, after))
}

/// What stands between the host list's "/" and the query.
fn path(rest: &str) -> &str {
    let path = rest.split_once('?').map_or(rest, |(path, _)| path);
    path.strip_prefix('/').unwrap_or("")
}

/// Where the host list ends: at the path or the query, but not inside of brackets.
fn host_list_end(rest: &str) -> Result<usize, String> {
    let mut in_brackets = false;
    for (at, c) in rest.char_indices() {
        match c {
            '[' => in_brackets = true,
            ']' => in_brackets = false,
            '/' | '?' if !in_brackets => return Ok(at),
            _ => {}
        }
    }
    if in_brackets {
        return Err("missing \"]\" after an IPv6 address in the connection URI".to_owned());
    }
    Ok(rest.len())
}

/// The hosts and the ports, each as a list with commas; empty if all of them are.
fn split_hosts(list: &str) -> Result<(String, String), String> {
    let mut hosts = Vec::new();
    let mut ports = Vec::new();
    for element in list.split(',') {
        let (host, port) = match element.strip_prefix('[') {
            Some(bracketed) => {
                let (host, tail) = bracketed
                    .split_once(']')
                    .ok_or("missing \"]\" after an IPv6 address in the connection URI")?;
                if host.is_empty() {
                    return Err("empty IPv6 address in the connection URI".to_owned());
                }
                let port = match tail.strip_prefix(':') {
                    Some(port) => port,
                    None if tail.is_empty() => "",
                    None => {
                        return Err("unexpected text after \"]\" in the connection URI".to_owned());
                    }
                };
                (host, port)
            }
            None => element.split_once(':').unwrap_or((element, "")),
        };
        hosts.push(host);
        ports.push(port);
    }
    let join = |parts: Vec<&str>| match parts.iter().all(|part| part.is_empty()) {
        true => String::new(),
        false => parts.join(","),
    };
    Ok((join(hosts), join(ports)))
}

fn query_parameter(parameter: &str) -> Result<(String, String), String> {
    let (keyword, value) = parameter
        .split_once('=')
        .ok_or("missing \"=\" in a query parameter of the connection URI")?;
    if value.contains('=') {
        return Err("more than one \"=\" in a query parameter of the connection URI".to_owned());
    }
    let (keyword, value) = (decode(keyword)?, decode(value)?);
    // JDBC's spelling, which libpq accepts too.
    if keyword == "ssl" && value == "true" {
        return Ok(("sslmode".to_owned(), "require".to_owned()));
    }
    Ok((keyword, value))
}

fn push(pairs: &mut Vec<(String, String)>, keyword: &str, encoded: &str) -> Result<(), String> {
    if !encoded.is_empty() {
        pairs.push((keyword.to_owned(), decode(encoded)?));
    }
    Ok(())
}

fn decode(encoded: &str) -> Result<String, String> {
    let mut bytes = encoded.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next(), bytes.next()];
            if !digits
                .iter()
                .all(|d| d.is_some_and(|d| d.is_ascii_hexdigit()))
            {
                return Err(
                    "a \"%\" in the connection URI is not followed by two hexadecimal digits"
                        .to_owned(),
                );
            }
            if digits == [Some(b'0'); 2] {
                return Err("%00 is not allowed in a connection URI".to_owned());
            }
        }
    }
    percent_decode_str(encoded)
        .decode_utf8()
        .map(|text| text.into_owned())
        .map_err(|_| "the connection URI is not valid UTF-8 after decoding".to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn shown(uri: &str) -> String {
        parse(uri)
            .unwrap()
            .iter()
            .map(|(keyword, value)| format!("{keyword}={value}"))
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn the_manuals_examples_are_understood() {
        for (uri, expected) in [
            ("postgresql://", ""),
            ("postgresql://localhost", "host=localhost"),
            ("postgresql://localhost:5433", "host=localhost port=5433"),
            ("postgresql://localhost/mydb", "host=localhost dbname=mydb"),
            ("postgresql://user@localhost", "user=user host=localhost"),
            (
                "postgresql://user:secret@localhost",
                "user=user password=secret host=localhost",
            ),
            (
                "postgresql://other@localhost/otherdb?connect_timeout=10&application_name=myapp",
                "user=other host=localhost dbname=otherdb connect_timeout=10 application_name=myapp",
            ),
            (
                "postgresql://host1:123,host2:456/somedb?target_session_attrs=any&application_name=myapp",
                "host=host1,host2 port=123,456 dbname=somedb target_session_attrs=any application_name=myapp",
            ),
            (
                "postgresql:///mydb?host=localhost&port=5433",
                "dbname=mydb host=localhost port=5433",
            ),
            (
                "postgresql://[2001:db8::1234]/database",
                "host=2001:db8::1234 dbname=database",
            ),
            (
                "postgresql:///dbname?host=/var/lib/postgresql",
                "dbname=dbname host=/var/lib/postgresql",
            ),
            (
                "postgresql://%2Fvar%2Flib%2Fpostgresql/dbname",
                "host=/var/lib/postgresql dbname=dbname",
            ),
            (
                "postgresql://user@localhost:5433/mydb?options=-c%20synchronous_commit%3Doff",
                "user=user host=localhost port=5433 dbname=mydb options=-c synchronous_commit=off",
            ),
        ] {
            assert_eq!(shown(uri), expected, "{uri}");
        }
    }

    #[test]
    fn hosts_ports_and_names_may_be_left_out() {
        assert_eq!(shown("postgres://h1,h2:5433"), "host=h1,h2 port=,5433");
        assert_eq!(shown("postgres://:5433/db"), "port=5433 dbname=db");
        assert_eq!(shown("postgres://u@/db"), "user=u dbname=db");
        assert_eq!(
            shown("postgres://[::1]:1,[fe80::2],h:3?user=u"),
            "host=::1,fe80::2,h port=1,,3 user=u"
        );
    }

    #[test]
    fn percent_codes_are_decoded_in_every_part() {
        assert_eq!(
            shown("postgres://a%40b:p%3A%2Fw@h/d%20b?application%5Fname=x%26y"),
            "user=a@b password=p:/w host=h dbname=d b application_name=x&y"
        );
    }

    #[test]
    fn jdbc_ssl_is_sslmode_require() {
        assert_eq!(shown("postgres://h?ssl=true"), "host=h sslmode=require");
    }

    #[test]
    fn malformed_uris_are_refused_without_quoting_them() {
        for uri in [
            "postgres://u:secret%zz@h",
            "postgres://u:secret%4",
            "postgres://u:secret%00@h",
            "postgres://u:secret@[::1",
            "postgres://u:secret@[]",
            "postgres://u:secret@[::1]x",
            "postgres://u:secret/secret@h/db",
            "postgres://u:secret@secret@h/db",
            "postgres://u:secret@h?novalue",
            "postgres://u:secret@h?a=b=c",
        ] {
            let message = parse(uri).err().unwrap_or_else(|| panic!("{uri}"));
            assert!(!message.contains("secret"), "{message}");
        }
    }
}
