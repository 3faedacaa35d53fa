//! What ties a table to another one: foreign keys and attachments of partitions. Of a selection some of these tables neither
//! come along nor are in the target; then the tie is left out, and told.

use std::collections::{BTreeMap, HashSet};

use crate::Result;
use crate::archive::{DumpId, Index, TocEntry};
use crate::conn::Session;
use crate::objects::Kind;

use super::dependencies::present;
use super::plan::{RestorePlan, Step, label};

/// Leaves ties to tables out that are nowhere; a new database, which has no session yet, has none. Gives a line for each.
///
/// # Errors
/// `Restore` if the target's catalogs cannot be read.
pub(super) async fn leave_out(
    target: Option<&Session>,
    index: &Index,
    plan: &mut RestorePlan,
) -> Result<Vec<String>> {
    let others = other_tables(index, plan);
    if others.is_empty() {
        return Ok(Vec::new());
    }
    let objects: Vec<(&TocEntry, Kind)> = others.into_values().collect();
    let there = match target {
        Some(session) => present(session, &objects).await?,
        None => HashSet::new(),
    };
    let absent = objects
        .iter()
        .filter(|(entry, _)| !there.contains(&entry.id));
    let absent: BTreeMap<DumpId, String> = absent
        .map(|(entry, kind)| (entry.id, label(entry, *kind)))
        .collect();
    let mut lines = Vec::new();
    for steps in [&mut plan.pre_data, &mut plan.post_data] {
        steps.retain(|step| {
            let missing = tied_to(index, step).find_map(|entry| absent.get(&entry.id));
            lines.extend(missing.map(|table| {
                format!(
                    "{} is left out: it needs {table}, which neither comes along nor is in the target (--with-dependencies)",
                    step.label
                )
            }));
            missing.is_none()
        });
    }
    Ok(lines)
}

/// A line for each tie that was left out because the table that it ties does not move along.
pub(super) fn of_what_stays(plan: &RestorePlan) -> impl Iterator<Item = String> {
    let line = |label| format!("{label} is left out: it ties the table to what stays where it is");
    plan.left_out.iter().map(line)
}

/// The tables that ties of the plan need and the plan does not make.
fn other_tables<'a>(
    index: &'a Index,
    plan: &RestorePlan,
) -> BTreeMap<DumpId, (&'a TocEntry, Kind)> {
    let made: HashSet<DumpId> = plan.pre_data.iter().map(|step| step.id).collect();
    plan.pre_data
        .iter()
        .chain(&plan.post_data)
        .flat_map(|step| tied_to(index, step))
        .filter(|entry| !made.contains(&entry.id))
        .filter_map(|entry| Some((entry.id, (entry, Kind::parse(&entry.kind)?))))
        .collect()
}

/// The tables that a step ties its own to.
fn tied_to<'a>(index: &'a Index, step: &Step) -> impl Iterator<Item = &'a TocEntry> {
    let is_tie = matches!(
        step.kind,
        Kind::ForeignKey | Kind::TableAttach | Kind::IndexAttach
    );
    let entry = index.entry(step.id).filter(|_| is_tie);
    let own = entry.and_then(|entry| entry.relation);
    entry
        .into_iter()
        .flat_map(|entry| &entry.depends_on)
        .filter_map(|id| index.entry(*id)?.relation)
        .filter(move |relation| Some(*relation) != own)
        .filter_map(|relation| index.entry(relation))
}
