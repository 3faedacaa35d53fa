//! Schemas (`pg_namespace`). Manual: "pg_namespace", "The Public Schema".

use super::acl::{Acl, AclTarget, GrantKind};
use super::catalog_query::{comment_join, is_no_member, is_users_schema, read_all};
use super::{DumpObject, Kind, ObjectId, Oid, RenderContext, Rendered, Section, catalog, quote};
use crate::Result;
use crate::conn::{ServerVersion, Session};

/// What every server's template gives the schema `public`.
const PUBLIC_COMMENT: &str = "standard public schema";

/// A schema. `public` exists in every new database: it is changed to what it is in the source, not
/// created. A source that has none leaves the target's alone, as pg_dump does.
#[derive(Clone, Debug)]
pub struct Schema {
    oid: Oid,
    name: String,
    owner: String,
    /// Whether `public` belongs to whom initdb gave it; that role differs by version.
    has_initial_owner: bool,
    acl: Acl,
    comment: Option<String>,
}

impl Schema {
    fn is_public(&self) -> bool {
        self.name == "public"
    }

    /// `public` starts with USAGE for PUBLIC in 15 and later and with ALL before: only taking all
    /// of it away and granting again gives the same on every target.
    fn render_acl(&self, object: &str, server: ServerVersion) -> Vec<String> {
        let target = AclTarget::new(GrantKind::Schema, object);
        let mut acl = Vec::new();
        if self.is_public() {
            acl.push(format!("REVOKE ALL ON {object} FROM PUBLIC;"));
        }
        acl.extend(self.acl.render(&target, &self.owner, server));
        acl
    }

    fn render_comments(&self, object: &str) -> Vec<String> {
        match &self.comment {
            Some(text) if self.is_public() && text == PUBLIC_COMMENT => Vec::new(),
            Some(text) => vec![quote::comment_on(object, text)],
            None if self.is_public() => vec![format!("COMMENT ON {object} IS NULL;")],
            None => Vec::new(),
        }
    }
}

impl DumpObject for Schema {
    fn kind(&self) -> Kind {
        Kind::Schema
    }

    fn id(&self) -> ObjectId {
        ObjectId::definition(catalog::PG_NAMESPACE, self.oid)
    }

    fn schema(&self) -> Option<&str> {
        None
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
        let name = quote::ident(&self.name);
        let object = format!("SCHEMA {name}");
        let keeps_owner = self.is_public() && self.has_initial_owner;
        Rendered {
            create: if self.is_public() {
                Vec::new()
            } else {
                vec![format!("CREATE SCHEMA {name};")]
            },
            drop: (!self.is_public()).then(|| format!("DROP SCHEMA IF EXISTS {name};")),
            alter_owner: (!keeps_owner).then(|| {
                format!(
                    "ALTER SCHEMA {name} OWNER TO {};",
                    quote::ident(&self.owner)
                )
            }),
            comments: self.render_comments(&object),
            acl: self.render_acl(&object, context.server),
        }
    }
}

fn schemas_query(server: ServerVersion) -> String {
    // Since 15 the initial owner is a predefined role, before it was the bootstrap superuser (OID 10).
    let has_initial_owner = if server >= ServerVersion::major(15) {
        "pg_catalog.pg_get_userbyid(n.nspowner) = 'pg_database_owner'"
    } else {
        "n.nspowner = 10"
    };
    format!(
        "SELECT n.oid, n.nspname, pg_catalog.pg_get_userbyid(n.nspowner) AS owner, \
         {has_initial_owner} AS has_initial_owner, n.nspacl::pg_catalog.text[] AS acl, \
         pg_catalog.acldefault('n', n.nspowner)::pg_catalog.text[] AS acl_default, comment.description \
         FROM pg_catalog.pg_namespace AS n {comment} \
         WHERE ({users} AND {users_schema}) OR n.nspname = 'public' ORDER BY n.nspname",
        comment = comment_join("pg_namespace", "n"),
        users = is_no_member("pg_namespace", "n"),
        users_schema = is_users_schema("n"),
    )
}

pub(crate) async fn read(session: &Session) -> Result<Vec<Schema>> {
    read_all(
        session,
        "schemas",
        &schemas_query(session.version()),
        |row| {
            Ok(Schema {
                oid: row.try_get("oid")?,
                name: row.try_get("nspname")?,
                owner: row.try_get("owner")?,
                has_initial_owner: row.try_get("has_initial_owner")?,
                acl: Acl::from_row(row)?,
                comment: row.try_get("description")?,
            })
        },
    )
    .await
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn public(owner: &str, acl: &[&str], comment: Option<&str>) -> Schema {
        let acl: Vec<String> = acl.iter().map(|&s| s.to_owned()).collect();
        Schema {
            oid: Oid(2200),
            name: "public".to_owned(),
            owner: owner.to_owned(),
            has_initial_owner: owner == "pg_database_owner",
            acl: Acl::new(Some(&acl), &[format!("{owner}=UC/{owner}")]).unwrap(),
            comment: comment.map(str::to_owned),
        }
    }

    fn render(schema: &Schema) -> Rendered {
        schema.render(&RenderContext {
            server: ServerVersion::major(15),
            separate: &crate::objects::OidSet::default(),
        })
    }

    #[test]
    fn public_as_initdb_made_it_keeps_owner_and_comment() {
        let rendered = render(&public(
            "pg_database_owner",
            &[
                "pg_database_owner=UC/pg_database_owner",
                "=U/pg_database_owner",
            ],
            Some(PUBLIC_COMMENT),
        ));
        assert_eq!(
            rendered,
            Rendered {
                acl: vec![
                    "REVOKE ALL ON SCHEMA \"public\" FROM PUBLIC;".to_owned(),
                    "GRANT USAGE ON SCHEMA \"public\" TO PUBLIC;".to_owned(),
                ],
                ..Rendered::default()
            }
        );
    }

    #[test]
    fn public_is_changed_but_neither_created_nor_dropped() {
        let rendered = render(&public("o", &["o=UC/o"], None));
        assert!(rendered.create.is_empty() && rendered.drop.is_none());
        assert_eq!(
            rendered.alter_owner.as_deref(),
            Some("ALTER SCHEMA \"public\" OWNER TO \"o\";")
        );
        assert_eq!(rendered.comments, ["COMMENT ON SCHEMA \"public\" IS NULL;"]);
        assert_eq!(
            rendered.acl,
            ["REVOKE ALL ON SCHEMA \"public\" FROM PUBLIC;"]
        );
    }
}
