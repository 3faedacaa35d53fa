//! Which extensions the target has and its server offers: asked once, for the rights and for the findings.

use std::collections::{BTreeMap, BTreeSet};

use crate::Result;
use crate::conn::{ServerVersion, Session};
use crate::objects::quote;

use super::check::cannot_check;
use super::findings::{Check, Findings};

/// What the server says of extensions.
#[derive(Debug)]
pub(super) struct Extensions {
    /// Those that are there, with their versions.
    installed: BTreeMap<String, String>,
    /// Those that can be made; or why the server cannot tell. One control file that it cannot read is enough.
    offered: Result<BTreeMap<String, Offer>, String>,
}

#[derive(Debug)]
struct Offer {
    default_version: Option<String>,
    /// All versions, in words.
    versions: String,
    /// Whether others than superusers may make one of the versions.
    is_for_all: bool,
}

impl Extensions {
    /// `new_database`: the session is in another one, and what that one has says nothing.
    ///
    /// # Errors
    /// `Restore` if the catalogs cannot be read.
    pub(super) async fn read(session: &Session, new_database: bool) -> Result<Self> {
        let rows = session
            .query(
                "SELECT extname::text AS name, extversion FROM pg_catalog.pg_extension WHERE NOT $1",
                &[&new_database],
            )
            .await
            .map_err(cannot_check)?;
        Ok(Self {
            installed: rows
                .into_iter()
                .map(|row| (row.get("name"), row.get("extversion")))
                .collect(),
            offered: read_offered(session).await?,
        })
    }

    /// Those that others than superusers may make. `None` if the server cannot tell.
    pub(super) fn for_all(&self) -> Option<BTreeSet<String>> {
        let offered = self.offered.as_ref().ok()?.iter();
        Some(
            offered
                .filter(|(_, offer)| offer.is_for_all)
                .map(|(name, _)| name.clone())
                .collect(),
        )
    }

    /// Adds to the findings what will be there of those that are needed, and what cannot be.
    pub(super) fn judge(&self, needed: &BTreeSet<String>, findings: &mut Findings) {
        let mut unknown = Vec::new();
        for needed in needed {
            let name = quote::ident(needed);
            let offer = self.offered.as_ref().map(|offered| offered.get(needed));
            let available = match offer {
                Ok(Some(offer)) => format!("; available: {}", offer.versions),
                Ok(None) => "; available: none".to_owned(),
                Err(_) => String::new(),
            };
            match (self.installed.get(needed), offer) {
                (Some(version), _) => findings.note(
                    Check::Extension,
                    format!("extension {name} is there, version {version}{available}"),
                ),
                (None, Ok(Some(offer))) => findings.note(
                    Check::Extension,
                    match &offer.default_version {
                        Some(version) => {
                            format!("extension {name} will be made, version {version}{available}")
                        }
                        None => format!("extension {name} has no default version{available}"),
                    },
                ),
                (None, Ok(None)) => findings.problem(
                    Check::Extension,
                    format!("extension {name} is not available on the server"),
                ),
                (None, Err(_)) => unknown.push(name),
            }
        }
        if let (Err(reason), false) = (&self.offered, unknown.is_empty()) {
            let message = format!(
                "the server cannot tell whether it has {}: {reason}",
                unknown.join(", ")
            );
            findings.warning(Check::Extension, message);
        }
    }
}

/// The inner error is the server's own, about one of its files.
async fn read_offered(session: &Session) -> Result<Result<BTreeMap<String, Offer>, String>> {
    let trusted = match session.version() >= ServerVersion::major(13) {
        true => "v.trusted",
        false => "false",
    };
    let rows = session
        .query(
            &format!(
                "SELECT a.name::text, a.default_version, \
                 pg_catalog.string_agg(v.version, ', ' ORDER BY v.version) AS versions, \
                 pg_catalog.bool_or(NOT v.superuser OR {trusted}) AS is_for_all \
                 FROM pg_catalog.pg_available_extensions a \
                 LEFT JOIN pg_catalog.pg_available_extension_versions v ON v.name = a.name \
                 GROUP BY a.name, a.default_version"
            ),
            &[],
        )
        .await;
    let rows = match rows {
        Ok(rows) => rows,
        Err(error) => {
            return match error.as_db_error().filter(|_| !error.is_closed()) {
                Some(reason) => Ok(Err(reason.message().to_owned())),
                None => Err(cannot_check(error)),
            };
        }
    };
    Ok(Ok(rows
        .into_iter()
        .map(|row| {
            let versions: Option<String> = row.get("versions");
            let offer = Offer {
                default_version: row.get("default_version"),
                versions: versions.unwrap_or_else(|| "none".to_owned()),
                is_for_all: row.get::<_, Option<bool>>("is_for_all").unwrap_or(false),
            };
            (row.get("name"), offer)
        })
        .collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restore::findings::Severity;

    fn judged(offered: Result<BTreeMap<String, Offer>, String>) -> Vec<(Severity, String)> {
        let extensions = Extensions {
            installed: BTreeMap::from([("hstore".to_owned(), "1.4".to_owned())]),
            offered,
        };
        let needed = ["citext", "hstore", "postgis"].map(str::to_owned);
        let mut findings = Findings::default();
        extensions.judge(&BTreeSet::from(needed), &mut findings);
        [Severity::Problem, Severity::Warning, Severity::Note]
            .into_iter()
            .flat_map(|severity| {
                findings
                    .of(severity)
                    .map(move |f| (severity, f.message.clone()))
            })
            .collect()
    }

    #[test]
    fn what_the_server_does_not_offer_is_a_problem() {
        let citext = Offer {
            default_version: Some("1.6".to_owned()),
            versions: "1.5, 1.6".to_owned(),
            is_for_all: true,
        };
        assert_eq!(
            judged(Ok(BTreeMap::from([("citext".to_owned(), citext)]))),
            [
                (
                    Severity::Problem,
                    "extension \"postgis\" is not available on the server".to_owned()
                ),
                (
                    Severity::Note,
                    "extension \"citext\" will be made, version 1.6; available: 1.5, 1.6"
                        .to_owned()
                ),
                (
                    Severity::Note,
                    "extension \"hstore\" is there, version 1.4; available: none".to_owned()
                ),
            ]
        );
    }

    #[test]
    fn a_server_that_cannot_tell_stops_nobody() {
        assert_eq!(
            judged(Err("unrecognized parameter \"trusted\"".to_owned())),
            [
                (
                    Severity::Warning,
                    "the server cannot tell whether it has \"citext\", \"postgis\": unrecognized parameter \"trusted\"".to_owned()
                ),
                (Severity::Note, "extension \"hstore\" is there, version 1.4".to_owned()),
            ]
        );
    }
}
