//! Large objects that are made beside what is there, whose numbers must be free, and those that are too many for one transaction.
//!
//! To drop a large object or to give it to another role takes a lock until the end of the transaction, and the server's table of
//! locks has room for some thousands. Where there are more, they leave the one transaction of drops and definitions: after it and before the rows,
//! each group of them is dropped and made anew in a transaction of its own, with its record. What is done is not done again by `--resume`.

use crate::Result;
use crate::archive::Index;
use crate::conn::Session;
use crate::objects::large_object::render_unlink;
use crate::objects::{Kind, Oid, quote};

use super::check::cannot_check;
use super::findings::{Check, Findings};
use super::plan::{RestorePlan, Step, large_objects_of};

/// How many the one transaction replaces. A server with the usual settings has room for about 7 000 locks.
const AT_ONCE: usize = 5000;

/// Takes them out of the definitions, if they are too many.
///
/// # Errors
/// `Damaged` if an entry does not tell which they are.
pub(super) fn postpone(plan: &mut RestorePlan, index: &Index) -> Result<()> {
    if plan
        .held
        .large_objects
        .len()
        .max(plan.new_large_objects.len())
        <= AT_ONCE
    {
        return Ok(());
    }
    let replaced = std::mem::take(&mut plan.held.large_objects);
    let subject = |step: &Step| index.entry(step.id).and_then(|entry| entry.subject);
    let is_part = |step: &Step| {
        let subject = subject(step).and_then(|id| index.entry(id));
        subject.is_some_and(|it| it.kind == Kind::LargeObject.as_str())
    };
    let (postponed, pre_data) = std::mem::take(&mut plan.pre_data)
        .into_iter()
        .partition(|step| step.kind == Kind::LargeObject || is_part(step));
    (plan.large_objects, plan.pre_data) = (postponed, pre_data);
    for step in &mut plan.large_objects {
        step.depends_on.extend(subject(step));
        let entry = index
            .entry(step.id)
            .filter(|_| step.kind == Kind::LargeObject);
        let oids = entry.map(large_objects_of).transpose()?.unwrap_or_default();
        let oids: Vec<Oid> = oids
            .into_iter()
            .filter(|oid| replaced.contains(oid))
            .map(Oid)
            .collect();
        step.drop_first = (!oids.is_empty()).then(|| format!("{}\n", render_unlink(&oids)));
    }
    Ok(())
}

/// Tells those that are replaced one group after the other.
pub(super) fn tell_postponed(plan: &RestorePlan, findings: &mut Findings) {
    let groups = plan
        .large_objects
        .iter()
        .filter(|step| step.kind == Kind::LargeObject)
        .count();
    if groups > 0 {
        findings.warning(
            Check::LargeObjects,
            format!(
                "there are too many large objects for one transaction: they are replaced after it, in {groups} more, and if that breaks \
                 off, --resume goes on"
            ),
        );
    }
}

/// Tells those that exist already.
///
/// # Errors
/// `Restore`.
pub(super) async fn check_new(
    session: &Session,
    plan: &RestorePlan,
    findings: &mut Findings,
) -> Result<()> {
    if plan.new_large_objects.is_empty() {
        return Ok(());
    }
    let oids: Vec<u32> = plan.new_large_objects.iter().copied().collect();
    let query = "SELECT oid FROM pg_catalog.pg_largeobject_metadata WHERE oid = ANY($1::oid[]) ORDER BY oid";
    let rows = session.query(query, &[&oids]).await.map_err(cannot_check)?;
    let there: Vec<u32> = rows.iter().map(|row| row.get("oid")).collect();
    if !there.is_empty() {
        findings.problem(Check::LargeObjects, describe(&there));
    }
    Ok(())
}

fn describe(oids: &[u32]) -> String {
    let numbers: Vec<String> = oids.iter().map(u32::to_string).collect();
    let named = quote::some_of(&numbers);
    match oids.len() {
        1 => format!("large object {named} exists already"),
        _ => format!("large objects {named} exist already"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_named_and_all_are_counted() {
        assert_eq!(describe(&[7]), "large object 7 exists already");
        assert_eq!(describe(&[7, 9]), "large objects 7, 9 exist already");
        assert_eq!(
            describe(&[1, 2, 3, 4, 5, 6, 7]),
            "large objects 1, 2, 3, 4, 5 and 2 more exist already"
        );
    }
}
