//! gzip by ISA-L's level 2, in one call. The crate isal-rs, by which pgstow reads gzip, offers the levels 0, 1 and 3 alone; level 2 is nine tenths
//! as fast as 1, and what it makes a hundredth larger than what 3 does. All `unsafe` code of pgstow is here.
//!
//! Source: `igzip_lib.h` of ISA-L, `isal_deflate_stateless`.

use std::mem::MaybeUninit;

use isal_sys::igzip_lib as isal;

const LEVEL: u32 = 2;

#[allow(clippy::cast_possible_truncation, reason = "it is 1")]
const GZIP: u16 = isal::IGZIP_GZIP as u16;

/// What ISA-L works in, used again for each text.
pub struct Compressor {
    level_buf: Vec<u8>,
}

impl Default for Compressor {
    fn default() -> Self {
        Compressor {
            level_buf: vec![0; isal::ISAL_DEF_LVL2_DEFAULT as usize],
        }
    }
}

/// ISA-L could not compress: the code that it gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed(pub i32);

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ISA-L gave the code {}", self.0)
    }
}

impl std::error::Error for Failed {}

impl Compressor {
    /// Overwrites the start of `member` with a gzip member (RFC 1952) that holds `text`; gives its length. The same text gives the same member,
    /// whatever came before.
    ///
    /// # Errors
    /// The code of ISA-L: `member` is too short, or one of both is 4 GiB long or more.
    pub fn gzip(&mut self, text: &[u8], member: &mut [u8]) -> Result<usize, Failed> {
        let length =
            |bytes: usize| u32::try_from(bytes).map_err(|_| Failed(isal::STATELESS_OVERFLOW));
        // SAFETY: of numbers and raw pointers, for which zeros are values.
        let mut stream: isal::isal_zstream = unsafe { MaybeUninit::zeroed().assume_init() };
        // SAFETY: the pointer is to a stream; the call sets fields of it, among them `flush`, to none.
        unsafe { isal::isal_deflate_stateless_init(&raw mut stream) };
        stream.level = LEVEL;
        stream.level_buf = self.level_buf.as_mut_ptr();
        stream.level_buf_size = length(self.level_buf.len())?;
        stream.gzip_flag = GZIP;
        stream.end_of_stream = 1;
        stream.next_in = text.as_ptr().cast_mut();
        stream.avail_in = length(text.len())?;
        stream.next_out = member.as_mut_ptr();
        stream.avail_out = length(member.len())?;
        // SAFETY: the pointers are to memory of the lengths beside them, which lives until the call has ended. ISA-L only reads what `next_in`
        // points to, writes no more than `avail_out` bytes, and keeps nothing.
        let code = unsafe { isal::isal_deflate_stateless(&raw mut stream) };
        match code {
            0 => Ok(stream.total_out as usize),
            code => Err(Failed(code)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_has_no_room_is_an_error() {
        let text: Vec<u8> = (0..100_000_u32)
            .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
            .collect();
        let mut compressor = Compressor::default();
        let mut member = vec![0; 500_000];
        let whole = compressor.gzip(&text, &mut member).unwrap();
        for room in [0, 1, 20, whole - 1] {
            let mut member = vec![7; whole];
            assert!(
                compressor.gzip(&text, &mut member[..room]).is_err(),
                "{room} of {whole}"
            );
            assert!(member[room..].iter().all(|byte| *byte == 7));
        }
        let mut again = vec![0; whole];
        assert_eq!(compressor.gzip(&text, &mut again), Ok(whole));
        assert!(again == member[..whole]);
    }
}
