//! `-I -P --trigger`: patterns for indexes, routines and triggers of an archive. Pure.
//!
//! As `-t`, each takes psql's patterns, and all that any of them matches is chosen. `-n` and `-N` limit them, as in pg_restore.

use regex::Regex;

use super::selection::{PatternPart, SelectionPatterns, compile, parse_all, split, usage};
use crate::Result;
use crate::objects::quote::one_line;

/// The patterns of all three options.
#[derive(Clone, Debug, Default)]
pub(crate) struct PartPatterns {
    patterns: Vec<PartPattern>,
}

/// An object that such a pattern may mean.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part<'a> {
    /// An index that is no constraint's.
    Index { schema: &'a str, name: &'a str },
    /// A function, procedure or aggregate. `tag`: its name and its identity arguments.
    Routine { schema: &'a str, tag: &'a str },
    /// A trigger of a table.
    Trigger {
        schema: &'a str,
        table: &'a str,
        name: &'a str,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PartKind {
    Index,
    Routine,
    Trigger,
}

#[derive(Clone, Debug)]
struct PartPattern {
    text: String,
    kind: PartKind,
    schema: Option<Regex>,
    table: Option<Regex>,
    name: Regex,
    /// Of routines: types, if they were given.
    arguments: Option<Vec<String>>,
}

impl PartPatterns {
    /// # Errors
    /// `Usage`.
    pub(super) fn parse(texts: &SelectionPatterns) -> Result<PartPatterns> {
        let mut patterns = parse_all(&texts.indexes, |text| {
            PartPattern::parse(text, PartKind::Index)
        })?;
        patterns.extend(parse_all(&texts.functions, PartPattern::parse_routine)?);
        patterns.extend(parse_all(&texts.triggers, |text| {
            PartPattern::parse(text, PartKind::Trigger)
        })?);
        Ok(PartPatterns { patterns })
    }

    /// Whether nothing was asked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether one of them means this.
    pub(crate) fn matches(&self, part: &Part<'_>) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(part))
    }

    /// What was asked for without any match among `parts`: all patterns of an option together, or, if `strict`, each.
    pub(crate) fn unmatched(&self, parts: &[Part<'_>], strict: bool) -> Option<String> {
        let kinds = [
            (PartKind::Index, "indexes"),
            (PartKind::Routine, "functions"),
            (PartKind::Trigger, "triggers"),
        ];
        kinds.into_iter().find_map(|(kind, what)| {
            let asked = || self.patterns.iter().filter(move |p| p.kind == kind);
            let is_vain = |pattern: &&PartPattern| !parts.iter().any(|it| pattern.matches(it));
            let vain = asked().filter(is_vain).count();
            match asked().find(is_vain) {
                Some(pattern) if strict => Some(format!(
                    "no matching {what} were found for pattern \"{}\"",
                    one_line(&pattern.text)
                )),
                Some(_) if vain == asked().count() => {
                    Some(format!("no matching {what} were found"))
                }
                _ => None,
            }
        })
    }
}

impl PartPattern {
    /// `[schema.]index`, `[[schema.]table.]trigger`.
    fn parse(text: &str, kind: PartKind) -> Result<PartPattern> {
        let mut parts = split(text)?;
        let most = match kind {
            PartKind::Index | PartKind::Routine => 2,
            PartKind::Trigger => 3,
        };
        if parts.len() > most {
            return Err(usage(text, "The qualified name has too many dotted names."));
        }
        let name = compile(text, parts.pop())?;
        let mut next = || {
            let part: Option<PatternPart> = parts.pop();
            part.map(|part| compile(text, Some(part))).transpose()
        };
        let table = match kind {
            PartKind::Trigger => next()?,
            PartKind::Index | PartKind::Routine => None,
        };
        Ok(PartPattern {
            text: text.to_owned(),
            kind,
            schema: next()?,
            table,
            name,
            arguments: None,
        })
    }

    /// `[schema.]function` for all of that name, `[schema.]function(type, type)` for one.
    fn parse_routine(text: &str) -> Result<PartPattern> {
        let Some(at) = start_of_arguments(text) else {
            return PartPattern::parse(text, PartKind::Routine);
        };
        let arguments = text[at + 1..].trim_end().strip_suffix(')').ok_or_else(|| {
            let detail = "The argument types are not closed: give NAME(TYPE, TYPE).";
            usage(text, detail)
        })?;
        Ok(PartPattern {
            text: text.to_owned(),
            arguments: Some(list_of(arguments)),
            ..PartPattern::parse(text[..at].trim_end(), PartKind::Routine)?
        })
    }

    fn matches(&self, part: &Part<'_>) -> bool {
        let is_wanted = |wanted: &Option<Regex>, name: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted.is_match(name))
        };
        match (self.kind, *part) {
            (PartKind::Index, Part::Index { schema, name }) => {
                is_wanted(&self.schema, schema) && self.name.is_match(name)
            }
            (PartKind::Routine, Part::Routine { schema, tag }) => {
                let (name, arguments) = signature(tag);
                is_wanted(&self.schema, schema)
                    && self.name.is_match(name)
                    && (self.arguments.as_ref()).is_none_or(|types| are_types(types, arguments))
            }
            (
                PartKind::Trigger,
                Part::Trigger {
                    schema,
                    table,
                    name,
                },
            ) => {
                let is_tag =
                    || self.table.is_none() && self.name.is_match(&format!("{table} {name}"));
                is_wanted(&self.schema, schema)
                    && is_wanted(&self.table, table)
                    && (self.name.is_match(name) || is_tag())
            }
            _ => false,
        }
    }
}

/// Where the first parenthesis outside of double quotes stands.
fn start_of_arguments(text: &str) -> Option<usize> {
    let mut quoted = false;
    text.char_indices().find_map(|(at, c)| {
        quoted ^= c == '"';
        (c == '(' && !quoted).then_some(at)
    })
}

/// Name and arguments of a tag. A name may hold parentheses; argument names that do are quoted, and types have them closed.
fn signature(tag: &str) -> (&str, &str) {
    let inner = tag.strip_suffix(')').unwrap_or(tag);
    let mut depth = 0_usize;
    let mut quoted = false;
    for (at, c) in inner.char_indices().rev() {
        quoted ^= c == '"';
        match c {
            ')' if !quoted => depth += 1,
            '(' if !quoted && depth == 0 => return (&inner[..at], &inner[at + 1..]),
            '(' if !quoted => depth -= 1,
            _ => {}
        }
    }
    (tag, "")
}

/// A list cut at its commas outside of quotes and parentheses, each item with single spaces.
fn list_of(text: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    let (mut depth, mut quoted) = (0_i32, false);
    for c in text.chars() {
        quoted ^= c == '"';
        match c {
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                items.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(item) = items.last_mut() {
            item.push(c);
        }
    }
    let items = items
        .iter()
        .map(|item| item.split_whitespace().collect::<Vec<_>>().join(" "));
    items.filter(|item| !item.is_empty()).collect()
}

/// Whether identity arguments have these types. They may have modes and names, and so may what was given.
fn are_types(wanted: &[String], arguments: &str) -> bool {
    let arguments = list_of(arguments);
    wanted.len() == arguments.len()
        && wanted
            .iter()
            .zip(&arguments)
            .all(|(wanted, argument)| is_type(wanted, argument))
}

fn is_type(wanted: &str, argument: &str) -> bool {
    if wanted == argument {
        return true;
    }
    let modes = ["IN ", "OUT ", "INOUT ", "VARIADIC "];
    let bare = modes.iter().find_map(|mode| argument.strip_prefix(mode));
    let bare = bare.unwrap_or(argument);
    let named = bare.strip_suffix(wanted);
    let named = named.and_then(|name| name.strip_suffix(' '));
    bare == wanted || named.is_some_and(is_one_name)
}

fn is_one_name(text: &str) -> bool {
    match text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    {
        Some(inner) => !inner.replace("\"\"", "").contains('"'),
        None => !text.contains([' ', '"', '(']),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|&text| text.to_owned()).collect()
    }

    fn functions(list: &[&str]) -> PartPatterns {
        PartPatterns::parse(&SelectionPatterns {
            functions: texts(list),
            ..SelectionPatterns::default()
        })
        .unwrap()
    }

    fn routine(tag: &str) -> Part<'_> {
        Part::Routine { schema: "s", tag }
    }

    #[test]
    fn a_routine_is_told_by_its_types_whatever_its_arguments_are_called() {
        for tag in [
            "f(a integer, b double precision)",
            "f(integer, double precision)",
            "f(IN a integer, INOUT \"b, c\" double precision)",
        ] {
            for pattern in [
                "f(integer, double precision)",
                "F",
                "s.f",
                "f( integer,double  precision )",
            ] {
                assert!(
                    functions(&[pattern]).matches(&routine(tag)),
                    "{pattern} {tag}"
                );
            }
            for pattern in [
                "f()",
                "f(integer)",
                "f(text, double precision)",
                "f(integer, precision, x)",
                "x.f",
            ] {
                assert!(
                    !functions(&[pattern]).matches(&routine(tag)),
                    "{pattern} {tag}"
                );
            }
        }
        assert!(functions(&["f()"]).matches(&routine("f()")));
        assert!(functions(&["f(*)"]).matches(&routine("f(*)")));
        assert!(functions(&["\"f(x)\"(numeric(4,2))"]).matches(&routine("f(x)(numeric(4,2))")));
        assert!(functions(&["f(VARIADIC a text[])"]).matches(&routine("f(VARIADIC a text[])")));
    }

    #[test]
    fn a_trigger_has_up_to_three_names_or_the_tag_of_pg_restore() {
        let part = Part::Trigger {
            schema: "s",
            table: "t",
            name: "audit",
        };
        for (pattern, matches) in [
            ("audit", true),
            ("t.audit", true),
            ("s.t.aud*", true),
            ("t audit", true),
            ("u.audit", false),
            ("s.audit", false),
            ("x.t.audit", false),
        ] {
            let patterns = PartPatterns::parse(&SelectionPatterns {
                triggers: texts(&[pattern]),
                ..SelectionPatterns::default()
            });
            assert_eq!(patterns.unwrap().matches(&part), matches, "{pattern}");
        }
    }

    #[test]
    fn each_pattern_must_match_only_with_strict_names() {
        let some = functions(&["f", "g"]);
        assert_eq!(some.unmatched(&[routine("f()")], false), None);
        assert_eq!(
            some.unmatched(&[routine("f()")], true).unwrap(),
            "no matching functions were found for pattern \"g\""
        );
        assert_eq!(
            some.unmatched(&[], false).unwrap(),
            "no matching functions were found"
        );
    }

    #[test]
    fn an_open_argument_list_is_refused() {
        assert!(
            PartPatterns::parse(&SelectionPatterns {
                functions: texts(&["f(integer"]),
                ..SelectionPatterns::default()
            })
            .is_err()
        );
    }
}
