//! Access control lists (`aclitem[]`): the difference between what an object has and what it would
//! have when newly created, as GRANT and REVOKE.
//!
//! Every query that reads a kind with privileges selects two columns, `acl` and `acl_default`,
//! both as `text[]`; [`Acl::from_row`] takes them. Manual: "Privileges" (letters and their text form).

use super::catalog_query::{Row, RowError};
use super::quote;
use crate::conn::ServerVersion;
use crate::{Error, ErrorKind, Result};

/// The kinds of objects as GRANT tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GrantKind {
    /// Tables, views, materialized views, foreign tables.
    Table,
    /// A column of one of these.
    Column,
    Sequence,
    /// Functions, procedures, aggregates.
    Routine,
    /// Types and domains.
    Type,
    Schema,
    LargeObject,
    Language,
    ForeignDataWrapper,
    ForeignServer,
    Database,
    Tablespace,
    /// Settings of the server.
    Parameter,
}

impl GrantKind {
    /// The letters that together are ALL PRIVILEGES.
    fn all(self, server: ServerVersion) -> &'static str {
        match self {
            // MAINTAIN came with 17.
            GrantKind::Table if server >= ServerVersion::major(17) => "arwdDxtm",
            GrantKind::Table => "arwdDxt",
            GrantKind::Column => "arwx",
            GrantKind::Sequence => "rwU",
            GrantKind::Routine => "X",
            GrantKind::Type => "U",
            GrantKind::Schema => "UC",
            GrantKind::LargeObject => "rw",
            GrantKind::Database => "CTc",
            GrantKind::Tablespace => "C",
            GrantKind::Parameter => "sA",
            GrantKind::Language | GrantKind::ForeignDataWrapper | GrantKind::ForeignServer => "U",
        }
    }
}

/// What statements grant on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AclTarget<'a> {
    /// Which privileges there are.
    pub(crate) kind: GrantKind,
    /// As it follows ON: `TABLE "s"."t"`, or `TABLES` in default privileges.
    pub(crate) object: &'a str,
    /// The column, if the privileges are a column's.
    pub(crate) column: Option<&'a str>,
    /// What precedes GRANT and REVOKE: `ALTER DEFAULT PRIVILEGES ... ` with its space, or nothing.
    pub(crate) prefix: &'a str,
}

impl<'a> AclTarget<'a> {
    /// An object as a whole. `object` is as it follows ON: `SCHEMA "s"`.
    pub(crate) fn new(kind: GrantKind, object: &'a str) -> Self {
        AclTarget {
            kind,
            object,
            column: None,
            prefix: "",
        }
    }

    /// A column of a table, view or the like. `object` is `TABLE "s"."t"`.
    pub(crate) fn column(object: &'a str, column: &'a str) -> Self {
        AclTarget {
            kind: GrantKind::Column,
            object,
            column: Some(column),
            prefix: "",
        }
    }
}

/// The privileges on one object, with those that a new object of its kind and owner has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Acl {
    /// `None` is a NULL in the catalog: never changed.
    items: Option<Vec<AclItem>>,
    baseline: Vec<AclItem>,
}

/// What one role granted another.
#[derive(Clone, Debug, PartialEq, Eq)]
struct AclItem {
    /// Empty for PUBLIC.
    grantee: String,
    /// Letters without grant option.
    plain: String,
    /// Letters with grant option.
    grantable: String,
    grantor: String,
}

impl Acl {
    /// From the texts of `aclitem`s. Both lists keep the catalog's order.
    ///
    /// # Errors
    /// `Catalog` if an item has a form or a letter that we do not know.
    pub(crate) fn new(items: Option<&[String]>, baseline: &[String]) -> Result<Self> {
        Ok(Acl {
            items: items.map(parse_items).transpose()?,
            baseline: parse_items(baseline)?,
        })
    }

    /// From the columns `acl` (`text[]`, NULL if never changed) and `acl_default` (`text[]`; may be NULL
    /// where `acl` is, for then it is not asked for).
    ///
    /// # Errors
    /// As [`Acl::new`], and if a column is not as expected.
    pub(crate) fn from_row(row: &Row) -> Result<Self, RowError> {
        Acl::from_columns(row, "acl", "acl_default")
    }

    /// As [`Acl::from_row`], from columns of other names.
    ///
    /// # Errors
    /// As [`Acl::from_row`].
    pub(crate) fn from_columns(row: &Row, acl: &str, acl_default: &str) -> Result<Self, RowError> {
        let items: Option<Vec<String>> = row.try_get(acl)?;
        let baseline: Vec<String> = match items {
            Some(_) => row.try_get(acl_default)?,
            None => row
                .try_get::<_, Option<Vec<String>>>(acl_default)?
                .unwrap_or_default(),
        };
        Ok(Acl::new(items.as_deref(), &baseline)?)
    }

    /// Whether nobody ever granted or revoked anything: there is nothing to say then.
    pub(super) fn is_untouched(&self) -> bool {
        self.items.is_none()
    }

    /// Every grantee, of what there is and of the baseline, once; empty for PUBLIC.
    pub(crate) fn grantees(&self) -> Vec<&str> {
        let items = self.items.iter().flatten().chain(&self.baseline);
        let mut grantees: Vec<&str> = Vec::new();
        for item in items {
            if !grantees.contains(&item.grantee.as_str()) {
                grantees.push(&item.grantee);
            }
        }
        grantees
    }

    /// Every grantee of the baseline; empty for PUBLIC.
    pub(crate) fn baseline_grantees(&self) -> Vec<&str> {
        let items = self.baseline.iter();
        items.map(|item| item.grantee.as_str()).collect()
    }

    /// GRANT and REVOKE statements that lead from the baseline to these privileges, in the order in
    /// which they must run; none if there is no difference.
    ///
    /// Items keep the catalog's order (so a restored object has the same `aclitem[]`), but the
    /// owner's own come first and nobody grants before having been given the grant option.
    /// Grants by others than the owner run under `SET SESSION AUTHORIZATION`.
    pub(crate) fn render(
        &self,
        target: &AclTarget<'_>,
        owner: &str,
        server: ServerVersion,
    ) -> Vec<String> {
        let Some(items) = &self.items else {
            return Vec::new();
        };
        let statement = Statement {
            target,
            all: target.kind.all(server),
        };
        let mut out = Vec::new();
        // A grant already in the baseline needs no statement, one that is gone must be revoked.
        for gone in self.baseline.iter().filter(|b| !items.contains(b)) {
            out.push(statement.revoke(gone));
        }
        let new = items.iter().filter(|item| !self.baseline.contains(item));
        for item in in_grant_order(new.collect(), owner) {
            if item.grantor == owner {
                statement.grant(item, &mut out);
            } else {
                out.push(format!(
                    "SET SESSION AUTHORIZATION {};",
                    quote::ident(&item.grantor)
                ));
                statement.grant(item, &mut out);
                out.push("RESET SESSION AUTHORIZATION;".to_owned());
            }
        }
        out
    }
}

/// What GRANT and REVOKE on one target have in common.
struct Statement<'a> {
    target: &'a AclTarget<'a>,
    all: &'static str,
}

impl Statement<'_> {
    fn revoke(&self, item: &AclItem) -> String {
        let letters = format!("{}{}", item.plain, item.grantable);
        format!(
            "{}REVOKE {} ON {} FROM {};",
            self.target.prefix,
            self.privileges(&letters),
            self.target.object,
            quote::role(&item.grantee)
        )
    }

    fn grant(&self, item: &AclItem, out: &mut Vec<String>) {
        for (letters, option) in [(&item.plain, ""), (&item.grantable, " WITH GRANT OPTION")] {
            if !letters.is_empty() {
                out.push(format!(
                    "{}GRANT {} ON {} TO {}{option};",
                    self.target.prefix,
                    self.privileges(letters),
                    self.target.object,
                    quote::role(&item.grantee),
                ));
            }
        }
    }

    /// `ALL` or the privileges one by one, each with the column if the target is one.
    fn privileges(&self, letters: &str) -> String {
        let column = match self.target.column {
            Some(column) => format!(" ({})", quote::ident(column)),
            None => String::new(),
        };
        if self.all.chars().all(|letter| letters.contains(letter)) {
            return format!("ALL{column}");
        }
        letters
            .chars()
            .filter_map(privilege)
            .map(|word| format!("{word}{column}"))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// The owner's own grants to itself, then every item as soon as its grantor may grant.
fn in_grant_order<'a>(items: Vec<&'a AclItem>, owner: &str) -> Vec<&'a AclItem> {
    let (mut ordered, mut waiting): (Vec<_>, Vec<_>) = items
        .into_iter()
        .partition(|item| item.grantee == owner && item.grantor == owner);
    while !waiting.is_empty() {
        let ready = waiting.iter().position(|item| {
            item.grantor == owner
                || ordered
                    .iter()
                    .any(|o| o.grantee == item.grantor && !o.grantable.is_empty())
        });
        // Without such a grantor the right to grant came from elsewhere (a baseline, membership
        // in a role): the catalog's order is as good as any.
        ordered.push(waiting.remove(ready.unwrap_or(0)));
    }
    ordered
}

fn parse_items(items: &[String]) -> Result<Vec<AclItem>> {
    items.iter().map(|item| parse_item(item)).collect()
}

/// Parses `grantee=arw*d/grantor`; either name may be in double quotes.
fn parse_item(text: &str) -> Result<AclItem> {
    let unknown = || {
        Error::new(
            ErrorKind::Catalog,
            format!("unknown form of privileges: {}", quote::one_line(text)),
        )
    };
    let (grantee, rest) = parse_name(text, '=').ok_or_else(unknown)?;
    let (letters, rest) = rest.split_once('/').ok_or_else(unknown)?;
    let (grantor, rest) = parse_name(rest, '\0').ok_or_else(unknown)?;
    if !rest.is_empty() {
        return Err(unknown());
    }
    let mut item = AclItem {
        grantee,
        plain: String::new(),
        grantable: String::new(),
        grantor,
    };
    let mut letters = letters.chars().peekable();
    while let Some(letter) = letters.next() {
        privilege(letter).ok_or_else(unknown)?;
        match letters.next_if_eq(&'*') {
            Some(_) => item.grantable.push(letter),
            None => item.plain.push(letter),
        }
    }
    Ok(item)
}

/// A name up to `end` (`\0`: the end of the text), which is consumed; quoted or not.
fn parse_name(text: &str, end: char) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        return match text.split_once(end) {
            Some((name, rest)) => Some((name.to_owned(), rest)),
            None => (end == '\0').then(|| (text.to_owned(), "")),
        };
    };
    let mut name = String::new();
    let mut rest = quoted;
    loop {
        let (part, after) = rest.split_once('"')?;
        name.push_str(part);
        match after.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None if end == '\0' => return Some((name, after)),
            None => return Some((name, after.strip_prefix(end)?)),
        }
    }
}

/// The word for a letter of an `aclitem` (utils/acl.h).
fn privilege(letter: char) -> Option<&'static str> {
    Some(match letter {
        'a' => "INSERT",
        'r' => "SELECT",
        'w' => "UPDATE",
        'd' => "DELETE",
        'D' => "TRUNCATE",
        'x' => "REFERENCES",
        't' => "TRIGGER",
        'm' => "MAINTAIN",
        'X' => "EXECUTE",
        'U' => "USAGE",
        'C' => "CREATE",
        'c' => "CONNECT",
        'T' => "TEMPORARY",
        's' => "SET",
        'A' => "ALTER SYSTEM",
        _ => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const V15: ServerVersion = ServerVersion::major(15);

    fn acl(items: &[&str], baseline: &[&str]) -> Acl {
        let owned = |list: &[&str]| list.iter().map(|&s| s.to_owned()).collect::<Vec<_>>();
        Acl::new(Some(&owned(items)), &owned(baseline)).unwrap()
    }

    fn table(items: &[&str], server: ServerVersion) -> Vec<String> {
        let target = AclTarget::new(GrantKind::Table, "TABLE \"s\".\"t\"");
        acl(items, &["o=arwdDxt/o"]).render(&target, "o", server)
    }

    #[test]
    fn null_and_the_default_give_no_statement() {
        let target = AclTarget::new(GrantKind::Routine, "FUNCTION f()");
        let never_changed = Acl::new(None, &["=X/o".to_owned()]).unwrap();
        assert!(never_changed.render(&target, "o", V15).is_empty());
        assert!(
            acl(&["o=X/o", "=X/o"], &["=X/o", "o=X/o"])
                .render(&target, "o", V15)
                .is_empty()
        );
    }

    #[test]
    fn an_empty_list_revokes_the_baseline() {
        let target = AclTarget::new(GrantKind::Routine, "FUNCTION f()");
        assert_eq!(
            acl(&[], &["=X/o", "o=X/o"]).render(&target, "o", V15),
            [
                "REVOKE ALL ON FUNCTION f() FROM PUBLIC;",
                "REVOKE ALL ON FUNCTION f() FROM \"o\";"
            ]
        );
    }

    #[test]
    fn grant_options_are_statements_of_their_own() {
        assert_eq!(
            table(&["o=arwdDxt/o", "a=ar*w/o"], V15),
            [
                "GRANT INSERT, UPDATE ON TABLE \"s\".\"t\" TO \"a\";",
                "GRANT SELECT ON TABLE \"s\".\"t\" TO \"a\" WITH GRANT OPTION;"
            ]
        );
    }

    #[test]
    fn all_depends_on_the_version() {
        let items = ["o=arwdDxt/o", "a=arwdDxt/o"];
        assert_eq!(
            table(&items, V15),
            ["GRANT ALL ON TABLE \"s\".\"t\" TO \"a\";"]
        );
        assert_eq!(
            table(&items, ServerVersion::major(17)),
            [
                "GRANT INSERT, SELECT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER \
                 ON TABLE \"s\".\"t\" TO \"a\";"
            ]
        );
    }

    #[test]
    fn a_reduced_owner_is_revoked_and_granted_first() {
        assert_eq!(
            table(&["a=r/o", "o=r/o"], V15),
            [
                "REVOKE ALL ON TABLE \"s\".\"t\" FROM \"o\";",
                "GRANT SELECT ON TABLE \"s\".\"t\" TO \"o\";",
                "GRANT SELECT ON TABLE \"s\".\"t\" TO \"a\";"
            ]
        );
    }

    #[test]
    fn nobody_grants_before_having_the_grant_option() {
        assert_eq!(
            table(&["o=arwdDxt/o", "b=r/a", "a=r*/o"], V15),
            [
                "GRANT SELECT ON TABLE \"s\".\"t\" TO \"a\" WITH GRANT OPTION;",
                "SET SESSION AUTHORIZATION \"a\";",
                "GRANT SELECT ON TABLE \"s\".\"t\" TO \"b\";",
                "RESET SESSION AUTHORIZATION;"
            ]
        );
    }

    #[test]
    fn columns_stand_behind_each_privilege() {
        let target = AclTarget::column("TABLE \"t\"", "c\"1");
        assert_eq!(
            acl(&["a=r/o", "b=arwx/o", "=aw/o"], &[]).render(&target, "o", V15),
            [
                "GRANT SELECT (\"c\"\"1\") ON TABLE \"t\" TO \"a\";",
                "GRANT ALL (\"c\"\"1\") ON TABLE \"t\" TO \"b\";",
                "GRANT INSERT (\"c\"\"1\"), UPDATE (\"c\"\"1\") ON TABLE \"t\" TO PUBLIC;"
            ]
        );
    }

    #[test]
    fn quoted_names_may_hold_anything() {
        let item = parse_item("\"a=r/\"\"b\"=r/\"o \"\"/=\"").unwrap();
        assert_eq!(item.grantee, "a=r/\"b");
        assert_eq!(item.plain, "r");
        assert_eq!(item.grantor, "o \"/=");
    }

    #[test]
    fn unknown_letters_are_an_error() {
        assert!(parse_item("a=r?/o").is_err());
        assert!(parse_item("a").is_err());
        assert!(parse_item("\"a=r/o").is_err());
    }
}
