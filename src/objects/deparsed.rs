//! Whose definitions the server is asked for. It opens, and so locks, the relations of each that it deparses: of what is
//! not dumped nothing is asked, or a dump would wait for locks that do not concern it.

use super::{Oid, OidSet};

/// Whose definitions are wanted. Those of others are empty, and rendered by nobody.
#[derive(Debug)]
pub(crate) enum Deparsed {
    /// All there are.
    Everything,
    /// Those of some.
    Chosen {
        /// Relations that are dumped, with what they inherit from and the sequences that belong to them.
        relations: OidSet<Oid>,
        /// Schemas whose functions are dumped.
        schemas: OidSet<Oid>,
    },
}

impl Deparsed {
    /// Whether definitions of this relation are wanted.
    pub(super) fn includes(&self, relation: Oid) -> bool {
        match self {
            Deparsed::Everything => true,
            Deparsed::Chosen { relations, .. } => relations.contains(&relation),
        }
    }

    /// SQL: whether definitions of the relation in this column are wanted.
    pub(super) fn is_wanted(&self, relation: &str) -> String {
        match self {
            Deparsed::Everything => "true".to_owned(),
            Deparsed::Chosen { relations, .. } => is_among(relation, relations),
        }
    }

    /// SQL: the expression, which deparses, if it is of a wanted relation; else an empty text.
    pub(super) fn of_relation(&self, relation: &str, expression: &str) -> String {
        match self {
            Deparsed::Everything => expression.to_owned(),
            Deparsed::Chosen { relations, .. } => {
                only_if(&is_among(relation, relations), expression)
            }
        }
    }

    /// SQL: the same of a function in a schema.
    pub(super) fn of_schema(&self, schema: &str, expression: &str) -> String {
        match self {
            Deparsed::Everything => expression.to_owned(),
            Deparsed::Chosen { schemas, .. } => only_if(&is_among(schema, schemas), expression),
        }
    }
}

/// As a subquery, for which the server makes a hash table; before 14 it goes through arrays one by one.
fn is_among(column: &str, oids: &OidSet<Oid>) -> String {
    let mut oids: Vec<u32> = oids.iter().map(|oid| oid.0).collect();
    oids.sort_unstable();
    let oids: Vec<String> = oids.iter().map(u32::to_string).collect();
    format!(
        "{column} IN (SELECT pg_catalog.unnest('{{{}}}'::pg_catalog.oid[]))",
        oids.join(",")
    )
}

fn only_if(condition: &str, expression: &str) -> String {
    format!("CASE WHEN {condition} THEN {expression} ELSE '' END")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_of_what_is_not_chosen_are_empty() {
        let chosen = Deparsed::Chosen {
            relations: [Oid(20_001), Oid(20_000)].into_iter().collect(),
            schemas: OidSet::default(),
        };
        assert!(chosen.includes(Oid(20_000)) && !chosen.includes(Oid(20_002)));
        assert_eq!(
            chosen.of_relation("c.oid", "f(c.oid)"),
            "CASE WHEN c.oid IN (SELECT pg_catalog.unnest('{20000,20001}'::pg_catalog.oid[])) THEN f(c.oid) ELSE '' END"
        );
        assert_eq!(
            chosen.of_schema("n.oid", "f(p.oid)"),
            "CASE WHEN n.oid IN (SELECT pg_catalog.unnest('{}'::pg_catalog.oid[])) THEN f(p.oid) ELSE '' END"
        );
        assert_eq!(
            Deparsed::Everything.of_relation("c.oid", "f(c.oid)"),
            "f(c.oid)"
        );
    }
}
