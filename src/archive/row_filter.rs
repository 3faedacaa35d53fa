//! Choosing rows of a table's data members by the values of columns. Pure.

use std::borrow::Cow;
use std::str::FromStr;

use super::TextEncoding;
use super::copy_text::push_field;
use crate::{Error, ErrorKind};

/// Rows of which all conditions hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowFilter(Vec<Condition>);

/// `column = value`, `column <> value`, `column is null` or `column is not null`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    column: String,
    test: FieldTest,
}

/// What must hold of a field, in SQL's sense: a NULL neither equals a value nor differs from it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum FieldTest {
    /// It is this, as COPY writes it.
    Is(Vec<u8>),
    /// It is a value, and not this one.
    IsOther(Vec<u8>),
    IsNull,
    IsNotNull,
}

/// COPY's NULL.
const NULL: &[u8] = b"\\N";

impl FieldTest {
    fn holds(&self, field: &[u8]) -> bool {
        match self {
            FieldTest::Is(value) => field == value,
            FieldTest::IsOther(value) => field != NULL && field != value,
            FieldTest::IsNull => field == NULL,
            FieldTest::IsNotNull => field != NULL,
        }
    }
}

/// A filter for rows of certain columns: by position, what must hold of the field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedFilter(Vec<(usize, FieldTest)>);

/// What is said of a condition that is none.
const FORMS: &str = "give COLUMN = VALUE, COLUMN <> VALUE, COLUMN is null or COLUMN is not null";

impl FromStr for Condition {
    type Err = String;

    /// The value is what `SELECT column` prints. It may stand in single quotes, with inner ones doubled; the column in double
    /// ones. `!=` is `<>`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || FORMS.to_owned();
        let text = text.trim();
        let (column, rest) = match text.strip_prefix('"') {
            Some(quoted) => {
                let end = closing_quote(quoted, '"').ok_or_else(wrong)?;
                (
                    quoted[..end].replace("\"\"", "\""),
                    quoted[end + 1..].trim_start(),
                )
            }
            None => {
                let end = text
                    .find(|c: char| "=<>!".contains(c) || c.is_whitespace())
                    .ok_or_else(wrong)?;
                (text[..end].to_lowercase(), text[end..].trim_start())
            }
        };
        if column.is_empty() {
            return Err(wrong());
        }
        let test = FieldTest::parse(rest).ok_or_else(wrong)?;
        Ok(Condition { column, test })
    }
}

impl FieldTest {
    /// What stands behind the column.
    fn parse(text: &str) -> Option<FieldTest> {
        if let Some(value) = text.strip_prefix('=') {
            return Some(FieldTest::Is(parse_value(value)?));
        }
        if let Some(value) = text.strip_prefix("<>").or(text.strip_prefix("!=")) {
            return Some(FieldTest::IsOther(parse_value(value)?));
        }
        let words: Vec<String> = text
            .split_ascii_whitespace()
            .map(str::to_lowercase)
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words[..] {
            ["is", "null"] => Some(FieldTest::IsNull),
            ["is", "not", "null"] => Some(FieldTest::IsNotNull),
            _ => None,
        }
    }
}

/// A value as COPY writes it; `None` if its quotes do not fit.
fn parse_value(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    let Some(quoted) = text.strip_prefix('\'') else {
        return Some(encode_field(text.as_bytes()));
    };
    let end = closing_quote(quoted, '\'')?;
    (end + 1 == quoted.len()).then(|| encode_field(quoted[..end].replace("''", "'").as_bytes()))
}

/// The place of the quote that ends a text, past doubled ones.
fn closing_quote(text: &str, quote: char) -> Option<usize> {
    let mut places = text.char_indices().filter(|(_, c)| *c == quote).peekable();
    while let Some((at, _)) = places.next() {
        match places.next_if(|(next, _)| *next == at + 1) {
            Some(_) => {}
            None => return Some(at),
        }
    }
    None
}

/// A value as COPY's text format has it.
fn encode_field(value: &[u8]) -> Vec<u8> {
    let mut field = Vec::with_capacity(value.len());
    push_field(&mut field, value);
    field
}

impl RowFilter {
    /// All conditions must hold. Without any, every row is chosen.
    pub fn new(conditions: Vec<Condition>) -> Self {
        RowFilter(conditions)
    }

    /// The same conditions on rows in another encoding than UTF-8.
    ///
    /// # Errors
    /// `Usage` for a value that the encoding does not have: no row has it.
    pub fn encoded(self, encoding: TextEncoding) -> crate::Result<RowFilter> {
        let mut conditions = self.0;
        for condition in &mut conditions {
            if let FieldTest::Is(field) | FieldTest::IsOther(field) = &mut condition.test {
                *field = encoded(field, encoding)?;
            }
        }
        Ok(RowFilter(conditions))
    }

    /// For rows with these columns.
    ///
    /// # Errors
    /// The name of a column that is not among them.
    pub fn place(&self, columns: &[String]) -> Result<PlacedFilter, &str> {
        let place = |condition: &Condition| columns.iter().position(|it| *it == condition.column);
        self.0
            .iter()
            .map(|condition| match place(condition) {
                Some(place) => Ok((place, condition.test.clone())),
                None => Err(condition.column.as_str()),
            })
            .collect::<Result<_, _>>()
            .map(PlacedFilter)
    }
}

fn encoded(field: &[u8], encoding: TextEncoding) -> crate::Result<Vec<u8>> {
    // What is no UTF-8 can only be compared with bytes that are none either.
    let Ok(text) = std::str::from_utf8(field) else {
        return Ok(field.to_vec());
    };
    match encoding.encode(text) {
        Ok(bytes) => Ok(bytes.into_owned()),
        Err(character) => {
            let (name, code) = (encoding.name(), u32::from(character));
            Err(Error::new(
                ErrorKind::Usage,
                format!(
                    "no row has the value: the archive is in {name}, which has no character for U+{code:04X}"
                ),
            ))
        }
    }
}

impl PlacedFilter {
    /// Whether a row is chosen; without its newline.
    pub fn takes(&self, row: &[u8]) -> bool {
        self.0.iter().all(|(place, test)| {
            let field = row.split(|&byte| byte == b'\t').nth(*place);
            field.is_some_and(|field| test.holds(field))
        })
    }

    /// The chosen ones of rows with their newlines, and how many they are.
    pub fn choose<'a>(&self, rows: &'a [u8]) -> (Cow<'a, [u8]>, u64) {
        if self.0.is_empty() {
            let count = rows.iter().filter(|&&byte| byte == b'\n').count();
            return (Cow::Borrowed(rows), count as u64);
        }
        let mut chosen = Vec::new();
        let mut count = 0;
        for row in rows.split_inclusive(|&byte| byte == b'\n') {
            if self.takes(&row[..row.len() - 1]) {
                chosen.extend_from_slice(row);
                count += 1;
            }
        }
        (Cow::Owned(chosen), count)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn chosen(conditions: &[&str], rows: &str) -> String {
        let conditions = conditions.iter().map(|it| it.parse().unwrap()).collect();
        let columns = ["id", "name", "Odd=one"].map(str::to_owned);
        let filter = RowFilter::new(conditions);
        let (rows, count) = filter.place(&columns).unwrap().choose(rows.as_bytes());
        assert_eq!(count, rows.split(|&byte| byte == b'\n').count() as u64 - 1);
        String::from_utf8(rows.into_owned()).unwrap()
    }

    const ROWS: &str = "1\ta\tx\n2\ta\\tb\t\\N\n3\tit's\tx\n11\t\t1\n";

    #[test]
    fn rows_are_chosen_by_whole_values() {
        assert_eq!(chosen(&["id = 1"], ROWS), "1\ta\tx\n");
        assert_eq!(chosen(&["id=1", "name='b'"], ROWS), "");
        assert_eq!(chosen(&["name = 'a\tb'"], ROWS), "2\ta\\tb\t\\N\n");
        assert_eq!(chosen(&["name = 'it''s'"], ROWS), "3\tit's\tx\n");
        assert_eq!(chosen(&["NAME ="], ROWS), "11\t\t1\n");
        assert_eq!(chosen(&["\"Odd=one\" IS NULL"], ROWS), "2\ta\\tb\t\\N\n");
        assert_eq!(chosen(&["\"Odd=one\" = x"], ROWS), "1\ta\tx\n3\tit's\tx\n");
        assert_eq!(
            chosen(&["name <> 'a'", "id!=11"], ROWS),
            "2\ta\\tb\t\\N\n3\tit's\tx\n"
        );
        assert_eq!(chosen(&["\"Odd=one\" <> 1"], ROWS), "1\ta\tx\n3\tit's\tx\n");
        assert_eq!(
            chosen(&["\"Odd=one\" is not NULL", "id <> 1"], ROWS),
            "3\tit's\tx\n11\t\t1\n"
        );
        assert_eq!(chosen(&[], ROWS), ROWS);
    }

    #[test]
    fn other_conditions_are_refused() {
        for wrong in [
            "",
            "id",
            "id > 1",
            "= 1",
            "name = 'a",
            "name = 'a' b",
            "\"name = 1",
            "id is",
            "id is not",
            "id < 1",
            "id <> 'a",
            "<> 1",
        ] {
            assert!(wrong.parse::<Condition>().is_err(), "{wrong}");
        }
        let filter = RowFilter::new(vec!["other = 1".parse().unwrap()]);
        assert_eq!(filter.place(&["id".to_owned()]), Err("other"));
    }
}
