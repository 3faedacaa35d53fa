//! Base types (`pg_type`, typtype `b`, arrays aside). Manual: "pg_type", "CREATE TYPE". Their functions need the type and
//! it needs them: [`ShellType`](super::ShellType) breaks the circle.

use super::acl::{AclTarget, GrantKind};
use super::catalog_query::{Row, RowError, read_all, unexpected};
use super::named::{Named, NamedCatalog, NamedObject, function_name};
use super::{CatalogId, Kind, ObjectId, Oid, Part, RenderContext, Rendered, catalog, quote};
use crate::Result;
use crate::conn::{ServerVersion, Session};

const TYPES: NamedCatalog = NamedCatalog {
    name: "pg_type",
    prefix: "typ",
    in_schema: true,
    has_owner: true,
    acl_letter: Some('T'),
};

/// SQL: the row `t` of `pg_type` is a base type, no array type of another one.
pub(super) const IS_BASE_TYPE: &str = "(t.typtype = 'b' AND NOT EXISTS ( \
     SELECT FROM pg_catalog.pg_type AS element WHERE element.typarray = t.oid))";

/// A base type.
#[derive(Clone, Debug)]
pub struct BaseType {
    named: Named,
    array: Oid,
    /// Of CREATE TYPE, rendered, in the manual's order.
    options: Vec<String>,
}

impl NamedObject for BaseType {
    const KIND: Kind = Kind::BaseType;
    const CLASS: Oid = catalog::PG_TYPE;

    fn named(&self) -> &Named {
        &self.named
    }

    fn parts(&self) -> Vec<CatalogId> {
        let array = (self.array != Oid(0)).then(|| CatalogId::new(catalog::PG_TYPE, self.array));
        array.into_iter().collect()
    }

    fn extra_dependencies(&self) -> Vec<ObjectId> {
        let own = ObjectId::definition(catalog::PG_TYPE, self.named.oid);
        vec![own.with_part(Part::Shell)]
    }

    fn render(&self, context: &RenderContext<'_>) -> Rendered {
        let name = self.named.sql();
        let object = format!("TYPE {name}");
        Rendered {
            create: vec![format!(
                "CREATE {object} (\n    {}\n);",
                self.options.join(",\n    ")
            )],
            // Type and functions need each other: neither can be dropped alone.
            drop: Some(format!("DROP TYPE IF EXISTS {name} CASCADE;")),
            alter_owner: self.named.render_owner(&object),
            comments: self.named.render_comments(&object),
            acl: self
                .named
                .render_acl(&AclTarget::new(GrantKind::Type, &object), context.server),
        }
    }
}

pub(crate) async fn read(session: &Session) -> Result<Vec<BaseType>> {
    // Subscripting became a function of the type with 14. It need not be said where the server chooses it by itself, as all
    // versions did.
    let subscript = match session.version() >= ServerVersion::major(14) {
        true => format!(
            "NULLIF({}, CASE WHEN r.typlen > 0 AND NOT r.typbyval \
               AND (SELECT e.typlen FROM pg_catalog.pg_type AS e WHERE e.oid = r.typelem) > 0 \
             THEN 'raw_array_subscript_handler' END)",
            function_name("r.typsubscript")
        ),
        false => "NULL::pg_catalog.text".to_owned(),
    };
    let columns = format!(
        "r.typarray, r.typlen, r.typbyval, r.typispreferred, r.typcollation <> 0 AS is_collatable, \
         r.typcategory::pg_catalog.text AS category, r.typdelim::pg_catalog.text AS delimiter, \
         r.typalign::pg_catalog.text AS alignment, r.typstorage::pg_catalog.text AS storage, \
         {input} AS input, {output} AS output, {receive} AS receive, {send} AS send, \
         {typmod_in} AS typmod_in, {typmod_out} AS typmod_out, {analyze} AS analyze, {subscript} AS subscript, \
         pg_catalog.pg_get_expr(r.typdefaultbin, 0) AS default_expression, r.typdefault, \
         pg_catalog.format_type(NULLIF(r.typelem, 0), NULL) AS element",
        input = function_name("r.typinput"),
        output = function_name("r.typoutput"),
        receive = function_name("r.typreceive"),
        send = function_name("r.typsend"),
        typmod_in = function_name("r.typmodin"),
        typmod_out = function_name("r.typmodout"),
        analyze = function_name("r.typanalyze"),
    );
    let query = TYPES.query(
        &columns,
        "JOIN pg_catalog.pg_type AS t ON t.oid = r.oid",
        &format!("{IS_BASE_TYPE} AND t.typisdefined"),
    );
    read_all(session, "base types", &query, |row| {
        Ok(BaseType {
            named: Named::from_row(row)?,
            array: row.try_get("typarray")?,
            options: options(row)?,
        })
    })
    .await
}

fn options(row: &Row) -> Result<Vec<String>, RowError> {
    let name: &str = row.try_get("name")?;
    let mut options = Vec::new();
    for (option, column) in [
        ("INPUT", "input"),
        ("OUTPUT", "output"),
        ("RECEIVE", "receive"),
        ("SEND", "send"),
        ("TYPMOD_IN", "typmod_in"),
        ("TYPMOD_OUT", "typmod_out"),
        ("ANALYZE", "analyze"),
        ("SUBSCRIPT", "subscript"),
        ("ELEMENT", "element"),
        ("DEFAULT", "default_expression"),
    ] {
        let value: Option<&str> = row.try_get(column)?;
        options.extend(value.map(|value| format!("{option} = {value}")));
    }
    let expression: Option<&str> = row.try_get("default_expression")?;
    let value: Option<&str> = row.try_get("typdefault")?;
    if let (None, Some(value)) = (expression, value) {
        options.push(format!("DEFAULT = {}", quote::literal(value)));
    }
    options.push(match row.try_get::<_, i16>("typlen")? {
        -1 => "INTERNALLENGTH = VARIABLE".to_owned(),
        length => format!("INTERNALLENGTH = {length}"),
    });
    for (flag, text) in [
        ("typbyval", "PASSEDBYVALUE"),
        ("typispreferred", "PREFERRED = true"),
        ("is_collatable", "COLLATABLE = true"),
    ] {
        if row.try_get(flag)? {
            options.push(text.to_owned());
        }
    }
    options.push(match row.try_get("alignment")? {
        "c" => "ALIGNMENT = char".to_owned(),
        "s" => "ALIGNMENT = int2".to_owned(),
        "i" => "ALIGNMENT = int4".to_owned(),
        "d" => "ALIGNMENT = double".to_owned(),
        other => return Err(unexpected(&format!("type {name}"), "typalign", other).into()),
    });
    options.push(match row.try_get("storage")? {
        "p" => "STORAGE = plain".to_owned(),
        "e" => "STORAGE = external".to_owned(),
        "x" => "STORAGE = extended".to_owned(),
        "m" => "STORAGE = main".to_owned(),
        other => return Err(unexpected(&format!("type {name}"), "typstorage", other).into()),
    });
    for (option, column, unless) in [
        ("CATEGORY", "category", "U"),
        ("DELIMITER", "delimiter", ","),
    ] {
        let value: &str = row.try_get(column)?;
        if value != unless {
            options.push(format!("{option} = {}", quote::literal(value)));
        }
    }
    Ok(options)
}
