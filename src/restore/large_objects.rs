//! Large objects that are made beside what is there: their numbers must be free.

use crate::Result;
use crate::conn::Session;

use super::check::{cannot_check, some_of};
use super::findings::{Check, Findings};
use super::plan::RestorePlan;

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
    let named = some_of(&numbers);
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
