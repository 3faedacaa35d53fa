//! What an older server than the archive's does not know. Pure.
//!
//! Told in advance, by name, instead of a syntax error half-way. Manual: "Release Notes" of each major.

use crate::conn::ServerVersion;

use super::statement_words::{Token, has_words};

/// Something that came with a major version: the words that betray it, and how a person calls it.
struct Feature {
    since: u32,
    words: &'static [&'static str],
    name: &'static str,
}

const fn feature(since: u32, words: &'static [&'static str], name: &'static str) -> Feature {
    Feature { since, words, name }
}

const FEATURES: &[Feature] = &[
    feature(11, &["CREATE", "OR", "REPLACE", "PROCEDURE"], "procedures"),
    feature(11, &["INCLUDE"], "INCLUDE columns of indexes"),
    feature(11, &["PARTITION", "BY", "HASH"], "partitions by hash"),
    feature(11, &["FOR", "VALUES", "WITH"], "partitions by hash"),
    feature(12, &["STORED"], "generated columns"),
    feature(14, &["BEGIN", "ATOMIC"], "SQL functions with a parsed body"),
    feature(14, &["COMPRESSION"], "compression methods of columns"),
    feature(15, &["NULLS", "NOT", "DISTINCT"], "NULLS NOT DISTINCT"),
    feature(
        15,
        &["ADD", "TABLES", "IN", "SCHEMA"],
        "publications of schemas",
    ),
    feature(17, &["MAINTAIN"], "the privilege MAINTAIN"),
    feature(18, &["VIRTUAL"], "virtual generated columns"),
    feature(
        18,
        &["NOT", "ENFORCED"],
        "constraints that are not enforced",
    ),
    feature(18, &["WITHOUT", "OVERLAPS"], "keys without overlaps"),
];

/// What of a statement the server is too old for.
pub(crate) fn too_new_for(
    tokens: &[Token],
    server: ServerVersion,
) -> impl Iterator<Item = &'static str> {
    FEATURES
        .iter()
        .filter(move |feature| server < ServerVersion::major(feature.since))
        .filter(move |feature| has_words(tokens, feature.words))
        .map(|feature| feature.name)
}

#[cfg(test)]
mod tests {
    use super::super::statement_words::tokens;
    use super::*;

    #[test]
    fn newer_syntax_is_named_for_older_servers_only() {
        let sql = "ALTER TABLE ONLY \"s\".\"t\" ADD CONSTRAINT \"VIRTUAL\" UNIQUE NULLS NOT DISTINCT (\"a\");";
        let found = |major| -> Vec<&str> {
            too_new_for(&tokens(sql), ServerVersion::major(major)).collect()
        };
        assert_eq!(found(14), ["NULLS NOT DISTINCT"]);
        assert_eq!(found(15), [""; 0]);
    }
}
