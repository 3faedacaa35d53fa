//! Aggregates (`pg_proc`, `pg_aggregate`). Manual: "pg_aggregate", "CREATE AGGREGATE".

use super::acl::{Acl, AclTarget, GrantKind};
use super::catalog_query::{
    Row, RowError, comment_join, is_no_member, is_users_schema, read_all, unexpected,
};
use super::named::function_name;
use super::relation::{extensions_expression, render_depends_on_extensions};
use super::{DumpObject, Kind, ObjectId, Oid, RenderContext, Rendered, Section, catalog, quote};
use crate::Result;
use crate::conn::{ServerVersion, Session};

/// An aggregate.
#[derive(Clone, Debug)]
pub struct Aggregate {
    oid: Oid,
    schema: String,
    name: String,
    /// Between the parentheses, ORDER BY of ordered-set aggregates included, as deparsed by the
    /// server; empty for an aggregate like `count(*)`.
    arguments: String,
    /// The types alone, as GRANT wants them.
    argument_types: String,
    owner: String,
    acl: Acl,
    comment: Option<String>,
    /// Of CREATE AGGREGATE, rendered, in the manual's order.
    options: Vec<String>,
    /// Of ALTER ROUTINE ... DEPENDS ON EXTENSION.
    extensions: Vec<String>,
}

impl Aggregate {
    fn arguments(&self) -> &str {
        if self.arguments.is_empty() {
            "*"
        } else {
            &self.arguments
        }
    }
}

impl DumpObject for Aggregate {
    fn kind(&self) -> Kind {
        Kind::Aggregate
    }

    fn id(&self) -> ObjectId {
        ObjectId::definition(catalog::PG_PROC, self.oid)
    }

    fn schema(&self) -> Option<&str> {
        Some(&self.schema)
    }

    fn tag(&self) -> String {
        format!("{}({})", self.name, self.arguments())
    }

    fn owner(&self) -> Option<&str> {
        Some(&self.owner)
    }

    fn section(&self) -> Section {
        Section::PreData
    }

    fn render(&self, context: &RenderContext<'_>) -> Rendered {
        let name = quote::qualified(&self.schema, &self.name);
        let signature = format!("{name}({})", self.arguments());
        let object = format!("AGGREGATE {signature}");
        // GRANT takes aggregates for functions: it knows neither `*` nor ORDER BY.
        let routine = format!("FUNCTION {name}({})", self.argument_types);
        let mut create = vec![format!(
            "CREATE {object} (\n    {}\n);",
            self.options.join(",\n    ")
        )];
        create.extend(render_depends_on_extensions(&routine, &self.extensions));
        Rendered {
            create,
            drop: Some(format!("DROP AGGREGATE IF EXISTS {signature};")),
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
                &AclTarget::new(GrantKind::Routine, &routine),
                &self.owner,
                context.server,
            ),
        }
    }
}

fn aggregates_query(server: ServerVersion) -> String {
    // Whether final functions change the state came with 11; NULL is the default.
    let modify = |column: &str| {
        if server >= ServerVersion::major(11) {
            format!(
                "NULLIF({column}, CASE a.aggkind WHEN 'n' THEN 'r' ELSE 'w' END::pg_catalog.\"char\")\
                 ::pg_catalog.text"
            )
        } else {
            "NULL::pg_catalog.text".to_owned()
        }
    };
    format!(
        "SELECT p.oid, n.nspname, p.proname, \
         pg_catalog.pg_get_userbyid(p.proowner) AS owner, p.proacl::pg_catalog.text[] AS acl, \
         pg_catalog.acldefault('f', p.proowner)::pg_catalog.text[] AS acl_default, \
         comment.description, \
         pg_catalog.pg_get_function_identity_arguments(p.oid) AS arguments, \
         ARRAY(SELECT pg_catalog.format_type(arg.type, NULL) \
           FROM pg_catalog.unnest(p.proargtypes) WITH ORDINALITY AS arg (type, position) \
           ORDER BY arg.position) AS argument_types, \
         a.aggkind::pg_catalog.text, p.proparallel::pg_catalog.text, \
         {extensions} AS extensions, {sfunc} AS sfunc, pg_catalog.format_type(a.aggtranstype, NULL) AS stype, a.aggtransspace, \
         {finalfunc} AS finalfunc, a.aggfinalextra, {finalmodify} AS finalfunc_modify, \
         {combinefunc} AS combinefunc, {serialfunc} AS serialfunc, {deserialfunc} AS deserialfunc, \
         a.agginitval, {msfunc} AS msfunc, {minvfunc} AS minvfunc, \
         pg_catalog.format_type(NULLIF(a.aggmtranstype, 0), NULL) AS mstype, a.aggmtransspace, \
         {mfinalfunc} AS mfinalfunc, a.aggmfinalextra, {mfinalmodify} AS mfinalfunc_modify, \
         a.aggminitval, son.nspname AS sortop_schema, so.oprname::pg_catalog.text AS sortop \
         FROM pg_catalog.pg_proc AS p \
         JOIN pg_catalog.pg_aggregate AS a ON a.aggfnoid = p.oid \
         JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace \
         LEFT JOIN pg_catalog.pg_operator AS so ON so.oid = a.aggsortop \
         LEFT JOIN pg_catalog.pg_namespace AS son ON son.oid = so.oprnamespace {comment} \
         WHERE {users} AND {users_schema} ORDER BY n.nspname, p.proname, arguments",
        extensions = extensions_expression("pg_proc", "p.oid"),
        sfunc = function_name("a.aggtransfn"),
        finalfunc = function_name("a.aggfinalfn"),
        finalmodify = modify("a.aggfinalmodify"),
        combinefunc = function_name("a.aggcombinefn"),
        serialfunc = function_name("a.aggserialfn"),
        deserialfunc = function_name("a.aggdeserialfn"),
        msfunc = function_name("a.aggmtransfn"),
        minvfunc = function_name("a.aggminvtransfn"),
        mfinalfunc = function_name("a.aggmfinalfn"),
        mfinalmodify = modify("a.aggmfinalmodify"),
        comment = comment_join("pg_proc", "p"),
        users = is_no_member("pg_proc", "p"),
        users_schema = is_users_schema("n"),
    )
}

pub(crate) async fn read(session: &Session) -> Result<Vec<Aggregate>> {
    let query = aggregates_query(session.version());
    read_all(session, "aggregates", &query, |row| {
        let argument_types: Vec<String> = row.try_get("argument_types")?;
        Ok(Aggregate {
            oid: row.try_get("oid")?,
            schema: row.try_get("nspname")?,
            name: row.try_get("proname")?,
            arguments: row.try_get("arguments")?,
            argument_types: argument_types.join(", "),
            owner: row.try_get("owner")?,
            acl: Acl::from_row(row)?,
            comment: row.try_get("description")?,
            options: options(row)?,
            extensions: row.try_get("extensions")?,
        })
    })
    .await
}

/// The options that are set, in the manual's order. Function and type names are the server's.
fn options(row: &Row) -> Result<Vec<String>, RowError> {
    let object = format!("aggregate {}", row.try_get::<_, &str>("proname")?);
    let text = |option: &str, column: &str| {
        let value: Option<&str> = row.try_get(column)?;
        Ok::<_, RowError>(value.map(|value| format!("{option} = {value}")))
    };
    let literal = |option: &str, column: &str| {
        let value: Option<&str> = row.try_get(column)?;
        Ok::<_, RowError>(value.map(|value| format!("{option} = {}", quote::literal(value))))
    };
    let space = |option: &str, column: &str| {
        let value: i32 = row.try_get(column)?;
        Ok::<_, RowError>((value != 0).then(|| format!("{option} = {value}")))
    };
    let flag = |option: &str, column: &str| {
        let value: bool = row.try_get(column)?;
        Ok::<_, RowError>(value.then(|| option.to_owned()))
    };
    let modify = |option: &str, column: &str| {
        let value: Option<&str> = row.try_get(column)?;
        value
            .map(|value| match value {
                "r" => Ok(format!("{option} = READ_ONLY")),
                "s" => Ok(format!("{option} = SHAREABLE")),
                "w" => Ok(format!("{option} = READ_WRITE")),
                other => Err(RowError::from(unexpected(&object, option, other))),
            })
            .transpose()
    };
    let sort_schema: Option<&str> = row.try_get("sortop_schema")?;
    let sort_name: Option<&str> = row.try_get("sortop")?;
    let sort_operator = sort_schema
        .zip(sort_name)
        .map(|(schema, name)| format!("SORTOP = OPERATOR({}.{name})", quote::ident(schema)));
    let parallel = match row.try_get("proparallel")? {
        "u" => None,
        "r" => Some("PARALLEL = RESTRICTED".to_owned()),
        "s" => Some("PARALLEL = SAFE".to_owned()),
        other => return Err(unexpected(&object, "proparallel", other).into()),
    };
    let hypothetical = match row.try_get("aggkind")? {
        "n" | "o" => None,
        "h" => Some("HYPOTHETICAL".to_owned()),
        other => return Err(unexpected(&object, "aggkind", other).into()),
    };
    Ok([
        text("SFUNC", "sfunc")?,
        text("STYPE", "stype")?,
        space("SSPACE", "aggtransspace")?,
        text("FINALFUNC", "finalfunc")?,
        flag("FINALFUNC_EXTRA", "aggfinalextra")?,
        modify("FINALFUNC_MODIFY", "finalfunc_modify")?,
        text("COMBINEFUNC", "combinefunc")?,
        text("SERIALFUNC", "serialfunc")?,
        text("DESERIALFUNC", "deserialfunc")?,
        literal("INITCOND", "agginitval")?,
        text("MSFUNC", "msfunc")?,
        text("MINVFUNC", "minvfunc")?,
        text("MSTYPE", "mstype")?,
        space("MSSPACE", "aggmtransspace")?,
        text("MFINALFUNC", "mfinalfunc")?,
        flag("MFINALFUNC_EXTRA", "aggmfinalextra")?,
        modify("MFINALFUNC_MODIFY", "mfinalfunc_modify")?,
        literal("MINITCOND", "aggminitval")?,
        sort_operator,
        parallel,
        hypothetical,
    ]
    .into_iter()
    .flatten()
    .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(arguments: &str, argument_types: &str) -> Rendered {
        let aggregate = Aggregate {
            oid: Oid(20000),
            schema: "s".to_owned(),
            name: "a".to_owned(),
            arguments: arguments.to_owned(),
            argument_types: argument_types.to_owned(),
            owner: "o".to_owned(),
            acl: Acl::new(
                Some(&["u=X/o".to_owned(), "o=X/o".to_owned()]),
                &["o=X/o".to_owned()],
            )
            .expect("these are the forms of the manual"),
            comment: None,
            options: vec!["SFUNC = s.f".to_owned(), "STYPE = bigint".to_owned()],
            extensions: Vec::new(),
        };
        aggregate.render(&RenderContext {
            server: ServerVersion::major(15),
            separate: &crate::objects::OidSet::default(),
        })
    }

    #[test]
    fn no_arguments_are_a_star_except_for_grant() {
        let rendered = render("", "");
        assert_eq!(
            rendered.create,
            ["CREATE AGGREGATE \"s\".\"a\"(*) (\n    SFUNC = s.f,\n    STYPE = bigint\n);"]
        );
        assert_eq!(
            rendered.acl,
            ["GRANT ALL ON FUNCTION \"s\".\"a\"() TO \"u\";"]
        );
    }

    #[test]
    fn ordered_sets_keep_their_order_by_except_for_grant() {
        let rendered = render("p real ORDER BY text", "real, text");
        assert_eq!(
            rendered.drop.as_deref(),
            Some("DROP AGGREGATE IF EXISTS \"s\".\"a\"(p real ORDER BY text);")
        );
        assert_eq!(
            rendered.acl,
            ["GRANT ALL ON FUNCTION \"s\".\"a\"(real, text) TO \"u\";"]
        );
    }
}
