//! Range types (`pg_type`, `pg_range`) with what CREATE TYPE makes along with them: array type,
//! multirange type, constructor functions, the cast to the multirange. Manual: "pg_range".

use super::acl::{Acl, AclTarget, GrantKind};
use super::catalog_query::{comment_join, is_no_member, is_users_schema, name_pair, read_all};
use super::named::function_name;
use super::{
    CatalogId, DumpObject, Kind, ObjectId, Oid, Part, RenderContext, Rendered, Section, catalog,
    quote,
};
use crate::Result;
use crate::conn::{ServerVersion, Session};

/// The longest name in bytes (`NAMEDATALEN - 1`).
const MAX_NAME_BYTES: usize = 63;

/// A range type.
#[derive(Clone, Debug)]
pub struct RangeType {
    oid: Oid,
    schema: String,
    name: String,
    owner: String,
    acl: Acl,
    comment: Option<String>,
    /// As deparsed by the server.
    subtype: String,
    /// Schema and name, if it is not the subtype's default.
    operator_class: Option<(String, String)>,
    /// Schema and name, if it is not the subtype's.
    collation: Option<(String, String)>,
    /// As deparsed by the server.
    canonical: Option<String>,
    /// As deparsed by the server.
    subtype_diff: Option<String>,
    /// Schema and name.
    multirange: Option<(String, String)>,
    /// Rows that came with the type and go with it.
    internal: Vec<CatalogId>,
}

impl RangeType {
    fn options(&self) -> Vec<String> {
        let qualified = |name: &Option<(String, String)>| {
            name.as_ref()
                .map(|(schema, name)| quote::qualified(schema, name))
        };
        let multirange = qualified(&self.multirange).filter(|_| !self.has_default_multirange());
        [
            ("subtype", Some(self.subtype.clone())),
            ("multirange_type_name", multirange),
            ("subtype_opclass", qualified(&self.operator_class)),
            ("collation", qualified(&self.collation)),
            ("canonical", self.canonical.clone()),
            ("subtype_diff", self.subtype_diff.clone()),
        ]
        .into_iter()
        .filter_map(|(option, value)| Some(format!("\n    {option} = {}", value?)))
        .collect()
    }

    /// Whether a server that has multiranges chooses this name by itself: then it is not written,
    /// because servers before 14 refuse the option. (commands/typecmds.c, makeMultirangeTypeName)
    fn has_default_multirange(&self) -> bool {
        let default = if self.name.contains("range") {
            self.name.replacen("range", "multirange", 1)
        } else {
            format!("{}_multirange", self.name)
        };
        match &self.multirange {
            // A name that would have been cut is written.
            Some((schema, name)) => {
                *schema == self.schema && *name == default && default.len() <= MAX_NAME_BYTES
            }
            None => true,
        }
    }
}

impl DumpObject for RangeType {
    fn kind(&self) -> Kind {
        Kind::RangeType
    }

    fn id(&self) -> ObjectId {
        ObjectId::definition(catalog::PG_TYPE, self.oid)
    }

    fn claims(&self) -> Vec<CatalogId> {
        let mut claims = vec![self.id().catalog];
        claims.extend(&self.internal);
        claims
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

    /// The canonical function takes the type that needs it: the type's shell breaks the circle.
    fn extra_dependencies(&self) -> Vec<ObjectId> {
        self.canonical
            .iter()
            .map(|_| self.id().with_part(Part::Shell))
            .collect()
    }

    fn render(&self, context: &RenderContext<'_>) -> Rendered {
        let name = quote::qualified(&self.schema, &self.name);
        let object = format!("TYPE {name}");
        // Type and canonical function need each other: neither can be dropped alone.
        let cascade = if self.canonical.is_some() {
            " CASCADE"
        } else {
            ""
        };
        Rendered {
            create: vec![format!(
                "CREATE TYPE {name} AS RANGE ({}\n);",
                self.options().join(",")
            )],
            drop: Some(format!("DROP TYPE IF EXISTS {name}{cascade};")),
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

fn range_types_query(server: ServerVersion) -> String {
    // Multiranges came with 14.
    let multirange = if server >= ServerVersion::major(14) {
        "r.rngmultitypid"
    } else {
        "0::pg_catalog.oid"
    };
    format!(
        "SELECT t.oid, n.nspname, t.typname, \
         pg_catalog.pg_get_userbyid(t.typowner) AS owner, t.typacl::pg_catalog.text[] AS acl, \
         pg_catalog.acldefault('T', t.typowner)::pg_catalog.text[] AS acl_default, \
         comment.description, pg_catalog.format_type(r.rngsubtype, NULL) AS subtype, \
         ocn.nspname AS opclass_schema, oc.opcname, con.nspname AS collation_schema, co.collname, \
         {canonical} AS canonical, {subdiff} AS subdiff, \
         mn.nspname AS multirange_schema, mt.typname AS multirange, \
         ARRAY(SELECT i.classid FROM pg_catalog.pg_depend AS i \
           WHERE i.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass AND i.deptype = 'i' \
           AND i.refobjid IN (t.oid, {multirange}) ORDER BY i.classid, i.objid) AS internal_classes, \
         ARRAY(SELECT i.objid FROM pg_catalog.pg_depend AS i \
           WHERE i.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass AND i.deptype = 'i' \
           AND i.refobjid IN (t.oid, {multirange}) ORDER BY i.classid, i.objid) AS internal_oids \
         FROM pg_catalog.pg_type AS t \
         JOIN pg_catalog.pg_range AS r ON r.rngtypid = t.oid \
         JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace \
         JOIN pg_catalog.pg_type AS st ON st.oid = r.rngsubtype \
         LEFT JOIN pg_catalog.pg_opclass AS oc ON oc.oid = r.rngsubopc AND NOT oc.opcdefault \
         LEFT JOIN pg_catalog.pg_namespace AS ocn ON ocn.oid = oc.opcnamespace \
         LEFT JOIN pg_catalog.pg_collation AS co \
         ON co.oid = r.rngcollation AND r.rngcollation <> st.typcollation \
         LEFT JOIN pg_catalog.pg_namespace AS con ON con.oid = co.collnamespace \
         LEFT JOIN pg_catalog.pg_type AS mt ON mt.oid = {multirange} \
         LEFT JOIN pg_catalog.pg_namespace AS mn ON mn.oid = mt.typnamespace {comment} \
         WHERE t.typtype = 'r' AND {users} AND {users_schema} ORDER BY n.nspname, t.typname",
        canonical = function_name("r.rngcanonical"),
        subdiff = function_name("r.rngsubdiff"),
        comment = comment_join("pg_type", "t"),
        users = is_no_member("pg_type", "t"),
        users_schema = is_users_schema("n"),
    )
}

pub(crate) async fn read(session: &Session) -> Result<Vec<RangeType>> {
    let query = range_types_query(session.version());
    read_all(session, "range types", &query, |row| {
        let classes: Vec<Oid> = row.try_get("internal_classes")?;
        let oids: Vec<Oid> = row.try_get("internal_oids")?;
        Ok(RangeType {
            oid: row.try_get("oid")?,
            schema: row.try_get("nspname")?,
            name: row.try_get("typname")?,
            owner: row.try_get("owner")?,
            acl: Acl::from_row(row)?,
            comment: row.try_get("description")?,
            subtype: row.try_get("subtype")?,
            operator_class: name_pair(row, "opclass_schema", "opcname")?,
            collation: name_pair(row, "collation_schema", "collname")?,
            canonical: row.try_get("canonical")?,
            subtype_diff: row.try_get("subdiff")?,
            multirange: name_pair(row, "multirange_schema", "multirange")?,
            internal: classes
                .into_iter()
                .zip(oids)
                .map(|(class, oid)| CatalogId::new(class, oid))
                .collect(),
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(name: &str, multirange: &str, canonical: Option<&str>) -> RangeType {
        RangeType {
            oid: Oid(20000),
            schema: "s".to_owned(),
            name: name.to_owned(),
            owner: "o".to_owned(),
            acl: Acl::default(),
            comment: None,
            subtype: "double precision".to_owned(),
            operator_class: None,
            collation: None,
            canonical: canonical.map(str::to_owned),
            subtype_diff: Some("float8mi".to_owned()),
            multirange: Some(("s".to_owned(), multirange.to_owned())),
            internal: Vec::new(),
        }
    }

    fn render(range: &RangeType) -> Rendered {
        range.render(&RenderContext {
            server: ServerVersion::major(15),
            separate: &crate::objects::OidSet::default(),
        })
    }

    #[test]
    fn a_default_multirange_name_is_not_written() {
        assert_eq!(
            render(&range("floatrange", "floatmultirange", None)).create,
            [
                "CREATE TYPE \"s\".\"floatrange\" AS RANGE (\n    subtype = double precision,\n    \
                 subtype_diff = float8mi\n);"
            ]
        );
        assert!(range("r", "r_multirange", None).has_default_multirange());
        assert!(!range("r", "r_many", None).has_default_multirange());
    }

    #[test]
    fn a_canonical_function_needs_the_shell_and_a_cascade() {
        let range = range("r", "r_multirange", Some("s.r_canonical"));
        assert_eq!(
            range.extra_dependencies(),
            [range.id().with_part(Part::Shell)]
        );
        assert_eq!(
            render(&range).drop.as_deref(),
            Some("DROP TYPE IF EXISTS \"s\".\"r\" CASCADE;")
        );
    }
}
