//! The encoding that an archive's text is in. Pure.
//!
//! Statements are made and run as UTF-8; a table here turns them into the archive's encoding and back. Rows never pass through
//! it: the server converts them, `COPY ... (ENCODING '...')`, both ways.
//!
//! Only encodings in which no byte of another character looks like ASCII are here: elsewhere a backslash or a quote could be half
//! of a character, and neither psql's lexer nor ours could be trusted. Manual: "Character Set Support".

use std::borrow::Cow;

use encoding_rs as whatwg;
use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind};

/// An encoding by PostgreSQL's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TextEncoding(&'static Known);

#[derive(Debug, PartialEq, Eq)]
struct Known {
    /// PostgreSQL's name.
    name: &'static str,
    /// Other names of PostgreSQL, in lower case and without punctuation.
    aliases: &'static [&'static str],
    table: Table,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Table {
    /// UTF-8, and SQL_ASCII: bytes of which nobody knows what they mean.
    AsIs,
    /// ISO 8859-1, the first 256 code points, but for these bytes.
    Latin1(&'static [(u8, char)]),
    /// As browsers have it, but for these bytes.
    Whatwg(&'static whatwg::Encoding, &'static [(u8, char)]),
}

/// ISO 8859-9 has six Turkish letters instead of Icelandic ones.
const LATIN5: &[(u8, char)] = &[
    (0xd0, 'Ğ'),
    (0xdd, 'İ'),
    (0xde, 'Ş'),
    (0xf0, 'ğ'),
    (0xfd, 'ı'),
    (0xfe, 'ş'),
];

/// Browsers have a Belarusian letter there, which RFC 2319 has not.
const KOI8U: &[(u8, char)] = &[(0xae, '╝'), (0xbe, '╬')];

const fn known(name: &'static str, aliases: &'static [&'static str], table: Table) -> Known {
    Known {
        name,
        aliases,
        table,
    }
}

const fn listed(
    name: &'static str,
    aliases: &'static [&'static str],
    table: &'static whatwg::Encoding,
) -> Known {
    known(name, aliases, Table::Whatwg(table, &[]))
}

static KNOWN: [Known; 32] = [
    known("UTF8", &["unicode"], Table::AsIs),
    known("SQL_ASCII", &[], Table::AsIs),
    known("LATIN1", &["iso88591"], Table::Latin1(&[])),
    listed("LATIN2", &["iso88592"], whatwg::ISO_8859_2),
    listed("LATIN3", &["iso88593"], whatwg::ISO_8859_3),
    listed("LATIN4", &["iso88594"], whatwg::ISO_8859_4),
    known("LATIN5", &["iso88599"], Table::Latin1(LATIN5)),
    listed("LATIN6", &["iso885910"], whatwg::ISO_8859_10),
    listed("LATIN7", &["iso885913"], whatwg::ISO_8859_13),
    listed("LATIN8", &["iso885914"], whatwg::ISO_8859_14),
    listed("LATIN9", &["iso885915"], whatwg::ISO_8859_15),
    listed("LATIN10", &["iso885916"], whatwg::ISO_8859_16),
    listed("ISO_8859_5", &[], whatwg::ISO_8859_5),
    listed("ISO_8859_6", &[], whatwg::ISO_8859_6),
    listed("ISO_8859_7", &[], whatwg::ISO_8859_7),
    listed("ISO_8859_8", &[], whatwg::ISO_8859_8),
    listed("WIN1250", &["windows1250"], whatwg::WINDOWS_1250),
    listed("WIN1251", &["windows1251", "win"], whatwg::WINDOWS_1251),
    listed("WIN1252", &["windows1252"], whatwg::WINDOWS_1252),
    listed("WIN1253", &["windows1253"], whatwg::WINDOWS_1253),
    listed("WIN1254", &["windows1254"], whatwg::WINDOWS_1254),
    listed("WIN1255", &["windows1255"], whatwg::WINDOWS_1255),
    listed("WIN1256", &["windows1256"], whatwg::WINDOWS_1256),
    listed("WIN1257", &["windows1257"], whatwg::WINDOWS_1257),
    listed(
        "WIN1258",
        &["windows1258", "abc", "tcvn", "tcvn5712", "vscii"],
        whatwg::WINDOWS_1258,
    ),
    listed("WIN866", &["windows866", "alt"], whatwg::IBM866),
    listed("WIN874", &["windows874"], whatwg::WINDOWS_874),
    listed("KOI8R", &["koi8"], whatwg::KOI8_R),
    known("KOI8U", &[], Table::Whatwg(whatwg::KOI8_U, KOI8U)),
    listed("EUC_JP", &[], whatwg::EUC_JP),
    listed("EUC_KR", &[], whatwg::EUC_KR),
    listed("EUC_CN", &[], whatwg::GBK),
];

/// Encodings of clients in which a byte that looks like ASCII may be half of a character, with their other names.
const UNSAFE: [(&str, &[&str]); 7] = [
    ("BIG5", &["win950", "windows950"]),
    ("GB18030", &[]),
    ("GBK", &["win936", "windows936"]),
    ("JOHAB", &[]),
    ("SHIFT_JIS_2004", &["shiftjis2004"]),
    ("SJIS", &["mskanji", "shiftjis", "win932", "windows932"]),
    ("UHC", &["win949", "windows949"]),
];

impl TextEncoding {
    /// UTF-8.
    pub const UTF8: TextEncoding = TextEncoding(&KNOWN[0]);
    /// No encoding: bytes.
    pub const SQL_ASCII: TextEncoding = TextEncoding(&KNOWN[1]);

    /// All of them.
    pub fn all() -> impl Iterator<Item = TextEncoding> {
        KNOWN.iter().map(TextEncoding)
    }

    /// PostgreSQL's name.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// Whether text in it is UTF-8, or bytes that are taken for it.
    pub fn is_as_is(self) -> bool {
        self.0.table == Table::AsIs
    }

    /// Whether every character is one byte. The tables of the others differ from PostgreSQL's in places.
    pub fn is_single_byte(self) -> bool {
        match self.0.table {
            Table::AsIs => false,
            Table::Latin1(_) => true,
            Table::Whatwg(table, _) => table.is_single_byte(),
        }
    }

    /// The bytes of a text.
    ///
    /// # Errors
    /// The first character that has none.
    pub fn encode(self, text: &str) -> Result<Cow<'_, [u8]>, char> {
        if self.is_as_is() || text.is_ascii() {
            return Ok(Cow::Borrowed(text.as_bytes()));
        }
        let mut bytes = Vec::with_capacity(text.len());
        for character in text.chars() {
            match u8::try_from(character) {
                Ok(byte) if byte.is_ascii() => bytes.push(byte),
                _ => self.push(&mut bytes, character)?,
            }
        }
        Ok(Cow::Owned(bytes))
    }

    fn push(self, bytes: &mut Vec<u8>, character: char) -> Result<(), char> {
        let exceptions = self.exceptions();
        if let Some((byte, _)) = exceptions.iter().find(|(_, there)| *there == character) {
            bytes.push(*byte);
            return Ok(());
        }
        let mut buffer = [0; 4];
        let text = character.encode_utf8(&mut buffer);
        let encoded = match self.0.table {
            Table::AsIs => Cow::Borrowed(text.as_bytes()),
            Table::Latin1(_) => Cow::Owned(vec![u8::try_from(character).map_err(|_| character)?]),
            Table::Whatwg(table, _) => match table.encode(text) {
                (encoded, _, false) => encoded,
                (_, _, true) => return Err(character),
            },
        };
        // Some characters are written as another one: they would not come back.
        let back = self.decode(&encoded);
        let is_itself = back.is_some_and(|text| text.chars().eq([character]));
        if !is_itself || encoded.iter().any(u8::is_ascii) {
            return Err(character);
        }
        bytes.extend_from_slice(&encoded);
        Ok(())
    }

    fn exceptions(self) -> &'static [(u8, char)] {
        match self.0.table {
            Table::AsIs => &[],
            Table::Latin1(exceptions) | Table::Whatwg(_, exceptions) => exceptions,
        }
    }

    /// The text of bytes; `None` if they are none in this encoding.
    pub fn decode(self, bytes: &[u8]) -> Option<Cow<'_, str>> {
        if self.is_as_is() || bytes.is_ascii() {
            return std::str::from_utf8(bytes).ok().map(Cow::Borrowed);
        }
        match self.0.table {
            Table::Whatwg(table, []) => {
                table.decode_without_bom_handling_and_without_replacement(bytes)
            }
            _ => bytes.iter().map(|&byte| self.decode_byte(byte)).collect(),
        }
    }

    /// Of an encoding that has one for each character.
    fn decode_byte(self, byte: u8) -> Option<char> {
        if let Some((_, character)) = self.exceptions().iter().find(|(there, _)| *there == byte) {
            return Some(*character);
        }
        match self.0.table {
            Table::Whatwg(table, _) => {
                let bytes = [byte];
                let text = table.decode_without_bom_handling_and_without_replacement(&bytes)?;
                text.chars().next()
            }
            Table::AsIs | Table::Latin1(_) => Some(char::from(byte)),
        }
    }
}

impl std::str::FromStr for TextEncoding {
    type Err = String;

    /// As PostgreSQL reads names of encodings: letters and digits count, whatever their case.
    fn from_str(name: &str) -> Result<Self, String> {
        let plain = |name: &str| -> String {
            let letters = name.chars().filter(char::is_ascii_alphanumeric);
            letters.map(|c| c.to_ascii_lowercase()).collect()
        };
        let wanted = plain(name);
        let is = |known: &str, aliases: &[&str]| {
            plain(known) == wanted || aliases.contains(&wanted.as_str())
        };
        if let Some(known) = KNOWN.iter().find(|known| is(known.name, known.aliases)) {
            return Ok(TextEncoding(known));
        }
        Err(
            match UNSAFE.iter().find(|(known, aliases)| is(known, aliases)) {
                Some((known, _)) => format!(
                    "in {known} a backslash or a quote may be half of a character, which no script is safe with"
                ),
                None => {
                    let names: Vec<&str> = KNOWN.iter().map(|known| known.name).collect();
                    format!("none of {}", names.join(", "))
                }
            },
        )
    }
}

impl TryFrom<String> for TextEncoding {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        name.parse()
    }
}

impl From<TextEncoding> for String {
    fn from(encoding: TextEncoding) -> String {
        encoding.name().to_owned()
    }
}

/// A text that the archive's encoding cannot hold, with what the text is of.
pub(crate) fn cannot_hold(encoding: TextEncoding, character: char, whose: &str) -> Error {
    let code = u32::from(character);
    Error::new(
        ErrorKind::Unsupported,
        format!("{} has no character for U+{code:04X}", encoding.name()),
    )
    .detail(format!("In {whose}."))
    .hint("Dump in UTF-8, which has all characters, or leave the object out.")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn named(name: &str) -> TextEncoding {
        name.parse().unwrap()
    }

    #[test]
    fn names_are_postgres_own() {
        assert_eq!(named("utf-8"), TextEncoding::UTF8);
        assert_eq!(named("Unicode"), TextEncoding::UTF8);
        assert_eq!(named("ISO-8859-1").name(), "LATIN1");
        assert_eq!(named("windows-1252").name(), "WIN1252");
        for name in [
            "SJIS",
            "Shift_JIS",
            "big5",
            "GBK",
            "gb18030",
            "johab",
            "uhc",
            "SHIFT_JIS_2004",
        ] {
            let refused = name.parse::<TextEncoding>().unwrap_err();
            assert!(refused.contains("half of a character"), "{refused}");
        }
        assert!(
            "EUC_TW"
                .parse::<TextEncoding>()
                .unwrap_err()
                .contains("LATIN1")
        );
    }

    #[test]
    fn every_byte_comes_back_from_its_character() {
        for encoding in TextEncoding::all().filter(|encoding| encoding.is_single_byte()) {
            for byte in 0..=255_u8 {
                if let Some(text) = encoding.decode(&[byte]) {
                    let encoded = encoding.encode(&text).map(Cow::into_owned);
                    assert_eq!(encoded, Ok(vec![byte]), "{} {byte:02x}", encoding.name());
                }
            }
        }
    }

    #[test]
    fn a_character_without_bytes_is_named() {
        assert_eq!(named("LATIN1").encode("aé€"), Err('€'));
        assert_eq!(
            named("LATIN9").encode("aé€").unwrap().as_ref(),
            b"a\xe9\xa4"
        );
        assert_eq!(named("LATIN5").encode("ð"), Err('ð'));
        assert_eq!(named("LATIN1").encode("ğ"), Err('ğ'));
        assert_eq!(named("EUC_JP").encode("あ").unwrap().as_ref(), b"\xa4\xa2");
        // Its second byte would be a letter.
        assert_eq!(named("EUC_KR").encode("갂"), Err('갂'));
        // It would come back as a full-width hyphen.
        assert_eq!(named("EUC_JP").encode("−"), Err('−'));
    }
}
