//! Privileges of what initdb or an extension made (`pg_init_privs`), where they were changed since: the difference alone
//! is dumped, for the object itself comes from elsewhere.

use super::acl::{Acl, AclTarget, GrantKind};
use super::catalog_query::{read_all, unexpected};
use super::{
    CatalogId, DumpObject, Kind, ObjectId, Oid, Part, RenderContext, Rendered, Section, catalog,
};
use crate::Result;
use crate::conn::Session;

/// The changed privileges of one object, or of one column.
#[derive(Clone, Debug)]
pub struct ChangedPrivileges {
    row: CatalogId,
    /// The attribute number; 0 for the object as a whole.
    column_number: i32,
    column: Option<String>,
    schema: Option<String>,
    kind: GrantKind,
    /// As it follows ON: `FUNCTION pg_catalog.pg_sleep(double precision)`.
    object: String,
    owner: String,
    /// That it is a member of.
    pub(crate) extension: Option<Oid>,
    acl: Acl,
}

impl DumpObject for ChangedPrivileges {
    fn kind(&self) -> Kind {
        Kind::Acl
    }

    fn id(&self) -> ObjectId {
        ObjectId {
            catalog: self.row,
            part: Part::Privileges(self.column_number),
        }
    }

    /// The object is not of this dump.
    fn claims(&self) -> Vec<CatalogId> {
        Vec::new()
    }

    fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    fn tag(&self) -> String {
        match &self.column {
            Some(column) => format!("{} {column}", self.object),
            None => self.object.clone(),
        }
    }

    fn owner(&self) -> Option<&str> {
        Some(&self.owner)
    }

    fn section(&self) -> Section {
        Section::PostData
    }

    /// Privileges on columns come after those on the whole: a REVOKE on the whole takes them back.
    fn extra_dependencies(&self) -> Vec<ObjectId> {
        let extension = self.extension.iter();
        let of_whole = (self.column.is_some()).then_some(ObjectId {
            catalog: self.row,
            part: Part::Privileges(0),
        });
        extension
            .map(|&oid| ObjectId::definition(catalog::PG_EXTENSION, oid))
            .chain(of_whole)
            .collect()
    }

    fn render(&self, context: &RenderContext<'_>) -> Rendered {
        let target = match &self.column {
            Some(column) => AclTarget::column(&self.object, column),
            None => AclTarget::new(self.kind, &self.object),
        };
        Rendered {
            create: self.acl.render(&target, &self.owner, context.server),
            ..Rendered::default()
        }
    }
}

/// Without an entry in `pg_init_privs` the initial privileges were the default ones. aclitem[] has containment but no
/// order: two lists are equal if each holds the other. Of the system's schemas only pg_catalog counts, as in pg_dump:
/// initdb records no initial privileges for information_schema. The schema public has an object of its own.
///
/// Whose objects they are is asked in each part: on the way to the whole most of the user's columns would be joined. Of
/// the columns, which are most by far, an array finds the few by an index.
fn query() -> String {
    let is_of_others = |catalog: &str, oid: &str, schema: &str| {
        format!(
            "({schema} = 'pg_catalog'::pg_catalog.regnamespace OR {oid} IN (SELECT d.objid FROM pg_catalog.pg_depend AS d \
             WHERE d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e' \
             AND d.classid = 'pg_catalog.{catalog}'::pg_catalog.regclass))"
        )
    };
    let catalogs = [
        (
            "pg_class",
            "relnamespace",
            "relowner",
            "relacl",
            "CASE r.relkind WHEN 'S' THEN 's' ELSE 'r' END",
        ),
        ("pg_proc", "pronamespace", "proowner", "proacl", "'f'"),
        ("pg_type", "typnamespace", "typowner", "typacl", "'T'"),
        ("pg_namespace", "r.oid", "nspowner", "nspacl", "'n'"),
        (
            "pg_language",
            "0::pg_catalog.oid",
            "lanowner",
            "lanacl",
            "'l'",
        ),
        (
            "pg_foreign_data_wrapper",
            "0::pg_catalog.oid",
            "fdwowner",
            "fdwacl",
            "'F'",
        ),
        (
            "pg_foreign_server",
            "0::pg_catalog.oid",
            "srvowner",
            "srvacl",
            "'S'",
        ),
    ];
    let mut parts: Vec<String> = catalogs
        .iter()
        .map(|(name, schema, owner, acl, kind)| {
            let is_of_others = is_of_others(name, "r.oid", schema);
            let is_wanted = match *name {
                // SQL itself, too, though it is in no schema. Privileges on those that are not trusted are refused.
                "pg_language" => format!("r.lanpltrusted AND (r.oid < 16384 OR {is_of_others})"),
                _ => is_of_others,
            };
            format!(
                "SELECT 'pg_catalog.{name}'::pg_catalog.regclass::pg_catalog.oid AS classid, \
                 r.oid AS objid, 0 AS objsubid, NULL::pg_catalog.name AS column_name, \
                 {schema}::pg_catalog.oid AS schema, r.{owner} AS owner, ({kind})::pg_catalog.text AS kind, \
                 COALESCE(r.{acl}, pg_catalog.acldefault(({kind})::\"char\", r.{owner})) AS now, \
                 COALESCE(i.initprivs, pg_catalog.acldefault(({kind})::\"char\", r.{owner})) AS initially \
                 FROM pg_catalog.{name} AS r LEFT JOIN pg_catalog.pg_init_privs AS i \
                 ON i.classoid = 'pg_catalog.{name}'::pg_catalog.regclass AND i.objoid = r.oid AND i.objsubid = 0 \
                 WHERE (r.{acl} IS NOT NULL OR i.objoid IS NOT NULL) AND {is_wanted}",
            )
        })
        .collect();
    parts.push(format!(
        "SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid, r.attrelid, \
         r.attnum::pg_catalog.int4, r.attname, c.relnamespace, c.relowner, 'c', \
         COALESCE(r.attacl, '{{}}'), COALESCE(i.initprivs, '{{}}') FROM pg_catalog.pg_attribute AS r \
         JOIN pg_catalog.pg_class AS c ON c.oid = r.attrelid LEFT JOIN pg_catalog.pg_init_privs AS i \
         ON i.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND i.objoid = r.attrelid \
         AND i.objsubid = r.attnum \
         WHERE r.attrelid = ANY (ARRAY(SELECT c.oid FROM pg_catalog.pg_class AS c WHERE {is_of_others})) \
         AND NOT r.attisdropped AND (r.attacl IS NOT NULL OR i.objoid IS NOT NULL)",
        is_of_others = is_of_others("pg_class", "c.oid", "c.relnamespace"),
    ));
    // GRANT knows types by their names in the catalog alone, not as "integer", and tells procedures apart by their OUT
    // arguments, too.
    format!(
        "SELECT o.classid, o.objid, o.objsubid, o.column_name, o.kind, i.type, n.nspname AS schema, \
         CASE WHEN o.kind = 'T' OR i.type = 'procedure' THEN pg_catalog.concat( \
           pg_catalog.quote_ident(n.nspname), '.', pg_catalog.quote_ident(COALESCE(t.typname, p.proname)), \
           '(' || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')') ELSE i.identity END AS identity, \
         pg_catalog.pg_get_userbyid(o.owner) AS owner, d.refobjid AS extension, \
         o.now::pg_catalog.text[] AS acl, o.initially::pg_catalog.text[] AS acl_default \
         FROM ({}) AS o \
         LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = o.schema \
         LEFT JOIN pg_catalog.pg_type AS t ON o.kind = 'T' AND t.oid = o.objid \
         LEFT JOIN pg_catalog.pg_proc AS p ON o.kind = 'f' AND p.oid = o.objid \
         LEFT JOIN pg_catalog.pg_depend AS d ON d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass \
         AND d.deptype = 'e' AND d.classid = o.classid AND d.objid = o.objid \
         CROSS JOIN LATERAL pg_catalog.pg_identify_object(o.classid, o.objid, 0) AS i \
         WHERE NOT (o.now @> o.initially AND o.initially @> o.now) \
         ORDER BY i.type, identity, o.objsubid",
        parts.join(" UNION ALL ")
    )
}

pub(crate) async fn read(session: &Session) -> Result<Vec<ChangedPrivileges>> {
    read_all(session, "changed privileges", &query(), |row| {
        let identity: String = row.try_get("identity")?;
        let letter: &str = row.try_get("kind")?;
        let (kind, word) = match letter {
            "r" => (GrantKind::Table, "TABLE"),
            "c" => (GrantKind::Column, "TABLE"),
            "s" => (GrantKind::Sequence, "SEQUENCE"),
            "f" if row.try_get::<_, &str>("type")? == "procedure" => {
                (GrantKind::Routine, "PROCEDURE")
            }
            "f" => (GrantKind::Routine, "FUNCTION"),
            "T" => (GrantKind::Type, "TYPE"),
            "n" => (GrantKind::Schema, "SCHEMA"),
            "l" => (GrantKind::Language, "LANGUAGE"),
            "F" => (GrantKind::ForeignDataWrapper, "FOREIGN DATA WRAPPER"),
            "S" => (GrantKind::ForeignServer, "FOREIGN SERVER"),
            other => return Err(unexpected(&identity, "kind of privileges", other).into()),
        };
        Ok(ChangedPrivileges {
            row: CatalogId::new(row.try_get("classid")?, row.try_get("objid")?),
            column_number: row.try_get("objsubid")?,
            column: row.try_get("column_name")?,
            schema: row.try_get("schema")?,
            kind,
            object: format!("{word} {identity}"),
            owner: row.try_get("owner")?,
            extension: row.try_get("extension")?,
            acl: Acl::from_row(row)?,
        })
    })
    .await
}
