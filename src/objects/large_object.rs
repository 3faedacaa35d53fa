//! Large objects (`pg_largeobject_metadata`). A database can have millions: they are dumped in
//! groups of one owner, each group as two objects, [`LargeObject`] and [`LargeObjectData`].

use super::acl::{Acl, AclTarget, GrantKind};
use super::catalog_query::read_all;
use super::{
    CatalogId, DumpObject, Kind, ObjectId, Oid, Part, RenderContext, Rendered, Section, catalog,
    quote,
};
use crate::Result;
use crate::conn::Session;

/// Bounds the length of the entries and the work that is lost when one fails.
const GROUP_SIZE: usize = 1000;

/// Large objects of one owner: everything but their contents.
#[derive(Clone, Debug)]
pub struct LargeObject {
    owner: String,
    /// Ascending, never empty.
    oids: Vec<Oid>,
    acls: Vec<(Oid, Acl)>,
    comments: Vec<(Oid, String)>,
}

impl DumpObject for LargeObject {
    fn kind(&self) -> Kind {
        Kind::LargeObject
    }

    fn id(&self) -> ObjectId {
        group_id(&self.oids)
    }

    fn claims(&self) -> Vec<CatalogId> {
        self.oids
            .iter()
            .map(|&oid| CatalogId::new(catalog::PG_LARGEOBJECT, oid))
            .collect()
    }

    fn schema(&self) -> Option<&str> {
        None
    }

    fn tag(&self) -> String {
        group_tag(&self.oids)
    }

    fn owner(&self) -> Option<&str> {
        Some(&self.owner)
    }

    /// It must be there before its contents.
    fn section(&self) -> Section {
        Section::PreData
    }

    fn render(&self, context: &RenderContext<'_>) -> Rendered {
        Rendered {
            create: vec![render_create(&self.oids)],
            drop: Some(render_unlink(&self.oids)),
            alter_owner: Some(render_alter_owner(&self.oids, &self.owner)),
            comments: self
                .comments
                .iter()
                .map(|(oid, text)| quote::comment_on(&format!("LARGE OBJECT {oid}"), text))
                .collect(),
            acl: self
                .acls
                .iter()
                .flat_map(|(oid, acl)| {
                    let object = format!("LARGE OBJECT {oid}");
                    let target = AclTarget::new(GrantKind::LargeObject, &object);
                    acl.render(&target, &self.owner, context.server)
                })
                .collect(),
        }
    }
}

/// Makes large objects, empty ones.
pub(crate) fn render_create(oids: &[Oid]) -> String {
    let oids = quote::oid_array(oids);
    format!("SELECT pg_catalog.lo_create(lo.oid) FROM pg_catalog.unnest({oids}) AS lo (oid);")
}

/// Drops those that are there.
pub(crate) fn render_unlink(oids: &[Oid]) -> String {
    let oids = quote::oid_array(oids);
    format!(
        "SELECT pg_catalog.lo_unlink(lo.oid) FROM pg_catalog.pg_largeobject_metadata AS lo \
         WHERE lo.oid = ANY ({oids});"
    )
}

/// ALTER LARGE OBJECT takes one at a time; several go in one round trip. Those that are the owner's already are left alone: each
/// ALTER holds a lock until the end of the transaction, and creating them takes none.
pub(crate) fn render_alter_owner(oids: &[Oid], owner: &str) -> String {
    let name = quote::ident(owner);
    if let [oid] = oids {
        return format!("ALTER LARGE OBJECT {oid} OWNER TO {name};");
    }
    let statement = quote::literal(&format!(" OWNER TO {name}"));
    let body = format!(
        "DECLARE lo pg_catalog.oid; BEGIN FOR lo IN SELECT l.oid FROM pg_catalog.pg_largeobject_metadata AS l \
         WHERE l.oid = ANY ({}) AND pg_catalog.pg_get_userbyid(l.lomowner) <> {} LOOP \
         EXECUTE pg_catalog.concat('ALTER LARGE OBJECT ', lo, {statement}); END LOOP; END",
        quote::oid_array(oids),
        quote::literal(owner)
    );
    format!("DO {};", quote::dollar(&body))
}

/// The contents of large objects of one owner.
#[derive(Clone, Debug)]
pub struct LargeObjectData {
    owner: String,
    /// The large objects whose contents belong to this entry, ascending, never empty.
    pub oids: Vec<Oid>,
}

impl DumpObject for LargeObjectData {
    fn kind(&self) -> Kind {
        Kind::LargeObjectData
    }

    fn id(&self) -> ObjectId {
        group_id(&self.oids).with_part(Part::Data)
    }

    fn claims(&self) -> Vec<CatalogId> {
        Vec::new()
    }

    fn schema(&self) -> Option<&str> {
        None
    }

    fn tag(&self) -> String {
        group_tag(&self.oids)
    }

    fn owner(&self) -> Option<&str> {
        Some(&self.owner)
    }

    fn section(&self) -> Section {
        Section::Data
    }

    /// The group with the same large objects.
    fn extra_dependencies(&self) -> Vec<ObjectId> {
        vec![group_id(&self.oids)]
    }

    /// Nothing: the data members hold the statements.
    fn render(&self, _context: &RenderContext<'_>) -> Rendered {
        Rendered::default()
    }
}

/// A group goes by its first member.
fn group_id(oids: &[Oid]) -> ObjectId {
    let first = oids.first().copied().unwrap_or(Oid(0));
    ObjectId::definition(catalog::PG_LARGEOBJECT, first)
}

fn group_tag(oids: &[Oid]) -> String {
    match oids {
        [first, .., last] => format!("{first}..{last}"),
        [only] => only.to_string(),
        [] => String::new(),
    }
}

/// A row of the query.
struct Metadata {
    oid: Oid,
    owner: String,
    acl: Acl,
    comment: Option<String>,
}

/// All of them, whatever their OID: unlike other objects', it can be chosen freely.
const LARGE_OBJECTS_QUERY: &str = "\
    SELECT lo.oid, pg_catalog.pg_get_userbyid(lo.lomowner) AS owner, \
    lo.lomacl::pg_catalog.text[] AS acl, \
    pg_catalog.acldefault('L', lo.lomowner)::pg_catalog.text[] AS acl_default, \
    comment.description \
    FROM pg_catalog.pg_largeobject_metadata AS lo \
    LEFT JOIN pg_catalog.pg_description AS comment \
    ON comment.classoid = 'pg_catalog.pg_largeobject'::pg_catalog.regclass \
    AND comment.objoid = lo.oid AND comment.objsubid = 0 \
    ORDER BY owner, lo.oid";

pub(crate) async fn read(session: &Session) -> Result<Vec<LargeObject>> {
    let metadata = read_all(session, "large objects", LARGE_OBJECTS_QUERY, |row| {
        Ok(Metadata {
            oid: row.try_get("oid")?,
            owner: row.try_get("owner")?,
            acl: Acl::from_row(row)?,
            comment: row.try_get("description")?,
        })
    })
    .await?;
    Ok(metadata
        .chunk_by(|a, b| a.owner == b.owner)
        .flat_map(|of_owner| of_owner.chunks(GROUP_SIZE))
        .map(group)
        .collect())
}

fn group(metadata: &[Metadata]) -> LargeObject {
    LargeObject {
        owner: metadata
            .first()
            .map(|lo| lo.owner.clone())
            .unwrap_or_default(),
        oids: metadata.iter().map(|lo| lo.oid).collect(),
        acls: metadata.iter().map(|lo| (lo.oid, lo.acl.clone())).collect(),
        comments: metadata
            .iter()
            .filter_map(|lo| Some((lo.oid, lo.comment.clone()?)))
            .collect(),
    }
}

/// The same groups as [`read`] gives, in the same snapshot.
pub(crate) async fn read_large_object_data(session: &Session) -> Result<Vec<LargeObjectData>> {
    Ok(read(session)
        .await?
        .into_iter()
        .map(|group| LargeObjectData {
            owner: group.owner,
            oids: group.oids,
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::ServerVersion;

    fn render(oids: &[u32]) -> Rendered {
        let metadata: Vec<Metadata> = oids
            .iter()
            .map(|&oid| Metadata {
                oid: Oid(oid),
                owner: "o'".to_owned(),
                acl: Acl::default(),
                comment: Some("c".to_owned()),
            })
            .collect();
        group(&metadata).render(&RenderContext {
            server: ServerVersion::major(15),
            separate: &crate::objects::OidSet::default(),
        })
    }

    #[test]
    fn one_large_object_needs_no_loop() {
        let rendered = render(&[5]);
        assert_eq!(
            rendered.alter_owner.as_deref(),
            Some("ALTER LARGE OBJECT 5 OWNER TO \"o'\";")
        );
        assert_eq!(rendered.comments, ["COMMENT ON LARGE OBJECT 5 IS 'c';"]);
    }

    #[test]
    fn a_group_is_created_and_given_away_at_once() {
        let rendered = render(&[5, 16404]);
        assert_eq!(
            rendered.create,
            ["SELECT pg_catalog.lo_create(lo.oid) \
                 FROM pg_catalog.unnest('{5,16404}'::pg_catalog.oid[]) AS lo (oid);"]
        );
        assert_eq!(
            rendered.alter_owner.as_deref(),
            Some(
                "DO $_$DECLARE lo pg_catalog.oid; BEGIN \
                 FOR lo IN SELECT l.oid FROM pg_catalog.pg_largeobject_metadata AS l \
                 WHERE l.oid = ANY ('{5,16404}'::pg_catalog.oid[]) \
                 AND pg_catalog.pg_get_userbyid(l.lomowner) <> 'o''' LOOP \
                 EXECUTE pg_catalog.concat('ALTER LARGE OBJECT ', lo, ' OWNER TO \"o''\"'); \
                 END LOOP; END$_$;"
            )
        );
    }

    #[test]
    fn data_depends_on_its_group() {
        let data = LargeObjectData {
            owner: "o".to_owned(),
            oids: vec![Oid(5), Oid(7)],
        };
        assert_eq!(
            data.extra_dependencies(),
            [ObjectId::definition(catalog::PG_LARGEOBJECT, Oid(5))]
        );
        assert_eq!(data.tag(), "5..7");
    }
}
