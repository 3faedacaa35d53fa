//! What a restore will do, decided from the index and the options alone. Pure.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::archive::{DumpId, Index, MemberCount, MemberId, RowDigest, Section, Span, TocEntry};
use crate::objects::{Kind, quote};
use crate::{Error, ErrorKind, Result};

use super::chosen::{Chosen, contradiction, name_within};
use super::gates::sees_own_rows_only;
use super::journal::{Done, Work};
use super::moved::{MovedNames, move_plan};
use super::{RestoreOptions, exact, large_objects};

/// Up to so many bytes of rows, what is made of a table is there at once.
const LIGHT_BYTES: u64 = 1 << 20;

/// The whole restore: what may have to go, what is created when, what is loaded.
#[derive(Debug, Default)]
pub(crate) struct RestorePlan {
    /// What the archive holds and the target must therefore lose first. Empty without `clean`.
    pub held: HeldObjects,
    /// Large objects that are made without that those of the same numbers go first.
    pub new_large_objects: BTreeSet<u32>,
    /// Tablespaces, which cannot be made in a transaction. Those that exist stay.
    pub tablespaces: Vec<Step>,
    /// Pre-data in script order, for the one transaction.
    pub pre_data: Vec<Step>,
    /// Large objects that are too many for that, with their comments, in script order: see [`super::large_objects`].
    pub large_objects: Vec<Step>,
    /// The tables and groups of large objects to load.
    pub loads: Vec<Load>,
    /// Post-data but for what follows, in script order.
    pub post_data: Vec<Step>,
    /// Privileges: after everything whose creation they could forbid.
    pub privileges: Vec<Step>,
    /// Refreshes of materialized views: late, for their queries run with the owner's privileges.
    pub refreshes: Vec<Step>,
    /// The planner's statistics: whatever else is made changes them.
    pub statistics: Vec<Step>,
    /// Event triggers: last, for nothing that this restore does is their affair.
    pub event_triggers: Vec<Step>,
    /// Rows and bytes of all loads, where they are known though not of each: an archive of pg_dump is not read again for what is done.
    pub totals: Option<(u64, u64)>,
    /// New names for what comes back in another place.
    pub moved: Option<Arc<MovedNames>>,
    /// The schema of that place, made if it is missing.
    pub makes_schema: Option<String>,
    /// What does not come along to it, in words.
    pub left_out: Vec<String>,
}

/// The statements of one entry, to be run together.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// The entry.
    pub id: DumpId,
    /// Its kind.
    pub kind: Kind,
    /// The entry in words: `INDEX "s"."i"`.
    pub label: String,
    /// The schema that it is created in.
    pub schema: Option<String>,
    /// The bare name in the table of contents.
    pub name: String,
    /// The role that will own it; `None` with `--no-owner`.
    pub owner: Option<String>,
    /// What drops what is replaced, if nothing did before.
    pub drop_first: Option<String>,
    /// What creates it.
    pub create: Option<Span>,
    /// What gives it to its owner.
    pub alter_owner: Option<Span>,
    /// The same, if the script does without it.
    pub give_to_owner: Option<String>,
    /// Entries that come first.
    pub depends_on: Vec<DumpId>,
    /// Tables that it locks, `true` for exclusively.
    pub locks: Vec<(DumpId, bool)>,
    /// Bytes of rows of its table: large ones start first.
    pub weight: u64,
    /// Whether it is known to take no longer than a round trip or two.
    pub is_light: bool,
}

impl Step {
    /// Where its statements are, in the order in which they run.
    pub(crate) fn spans(&self) -> impl Iterator<Item = Span> {
        self.create.into_iter().chain(self.alter_owner)
    }

    /// One that does nothing, for tests.
    #[cfg(test)]
    pub(super) fn named(kind: Kind, name: &str) -> Step {
        Step {
            id: DumpId(1),
            kind,
            label: name.to_owned(),
            schema: None,
            name: name.to_owned(),
            owner: None,
            drop_first: None,
            create: None,
            alter_owner: None,
            give_to_owner: None,
            depends_on: Vec::new(),
            locks: Vec::new(),
            weight: 0,
            is_light: false,
        }
    }
}

/// The data members of one entry.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// The entry.
    pub entry: DumpId,
    /// The entry in words: `TABLE DATA "s"."t"`.
    pub label: String,
    /// What is loaded.
    pub target: LoadTarget,
    /// The columns of its rows; none of large objects.
    pub columns: Vec<String>,
    /// The digest of its rows, of the index or counted, which is trusted for nothing but [`super::verify_rows`]; empty if nobody knows.
    pub digest: String,
    /// Whether the rows go into a partitioned table, which sends them on.
    pub through_root: bool,
    /// Whether CREATE EXTENSION makes the table, with rows of its own in it.
    pub of_extension: bool,
    /// Entries whose rows come first: foreign keys are there when these come.
    pub after: Vec<DumpId>,
    /// COPY into another place than the archive's.
    pub copy: Option<String>,
    /// Rows that meet an equal key are left out.
    pub skips_conflicts: bool,
    /// Rows are inserted, not copied: policies of the target may bind the role.
    pub through_policies: bool,
    /// Rows are no COPY text but statements, which name their table.
    pub rows_as_statements: bool,
    /// Rows of all members.
    pub rows: u64,
    /// Bytes of all members.
    pub bytes: u64,
    /// The members in file order.
    pub members: Vec<PlannedMember>,
}

impl Load {
    /// The members that are not done. What is said about the whole table stays.
    fn without(&self, done: &Done) -> Load {
        let mut load = self.clone();
        load.members
            .retain(|member| !done.has(Work::Member(member.id)));
        load
    }

    /// Bytes of the members.
    pub(crate) fn bytes_of_members(&self) -> u64 {
        self.members.iter().map(|member| member.length).sum()
    }

    /// Of a table of schema `s`, without members, for tests.
    #[cfg(test)]
    pub(super) fn named(name: &str) -> Load {
        Load {
            entry: DumpId(1),
            label: name.to_owned(),
            target: LoadTarget::Table {
                schema: "s".to_owned(),
                name: name.to_owned(),
            },
            columns: Vec::new(),
            digest: String::new(),
            through_root: false,
            of_extension: false,
            after: Vec::new(),
            copy: None,
            skips_conflicts: false,
            through_policies: false,
            rows_as_statements: false,
            rows: 0,
            bytes: 0,
            members: Vec::new(),
        }
    }
}

#[cfg(test)]
impl PlannedMember {
    /// One of this number and length, for tests.
    pub(super) fn numbered(id: u32, length: u64) -> PlannedMember {
        PlannedMember {
            id: MemberId(id),
            rows: 0,
            length,
        }
    }
}

/// What members are loaded into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LoadTarget {
    /// A table, by COPY.
    Table {
        /// Its schema.
        schema: String,
        /// Its name.
        name: String,
    },
    /// Large objects, by calls.
    LargeObjects,
}

/// A data member to load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlannedMember {
    /// Its number.
    pub id: MemberId,
    /// Rows or calls.
    pub rows: u64,
    /// Bytes after decompression.
    pub length: u64,
}

/// The names under which the target may already hold what the archive will create.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct HeldObjects {
    /// Relations, indexes and types: they share names where they collide. (schema, name)
    pub relations: BTreeSet<(String, String)>,
    /// Functions, procedures, aggregates: (schema, name with identity arguments).
    pub routines: BTreeSet<(String, String)>,
    /// The archive's DROP statements of the routines: the server's own parser matches signatures whose
    /// argument names differ.
    pub routine_drops: Vec<String>,
    /// Schemas, `public` excepted, which is never dropped.
    pub schemas: BTreeSet<String>,
    /// Objects of all other kinds that have names of their own, in script order.
    pub others: Vec<HeldObject>,
    /// Large objects.
    pub large_objects: BTreeSet<u32>,
    /// Default privileges: (role, schema, or the empty string for all schemas). While they exist in the target
    /// they would add grants to whatever is created.
    pub default_privileges: BTreeSet<(String, String)>,
    /// Configuration tables of extensions, whose rows are replaced: (schema, name).
    pub configuration: BTreeSet<(String, String)>,
    /// With `--exact`: schemas that will hold nothing else.
    pub exact_schemas: BTreeSet<String>,
    /// What they hold besides, as the plan was shown, in words.
    pub extras_seen: BTreeSet<String>,
}

/// An object of the archive whose kind shares its names with no other.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HeldObject {
    /// Its kind.
    pub kind: Kind,
    /// The schema it lies in.
    pub schema: Option<String>,
    /// Its name in the table of contents.
    pub name: String,
    /// The statement that drops it.
    pub drop: String,
}

/// The plan in numbers, for the confirmation and the report.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct PlanSummary {
    /// Statements of pre-data and post-data entries.
    pub entries: u64,
    /// Tables with rows to load.
    pub tables: u64,
    /// Rows to load.
    pub rows: u64,
    /// Bytes to load, before compression.
    pub bytes: u64,
}

impl RestorePlan {
    /// Puts in what reading the members has told: not every archive counts its rows.
    pub(crate) fn take_counts(&mut self, counts: &HashMap<MemberId, MemberCount>) {
        for load in &mut self.loads {
            for member in &mut load.members {
                if let Some(count) = counts.get(&member.id) {
                    (member.rows, member.length) = (count.rows, count.bytes);
                }
            }
            load.rows = load.members.iter().map(|member| member.rows).sum();
            load.bytes = load.members.iter().map(|member| member.length).sum();
            let found = load
                .members
                .iter()
                .map(|member| counts.get(&member.id)?.digest);
            if let Some(digests) = found.collect::<Option<Vec<RowDigest>>>()
                && !digests.is_empty()
            {
                load.digest = RowDigest::sum(digests).to_hex();
            }
        }
    }

    /// Every member that the plan reads.
    pub(crate) fn members(&self) -> BTreeSet<MemberId> {
        let data = self
            .loads
            .iter()
            .flat_map(|load| load.members.iter().map(|member| member.id));
        self.statement_members().into_iter().chain(data).collect()
    }

    /// The members that hold the plan's statements.
    pub(crate) fn statement_members(&self) -> BTreeSet<MemberId> {
        self.steps()
            .flat_map(|step| step.spans().map(|span| span.member))
            .collect()
    }

    /// Whether there is anything to do before the rows come.
    pub(crate) fn changes_definitions(&self) -> bool {
        !self.pre_data.is_empty() || self.held != HeldObjects::default()
    }

    /// All steps in the order of their passes.
    pub(crate) fn steps(&self) -> impl Iterator<Item = &Step> {
        self.tablespaces
            .iter()
            .chain(&self.pre_data)
            .chain(&self.large_objects)
            .chain(&self.post_data)
            .chain(&self.privileges)
            .chain(&self.refreshes)
            .chain(&self.statistics)
            .chain(&self.event_triggers)
    }

    pub(super) fn steps_mut(&mut self) -> impl Iterator<Item = &mut Step> {
        self.tablespaces
            .iter_mut()
            .chain(&mut self.pre_data)
            .chain(&mut self.large_objects)
            .chain(&mut self.post_data)
            .chain(&mut self.privileges)
            .chain(&mut self.event_triggers)
            .chain(&mut self.refreshes)
            .chain(&mut self.statistics)
    }

    /// The plan in numbers.
    pub(crate) fn summary(&self) -> PlanSummary {
        let tables = || {
            self.loads
                .iter()
                .filter(|load| load.target != LoadTarget::LargeObjects)
        };
        let (rows, bytes) = self.totals.unwrap_or_else(|| {
            let rows = tables().map(|load| load.rows).sum();
            (rows, self.loads.iter().map(|load| load.bytes).sum())
        });
        PlanSummary {
            entries: self.steps().count() as u64,
            tables: tables().count() as u64,
            rows,
            bytes,
        }
    }

    /// The passes after the rows, in order. Event triggers come with the last transaction.
    pub(crate) fn passes(&self) -> [&Vec<Step>; 4] {
        [
            &self.post_data,
            &self.privileges,
            &self.refreshes,
            &self.statistics,
        ]
    }

    /// Number of steps in these passes.
    pub(crate) fn steps_after_rows(&self) -> u64 {
        self.passes().iter().map(|steps| steps.len() as u64).sum()
    }

    /// Number of steps that are a transaction each.
    pub(crate) fn recorded_steps(&self) -> u64 {
        self.large_objects.len() as u64 + self.steps_after_rows()
    }

    /// What is left of it once the definitions are there and `done` is done.
    pub(crate) fn without(&self, done: &Done) -> RestorePlan {
        let left = |steps: &[Step]| -> Vec<Step> {
            let left = |step: &&Step| !done.has(Work::Step(step.id));
            steps.iter().filter(left).cloned().collect()
        };
        RestorePlan {
            held: HeldObjects::default(),
            new_large_objects: BTreeSet::new(),
            pre_data: Vec::new(),
            large_objects: left(&self.large_objects),
            tablespaces: self.tablespaces.clone(),
            loads: self.loads.iter().map(|load| load.without(done)).collect(),
            post_data: left(&self.post_data),
            privileges: left(&self.privileges),
            event_triggers: self.event_triggers.clone(),
            refreshes: left(&self.refreshes),
            statistics: left(&self.statistics),
            totals: None,
            moved: self.moved.clone(),
            makes_schema: self.makes_schema.clone(),
            left_out: self.left_out.clone(),
        }
    }

    /// Whether steps are done that had to wait for all rows, so that rows which are left were there before: a crash emptied an unlogged
    /// table. `left`: what is left of this plan.
    pub(crate) fn has_waiting_done(&self, left: &RestorePlan) -> bool {
        let waiting = |plan: &RestorePlan| {
            let steps = plan.passes().into_iter().flatten();
            steps.filter(|it| !sees_own_rows_only(it.kind)).count()
        };
        waiting(left) < waiting(self)
    }

    /// Number of data members.
    pub(crate) fn member_count(&self) -> u64 {
        self.loads
            .iter()
            .map(|load| load.members.len() as u64)
            .sum()
    }
}

/// What a plan does without, though the options choose it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exclusions {
    /// Entries.
    pub entries: HashSet<DumpId>,
    /// Roles that nothing is given to.
    pub owners: HashSet<String>,
}

/// Plans a restore.
///
/// # Errors
/// `Damaged` if the index contradicts itself, `Usage` if the selection matches nothing.
pub(crate) fn plan_restore(index: &Index, options: &RestoreOptions) -> Result<RestorePlan> {
    plan_restore_without(index, options, &Exclusions::default())
}

/// Plans a restore that leaves something out.
///
/// # Errors
/// Those of [`plan_restore`].
pub(crate) fn plan_restore_without(
    index: &Index,
    options: &RestoreOptions,
    without: &Exclusions,
) -> Result<RestorePlan> {
    let chosen = Chosen::new(index, options)?;
    let weights = Weights::new(index);
    let mut members: HashMap<DumpId, Vec<PlannedMember>> = HashMap::new();
    for (id, member) in index.numbered_members() {
        if let Some(entry) = member.entry {
            members.entry(entry).or_default().push(PlannedMember {
                id,
                rows: member.rows.unwrap_or(0),
                length: member.length,
            });
        }
    }
    let mut plan = RestorePlan::default();
    let only_rows =
        |(_, kind): &(&TocEntry, Kind)| options.rows.is_none() || *kind == Kind::TableData;
    let is_wanted = |(entry, _): &(&TocEntry, Kind)| {
        let is_at_home = options.foreign_data || !index.is_of_foreign_table(entry);
        is_at_home && !without.entries.contains(&entry.id)
    };
    for (entry, kind) in chosen.entries().filter(only_rows).filter(is_wanted) {
        if options.clean && !options.parts.data_only && !chosen.is_needed(entry) {
            plan.held.add(index, entry, kind)?;
            if !chosen.has_relation_of(entry) {
                plan.held.others.extend(held_part(index, entry, kind));
            }
        } else if kind == Kind::LargeObject {
            plan.new_large_objects.extend(large_objects_of(entry)?);
        }
        // A comment comes in the pass of what it is about, or behind it.
        let subject = entry.subject.and_then(|id| chosen.position(id));
        match (kind, subject.map(|at| chosen.kind(at))) {
            (_, Some(Kind::EventTrigger)) => {
                plan.event_triggers
                    .extend(step(entry, kind, &weights, options));
                continue;
            }
            (_, Some(Kind::Tablespace)) => {
                plan.privileges.extend(step(entry, kind, &weights, options));
                continue;
            }
            _ => {}
        }
        match kind {
            Kind::Tablespace => plan
                .tablespaces
                .extend(step(entry, kind, &weights, options)),
            Kind::TableData | Kind::LargeObjectData => {
                let members = members.remove(&entry.id).unwrap_or_default();
                let load = Load {
                    skips_conflicts: index.header.skips_conflicts(),
                    through_policies: options.row_security,
                    ..plan_load(entry, kind, members)?
                };
                check_columns(&load, options)?;
                plan.loads.push(load);
            }
            Kind::Acl | Kind::DefaultAcl => {
                plan.privileges.extend(step(entry, kind, &weights, options))
            }
            Kind::EventTrigger => {
                plan.event_triggers
                    .extend(step(entry, kind, &weights, options));
            }
            Kind::MaterializedViewData => {
                plan.refreshes.extend(step(entry, kind, &weights, options));
            }
            Kind::RelationStatistics => {
                plan.statistics.extend(step(entry, kind, &weights, options));
            }
            _ if entry.section == Section::PreData || kind == Kind::LargeObject => {
                plan.pre_data.extend(step(entry, kind, &weights, options));
            }
            _ => plan.post_data.extend(step(entry, kind, &weights, options)),
        }
    }
    put_schemas_first(&mut plan.privileges);
    for step in plan.steps_mut() {
        if step
            .owner
            .as_ref()
            .is_some_and(|owner| without.owners.contains(owner))
        {
            step.owner = None;
            step.alter_owner = None;
            step.give_to_owner = None;
        }
    }
    if let Some(moves) = &options.moves {
        move_plan(&mut plan, index, moves)?;
    }
    if options.exact {
        plan.held.exact_schemas = exact::schemas(&index.header, &plan.held, options)?;
    }
    if !options.create && !options.single_transaction {
        large_objects::postpone(&mut plan, index)?;
    }
    Ok(plan)
}

/// Who passes on what others granted needs the schema for it: its privileges come before those in it.
fn put_schemas_first(privileges: &mut [Step]) {
    let of_schemas: HashMap<String, DumpId> = privileges
        .iter()
        .filter(|step| step.kind == Kind::Acl && step.schema.is_none())
        .filter_map(|step| Some((step.name.strip_prefix("SCHEMA ")?.to_owned(), step.id)))
        .collect();
    for step in privileges {
        let of_schema = step.schema.as_ref().and_then(|name| of_schemas.get(name));
        step.depends_on.extend(of_schema);
    }
}

/// A condition on a column that a table does not have is a mistake, not a reason to load nothing.
fn check_columns(load: &Load, options: &RestoreOptions) -> Result<()> {
    let Some(filter) = &options.rows else {
        return Ok(());
    };
    filter.place(&load.columns).map(drop).map_err(|column| {
        Error::new(
            ErrorKind::Usage,
            format!(
                "{} has no column {}",
                load.label,
                quote::one_line(&quote::ident(column))
            ),
        )
        .hint("Choose the tables that have it with --table.")
    })
}

fn step(entry: &TocEntry, kind: Kind, weights: &Weights, options: &RestoreOptions) -> Option<Step> {
    let alter_owner = entry.alter_owner.filter(|_| !options.no_owner);
    let give_to_owner = entry.give_to_owner.clone().filter(|_| !options.no_owner);
    let gets_owner = alter_owner.is_some() || give_to_owner.is_some();
    (entry.create.is_some() || alter_owner.is_some()).then(|| Step {
        id: entry.id,
        kind,
        label: label(entry, kind),
        schema: entry.schema.clone(),
        name: entry.name.clone(),
        owner: entry.owner.clone().filter(|_| gets_owner),
        drop_first: None,
        create: entry.create,
        alter_owner,
        give_to_owner,
        depends_on: entry.depends_on.clone(),
        locks: entry.locks.clone(),
        weight: weights.of(entry).unwrap_or(0),
        is_light: weights.is_light(entry, kind),
    })
}

/// An entry in words, on one line: `FUNCTION "s".f(integer)`.
pub(super) fn label(entry: &TocEntry, kind: Kind) -> String {
    match (kind, &entry.schema) {
        (Kind::Function | Kind::Procedure | Kind::Aggregate, Some(schema)) => {
            let text = format!("{kind} {}.{}", quote::ident(schema), entry.name);
            quote::one_line(&text).into_owned()
        }
        _ => format!("{kind} {}", entry.qualified_name()),
    }
}

/// Checks that the members of an entry hold what the index says of the whole.
fn plan_load(entry: &TocEntry, kind: Kind, members: Vec<PlannedMember>) -> Result<Load> {
    let rows = members.iter().map(|member| member.rows).sum();
    if let Some(whole) = &entry.rows
        && whole.rows != rows
    {
        return Err(Error::new(
            ErrorKind::Damaged,
            format!("the parts of {} do not make the whole", label(entry, kind)),
        )
        .detail(format!(
            "The index promises {} rows; the members hold {rows}.",
            whole.rows
        )));
    }
    let target = match (kind, entry.loaded_into()) {
        (Kind::TableData, Some((schema, name))) => LoadTarget::Table {
            schema: schema.to_owned(),
            name: name.to_owned(),
        },
        // Rows as INSERT statements.
        (Kind::TableData, None) => LoadTarget::Table {
            schema: (entry.schema.clone())
                .ok_or_else(|| contradiction(entry, "it has no table"))?,
            name: entry.name.clone(),
        },
        _ => LoadTarget::LargeObjects,
    };
    Ok(Load {
        entry: entry.id,
        label: label(entry, kind),
        target,
        columns: entry
            .rows
            .as_ref()
            .map_or_else(Vec::new, |rows| rows.columns.clone()),
        digest: entry
            .rows
            .as_ref()
            .map_or_else(String::new, |rows| rows.digest.clone()),
        through_root: entry.rows.as_ref().is_some_and(|rows| rows.root.is_some()),
        of_extension: entry.relation.is_none(),
        after: entry.depends_on.clone(),
        copy: None,
        skips_conflicts: false,
        through_policies: false,
        rows_as_statements: kind == Kind::TableData && entry.rows.is_none(),
        rows,
        bytes: members.iter().map(|member| member.length).sum(),
        members,
    })
}

/// Bytes of rows of each table, by the number of the table's own entry.
struct Weights {
    of_relations: HashMap<DumpId, u64>,
    /// pg_dump's archives say how much is stored at most.
    is_exact: bool,
}

impl Weights {
    fn new(index: &Index) -> Weights {
        let entries = index.entries.iter();
        Weights {
            of_relations: entries
                .filter_map(|entry| Some((entry.relation?, entry.rows.as_ref()?.bytes)))
                .collect(),
            is_exact: index.header.pg_dump.is_none(),
        }
    }

    fn of(&self, entry: &TocEntry) -> Option<u64> {
        self.of_relations.get(&entry.relation?).copied()
    }

    fn is_light(&self, entry: &TocEntry, kind: Kind) -> bool {
        if reads_no_rows(kind) {
            return true;
        }
        match entry.relation {
            Some(_) => self.is_exact && self.of(entry).is_some_and(|bytes| bytes <= LIGHT_BYTES),
            // Of the latter, an entry is a whole group.
            None => !matches!(kind, Kind::MaterializedViewData | Kind::LargeObject),
        }
    }
}

/// Of what is made for a table when its rows are there: what takes no longer for a large one.
fn reads_no_rows(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::SequenceSet
            | Kind::IndexAttach
            | Kind::ExtendedStatistics
            | Kind::Rule
            | Kind::Trigger
            | Kind::Policy
            | Kind::RowSecurity
            | Kind::PublicationTable
            | Kind::Comment
            | Kind::SecurityLabel
            | Kind::Acl
            | Kind::RelationStatistics
    )
}

/// A part of a table that comes without its table, and therefore does not go with it either.
fn held_part(index: &Index, entry: &TocEntry, kind: Kind) -> Option<HeldObject> {
    let schema = entry.schema.as_ref()?;
    let (table, name) = name_within(index, entry)?;
    let (table, name) = (quote::qualified(schema, &table.name), quote::ident(name));
    let drop = match kind {
        Kind::Trigger | Kind::Rule | Kind::Policy => {
            format!("DROP {kind} IF EXISTS {name} ON {table};")
        }
        Kind::ForeignKey | Kind::CheckConstraint => {
            format!("ALTER TABLE IF EXISTS {table} DROP CONSTRAINT IF EXISTS {name};")
        }
        _ => return None,
    };
    Some(HeldObject {
        kind,
        schema: entry.schema.clone(),
        name: entry.name.clone(),
        drop,
    })
}

pub(super) fn large_objects_of(entry: &TocEntry) -> Result<Vec<u32>> {
    let oids = entry.drop.as_deref().and_then(oids_of_drop);
    oids.ok_or_else(|| contradiction(entry, "it does not tell the large objects' numbers"))
}

impl HeldObjects {
    /// Adds what an entry creates. Parts of tables (constraints but for their indexes, triggers, policies, defaults)
    /// go with the table.
    fn add(&mut self, index: &Index, entry: &TocEntry, kind: Kind) -> Result<()> {
        let schema = || {
            entry
                .schema
                .clone()
                .ok_or_else(|| contradiction(entry, "it has no schema"))
        };
        match kind {
            Kind::Schema => {
                if entry.name != "public" {
                    self.schemas.insert(entry.name.clone());
                }
            }
            Kind::Sequence
            | Kind::EnumType
            | Kind::ShellType
            | Kind::CompositeType
            | Kind::BaseType
            | Kind::RangeType
            | Kind::Domain
            | Kind::Table
            | Kind::ForeignTable
            | Kind::View
            | Kind::MaterializedView
            | Kind::Index => {
                self.relations.insert((schema()?, entry.name.clone()));
            }
            // The index behind it has the constraint's name. The tag is "table constraint".
            Kind::Constraint => {
                if let Some((_, name)) = name_within(index, entry) {
                    self.relations.insert((schema()?, name.to_owned()));
                }
            }
            Kind::Function | Kind::Procedure | Kind::Aggregate => {
                self.routines.insert((schema()?, entry.name.clone()));
                self.routine_drops.extend(entry.drop.clone());
            }
            Kind::LargeObject => {
                self.large_objects.extend(large_objects_of(entry)?);
            }
            Kind::DefaultAcl => {
                if let Some(role) = &entry.owner {
                    let schema = entry.schema.clone().unwrap_or_default();
                    self.default_privileges.insert((role.clone(), schema));
                }
            }
            Kind::Role
            | Kind::Tablespace
            | Kind::RoleSetting
            | Kind::RoleMembership
            | Kind::ParameterAcl => {}
            // CREATE OR REPLACE LANGUAGE, which stands for the extension on newer servers.
            Kind::Language if entry.drop.is_none() => {}
            Kind::Language
            | Kind::Collation
            | Kind::Cast
            | Kind::Transform
            | Kind::AccessMethod
            | Kind::Operator
            | Kind::OperatorFamily
            | Kind::OperatorClass
            | Kind::OperatorFamilyMember
            | Kind::Conversion
            | Kind::TextSearchParser
            | Kind::TextSearchTemplate
            | Kind::TextSearchDictionary
            | Kind::TextSearchConfiguration
            | Kind::ForeignDataWrapper
            | Kind::ForeignServer
            | Kind::UserMapping
            | Kind::ExtendedStatistics
            | Kind::Publication
            | Kind::Subscription
            | Kind::EventTrigger => self.others.push(HeldObject {
                kind,
                schema: entry.schema.clone(),
                name: entry.name.clone(),
                drop: entry
                    .drop
                    .clone()
                    .ok_or_else(|| contradiction(entry, "nothing drops it"))?,
            }),
            Kind::TableData if entry.relation.is_none() => {
                self.configuration.insert((schema()?, entry.name.clone()));
            }
            Kind::Extension
            | Kind::PublicationTable
            | Kind::PublicationSchema
            | Kind::SecurityLabel
            | Kind::TableAttach
            | Kind::Default
            | Kind::SequenceOwner
            | Kind::ViewQuery
            | Kind::DomainDefault
            | Kind::FunctionBody
            | Kind::TableData
            | Kind::LargeObjectData
            | Kind::SequenceSet
            | Kind::CheckConstraint
            | Kind::IndexAttach
            | Kind::Rule
            | Kind::Trigger
            | Kind::ForeignKey
            | Kind::Policy
            | Kind::RowSecurity
            | Kind::Comment
            | Kind::Acl
            | Kind::MaterializedViewData
            | Kind::RelationStatistics => {}
        }
        Ok(())
    }
}

/// The entries that the options choose, in script order. `pgstow show` selects by the same rules.
pub(crate) fn chosen_entries<'a>(
    index: &'a Index,
    options: &RestoreOptions,
) -> Result<Vec<&'a TocEntry>> {
    let chosen = Chosen::new(index, options)?;
    Ok(chosen.entries().map(|(entry, _)| entry).collect())
}

/// The objects that chosen entries need, parts of relations excepted.
pub(super) fn needed_objects<'a>(
    index: &'a Index,
    options: &RestoreOptions,
) -> Result<Vec<(&'a TocEntry, Kind)>> {
    let chosen = Chosen::new(index, options)?;
    let is_whole = |entry: &TocEntry| {
        entry.subject.is_none() && entry.relation.is_none_or(|relation| relation == entry.id)
    };
    let needed = chosen
        .entries()
        .filter(|(entry, _)| chosen.is_needed(entry) && is_whole(entry));
    Ok(needed.collect())
}

/// The numbers of a group of large objects: its name has the first and the last only, its DROP statement
/// has all of them in one array literal (`quote::oid_array`).
fn oids_of_drop(statement: &str) -> Option<Vec<u32>> {
    let (_, rest) = statement.split_once("'{")?;
    let (list, _) = rest.split_once("}'")?;
    list.split(',').map(|oid| oid.parse().ok()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::archive::{FORMAT_VERSION, Header, Member, MemberRole, TableRows};
    use crate::dump::parts::Parts;
    use crate::dump::selection::{Selection, SelectionPatterns};

    fn header() -> Header {
        Header {
            format: FORMAT_VERSION,
            archive_id: String::new(),
            tool: String::new(),
            server_version: String::new(),
            server_version_num: 150_000,
            database: "db".into(),
            encoding: "UTF8".into(),
            text_encoding: None,
            inserts: None,
            session_authorization: false,
            properties: None,
            lc_collate: "C".into(),
            lc_ctype: "C".into(),
            started: String::new(),
            snapshot: String::new(),
            partial: Vec::new(),
            entries: 0,
            members: 0,
            pg_dump: None,
        }
    }

    fn options() -> RestoreOptions {
        RestoreOptions {
            parts: Parts::default(),
            ..RestoreOptions::whole(NonZeroUsize::MIN)
        }
    }

    fn selecting(tables: &[&str], schemas: &[&str]) -> RestoreOptions {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        RestoreOptions {
            selection: Selection::parse(&SelectionPatterns {
                tables: texts(tables),
                schemas: texts(schemas),
                ..SelectionPatterns::default()
            })
            .unwrap(),
            ..options()
        }
    }

    /// Kind, schema, name, section, relation, subject.
    type Line = (Kind, &'static str, &'static str, Section, u32, u32);

    fn index_of(lines: &[Line]) -> Index {
        let id = |number: u32| (number > 0).then_some(DumpId(number));
        let entries = (1..)
            .zip(lines)
            .map(
                |(number, (kind, schema, name, section, relation, subject))| TocEntry {
                    id: DumpId(number),
                    kind: kind.as_str().to_owned(),
                    schema: (!schema.is_empty()).then(|| (*schema).to_owned()),
                    name: (*name).to_owned(),
                    relation: id(*relation),
                    subject: id(*subject),
                    owner: Some("o".to_owned()),
                    section: *section,
                    depends_on: Vec::new(),
                    locks: Vec::new(),
                    drop: (*kind == Kind::LargeObject).then(|| {
                        "SELECT lo_unlink ANY ('{4711,4713}'::pg_catalog.oid[]);".to_owned()
                    }),
                    create: (*kind != Kind::TableData).then_some(Span {
                        member: MemberId(0),
                        offset: 0,
                        length: 0,
                    }),
                    alter_owner: None,
                    give_to_owner: None,
                    rows: (*kind == Kind::TableData).then(|| {
                        Box::new(TableRows {
                            columns: Vec::new(),
                            rows: 3,
                            bytes: 30,
                            digest: String::new(),
                            root: None,
                            inserts: None,
                        })
                    }),
                },
            )
            .collect();
        Index {
            header: header(),
            entries,
            members: Vec::new(),
        }
    }

    fn with_data(mut index: Index, entry: u32, rows: &[u64]) -> Index {
        for rows in rows {
            index.members.push(Member {
                role: MemberRole::Data,
                section: Section::Data,
                offset: 0,
                stored_length: 0,
                length: 10,
                blake3: String::new(),
                entry: Some(DumpId(entry)),
                rows: Some(*rows),
            });
        }
        index
    }

    fn sample() -> Index {
        use Section::{Data, PostData, PreData};
        let index = index_of(&[
            (Kind::Schema, "", "a", PreData, 0, 0),
            (Kind::Domain, "a", "d", PreData, 0, 0),
            (Kind::Sequence, "a", "odd_name", PreData, 3, 0),
            (Kind::Table, "a", "t", PreData, 4, 0),
            (Kind::Table, "a", "u", PreData, 5, 0),
            (Kind::SequenceOwner, "a", "odd_name", PreData, 4, 0),
            (Kind::TableData, "a", "t", Data, 4, 0),
            (Kind::LargeObject, "", "4711..4713", Data, 0, 0),
            (Kind::SequenceSet, "a", "odd_name", Data, 3, 0),
            (Kind::Index, "a", "ti", PostData, 4, 0),
            (Kind::Constraint, "a", "t t pk", PostData, 4, 0),
            (Kind::Comment, "a", "INDEX ti", PostData, 4, 10),
            (Kind::Acl, "a", "TABLE u", PostData, 5, 5),
            (
                Kind::DefaultAcl,
                "a",
                "DEFAULT PRIVILEGES FOR TABLES",
                PostData,
                0,
                0,
            ),
            (Kind::MaterializedViewData, "a", "m", PostData, 0, 0),
        ]);
        let mut index = with_data(index, 7, &[2, 1]);
        index.entries[5].depends_on = vec![DumpId(3), DumpId(4)];
        index
    }

    fn kinds(steps: &[Step]) -> Vec<Kind> {
        steps.iter().map(|step| step.kind).collect()
    }

    #[test]
    fn what_reads_no_rows_is_light_however_large_the_table() {
        let mut index = sample();
        index.entries[6].rows.as_mut().unwrap().bytes = LIGHT_BYTES + 1;
        let plan = plan_restore(&index, &options()).unwrap();
        let steps = plan.post_data.iter().chain(&plan.privileges);
        let light: Vec<_> = steps.map(|step| (step.kind, step.is_light)).collect();
        for expected in [
            (Kind::SequenceSet, true),
            (Kind::Index, false),
            (Kind::Constraint, false),
            (Kind::Comment, true),
            (Kind::Acl, true),
        ] {
            assert!(light.contains(&expected), "{expected:?} in {light:?}");
        }
    }

    #[test]
    fn privileges_and_refreshes_come_after_all_else() {
        let plan = plan_restore(&sample(), &options()).unwrap();
        assert_eq!(
            kinds(&plan.post_data),
            [
                Kind::SequenceSet,
                Kind::Index,
                Kind::Constraint,
                Kind::Comment
            ]
        );
        assert_eq!(kinds(&plan.privileges), [Kind::Acl, Kind::DefaultAcl]);
        assert_eq!(kinds(&plan.refreshes), [Kind::MaterializedViewData]);
        assert!(kinds(&plan.pre_data).contains(&Kind::LargeObject));
        assert_eq!(plan.post_data[1].weight, 30);
    }

    #[test]
    fn held_objects_are_found_under_every_name_they_take() {
        let held = plan_restore(&sample(), &options()).unwrap().held;
        let names: Vec<&str> = held
            .relations
            .iter()
            .map(|(_, name)| name.as_str())
            .collect();
        assert_eq!(names, ["d", "odd_name", "t", "t pk", "ti", "u"]);
        assert_eq!(
            held.large_objects.into_iter().collect::<Vec<_>>(),
            [4711, 4713]
        );
        assert_eq!(held.schemas.into_iter().collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn public_is_never_dropped() {
        let index = index_of(&[(Kind::Schema, "", "public", Section::PreData, 0, 0)]);
        let plan = plan_restore(&index, &options()).unwrap();
        assert_eq!(plan.held, HeldObjects::default());
    }

    #[test]
    fn nothing_is_dropped_without_clean_or_with_data_only() {
        for options in [
            RestoreOptions {
                clean: false,
                ..options()
            },
            RestoreOptions {
                parts: Parts {
                    data_only: true,
                    ..Parts::default()
                },
                ..options()
            },
        ] {
            let plan = plan_restore(&sample(), &options).unwrap();
            assert_eq!(plan.held, HeldObjects::default());
        }
    }

    #[test]
    fn selected_table_brings_its_parts_and_owned_sequences() {
        let plan = plan_restore(&sample(), &selecting(&["a.t"], &[])).unwrap();
        assert_eq!(
            kinds(&plan.pre_data),
            [Kind::Sequence, Kind::Table, Kind::SequenceOwner]
        );
        assert_eq!(plan.loads.len(), 1);
        assert_eq!(
            kinds(&plan.post_data),
            [
                Kind::SequenceSet,
                Kind::Index,
                Kind::Constraint,
                Kind::Comment
            ]
        );
        assert!(plan.privileges.is_empty());
    }

    #[test]
    fn pattern_without_match_is_a_usage_error() {
        let error = plan_restore(&sample(), &selecting(&["a.nosuch"], &[])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
    }

    #[test]
    fn data_and_schema_only_share_the_archive_between_them() {
        let data = RestoreOptions {
            parts: Parts {
                data_only: true,
                ..Parts::default()
            },
            ..options()
        };
        let data = plan_restore(&sample(), &data).unwrap();
        assert_eq!(kinds(&data.pre_data), [Kind::LargeObject]);
        assert_eq!(kinds(&data.post_data), [Kind::SequenceSet]);
        let schema = RestoreOptions {
            parts: Parts {
                schema_only: true,
                ..Parts::default()
            },
            ..options()
        };
        let schema = plan_restore(&sample(), &schema).unwrap();
        assert!(schema.loads.is_empty());
        let count = data.steps().count() + schema.steps().count() + data.loads.len();
        assert_eq!(count, sample().entries.len());
    }

    #[test]
    fn no_privileges_leaves_out_grants() {
        let options = RestoreOptions {
            parts: Parts {
                no_privileges: true,
                ..Parts::default()
            },
            ..options()
        };
        let plan = plan_restore(&sample(), &options).unwrap();
        assert!(plan.privileges.is_empty());
    }

    #[test]
    fn missing_member_is_damage() {
        let mut index = sample();
        index.members.pop();
        let error = plan_restore(&index, &options()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged);
    }
}
