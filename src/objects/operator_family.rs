//! Operator families (`pg_opfamily`) with their loose members: operators and support functions that belong to no operator
//! class (`pg_amop`, `pg_amproc`). Manual: "Operator Classes and Operator Families".

use super::catalog_query::{Row, RowError, read_all};
use super::named::{Named, NamedCatalog, NamedObject};
use super::{CatalogId, Kind, Oid, RenderContext, Rendered, catalog, quote};
use crate::Result;
use crate::conn::Session;

const OPERATOR_FAMILIES: NamedCatalog = NamedCatalog {
    name: "pg_opfamily",
    prefix: "opf",
    in_schema: true,
    has_owner: true,
    acl_letter: None,
};

/// An operator family.
#[derive(Clone, Debug)]
pub struct OperatorFamily {
    named: Named,
    access_method: AccessMethodName,
    loose: Members,
}

/// The access method of a family or class.
#[derive(Clone, Debug)]
pub(super) struct AccessMethodName {
    pub(super) name: String,
    /// Whether every server has it.
    is_built_in: bool,
}

impl AccessMethodName {
    /// The columns that [`AccessMethodName::from_row`] reads, of `pg_am AS am`.
    pub(super) const COLUMNS: &'static str =
        "am.amname, am.oid OPERATOR(pg_catalog.<) 16384::pg_catalog.oid AS am_is_built_in";

    pub(super) fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(AccessMethodName {
            name: row.try_get("amname")?,
            is_built_in: row.try_get("am_is_built_in")?,
        })
    }

    /// `DROP ... IF EXISTS ... USING method`. IF EXISTS does not help where the method is not there.
    pub(super) fn render_drop(&self, object: &str) -> String {
        if self.is_built_in {
            return format!("DROP {object};");
        }
        let method = quote::literal(&self.name);
        quote::do_block(&format!(
            "IF EXISTS (SELECT FROM pg_catalog.pg_am WHERE amname = {method}) THEN DROP {object}; END IF;"
        ))
    }
}

/// SQL: what ADD and CREATE OPERATOR CLASS call the row `alias` of `pg_amop`.
pub(super) fn operator_item(alias: &str) -> String {
    format!(
        "pg_catalog.concat('OPERATOR ', {alias}.amopstrategy, ' ', \
         {alias}.amopopr::pg_catalog.regoperator, ' FOR ORDER BY ' || (SELECT \
         pg_catalog.quote_ident(sn.nspname) || '.' || pg_catalog.quote_ident(s.opfname) \
         FROM pg_catalog.pg_opfamily AS s JOIN pg_catalog.pg_namespace AS sn ON sn.oid = s.opfnamespace \
         WHERE s.oid = {alias}.amopsortfamily))"
    )
}

/// SQL: what ADD and CREATE OPERATOR CLASS call the row `alias` of `pg_amproc`.
pub(super) fn function_item(alias: &str) -> String {
    format!(
        "pg_catalog.concat('FUNCTION ', {alias}.amprocnum, ' (', \
         pg_catalog.format_type({alias}.amproclefttype, NULL), ', ', \
         pg_catalog.format_type({alias}.amprocrighttype, NULL), ') ', \
         {alias}.amproc::pg_catalog.oid::pg_catalog.regprocedure)"
    )
}

/// Operators and functions of a family or class.
#[derive(Clone, Debug, Default)]
pub(super) struct Members {
    rows: Vec<CatalogId>,
    /// `OPERATOR 1 s.<(a,a)`, `FUNCTION 1 (a, a) s.cmp(a,a)`
    items: Vec<String>,
}

impl Members {
    /// The columns that [`Members::from_row`] reads: what is a member by its dependency on the row with this OID of
    /// `pg_opclass` or `pg_opfamily`.
    pub(super) fn columns(of: &str, oid: &str) -> String {
        // An operator of another family that sorts by this one depends on it, too.
        let own = |family: &str| match of {
            "pg_opfamily" => format!("AND m.{family} = {oid}"),
            _ => String::new(),
        };
        let members = |member: &str, family: &str| {
            format!(
                "JOIN pg_catalog.pg_depend AS d ON d.classid = 'pg_catalog.{member}'::pg_catalog.regclass \
                 AND d.objid = m.oid AND d.refclassid = 'pg_catalog.{of}'::pg_catalog.regclass \
                 AND d.refobjid = {oid} {own}",
                own = own(family),
            )
        };
        let all = format!(
            "(SELECT 0 AS sort, m.amopstrategy AS number, 'pg_catalog.pg_amop'::pg_catalog.regclass::pg_catalog.oid AS class, \
             m.oid, {operator} AS item \
             FROM pg_catalog.pg_amop AS m {operators} \
             UNION ALL SELECT 1, m.amprocnum, 'pg_catalog.pg_amproc'::pg_catalog.regclass::pg_catalog.oid, m.oid, \
             {function} \
             FROM pg_catalog.pg_amproc AS m {functions}) AS m ORDER BY m.sort, m.number, m.item",
            operator = operator_item("m"),
            function = function_item("m"),
            operators = members("pg_amop", "amopfamily"),
            functions = members("pg_amproc", "amprocfamily"),
        );
        format!(
            "ARRAY(SELECT m.class FROM {all}) AS member_classes, ARRAY(SELECT m.oid FROM {all}) AS member_oids, \
             ARRAY(SELECT m.item FROM {all}) AS members"
        )
    }

    pub(super) fn from_row(row: &Row) -> Result<Self, RowError> {
        let classes: Vec<Oid> = row.try_get("member_classes")?;
        let oids: Vec<Oid> = row.try_get("member_oids")?;
        Ok(Members {
            rows: classes
                .into_iter()
                .zip(oids)
                .map(|(class, oid)| CatalogId::new(class, oid))
                .collect(),
            items: row.try_get("members")?,
        })
    }

    pub(super) fn claims(&self) -> &[CatalogId] {
        &self.rows
    }

    pub(super) fn items(&self) -> &[String] {
        &self.items
    }
}

impl NamedObject for OperatorFamily {
    const KIND: Kind = Kind::OperatorFamily;
    const CLASS: Oid = catalog::PG_OPFAMILY;

    fn named(&self) -> &Named {
        &self.named
    }

    fn parts(&self) -> Vec<CatalogId> {
        self.loose.claims().to_vec()
    }

    fn tag(&self) -> String {
        format!("{} USING {}", self.named.name, self.access_method.name)
    }

    fn render(&self, _context: &RenderContext<'_>) -> Rendered {
        let name = format!(
            "{} USING {}",
            self.named.sql(),
            quote::ident(&self.access_method.name)
        );
        let object = format!("OPERATOR FAMILY {name}");
        let mut create = vec![format!("CREATE {object};")];
        if !self.loose.items.is_empty() {
            let items = self.loose.items.join(",\n    ");
            create.push(format!("ALTER {object} ADD\n    {items};"));
        }
        Rendered {
            create,
            drop: Some(
                self.access_method
                    .render_drop(&format!("OPERATOR FAMILY IF EXISTS {name}")),
            ),
            alter_owner: self.named.render_owner(&object),
            comments: self.named.render_comments(&object),
            ..Rendered::default()
        }
    }
}

pub(crate) async fn read(session: &Session) -> Result<Vec<OperatorFamily>> {
    let columns = format!(
        "{}, {}",
        AccessMethodName::COLUMNS,
        Members::columns("pg_opfamily", "r.oid")
    );
    let query = OPERATOR_FAMILIES.query(
        &columns,
        "JOIN pg_catalog.pg_am AS am ON am.oid = r.opfmethod",
        "true",
    );
    read_all(session, "operator families", &query, |row| {
        Ok(OperatorFamily {
            named: Named::from_row(row)?,
            access_method: AccessMethodName::from_row(row)?,
            loose: Members::from_row(row)?,
        })
    })
    .await
}
