//! Operators (`pg_operator`). Manual: "pg_operator", "CREATE OPERATOR".
//!
//! A commutator or negator may come later in the script than the operator that names it: the server then makes a
//! shell of it, which the later CREATE OPERATOR completes. Shells that were never completed have no definition.

use super::catalog_query::{name_pair, read_all};
use super::named::{Named, NamedCatalog, NamedObject, function_name};
use super::{Kind, Oid, RenderContext, Rendered, catalog, quote};
use crate::Result;
use crate::conn::Session;

const OPERATORS: NamedCatalog = NamedCatalog {
    name: "pg_operator",
    prefix: "opr",
    in_schema: true,
    has_owner: true,
    acl_letter: None,
};

/// An operator.
#[derive(Clone, Debug)]
pub struct Operator {
    named: Named,
    /// As deparsed by the server; `None` of a prefix operator.
    left: Option<String>,
    /// As deparsed by the server; `None` of a postfix operator, of which there were some before 14.
    right: Option<String>,
    function: String,
    /// Schema and name.
    commutator: Option<(String, String)>,
    /// Schema and name.
    negator: Option<(String, String)>,
    restrict: Option<String>,
    join: Option<String>,
    can_merge: bool,
    can_hash: bool,
}

/// The name of an operator in SQL. The name itself cannot be quoted: it has no letters.
fn operator_name((schema, name): &(String, String)) -> String {
    format!("{}.{name}", quote::ident(schema))
}

impl Operator {
    fn name(&self) -> String {
        let schema = self.named.schema.clone().unwrap_or_default();
        operator_name(&(schema, self.named.name.clone()))
    }

    fn argument_types(&self) -> String {
        let one = |argument: &Option<String>| argument.clone().unwrap_or_else(|| "NONE".to_owned());
        format!("({}, {})", one(&self.left), one(&self.right))
    }

    fn options(&self) -> Vec<String> {
        let operator = |name: &Option<(String, String)>| {
            let name = name.as_ref()?;
            Some(format!("OPERATOR({})", operator_name(name)))
        };
        let valued = [
            ("PROCEDURE", Some(self.function.clone())),
            ("LEFTARG", self.left.clone()),
            ("RIGHTARG", self.right.clone()),
            ("COMMUTATOR", operator(&self.commutator)),
            ("NEGATOR", operator(&self.negator)),
            ("RESTRICT", self.restrict.clone()),
            ("JOIN", self.join.clone()),
        ];
        let flags = [("MERGES", self.can_merge), ("HASHES", self.can_hash)];
        valued
            .into_iter()
            .filter_map(|(option, value)| Some(format!("\n    {option} = {}", value?)))
            .chain(
                flags
                    .into_iter()
                    .filter(|(_, is_set)| *is_set)
                    .map(|(option, _)| format!("\n    {option}")),
            )
            .collect()
    }
}

impl NamedObject for Operator {
    const KIND: Kind = Kind::Operator;
    const CLASS: Oid = catalog::PG_OPERATOR;

    fn named(&self) -> &Named {
        &self.named
    }

    fn tag(&self) -> String {
        format!("{} {}", self.named.name, self.argument_types())
    }

    fn render(&self, _context: &RenderContext<'_>) -> Rendered {
        let signature = format!("{} {}", self.name(), self.argument_types());
        let object = format!("OPERATOR {signature}");
        Rendered {
            create: vec![format!(
                "CREATE OPERATOR {} ({}\n);",
                self.name(),
                self.options().join(",")
            )],
            drop: Some(format!("DROP OPERATOR IF EXISTS {signature};")),
            alter_owner: self.named.render_owner(&object),
            comments: self.named.render_comments(&object),
            ..Rendered::default()
        }
    }
}

pub(crate) async fn read(session: &Session) -> Result<Vec<Operator>> {
    let columns = format!(
        "pg_catalog.format_type(NULLIF(r.oprleft, 0), NULL) AS left_type, \
         pg_catalog.format_type(NULLIF(r.oprright, 0), NULL) AS right_type, \
         {} AS function, {} AS restrict_function, {} AS join_function, r.oprcanmerge, r.oprcanhash, \
         cn.nspname AS commutator_schema, c.oprname AS commutator, \
         gn.nspname AS negator_schema, g.oprname AS negator",
        function_name("r.oprcode"),
        function_name("r.oprrest"),
        function_name("r.oprjoin"),
    );
    let query = OPERATORS.query(
        &columns,
        "LEFT JOIN pg_catalog.pg_operator AS c ON c.oid = r.oprcom \
         LEFT JOIN pg_catalog.pg_namespace AS cn ON cn.oid = c.oprnamespace \
         LEFT JOIN pg_catalog.pg_operator AS g ON g.oid = r.oprnegate \
         LEFT JOIN pg_catalog.pg_namespace AS gn ON gn.oid = g.oprnamespace",
        "r.oprcode <> 0::pg_catalog.oid",
    );
    read_all(session, "operators", &query, |row| {
        Ok(Operator {
            named: Named::from_row(row)?,
            left: row.try_get("left_type")?,
            right: row.try_get("right_type")?,
            function: row.try_get("function")?,
            commutator: name_pair(row, "commutator_schema", "commutator")?,
            negator: name_pair(row, "negator_schema", "negator")?,
            restrict: row.try_get("restrict_function")?,
            join: row.try_get("join_function")?,
            can_merge: row.try_get("oprcanmerge")?,
            can_hash: row.try_get("oprcanhash")?,
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::super::named::tests::named;
    use super::*;
    use crate::conn::ServerVersion;

    #[test]
    fn a_prefix_operator_has_no_left_argument() {
        let operator = Operator {
            named: named(Some("s"), "!!"),
            left: None,
            right: Some("integer".to_owned()),
            function: "s.f".to_owned(),
            commutator: None,
            negator: Some(("s".to_owned(), "!!!".to_owned())),
            restrict: None,
            join: None,
            can_merge: false,
            can_hash: false,
        };
        let rendered = operator.render(&RenderContext {
            server: ServerVersion::major(15),
            separate: &crate::objects::OidSet::default(),
        });
        assert_eq!(
            rendered.create,
            [
                "CREATE OPERATOR \"s\".!! (\n    PROCEDURE = s.f,\n    RIGHTARG = integer,\n    \
             NEGATOR = OPERATOR(\"s\".!!!)\n);"
            ]
        );
        assert_eq!(
            rendered.drop.as_deref(),
            Some("DROP OPERATOR IF EXISTS \"s\".!! (NONE, integer);")
        );
    }
}
