//! Whether backups will work: each question an operator would ask, with its answer and what to do about it.
//!
//! `database` asks the server, `repository` the place of the sets, `schedule` the host. Nothing is changed.

mod database;
mod repository;
mod schedule;

use std::path::Path;

use serde::Serialize;

use crate::Error;
use crate::config::{Config, Profile};
use crate::objects::quote::one_line;

/// How an answer is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// Works, but look at it.
    Warn,
    /// Backups do not work, or cannot be relied on.
    Fail,
}

/// A question with its answer.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// Which configured database it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The question, in two words.
    pub check: &'static str,
    /// How to take the answer.
    pub status: Status,
    /// The answer, one line without secrets.
    pub found: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Check {
    fn new(check: &'static str, status: Status, found: impl AsRef<str>) -> Check {
        Check {
            database: None,
            check,
            status,
            found: one_line(&crate::logging::redact(found.as_ref())).into_owned(),
            hint: None,
        }
    }

    fn ok(check: &'static str, found: impl AsRef<str>) -> Check {
        Check::new(check, Status::Ok, found)
    }

    fn warn(check: &'static str, found: impl AsRef<str>) -> Check {
        Check::new(check, Status::Warn, found)
    }

    fn fail(check: &'static str, found: impl AsRef<str>) -> Check {
        Check::new(check, Status::Fail, found)
    }

    /// What an error says, with its own hint.
    fn of_error(check: &'static str, error: &Error) -> Check {
        let details = error.details().iter().map(String::as_str);
        let parts: Vec<&str> = std::iter::once(error.message()).chain(details).collect();
        let failed = Check::fail(check, parts.join(": "));
        Check {
            hint: error.hint_text().map(str::to_owned),
            ..failed
        }
    }

    fn hint(self, hint: impl Into<String>) -> Check {
        Check {
            hint: Some(hint.into()),
            ..self
        }
    }
}

/// Asks everything. `root` is `/` but for tests.
pub async fn examine(config: &Config, root: &Path) -> Vec<Check> {
    let mut checks = vec![match &config.path {
        Some(path) => Check::ok("configuration", path.display().to_string()),
        None => Check::ok("configuration", "no file; environment and defaults hold"),
    }];
    let several = config.profiles.len() > 1;
    for profile in &config.profiles {
        let mut of_profile = examine_profile(profile).await;
        if several {
            let name = profile.section.clone();
            of_profile
                .iter_mut()
                .for_each(|check| check.database.clone_from(&name));
        }
        checks.extend(of_profile);
    }
    checks.extend(schedule::checks(config, root).await);
    checks
}

async fn examine_profile(profile: &Profile) -> Vec<Check> {
    let (mut checks, database_bytes) = database::checks(profile).await;
    checks.extend(repository::checks(profile, database_bytes).await);
    checks
}
