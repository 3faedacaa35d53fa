//! Stand-alone composite types (`pg_type` with a `pg_class` row of relkind `c`).
//! The row types of tables belong to their tables.

use super::acl::{Acl, AclTarget, GrantKind};
use super::catalog_query::{Row, RowError, comment_join, is_no_member, is_users_schema, read_all};
use super::{
    CatalogId, DumpObject, Kind, ObjectId, Oid, RenderContext, Rendered, Section, catalog, quote,
};
use crate::Result;
use crate::conn::Session;

/// A composite type.
#[derive(Clone, Debug)]
pub struct CompositeType {
    oid: Oid,
    array_oid: Oid,
    class_oid: Oid,
    schema: String,
    name: String,
    owner: String,
    acl: Acl,
    comment: Option<String>,
    attributes: Vec<Attribute>,
}

/// A column of a composite type.
#[derive(Clone, Debug)]
struct Attribute {
    name: String,
    /// As deparsed by the server.
    type_name: String,
    /// Schema and name, if it is not its type's.
    collation: Option<(String, String)>,
    comment: Option<String>,
}

impl Attribute {
    fn render(&self) -> String {
        let collation = match &self.collation {
            Some((schema, name)) => format!(" COLLATE {}", quote::qualified(schema, name)),
            None => String::new(),
        };
        format!(
            "\n    {} {}{collation}",
            quote::ident(&self.name),
            self.type_name
        )
    }
}

impl DumpObject for CompositeType {
    fn kind(&self) -> Kind {
        Kind::CompositeType
    }

    fn id(&self) -> ObjectId {
        ObjectId::definition(catalog::PG_TYPE, self.oid)
    }

    fn claims(&self) -> Vec<CatalogId> {
        vec![
            self.id().catalog,
            CatalogId::new(catalog::PG_TYPE, self.array_oid),
            CatalogId::new(catalog::PG_CLASS, self.class_oid),
        ]
    }

    fn schema(&self) -> Option<&str> {
        Some(&self.schema)
    }

    fn tag(&self) -> String {
        self.name.clone()
    }

    fn owner(&self) -> Option<&str> {
        Some(&self.owner)
    }

    fn section(&self) -> Section {
        Section::PreData
    }

    fn render(&self, context: &RenderContext<'_>) -> Rendered {
        let name = quote::qualified(&self.schema, &self.name);
        let object = format!("TYPE {name}");
        let attributes: Vec<String> = self.attributes.iter().map(Attribute::render).collect();
        let attributes = match attributes.is_empty() {
            true => String::new(),
            false => format!("{}\n", attributes.join(",")),
        };
        let attribute_comments = self.attributes.iter().filter_map(|attribute| {
            let column = format!("COLUMN {name}.{}", quote::ident(&attribute.name));
            Some(quote::comment_on(&column, attribute.comment.as_ref()?))
        });
        Rendered {
            create: vec![format!("CREATE TYPE {name} AS ({attributes});")],
            drop: Some(format!("DROP TYPE IF EXISTS {name};")),
            alter_owner: Some(format!(
                "ALTER TYPE {name} OWNER TO {};",
                quote::ident(&self.owner)
            )),
            comments: self
                .comment
                .iter()
                .map(|text| quote::comment_on(&object, text))
                .chain(attribute_comments)
                .collect(),
            acl: self.acl.render(
                &AclTarget::new(GrantKind::Type, &object),
                &self.owner,
                context.server,
            ),
        }
    }
}

fn composite_types_query() -> String {
    format!(
        "SELECT t.oid, t.typarray, t.typrelid, n.nspname, t.typname, \
         pg_catalog.pg_get_userbyid(t.typowner) AS owner, t.typacl::pg_catalog.text[] AS acl, \
         pg_catalog.acldefault('T', t.typowner)::pg_catalog.text[] AS acl_default, \
         comment.description, a.names, a.types, a.collation_schemas, a.collations, a.comments \
         FROM pg_catalog.pg_type AS t \
         JOIN pg_catalog.pg_class AS c ON c.oid = t.typrelid AND c.relkind = 'c' \
         JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace {comment} \
         LEFT JOIN ( \
           SELECT a.attrelid, \
           pg_catalog.array_agg(a.attname::pg_catalog.text ORDER BY a.attnum) AS names, \
           pg_catalog.array_agg(pg_catalog.format_type(a.atttypid, a.atttypmod) ORDER BY a.attnum) AS types, \
           pg_catalog.array_agg(cn.nspname::pg_catalog.text ORDER BY a.attnum) AS collation_schemas, \
           pg_catalog.array_agg(co.collname::pg_catalog.text ORDER BY a.attnum) AS collations, \
           pg_catalog.array_agg(d.description ORDER BY a.attnum) AS comments \
           FROM pg_catalog.pg_attribute AS a \
           JOIN pg_catalog.pg_type AS at ON at.oid = a.atttypid \
           LEFT JOIN pg_catalog.pg_collation AS co \
           ON co.oid = a.attcollation AND a.attcollation <> at.typcollation \
           LEFT JOIN pg_catalog.pg_namespace AS cn ON cn.oid = co.collnamespace \
           LEFT JOIN pg_catalog.pg_description AS d \
           ON d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass \
           AND d.objoid = a.attrelid AND d.objsubid = a.attnum \
           WHERE a.attnum > 0 AND NOT a.attisdropped GROUP BY a.attrelid \
         ) AS a ON a.attrelid = t.typrelid \
         WHERE t.typtype = 'c' AND {users} AND {users_schema} ORDER BY n.nspname, t.typname",
        comment = comment_join("pg_type", "t"),
        users = is_no_member("pg_type", "t"),
        users_schema = is_users_schema("n"),
    )
}

pub(crate) async fn read(session: &Session) -> Result<Vec<CompositeType>> {
    read_all(
        session,
        "composite types",
        &composite_types_query(),
        |row| {
            Ok(CompositeType {
                oid: row.try_get("oid")?,
                array_oid: row.try_get("typarray")?,
                class_oid: row.try_get("typrelid")?,
                schema: row.try_get("nspname")?,
                name: row.try_get("typname")?,
                owner: row.try_get("owner")?,
                acl: Acl::from_row(row)?,
                comment: row.try_get("description")?,
                attributes: attributes(row)?,
            })
        },
    )
    .await
}

/// The parallel arrays of the query; all of them are NULL for a type without columns.
fn attributes(row: &Row) -> Result<Vec<Attribute>, RowError> {
    let Some(names) = row.try_get::<_, Option<Vec<String>>>("names")? else {
        return Ok(Vec::new());
    };
    let types: Vec<String> = row.try_get("types")?;
    let collation_schemas: Vec<Option<String>> = row.try_get("collation_schemas")?;
    let collations: Vec<Option<String>> = row.try_get("collations")?;
    let comments: Vec<Option<String>> = row.try_get("comments")?;
    let attributes = names
        .into_iter()
        .zip(types)
        .zip(collation_schemas.into_iter().zip(collations))
        .zip(comments)
        .map(
            |(((name, type_name), (schema, collation)), comment)| Attribute {
                name,
                type_name,
                collation: schema.zip(collation),
                comment,
            },
        )
        .collect();
    Ok(attributes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::ServerVersion;

    #[test]
    fn attributes_have_collations_and_comments() {
        let composite = CompositeType {
            oid: Oid(20000),
            array_oid: Oid(20001),
            class_oid: Oid(20002),
            schema: "s".to_owned(),
            name: "t".to_owned(),
            owner: "o".to_owned(),
            acl: Acl::default(),
            comment: None,
            attributes: vec![
                Attribute {
                    name: "a".to_owned(),
                    type_name: "integer".to_owned(),
                    collation: None,
                    comment: None,
                },
                Attribute {
                    name: "b\"".to_owned(),
                    type_name: "text".to_owned(),
                    collation: Some(("pg_catalog".to_owned(), "C".to_owned())),
                    comment: Some("it's".to_owned()),
                },
            ],
        };
        let rendered = composite.render(&RenderContext {
            server: ServerVersion::major(15),
            separate: &crate::objects::OidSet::default(),
        });
        assert_eq!(
            rendered.create,
            ["CREATE TYPE \"s\".\"t\" AS (\n    \"a\" integer,\n    \
                 \"b\"\"\" text COLLATE \"pg_catalog\".\"C\"\n);"]
        );
        assert_eq!(
            rendered.comments,
            ["COMMENT ON COLUMN \"s\".\"t\".\"b\"\"\" IS 'it''s';"]
        );
    }
}
