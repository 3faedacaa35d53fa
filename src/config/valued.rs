//! Values that know where they came from.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// A setting's value and its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Valued<T> {
    /// What holds.
    pub value: T,
    /// Who says so.
    pub origin: Origin,
}

impl<T> Valued<T> {
    /// A value from an option of the command line.
    pub fn flag(option: &'static str, value: T) -> Self {
        Valued {
            value,
            origin: Origin::Flag(option),
        }
    }

    /// A value that holds if nobody says anything.
    pub fn default(value: T) -> Self {
        Valued {
            value,
            origin: Origin::Default,
        }
    }
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An option of the command line, with its dashes.
    Flag(&'static str),
    /// An environment variable.
    Environment(&'static str),
    /// A line of a configuration file.
    File {
        /// Which file.
        path: Arc<PathBuf>,
        /// Counts from 1.
        line: usize,
    },
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag(option) => f.write_str(option),
            Origin::Environment(variable) => write!(f, "environment variable {variable}"),
            Origin::File { path, line } => write!(f, "{} line {line}", path.display()),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// A value as it was written, before anybody knows what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    /// A text, or a number or truth value in its usual notation.
    One(String),
    /// A list of texts.
    Many(Vec<String>),
}
