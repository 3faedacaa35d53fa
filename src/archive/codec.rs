//! How one piece of the archive (a member, the index) becomes stored bytes and text again.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use super::MAX_MEMBER_LENGTH;
use super::buffers::{Buffer, Buffers};
use super::gzip::{GzipEncoder, gunzip};
use crate::{Error, Result};

/// How members are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Plain `.sql`.
    None,
    /// `.sql.gz`, levels 1 to 12 of libdeflate; 1 is ISA-L's if the feature `isal` is in.
    Gzip(i32),
    /// `.sql.zst`, [`ZSTD_LEVELS`] but for 0.
    Zstd(i32),
    /// `.sql.gz`, each member at one of [`Compression::levels`].
    GzipAuto,
    /// `.sql.zst`, each member at one of [`Compression::levels`].
    ZstdAuto,
}

/// The levels of zstd: those below 0 are faster yet. Above, more memory would be wanted for decompression, too.
pub const ZSTD_LEVELS: RangeInclusive<i32> = -7..=19;

impl Default for Compression {
    /// The size of gzip -6, at many times its speed.
    fn default() -> Self {
        Compression::Gzip(1)
    }
}

impl std::fmt::Display for Compression {
    /// As `-Z` takes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Compression::None => f.write_str("none"),
            Compression::Gzip(level) => write!(f, "gzip:{level}"),
            Compression::Zstd(level) => write!(f, "zstd:{level}"),
            Compression::GzipAuto => f.write_str("gzip:auto"),
            Compression::ZstdAuto => f.write_str("zstd:auto"),
        }
    }
}

impl Compression {
    /// What it may mean, from the fastest to the smallest; never empty.
    pub fn levels(self) -> Vec<Compression> {
        match self {
            Compression::GzipAuto => [1, 4, 6, 8, 9].map(Compression::Gzip).to_vec(),
            Compression::ZstdAuto => [1, 5, 7, 9, 12].map(Compression::Zstd).to_vec(),
            one => vec![one],
        }
    }

    /// The stored form, without the level.
    pub fn codec(self) -> Codec {
        match self {
            Compression::None => Codec::None,
            Compression::Gzip(_) | Compression::GzipAuto => Codec::Gzip,
            Compression::Zstd(_) | Compression::ZstdAuto => Codec::Zstd,
        }
    }
}

/// The stored form of an archive's pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// Bytes as they are.
    None,
    /// gzip members.
    Gzip,
    /// zstd frames.
    Zstd,
}

impl Codec {
    /// All of them.
    pub const ALL: [Codec; 3] = [Codec::Gzip, Codec::Zstd, Codec::None];

    /// `none`, `gzip`, `zstd`.
    pub fn as_str(self) -> &'static str {
        match self {
            Codec::None => "none",
            Codec::Gzip => "gzip",
            Codec::Zstd => "zstd",
        }
    }

    /// The usual end of a file's name, without a leading dot.
    pub fn extension(self) -> &'static str {
        match self {
            Codec::None => "sql",
            Codec::Gzip => "sql.gz",
            Codec::Zstd => "sql.zst",
        }
    }

    /// The most text that so many stored bytes can hold. Whoever claims more lies, and gets no memory.
    fn most_text(self, stored_length: u64) -> u64 {
        let ratio = match self {
            Codec::None => 1,
            // RFC 1951: a match of 258 bytes takes at least 2 bits.
            Codec::Gzip => 1032,
            // RFC 8878: a block holds at most 128 KiB and takes at least 4 bytes.
            Codec::Zstd => 32_768,
        };
        stored_length.saturating_mul(ratio)
    }

    /// The text of one piece, of which the index says how long it is.
    ///
    /// # Errors
    /// What is wrong with it, as a phrase: not decompressible, or of another length.
    pub(super) fn decode(
        self,
        stored: Buffer,
        length: u64,
        texts: &Buffers,
    ) -> Result<Buffer, String> {
        let stored_length = stored.as_ref().len() as u64;
        if length > MAX_MEMBER_LENGTH || length > self.most_text(stored_length) {
            return Err(format!(
                "{stored_length} stored bytes cannot hold the {length} bytes that are claimed"
            ));
        }
        let into_text = |decompress: fn(&[u8], &mut [u8]) -> Result<usize, String>| {
            let mut text = texts.take(length)?;
            let written = decompress(stored.as_ref(), text.bytes_mut())?;
            text.truncate(written);
            Ok::<_, String>(text)
        };
        let text = match self {
            Codec::None => stored,
            Codec::Gzip => into_text(gunzip)?,
            Codec::Zstd => into_text(unzstd)?,
        };
        let found = text.as_ref().len() as u64;
        if found != length {
            return Err(format!("decompresses to {found} bytes instead of {length}"));
        }
        Ok(text)
    }
}

/// Gives the number of bytes.
fn unzstd(stored: &[u8], text: &mut [u8]) -> Result<usize, String> {
    zstd::bulk::Decompressor::new()
        .and_then(|mut decompressor| decompressor.decompress_to_buffer(stored, text))
        .map_err(|e| format!("zstd: {e}"))
}

/// Compresses pieces; keeps the compressor's state and a buffer between calls.
pub(super) struct PieceEncoder {
    compressor: Compressor,
    scratch: Vec<u8>,
}

enum Compressor {
    None,
    Gzip(GzipEncoder),
    Zstd(i32, Option<zstd::bulk::Compressor<'static>>),
}

impl PieceEncoder {
    /// A level out of range counts as the nearest, one that is left open as the fastest.
    pub(super) fn new(compression: Compression) -> Self {
        let compressor = match compression {
            Compression::None => Compressor::None,
            Compression::Gzip(level) => Compressor::Gzip(GzipEncoder::new(level)),
            Compression::Zstd(level) => {
                Compressor::Zstd(level.clamp(*ZSTD_LEVELS.start(), *ZSTD_LEVELS.end()), None)
            }
            Compression::GzipAuto => Compressor::Gzip(GzipEncoder::new(1)),
            Compression::ZstdAuto => Compressor::Zstd(1, None),
        };
        PieceEncoder {
            compressor,
            scratch: Vec::new(),
        }
    }

    /// The stored bytes of a text.
    pub(super) fn encode<'t>(&mut self, text: impl Into<Cow<'t, [u8]>>) -> Result<Vec<u8>> {
        let text = text.into();
        if text.len() as u64 > MAX_MEMBER_LENGTH {
            return Err(Error::internal(format!(
                "a member of {} bytes exceeds the format's limit",
                text.len()
            )));
        }
        let scratch = &mut self.scratch;
        let length = match &mut self.compressor {
            Compressor::None => return Ok(text.into_owned()),
            Compressor::Gzip(encoder) => encoder.compress(&text, scratch)?,
            Compressor::Zstd(level, compressor) => {
                scratch.resize(zstd::zstd_safe::compress_bound(text.len()), 0);
                zstd_compressor(*level, compressor)
                    .and_then(|compressor| compressor.compress_to_buffer(&text, scratch))
                    .map_err(|e| Error::io("could not compress a member", e))?
            }
        };
        Ok(scratch[..length].to_vec())
    }
}

fn zstd_compressor<'a>(
    level: i32,
    slot: &'a mut Option<zstd::bulk::Compressor<'static>>,
) -> std::io::Result<&'a mut zstd::bulk::Compressor<'static>> {
    if let Some(compressor) = slot {
        return Ok(compressor);
    }
    let mut compressor = zstd::bulk::Compressor::new(level)?;
    compressor.include_checksum(true)?; // so that `zstd -t` finds damage, too
    Ok(slot.insert(compressor))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::io::Read;

    const ALL: [Compression; 6] = [
        Compression::None,
        Compression::Gzip(1),
        Compression::Gzip(12),
        Compression::Zstd(-7),
        Compression::Zstd(1),
        Compression::Zstd(19),
    ];

    fn decode(codec: Codec, stored: &[u8], length: u64) -> Result<Vec<u8>, String> {
        let buffers = Buffers::default();
        let mut buffer = buffers.take(stored.len() as u64)?;
        buffer.bytes_mut().copy_from_slice(stored);
        codec.decode(buffer, length, &buffers).map(Buffer::into_vec)
    }

    #[test]
    fn every_codec_gives_back_the_text() {
        let text = "a row of text\t42\n".repeat(5000).into_bytes();
        for compression in ALL {
            let mut encoder = PieceEncoder::new(compression);
            for text in [&text[..], b"\n", &text[7..900]] {
                let stored = encoder.encode(text).unwrap();
                let decoded = decode(compression.codec(), &stored, text.len() as u64);
                assert_eq!(decoded.unwrap(), text);
            }
        }
    }

    #[test]
    fn other_lengths_and_bombs_are_refused() {
        for compression in ALL {
            let codec = compression.codec();
            let stored = PieceEncoder::new(compression)
                .encode(b"twelve bytes")
                .unwrap();
            assert!(decode(codec, &stored, 11).is_err());
            assert!(decode(codec, &stored, 13).is_err());
            assert!(decode(codec, &stored, u64::MAX).is_err());
        }
    }

    #[test]
    fn most_text_is_beyond_what_zeros_compress_to() {
        let zeros = vec![0; 64 << 20];
        for compression in ALL {
            let stored = PieceEncoder::new(compression).encode(&zeros).unwrap();
            assert!(compression.codec().most_text(stored.len() as u64) >= zeros.len() as u64);
        }
    }

    #[test]
    fn gzip_members_are_plain_gzip() {
        let mut encoder = PieceEncoder::new(Compression::Gzip(1));
        let mut file = encoder.encode(b"one\n").unwrap();
        file.extend(encoder.encode(b"two\n").unwrap());
        let mut text = String::new();
        flate2::read::MultiGzDecoder::new(&file[..])
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "one\ntwo\n");
    }
}
