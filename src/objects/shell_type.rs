//! Shell types: `CREATE TYPE name;`, a name that functions can already refer to. One for each base type and for each
//! range type with a canonical function, and those that were never completed (`typisdefined` is false).

use super::acl::{Acl, AclTarget, GrantKind};
use super::base_type::IS_BASE_TYPE;
use super::catalog_query::{comment_join, is_no_member, is_users_schema, read_all};
use super::{
    CatalogId, DumpObject, Kind, ObjectId, Oid, Part, RenderContext, Rendered, Section, catalog,
    quote,
};
use crate::Result;
use crate::conn::Session;

/// A shell of a type.
#[derive(Clone, Debug)]
pub struct ShellType {
    oid: Oid,
    schema: String,
    name: String,
    owner: String,
    acl: Acl,
    comment: Option<String>,
    /// Whether the type itself is another object, which has owner, privileges and the rest.
    is_completed: bool,
}

impl DumpObject for ShellType {
    fn kind(&self) -> Kind {
        Kind::ShellType
    }

    fn id(&self) -> ObjectId {
        let definition = ObjectId::definition(catalog::PG_TYPE, self.oid);
        if self.is_completed {
            definition.with_part(Part::Shell)
        } else {
            definition
        }
    }

    fn claims(&self) -> Vec<CatalogId> {
        if self.is_completed {
            Vec::new()
        } else {
            vec![self.id().catalog]
        }
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
        let create = vec![format!("CREATE TYPE {name};")];
        if self.is_completed {
            return Rendered {
                create,
                ..Rendered::default()
            };
        }
        let object = format!("TYPE {name}");
        Rendered {
            create,
            drop: Some(format!("DROP TYPE IF EXISTS {name};")),
            alter_owner: Some(format!(
                "ALTER TYPE {name} OWNER TO {};",
                quote::ident(&self.owner)
            )),
            comments: self
                .comment
                .iter()
                .map(|text| quote::comment_on(&object, text))
                .collect(),
            acl: self.acl.render(
                &AclTarget::new(GrantKind::Type, &object),
                &self.owner,
                context.server,
            ),
        }
    }
}

fn shell_types_query() -> String {
    format!(
        "SELECT t.oid, n.nspname, t.typname, t.typisdefined, \
         pg_catalog.pg_get_userbyid(t.typowner) AS owner, t.typacl::pg_catalog.text[] AS acl, \
         pg_catalog.acldefault('T', t.typowner)::pg_catalog.text[] AS acl_default, \
         comment.description \
         FROM pg_catalog.pg_type AS t \
         JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace \
         LEFT JOIN pg_catalog.pg_range AS r ON r.rngtypid = t.oid {comment} \
         WHERE (NOT t.typisdefined OR r.rngcanonical::pg_catalog.oid <> 0 OR {IS_BASE_TYPE}) \
         AND {users} AND {users_schema} ORDER BY n.nspname, t.typname",
        comment = comment_join("pg_type", "t"),
        users = is_no_member("pg_type", "t"),
        users_schema = is_users_schema("n"),
    )
}

pub(crate) async fn read(session: &Session) -> Result<Vec<ShellType>> {
    read_all(session, "shell types", &shell_types_query(), |row| {
        Ok(ShellType {
            oid: row.try_get("oid")?,
            schema: row.try_get("nspname")?,
            name: row.try_get("typname")?,
            owner: row.try_get("owner")?,
            acl: Acl::from_row(row)?,
            comment: row.try_get("description")?,
            is_completed: row.try_get("typisdefined")?,
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::ServerVersion;

    #[test]
    fn the_shell_of_a_completed_type_is_nothing_but_its_name() {
        let shell = ShellType {
            oid: Oid(20000),
            schema: "s".to_owned(),
            name: "r".to_owned(),
            owner: "o".to_owned(),
            acl: Acl::default(),
            comment: Some("of the range type".to_owned()),
            is_completed: true,
        };
        let rendered = shell.render(&RenderContext {
            server: ServerVersion::major(15),
            separate: &crate::objects::OidSet::default(),
        });
        assert_eq!(
            rendered,
            Rendered {
                create: vec!["CREATE TYPE \"s\".\"r\";".to_owned()],
                ..Rendered::default()
            }
        );
        assert!(shell.claims().is_empty());
    }
}
