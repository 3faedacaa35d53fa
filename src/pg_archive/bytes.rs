//! The elements of an archive's header and table of contents: numbers, texts, offsets.
//!
//! A number is a byte for its sign and as many bytes as the header says, the lowest first. A text is a number of bytes and the
//! bytes, -1 for none. An offset is a byte for what is known of it and its bytes.

use std::io::Read;

use blake3::Hasher;

/// The most bytes of one text. A server refuses queries of 1 GiB, so no statement can be longer.
const MAX_TEXT_BYTES: u64 = 1 << 30;

/// The most bytes of one number.
pub(crate) const MAX_NUMBER_BYTES: usize = 32;

/// What is wrong with an archive, as a phrase, or what kept it from being read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The bytes are not those of an archive.
    #[error("{0}")]
    Damaged(String),
    /// A form that this version does not read.
    #[error("{0}")]
    Unsupported(String),
    /// The operating system's or the store's.
    #[error("{0}")]
    Io(std::io::Error),
}

/// What can be told of bytes that ended too early, or that a decompressor refused, is damage; the rest is not.
impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::UnexpectedEof => Fault::Damaged("it is cut off".to_owned()),
            std::io::ErrorKind::InvalidData
            | std::io::ErrorKind::InvalidInput
            // Decompressors' errors.
            | std::io::ErrorKind::Other => Fault::Damaged(format!("it is altered: {error}")),
            _ => Fault::Io(error),
        }
    }
}

/// Damage in words.
pub(crate) fn damaged(what: impl Into<String>) -> Fault {
    Fault::Damaged(what.into())
}

/// What the table of contents says of where an entry's data lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offset {
    /// The writer could not go back to fill it in.
    Unknown,
    /// There.
    At(u64),
    /// It has no data.
    NoData,
}

/// Reads elements one after the other and hashes all of their bytes.
pub(crate) struct Elements<R> {
    input: R,
    hasher: Hasher,
    /// Bytes read so far.
    pub(crate) at: u64,
    /// Bytes of a number, without its sign.
    pub(crate) number_bytes: usize,
    /// Bytes of an offset.
    pub(crate) offset_bytes: usize,
}

impl<R: Read> Elements<R> {
    /// The sizes are set when the header has told them.
    pub(crate) fn new(input: R) -> Self {
        Elements {
            input,
            hasher: Hasher::new(),
            at: 0,
            number_bytes: 4,
            offset_bytes: 8,
        }
    }

    /// Fills a buffer.
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) -> Result<(), Fault> {
        self.input.read_exact(buffer)?;
        self.hasher.update(buffer);
        self.at += buffer.len() as u64;
        Ok(())
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Fault> {
        let mut byte = [0];
        self.fill(&mut byte)?;
        Ok(byte[0])
    }

    /// A number between -2^31 and 2^32: large objects' numbers are written without regard to the sign.
    pub(crate) fn number(&mut self) -> Result<i64, Fault> {
        let mut bytes = [0; 1 + MAX_NUMBER_BYTES];
        let bytes = &mut bytes[..=self.number_bytes];
        self.fill(bytes)?;
        number_of(bytes)
    }

    /// A count or a number that identifies something.
    pub(crate) fn unsigned(&mut self) -> Result<u32, Fault> {
        self.number().and_then(as_unsigned)
    }

    /// A text in whatever encoding; `None` if there is none. Takes no more memory than there are bytes.
    pub(crate) fn text(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        let length = self.number()?;
        if length < 0 {
            return Ok(None);
        }
        let length = length.unsigned_abs();
        if length > MAX_TEXT_BYTES {
            return Err(damaged("a text is longer than any statement can be"));
        }
        let mut text = Vec::new();
        // A length that lies is found out by the end of the bytes, before memory of that size is taken.
        let read = self.input.by_ref().take(length).read_to_end(&mut text)?;
        if read as u64 != length {
            return Err(damaged("it is cut off"));
        }
        self.hasher.update(&text);
        self.at += length;
        Ok(Some(text))
    }

    pub(crate) fn offset(&mut self) -> Result<Offset, Fault> {
        let state = self.byte()?;
        let mut bytes = [0; MAX_NUMBER_BYTES];
        let bytes = &mut bytes[..self.offset_bytes];
        self.fill(bytes)?;
        match state {
            1 => Ok(Offset::Unknown),
            2 => Ok(Offset::At(lowest_first(bytes)?)),
            3 => Ok(Offset::NoData),
            _ => Err(damaged("an offset is none")),
        }
    }

    /// BLAKE3 of all that was read.
    pub(crate) fn hash(&self) -> blake3::Hash {
        self.hasher.finalize()
    }
}

/// A number of its sign and its bytes.
pub(crate) fn number_of(bytes: &[u8]) -> Result<i64, Fault> {
    let (sign, bytes) = bytes
        .split_first()
        .ok_or_else(|| damaged("a number is none"))?;
    let value = i64::try_from(lowest_first(bytes)?);
    match (sign, value) {
        (0, Ok(value)) if value <= i64::from(u32::MAX) => Ok(value),
        (1, Ok(value)) if value <= 1 << 31 => Ok(-value),
        _ => Err(damaged("a number is none")),
    }
}

/// A number beyond 2^31 is written as a negative one.
pub(crate) fn as_unsigned(number: i64) -> Result<u32, Fault> {
    match i32::try_from(number) {
        Ok(number) => Ok(number.cast_unsigned()),
        Err(_) => u32::try_from(number).map_err(|_| damaged("a number is out of range")),
    }
}

/// What goes beyond 8 bytes must be zero.
fn lowest_first(bytes: &[u8]) -> Result<u64, Fault> {
    let (low, high) = bytes.split_at(bytes.len().min(8));
    if high.iter().any(|byte| *byte != 0) {
        return Err(damaged("a number is out of range"));
    }
    let mut value = [0; 8];
    value[..low.len()].copy_from_slice(low);
    Ok(u64::from_le_bytes(value))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_a_sign_of_their_own() {
        let mut elements = Elements::new(&b"\0\x01\x02\0\0\x01\x01\0\0\0\x02\0\0\0\0"[..]);
        assert_eq!(elements.number().unwrap(), 0x201);
        assert_eq!(elements.number().unwrap(), -1);
        assert!(elements.number().is_err());
    }

    #[test]
    fn numbers_of_large_objects_may_exceed_two_billion() {
        // 4294967295 as the writer has it: -1.
        let mut elements = Elements::new(&b"\x01\x01\0\0\0"[..]);
        assert_eq!(elements.unsigned().unwrap(), u32::MAX);
    }

    #[test]
    fn a_length_beyond_the_end_takes_no_memory() {
        let mut elements = Elements::new(&b"\0\0\0\0\x30abc"[..]);
        assert!(matches!(elements.text(), Err(Fault::Damaged(_))));
        let mut elements = Elements::new(&b"\0\0\0\0\x50abc"[..]);
        assert!(matches!(elements.text(), Err(Fault::Damaged(_))));
    }

    #[test]
    fn texts_may_be_absent() {
        let mut elements = Elements::new(&b"\x01\x01\0\0\0\0\x02\0\0\0ab"[..]);
        assert_eq!(elements.text().unwrap(), None);
        assert_eq!(elements.text().unwrap().unwrap(), b"ab");
        assert_eq!(elements.at, 12);
    }
}
