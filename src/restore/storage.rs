//! `--no-tablespaces` and `--no-table-access-method`: tables and indexes come back where, and as, the target makes them by default. Pure.

use std::borrow::Cow;

use crate::lexer::{StringSyntax, split};
use crate::objects::Kind;

use super::pieces::{Piece, pieces, replaced};

/// What of the storage of tables and indexes the archive does not decide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DefaultStorage {
    /// `--no-tablespaces`
    pub tablespaces: bool,
    /// `--no-table-access-method`
    pub access_methods: bool,
}

impl DefaultStorage {
    /// The statements of an entry of this kind without the clauses, and without the statements that do nothing else.
    pub(super) fn rewrite<'a>(
        self,
        sql: Cow<'a, str>,
        kind: Kind,
        strings: StringSyntax,
    ) -> Cow<'a, str> {
        let is_table = matches!(kind, Kind::Table | Kind::MaterializedView);
        match is_table || matches!(kind, Kind::Index | Kind::Constraint) {
            true => self.leave_out(sql, is_table, strings),
            false => sql,
        }
    }

    /// The same of statements that may have such clauses. `is_table`: USING names the access method of a table.
    pub(super) fn leave_out<'a>(
        self,
        sql: Cow<'a, str>,
        is_table: bool,
        strings: StringSyntax,
    ) -> Cow<'a, str> {
        if self == DefaultStorage::default() {
            return sql;
        }
        // What cannot be read is refused where it is run.
        let Ok(statements) = split(&sql, strings) else {
            return sql;
        };
        let changes = statements.into_iter().map(|range| {
            let left = self.rewrite_one(&sql[range.clone()], is_table, strings);
            (range, left)
        });
        Cow::Owned(replaced(&sql, changes))
    }

    fn rewrite_one(self, sql: &str, is_table: bool, strings: StringSyntax) -> String {
        let Some(pieces) = pieces(sql, strings) else {
            return sql.to_owned();
        };
        let outside: Vec<&Piece<'_>> = pieces.iter().filter(|piece| piece.depth == 0).collect();
        if self.is_about_storage(&outside) {
            return String::new();
        }
        let mut gone = Vec::new();
        // Behind these words stand a query or a condition.
        let clauses = outside
            .iter()
            .position(|piece| piece.is("AS") || piece.is("WHERE"));
        let clauses = &outside[..clauses.unwrap_or(outside.len())];
        for (at, piece) in clauses.iter().enumerate() {
            // CREATE DATABASE has an equals sign before it.
            let name = clauses[at + 1..].iter().find(|piece| piece.text != "=");
            let Some(name) = name else {
                break;
            };
            let start = match at {
                _ if self.access_methods && is_table && piece.is("USING") => piece.start,
                2.. if self.tablespaces
                    && piece.is("TABLESPACE")
                    && clauses[at - 1].is("INDEX")
                    && clauses[at - 2].is("USING") =>
                {
                    clauses[at - 2].start
                }
                _ if self.tablespaces && piece.is("TABLESPACE") => piece.start,
                _ => continue,
            };
            gone.push((sql[..start].trim_end().len()..name.end, String::new()));
        }
        replaced(sql, gone)
    }

    /// `SET default_tablespace`, `ALTER INDEX ... SET TABLESPACE` and their like.
    fn is_about_storage(self, outside: &[&Piece<'_>]) -> bool {
        let is = |at: usize, word: &str| outside.get(at).is_some_and(|piece| piece.is(word));
        let begins_with = |first: &str, second: &str| is(0, first) && is(1, second);
        let sets = |word: &str| {
            is(0, "ALTER") && (1..outside.len()).any(|at| is(at, "SET") && is(at + 1, word))
        };
        (self.tablespaces && (begins_with("SET", "default_tablespace") || sets("TABLESPACE")))
            || (self.access_methods
                && (begins_with("SET", "default_table_access_method") || sets("ACCESS")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(sql: &str, kind: Kind) -> String {
        let storage = DefaultStorage {
            tablespaces: true,
            access_methods: true,
        };
        let left = storage.rewrite(sql.into(), kind, StringSyntax::Standard);
        left.into_owned()
    }

    #[test]
    fn clauses_go_and_nothing_that_looks_like_them() {
        for (kind, sql, left) in [
            (
                Kind::Table,
                "CREATE TABLE s.t (\n    tablespace text DEFAULT 'TABLESPACE x'\n) PARTITION BY RANGE (tablespace) USING \"a m\" WITH (fillfactor=10) TABLESPACE \"x y\";",
                "CREATE TABLE s.t (\n    tablespace text DEFAULT 'TABLESPACE x'\n) PARTITION BY RANGE (tablespace) WITH (fillfactor=10);",
            ),
            (
                Kind::MaterializedView,
                "CREATE MATERIALIZED VIEW s.v USING am TABLESPACE x AS\n SELECT tablespace\n   FROM a JOIN b USING (c)\n  WITH NO DATA;",
                "CREATE MATERIALIZED VIEW s.v AS\n SELECT tablespace\n   FROM a JOIN b USING (c)\n  WITH NO DATA;",
            ),
            (
                Kind::Index,
                "CREATE INDEX i ON s.t USING btree (a) TABLESPACE x WHERE tablespace;\nALTER INDEX s.i SET TABLESPACE x;",
                "CREATE INDEX i ON s.t USING btree (a) WHERE tablespace;\n",
            ),
            (
                Kind::Constraint,
                "ALTER TABLE ONLY s.t ADD CONSTRAINT c EXCLUDE USING gist (a WITH =) USING INDEX TABLESPACE x DEFERRABLE;",
                "ALTER TABLE ONLY s.t ADD CONSTRAINT c EXCLUDE USING gist (a WITH =) DEFERRABLE;",
            ),
            (
                Kind::Table,
                "SET default_tablespace = x;\nSET default_table_access_method = am;\nCREATE TABLE s.t (a int);\nALTER TABLE s.t SET ACCESS METHOD am;",
                "\n\nCREATE TABLE s.t (a int);\n",
            ),
        ] {
            assert_eq!(both(sql, kind), left);
        }
    }

    #[test]
    fn a_database_comes_into_the_default_tablespace() {
        let storage = DefaultStorage {
            tablespaces: true,
            access_methods: false,
        };
        let sql = "CREATE DATABASE d WITH TEMPLATE = template0 TABLESPACE = x LOCALE = 'C';";
        assert_eq!(
            storage.leave_out(sql.into(), false, StringSyntax::Standard),
            "CREATE DATABASE d WITH TEMPLATE = template0 LOCALE = 'C';"
        );
    }

    #[test]
    fn what_is_not_asked_for_stays() {
        let sql = "CREATE TABLE t (a int) USING am TABLESPACE x;";
        let only = |tablespaces, access_methods| {
            let storage = DefaultStorage {
                tablespaces,
                access_methods,
            };
            storage
                .rewrite(sql.into(), Kind::Table, StringSyntax::Standard)
                .into_owned()
        };
        assert_eq!(only(false, false), sql);
        assert_eq!(only(true, false), "CREATE TABLE t (a int) USING am;");
        assert_eq!(only(false, true), "CREATE TABLE t (a int) TABLESPACE x;");
        assert_eq!(both(sql, Kind::View), sql);
    }
}
