//! gzip members (RFC 1952). libdeflate makes and reads them; with the cargo feature `isal` the assembler of ISA-L does
//! where it is faster: it makes those of level 1, the default, and reads all, except the short ones, for which it takes
//! longer to prepare itself than to do the work. What is stored is plain gzip either way.

use crate::{Error, Result};

/// libdeflate's fastest level; the only one that ISA-L stands in for, as it has none that compresses better.
///
/// ISA-L does it at its level 2. Members of 4 MiB of rows, on one core:
///
/// | ISA-L's level | 1 | 2 | 3 |
/// |---|---|---|---|
/// | text and jsonb, MB/s | 404 | 352 | 260 |
/// | size, of `gzip -6` | 1.08 | 1.05 | 1.03 |
/// | numbers, MB/s | 377 | 327 | 283 |
/// | size, of `gzip -6` | 1.01 | 1.01 | 1.01 |
#[cfg(feature = "isal")]
const FASTEST_LEVEL: i32 = 1;

/// ISA-L clears some 80 KB before it starts. Shorter texts are compressed and read by libdeflate, which keeps its state.
#[cfg(feature = "isal")]
const WORTH_ISAL_BYTES: usize = 16 << 10;

/// Makes members of one level; keeps the compressor's state.
pub(super) struct GzipEncoder {
    libdeflate: libdeflater::Compressor,
    #[cfg(feature = "isal")]
    isal: Option<igzip::Compressor>,
}

impl GzipEncoder {
    /// A level that libdeflate does not have, counts as the nearest.
    pub(super) fn new(level: i32) -> Self {
        let level = level.clamp(1, 12);
        let known = libdeflater::CompressionLvl::new(level)
            .unwrap_or_else(|_| libdeflater::CompressionLvl::default());
        GzipEncoder {
            libdeflate: libdeflater::Compressor::new(known),
            #[cfg(feature = "isal")]
            isal: (level == FASTEST_LEVEL).then(igzip::Compressor::default),
        }
    }

    /// Overwrites `stored` with a member from its start; gives the member's length. `stored` only ever grows: what comes
    /// behind is left from earlier texts.
    pub(super) fn compress(&mut self, text: &[u8], stored: &mut Vec<u8>) -> Result<usize> {
        // Enough for blocks that are stored as they are, which is all that ISA-L asks for.
        let bound = self.libdeflate.gzip_compress_bound(text.len());
        if stored.len() < bound {
            stored.resize(bound, 0);
        }
        #[cfg(feature = "isal")]
        if let Some(isal) = &mut self.isal
            && text.len() >= WORTH_ISAL_BYTES
        {
            return (isal.gzip(text, stored)).map_err(could_not_compress);
        }
        (self.libdeflate.gzip_compress(text, stored)).map_err(could_not_compress)
    }
}

fn could_not_compress(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::internal("could not compress a member").caused_by(error)
}

/// Reads a member, of which `text` is as long as its text should be; gives the number of bytes.
///
/// # Errors
/// What is wrong, as a phrase: no gzip, another CRC-32 or length than its trailer's, a text longer than `text`, or bytes that follow.
pub(super) fn gunzip(stored: &[u8], text: &mut [u8]) -> Result<usize, String> {
    #[cfg(feature = "isal")]
    if text.len() >= WORTH_ISAL_BYTES {
        return gunzip_with_isal(stored, text);
    }
    gunzip_with_libdeflate(stored, text)
}

fn gunzip_with_libdeflate(stored: &[u8], text: &mut [u8]) -> Result<usize, String> {
    let length = libdeflater::Decompressor::new()
        .gzip_decompress(stored, text)
        .map_err(|e| format!("gzip: {e}"))?;
    ends_with_length(stored, length)
}

#[cfg(feature = "isal")]
fn gunzip_with_isal(stored: &[u8], text: &mut [u8]) -> Result<usize, String> {
    let length =
        isal::decompress_into(stored, text, isal::Codec::Gzip).map_err(|e| format!("gzip: {e}"))?;
    ends_with_length(stored, length)
}

/// Neither library says where the member ended, and both ignore what follows: the last four bytes must be ISIZE.
fn ends_with_length(stored: &[u8], length: usize) -> Result<usize, String> {
    let isize = stored.last_chunk().map(|bytes| u32::from_le_bytes(*bytes));
    if isize.is_none_or(|isize| u64::from(isize) != length as u64) {
        return Err("gzip: bytes follow the member".to_owned());
    }
    Ok(length)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::process::{Command, Stdio};

    type Decoder = fn(&[u8], &mut [u8]) -> Result<usize, String>;

    const DECODERS: &[(&str, Decoder)] = &[
        ("libdeflate", gunzip_with_libdeflate),
        #[cfg(feature = "isal")]
        ("ISA-L", gunzip_with_isal),
        ("by length", gunzip),
    ];

    fn compressed(level: i32, text: &[u8]) -> Vec<u8> {
        compressed_by(&mut GzipEncoder::new(level), text)
    }

    fn compressed_by(encoder: &mut GzipEncoder, text: &[u8]) -> Vec<u8> {
        let mut stored = Vec::new();
        let length = encoder.compress(text, &mut stored).unwrap();
        stored.truncate(length);
        stored
    }

    /// Of both libraries, whichever are in.
    fn encoders() -> Vec<GzipEncoder> {
        let mut encoders: Vec<_> = [1, 2, 6].map(GzipEncoder::new).into();
        #[cfg(feature = "isal")]
        encoders.push(GzipEncoder {
            isal: None,
            ..GzipEncoder::new(FASTEST_LEVEL)
        });
        encoders
    }

    /// Rows that compress like rows: numbers, words, dates.
    fn rows(bytes: usize) -> Vec<u8> {
        let mut seed = 42_u64;
        let mut text = Vec::new();
        while text.len() < bytes {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let word =
                ["customer", "order", "\\N", "Straße", "{\"a\": 1}"][(seed >> 61) as usize % 5];
            let row = format!("{}\t{word}\t2025-01-{:02}\n", seed >> 33, (seed >> 40) % 31);
            text.extend(row.into_bytes());
        }
        text.truncate(bytes);
        text
    }

    fn noise(bytes: usize) -> Vec<u8> {
        let mut seed = 7_u64;
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            seed.to_be_bytes()[0]
        };
        (0..bytes).map(|_| next()).collect()
    }

    /// Of all lengths at which something changes: blocks stored as they are, what is worth ISA-L, its own blocks.
    fn texts() -> Vec<Vec<u8>> {
        let lengths = [
            1,
            255,
            (16 << 10) - 1,
            16 << 10,
            65_535,
            65_536,
            131_073,
            5 << 20,
        ];
        let mut texts: Vec<_> = lengths.into_iter().map(rows).collect();
        texts.extend(lengths.into_iter().map(noise));
        texts.extend(lengths.into_iter().map(|bytes| vec![0; bytes]));
        texts.push(Vec::new());
        texts
    }

    #[test]
    fn every_decoder_and_a_foreign_one_read_what_every_encoder_makes() {
        for (which, mut encoder) in encoders().into_iter().enumerate() {
            for text in texts() {
                let stored = compressed_by(&mut encoder, &text);
                for (name, decoder) in DECODERS {
                    let mut buffer = vec![b'-'; text.len()];
                    assert_eq!(decoder(&stored, &mut buffer), Ok(text.len()), "{name}");
                    assert!(buffer == text, "{name}, {which}, {}", text.len());
                }
                let mut foreign = Vec::new();
                let mut reader = flate2::read::GzDecoder::new(&stored[..]);
                reader.read_to_end(&mut foreign).unwrap();
                assert!(foreign == text);
            }
        }
    }

    #[test]
    fn gzip_itself_reads_members_of_every_kind() {
        let texts = texts();
        let file: Vec<u8> = texts.iter().flat_map(|text| compressed(1, text)).collect();
        let mut gzip = Command::new("gzip")
            .arg("-dc")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = gzip.stdin.take().unwrap();
        let writer = std::thread::spawn(move || input.write_all(&file));
        let output = gzip.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        assert!(output.status.success());
        assert!(output.stdout == texts.concat());
    }

    #[test]
    fn an_encoder_makes_the_same_bytes_again_whatever_came_between() {
        let mut encoder = GzipEncoder::new(1);
        let mut stored = Vec::new();
        for text in texts() {
            let length = encoder.compress(&text, &mut stored).unwrap();
            assert!(stored[..length] == compressed(1, &text));
            encoder.compress(&noise(70_000), &mut stored).unwrap();
            let length = encoder.compress(&text, &mut stored).unwrap();
            assert!(stored[..length] == compressed(1, &text));
        }
    }

    #[test]
    fn no_cut_member_is_read() {
        for (text, step) in [(rows(2000), 1), (noise(500), 1), (rows(40_000), 61)] {
            let stored = compressed(1, &text);
            for (name, decoder) in DECODERS {
                let mut buffer = vec![0; text.len()];
                assert_eq!(decoder(&stored, &mut buffer), Ok(text.len()), "{name}");
                for length in (0..stored.len()).rev().step_by(step) {
                    assert!(decoder(&stored[..length], &mut buffer).is_err(), "{name}");
                }
            }
        }
    }

    #[test]
    fn no_flipped_bit_changes_the_text_unnoticed() {
        // Blocks with fixed codes, dynamic ones, none; a long text, of which some bits must do.
        for (text, step) in [
            (rows(40), 1),
            (rows(2000), 1),
            (noise(500), 1),
            (rows(40_000), 97),
        ] {
            let stored = compressed(1, &text);
            for (name, decoder) in DECODERS {
                for bit in (0..stored.len() * 8).step_by(step) {
                    let mut damaged = stored.clone();
                    damaged[bit / 8] ^= 1 << (bit % 8);
                    let mut buffer = vec![0; text.len()];
                    let outcome = decoder(&damaged, &mut buffer);
                    // Some bits mean nothing: the header's time, the padding before a stored block.
                    let is_harmless = outcome == Ok(text.len()) && buffer == text;
                    assert!(outcome.is_err() || is_harmless, "{name}: bit {bit}");
                }
            }
        }
    }

    #[test]
    fn a_wrong_trailer_and_bytes_behind_it_are_refused() {
        let text = rows(20_000);
        let stored = compressed(1, &text);
        let end = stored.len();
        for (name, decoder) in DECODERS {
            let mut buffer = vec![0; text.len()];
            let mut refuses =
                |stored: &[u8]| assert!(decoder(stored, &mut buffer).is_err(), "{name}");
            let mut other_checksum = stored.clone();
            other_checksum[end - 8..end - 4].copy_from_slice(&7_u32.to_le_bytes());
            refuses(&other_checksum);
            let mut other_length = stored.clone();
            other_length[end - 4..].copy_from_slice(&19_999_u32.to_le_bytes());
            refuses(&other_length);
            for behind in [
                &[0][..],
                &[0; 8],
                &compressed(1, b"a second one"),
                &rows(100),
            ] {
                refuses(&[&stored, behind].concat());
            }
        }
    }

    #[test]
    fn a_text_of_another_length_is_never_taken_for_this_one() {
        let stored = compressed(1, &rows(20_000));
        for (name, decoder) in DECODERS {
            for length in [0, 1, 16_384, 19_999] {
                assert!(decoder(&stored, &mut vec![0; length]).is_err(), "{name}");
            }
            // Codec::decode compares the length.
            assert_eq!(decoder(&stored, &mut vec![0; 20_001]), Ok(20_000), "{name}");
        }
    }

    proptest::proptest! {
        #[test]
        fn bytes_of_any_kind_are_survived(
            junk in proptest::collection::vec(proptest::num::u8::ANY, 0..2000),
            place in 0..4000_usize,
        ) {
            let mut damaged = compressed(1, &rows(20_000));
            let place = place.min(damaged.len());
            let end = damaged.len().min(place + junk.len());
            damaged.splice(place..end, junk.iter().copied());
            let headed = [&damaged[..10], &junk].concat();
            for (_, decoder) in DECODERS {
                for stored in [&damaged, &junk, &headed] {
                    // An equal piece may have been put in.
                    let mut text = vec![0; 20_000];
                    if decoder(stored, &mut text) == Ok(20_000) {
                        proptest::prop_assert!(text == rows(20_000));
                    }
                }
            }
        }
    }
}
