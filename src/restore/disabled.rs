//! `--disable-triggers`: triggers of the target that are disabled while rows come in, and afterwards are what they were.
//!
//! They are disabled in the transaction that makes the journal, where they stand with their states, and enabled in the one that
//! removes it. So whatever dies in between, `--resume` and `--abandon` know them. With `--single-transaction` the one transaction does both.

use serde::{Deserialize, Serialize};

use crate::conn::Session;
use crate::objects::quote;
use crate::{Error, ErrorKind, Result};

/// A trigger that is disabled for a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DisabledTrigger {
    /// Its table as `regclass` writes it: qualified, for the search path is empty, and quoted.
    pub relation: String,
    pub tgname: String,
    /// Before: `O`, `A` or `R`.
    pub tgenabled: String,
}

impl DisabledTrigger {
    /// `"t" on s.r`
    pub(super) fn describe(&self) -> String {
        format!("{} on {}", quote::ident(&self.tgname), self.relation)
    }

    fn render_disable(&self) -> String {
        let (relation, name) = (&self.relation, quote::ident(&self.tgname));
        format!("ALTER TABLE ONLY {relation} DISABLE TRIGGER {name};\n")
    }

    fn render_enable(&self) -> String {
        let how = match self.tgenabled.as_str() {
            "A" => "ENABLE ALWAYS",
            "R" => "ENABLE REPLICA",
            _ => "ENABLE",
        };
        let (relation, name) = (&self.relation, quote::ident(&self.tgname));
        format!("ALTER TABLE ONLY {relation} {how} TRIGGER {name};\n")
    }
}

/// Disables them, in the transaction that is open.
///
/// # Errors
/// `Restore`, also if one is not what it was when the target was looked at.
pub(super) async fn disable(session: &Session, triggers: &[DisabledTrigger]) -> Result<()> {
    if triggers.is_empty() {
        return Ok(());
    }
    // The locks that ALTER TABLE takes. Under them nobody changes what is read.
    let tables: Vec<String> = triggers
        .iter()
        .map(|trigger| format!("ONLY {}", trigger.relation))
        .collect();
    let lock = format!(
        "LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE",
        tables.join(", ")
    );
    session.batch_execute(&lock).await.map_err(failed)?;
    for (trigger, now) in triggers.iter().zip(read_states(session, triggers).await?) {
        if now.as_deref() != Some(trigger.tgenabled.as_str()) {
            let what = quote::one_line(&trigger.describe()).into_owned();
            let message = format!("trigger {what} changed since the target was looked at");
            return Err(Error::new(ErrorKind::Restore, message)
                .hint("Run the same restore again: it looks again."));
        }
    }
    let sql: String = triggers
        .iter()
        .map(DisabledTrigger::render_disable)
        .collect();
    session.batch_execute(&sql).await.map_err(failed)
}

/// The statements after which they are what they were. Those that are gone, or that somebody enabled since, stay as they are.
///
/// # Errors
/// `Restore`.
pub(super) async fn render_enable(
    session: &Session,
    triggers: &[DisabledTrigger],
) -> Result<String> {
    let states = read_states(session, triggers).await?;
    Ok(triggers
        .iter()
        .zip(states)
        .filter(|(_, now)| now.as_deref() == Some("D"))
        .map(|(trigger, _)| trigger.render_enable())
        .collect())
}

/// `tgenabled` of each; `None` of one that is gone.
async fn read_states(
    session: &Session,
    triggers: &[DisabledTrigger],
) -> Result<Vec<Option<String>>> {
    if triggers.is_empty() {
        return Ok(Vec::new());
    }
    let (relations, names): (Vec<&str>, Vec<&str>) = triggers
        .iter()
        .map(|trigger| (trigger.relation.as_str(), trigger.tgname.as_str()))
        .unzip();
    let rows = session
        .query(
            "SELECT t.tgenabled::text AS tgenabled \
             FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w(relation, tgname, place) \
             LEFT JOIN pg_catalog.pg_trigger t ON t.tgrelid = pg_catalog.to_regclass(w.relation) AND t.tgname = w.tgname \
             ORDER BY w.place",
            &[&relations, &names],
        )
        .await
        .map_err(failed)?;
    Ok(rows.iter().map(|row| row.get("tgenabled")).collect())
}

fn failed(error: tokio_postgres::Error) -> Error {
    let what = "could not disable the triggers of the target";
    Error::from_server(ErrorKind::Restore, what, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_its_own_statement() {
        let enabled = |state: &str| {
            let trigger = DisabledTrigger {
                relation: "s.t".to_owned(),
                tgname: "a b".to_owned(),
                tgenabled: state.to_owned(),
            };
            trigger.render_enable()
        };
        for (state, how) in [
            ("O", "ENABLE"),
            ("A", "ENABLE ALWAYS"),
            ("R", "ENABLE REPLICA"),
        ] {
            let expected = format!("ALTER TABLE ONLY s.t {how} TRIGGER \"a b\";\n");
            assert_eq!(enabled(state), expected);
        }
    }
}
