//! Functions, procedures, window and trigger functions (`pg_proc`). Manual: "pg_proc".
//! Aggregates are in [`Aggregate`](super::Aggregate); constructors of range types belong to those.

use super::acl::{Acl, AclTarget, GrantKind};
use super::catalog_query::{comment_join, is_no_member, is_users_schema, read_all, unexpected};
use super::deparsed::Deparsed;
use super::plain_definition::Deparser;
use super::{DumpObject, Kind, ObjectId, Oid, RenderContext, Rendered, Section, catalog, quote};
use crate::conn::{ServerVersion, Session};
use crate::{Result, lexer};

/// A function or procedure.
#[derive(Clone, Debug)]
pub struct Function {
    oid: Oid,
    schema: String,
    name: String,
    /// What identifies it among those of its name, as deparsed by the server.
    identity_arguments: String,
    is_procedure: bool,
    owner: String,
    acl: Acl,
    comment: Option<String>,
    /// `CREATE FUNCTION ...` as deparsed by the server, without a semicolon.
    definition: String,
    /// Estimates as the planner has them, and whether it is called for rows at all.
    cost: f32,
    rows: Option<f32>,
    /// Extensions that take it along when they are dropped (`ALTER ... DEPENDS ON EXTENSION`).
    depends_on_extensions: Vec<String>,
}

impl DumpObject for Function {
    fn kind(&self) -> Kind {
        if self.is_procedure {
            Kind::Procedure
        } else {
            Kind::Function
        }
    }

    fn id(&self) -> ObjectId {
        ObjectId::definition(catalog::PG_PROC, self.oid)
    }

    fn schema(&self) -> Option<&str> {
        Some(&self.schema)
    }

    fn tag(&self) -> String {
        format!("{}({})", self.name, self.identity_arguments)
    }

    fn owner(&self) -> Option<&str> {
        Some(&self.owner)
    }

    fn section(&self) -> Section {
        Section::PreData
    }

    fn render(&self, context: &RenderContext<'_>) -> Rendered {
        let word = if self.is_procedure {
            "PROCEDURE"
        } else {
            "FUNCTION"
        };
        let signature = format!(
            "{}({})",
            quote::qualified(&self.schema, &self.name),
            self.identity_arguments
        );
        let object = format!("{word} {signature}");
        let mut create = vec![format!("{};", self.definition)];
        create.extend(self.render_estimates(&object));
        create.extend(self.depends_on_extensions.iter().map(|extension| {
            format!(
                "ALTER {object} DEPENDS ON EXTENSION {};",
                quote::ident(extension)
            )
        }));
        Rendered {
            create,
            drop: Some(format!("DROP {word} IF EXISTS {signature};")),
            alter_owner: Some(format!(
                "ALTER {object} OWNER TO {};",
                quote::ident(&self.owner)
            )),
            comments: self
                .comment
                .iter()
                .map(|text| quote::comment_on(&object, text))
                .collect(),
            acl: self.acl.render(
                &AclTarget::new(GrantKind::Routine, &object),
                &self.owner,
                context.server,
            ),
        }
    }
}

impl Function {
    /// The server deparses them with six digits.
    fn render_estimates(&self, object: &str) -> Option<String> {
        let is_exact = |estimate: f32| format!("{estimate:.5e}").parse() == Ok(estimate);
        let mut rounded = String::new();
        if !is_exact(self.cost) {
            rounded.push_str(&format!(" COST {}", self.cost));
        }
        if let Some(rows) = self.rows.filter(|rows| !is_exact(*rows)) {
            rounded.push_str(&format!(" ROWS {rows}"));
        }
        (!rounded.is_empty()).then(|| format!("ALTER {object}{rounded};"))
    }
}

/// What the server deparses replaces a function of the same name and arguments; ours must fail on it.
fn without_replace(deparsed: &str) -> Option<String> {
    let rest = deparsed.strip_prefix("CREATE OR REPLACE ")?;
    Some(format!("CREATE {}", rest.trim_end_matches('\n')))
}

fn functions_query(server: ServerVersion, deparsed: &Deparsed) -> String {
    // prokind came with 11, along with procedures.
    let (is_procedure, is_aggregate) = if server >= ServerVersion::major(11) {
        ("p.prokind = 'p'", "p.prokind = 'a'")
    } else {
        ("false", "p.proisagg")
    };
    format!(
        "SELECT p.oid, n.nspname, p.proname, {is_procedure} AS is_procedure, \
         pg_catalog.pg_get_userbyid(p.proowner) AS owner, p.proacl::pg_catalog.text[] AS acl, \
         pg_catalog.acldefault('f', p.proowner)::pg_catalog.text[] AS acl_default, \
         comment.description, \
         pg_catalog.pg_get_function_identity_arguments(p.oid) AS identity_arguments, \
         {definition} AS definition, \
         p.procost, CASE WHEN p.proretset THEN p.prorows END AS prorows, \
         ARRAY(SELECT e.extname::pg_catalog.text FROM pg_catalog.pg_depend AS x \
           JOIN pg_catalog.pg_extension AS e ON e.oid = x.refobjid \
           WHERE x.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND x.objid = p.oid \
           AND x.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass \
           AND x.deptype = 'x' ORDER BY e.extname) AS extensions \
         FROM pg_catalog.pg_proc AS p \
         JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace {comment} \
         WHERE NOT {is_aggregate} AND {users} AND {users_schema} \
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS i \
           WHERE i.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass \
           AND i.objid = p.oid AND i.deptype = 'i') \
         ORDER BY n.nspname, p.proname, identity_arguments",
        definition = deparsed.of_schema("n.oid", "pg_catalog.pg_get_functiondef(p.oid)"),
        comment = comment_join("pg_proc", "p"),
        users = is_no_member("pg_proc", "p"),
        users_schema = is_users_schema("n"),
    )
}

pub(crate) async fn read(session: &Session, deparser: &Deparser) -> Result<Vec<Function>> {
    let query = functions_query(session.version(), deparser.deparsed());
    read_all(session, "functions", &query, |row| {
        let name: String = row.try_get("proname")?;
        let deparsed: &str = row.try_get("definition")?;
        let definition = match deparsed {
            "" => String::new(),
            _ => without_replace(deparsed)
                .ok_or_else(|| unexpected(&format!("function {name}"), "definition", deparsed))?,
        };
        let definition = lexer::quote_names_spelled_begin(&definition).into_owned();
        Ok(Function {
            oid: row.try_get("oid")?,
            schema: row.try_get("nspname")?,
            name,
            identity_arguments: row.try_get("identity_arguments")?,
            is_procedure: row.try_get("is_procedure")?,
            owner: row.try_get("owner")?,
            acl: Acl::from_row(row)?,
            comment: row.try_get("description")?,
            definition,
            cost: row.try_get("procost")?,
            rows: row.try_get("prorows")?,
            depends_on_extensions: row.try_get("extensions")?,
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_procedure_is_called_one_everywhere() {
        let procedure = Function {
            oid: Oid(20000),
            schema: "s".to_owned(),
            name: "p\"".to_owned(),
            identity_arguments: "IN a integer".to_owned(),
            is_procedure: true,
            owner: "o".to_owned(),
            acl: Acl::default(),
            comment: Some("c".to_owned()),
            definition: "CREATE PROCEDURE s.\"p\"\"\"(IN a integer) ...".to_owned(),
            cost: 100.0,
            rows: None,
            depends_on_extensions: vec!["e".to_owned()],
        };
        let rendered = procedure.render(&RenderContext {
            server: ServerVersion::major(15),
            separate: &crate::objects::OidSet::default(),
        });
        let signature = "PROCEDURE \"s\".\"p\"\"\"(IN a integer)";
        assert_eq!(
            rendered.create[1],
            format!("ALTER {signature} DEPENDS ON EXTENSION \"e\";")
        );
        assert_eq!(
            rendered.drop,
            Some("DROP PROCEDURE IF EXISTS \"s\".\"p\"\"\"(IN a integer);".to_owned())
        );
        assert_eq!(
            rendered.comments,
            [format!("COMMENT ON {signature} IS 'c';")]
        );
        assert_eq!(procedure.tag(), "p\"(IN a integer)");
    }

    #[test]
    fn nothing_is_replaced() {
        assert_eq!(
            without_replace("CREATE OR REPLACE FUNCTION s.f()\nAS $function$ $function$\n")
                .as_deref(),
            Some("CREATE FUNCTION s.f()\nAS $function$ $function$")
        );
        assert_eq!(without_replace("something else"), None);
    }
}
