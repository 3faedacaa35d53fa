//! Operators and support functions (`pg_amop`, `pg_amproc`) that somebody added to an operator family of the system's or of an
//! extension. Manual: "ALTER OPERATOR FAMILY". From 14 on CREATE OPERATOR CLASS leaves such in a family that was there, too:
//! what the access method can do without belongs to the family then, not to the class.
//!
//! Nothing tells who ran the statement. What needs an extension and nothing of the user's is taken for that extension's: their
//! scripts add to families as well.

use super::catalog_query::{is_users, read_all};
use super::operator_family::{AccessMethodName, function_item, operator_item};
use super::{
    CatalogId, DumpObject, Kind, ObjectId, Oid, RenderContext, Rendered, Section, catalog, quote,
};
use crate::Result;
use crate::conn::Session;

/// A loose member of an operator family that is not of this dump.
#[derive(Clone, Debug)]
pub struct OperatorFamilyMember {
    row: CatalogId,
    /// `pg_catalog.integer_ops USING btree OPERATOR 1 (integer, s.t)`, names unquoted.
    tag: String,
    family_schema: String,
    family: String,
    access_method: AccessMethodName,
    /// As ADD has it: `OPERATOR 1 <(integer,s.t)`, deparsed by the server.
    item: String,
    /// As DROP has it: `OPERATOR 1 (integer, s.t)`.
    designation: String,
    /// Its types: `pg_depend` lacks them where the function's are others.
    types: Vec<Oid>,
    extensions: Vec<Oid>,
}

/// One of the two catalogs of members.
pub(crate) struct MemberCatalog {
    /// Its name.
    pub(crate) name: &'static str,
    /// SQL: the catalog as `r`, with the joins that `tag` needs.
    pub(crate) from: &'static str,
    /// SQL: the member's name in the table of contents.
    pub(crate) tag: &'static str,
    /// What its columns begin with.
    prefix: &'static str,
    /// What ALTER OPERATOR FAMILY calls such a member, and the column of its number.
    word: &'static str,
    number: &'static str,
    item: fn(&str) -> String,
    /// What is added: the column, its catalog, and the column of the schema there.
    object: (&'static str, &'static str, &'static str),
}

/// `pg_amop` and `pg_amproc`.
pub(crate) const CATALOGS: [MemberCatalog; 2] = [
    MemberCatalog {
        name: "pg_amop",
        from: "pg_catalog.pg_amop AS r JOIN pg_catalog.pg_opfamily AS f ON f.oid = r.amopfamily \
               JOIN pg_catalog.pg_namespace AS fn ON fn.oid = f.opfnamespace \
               JOIN pg_catalog.pg_am AS am ON am.oid = f.opfmethod",
        tag: "pg_catalog.concat(fn.nspname, '.', f.opfname, ' USING ', am.amname, ' OPERATOR ', r.amopstrategy, ' (', \
              pg_catalog.format_type(r.amoplefttype, NULL), ', ', pg_catalog.format_type(r.amoprighttype, NULL), ')')",
        prefix: "amop",
        word: "OPERATOR",
        number: "amopstrategy",
        item: operator_item,
        object: ("amopopr", "pg_operator", "oprnamespace"),
    },
    MemberCatalog {
        name: "pg_amproc",
        from: "pg_catalog.pg_amproc AS r JOIN pg_catalog.pg_opfamily AS f ON f.oid = r.amprocfamily \
               JOIN pg_catalog.pg_namespace AS fn ON fn.oid = f.opfnamespace \
               JOIN pg_catalog.pg_am AS am ON am.oid = f.opfmethod",
        tag: "pg_catalog.concat(fn.nspname, '.', f.opfname, ' USING ', am.amname, ' FUNCTION ', r.amprocnum, ' (', \
              pg_catalog.format_type(r.amproclefttype, NULL), ', ', pg_catalog.format_type(r.amprocrighttype, NULL), ')')",
        prefix: "amproc",
        word: "FUNCTION",
        number: "amprocnum",
        item: function_item,
        object: ("amproc", "pg_proc", "pronamespace"),
    },
];

impl MemberCatalog {
    /// SQL: whether the row `r` is the user's as far as its own types, family and object are concerned. One whose type is gone, as
    /// DROP TYPE leaves it on servers that know no better, is nobody's: it has no name.
    pub(crate) fn is_users(&self) -> String {
        format!(
            "(r.oid >= 16384 AND {} AND NOT (SELECT o.is_extensions FROM {} AS o))",
            self.has_types(),
            self.owners()
        )
    }

    fn has_types(&self) -> String {
        let exists = |side: &str| {
            format!(
                "EXISTS (SELECT FROM pg_catalog.pg_type AS t WHERE t.oid = r.{}{side})",
                self.prefix
            )
        };
        format!("{} AND {}", exists("lefttype"), exists("righttype"))
    }

    /// SQL: a subquery that tells of the row `r` whether it `is_extensions`, the `extensions` that it needs, and its `types`
    /// with what they are made of: an array type is its element type's, a row type its table's.
    fn owners(&self) -> String {
        let MemberCatalog { name, prefix, .. } = self;
        format!(
            "(WITH RECURSIVE needed AS ( \
             (SELECT d.refclassid AS classid, d.refobjid AS objid FROM pg_catalog.pg_depend AS d \
             WHERE d.classid = 'pg_catalog.{name}'::pg_catalog.regclass AND d.objid = r.oid \
             UNION SELECT 'pg_catalog.pg_type'::pg_catalog.regclass, t.oid \
             FROM pg_catalog.unnest(ARRAY[r.{prefix}lefttype, r.{prefix}righttype]) AS t(oid)) \
             UNION SELECT d.refclassid, d.refobjid FROM needed AS n JOIN pg_catalog.pg_depend AS d \
             ON d.classid = n.classid AND d.objid = n.objid AND d.deptype = 'i' \
             WHERE n.classid = 'pg_catalog.pg_type'::pg_catalog.regclass), \
             owned AS (SELECT n.objid, n.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AS is_type, \
             (SELECT e.refobjid FROM pg_catalog.pg_depend AS e \
             WHERE e.classid = n.classid AND e.objid = n.objid AND e.deptype = 'e') AS extension, \
             EXISTS (SELECT FROM pg_catalog.pg_depend AS i WHERE i.classid = n.classid AND i.objid = n.objid \
             AND i.deptype = 'i') AS is_internal FROM needed AS n WHERE n.objid >= 16384) \
             SELECT COALESCE(pg_catalog.bool_or(o.extension IS NOT NULL) AND NOT pg_catalog.bool_or( \
             o.extension IS NULL AND NOT (o.is_type AND o.is_internal)), false) AS is_extensions, \
             COALESCE(pg_catalog.array_agg(o.objid) FILTER (WHERE o.is_type), '{{}}') AS types, \
             COALESCE(pg_catalog.array_agg(DISTINCT o.extension) FILTER (WHERE o.extension IS NOT NULL), '{{}}') AS extensions \
             FROM owned AS o)"
        )
    }

    /// Members of the user's families and classes are these objects' own.
    fn query(&self) -> String {
        let MemberCatalog {
            name,
            prefix,
            object: (column, object_catalog, object_schema),
            ..
        } = self;
        format!(
            "SELECT 'pg_catalog.{name}'::pg_catalog.regclass::pg_catalog.oid AS class, r.oid, {tag} AS tag, \
             fn.nspname AS family_schema, f.opfname AS family, {method}, {item} AS item, \
             pg_catalog.concat('{word} ', r.{number}, ' (', pg_catalog.format_type(r.{prefix}lefttype, NULL), ', ', \
             pg_catalog.format_type(r.{prefix}righttype, NULL), ')') AS designation, o.types, o.extensions \
             FROM {from} CROSS JOIN LATERAL {owners} AS o \
             WHERE r.oid >= 16384 AND {has_types} AND NOT o.is_extensions AND NOT {users_family} \
             AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d JOIN pg_catalog.pg_opclass AS c ON c.oid = d.refobjid \
             WHERE d.classid = 'pg_catalog.{name}'::pg_catalog.regclass AND d.objid = r.oid \
             AND d.refclassid = 'pg_catalog.pg_opclass'::pg_catalog.regclass AND {users_class}) \
             AND NOT EXISTS (SELECT FROM pg_catalog.pg_namespace AS n WHERE n.nspname ~ '^pg_temp_' AND n.oid IN ( \
             SELECT x.{object_schema} FROM pg_catalog.{object_catalog} AS x WHERE x.oid = r.{column} UNION ALL \
             SELECT t.typnamespace FROM pg_catalog.pg_type AS t WHERE t.oid IN (r.{prefix}lefttype, r.{prefix}righttype)))",
            tag = self.tag,
            method = AccessMethodName::COLUMNS,
            item = (self.item)("r"),
            word = self.word,
            number = self.number,
            from = self.from,
            owners = self.owners(),
            has_types = self.has_types(),
            users_family = is_users("pg_opfamily", "f"),
            users_class = is_users("pg_opclass", "c"),
        )
    }
}

impl OperatorFamilyMember {
    /// `ALTER OPERATOR FAMILY ... USING ...`
    fn alter(&self) -> String {
        format!(
            "ALTER OPERATOR FAMILY {} USING {}",
            quote::qualified(&self.family_schema, &self.family),
            quote::ident(&self.access_method.name)
        )
    }

    /// ALTER OPERATOR FAMILY knows no IF EXISTS.
    fn render_drop(&self) -> String {
        let [operators, functions] = CATALOGS;
        let MemberCatalog { from, tag, .. } = match self.row.class == catalog::PG_AMPROC {
            true => functions,
            false => operators,
        };
        quote::do_block(&format!(
            "IF EXISTS (SELECT FROM {from} WHERE {tag} = {}) THEN {} DROP {}; END IF;",
            quote::literal(&self.tag),
            self.alter(),
            self.designation
        ))
    }
}

impl DumpObject for OperatorFamilyMember {
    fn kind(&self) -> Kind {
        Kind::OperatorFamilyMember
    }

    fn id(&self) -> ObjectId {
        ObjectId::definition(self.row.class, self.row.oid)
    }

    /// It lies where its family lies, which is not of this dump: as a cast, it goes with the whole database.
    fn schema(&self) -> Option<&str> {
        None
    }

    fn tag(&self) -> String {
        self.tag.clone()
    }

    fn section(&self) -> Section {
        Section::PreData
    }

    fn extra_dependencies(&self) -> Vec<ObjectId> {
        let types = self.types.iter();
        let types = types.map(|&oid| ObjectId::definition(catalog::PG_TYPE, oid));
        let extensions = self.extensions.iter();
        types
            .chain(extensions.map(|&oid| ObjectId::definition(catalog::PG_EXTENSION, oid)))
            .collect()
    }

    fn render(&self, _context: &RenderContext<'_>) -> Rendered {
        Rendered {
            create: vec![format!("{} ADD\n    {};", self.alter(), self.item)],
            drop: Some(self.render_drop()),
            ..Rendered::default()
        }
    }
}

pub(crate) async fn read(session: &Session) -> Result<Vec<OperatorFamilyMember>> {
    let queries = CATALOGS.map(|catalog| catalog.query());
    // What is equal by name was added in no order that counts.
    let query = format!("{} ORDER BY tag", queries.join(" UNION ALL "));
    read_all(session, "members of operator families", &query, |row| {
        Ok(OperatorFamilyMember {
            row: CatalogId::new(row.try_get("class")?, row.try_get("oid")?),
            tag: row.try_get("tag")?,
            family_schema: row.try_get("family_schema")?,
            family: row.try_get("family")?,
            access_method: AccessMethodName::from_row(row)?,
            item: row.try_get("item")?,
            designation: row.try_get("designation")?,
            types: row.try_get("types")?,
            extensions: row.try_get("extensions")?,
        })
    })
    .await
}
