//! Everything that will be dumped, rendered and in order. Read from the catalogs by [`read_contents`].

use std::collections::{BTreeSet, HashMap};

use rayon::iter::{IntoParallelIterator, IntoParallelRefIterator, ParallelIterator};
use tokio_postgres::Row;

use crate::archive::{DumpId, Section};
use crate::conn::{ServerVersion, Session};
use crate::lexer;
use crate::objects::quote::{self, one_line};
use crate::objects::{
    CatalogId, Kind, LargeObjectData, LockStrength, Object, ObjectId, OidSet, Part, RenderContext,
    RenderOptions, Rendered, TableData, catalog,
};
use crate::order::{Broken, Fold, Node, order};
use crate::{Error, ErrorKind, Result};

use super::aide::Aide;
use super::catalog::{Catalog, describe, extension_members, read_catalog};
use super::column_order::ColumnOrder;
use super::deparsed::read_deparsed;
use super::parts::Parts;
use super::row_order;
use super::selection::{Inheritance, Selection};
use super::sweep::{passing, sweep, unsupported};
use super::wanted;

/// Which parts of the selected objects are wanted.
#[derive(Clone, Debug, Default)]
pub struct ContentOptions {
    /// `-s -a -x --section --no-comments` and their like.
    pub parts: Parts,
    /// `-O`: no ALTER ... OWNER.
    pub no_owner: bool,
    /// `--no-unlogged-table-data`
    pub no_unlogged_table_data: bool,
    /// How definitions are written.
    pub style: RenderOptions,
    /// `--disable-dollar-quoting`: strings of standard SQL instead.
    pub no_dollar_quoting: bool,
    /// `--skip-unsupported`: list what cannot be dumped yet instead of stopping.
    pub skip_unsupported: bool,
    /// In which order the columns of rows are read.
    pub column_order: ColumnOrder,
}

/// The contents of a dump in script order.
#[derive(Debug)]
pub struct Contents {
    /// All entries; `entries[i].id.0 == i + 1`.
    pub entries: Vec<ContentEntry>,
    /// Objects that are left out because `--skip-unsupported` was given, one line each.
    pub unsupported: Vec<String>,
    /// What is not as the user may expect, one line each.
    pub warnings: Vec<String>,
}

/// One entry of the future table of contents with its SQL.
#[derive(Clone, Debug)]
pub struct ContentEntry {
    /// Its number, counted from 1 in script order.
    pub id: DumpId,
    /// Its kind.
    pub kind: Kind,
    /// The schema it lies in.
    pub schema: Option<String>,
    /// Its name in the table of contents.
    pub tag: String,
    /// See `archive::TocEntry::relation`.
    pub relation: Option<DumpId>,
    /// See `archive::TocEntry::subject`.
    pub subject: Option<DumpId>,
    /// Its owner's role name.
    pub owner: Option<String>,
    /// Its section after loop repair.
    pub section: Section,
    /// Entries that come before it and that it needs.
    pub depends_on: Vec<DumpId>,
    /// Tables that its statements lock, `true` for exclusively.
    pub locks: Vec<(DumpId, bool)>,
    /// The statement that drops it.
    pub drop: Option<String>,
    /// Statements, one each, with their semicolon.
    pub create: Vec<String>,
    /// ALTER ... OWNER TO, unless `no_owner`.
    pub alter_owner: Option<String>,
    /// What the data phase has to copy for this entry.
    pub data: Option<DataSource>,
}

impl ContentEntry {
    /// The role that it belongs to, if the script can make it as this role: something in a schema. Beside schemas, owners
    /// would need rights that they get later, if ever; and some kinds only superusers make.
    pub(super) fn maker(&self) -> Option<&str> {
        let is_made = self.alter_owner.is_some() && !self.create.is_empty();
        let is_for_superusers = matches!(
            self.kind,
            Kind::BaseType | Kind::OperatorClass | Kind::OperatorFamily
        );
        let can_make = is_made && self.schema.is_some() && !is_for_superusers;
        self.owner.as_deref().filter(|_| can_make)
    }
}

/// What the data phase copies.
#[derive(Clone, Debug)]
pub enum DataSource {
    /// The rows of a table.
    Table(Box<TableData>),
    /// The contents of large objects.
    LargeObjects(Box<LargeObjectData>),
}

/// Reads the catalogs under the session's snapshot, sweeps them for unclaimed rows, orders and renders. An `aide`
/// does half of the reading.
///
/// # Errors
/// `Unsupported` with the names of all objects that no kind claims, unless `skip_unsupported`;
/// `Usage` if a pattern of the selection matches nothing (pg_dump's rule: an error only if no
/// table or schema matched at all); `Catalog`.
pub(super) async fn read_contents(
    session: &Session,
    aide: Option<Aide>,
    selection: &Selection,
    options: &ContentOptions,
) -> Result<Contents> {
    let selection = resolve(session, selection).await?;
    let deparsed = read_deparsed(session, &selection).await?;
    let (mut catalog, swept) = read_catalog(session, aide, &options.parts, deparsed).await?;
    for object in &mut catalog.objects {
        choose_rows(object, &selection)?;
        object.simplify(&options.style);
    }
    let leftovers = sweep(session, &catalog, &swept, &selection, &options.parts).await?;
    if !leftovers.lines.is_empty() && !options.skip_unsupported {
        return Err(unsupported(&leftovers.lines));
    }
    let mut wanted = wanted::choose(&catalog, &selection, options);
    // A function, say, whose argument has the type of a session's temporary table.
    let of_sessions = wanted::leave_out(&catalog, &passing(&catalog, &swept), &mut wanted);
    let crippled = wanted::leave_out(&catalog, &leftovers.rows, &mut wanted);
    let unfilled = wanted::leave_out_unfilled(&catalog, &mut wanted);
    let unlogged = match session.in_recovery() {
        true => wanted::leave_out_unlogged(&catalog, &mut wanted),
        false => Vec::new(),
    };
    expect_values(&catalog, &wanted)?;
    let circles = row_order::cut_circles(&mut catalog, &wanted);
    let ordered = order_objects(
        &catalog,
        &wanted,
        &[&of_sessions[..], &crippled[..]].concat(),
    );
    let mut without: Vec<String> = crippled
        .iter()
        .map(|&index| describe(&catalog.objects[index]))
        .collect();
    without.sort_unstable();
    let mut lines = leftovers.lines;
    lines.extend(
        without
            .into_iter()
            .map(|name| format!("{name} (needs one of these)")),
    );
    let mut warnings = lost_properties(&catalog, &wanted);
    warnings.extend_from_slice(&ordered.warnings);
    warnings.extend(left_out(
        &catalog,
        &of_sessions,
        "it needs something temporary of a session",
    ));
    warnings.extend(left_out(
        &catalog,
        &unfilled,
        "it reads a materialized view that is not populated",
    ));
    warnings.extend(left_out(
        &catalog,
        &unlogged,
        "a standby has no contents of what is unlogged",
    ));
    warnings.extend(circles.iter().map(|tables| {
        let names: Vec<String> = (tables.iter())
            .map(|&index| describe(&catalog.objects[index]))
            .collect();
        format!(
            "{}: their foreign keys go round in a circle, so that the rows fit in no order and may be refused; \
             restore them with --disable-triggers, or with their definitions",
            names.join(", ")
        )
    }));
    warnings.extend(switched_constraints(&catalog, &swept.switched, &wanted));
    let labels = swept.labels.iter();
    let members = extension_members(&catalog);
    // A label on a member of an extension can be set once the extension is there.
    let labelled = |row: CatalogId| match members.get(&row) {
        Some(extension) => CatalogId::new(catalog::PG_EXTENSION, *extension),
        None => row,
    };
    let labels = labels.map(|label| (labelled(label.row), label.statement.clone()));
    let comments = swept.side_comments.iter();
    let comments = comments.filter_map(|comment| Some((comment.row, comment.statement.clone()?)));
    let about = About {
        labels: by_object(&catalog, labels),
        comments: by_object(&catalog, comments),
    };
    drop(swept);
    Ok(Contents {
        entries: render(session.version(), catalog, ordered, &about, options)?,
        unsupported: lines,
        warnings,
    })
}

/// Limits the rows of a table to those that `--where` and `--sample` ask for.
fn choose_rows(object: &mut Object, selection: &Selection) -> Result<()> {
    let Object::TableData(data) = object else {
        return Ok(());
    };
    // What is asked of a partitioned table is asked of its partitions.
    let of_root = || {
        let (schema, name) = data.root.as_ref()?;
        selection.rows_clause(schema, name)
    };
    let Some(clause) = (selection.rows_clause(&data.schema, &data.name)).or_else(of_root) else {
        return Ok(());
    };
    if data.condition.is_some() {
        let name = one_line(&quote::qualified(&data.schema, &data.name)).into_owned();
        return Err(Error::new(
            ErrorKind::Usage,
            format!("the rows of {name} are chosen by its extension"),
        ));
    }
    data.condition = Some(clause);
    Ok(())
}

/// Tells what wanted objects lose: what nobody could restore, and passwords.
fn lost_properties(catalog: &Catalog, wanted: &[bool]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut with_oids = Vec::new();
    let wanted = catalog.objects.iter().zip(wanted);
    for (object, _) in wanted.filter(|(_, wanted)| **wanted) {
        match object {
            Object::Subscription(it) if it.lost_password() => lines.push(format!(
                "{}: its password is left out; --subscription-passwords keeps it",
                describe(object)
            )),
            Object::TextSearchConfiguration(it) => {
                lines.extend(it.unknown_token_types().iter().map(|number| {
                    let name = describe(object);
                    format!("{name}: the mapping of token type {number} is left out, for its parser does not know it")
                }));
            }
            Object::Table(it) if it.has_oids() => with_oids.push(describe(object)),
            _ => {}
        }
    }
    if !with_oids.is_empty() {
        let named = quote::some_of(&with_oids);
        lines.push(format!(
            "dumped without the OIDs that PostgreSQL has given up: {named}"
        ));
    }
    lines
}

/// Tells of constraints that nobody upholds in the source, or not as usual: their triggers have no names by which another server
/// could be told.
fn switched_constraints(catalog: &Catalog, triggers: &[CatalogId], wanted: &[bool]) -> Vec<String> {
    let constraints = triggers.iter().filter_map(|row| catalog.claimant(*row));
    let constraints: BTreeSet<String> = constraints
        .filter(|&index| wanted[index])
        .map(|index| &catalog.objects[index])
        .filter(|object| matches!(object, Object::ForeignKey(_) | Object::Constraint(_)))
        .map(describe)
        .collect();
    let told = |constraint| {
        format!(
            "{constraint}: some of its triggers are disabled or fire otherwise; restored, they fire as usual"
        )
    };
    constraints.into_iter().map(told).collect()
}

/// # Errors
/// `Catalog` if the value of a sequence is wanted that we could not read.
fn expect_values(catalog: &Catalog, wanted: &[bool]) -> Result<()> {
    for (object, wanted) in catalog.objects.iter().zip(wanted) {
        if let (Object::SequenceSet(set), true) = (object, wanted) {
            set.expect_value()?;
        }
    }
    Ok(())
}

/// Tells of what is left out, and why.
fn left_out(catalog: &Catalog, objects: &[usize], why: &str) -> Vec<String> {
    let mut lines: Vec<String> = objects
        .iter()
        .map(|&index| describe(&catalog.objects[index]))
        .map(|name| format!("{name}: left out, for {why}"))
        .collect();
    lines.sort_unstable();
    lines
}

/// Statements about objects that their kinds do not render, by object.
struct About {
    labels: HashMap<usize, Vec<String>>,
    comments: HashMap<usize, Vec<String>>,
}

/// Gives statements to the objects that account for their rows.
fn by_object(
    catalog: &Catalog,
    statements: impl Iterator<Item = (CatalogId, String)>,
) -> HashMap<usize, Vec<String>> {
    let mut of_objects: HashMap<usize, Vec<String>> = HashMap::new();
    for (row, statement) in statements {
        if let Some(object) = catalog.claimant(row) {
            of_objects.entry(object).or_default().push(statement);
        }
    }
    of_objects
}

/// Checks the patterns against the database, and finds out what unqualified ones may mean: what is
/// visible in the `search_path` that the user would have, not in the empty one of our sessions.
pub(super) async fn resolve(session: &Session, selection: &Selection) -> Result<Selection> {
    let mut selection = selection.clone();
    if selection.is_everything() {
        return Ok(selection);
    }
    let failed = |e| Error::from_server(ErrorKind::Catalog, "could not resolve patterns", e);
    let database: String = session
        .query_one("SELECT pg_catalog.current_database()::pg_catalog.text", &[])
        .await
        .map_err(failed)?
        .get(0);
    selection.check_database(&database)?;
    let schemas = read_names(
        session,
        "SELECT nspname::pg_catalog.text FROM pg_catalog.pg_namespace",
    );
    let schemas = schemas.await.map_err(failed)?;
    let extensions = read_names(
        session,
        "SELECT extname::pg_catalog.text FROM pg_catalog.pg_extension",
    );
    let extensions = extensions.await.map_err(failed)?;
    let servers = read_names(
        session,
        "SELECT srvname::pg_catalog.text FROM pg_catalog.pg_foreign_server",
    );
    let servers = servers.await.map_err(failed)?;
    session
        .execute(
            "SELECT pg_catalog.set_config('search_path', \
             (SELECT reset_val FROM pg_catalog.pg_settings WHERE name = 'search_path'), false)",
            &[],
        )
        .await
        .map_err(failed)?;
    let rows = session
        .query(
            "SELECT n.nspname::pg_catalog.text AS nspname, c.relname::pg_catalog.text AS relname, \
             pg_catalog.pg_table_is_visible(c.oid) AS visible \
             FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'S', 'v', 'm', 'f', 'p')",
            &[],
        )
        .await
        .map_err(failed)?;
    session
        .execute(
            "SELECT pg_catalog.set_config('search_path', '', false)",
            &[],
        )
        .await
        .map_err(failed)?;
    let relation = |row: &Row| (row.get("nspname"), row.get("relname"));
    let visible = rows.iter().filter(|row| row.get("visible"));
    selection.set_visible(visible.map(relation).collect());
    if selection.has_children() {
        let relations: Vec<(String, String)> = rows.iter().map(relation).collect();
        let inheritance = read_inheritance(session).await.map_err(failed)?;
        selection.resolve_children(&relations, &inheritance);
    }
    let schemas: Vec<&str> = schemas.iter().map(String::as_str).collect();
    let extensions: Vec<&str> = extensions.iter().map(String::as_str).collect();
    let servers: Vec<&str> = servers.iter().map(String::as_str).collect();
    let relations: Vec<(&str, &str)> = rows
        .iter()
        .map(|row| (row.get("nspname"), row.get("relname")))
        .collect();
    match selection.unmatched(&schemas, &relations, &extensions, &servers) {
        Some(message) => Err(Error::new(ErrorKind::Usage, message)),
        None => Ok(selection),
    }
}

async fn read_names(session: &Session, query: &str) -> Result<Vec<String>, tokio_postgres::Error> {
    let rows = session.query(query, &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Who inherits from whom, partitions included.
async fn read_inheritance(session: &Session) -> Result<Vec<Inheritance>, tokio_postgres::Error> {
    let rows = session
        .query(
            "SELECT cn.nspname::pg_catalog.text AS child_schema, c.relname::pg_catalog.text AS child, \
             pn.nspname::pg_catalog.text AS parent_schema, p.relname::pg_catalog.text AS parent \
             FROM pg_catalog.pg_inherits i \
             JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid \
             JOIN pg_catalog.pg_namespace cn ON cn.oid = c.relnamespace \
             JOIN pg_catalog.pg_class p ON p.oid = i.inhparent \
             JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace \
             WHERE c.relkind IN ('r', 'p', 'f')",
            &[],
        )
        .await?;
    let links = rows.iter().map(|row| Inheritance {
        child: (row.get("child_schema"), row.get("child")),
        parent: (row.get("parent_schema"), row.get("parent")),
    });
    Ok(links.collect())
}

/// The wanted objects in script order. Objects are known by their place in the catalog.
struct Ordered {
    sequence: Vec<usize>,
    /// By object, wanted or not.
    section: Vec<Section>,
    /// By object; of those that are not wanted empty.
    depends_on: Vec<Vec<usize>>,
    /// By object: whether its owner prints it.
    is_folded: Vec<bool>,
    /// Objects that their owner must not print.
    separate: OidSet<ObjectId>,
    /// What has no safe order, one line each.
    warnings: Vec<String>,
}

/// Orders the wanted objects. `left_out` are parts that their owner must not print, though they are
/// no objects of their own either.
fn order_objects(catalog: &Catalog, wanted: &[bool], left_out: &[usize]) -> Ordered {
    let chosen: Vec<usize> = (0..wanted.len()).filter(|&index| wanted[index]).collect();
    let mut node_of = vec![None; wanted.len()];
    for (node, &index) in chosen.iter().enumerate() {
        node_of[index] = Some(node);
    }
    let nodes: Vec<Node<'_>> = chosen
        .par_iter()
        .map(|&index| node(catalog, &node_of, index))
        .collect();
    let ordering = order(&nodes);
    let broken = ordering.broken.iter();
    let mut ordered = Ordered {
        warnings: broken
            .map(|broken| describe_broken(catalog, &chosen, broken))
            .collect(),
        sequence: ordering.sequence.iter().map(|&node| chosen[node]).collect(),
        section: vec![Section::PreData; wanted.len()],
        depends_on: vec![Vec::new(); wanted.len()],
        is_folded: vec![false; wanted.len()],
        separate: left_out
            .iter()
            .map(|&index| catalog.objects[index].as_dump_object().id())
            .collect(),
    };
    let by_node = nodes.iter().zip(ordering.separate).zip(ordering.section);
    for ((((node, is_separate), section), mut needed), &index) in
        by_node.zip(ordering.depends_on).zip(&chosen)
    {
        needed.iter_mut().for_each(|node| *node = chosen[*node]);
        ordered.depends_on[index] = needed;
        ordered.section[index] = section;
        ordered.is_folded[index] = node.fold.is_some() && !is_separate;
        if is_separate {
            let id = catalog.objects[index].as_dump_object().id();
            ordered.separate.insert(id);
        }
    }
    ordered
}

/// What `order` must know of an object. Dependencies on objects that are not wanted are dropped.
fn node<'a>(catalog: &'a Catalog, node_of: &[Option<usize>], index: usize) -> Node<'a> {
    let object = catalog.objects[index].as_dump_object();
    let kind = object.kind();
    let is_generated = matches!(&catalog.objects[index], Object::AttributeDefault(default) if default.is_generated());
    let owner = catalog.owner_of(index).and_then(|owner| node_of[owner]);
    let shell = catalog.exact(object.id().with_part(Part::Shell));
    let needed = catalog.depends_on[index].iter();
    let depends_on: Vec<usize> = needed.filter_map(|&needed| node_of[needed]).collect();
    Node {
        priority: kind as u32,
        key: (object.schema().unwrap_or_default(), object.tag()),
        section: object.section(),
        fold: owner.map(|owner| Fold {
            owner,
            // It stands for another one until then.
            cost: if is_generated { 4 } else { unfold_cost(kind) },
            is_bound: is_generated || kind == Kind::FunctionBody,
            // Other parts name their table or domain as what they are parts of.
            is_recursive: matches!(kind, Kind::FunctionBody | Kind::DomainDefault)
                && depends_on.contains(&owner),
        }),
        postponable: is_postponable(kind) && !is_generated,
        advanceable: matches!(&catalog.objects[index], Object::Constraint(key) if key.can_come_early()),
        shell: shell
            .filter(|&shell| shell != index)
            .and_then(|shell| node_of[shell]),
        depends_on,
    }
}

/// The smallest change first: a default of its own is one more ALTER TABLE, a check constraint
/// checks the rows once more, a view is first made as a dummy, a function without its body.
fn unfold_cost(kind: Kind) -> u32 {
    match kind {
        Kind::Default | Kind::DomainDefault => 0,
        Kind::ViewQuery => 2,
        Kind::FunctionBody => 3,
        _ => 1,
    }
}

/// Whether data can be restored without it.
fn is_postponable(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Function
            | Kind::Procedure
            | Kind::Aggregate
            | Kind::Default
            | Kind::View
            | Kind::ViewQuery
            | Kind::MaterializedView
    )
}

fn describe_broken(catalog: &Catalog, chosen: &[usize], broken: &Broken) -> String {
    let name = |node: usize| describe(&catalog.objects[chosen[node]]);
    match broken {
        Broken::Loop(members) => {
            let names: Vec<String> = members.iter().map(|&member| name(member)).collect();
            format!(
                "no order restores these, for they need each other; a restore may stop at the first of them: {}",
                names.join(", ")
            )
        }
        Broken::Section { node, needs } => format!(
            "{}: comes before {}, which it needs; a restore may stop at it",
            name(*node),
            name(*needs)
        ),
    }
}

/// The entries in script order: objects with their comments, then privileges, then refreshes. Objects are dropped as soon as
/// their entries are made: memory never holds all of both.
fn render(
    server: ServerVersion,
    mut catalog: Catalog,
    ordered: Ordered,
    about: &About,
    options: &ContentOptions,
) -> Result<Vec<ContentEntry>> {
    let objects = std::mem::take(&mut catalog.objects);
    // Only the order needed them.
    (catalog.dependencies, catalog.depends_on) = Default::default();
    // Objects that had to be moved are known by where they ended up.
    let is_of_sections = |&index: &usize| {
        let kind = objects[index].as_dump_object().kind();
        options.parts.includes_section(kind, ordered.section[index])
    };
    let of_sections = ordered.sequence.iter().copied().filter(is_of_sections);
    let rank = |index: &usize| rank_of_last(&objects[*index]);
    let (mut last, regular): (Vec<usize>, Vec<usize>) =
        of_sections.partition(|index| rank(index).is_some());
    last.sort_by_key(rank);

    let printer = Printer {
        context: RenderContext {
            server,
            separate: &ordered.separate,
        },
        about,
        options,
    };
    let mut script = Script {
        entries: Vec::with_capacity(regular.len() + last.len()),
        privileges: Vec::new(),
        entry_of: vec![None; objects.len()],
        stands_for: vec![StandsFor::Nothing; objects.len()],
        catalog: &catalog,
        ordered: &ordered,
        options,
    };
    let mut objects: Vec<Option<Object>> = objects.into_iter().map(Some).collect();
    for sequence in [regular, last] {
        script.add_all(&sequence, &mut objects, &printer)?;
        script.add_privileges()?;
    }
    Ok(script.entries)
}

/// Objects that are rendered before the first of them is put into the script.
const RENDERED_AT_ONCE: usize = 1 << 14;

/// Makes statements of objects, and passes each through the lexical guard.
struct Printer<'a> {
    context: RenderContext<'a>,
    about: &'a About,
    options: &'a ContentOptions,
}

/// What is left of an object once it is rendered.
struct Printed {
    /// Its place among the objects.
    index: usize,
    kind: Kind,
    schema: Option<String>,
    tag: String,
    owner: Option<String>,
    relation: Option<ObjectId>,
    folded_into: Option<ObjectId>,
    locks: Vec<(ObjectId, LockStrength)>,
    rendered: Rendered,
    labels: Vec<String>,
    data: Option<DataSource>,
}

impl Printer<'_> {
    /// On all cores.
    fn print_all(&self, objects: Vec<(usize, Object)>) -> Result<Vec<Printed>> {
        let objects = objects.into_par_iter();
        objects
            .map(|(index, object)| self.print(index, object))
            .collect()
    }

    fn print(&self, index: usize, object: Object) -> Result<Printed> {
        let labels = statements_of(&self.about.labels, index);
        let rendered = self.statements(index, &object);
        let statements = (rendered.create.iter())
            .chain(&rendered.alter_owner)
            .chain(&rendered.drop)
            .chain(&rendered.comments)
            .chain(&rendered.acl)
            .chain(&labels);
        guard(&object, statements)?;
        let known = object.as_dump_object();
        Ok(Printed {
            index,
            kind: known.kind(),
            schema: known.schema().map(str::to_owned),
            tag: known.tag(),
            owner: known.owner().map(str::to_owned),
            relation: known.relation(),
            folded_into: known.folded_into(),
            locks: known.locks(),
            rendered,
            labels,
            data: data_source(object, &self.options.column_order),
        })
    }

    fn statements(&self, index: usize, object: &Object) -> Rendered {
        let mut rendered = object.as_dump_object().render(&self.context);
        if self.options.no_owner {
            rendered.alter_owner = None;
        }
        (rendered.comments).extend(statements_of(&self.about.comments, index));
        if !self.options.parts.includes_about(Kind::Comment) {
            rendered.comments.clear();
        }
        if !self.options.parts.includes_about(Kind::Acl) {
            rendered.acl.clear();
        }
        if self.options.no_dollar_quoting {
            for statement in rendered.create.iter_mut().chain(&mut rendered.drop) {
                // What is no statement to the lexer is refused by name.
                if let Ok(plain) = lexer::without_dollar_quotes(statement) {
                    *statement = plain;
                }
            }
        }
        rendered
    }
}

fn statements_of(about: &HashMap<usize, Vec<String>>, index: usize) -> Vec<String> {
    about.get(&index).cloned().unwrap_or_default()
}

/// Passes an object's statements through the lexical guard.
fn guard<'s>(object: &Object, mut statements: impl Iterator<Item = &'s String>) -> Result<()> {
    statements.try_for_each(|statement| {
        lexer::guard(statement)
            .map_err(|violation| Error::from(violation).detail(format!("In {}.", describe(object))))
    })
}

/// Of objects that come after all others and their privileges: in which order. A refresh runs queries of
/// the user, which may need any object and any privilege.
fn rank_of_last(object: &Object) -> Option<u8> {
    match object.as_dump_object().kind() {
        Kind::Acl => Some(0),
        Kind::DefaultAcl => Some(1),
        Kind::EventTrigger => Some(2),
        Kind::MaterializedViewData => Some(3),
        Kind::RelationStatistics => Some(4),
        _ => None,
    }
}

/// The growing list of entries.
struct Script<'a> {
    /// Without its objects.
    catalog: &'a Catalog,
    ordered: &'a Ordered,
    options: &'a ContentOptions,
    entries: Vec<ContentEntry>,
    /// What is said of the privileges of objects, still to be added.
    privileges: Vec<(Printed, Vec<String>)>,
    /// By object: its entry.
    entry_of: Vec<Option<DumpId>>,
    /// By object: the entries that must have been restored before its dependents.
    stands_for: Vec<StandsFor>,
}

/// What an object's dependents have to wait for.
#[derive(Clone)]
enum StandsFor {
    Nothing,
    /// Its own entry.
    Itself(DumpId),
    /// It has none: what it needs itself.
    Others(Vec<DumpId>),
}

impl StandsFor {
    fn entries(&self) -> &[DumpId] {
        match self {
            StandsFor::Nothing => &[],
            StandsFor::Itself(entry) => std::slice::from_ref(entry),
            StandsFor::Others(entries) => entries,
        }
    }
}

impl Script<'_> {
    /// Adds objects, a stretch at a time. Meanwhile the next is rendered.
    fn add_all(
        &mut self,
        sequence: &[usize],
        objects: &mut [Option<Object>],
        printer: &Printer<'_>,
    ) -> Result<()> {
        let mut print = |stretch: &[usize]| {
            let mut taken = Vec::with_capacity(stretch.len());
            for &index in stretch {
                let object = objects[index].take();
                let twice = || Error::internal("an object is twice in the order");
                taken.push((index, object.ok_or_else(twice)?));
            }
            printer.print_all(taken)
        };
        let mut stretches = sequence.chunks(RENDERED_AT_ONCE);
        let mut next = stretches.next().map(&mut print);
        while let Some(printed) = next {
            let printed = printed?;
            let following = stretches.next();
            let (added, printing) = rayon::join(
                || (printed.into_iter()).try_for_each(|object| self.add_object(object)),
                || following.map(&mut print),
            );
            added?;
            next = printing;
        }
        Ok(())
    }

    /// Adds an object with its comments and labels; its privileges, which come later, are kept.
    fn add_object(&mut self, mut object: Printed) -> Result<()> {
        self.add(&mut object)?;
        let section = self.ordered.section[object.index];
        let Rendered { comments, acl, .. } = std::mem::take(&mut object.rendered);
        self.add_about(&object, Kind::Comment, section, comments)?;
        let labels = std::mem::take(&mut object.labels);
        self.add_about(&object, Kind::SecurityLabel, section, labels)?;
        if !acl.is_empty() {
            self.privileges.push((object, acl));
        }
        Ok(())
    }

    fn add_privileges(&mut self) -> Result<()> {
        for (object, acl) in std::mem::take(&mut self.privileges) {
            self.add_about(&object, Kind::Acl, Section::PostData, acl)?;
        }
        Ok(())
    }

    /// Adds an object's own entry, unless there is nothing to say or to copy.
    fn add(&mut self, object: &mut Printed) -> Result<()> {
        let index = object.index;
        if self.ordered.is_folded[index] {
            return Ok(()); // its owner has seen to it
        }
        for &part in self.catalog.parts(index) {
            if self.ordered.is_folded[part] {
                self.stands_for[part] = StandsFor::Others(self.needed_entries(part));
            }
        }
        let needed = self.needed_entries(index);
        let alter_owner = object.rendered.alter_owner.take();
        let data = object.data.take();
        if object.rendered.create.is_empty() && alter_owner.is_none() && data.is_none() {
            self.stands_for[index] = StandsFor::Others(needed);
            return Ok(());
        }
        let id = self.next_id()?;
        self.entry_of[index] = Some(id);
        self.stands_for[index] = StandsFor::Itself(id);
        let locks = object.locks.iter().filter_map(|&(id, lock)| {
            let table = self.entry(id)?;
            Some((table, lock == LockStrength::Exclusive))
        });
        let entry = ContentEntry {
            id,
            kind: object.kind,
            schema: object.schema.clone(),
            tag: object.tag.clone(),
            relation: object.relation.and_then(|id| self.entry(id)),
            subject: self.printed_by(object),
            owner: object.owner.clone(),
            section: self.ordered.section[index],
            depends_on: needed,
            locks: locks.collect(),
            drop: object.rendered.drop.take(),
            create: std::mem::take(&mut object.rendered.create),
            alter_owner,
            data,
        };
        self.entries.push(entry);
        Ok(())
    }

    /// Adds an entry about an object: its comments or its privileges.
    fn add_about(
        &mut self,
        object: &Printed,
        kind: Kind,
        section: Section,
        create: Vec<String>,
    ) -> Result<()> {
        if create.is_empty() || !self.options.parts.includes_about(kind) {
            return Ok(());
        }
        let owner = object.folded_into.and_then(|id| self.catalog.find(id));
        let printed_by = match owner {
            Some(owner) if self.ordered.is_folded[object.index] => owner,
            _ => object.index,
        };
        let entry = ContentEntry {
            id: self.next_id()?,
            kind,
            schema: object.schema.clone(),
            tag: format!("{} {}", word(object.kind), object.tag),
            relation: object.relation.and_then(|id| self.entry(id)),
            subject: self.entry_of[printed_by],
            owner: object.owner.clone(),
            section,
            depends_on: self.stands_for[printed_by].entries().to_vec(),
            locks: Vec::new(),
            drop: None,
            create,
            alter_owner: None,
            data: None,
        };
        self.entries.push(entry);
        Ok(())
    }

    fn next_id(&self) -> Result<DumpId> {
        u32::try_from(self.entries.len() + 1)
            .map(DumpId)
            .map_err(|_| Error::internal("more entries than a table of contents can number"))
    }

    /// The entries that must have been restored before an object.
    fn needed_entries(&self, index: usize) -> Vec<DumpId> {
        let needed = self.ordered.depends_on[index].iter();
        let mut needed: Vec<DumpId> = needed
            .flat_map(|&needed| self.stands_for[needed].entries())
            .copied()
            .collect();
        needed.sort_unstable();
        needed.dedup();
        needed
    }

    /// Of what came out of an object that is no relation: this object's entry, for it comes along with it.
    fn printed_by(&self, part: &Printed) -> Option<DumpId> {
        let owner = part.folded_into.filter(|_| part.relation.is_none());
        owner.and_then(|owner| self.entry(owner))
    }

    fn entry(&self, id: ObjectId) -> Option<DumpId> {
        self.entry_of[self.catalog.find(id)?]
    }
}

fn data_source(object: Object, order: &ColumnOrder) -> Option<DataSource> {
    match object {
        Object::TableData(mut data) => {
            order.arrange(&data.schema, &data.name, &mut data.columns);
            Some(DataSource::Table(data))
        }
        Object::LargeObjectData(data) => Some(DataSource::LargeObjects(data)),
        _ => None,
    }
}

/// The word for a kind in the name of a comment or an ACL, as in pg_dump: `TYPE mood`.
fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::EnumType
        | Kind::ShellType
        | Kind::CompositeType
        | Kind::BaseType
        | Kind::RangeType => "TYPE",
        Kind::CheckConstraint | Kind::Constraint | Kind::ForeignKey => "CONSTRAINT",
        Kind::LargeObject => "LARGE OBJECT",
        other => other.as_str(),
    }
}
