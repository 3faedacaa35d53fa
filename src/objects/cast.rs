//! Casts (`pg_cast`). Manual: "pg_cast", "CREATE CAST". Those between a range type and its multirange come with the type.

use super::catalog_query::{comment_join, is_users, read_all, unexpected};
use super::named::function_signature;
use super::{DumpObject, Kind, ObjectId, Oid, RenderContext, Rendered, Section, catalog, quote};
use crate::Result;
use crate::conn::Session;

/// A cast.
#[derive(Clone, Debug)]
pub struct Cast {
    oid: Oid,
    /// As deparsed by the server.
    source: String,
    /// As deparsed by the server.
    target: String,
    method: Method,
    /// What follows the method: ` AS ASSIGNMENT`, ` AS IMPLICIT` or nothing.
    context: &'static str,
    comment: Option<String>,
}

/// How a cast converts.
#[derive(Clone, Debug)]
enum Method {
    /// By a function, with its argument types.
    Function(String),
    /// By the types' text forms.
    InOut,
    /// Not at all: the types are binary coercible.
    Binary,
}

impl DumpObject for Cast {
    fn kind(&self) -> Kind {
        Kind::Cast
    }

    fn id(&self) -> ObjectId {
        ObjectId::definition(catalog::PG_CAST, self.oid)
    }

    fn schema(&self) -> Option<&str> {
        None
    }

    fn tag(&self) -> String {
        format!("({} AS {})", self.source, self.target)
    }

    fn section(&self) -> Section {
        Section::PreData
    }

    fn render(&self, _context: &RenderContext<'_>) -> Rendered {
        let name = self.tag();
        let method = match &self.method {
            Method::Function(signature) => format!("WITH FUNCTION {signature}"),
            Method::InOut => "WITH INOUT".to_owned(),
            Method::Binary => "WITHOUT FUNCTION".to_owned(),
        };
        Rendered {
            create: vec![format!("CREATE CAST {name} {method}{};", self.context)],
            drop: Some(format!("DROP CAST IF EXISTS {name};")),
            comments: self
                .comment
                .iter()
                .map(|text| quote::comment_on(&format!("CAST {name}"), text))
                .collect(),
            ..Rendered::default()
        }
    }
}

pub(crate) async fn read(session: &Session) -> Result<Vec<Cast>> {
    let query = format!(
        "SELECT r.oid, pg_catalog.format_type(r.castsource, NULL) AS source, \
         pg_catalog.format_type(r.casttarget, NULL) AS target, {function} AS function, \
         r.castcontext::pg_catalog.text AS context, r.castmethod::pg_catalog.text AS method, \
         comment.description \
         FROM pg_catalog.pg_cast AS r {comment} \
         WHERE {users} AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS i \
           WHERE i.classid = 'pg_catalog.pg_cast'::pg_catalog.regclass \
           AND i.objid = r.oid AND i.deptype = 'i') ORDER BY source, target",
        function = function_signature("r.castfunc"),
        comment = comment_join("pg_cast", "r"),
        users = is_users("pg_cast", "r"),
    );
    read_all(session, "casts", &query, |row| {
        let (source, target): (String, String) = (row.try_get("source")?, row.try_get("target")?);
        let function: Option<String> = row.try_get("function")?;
        let object = format!("cast ({source} AS {target})");
        let method: &str = row.try_get("method")?;
        let context: &str = row.try_get("context")?;
        Ok(Cast {
            oid: row.try_get("oid")?,
            method: match (method, function) {
                ("f", Some(function)) => Method::Function(function),
                ("i", _) => Method::InOut,
                ("b", _) => Method::Binary,
                (other, _) => return Err(unexpected(&object, "castmethod", other).into()),
            },
            context: match context {
                "e" => "",
                "a" => " AS ASSIGNMENT",
                "i" => " AS IMPLICIT",
                other => return Err(unexpected(&object, "castcontext", other).into()),
            },
            source,
            target,
            comment: row.try_get("description")?,
        })
    })
    .await
}
