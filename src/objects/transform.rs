//! Transforms (`pg_transform`). Manual: "pg_transform", "CREATE TRANSFORM".

use super::catalog_query::{comment_join, is_users, read_all};
use super::named::function_signature;
use super::{DumpObject, Kind, ObjectId, Oid, RenderContext, Rendered, Section, catalog, quote};
use crate::Result;
use crate::conn::Session;

/// How values of a type pass into functions of a language and out of them.
#[derive(Clone, Debug)]
pub struct Transform {
    oid: Oid,
    /// As deparsed by the server.
    type_name: String,
    language: String,
    from_sql: Option<String>,
    to_sql: Option<String>,
    comment: Option<String>,
}

impl DumpObject for Transform {
    fn kind(&self) -> Kind {
        Kind::Transform
    }

    fn id(&self) -> ObjectId {
        ObjectId::definition(catalog::PG_TRANSFORM, self.oid)
    }

    fn schema(&self) -> Option<&str> {
        None
    }

    fn tag(&self) -> String {
        format!("FOR {} LANGUAGE {}", self.type_name, self.language)
    }

    fn section(&self) -> Section {
        Section::PreData
    }

    fn render(&self, _context: &RenderContext<'_>) -> Rendered {
        let name = format!(
            "FOR {} LANGUAGE {}",
            self.type_name,
            quote::ident(&self.language)
        );
        let functions: Vec<String> = [("FROM SQL", &self.from_sql), ("TO SQL", &self.to_sql)]
            .into_iter()
            .filter_map(|(word, function)| {
                Some(format!("{word} WITH FUNCTION {}", function.as_ref()?))
            })
            .collect();
        Rendered {
            create: vec![format!(
                "CREATE TRANSFORM {name} ({});",
                functions.join(", ")
            )],
            drop: Some(format!("DROP TRANSFORM IF EXISTS {name};")),
            comments: self
                .comment
                .iter()
                .map(|text| quote::comment_on(&format!("TRANSFORM {name}"), text))
                .collect(),
            ..Rendered::default()
        }
    }
}

pub(crate) async fn read(session: &Session) -> Result<Vec<Transform>> {
    let query = format!(
        "SELECT r.oid, pg_catalog.format_type(r.trftype, NULL) AS type_name, l.lanname, \
         {from_sql} AS from_sql, {to_sql} AS to_sql, comment.description \
         FROM pg_catalog.pg_transform AS r \
         JOIN pg_catalog.pg_language AS l ON l.oid = r.trflang {comment} \
         WHERE {users} ORDER BY type_name, l.lanname",
        from_sql = function_signature("r.trffromsql"),
        to_sql = function_signature("r.trftosql"),
        comment = comment_join("pg_transform", "r"),
        users = is_users("pg_transform", "r"),
    );
    read_all(session, "transforms", &query, |row| {
        Ok(Transform {
            oid: row.try_get("oid")?,
            type_name: row.try_get("type_name")?,
            language: row.try_get("lanname")?,
            from_sql: row.try_get("from_sql")?,
            to_sql: row.try_get("to_sql")?,
            comment: row.try_get("description")?,
        })
    })
    .await
}
