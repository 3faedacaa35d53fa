//! `--encoding`: which one it is, and that it can hold what the dump has to say.

use crate::archive::{TextEncoding, cannot_hold};
use crate::conn::Session;
use crate::{Error, ErrorKind, Result};

use super::script::{entry_comment, entry_name};
use super::table_data::member_statement;
use super::{ContentEntry, DataSource};

/// Entries whose texts are compared in one round trip.
const COMPARED_AT_ONCE: usize = 1000;

/// What the header says of the text's encoding: nothing, where it is what every dump of such a database is in.
///
/// # Errors
/// `Usage` if the database's text cannot be converted.
pub(super) fn choose(
    wanted: Option<TextEncoding>,
    of_database: &str,
) -> Result<Option<TextEncoding>> {
    let is_bytes = of_database == TextEncoding::SQL_ASCII.name();
    match wanted {
        Some(TextEncoding::SQL_ASCII) | None if is_bytes => Ok(None),
        Some(TextEncoding::UTF8) | None if !is_bytes => Ok(None),
        Some(encoding) if is_bytes => Err(refused(format!(
            "a database in SQL_ASCII cannot be converted to {}",
            encoding.name()
        ))
        .hint("Nobody knows what its bytes mean. Leave out --encoding, and they come back as they are.")),
        Some(TextEncoding::SQL_ASCII) => Err(refused(format!(
            "a dump of a database in {of_database} cannot be in SQL_ASCII"
        ))
        .hint("Nobody would know what its bytes mean. Name the encoding that they are to be in.")),
        other => Ok(other),
    }
}

fn refused(message: String) -> Error {
    Error::new(ErrorKind::Usage, message)
}

/// Checks that the encoding holds every text of the entries, and that the server would write it with the same bytes: it is the
/// server's tables that psql's replay will be read by.
///
/// # Errors
/// `Usage` if the server cannot convert to it; `Unsupported`, naming the object whose text cannot be written.
pub(super) async fn check(
    session: &Session,
    entries: &[ContentEntry],
    encoding: TextEncoding,
) -> Result<()> {
    if encoding.is_as_is() {
        return Ok(());
    }
    check_conversion(session, encoding).await?;
    for some in entries.chunks(COMPARED_AT_ONCE) {
        let (mut owners, mut texts, mut encoded) = (Vec::new(), Vec::new(), Vec::new());
        for entry in some {
            for text in foreign_texts(entry) {
                let bytes = encoding
                    .encode(&text)
                    .map_err(|character| cannot_hold(encoding, character, &entry_name(entry)))?;
                encoded.push(bytes.into_owned());
                owners.push(entry);
                texts.push(text);
            }
        }
        if let Some(at) = first_difference(session, encoding, &texts, &encoded).await? {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("{} is written in several ways", encoding.name()),
            )
            .detail(format!(
                "The server has other bytes for a character in {}.",
                entry_name(owners[at])
            ))
            .hint("Dump in UTF-8, which has all characters, or leave the object out."));
        }
    }
    Ok(())
}

/// What the dump says about an entry and is not ASCII alone.
fn foreign_texts(entry: &ContentEntry) -> impl Iterator<Item = String> {
    let head = match &entry.data {
        Some(DataSource::Table(table)) => Some(member_statement(table)),
        Some(DataSource::LargeObjects(_)) | None => None,
    };
    let statements = entry.create.iter().chain(&entry.alter_owner).cloned();
    [entry_comment(entry)]
        .into_iter()
        .chain(head)
        .chain(statements)
        .filter(|text| !text.is_ascii())
        .collect::<Vec<_>>()
        .into_iter()
}

async fn check_conversion(session: &Session, encoding: TextEncoding) -> Result<()> {
    let can_convert: bool = session
        .query_one(
            "SELECT d.encoding = wanted OR EXISTS (SELECT FROM pg_catalog.pg_conversion c \
               WHERE c.condefault AND c.conforencoding = d.encoding AND c.contoencoding = wanted) \
             FROM pg_catalog.pg_database d, pg_catalog.pg_char_to_encoding($1::pg_catalog.text::pg_catalog.name) AS wanted \
             WHERE d.datname = pg_catalog.current_database()",
            &[&encoding.name()],
        )
        .await
        .map_err(failed)?
        .get(0);
    match can_convert {
        true => Ok(()),
        false => Err(refused(format!(
            "the server cannot convert {} to {}",
            session.encoding(),
            encoding.name()
        ))),
    }
}

/// The place of the first text that the server writes with other bytes.
async fn first_difference(
    session: &Session,
    encoding: TextEncoding,
    texts: &[String],
    encoded: &[Vec<u8>],
) -> Result<Option<usize>> {
    let different = session
        .query_opt(
            "SELECT u.n FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.bytea[])) \
               WITH ORDINALITY AS u (text, bytes, n) \
             WHERE pg_catalog.convert_to(u.text, $3::pg_catalog.text::pg_catalog.name) OPERATOR(pg_catalog.<>) u.bytes \
             ORDER BY u.n LIMIT 1",
            &[&texts, &encoded, &encoding.name()],
        )
        .await
        .map_err(failed)?;
    let place = different.map(|row| row.get::<_, i64>(0));
    Ok(place.and_then(|place| usize::try_from(place - 1).ok()))
}

fn failed(error: tokio_postgres::Error) -> Error {
    Error::from_server(
        ErrorKind::Catalog,
        "could not convert definitions to the encoding",
        error,
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_converted_is_chosen() {
        let latin1 = Some("LATIN1".parse().unwrap());
        assert_eq!(choose(latin1, "UTF8").unwrap(), latin1);
        assert_eq!(choose(Some(TextEncoding::UTF8), "LATIN1").unwrap(), None);
        assert_eq!(choose(None, "SQL_ASCII").unwrap(), None);
        assert_eq!(
            choose(Some(TextEncoding::SQL_ASCII), "SQL_ASCII").unwrap(),
            None
        );
        assert!(choose(latin1, "SQL_ASCII").is_err());
        assert!(choose(Some(TextEncoding::UTF8), "SQL_ASCII").is_err());
        assert!(choose(Some(TextEncoding::SQL_ASCII), "UTF8").is_err());
    }
}
