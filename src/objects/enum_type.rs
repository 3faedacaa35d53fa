//! Enum types (`pg_type`, `pg_enum`). Manual: "pg_enum".

use super::acl::{Acl, AclTarget, GrantKind};
use super::catalog_query::{comment_join, is_no_member, is_users_schema, read_all};
use super::{
    CatalogId, DumpObject, Kind, ObjectId, Oid, RenderContext, Rendered, Section, catalog, quote,
};
use crate::Result;
use crate::conn::Session;

/// An enum type.
#[derive(Clone, Debug)]
pub struct EnumType {
    oid: Oid,
    array_oid: Oid,
    schema: String,
    name: String,
    owner: String,
    acl: Acl,
    comment: Option<String>,
    /// In the order in which they compare.
    labels: Vec<String>,
}

impl DumpObject for EnumType {
    fn kind(&self) -> Kind {
        Kind::EnumType
    }

    fn id(&self) -> ObjectId {
        ObjectId::definition(catalog::PG_TYPE, self.oid)
    }

    fn claims(&self) -> Vec<CatalogId> {
        vec![
            self.id().catalog,
            CatalogId::new(catalog::PG_TYPE, self.array_oid),
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
        let labels: Vec<String> = self
            .labels
            .iter()
            .map(|label| format!("\n    {}", quote::literal(label)))
            .collect();
        let labels = match labels.is_empty() {
            true => String::new(),
            false => format!("{}\n", labels.join(",")),
        };
        Rendered {
            create: vec![format!("CREATE TYPE {name} AS ENUM ({labels});")],
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

fn enum_types_query() -> String {
    format!(
        "SELECT t.oid, t.typarray, n.nspname, t.typname, \
         pg_catalog.pg_get_userbyid(t.typowner) AS owner, t.typacl::pg_catalog.text[] AS acl, \
         pg_catalog.acldefault('T', t.typowner)::pg_catalog.text[] AS acl_default, \
         comment.description, \
         ARRAY(SELECT l.enumlabel::pg_catalog.text FROM pg_catalog.pg_enum AS l \
         WHERE l.enumtypid = t.oid ORDER BY l.enumsortorder) AS labels \
         FROM pg_catalog.pg_type AS t \
         JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace {comment} \
         WHERE t.typtype = 'e' AND {users} AND {users_schema} ORDER BY n.nspname, t.typname",
        comment = comment_join("pg_type", "t"),
        users = is_no_member("pg_type", "t"),
        users_schema = is_users_schema("n"),
    )
}

pub(crate) async fn read(session: &Session) -> Result<Vec<EnumType>> {
    read_all(session, "enum types", &enum_types_query(), |row| {
        Ok(EnumType {
            oid: row.try_get("oid")?,
            array_oid: row.try_get("typarray")?,
            schema: row.try_get("nspname")?,
            name: row.try_get("typname")?,
            owner: row.try_get("owner")?,
            acl: Acl::from_row(row)?,
            comment: row.try_get("description")?,
            labels: row.try_get("labels")?,
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::ServerVersion;

    fn create(labels: &[&str]) -> Vec<String> {
        let enum_type = EnumType {
            oid: Oid(20000),
            array_oid: Oid(20001),
            schema: "s".to_owned(),
            name: "mood".to_owned(),
            owner: "o".to_owned(),
            acl: Acl::default(),
            comment: None,
            labels: labels.iter().map(|&label| label.to_owned()).collect(),
        };
        let context = RenderContext {
            server: ServerVersion::major(15),
            separate: &crate::objects::OidSet::default(),
        };
        enum_type.render(&context).create
    }

    #[test]
    fn labels_keep_their_order() {
        assert_eq!(
            create(&["sad", "it's"]),
            ["CREATE TYPE \"s\".\"mood\" AS ENUM (\n    'sad',\n    'it''s'\n);"]
        );
    }

    #[test]
    fn an_enum_may_have_no_labels() {
        assert_eq!(create(&[]), ["CREATE TYPE \"s\".\"mood\" AS ENUM ();"]);
    }
}
