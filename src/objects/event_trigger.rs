//! Event triggers (`pg_event_trigger`). Manual: "pg_event_trigger", "CREATE EVENT TRIGGER".

use super::catalog_query::{read_all, unexpected};
use super::named::{Named, NamedCatalog, NamedObject, function_name};
use super::{Kind, Oid, RenderContext, Rendered, Section, catalog, quote};
use crate::Result;
use crate::conn::Session;

const EVENT_TRIGGERS: NamedCatalog = NamedCatalog {
    name: "pg_event_trigger",
    prefix: "evt",
    in_schema: false,
    has_owner: true,
    acl_letter: None,
};

/// An event trigger. It comes when all else is there, or it would fire on it.
#[derive(Clone, Debug)]
pub struct EventTrigger {
    named: Named,
    event: String,
    tags: Vec<String>,
    function: String,
    /// How ALTER EVENT TRIGGER says it, unless it fires as a new one does.
    state: Option<&'static str>,
}

impl NamedObject for EventTrigger {
    const KIND: Kind = Kind::EventTrigger;
    const CLASS: Oid = catalog::PG_EVENT_TRIGGER;

    fn named(&self) -> &Named {
        &self.named
    }

    fn section(&self) -> Section {
        Section::PostData
    }

    fn render(&self, _context: &RenderContext<'_>) -> Rendered {
        let name = self.named.sql();
        let object = format!("EVENT TRIGGER {name}");
        let tags: Vec<String> = self.tags.iter().map(|tag| quote::literal(tag)).collect();
        let when = match tags.is_empty() {
            true => String::new(),
            false => format!("\n    WHEN TAG IN ({})", tags.join(", ")),
        };
        let mut create = vec![format!(
            "CREATE {object} ON {}{when}\n    EXECUTE PROCEDURE {}();",
            self.event, self.function
        )];
        create.extend(self.state.map(|state| format!("ALTER {object} {state};")));
        Rendered {
            create,
            drop: Some(format!("DROP EVENT TRIGGER IF EXISTS {name};")),
            alter_owner: self.named.render_owner(&object),
            comments: self.named.render_comments(&object),
            ..Rendered::default()
        }
    }
}

pub(crate) async fn read(session: &Session) -> Result<Vec<EventTrigger>> {
    let columns = format!(
        "r.evtevent, COALESCE(r.evttags, '{{}}') AS tags, {} AS function, \
         r.evtenabled::pg_catalog.text AS evtenabled",
        function_name("r.evtfoid")
    );
    let query = EVENT_TRIGGERS.query(&columns, "", "true");
    read_all(session, "event triggers", &query, |row| {
        let named = Named::from_row(row)?;
        let state: &str = row.try_get("evtenabled")?;
        Ok(EventTrigger {
            event: row.try_get("evtevent")?,
            tags: row.try_get("tags")?,
            function: row.try_get("function")?,
            state: match state {
                "O" => None,
                "D" => Some("DISABLE"),
                "R" => Some("ENABLE REPLICA"),
                "A" => Some("ENABLE ALWAYS"),
                other => {
                    let object = format!("event trigger {}", named.name);
                    return Err(unexpected(&object, "evtenabled", other).into());
                }
            },
            named,
        })
    })
    .await
}
