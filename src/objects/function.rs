//! Functions, procedures, window and trigger functions (`pg_proc`). Manual: "pg_proc".
//!
//! A body of standard SQL depends on all that it uses, and so does an argument's default. In a dependency loop (two functions
//! whose bodies call each other, a body that calls its own function) the function is first made without them, as a dummy that
//! fails if anybody calls it, and gets them later by CREATE OR REPLACE.
//!
//! Aggregates are in [`Aggregate`](super::Aggregate); constructors of range types belong to those.

use super::acl::{Acl, AclTarget, GrantKind};
use super::catalog_query::{
    Row, RowError, comment_join, is_no_member, is_users_schema, read_all, since, unexpected,
};
use super::deparsed::Deparsed;
use super::plain_definition::Deparser;
use super::{
    CatalogId, DumpObject, Kind, ObjectId, Oid, Part, RenderContext, Rendered, Section, catalog,
    quote,
};
use crate::conn::{ServerVersion, Session};
use crate::{Result, lexer};

/// What a dummy does. Of two statements neither the planner nor anybody else looks at the second before it runs, and
/// nothing is looked at while `check_function_bodies` is off.
const DUMMY_BODY: &str = "SELECT 1; SELECT \"this function gets its body later\"";

/// A function or procedure.
#[derive(Clone, Debug)]
pub struct Function {
    oid: Oid,
    schema: String,
    name: String,
    /// What identifies it among those of its name, as deparsed by the server.
    identity_arguments: String,
    is_procedure: bool,
    owner: String,
    acl: Acl,
    comment: Option<String>,
    /// `FUNCTION ...` as deparsed by the server, without CREATE and a semicolon.
    definition: String,
    /// Estimates as the planner has them, and whether it is called for rows at all.
    cost: f32,
    rows: Option<f32>,
    /// Extensions that take it along when they are dropped (`ALTER ... DEPENDS ON EXTENSION`).
    depends_on_extensions: Vec<String>,
    dummy: Option<Dummy>,
}

/// The function without what can come later.
#[derive(Clone, Debug)]
struct Dummy {
    /// `FUNCTION ...`, as far as it needs nothing but `needed`.
    definition: String,
    /// What it needs: types of arguments and of the result, the language, and what defaults that stay name.
    needed: Vec<CatalogId>,
    /// Whether the body is of standard SQL.
    has_sql_body: bool,
}

/// Body and defaults of a function or procedure, which come with it unless a loop goes through them.
#[derive(Clone, Debug)]
pub struct FunctionBody {
    function: Function,
}

impl DumpObject for Function {
    fn kind(&self) -> Kind {
        if self.is_procedure {
            Kind::Procedure
        } else {
            Kind::Function
        }
    }

    fn id(&self) -> ObjectId {
        ObjectId::definition(catalog::PG_PROC, self.oid)
    }

    fn schema(&self) -> Option<&str> {
        Some(&self.schema)
    }

    fn tag(&self) -> String {
        format!("{}({})", self.name, self.identity_arguments)
    }

    fn owner(&self) -> Option<&str> {
        Some(&self.owner)
    }

    fn section(&self) -> Section {
        Section::PreData
    }

    fn needed_at_once(&self) -> Option<&[CatalogId]> {
        self.dummy.as_ref().map(|dummy| dummy.needed.as_slice())
    }

    fn render(&self, context: &RenderContext<'_>) -> Rendered {
        let object = self.object();
        let create = match &self.dummy {
            Some(dummy) if context.is_separate(self.body_id()) => {
                vec![format!("CREATE {};", dummy.definition)]
            }
            _ => self.render_create("CREATE "),
        };
        Rendered {
            create,
            drop: Some(format!(
                "DROP {} IF EXISTS {};",
                self.word(),
                self.signature()
            )),
            alter_owner: Some(format!(
                "ALTER {object} OWNER TO {};",
                quote::ident(&self.owner)
            )),
            comments: self
                .comment
                .iter()
                .map(|text| quote::comment_on(&object, text))
                .collect(),
            acl: self.acl.render(
                &AclTarget::new(GrantKind::Routine, &object),
                &self.owner,
                context.server,
            ),
        }
    }
}

impl DumpObject for FunctionBody {
    fn kind(&self) -> Kind {
        Kind::FunctionBody
    }

    fn id(&self) -> ObjectId {
        self.function.body_id()
    }

    /// The row is the function's.
    fn claims(&self) -> Vec<CatalogId> {
        Vec::new()
    }

    fn schema(&self) -> Option<&str> {
        self.function.schema()
    }

    fn tag(&self) -> String {
        self.function.tag()
    }

    fn owner(&self) -> Option<&str> {
        self.function.owner()
    }

    fn section(&self) -> Section {
        Section::PreData
    }

    fn folded_into(&self) -> Option<ObjectId> {
        Some(self.function.id())
    }

    fn render(&self, context: &RenderContext<'_>) -> Rendered {
        if !context.is_separate(self.id()) {
            return Rendered::default();
        }
        Rendered {
            create: self.function.render_create("CREATE OR REPLACE "),
            drop: self.function.render_drop_of_body(),
            ..Rendered::default()
        }
    }
}

impl Function {
    /// Body and defaults as an object, if they need something: loops go through it.
    pub(crate) fn body(&self) -> Option<FunctionBody> {
        self.dummy.as_ref()?;
        Some(FunctionBody {
            function: self.clone(),
        })
    }

    fn body_id(&self) -> ObjectId {
        self.id().with_part(Part::Late)
    }

    fn word(&self) -> &'static str {
        if self.is_procedure {
            "PROCEDURE"
        } else {
            "FUNCTION"
        }
    }

    fn signature(&self) -> String {
        format!(
            "{}({})",
            quote::qualified(&self.schema, &self.name),
            self.identity_arguments
        )
    }

    /// What ALTER and COMMENT call it.
    fn object(&self) -> String {
        format!("{} {}", self.word(), self.signature())
    }

    /// All of the function, with `create` as its first words. CREATE OR REPLACE forgets what ALTER said.
    fn render_create(&self, create: &str) -> Vec<String> {
        let object = self.object();
        let mut out = vec![format!("{create}{};", self.definition)];
        out.extend(self.render_estimates(&object));
        out.extend(self.depends_on_extensions.iter().map(|extension| {
            format!(
                "ALTER {object} DEPENDS ON EXTENSION {};",
                quote::ident(extension)
            )
        }));
        out
    }

    /// Takes a body of standard SQL out of a function that may be there, so that what it needs can be dropped first. No
    /// statement takes a default away.
    fn render_drop_of_body(&self) -> Option<String> {
        self.dummy.as_ref().filter(|dummy| dummy.has_sql_body)?;
        let body = format!(
            "DECLARE dummy text; BEGIN \
             SELECT pg_catalog.concat(pg_catalog.left(pg_catalog.rtrim(pg_catalog.pg_get_functiondef(p.oid), E'\\n'), \
             - pg_catalog.length(pg_catalog.pg_get_function_sqlbody(p.oid))), 'AS ', pg_catalog.quote_literal({body})) INTO dummy \
             FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
             WHERE n.nspname = {schema} AND p.proname = {name} AND p.prosqlbody IS NOT NULL \
             AND pg_catalog.pg_get_function_identity_arguments(p.oid) = {arguments}; \
             IF dummy IS NOT NULL THEN EXECUTE dummy; END IF; END",
            body = quote::literal(DUMMY_BODY),
            schema = quote::literal(&self.schema),
            name = quote::literal(&self.name),
            arguments = quote::literal(&self.identity_arguments),
        );
        Some(format!("DO {};", quote::dollar(&body)))
    }

    /// The server deparses them with six digits.
    fn render_estimates(&self, object: &str) -> Option<String> {
        let is_exact = |estimate: f32| format!("{estimate:.5e}").parse() == Ok(estimate);
        let mut rounded = String::new();
        if !is_exact(self.cost) {
            rounded.push_str(&format!(" COST {}", self.cost));
        }
        if let Some(rows) = self.rows.filter(|rows| !is_exact(*rows)) {
            rounded.push_str(&format!(" ROWS {rows}"));
        }
        (!rounded.is_empty()).then(|| format!("ALTER {object}{rounded};"))
    }
}

/// What the server deparses replaces a function of the same name and arguments; ours must fail on it, mostly.
fn without_first_words(deparsed: &str) -> Option<&str> {
    let rest = deparsed.strip_prefix("CREATE OR REPLACE ")?;
    Some(rest.trim_end_matches('\n'))
}

/// The function without body and defaults, if they need something: `row` says what the rest needs.
fn dummy(row: &Row, identity_arguments: &str, definition: &str) -> Result<Option<Dummy>, RowError> {
    let (Some(classes), Some(oids)) = (
        row.try_get::<_, Option<Vec<Oid>>>("needed_classes")?,
        row.try_get::<_, Option<Vec<Oid>>>("needed_oids")?,
    ) else {
        return Ok(None);
    };
    // Of functions that are not dumped the server was not asked for it.
    if definition.is_empty() {
        return Ok(None);
    }
    let mut definition = definition.to_owned();
    let sql_body: Option<&str> = row.try_get("sql_body")?;
    if let Some(body) = sql_body {
        let head = definition.strip_suffix(body);
        let head = head.ok_or_else(|| unexpected("a function", "body", body))?;
        definition = format!("{head}AS {}", quote::literal(DUMMY_BODY));
    }
    if row.try_get("defaults_call")? {
        let arguments: &str = row.try_get("arguments")?;
        let (with, without) = (format!("({arguments})"), format!("({identity_arguments})"));
        definition = definition.replacen(&with, &without, 1);
    }
    let rows = classes.into_iter().zip(oids);
    Ok(Some(Dummy {
        definition: lexer::quote_names_spelled_begin(&definition).into_owned(),
        needed: rows
            .map(|(class, oid)| CatalogId::new(class, oid))
            .collect(),
        has_sql_body: sql_body.is_some(),
    }))
}

/// A column of what the function `p` needs without its body, and without its defaults if these call something of the user's.
fn needed_query(server: ServerVersion, column: &str) -> String {
    // prosupport came with 12.
    let support = since(server, 12, "p.prosupport::pg_catalog.oid", "0");
    format!(
        "ARRAY(SELECT d.{column} FROM pg_catalog.pg_depend AS d \
         WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid \
         AND (CASE d.refclassid WHEN 'pg_catalog.pg_language'::pg_catalog.regclass THEN true \
         WHEN 'pg_catalog.pg_type'::pg_catalog.regclass THEN d.refobjid = p.prorettype \
           OR d.refobjid = ANY (p.proargtypes::pg_catalog.oid[]) \
           OR d.refobjid = ANY (p.proallargtypes) OR d.refobjid = ANY (p.protrftypes) \
         WHEN 'pg_catalog.pg_proc'::pg_catalog.regclass THEN d.refobjid = {support} ELSE false END \
         OR NOT late.defaults_call AND {NAMED_IN_DEFAULTS}) \
         ORDER BY d.refclassid, d.refobjid, d.refobjsubid)"
    )
}

/// Whether the defaults of the function `p` name what `d` of `pg_depend` refers to: they are stored with OIDs between blanks.
const NAMED_IN_DEFAULTS: &str = "COALESCE(pg_catalog.strpos(p.proargdefaults::pg_catalog.text, \
     pg_catalog.concat(' ', d.refobjid, ' ')) > 0, false)";

fn functions_query(server: ServerVersion, deparsed: &Deparsed) -> String {
    // prokind came with 11, along with procedures.
    let (is_procedure, is_aggregate) = if server >= ServerVersion::major(11) {
        ("p.prokind = 'p'", "p.prokind = 'a'")
    } else {
        ("false", "p.proisagg")
    };
    // Bodies of standard SQL came with 14.
    let sql_body = since(
        server,
        14,
        "pg_catalog.pg_get_function_sqlbody(p.oid)",
        "NULL::pg_catalog.text",
    );
    let sql_body = deparsed.of_schema("n.oid", sql_body);
    let has_sql_body = since(server, 14, "p.prosqlbody IS NOT NULL", "false");
    let needed = |column| {
        let needed = needed_query(server, column);
        format!("CASE WHEN {has_sql_body} OR late.defaults_call THEN {needed} END")
    };
    format!(
        "SELECT p.oid, n.nspname, p.proname, {is_procedure} AS is_procedure, \
         pg_catalog.pg_get_userbyid(p.proowner) AS owner, p.proacl::pg_catalog.text[] AS acl, \
         pg_catalog.acldefault('f', p.proowner)::pg_catalog.text[] AS acl_default, \
         comment.description, \
         pg_catalog.pg_get_function_identity_arguments(p.oid) AS identity_arguments, \
         {definition} AS definition, \
         p.procost, CASE WHEN p.proretset THEN p.prorows END AS prorows, \
         ARRAY(SELECT e.extname::pg_catalog.text FROM pg_catalog.pg_depend AS x \
           JOIN pg_catalog.pg_extension AS e ON e.oid = x.refobjid \
           WHERE x.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND x.objid = p.oid \
           AND x.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass \
           AND x.deptype = 'x' ORDER BY e.extname) AS extensions, \
         late.defaults_call, \
         CASE WHEN late.defaults_call THEN {arguments} END AS arguments, \
         CASE WHEN {has_sql_body} THEN {sql_body} END AS sql_body, \
         {needed_classes} AS needed_classes, {needed_oids} AS needed_oids \
         FROM pg_catalog.pg_proc AS p \
         JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace {comment} \
         CROSS JOIN LATERAL (SELECT p.proargdefaults IS NOT NULL \
           AND EXISTS (SELECT FROM pg_catalog.pg_depend AS d \
             WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.refobjid >= 16384 \
             AND d.refclassid IN ('pg_catalog.pg_proc'::pg_catalog.regclass, 'pg_catalog.pg_operator'::pg_catalog.regclass) \
             AND {NAMED_IN_DEFAULTS}) AS defaults_call) AS late \
         WHERE NOT {is_aggregate} AND {users} AND {users_schema} \
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS i \
           WHERE i.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass \
           AND i.objid = p.oid AND i.deptype = 'i') \
         ORDER BY n.nspname, p.proname, identity_arguments",
        definition = deparsed.of_schema("n.oid", "pg_catalog.pg_get_functiondef(p.oid)"),
        arguments = deparsed.of_schema("n.oid", "pg_catalog.pg_get_function_arguments(p.oid)"),
        needed_classes = needed("refclassid"),
        needed_oids = needed("refobjid"),
        comment = comment_join("pg_proc", "p"),
        users = is_no_member("pg_proc", "p"),
        users_schema = is_users_schema("n"),
    )
}

pub(crate) async fn read(session: &Session, deparser: &Deparser) -> Result<Vec<Function>> {
    let query = functions_query(session.version(), deparser.deparsed());
    read_all(session, "functions", &query, |row| {
        let name: String = row.try_get("proname")?;
        let identity_arguments: String = row.try_get("identity_arguments")?;
        let deparsed: &str = row.try_get("definition")?;
        let definition = match deparsed {
            "" => "",
            _ => without_first_words(deparsed)
                .ok_or_else(|| unexpected(&format!("function {name}"), "definition", deparsed))?,
        };
        Ok(Function {
            oid: row.try_get("oid")?,
            schema: row.try_get("nspname")?,
            name,
            is_procedure: row.try_get("is_procedure")?,
            owner: row.try_get("owner")?,
            acl: Acl::from_row(row)?,
            comment: row.try_get("description")?,
            cost: row.try_get("procost")?,
            rows: row.try_get("prorows")?,
            depends_on_extensions: row.try_get("extensions")?,
            dummy: dummy(row, &identity_arguments, definition)?,
            definition: lexer::quote_names_spelled_begin(definition).into_owned(),
            identity_arguments,
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::OidSet;

    fn function(is_procedure: bool, definition: &str) -> Function {
        Function {
            oid: Oid(20000),
            schema: "s".to_owned(),
            name: "p\"".to_owned(),
            identity_arguments: "IN a integer".to_owned(),
            is_procedure,
            owner: "o".to_owned(),
            acl: Acl::default(),
            comment: Some("c".to_owned()),
            definition: definition.to_owned(),
            cost: 100.0,
            rows: None,
            depends_on_extensions: vec!["e".to_owned()],
            dummy: None,
        }
    }

    fn render(object: &dyn DumpObject, separate: &[ObjectId]) -> Rendered {
        object.render(&RenderContext {
            server: ServerVersion::major(15),
            separate: &separate.iter().copied().collect::<OidSet<_>>(),
        })
    }

    #[test]
    fn a_procedure_is_called_one_everywhere() {
        let procedure = function(true, "PROCEDURE s.\"p\"\"\"(IN a integer) ...");
        let rendered = render(&procedure, &[]);
        let signature = "PROCEDURE \"s\".\"p\"\"\"(IN a integer)";
        assert_eq!(
            rendered.create,
            [
                "CREATE PROCEDURE s.\"p\"\"\"(IN a integer) ...;".to_owned(),
                format!("ALTER {signature} DEPENDS ON EXTENSION \"e\";")
            ]
        );
        assert_eq!(
            rendered.drop,
            Some("DROP PROCEDURE IF EXISTS \"s\".\"p\"\"\"(IN a integer);".to_owned())
        );
        assert_eq!(
            rendered.comments,
            [format!("COMMENT ON {signature} IS 'c';")]
        );
        assert_eq!(procedure.tag(), "p\"(IN a integer)");
        assert!(procedure.body().is_none());
    }

    #[test]
    fn a_body_of_its_own_replaces_a_dummy() {
        let mut function = function(false, "FUNCTION s.f()\nRETURN s.g()");
        function.dummy = Some(Dummy {
            definition: "FUNCTION s.f()\nAS 'dummy'".to_owned(),
            needed: Vec::new(),
            has_sql_body: true,
        });
        let body = function.body().expect("a body");
        assert_eq!(render(&body, &[]), Rendered::default());
        let whole = render(&function, &[]).create;
        assert_eq!(whole[0], "CREATE FUNCTION s.f()\nRETURN s.g();");
        let separate = [body.id()];
        assert_eq!(
            render(&function, &separate).create,
            ["CREATE FUNCTION s.f()\nAS 'dummy';"]
        );
        let replacing = render(&body, &separate).create;
        assert_eq!(
            replacing[0],
            "CREATE OR REPLACE FUNCTION s.f()\nRETURN s.g();"
        );
        assert_eq!(replacing[1..], whole[1..]);
    }

    #[test]
    fn what_is_deparsed_replaces() {
        assert_eq!(
            without_first_words("CREATE OR REPLACE FUNCTION s.f()\nAS $function$ $function$\n"),
            Some("FUNCTION s.f()\nAS $function$ $function$")
        );
        assert_eq!(without_first_words("something else"), None);
    }
}
