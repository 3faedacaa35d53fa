//! Decompressing streams in constant memory. A stream that ends too early, or goes on behind its end, is an error in each of
//! them.

use std::io::{self, BufRead, Read};

use flate2::{Decompress, FlushDecompress, Status};

use super::toc::Algorithm;

/// Bytes decompressed.
pub(crate) enum Decoder<R: BufRead> {
    Plain(R),
    Zlib(Zlib<R>),
    Gzip(flate2::bufread::MultiGzDecoder<R>),
    Lz4(Lz4<R>),
    Zstd(zstd::stream::read::Decoder<'static, R>),
}

impl<R: BufRead> Decoder<R> {
    /// Of a block of a custom archive. A block without a byte holds nothing, whatever the algorithm.
    pub(crate) fn of_block(mut input: R, algorithm: Algorithm) -> io::Result<Self> {
        if input.fill_buf()?.is_empty() {
            return Ok(Decoder::Plain(input));
        }
        match algorithm {
            Algorithm::Gzip => Ok(Decoder::Zlib(Zlib {
                input,
                state: Decompress::new(true),
                is_done: false,
            })),
            _ => Decoder::of_file(input, algorithm),
        }
    }

    /// Of a file. Those in LZ4 and zstd are left empty if there was nothing to write.
    pub(crate) fn of_file(mut input: R, algorithm: Algorithm) -> io::Result<Self> {
        Ok(match algorithm {
            Algorithm::None => Decoder::Plain(input),
            Algorithm::Lz4 | Algorithm::Zstd if input.fill_buf()?.is_empty() => {
                Decoder::Plain(input)
            }
            Algorithm::Gzip => Decoder::Gzip(flate2::bufread::MultiGzDecoder::new(input)),
            Algorithm::Lz4 => Decoder::Lz4(Lz4::new(input)),
            Algorithm::Zstd => Decoder::Zstd(zstd::stream::read::Decoder::with_buffer(input)?),
        })
    }

    /// What it was made of; of use when it was read to its end.
    pub(crate) fn into_inner(self) -> R {
        match self {
            Decoder::Plain(input) => input,
            Decoder::Zlib(zlib) => zlib.input,
            Decoder::Gzip(gzip) => gzip.into_inner(),
            Decoder::Lz4(lz4) => lz4.decoder.into_inner().input,
            Decoder::Zstd(zstd) => zstd.finish(),
        }
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Decoder::Plain(input) => input.read(buffer),
            Decoder::Zlib(zlib) => zlib.read(buffer),
            Decoder::Gzip(gzip) => gzip.read(buffer),
            Decoder::Lz4(lz4) => lz4.read(buffer),
            Decoder::Zstd(zstd) => zstd.read(buffer),
        }
    }
}

/// A zlib stream (RFC 1950). flate2's reader takes one that is cut off for one that ends.
pub(crate) struct Zlib<R> {
    input: R,
    state: Decompress,
    is_done: bool,
}

impl<R: BufRead> Read for Zlib<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !buffer.is_empty() {
            let input = self.input.fill_buf()?;
            if self.is_done {
                return match input.is_empty() {
                    true => Ok(0),
                    false => Err(invalid("bytes follow the end of a compressed block")),
                };
            }
            let is_at_end = input.is_empty();
            let (read_before, written_before) = (self.state.total_in(), self.state.total_out());
            let status = self
                .state
                .decompress(input, buffer, FlushDecompress::None)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            let read = difference(self.state.total_in(), read_before);
            let written = difference(self.state.total_out(), written_before);
            self.input.consume(read);
            self.is_done = status == Status::StreamEnd;
            if written > 0 {
                return Ok(written);
            }
            // The last bytes may have been taken in before there was room for what they give.
            if read == 0 && !self.is_done {
                return Err(match is_at_end {
                    true => io::ErrorKind::UnexpectedEof.into(),
                    false => invalid("a compressed block makes no progress"),
                });
            }
        }
        Ok(0)
    }
}

fn difference(now: u64, before: u64) -> usize {
    usize::try_from(now - before).unwrap_or(usize::MAX)
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// LZ4 frames. lz4_flex takes a frame that is cut off before its end mark for one that ends: [`Watched`] tells them apart.
pub(crate) struct Lz4<R: BufRead> {
    decoder: lz4_flex::frame::FrameDecoder<Watched<R>>,
    is_done: bool,
}

impl<R: BufRead> Lz4<R> {
    fn new(input: R) -> Self {
        let watched = Watched {
            input,
            has_ended: false,
        };
        Lz4 {
            decoder: lz4_flex::frame::FrameDecoder::new(watched),
            is_done: false,
        }
    }
}

impl<R: BufRead> Read for Lz4<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !buffer.is_empty() && !self.is_done {
            let read = self.decoder.read(buffer)?;
            let watched = self.decoder.get_mut();
            if watched.has_ended {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            // The end of a frame: the next one follows, or nothing.
            if read > 0 {
                return Ok(read);
            }
            self.is_done = watched.input.fill_buf()?.is_empty();
        }
        Ok(0)
    }
}

/// Notes whether somebody read beyond the end.
struct Watched<R> {
    input: R,
    has_ended: bool,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.has_ended |= read == 0 && !buffer.is_empty();
        Ok(read)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::io::Write;

    use super::*;

    fn text() -> Vec<u8> {
        (0..60_000_u32)
            .flat_map(|n| format!("{n}\t{}\n", n * 7).into_bytes())
            .collect()
    }

    fn compressed(algorithm: Algorithm, is_block: bool) -> Vec<u8> {
        let text = text();
        match (algorithm, is_block) {
            (Algorithm::None, _) => text,
            (Algorithm::Gzip, true) => {
                let mut encoder =
                    flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(&text).unwrap();
                encoder.finish().unwrap()
            }
            (Algorithm::Gzip, false) => {
                let mut encoder =
                    flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(&text).unwrap();
                encoder.finish().unwrap()
            }
            (Algorithm::Lz4, _) => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
                encoder.write_all(&text).unwrap();
                encoder.finish().unwrap()
            }
            (Algorithm::Zstd, _) => zstd::encode_all(&text[..], 1).unwrap(),
        }
    }

    fn decompressed(bytes: &[u8], algorithm: Algorithm, is_block: bool) -> io::Result<Vec<u8>> {
        let mut decoder = match is_block {
            true => Decoder::of_block(bytes, algorithm)?,
            false => Decoder::of_file(bytes, algorithm)?,
        };
        let mut text = Vec::new();
        decoder.read_to_end(&mut text)?;
        // Whoever asks again at the end is told the same.
        assert_eq!(decoder.read(&mut [0; 8])?, 0);
        assert!(decoder.into_inner().is_empty());
        Ok(text)
    }

    #[test]
    fn every_algorithm_gives_the_text_back() {
        for is_block in [true, false] {
            for algorithm in [
                Algorithm::None,
                Algorithm::Gzip,
                Algorithm::Lz4,
                Algorithm::Zstd,
            ] {
                let bytes = compressed(algorithm, is_block);
                let found = decompressed(&bytes, algorithm, is_block).unwrap();
                assert!(found == text(), "{algorithm:?}");
            }
        }
    }

    #[test]
    fn streams_that_are_cut_or_too_long_are_errors() {
        for is_block in [true, false] {
            for algorithm in [Algorithm::Gzip, Algorithm::Lz4, Algorithm::Zstd] {
                let bytes = compressed(algorithm, is_block);
                for end in [
                    1,
                    3,
                    5,
                    7,
                    10,
                    bytes.len() / 2,
                    bytes.len() - 5,
                    bytes.len() - 4,
                    bytes.len() - 1,
                ] {
                    let cut = decompressed(&bytes[..end], algorithm, is_block);
                    assert!(
                        cut.is_err(),
                        "{algorithm:?} cut at {end} of {}",
                        bytes.len()
                    );
                }
                let longer = [&bytes[..], b"more"].concat();
                assert!(
                    decompressed(&longer, algorithm, is_block).is_err(),
                    "{algorithm:?}"
                );
            }
        }
    }

    #[test]
    fn a_block_without_a_byte_is_empty() {
        for algorithm in [Algorithm::Gzip, Algorithm::Lz4, Algorithm::Zstd] {
            assert_eq!(decompressed(b"", algorithm, true).unwrap(), b"");
            let as_file = decompressed(b"", algorithm, false);
            assert_eq!(as_file.is_err(), algorithm == Algorithm::Gzip);
        }
    }
}
