//! Triggers and foreign keys of a target that only gets rows (`-a`), and event triggers of a target whose objects are made anew.
//!
//! Rows of an archive are what triggers made of them: firing them again would change them. Who may set
//! `session_replication_role` loads as a replica does: no trigger fires, and foreign keys are not looked at row by row but once, at the end. Who
//! may not loads referenced tables first; the target's triggers fire then, and are named. Event triggers are switched off in the same
//! spirit: since 17 by a setting of their own. Manual: "session_replication_role", "event_triggers".

use std::collections::{BTreeSet, HashMap};

use crate::archive::DumpId;
use crate::conn::{ConnectSettings, ServerVersion, Session};
use crate::objects::quote;
use crate::{Error, ErrorKind, Result};

use super::RestoreOptions;
use super::check::{cannot_check, loaded_only};
use super::disabled::{self, DisabledTrigger};
use super::findings::{Check, Findings};
use super::plan::{Load, LoadTarget, RestorePlan};
use super::run::may_create_schema;

/// How the rows come in.
#[derive(Clone, Debug, Default)]
pub(super) struct LoadOrder {
    /// Referenced table, referencing table: the first comes first.
    before: Vec<(TableName, TableName)>,
    /// Foreign keys that nobody looked at during the load.
    unchecked: Vec<ForeignKey>,
    /// With `--disable-triggers`: those that would fire.
    pub(super) disabled: Vec<DisabledTrigger>,
    /// Constraints that may be deferred wait for the end of the load: it is one transaction.
    deferred: bool,
}

type TableName = (String, String);

/// A foreign key of a loaded table.
#[derive(Clone, Debug)]
struct ForeignKey {
    /// `k on s.t`
    name: String,
    /// Counts the rows that refer to nothing.
    orphans: String,
}

/// Looks at the target, and gives the settings that all connections of the restore need.
///
/// # Errors
/// `Restore`.
pub(super) async fn look(
    session: &Session,
    plan: &RestorePlan,
    options: &RestoreOptions,
    settings: ConnectSettings,
    findings: &mut Findings,
) -> Result<(ConnectSettings, LoadOrder)> {
    if options.create {
        return Ok((settings, LoadOrder::of_archive(&plan.loads)));
    }
    if options.parts.data_only {
        // Rows alone are no affair of event triggers, but for sequences that are made anew in one transaction.
        let settings = match options.single_transaction {
            true => quieten_event_triggers(session, settings, findings).await?,
            false => settings,
        };
        return look_at_tables(session, plan, options, settings, findings).await;
    }
    let settings = quieten_event_triggers(session, settings, findings).await?;
    Ok((settings, LoadOrder::of_archive(&plan.loads)))
}

/// `session_replication_role`, where the role may set it.
async fn may_replicate(session: &Session) -> Result<bool> {
    // Before 15 nothing but being a superuser allowed it.
    let granted = match session.version() >= ServerVersion::major(15) {
        true => "pg_catalog.has_parameter_privilege('session_replication_role', 'SET')",
        false => "false",
    };
    let query = format!(
        "SELECT rolsuper OR {granted} AS may FROM pg_catalog.pg_roles WHERE rolname = CURRENT_USER"
    );
    let row = session.query_one(&query, &[]).await.map_err(cannot_check)?;
    Ok(row.get("may"))
}

async fn set(session: &Session, name: &str, value: &str) -> Result<()> {
    session
        .execute(
            "SELECT pg_catalog.set_config($1, $2, false)",
            &[&name, &value],
        )
        .await
        .map_err(cannot_check)?;
    Ok(())
}

/// Event triggers that the archive holds are dropped first; the others would fire on all that the restore makes and drops.
async fn quieten_event_triggers(
    session: &Session,
    settings: ConnectSettings,
    findings: &mut Findings,
) -> Result<ConnectSettings> {
    let rows = session
        .query(
            "SELECT evtname::text AS name, evtenabled::text AS enabled FROM pg_catalog.pg_event_trigger \
             WHERE evtenabled <> 'D' ORDER BY evtname",
            &[],
        )
        .await
        .map_err(cannot_check)?;
    if rows.is_empty() {
        return Ok(settings);
    }
    let may = may_replicate(session).await?;
    let has_setting = session.version() >= ServerVersion::major(17);
    let (name, value) = match has_setting {
        true => ("event_triggers", "off"),
        false => ("session_replication_role", "replica"),
    };
    // Who may only play the replica cannot switch off what fires on replicas, too.
    let firing: Vec<String> = rows
        .iter()
        .filter(|row| !may || (!has_setting && row.get::<_, &str>("enabled") != "O"))
        .map(|row| quote::ident(row.get("name")))
        .collect();
    if !firing.is_empty() {
        findings.warning(
            Check::Triggers,
            format!(
                "event triggers that fire on what the restore does: {}",
                quote::some_of(&firing)
            ),
        );
    }
    if !may {
        return Ok(settings);
    }
    set(session, name, value).await?;
    Ok(settings.with_setting(name, value))
}

async fn look_at_tables(
    session: &Session,
    plan: &RestorePlan,
    options: &RestoreOptions,
    settings: ConnectSettings,
    findings: &mut Findings,
) -> Result<(ConnectSettings, LoadOrder)> {
    let tables: Vec<TableName> = loaded_only(plan).into_iter().collect();
    let may = may_replicate(session).await?;
    let triggers = insert_triggers(session, &tables).await?;
    let keys = foreign_keys(session, &tables).await?;
    let plays_replica = may && !(triggers.is_empty() && keys.iter().all(FoundKey::is_free));
    let firing = triggers
        .into_iter()
        .filter(|found| found.fires(plays_replica))
        .collect();
    let disabled = disable_or_tell(session, firing, options, findings).await?;
    if plays_replica {
        set(session, "session_replication_role", "replica").await?;
        let order = LoadOrder {
            unchecked: keys.into_iter().map(|key| key.key).collect(),
            disabled,
            ..LoadOrder::default()
        };
        return Ok((
            settings.with_setting("session_replication_role", "replica"),
            order,
        ));
    }
    let deferred = options.single_transaction && keys.iter().any(|key| key.is_deferrable);
    let in_order = keys.iter().filter(|key| !(deferred && key.is_deferrable));
    let before = in_order
        .flat_map(|key| {
            let pair = |table: &TableName| (table.clone(), key.table.clone());
            key.referenced.iter().map(pair)
        })
        .collect();
    let order = LoadOrder {
        before,
        unchecked: Vec::new(),
        disabled,
        deferred,
    };
    for table in order.in_circles(&plan.loads) {
        findings.problem(
            Check::Triggers,
            format!(
                "foreign keys of table {} go round in a circle, or refer to rows of the same table: its rows fit in no order, \
                 unless the keys are deferrable and --single-transaction loads them",
                quote::qualified(&table.0, &table.1)
            ),
        );
    }
    Ok((settings, order))
}

/// Gives the triggers that are to be disabled; else names them.
async fn disable_or_tell(
    session: &Session,
    firing: Vec<FoundTrigger>,
    options: &RestoreOptions,
    findings: &mut Findings,
) -> Result<Vec<DisabledTrigger>> {
    if firing.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = (firing.iter())
        .map(|found| found.trigger.describe())
        .collect();
    if !options.disable_triggers {
        findings.warning(
            Check::Triggers,
            format!(
                "triggers that fire for the rows: {}",
                quote::some_of(&names)
            ),
        );
        return Ok(Vec::new());
    }
    for found in firing.iter().filter(|found| !found.may_disable) {
        findings.problem(
            Check::Triggers,
            format!("the role may not disable {}", found.trigger.describe()),
        );
    }
    if !options.single_transaction && !may_create_schema(session).await? {
        findings.problem(
            Check::Triggers,
            "the role may not create a schema for the record of the triggers that are disabled: without it only --single-transaction \
             can disable them",
        );
    }
    findings.note(
        Check::Triggers,
        format!(
            "triggers that are disabled until the end: {}",
            quote::some_of(&names)
        ),
    );
    Ok(firing.into_iter().map(|found| found.trigger).collect())
}

struct FoundTrigger {
    trigger: DisabledTrigger,
    /// Whether the role may disable it.
    may_disable: bool,
}

impl FoundTrigger {
    /// Whether it fires in a session that plays the replica, or does not.
    fn fires(&self, on_replica: bool) -> bool {
        match self.trigger.tgenabled.as_str() {
            "A" => true,
            "R" => on_replica,
            _ => !on_replica,
        }
    }
}

/// Triggers on INSERT that somebody made, on the tables and on the partitions that their rows go to. The server's own are the foreign keys'
/// and those that check uniqueness. Before 15 the copies that partitions have of triggers count as the server's own, and only superusers
/// disable them.
async fn insert_triggers(session: &Session, tables: &[TableName]) -> Result<Vec<FoundTrigger>> {
    let (schemas, names): (Vec<&str>, Vec<&str>) = tables
        .iter()
        .map(|(schema, name)| (schema.as_str(), name.as_str()))
        .unzip();
    let rows = session
        .query(
            "WITH RECURSIVE loaded AS ( \
             SELECT c.oid, c.relkind, c.relowner FROM unnest($1::text[], $2::text[]) AS w(nspname, relname) \
             JOIN pg_catalog.pg_namespace n ON n.nspname = w.nspname \
             JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.relname \
             UNION \
             SELECT c.oid, c.relkind, c.relowner FROM loaded l JOIN pg_catalog.pg_inherits i ON i.inhparent = l.oid \
             JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid WHERE l.relkind = 'p') \
             SELECT t.tgname::text AS tgname, l.oid::pg_catalog.regclass::text AS relation, t.tgenabled::text AS tgenabled, \
             r.rolsuper OR (NOT t.tgisinternal AND pg_catalog.pg_has_role(l.relowner, 'USAGE')) AS may_disable \
             FROM loaded l JOIN pg_catalog.pg_trigger t ON t.tgrelid = l.oid \
             JOIN pg_catalog.pg_roles r ON r.rolname = CURRENT_USER \
             WHERE (NOT t.tgisinternal OR t.tgconstraint = 0) AND t.tgenabled <> 'D' AND t.tgtype & 4 <> 0 ORDER BY 1, 2",
            &[&schemas, &names],
        )
        .await
        .map_err(cannot_check)?;
    Ok(rows
        .iter()
        .map(|row| FoundTrigger {
            trigger: DisabledTrigger {
                relation: row.get("relation"),
                tgname: row.get("tgname"),
                tgenabled: row.get("tgenabled"),
            },
            may_disable: row.get("may_disable"),
        })
        .collect())
}

/// A foreign key, and the loaded tables that it refers to.
struct FoundKey {
    key: ForeignKey,
    table: TableName,
    referenced: Vec<TableName>,
    is_deferrable: bool,
}

impl FoundKey {
    /// Whether it refers to nothing that is loaded.
    fn is_free(&self) -> bool {
        self.referenced.is_empty()
    }
}

/// Validated foreign keys of the tables. A partitioned table that is referred to stands for its partitions. Keys with PERIOD are not
/// compared by equality and are left to the server.
async fn foreign_keys(session: &Session, tables: &[TableName]) -> Result<Vec<FoundKey>> {
    let (schemas, names): (Vec<&str>, Vec<&str>) = tables
        .iter()
        .map(|(schema, name)| (schema.as_str(), name.as_str()))
        .unzip();
    let plain = match session.version() >= ServerVersion::major(18) {
        true => "AND NOT k.conperiod AND k.conenforced",
        false => "",
    };
    // The copies of a key for each partition that it refers to say nothing new.
    let copies = match session.version() >= ServerVersion::major(11) {
        true => {
            "AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint o WHERE o.oid = k.conparentid AND o.conrelid = k.conrelid)"
        }
        false => "",
    };
    let query = format!(
        "WITH RECURSIVE loaded AS ( \
         SELECT w.place, c.oid, c.relkind FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) \
         WITH ORDINALITY AS w(nspname, relname, place) \
         JOIN pg_catalog.pg_namespace n ON n.nspname = w.nspname \
         JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.relname), \
         keys AS (SELECT k.*, l.place, l.relkind FROM pg_catalog.pg_constraint k JOIN loaded l ON l.oid = k.conrelid \
         WHERE k.contype = 'f' AND k.convalidated {plain} {copies}), \
         tree AS (SELECT confrelid AS root, confrelid AS oid FROM keys \
         UNION SELECT t.root, i.inhrelid FROM tree t JOIN pg_catalog.pg_inherits i ON i.inhparent = t.oid) \
         SELECT k.place, k.conname::text AS conname, k.condeferrable, k.conrelid::pg_catalog.regclass::text AS relation, \
         ARRAY(SELECT l.place FROM tree t JOIN loaded l ON l.oid = t.oid WHERE t.root = k.confrelid ORDER BY 1) AS referenced, \
         pg_catalog.format('SELECT pg_catalog.count(*) AS orphans FROM %s%s c WHERE %s AND NOT EXISTS (SELECT FROM %s p WHERE %s)', \
         CASE k.relkind WHEN 'p' THEN '' ELSE 'ONLY ' END, k.conrelid::pg_catalog.regclass, columns.filled, \
         k.confrelid::pg_catalog.regclass, columns.equal) AS query \
         FROM keys k CROSS JOIN LATERAL ( \
         SELECT pg_catalog.string_agg(pg_catalog.format('c.%I IS NOT NULL', a.attname), ' AND ') AS filled, \
         pg_catalog.string_agg(pg_catalog.format('p.%I OPERATOR(%I.%s) c.%I', r.attname, n.nspname, o.oprname, a.attname), ' AND ') AS equal \
         FROM ROWS FROM (pg_catalog.unnest(k.conkey), pg_catalog.unnest(k.confkey), pg_catalog.unnest(k.conpfeqop)) AS m(mine, theirs, operator) \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = m.mine \
         JOIN pg_catalog.pg_attribute r ON r.attrelid = k.confrelid AND r.attnum = m.theirs \
         JOIN pg_catalog.pg_operator o ON o.oid = m.operator \
         JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace) columns ORDER BY 1, 2"
    );
    let rows = session
        .query(&query, &[&schemas, &names])
        .await
        .map_err(cannot_check)?;
    let table = |place: i64| {
        let at = usize::try_from(place).ok()?.checked_sub(1)?;
        tables.get(at).cloned()
    };
    Ok(rows
        .iter()
        .filter_map(|row| {
            let referenced: Vec<i64> = row.get("referenced");
            Some(FoundKey {
                key: ForeignKey {
                    name: format!(
                        "{} on {}",
                        quote::ident(row.get("conname")),
                        row.get::<_, &str>("relation")
                    ),
                    orphans: row.get("query"),
                },
                is_deferrable: row.get("condeferrable"),
                table: table(row.get("place"))?,
                referenced: referenced.into_iter().filter_map(table).collect(),
            })
        })
        .collect())
}

impl LoadOrder {
    /// Where tables are made anew: only CREATE EXTENSION makes foreign keys that are there before the rows. The archive tells the order.
    fn of_archive(loads: &[Load]) -> LoadOrder {
        let tables: HashMap<DumpId, TableName> = loads
            .iter()
            .filter_map(|load| Some((load.entry, table_of(load)?)))
            .collect();
        let pair = |entry: &DumpId, load: &Load| {
            Some((tables.get(entry)?.clone(), tables.get(&load.entry)?.clone()))
        };
        let before = loads.iter().flat_map(|load| {
            let after = load.after.iter();
            after.filter_map(|entry| pair(entry, load))
        });
        LoadOrder {
            before: before.collect(),
            ..LoadOrder::default()
        }
    }

    /// The loads that have members in groups: each refers to rows of earlier groups alone. What nobody waits for is in the last. Pure.
    pub(super) fn groups(&self, loads: &[Load]) -> Vec<Vec<Load>> {
        let with_members = loads.iter().filter(|load| !load.members.is_empty());
        let mut left: Vec<Load> = with_members.cloned().collect();
        let mut groups = Vec::new();
        while !left.is_empty() {
            let awaited = self.awaited(&left);
            let (earlier, last): (Vec<Load>, Vec<Load>) = left
                .into_iter()
                .partition(|load| table_of(load).is_some_and(|table| awaited.contains(&table)));
            if last.is_empty() {
                // A circle; whoever gets here has been told.
                groups.push(earlier);
                break;
            }
            groups.push(last);
            left = earlier;
        }
        groups.reverse();
        groups
    }

    /// Tables that one of those left refers to, itself excepted.
    fn awaited(&self, left: &[Load]) -> BTreeSet<TableName> {
        if self.before.is_empty() {
            return BTreeSet::new();
        }
        let names: BTreeSet<TableName> = left.iter().filter_map(table_of).collect();
        let pairs = self.before.iter();
        pairs
            .filter(|(first, second)| first != second && names.contains(second))
            .map(|(first, _)| first.clone())
            .collect()
    }

    /// Tables that refer to one of those left, themselves excepted.
    fn waiting(&self, left: &[Load]) -> BTreeSet<TableName> {
        let names: BTreeSet<TableName> = left.iter().filter_map(table_of).collect();
        let pairs = self.before.iter();
        pairs
            .filter(|(first, second)| first != second && names.contains(first))
            .map(|(_, second)| second.clone())
            .collect()
    }

    /// Tables that no order helps. A table that refers to itself is one COPY if it is small, which checks its keys at its end.
    fn in_circles(&self, loads: &[Load]) -> BTreeSet<TableName> {
        let mut left: Vec<Load> = loads.to_vec();
        loop {
            let waiting = self.waiting(&left);
            let before = left.len();
            left.retain(|load| table_of(load).is_some_and(|table| waiting.contains(&table)));
            if left.len() == before || left.is_empty() {
                break;
            }
        }
        let own = |load: &&Load| {
            load.members.len() > 1
                && table_of(load).is_some_and(|table| {
                    (self.before.iter()).any(|(first, second)| *first == table && *second == table)
                })
        };
        let selfish = loads.iter().filter(own).filter_map(table_of);
        left.iter().filter_map(table_of).chain(selfish).collect()
    }

    /// What a load in one transaction begins with.
    ///
    /// # Errors
    /// `Restore`.
    pub(super) async fn begin_transaction(&self, session: &Session) -> Result<()> {
        disabled::disable(session, &self.disabled).await?;
        self.set_constraints(session, "DEFERRED").await
    }

    /// And what it ends with.
    ///
    /// # Errors
    /// `Restore`, also if rows refer to others that are not there.
    pub(super) async fn end_load(&self, session: &Session) -> Result<()> {
        self.set_constraints(session, "IMMEDIATE").await?;
        let sql = disabled::render_enable(session, &self.disabled).await?;
        session.batch_execute(&sql).await.map_err(|error| {
            let what = "could not enable the triggers of the target";
            Error::from_server(ErrorKind::Restore, what, error)
        })
    }

    async fn set_constraints(&self, session: &Session, when: &str) -> Result<()> {
        if !self.deferred {
            return Ok(());
        }
        let sql = format!("SET CONSTRAINTS ALL {when}");
        session.batch_execute(&sql).await.map_err(|error| {
            let what = "rows do not fit together";
            Error::from_server(ErrorKind::Restore, what, error)
        })
    }

    /// Looks for rows that refer to nothing, where nobody looked during the load.
    ///
    /// # Errors
    /// `SideJob`, with each key that is broken: all rows are there.
    pub(super) async fn check_keys(&self, session: &Session) -> Result<()> {
        self.check_keys_at(session, "everything is restored, but ")
            .await
            .map_err(|error| error.with_kind(ErrorKind::SideJob))
    }

    /// The same while the rows can still be taken back.
    ///
    /// # Errors
    /// `Restore`, with each key that is broken.
    pub(super) async fn check_keys_before_commit(&self, session: &Session) -> Result<()> {
        self.check_keys_at(session, "").await
    }

    /// `so_far`: how the message begins.
    async fn check_keys_at(&self, session: &Session, so_far: &str) -> Result<()> {
        let mut broken = Vec::new();
        for key in &self.unchecked {
            let row = session
                .query_one(&key.orphans, &[])
                .await
                .map_err(|error| {
                    let what = format!("{so_far}foreign key {} could not be checked", key.name);
                    Error::from_server(ErrorKind::Restore, what, error)
                })?;
            let orphans: i64 = row.get("orphans");
            if orphans > 0 {
                broken.push(format!("{}: {orphans} rows refer to nothing.", key.name));
            }
        }
        if broken.is_empty() {
            return Ok(());
        }
        let error = Error::new(
            ErrorKind::Restore,
            format!("{so_far}rows refer to others that are not there"),
        );
        Err(broken
            .iter()
            .fold(error, |error, line| error.detail(quote::one_line(line)))
            .hint("Restore the tables that they refer to as well."))
    }
}

fn table_of(load: &Load) -> Option<TableName> {
    match &load.target {
        LoadTarget::Table { schema, name } => Some((schema.clone(), name.clone())),
        LoadTarget::LargeObjects => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::PlannedMember;
    use super::*;

    fn name(table: &str) -> TableName {
        ("s".to_owned(), table.to_owned())
    }

    fn load(table: &str, members: u32) -> Load {
        Load {
            members: (0..members)
                .map(|id| PlannedMember::numbered(id, 0))
                .collect(),
            ..Load::named(table)
        }
    }

    fn order(pairs: &[(&str, &str)]) -> LoadOrder {
        LoadOrder {
            before: pairs.iter().map(|(a, b)| (name(a), name(b))).collect(),
            ..LoadOrder::default()
        }
    }

    fn groups(order: &LoadOrder, loads: &[Load]) -> Vec<Vec<String>> {
        let groups = order.groups(loads).into_iter();
        groups
            .map(|group| group.into_iter().map(|load| load.label).collect())
            .collect()
    }

    #[test]
    fn referenced_tables_come_first() {
        let loads = [
            load("orders", 1),
            load("lines", 1),
            load("users", 1),
            load("log", 1),
        ];
        let order = order(&[
            ("users", "orders"),
            ("orders", "lines"),
            ("elsewhere", "log"),
        ]);
        assert_eq!(
            groups(&order, &loads),
            [vec!["users"], vec!["orders"], vec!["lines", "log"]]
        );
        assert!(order.in_circles(&loads).is_empty());
    }

    #[test]
    fn circles_are_named_and_small_tables_may_refer_to_themselves() {
        let circle = order(&[("a", "b"), ("b", "a"), ("b", "c"), ("c", "c")]);
        let loads = [load("a", 1), load("b", 1), load("c", 1), load("d", 1)];
        let names: Vec<String> = (circle.in_circles(&loads))
            .into_iter()
            .map(|it| it.1)
            .collect();
        assert_eq!(names, ["a", "b", "c"]);
        let own = order(&[("t", "t")]);
        assert!(own.in_circles(&[load("t", 1)]).is_empty());
        assert_eq!(own.in_circles(&[load("t", 2)]).len(), 1);
        assert_eq!(groups(&own, &[load("t", 2)]).len(), 1);
    }
}
