//! All objects of the database with what each depends on: every kind's `read`, and `pg_depend` once.
//! Manual: "Dependency Tracking", "pg_depend".

use std::collections::HashMap;

use futures::future::{BoxFuture, join_all};
use rayon::iter::{
    IndexedParallelIterator, IntoParallelRefIterator, IntoParallelRefMutIterator, ParallelIterator,
};
use tokio_postgres::error::SqlState;

use crate::conn::Session;
use crate::objects::attribute::{self, Additions, Attributes, Columns};
use crate::objects::catalog_query::first_users_oid;
use crate::objects::deparsed::Deparsed;
use crate::objects::plain_definition::{Deparser, Rules, read_rules};
use crate::objects::quote::one_line;
use crate::objects::table::Check;
use crate::objects::table_data::Rows;
use crate::objects::{
    self, AttributeDefault, CatalogId, Kind, Object, ObjectId, Oid, OidMap, Part, SequenceSet,
    catalog,
};
use crate::{Error, ErrorKind, Result};

use super::aide::Aide;
use super::parts::Parts;
use super::sweep::{Swept, read_swept};

/// The objects of a database. They are known by their place in `objects`.
pub(super) struct Catalog {
    pub(super) objects: Vec<Object>,
    /// By object: what it needs, ascending. The edges of folded objects to and from their owners are
    /// left to `order`.
    pub(super) depends_on: Vec<Vec<usize>>,
    /// By sequence: the table that owns it.
    pub(super) sequence_owners: HashMap<usize, usize>,
    /// By sequence of an identity column: its table, which makes it.
    pub(super) identity_tables: HashMap<usize, usize>,
    /// Refreshes that would fail, for they read a materialized view that is not populated.
    pub(super) unfilled: Vec<usize>,
    /// Rows of `pg_depend` that may matter.
    pub(super) dependencies: Vec<Dependency>,
    by_id: OidMap<ObjectId, usize>,
    by_claim: OidMap<CatalogId, usize>,
    /// By object: the objects folded into it.
    parts: Vec<Vec<usize>>,
}

impl Catalog {
    /// The objects that this one's CREATE statement normally prints.
    pub(super) fn parts(&self, owner: usize) -> &[usize] {
        &self.parts[owner]
    }

    /// The object whose CREATE statement normally prints this one.
    pub(super) fn owner_of(&self, part: usize) -> Option<usize> {
        self.find(self.objects[part].as_dump_object().folded_into()?)
    }

    /// The object of an id, or the one that accounts for the id's catalog row.
    pub(super) fn find(&self, id: ObjectId) -> Option<usize> {
        let exact = self.by_id.get(&id);
        exact.or_else(|| self.by_claim.get(&id.catalog)).copied()
    }

    /// The object that accounts for a catalog row.
    pub(super) fn claimant(&self, row: CatalogId) -> Option<usize> {
        self.by_claim.get(&row).copied()
    }

    /// The object of exactly this id.
    pub(super) fn exact(&self, id: ObjectId) -> Option<usize> {
        self.by_id.get(&id).copied()
    }
}

/// One row of `pg_depend`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dependency {
    pub(super) dependent: CatalogId,
    pub(super) referenced: CatalogId,
    /// Whether a column is referenced, not the row as a whole.
    pub(super) on_column: bool,
    pub(super) deptype: DependencyType,
}

/// `pg_depend.deptype`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DependencyType {
    Normal,
    Auto,
    Internal,
    /// `P` and `S`: of a partition on its parent's row and on its own table.
    Partition,
    /// A member of an extension.
    Extension,
    /// `ALTER ... DEPENDS ON EXTENSION`.
    AutoExtension,
}

impl DependencyType {
    /// Of the characters of the versions up to 18. `p` (pinned, before 14) is not read.
    fn parse(deptype: i8) -> Option<Self> {
        match u8::try_from(deptype).ok()? {
            b'n' => Some(DependencyType::Normal),
            b'a' => Some(DependencyType::Auto),
            // 'I' is what 11 before its first minor releases called 'P'.
            b'i' => Some(DependencyType::Internal),
            b'I' | b'P' | b'S' => Some(DependencyType::Partition),
            b'e' => Some(DependencyType::Extension),
            b'x' => Some(DependencyType::AutoExtension),
            _ => None,
        }
    }
}

/// What needs neither columns nor locks.
pub(super) struct Ahead {
    objects: Vec<Object>,
    additions: Additions,
    dependencies: Vec<Dependency>,
}

/// Reads all objects that the parts need and their dependencies; definitions of those alone that are to be deparsed. An [`Aide`] reads beside the leader: the time is the
/// server's, and a session keeps one core of it busy. Columns come before what is made of them.
///
/// # Errors
/// `Catalog` if a query fails or a row makes no sense.
pub(super) async fn read_catalog(
    leader: &Session,
    aide: Option<Aide>,
    parts: &Parts,
    deparsed: Deparsed,
) -> Result<(Catalog, Swept)> {
    let helped = async {
        match aide {
            Some(aide) => without_circle(aide.join().await),
            None => Ok(None),
        }
    };
    let (((columns, rules), rare, swept), helped) = futures::try_join!(read_own(leader), helped)?;
    let (mut aide, ahead) = match helped {
        Some((session, ahead)) => (Some(session), ahead),
        None => (None, read_ahead(leader).await?),
    };
    let Ahead {
        mut objects,
        additions,
        dependencies,
    } = ahead;
    let attributes = attribute::complete(leader, columns, additions, &deparsed).await?;
    let deparser = Deparser::new(attributes, rules, deparsed);
    let helper = aide.as_ref().unwrap_or(leader);
    let reads = futures::join!(
        read_definitions(leader, &deparser, parts),
        read_dependents(helper, &deparser, parts)
    );
    let (definitions, mut dependents) = match reads {
        (Ok(definitions), Ok(dependents)) => (definitions, dependents),
        // What the aide waits for may wait for our leader: the server cannot see that circle.
        (Ok(definitions), Err(error))
            if aide.is_some() && error.kind() == ErrorKind::LockTimeout =>
        {
            let dependents = read_dependents(leader, &deparser, parts).await?;
            // Its transaction is lost.
            aide = None;
            (definitions, dependents)
        }
        (Ok(_), Err(error)) | (Err(error), Ok(_)) => return Err(error),
        (Err(first), Err(_)) if aide.is_some() => return Err(first),
        (Err(first), Err(second)) => return Err(cause([first, second])),
    };
    let sequences = dependents.iter_mut().filter_map(as_sequence_set).collect();
    objects::sequence_set::read_values(leader, aide.as_ref(), sequences).await?;
    drop(aide);
    objects.extend(rare);
    objects.extend(definitions);
    give_checks_to_tables(&mut objects);
    let_defaults_wait(&mut objects);
    for object in &mut objects {
        if let Object::Sequence(sequence) = object {
            sequence.fill_columns(deparser.attributes());
        }
    }
    let parts_of = |object: &Object| parts_of(object, deparser.attributes());
    let folded: Vec<Vec<Object>> = objects.par_iter().map(parts_of).collect::<Result<_>>()?;
    objects.extend(folded.into_iter().flatten());
    objects.extend(dependents);
    if parts.wants_statistics() {
        let statistics = objects::relation_statistics::read(leader).await?;
        objects.extend((statistics.into_iter().map(Box::new)).map(Object::RelationStatistics));
    }
    let (by_id, by_claim) = rayon::join(|| index_ids(&objects), || index_claims(&objects));
    let by_id = by_id?;
    let mut catalog = Catalog {
        depends_on: vec![Vec::new(); objects.len()],
        parts: vec![Vec::new(); objects.len()],
        sequence_owners: HashMap::new(),
        identity_tables: HashMap::new(),
        unfilled: Vec::new(),
        objects,
        dependencies,
        by_id,
        by_claim,
    };
    for part in 0..catalog.objects.len() {
        if let Some(owner) = catalog.owner_of(part) {
            catalog.parts[owner].push(part);
        }
    }
    connect(&mut catalog);
    Ok((catalog, swept))
}

/// What the aide waits for may wait for our leader, a circle that the server cannot see: then the leader reads all.
fn without_circle<T>(helped: Result<Option<T>>) -> Result<Option<T>> {
    match helped {
        Err(error) if error.kind() == ErrorKind::LockTimeout => Ok(None),
        helped => helped,
    }
}

/// What the leader reads while the aide reads ahead.
async fn read_own(s: &Session) -> Result<((Columns, Rules), Vec<Object>, Swept)> {
    match futures::join!(read_columns(s), read_rare_kinds(s), read_swept(s)) {
        (Ok(columns), Ok(objects), Ok(swept)) => Ok((columns, objects, swept)),
        (columns, objects, swept) => {
            let failures = [columns.err(), objects.err(), swept.err()];
            Err(cause(failures.into_iter().flatten()))
        }
    }
}

/// Columns, and what else plain definitions are made of.
async fn read_columns(s: &Session) -> Result<(Columns, Rules)> {
    match futures::join!(attribute::read(s), read_rules(s)) {
        (Ok(columns), Ok(rules)) => Ok((columns, rules)),
        (columns, rules) => Err(cause([columns.err(), rules.err()].into_iter().flatten())),
    }
}

/// Reads who depends on whom, and the kinds that are read neither by columns nor with locks, but for those of which there are few.
///
/// # Errors
/// As [`read_catalog`].
pub(super) async fn read_ahead(s: &Session) -> Result<Ahead> {
    let reads = vec![
        all(objects::sequence::read(s), Object::Sequence),
        all(
            objects::changed_privileges::read(s),
            Object::ChangedPrivileges,
        ),
        all(objects::row_security::read(s), Object::RowSecurity),
        all(objects::enum_type::read(s), Object::EnumType),
        all(objects::shell_type::read(s), Object::ShellType),
        all(objects::composite_type::read(s), Object::CompositeType),
        all(objects::range_type::read(s), Object::RangeType),
        all(objects::domain::read(s), Object::Domain),
        all(objects::base_type::read(s), Object::BaseType),
        all(objects::aggregate::read(s), Object::Aggregate),
        all(objects::large_object::read(s), Object::LargeObject),
        all(
            objects::large_object::read_large_object_data(s),
            Object::LargeObjectData,
        ),
    ];
    let reads = futures::join!(
        pipeline(reads),
        attribute::read_additions(s),
        read_depend(s)
    );
    match reads {
        (Ok(objects), Ok(additions), Ok(dependencies)) => Ok(Ahead {
            objects,
            additions,
            dependencies,
        }),
        (objects, additions, dependencies) => {
            let failures = [objects.err(), additions.err(), dependencies.err()];
            Err(cause(failures.into_iter().flatten()))
        }
    }
}

/// Kinds of which databases have few objects. What takes time is the server's planning of each query: the leader, which would only wait for
/// the aide in a small database, reads these.
async fn read_rare_kinds(s: &Session) -> Result<Vec<Object>> {
    let reads = vec![
        all(objects::schema::read(s), Object::Schema),
        all(objects::extension::read(s), Object::Extension),
        all(objects::language::read(s), Object::Language),
        all(objects::collation::read(s), Object::Collation),
        all(objects::cast::read(s), Object::Cast),
        all(objects::transform::read(s), Object::Transform),
        all(objects::access_method::read(s), Object::AccessMethod),
        all(objects::operator::read(s), Object::Operator),
        all(objects::operator_family::read(s), Object::OperatorFamily),
        all(objects::operator_class::read(s), Object::OperatorClass),
        all(
            objects::operator_family_member::read(s),
            Object::OperatorFamilyMember,
        ),
        all(objects::conversion::read(s), Object::Conversion),
        all(
            objects::text_search_parser::read(s),
            Object::TextSearchParser,
        ),
        all(
            objects::text_search_template::read(s),
            Object::TextSearchTemplate,
        ),
        all(
            objects::text_search_dictionary::read(s),
            Object::TextSearchDictionary,
        ),
        all(
            objects::text_search_configuration::read(s),
            Object::TextSearchConfiguration,
        ),
        all(
            objects::foreign_data_wrapper::read(s),
            Object::ForeignDataWrapper,
        ),
        all(objects::foreign_server::read(s), Object::ForeignServer),
        all(objects::user_mapping::read(s), Object::UserMapping),
        all(objects::event_trigger::read(s), Object::EventTrigger),
        all(objects::publication::read(s), Object::Publication),
        all(
            objects::publication_schema::read(s),
            Object::PublicationSchema,
        ),
        all(objects::subscription::read(s), Object::Subscription),
        all(objects::default_acl::read(s), Object::DefaultAcl),
    ];
    pipeline(reads).await
}

/// What can stand by itself, and all whose deparsing takes locks (queries of views and rules, bodies of functions).
async fn read_definitions(s: &Session, deparser: &Deparser, parts: &Parts) -> Result<Vec<Object>> {
    let columns = deparser.attributes();
    let mut reads = vec![
        all(objects::table::read(s, deparser), Object::Table),
        all(
            objects::check_constraint::read(s, deparser),
            Object::CheckConstraint,
        ),
        all(objects::function::read(s, deparser), Object::Function),
        all(objects::view::read(s, deparser), Object::View),
        all(
            objects::materialized_view::read(s, deparser),
            Object::MaterializedView,
        ),
        all(
            objects::materialized_view::read_materialized_view_data(s),
            Object::MaterializedViewData,
        ),
        all(objects::rule::read(s, deparser), Object::Rule),
        all(objects::policy::read(s, deparser), Object::Policy),
        all(
            objects::publication_table::read(s, deparser),
            Object::PublicationTable,
        ),
        all(
            objects::extended_statistics::read(s, deparser),
            Object::ExtendedStatistics,
        ),
        all(objects::foreign_key::read(s, deparser), Object::ForeignKey),
    ];
    reads.push(all(
        objects::table_data::read(s, rows_of(parts), columns),
        Object::TableData,
    ));
    pipeline(reads).await
}

/// What hangs on tables and sequences.
async fn read_dependents(s: &Session, deparser: &Deparser, parts: &Parts) -> Result<Vec<Object>> {
    let mut reads = vec![
        all(objects::index::read(s, deparser), Object::Index),
        all(objects::constraint::read(s, deparser), Object::Constraint),
        all(objects::index_attach::read(s), Object::IndexAttach),
        all(
            objects::table_attach::read(s, deparser),
            Object::TableAttach,
        ),
        all(objects::trigger::read(s, deparser), Object::Trigger),
    ];
    if parts.includes_kind(Kind::SequenceSet) {
        reads.push(all(
            objects::sequence_set::read(s, deparser),
            Object::SequenceSet,
        ));
    }
    pipeline(reads).await
}

fn as_sequence_set(object: &mut Object) -> Option<&mut SequenceSet> {
    match object {
        Object::SequenceSet(set) => Some(set),
        _ => None,
    }
}

fn rows_of(parts: &Parts) -> Rows {
    match parts.includes_kind(Kind::TableData) {
        true if parts.data_only => Rows::WithoutDefinitions,
        true => Rows::AllTables,
        false => Rows::Configuration,
    }
}

fn give_checks_to_tables(objects: &mut [Object]) {
    let mut checks: OidMap<Oid, Vec<Check>> = OidMap::default();
    for object in objects.iter() {
        if let Object::CheckConstraint(constraint) = object
            && let Some((table, check)) = constraint.of_table()
        {
            checks.entry(table).or_default().push(check);
        }
    }
    for object in objects {
        if let Object::Table(table) = object {
            let checks = checks.remove(&table.oid()).unwrap_or_default();
            checks.into_iter().for_each(|check| table.add_check(check));
        }
    }
}

/// Where a child takes a column from parents with different defaults, these come after it.
fn let_defaults_wait(objects: &mut [Object]) {
    let mut children: OidMap<Oid, Vec<ObjectId>> = OidMap::default();
    for object in objects.iter() {
        if let Object::Table(table) = object {
            for default in table.clashing_defaults() {
                children
                    .entry(default)
                    .or_default()
                    .push(object.as_dump_object().id());
            }
        }
    }
    if children.is_empty() {
        return;
    }
    for object in objects {
        if let Object::Table(table) = object {
            table.let_defaults_wait(&children);
        }
    }
}

/// Objects of their own that were read with another one.
fn parts_of(object: &Object, attributes: &Attributes) -> Result<Vec<Object>> {
    let wrap_all = |defaults: Vec<AttributeDefault>| {
        let boxed = defaults.into_iter().map(Box::new);
        boxed.map(Object::AttributeDefault).collect()
    };
    Ok(match object {
        Object::Table(table) => wrap_all(table.attribute_defaults()),
        Object::Sequence(sequence) => {
            let owner = sequence.owned_by(attributes)?;
            let boxed = owner.into_iter().map(Box::new);
            boxed.map(Object::SequenceOwner).collect()
        }
        Object::Function(function) => {
            let bodies = function.body().into_iter().map(Box::new);
            bodies.map(Object::FunctionBody).collect()
        }
        Object::Domain(domain) => {
            let defaults = domain.late_default().into_iter().map(Box::new);
            defaults.map(Object::DomainDefault).collect()
        }
        Object::View(view) => {
            let mut parts: Vec<Object> = wrap_all(view.attribute_defaults());
            parts.push(Object::ViewQuery(Box::new(view.query())));
            parts
        }
        _ => Vec::new(),
    })
}

/// Polled together, the queries of one session travel in one pipeline.
async fn pipeline(reads: Vec<BoxFuture<'_, Result<Vec<Object>>>>) -> Result<Vec<Object>> {
    let (read, failed): (Vec<_>, Vec<_>) = join_all(reads)
        .await
        .into_iter()
        .partition(|outcome| outcome.is_ok());
    if failed.is_empty() {
        return Ok(read.into_iter().flatten().flatten().collect());
    }
    Err(cause(failed.into_iter().filter_map(Result::err)))
}

/// Of the failures of one pipeline the one that caused the others: behind it every statement of the
/// transaction fails with 25P02 (in_failed_sql_transaction).
pub(super) fn cause(errors: impl IntoIterator<Item = Error>) -> Error {
    let follows = |error: &Error| error.sqlstate() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION);
    errors
        .into_iter()
        .min_by_key(follows)
        .unwrap_or_else(|| Error::internal("a pipeline failed without an error"))
}

/// The objects of one kind, wrapped.
fn all<'a, T: Send + 'a>(
    read: impl Future<Output = Result<Vec<T>>> + Send + 'a,
    wrap: fn(Box<T>) -> Object,
) -> BoxFuture<'a, Result<Vec<Object>>> {
    Box::pin(async move { Ok(read.await?.into_iter().map(Box::new).map(wrap).collect()) })
}

/// Rows travel as arrays, one pair for all that are alike but for their objects: there are twenty rows for each table, and
/// as rows they cost more than their content. Triggers that a constraint brings along go with it in any case.
async fn read_depend(session: &Session) -> Result<Vec<Dependency>> {
    let query = format!(
        "SELECT classid, refclassid, refobjsubid <> 0 AS on_column, deptype, \
                 pg_catalog.array_agg(objid) AS objids, pg_catalog.array_agg(refobjid) AS refobjids \
                 FROM pg_catalog.pg_depend \
                 WHERE deptype <> 'p' AND (objid >= {first} OR refobjid >= {first}) \
                 AND NOT (classid = 'pg_catalog.pg_trigger'::pg_catalog.regclass \
                   AND refclassid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND deptype = 'i') \
                 GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4",
        first = first_users_oid(),
    );
    let groups = session
        .query(&query, &[])
        .await
        .map_err(|e| Error::from_server(ErrorKind::Catalog, "could not read pg_depend", e))?;
    let mut dependencies = Vec::new();
    for group in groups {
        let (class, refclass): (Oid, Oid) = (group.get("classid"), group.get("refclassid"));
        let (oids, refoids): (Vec<Oid>, Vec<Oid>) = (group.get("objids"), group.get("refobjids"));
        let on_column = group.get("on_column");
        let deptype = group.get("deptype");
        let deptype = DependencyType::parse(deptype).ok_or_else(|| {
            Error::new(
                ErrorKind::Catalog,
                "unknown kind of dependency in pg_depend",
            )
            .detail(format!("deptype {deptype} of objects in catalog {class}."))
        })?;
        let pairs = oids.into_iter().zip(refoids);
        dependencies.extend(pairs.map(|(oid, refoid)| Dependency {
            dependent: CatalogId::new(class, oid),
            referenced: CatalogId::new(refclass, refoid),
            on_column,
            deptype,
        }));
    }
    Ok(dependencies)
}

fn index_ids(objects: &[Object]) -> Result<OidMap<ObjectId, usize>> {
    let mut by_id = OidMap::with_capacity_and_hasher(objects.len(), Default::default());
    for (index, object) in objects.iter().enumerate() {
        if let Some(other) = by_id.insert(object.as_dump_object().id(), index) {
            return Err(
                Error::internal("two objects have the same identity").detail(format!(
                    "{} and {}",
                    describe(&objects[other]),
                    describe(object)
                )),
            );
        }
    }
    Ok(by_id)
}

/// Who accounts for which row. A folded object comes before its owner: its edges are its own, or loops
/// could not be repaired. A definition comes before other parts of its row.
fn index_claims(objects: &[Object]) -> OidMap<CatalogId, usize> {
    let precedence = |index: usize| {
        let object = objects[index].as_dump_object();
        let definition = object.id().part == Part::Definition;
        (object.folded_into().is_some() && definition, definition)
    };
    let mut by_claim: OidMap<CatalogId, usize> =
        OidMap::with_capacity_and_hasher(2 * objects.len(), Default::default());
    for (index, object) in objects.iter().enumerate() {
        for row in object.as_dump_object().claims() {
            let claimant = by_claim.entry(row).or_insert(index);
            if precedence(index) > precedence(*claimant) {
                *claimant = index;
            }
        }
    }
    by_claim
}

/// Fills in who depends on whom.
fn connect(catalog: &mut Catalog) {
    let members = extension_members(catalog);
    let ends_of = |dependency: &Dependency| {
        if dependency.deptype == DependencyType::Extension {
            return None;
        }
        let dependent = catalog.claimant(dependency.dependent)?;
        let referenced = catalog.claimant(dependency.referenced).or_else(|| {
            let extension = members.get(&dependency.referenced)?;
            catalog.claimant(CatalogId::new(catalog::PG_EXTENSION, *extension))
        })?;
        let is_of_column = is_of_column(&catalog.objects[dependent], dependency);
        Some((dependent, referenced, is_of_column, dependency.deptype))
    };
    let ends: Vec<_> = catalog
        .dependencies
        .par_iter()
        .filter_map(ends_of)
        .collect();
    for (dependent, referenced, is_of_column, deptype) in ends {
        match deptype {
            // OWNED BY: the sequence goes with its table's column but is made before it, because the column's default
            // needs it. The `SequenceOwner` object carries the ownership.
            DependencyType::Auto if is_of_column => {
                catalog.sequence_owners.insert(dependent, referenced);
                continue;
            }
            DependencyType::Internal if is_of_column => {
                catalog.identity_tables.insert(dependent, referenced);
            }
            _ => {}
        }
        catalog.depends_on[dependent].push(referenced);
    }
    connect_parts(catalog);
    connect_shells(catalog);
    connect_late(catalog);
    let of_objects = catalog.depends_on.par_iter_mut().enumerate();
    of_objects.for_each(|(index, needed)| {
        needed.retain(|&other| other != index);
        needed.sort_unstable();
        needed.dedup();
    });
    connect_refreshes(catalog);
}

/// Whether a sequence belongs to a column by this.
fn is_of_column(dependent: &Object, dependency: &Dependency) -> bool {
    dependent.as_dump_object().kind() == Kind::Sequence
        && dependency.referenced.class == catalog::PG_CLASS
        && dependency.on_column
}

/// What objects need beyond `pg_depend`; parts of a row need its definition.
fn connect_parts(catalog: &mut Catalog) {
    let needed_by = |object: &Object| {
        let object = object.as_dump_object();
        let id = object.id();
        let definition = matches!(id.part, Part::Data | Part::Attach)
            .then(|| catalog.exact(id.with_part(Part::Definition)));
        let needed = object.extra_dependencies().into_iter();
        let needed = needed.filter_map(|id| catalog.find(id));
        needed.chain(definition.flatten()).collect()
    };
    let needed: Vec<Vec<usize>> = catalog.objects.par_iter().map(needed_by).collect();
    for (all, mut needed) in catalog.depends_on.iter_mut().zip(needed) {
        all.append(&mut needed);
    }
}

/// A shell needs the schema that its type needs; the type's row is not the shell's.
fn connect_shells(catalog: &mut Catalog) {
    for index in 0..catalog.objects.len() {
        let id = catalog.objects[index].as_dump_object().id();
        if id.part != Part::Shell {
            continue;
        }
        let Some(full) = catalog.exact(id.with_part(Part::Definition)) else {
            continue;
        };
        catalog.depends_on[index] = catalog.depends_on[full]
            .iter()
            .copied()
            .filter(|&needed| catalog.objects[needed].as_dump_object().kind() == Kind::Schema)
            .collect();
    }
}

/// A row's dependencies are those of what can come late, too: the object itself needs but a few of them. Recursion is in the rest.
fn connect_late(catalog: &mut Catalog) {
    for index in 0..catalog.objects.len() {
        let object = catalog.objects[index].as_dump_object();
        let Some(rows) = object.needed_at_once() else {
            continue;
        };
        let Some(late) = catalog.exact(object.id().with_part(Part::Late)) else {
            continue;
        };
        let at_once: Vec<usize> = rows
            .iter()
            .filter_map(|row| catalog.claimant(*row))
            .collect();
        let all = std::mem::take(&mut catalog.depends_on[index]);
        let is_at_once = |&needed: &usize| {
            let kind = catalog.objects[needed].as_dump_object().kind();
            at_once.contains(&needed) || matches!(kind, Kind::Schema | Kind::Extension)
        };
        catalog.depends_on[index] = all.iter().copied().filter(is_at_once).collect();
        catalog.depends_on[late].extend(all);
    }
}

/// A refresh reads what the query reads: it comes after the refresh of every materialized view, and after
/// the query of every view, that it sees directly or through views.
fn connect_refreshes(catalog: &mut Catalog) {
    for refresh in 0..catalog.objects.len() {
        let id = catalog.objects[refresh].as_dump_object().id();
        if catalog.objects[refresh].as_dump_object().kind() != Kind::MaterializedViewData {
            continue;
        }
        let mut needed = Vec::new();
        let mut reads_unfilled = false;
        let mut seen = std::collections::HashSet::new();
        let mut open: Vec<usize> = catalog
            .exact(id.with_part(Part::Definition))
            .into_iter()
            .collect();
        while let Some(index) = open.pop() {
            let object = catalog.objects[index].as_dump_object();
            match object.kind() {
                Kind::View | Kind::MaterializedView if seen.insert(index) => {
                    let filled = catalog.exact(object.id().with_part(Part::Data));
                    reads_unfilled |= object.kind() == Kind::MaterializedView && filled.is_none();
                    needed.extend(filled);
                    open.extend(catalog.depends_on[index].iter().copied());
                    open.extend(catalog.parts(index));
                }
                Kind::ViewQuery if seen.insert(index) => {
                    needed.push(index);
                    open.extend(catalog.depends_on[index].iter().copied());
                }
                _ => {}
            }
        }
        if reads_unfilled {
            catalog.unfilled.push(refresh);
        }
        needed.retain(|&other| other != refresh);
        catalog.depends_on[refresh].extend(needed);
        catalog.depends_on[refresh].sort_unstable();
        catalog.depends_on[refresh].dedup();
    }
}

/// Rows that belong to an extension, by its OID: its members and, as far as no object accounts for
/// them, what comes and goes with these (array types, indexes, constraints of a member table).
pub(super) fn extension_members(catalog: &Catalog) -> OidMap<CatalogId, Oid> {
    let mut members = OidMap::default();
    for dependency in &catalog.dependencies {
        if dependency.deptype == DependencyType::Extension {
            members.insert(dependency.dependent, dependency.referenced.oid);
        }
    }
    spread(catalog, &mut members);
    members
}

/// Spreads a mark from rows to unclaimed rows that come and go with them.
pub(super) fn spread<T: Copy>(catalog: &Catalog, marks: &mut OidMap<CatalogId, T>) {
    if marks.is_empty() {
        return;
    }
    let mut dependents: OidMap<CatalogId, Vec<CatalogId>> = OidMap::default();
    for dependency in &catalog.dependencies {
        let comes_and_goes = matches!(
            dependency.deptype,
            DependencyType::Auto | DependencyType::Internal | DependencyType::Partition
        );
        if comes_and_goes && catalog.claimant(dependency.dependent).is_none() {
            dependents
                .entry(dependency.referenced)
                .or_default()
                .push(dependency.dependent);
        }
    }
    let mut open: Vec<CatalogId> = marks.keys().copied().collect();
    while let Some(row) = open.pop() {
        let mark = marks[&row];
        for &dependent in dependents.get(&row).into_iter().flatten() {
            if let std::collections::hash_map::Entry::Vacant(vacant) = marks.entry(dependent) {
                vacant.insert(mark);
                open.push(dependent);
            }
        }
    }
}

/// Kind and name, for people.
pub(super) fn describe(object: &Object) -> String {
    let object = object.as_dump_object();
    let name = match object.schema() {
        Some(schema) => format!("{schema}.{}", object.tag()),
        None => object.tag(),
    };
    format!("{} {}", object.kind(), one_line(&name))
}
