//! Where characters end, in encodings in which a byte that looks like ASCII may be half of one.
//!
//! Only clients may use them (manual: "Character Set Support"). Text of SQL in them has to be read in whole characters, as psql
//! and pg_dump do with libpq's PQmblen (source: wchar.c).

use bytes::{BufMut, BytesMut};

/// How the length of a character is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Characters {
    /// Two bytes, but for ASCII.
    Double,
    /// The same, but for half-width kana.
    Kana,
    /// Two bytes, or four if the second is a digit.
    Gb18030,
    /// Two bytes, or three.
    Johab,
}

/// An encoding of clients alone: PostgreSQL's name, other names in lower case and without punctuation.
struct OfClients(&'static str, &'static [&'static str], Characters);

static OF_CLIENTS: [OfClients; 7] = [
    OfClients("BIG5", &["win950", "windows950"], Characters::Double),
    OfClients("GB18030", &[], Characters::Gb18030),
    OfClients("GBK", &["win936", "windows936"], Characters::Double),
    OfClients("JOHAB", &[], Characters::Johab),
    OfClients("SHIFT_JIS_2004", &[], Characters::Kana),
    OfClients(
        "SJIS",
        &["mskanji", "shiftjis", "win932", "windows932"],
        Characters::Kana,
    ),
    OfClients("UHC", &["win949", "windows949"], Characters::Double),
];

/// The letters and digits of an encoding's name, by which PostgreSQL knows it.
pub(crate) fn plain_name(name: &str) -> String {
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    letters.map(|c| c.to_ascii_lowercase()).collect()
}

impl Characters {
    /// Those of an encoding, with PostgreSQL's name for it; `None` where all that looks like ASCII is ASCII.
    pub(crate) fn of_encoding(name: &str) -> Option<(&'static str, Characters)> {
        let wanted = plain_name(name);
        let found = OF_CLIENTS.iter().find(|OfClients(known, others, _)| {
            plain_name(known) == wanted || others.contains(&wanted.as_str())
        });
        found.map(|OfClients(known, _, characters)| (*known, *characters))
    }

    /// The bytes of the first character; `None` if there are too few to tell.
    pub(crate) fn first_length(self, text: &[u8]) -> Option<usize> {
        match (self, text) {
            (_, []) => None,
            (_, [0..=0x7f, ..]) | (Characters::Kana, [0xa1..=0xdf, ..]) => Some(1),
            (Characters::Gb18030, [_]) => None,
            (Characters::Gb18030, [_, b'0'..=b'9', ..]) => Some(4),
            (Characters::Johab, [0x8f, ..]) => Some(3),
            _ => Some(2),
        }
    }

    /// Goes on with a copy of a text in which only the first byte of a character looks as it does, up to the last that is whole.
    /// Nothing takes a line break along. `last`: no bytes will be added to the text.
    pub(crate) fn hide_tails(self, text: &[u8], hidden: &mut BytesMut, last: bool) {
        while let Some(rest) = text.get(hidden.len()..).filter(|rest| !rest.is_empty()) {
            let length = match self.first_length(rest) {
                Some(length) if length <= rest.len() => length,
                _ if last => rest.len(),
                _ => return,
            };
            let tail = &rest[1..length];
            let tail = memchr::memchr(b'\n', tail).unwrap_or(tail.len());
            hidden.put_u8(rest[0]);
            hidden.put_bytes(0xff, tail);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn names_are_postgres_own() {
        for name in ["SJIS", "Shift_JIS", "windows-932", "MSKANJI"] {
            let found = Characters::of_encoding(name);
            assert_eq!(found, Some(("SJIS", Characters::Kana)), "{name}");
        }
        let found = Characters::of_encoding("shift-jis-2004");
        assert_eq!(found.unwrap().0, "SHIFT_JIS_2004");
        assert_eq!(Characters::of_encoding("EUC_JP"), None);
        assert_eq!(Characters::of_encoding("UTF8"), None);
    }

    #[test]
    fn only_first_bytes_are_seen() {
        let cases: [(Characters, &[u8], &[u8]); 5] = [
            (Characters::Kana, b"\x95\\'\xb6'\\", b"\x95\xff'\xb6'\\"),
            (Characters::Double, b"\xa5\\\\;", b"\xa5\xff\\;"),
            (
                Characters::Gb18030,
                b"\x810\x81\x30\x81\\a",
                b"\x81\xff\xff\xff\x81\xffa",
            ),
            (
                Characters::Johab,
                b"\x8fab;\x8e;;",
                b"\x8f\xff\xff;\x8e\xff;",
            ),
            (Characters::Double, b"\x95\n\\\x95", b"\x95\n\\\x95"),
        ];
        for (characters, text, seen) in cases {
            let mut whole = BytesMut::new();
            characters.hide_tails(text, &mut whole, true);
            assert_eq!(whole, seen, "{characters:?}");
            let mut grown = BytesMut::new();
            for end in 0..text.len() {
                characters.hide_tails(&text[..end], &mut grown, false);
                assert!(seen.starts_with(&grown), "{characters:?}");
            }
            characters.hide_tails(text, &mut grown, true);
            assert_eq!(grown, seen, "{characters:?}");
        }
    }
}
