//! What a look at the target and at the archive finds before anything changes: all of it, not only the first.

use crate::objects::quote;
use crate::{Error, ErrorKind, Result};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The restore cannot go on.
    Problem,
    /// It can, and somebody should know.
    Warning,
    /// Good to know.
    Note,
}

/// What was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// The database itself (`--create`).
    Database,
    /// Whether the target takes changes.
    ReadOnly,
    /// The server's version.
    Version,
    /// The database's encoding.
    Encoding,
    /// Collation and character classes of the database.
    Locale,
    /// Roles that own or are granted something.
    Role,
    /// Extensions and their versions.
    Extension,
    /// Tablespaces.
    Tablespace,
    /// Procedural languages.
    Language,
    /// Schemas that must be there.
    Schema,
    /// Tables that must be there.
    Table,
    /// What the role may do.
    Rights,
    /// Objects that depend on what would be dropped.
    Dependents,
    /// Large objects that are there already.
    LargeObjects,
    /// What is needed by what is restored.
    Dependencies,
    /// Space on the server's disk.
    Space,
    /// Memory to build indexes with.
    Memory,
    /// Room in the server's table of locks.
    Locks,
    /// Others who are connected, and their locks.
    Sessions,
    /// Triggers and event triggers of the target.
    Triggers,
    /// The exchange of a database for another one.
    Swap,
    /// A restore that did not end.
    Unfinished,
    /// What one transaction cannot hold (`--single-transaction`).
    Transaction,
}

impl Check {
    /// What can be done about problems of this kind.
    fn hint(self) -> &'static str {
        match self {
            Check::Database => "Restore into it without --create, or choose another name.",
            Check::ReadOnly => {
                "Restore into the primary; where default_transaction_read_only is meant for others, PGOPTIONS='-c default_transaction_read_only=off'."
            }
            Check::Role => "Create the roles, or restore without owners and privileges: -O -x.",
            Check::Extension => "Install the extension's package on the target server.",
            Check::Tablespace => "Create the tablespace on the target server.",
            Check::Language => "Install the language on the target server.",
            Check::Dependents => {
                "Drop them yourself, or let --cascade drop them with the rest; they are not recreated."
            }
            Check::Rights => {
                "Restore as a superuser, or leave these out with --skip-privileged and owners with -O; what it does not leave out needs the right itself."
            }
            Check::Unfinished => "Go on with it (--resume), or forget it (--abandon).",
            Check::Triggers => {
                "Restore as a superuser, or as a role with SET on session_replication_role (PostgreSQL 15)."
            }
            Check::LargeObjects => {
                "Restore without -a and --no-clean, which replaces them, or leave large objects out: --no-large-objects."
            }
            Check::Transaction => "Restore without --single-transaction.",
            Check::Swap => "Remove the cause, or restore in place.",
            Check::Version
            | Check::Encoding
            | Check::Locale
            | Check::Schema
            | Check::Dependencies
            | Check::Table
            | Check::Space
            | Check::Memory
            | Check::Locks
            | Check::Sessions => "Restore the whole archive, or create what is missing first.",
        }
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What was looked at.
    pub check: Check,
    /// In words, on one line.
    pub message: String,
}

/// Everything that was found.
#[derive(Clone, Debug, Default, serde::Serialize)]
#[serde(transparent)]
pub struct Findings(Vec<Finding>);

impl Findings {
    pub(crate) fn problem(&mut self, check: Check, message: impl AsRef<str>) {
        self.add(Severity::Problem, check, message.as_ref());
    }

    pub(crate) fn warning(&mut self, check: Check, message: impl AsRef<str>) {
        self.add(Severity::Warning, check, message.as_ref());
    }

    pub(crate) fn note(&mut self, check: Check, message: impl AsRef<str>) {
        self.add(Severity::Note, check, message.as_ref());
    }

    fn add(&mut self, severity: Severity, check: Check, message: &str) {
        self.0.push(Finding {
            severity,
            check,
            message: quote::one_line(message).into_owned(),
        });
    }

    pub(crate) fn append(&mut self, others: &Findings) {
        self.0.extend_from_slice(&others.0);
    }

    /// Those of one severity, in the order in which they were found.
    pub fn of(&self, severity: Severity) -> impl Iterator<Item = &Finding> {
        self.0
            .iter()
            .filter(move |finding| finding.severity == severity)
    }

    /// Whether nothing stands in the way.
    pub fn permit(&self) -> bool {
        self.of(Severity::Problem).next().is_none()
    }

    /// Turns all problems into one error.
    ///
    /// # Errors
    /// `Restore`, a detail for each problem.
    pub fn refuse(&self) -> Result<()> {
        let problems: Vec<&Finding> = self.of(Severity::Problem).collect();
        let Some(first) = problems.first() else {
            return Ok(());
        };
        let count = match problems.len() {
            1 => "1 problem".to_owned(),
            more => format!("{more} problems"),
        };
        let error = Error::new(
            ErrorKind::Restore,
            format!("this restore cannot be done as it is: {count}"),
        );
        let error = problems.iter().fold(error, |error, problem| {
            error.detail(format!("{}.", problem.message))
        });
        Err(error
            .detail("The target is unchanged.")
            .hint(first.check.hint()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn all_problems_are_told_at_once_and_warnings_stop_nothing() {
        let mut findings = Findings::default();
        findings.warning(Check::Locale, "other order");
        assert!(findings.refuse().is_ok());
        findings.problem(Check::Role, "role \"a\" does not exist");
        findings.problem(Check::Extension, "line\nbreak");
        let error = findings.refuse().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Restore);
        assert_eq!(error.details().len(), 3);
        assert!(error.details()[1].starts_with("line\\nbreak"), "{error}");
        assert!(error.hint_text().unwrap().contains("roles"));
    }
}
