//! The environment variables that configure pgstow.

use std::collections::HashMap;

use super::layers::Layer;
use super::valued::{Given, Origin};

/// Environment variables as an explicit input. Empty ones count as absent.
#[derive(Clone, Default)]
pub struct Environment(HashMap<String, String>);

impl Environment {
    /// The process' own.
    pub fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Environment(std::env::vars_os().filter_map(text).collect())
    }

    /// Given ones.
    pub fn of<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Environment(variables.into_iter().map(owned).collect())
    }

    /// A variable's value, if it is set and not empty.
    pub fn var(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name)?;
        (!value.is_empty()).then_some(value)
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Environment")
    }
}

impl Layer for &Environment {
    fn take(&mut self, _key: &str, variable: &'static str) -> Option<(Given, Origin)> {
        let value = self.var(variable)?;
        Some((Given::One(value.to_owned()), Origin::Environment(variable)))
    }
}
