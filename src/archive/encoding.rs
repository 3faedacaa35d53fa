//! The encoding that an archive's text is in. Pure.
//!
//! Statements are made and run as UTF-8; a table here turns them into the archive's encoding and back. Rows never pass through
//! it: the server converts them, `COPY ... (ENCODING '...')`, both ways.
//!
//! An archive of ours is only in an encoding in which no byte of another character looks like ASCII: elsewhere a backslash or a quote could be
//! half of a character, and not every reader could be trusted. One of pg_dump may also be in an encoding of clients alone; its
//! statements are read as UTF-8. Manual: "Character Set Support".

use std::borrow::Cow;
use std::ops::RangeInclusive;

use encoding_rs as whatwg;
use serde::{Deserialize, Serialize};

use crate::characters::{Characters, plain_name};
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
    /// Of encodings of clients alone.
    characters: Option<Characters>,
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
        characters: None,
    }
}

const fn of_clients(
    name: &'static str,
    characters: Characters,
    table: &'static whatwg::Encoding,
) -> Known {
    Known {
        name,
        aliases: &[],
        table: Table::Whatwg(table, &[]),
        characters: Some(characters),
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

/// What pg_dump may write besides. Browsers read each character as PostgreSQL 18 does, or not at all, but for those of
/// [`read_otherwise`]: compared code by code.
static OF_CLIENTS: [Known; 5] = [
    of_clients("SJIS", Characters::Kana, whatwg::SHIFT_JIS),
    of_clients("BIG5", Characters::Double, whatwg::BIG5),
    of_clients("GBK", Characters::Double, whatwg::GBK),
    of_clients("UHC", Characters::Double, whatwg::EUC_KR),
    of_clients("GB18030", Characters::Gb18030, whatwg::GB18030),
];

/// Characters that browsers read in the encodings of servers, and what PostgreSQL reads there.
fn of_browsers(encoding: &str) -> &'static [(char, char)] {
    match encoding {
        "EUC_JP" => &[('¦', '￤')],
        "EUC_CN" => &[('·', '・'), ('—', '―')],
        _ => &[],
    }
}

/// Codes that browsers read as another character than PostgreSQL does, in the encodings of clients.
fn read_otherwise(encoding: &str) -> &'static [RangeInclusive<u32>] {
    match encoding {
        "BIG5" => &[
            0xa145..=0xa145,
            0xa14e..=0xa14e,
            0xa15a..=0xa15a,
            0xa1c2..=0xa1c3,
            0xa1c5..=0xa1c5,
            0xa1e3..=0xa1e3,
            0xa1f2..=0xa1f3,
            0xa1fe..=0xa242,
            0xa244..=0xa244,
            0xa246..=0xa247,
            0xa2cc..=0xa2cc,
            0xa2ce..=0xa2ce,
            0xc6a1..=0xc7fc,
        ],
        "GB18030" => &[
            0xa3a0..=0xa3a0,
            0xa6d9..=0xa6df,
            0xa6ec..=0xa6ed,
            0xa6f3..=0xa6f3,
            0xa8bc..=0xa8bc,
            0xfe59..=0xfe59,
            0xfe61..=0xfe61,
            0xfe66..=0xfe67,
            0xfe6d..=0xfe6d,
            0xfe7e..=0xfe7e,
            0xfe90..=0xfe90,
            0xfea0..=0xfea0,
            0x8135_f437..=0x8135_f437,
        ],
        _ => &[],
    }
}

impl TextEncoding {
    /// UTF-8.
    pub const UTF8: TextEncoding = TextEncoding(&KNOWN[0]);
    /// No encoding: bytes.
    pub const SQL_ASCII: TextEncoding = TextEncoding(&KNOWN[1]);

    /// All of them.
    pub fn all() -> impl Iterator<Item = TextEncoding> {
        KNOWN.iter().map(TextEncoding)
    }

    /// The encoding of an archive of pg_dump.
    ///
    /// # Errors
    /// Why it cannot be read, as a phrase.
    pub fn of_pg_dump(name: &str) -> Result<Self, String> {
        let of_clients = Characters::of_encoding(name)
            .and_then(|(name, _)| OF_CLIENTS.iter().find(|known| known.name == name));
        match of_clients {
            Some(known) => Ok(TextEncoding(known)),
            None => name.parse(),
        }
    }

    /// Whether only clients may use it: in it a byte that looks like ASCII may be half of a character.
    pub(crate) fn is_of_clients_alone(self) -> bool {
        self.0.characters.is_some()
    }

    /// The encoding in which values of rows can be told: UTF-8 instead of one of clients alone.
    pub(crate) fn of_values(self) -> TextEncoding {
        match self.is_of_clients_alone() {
            true => TextEncoding::UTF8,
            false => self,
        }
    }

    /// Rows in [`TextEncoding::of_values`].
    ///
    /// # Errors
    /// `Data`: only a server can convert them.
    pub(crate) fn to_values(self, rows: &[u8]) -> Result<Cow<'_, [u8]>, Error> {
        if !self.is_of_clients_alone() {
            return Ok(Cow::Borrowed(rows));
        }
        match self.decode(rows) {
            Some(Cow::Borrowed(text)) => Ok(Cow::Borrowed(text.as_bytes())),
            Some(Cow::Owned(text)) => Ok(Cow::Owned(text.into_bytes())),
            None => Err(Error::new(
                ErrorKind::Data,
                format!(
                    "rows cannot be converted from {} without a server",
                    self.name()
                ),
            )
            .hint("Restore the table: the server converts them.")),
        }
    }

    /// The way back of a text that was made of such rows.
    ///
    /// # Errors
    /// A character that it has no bytes for.
    pub(crate) fn encode_values(self, text: Vec<u8>) -> Result<Vec<u8>, char> {
        match std::str::from_utf8(&text) {
            Ok(utf8) if self.is_of_clients_alone() => self.encode(utf8).map(Cow::into_owned),
            _ => Ok(text),
        }
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
        let mut of_browsers = of_browsers(self.name()).iter();
        let there = of_browsers.find(|(_, ours)| *ours == character);
        let mut buffer = [0; 4];
        let text = there.map_or(character, |(theirs, _)| *theirs);
        let text = text.encode_utf8(&mut buffer);
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
        let looks_like_ascii = encoded.iter().any(u8::is_ascii) && !self.is_of_clients_alone();
        if !is_itself || looks_like_ascii {
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
        if self.has_what_is_read_otherwise(bytes) {
            return None;
        }
        match self.0.table {
            Table::Whatwg(table, []) => {
                let text = table.decode_without_bom_handling_and_without_replacement(bytes)?;
                Some(self.read_as_postgres_does(text))
            }
            _ => bytes.iter().map(|&byte| self.decode_byte(byte)).collect(),
        }
    }

    fn read_as_postgres_does(self, text: Cow<'_, str>) -> Cow<'_, str> {
        let mut text = text;
        for (theirs, ours) in of_browsers(self.name()) {
            if text.contains(*theirs) {
                text = text.replace(*theirs, ours.encode_utf8(&mut [0; 4])).into();
            }
        }
        text
    }

    fn has_what_is_read_otherwise(self, mut bytes: &[u8]) -> bool {
        let codes = read_otherwise(self.name());
        let Some(characters) = self.0.characters.filter(|_| !codes.is_empty()) else {
            return false;
        };
        while let Some((character, rest)) = characters
            .first_length(bytes)
            .and_then(|length| bytes.split_at_checked(length))
        {
            let code = (character.iter()).fold(0_u32, |code, byte| code << 8 | u32::from(*byte));
            if codes.iter().any(|range| range.contains(&code)) {
                return true;
            }
            bytes = rest;
        }
        false
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
        let wanted = plain_name(name);
        let is = |known: &&Known| {
            plain_name(known.name) == wanted || known.aliases.contains(&wanted.as_str())
        };
        if let Some(known) = KNOWN.iter().find(is) {
            return Ok(TextEncoding(known));
        }
        Err(match Characters::of_encoding(name) {
            Some((known, _)) => format!(
                "in {known} a backslash or a quote may be half of a character, which no script is safe with"
            ),
            None => {
                let names: Vec<&str> = KNOWN.iter().map(|known| known.name).collect();
                format!("none of {}", names.join(", "))
            }
        })
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
    fn characters_are_postgres_own() {
        let dash = named("EUC_CN");
        assert_eq!(dash.decode(b"a\xa1\xaa").unwrap(), "a―");
        assert_eq!(dash.encode("a―・").unwrap(), &b"a\xa1\xaa\xa1\xa4"[..]);
        assert_eq!(dash.encode("—"), Err('—'));
        assert_eq!(named("EUC_JP").decode(b"\x8f\xa2\xc3").unwrap(), "￤");
    }

    #[test]
    fn encodings_of_clients_are_for_archives_of_pg_dump() {
        let of_pg_dump = |name| TextEncoding::of_pg_dump(name).unwrap();
        let sjis = of_pg_dump("Shift_JIS");
        assert_eq!(sjis.name(), "SJIS");
        for (encoding, text, bytes) in [
            (sjis, "表ソ能ｱ\\", &b"\x95\\\x83\\\x94\\\xb1\\"[..]),
            (of_pg_dump("BIG5"), "功", b"\xa5\\"),
            (of_pg_dump("GBK"), "乗", b"\x81\\"),
            (of_pg_dump("UHC"), "갂", b"\x81\x41"),
            (
                of_pg_dump("GB18030"),
                "乗\u{600}",
                b"\x81\\\x81\x30\xfe\x30",
            ),
        ] {
            assert_eq!(encoding.decode(bytes).unwrap(), text);
            assert_eq!(encoding.encode(text).unwrap(), bytes);
        }
        assert_eq!(of_pg_dump("EUC_JP"), named("EUC_JP"));
        assert_eq!(sjis.encode("¥"), Err('¥'));
        // Hiragana to PostgreSQL.
        assert_eq!(of_pg_dump("BIG5").decode(b"\xc6\xe8"), None);
        assert!(TextEncoding::of_pg_dump("JOHAB").is_err());
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
