//! Settings of newer servers that say what an older one does anyway. Every script of pg_dump 17 and later begins with one, whatever
//! server it is for. Pure.

use crate::conn::ServerVersion;

/// A setting, the value with which a server is as one that lacks it, and the first major that has it. Manual: "Release Notes".
const NEWER: &[(&str, &str, u32)] = &[
    ("transaction_timeout", "0", 17),
    ("default_table_access_method", "heap", 12),
];

/// The setting that a statement of the form `SET name = value;` makes, if the server does not have it and is as if it had.
pub(super) fn is_as_set(statement: &[u8], server: ServerVersion) -> Option<&'static str> {
    let text = std::str::from_utf8(statement).ok()?.strip_suffix(';')?;
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let [set, name, "=", value] = words[..] else {
        return None;
    };
    let is_meant = |(newer, inert, since): &&(&str, &str, u32)| {
        name == *newer && value == *inert && server < ServerVersion::major(*since)
    };
    let setting = NEWER.iter().find(is_meant)?;
    set.eq_ignore_ascii_case("SET").then_some(setting.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_nothing_on_an_older_server_is_as_set() {
        let told = |text: &str, major| is_as_set(text.as_bytes(), ServerVersion::major(major));
        let off = "SET transaction_timeout = 0;";
        assert_eq!(told(off, 16), Some("transaction_timeout"));
        assert_eq!(told(off, 17), None);
        for other in [
            "SET transaction_timeout = 5;",
            "SET statement_timeout = 0;",
            "SET other = 0;",
            "SELECT 1;",
        ] {
            assert_eq!(told(other, 16), None, "{other}");
        }
        let heap = "SET default_table_access_method = heap;";
        assert!(told(heap, 11).is_some() && told(heap, 12).is_none());
    }
}
