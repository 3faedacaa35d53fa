//! Buffers that are used again. Memory that comes fresh from the kernel costs a fault and zeros for every page of it: for
//! members of 4 MiB that is a tenth of what a restore costs.

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

/// So many are kept for later: as many as eight connections have in flight.
const KEPT_BUFFERS: usize = 16;

/// Capacities of larger ones are multiples of this: members of almost the same length can have the same buffer.
const STEP_BYTES: usize = 256 << 10;

/// Of which capacity they are: smaller ones the allocator has at hand, larger ones, of a row larger than a member, are rare.
const KEPT_BYTES: RangeInclusive<usize> = STEP_BYTES..=6 << 20;

/// Where buffers wait. Shared between threads.
#[derive(Debug, Default)]
pub(super) struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

/// A buffer of a certain length, which goes back to where it came from.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    /// Never shorter than what is asked for: bytes behind that are left from earlier uses.
    bytes: Vec<u8>,
    length: usize,
    home: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Buffers {
    /// A buffer of so many bytes, whose contents are to be overwritten.
    ///
    /// # Errors
    /// A phrase: there is no memory.
    pub(super) fn take(&self, length: u64) -> Result<Buffer, String> {
        let length = usize::try_from(length).map_err(|e| e.to_string())?;
        let mut bytes = match length {
            STEP_BYTES.. => {
                (self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()).unwrap_or_default()
            }
            _ => Vec::new(),
        };
        if bytes.capacity() < length {
            bytes = reserved(length)?;
        }
        if bytes.len() < length {
            bytes.resize(length, 0);
        }
        Ok(Buffer {
            bytes,
            length,
            home: Arc::clone(&self.0),
        })
    }
}

fn reserved(length: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let capacity = match length {
        STEP_BYTES.. => length.checked_next_multiple_of(STEP_BYTES),
        _ => Some(length),
    };
    capacity
        .and_then(|capacity| bytes.try_reserve_exact(capacity).ok())
        .map(|()| bytes)
        .ok_or_else(|| format!("no memory for {length} bytes"))
}

impl Buffer {
    /// Its bytes.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.length]
    }

    /// Forgets what comes behind.
    pub(super) fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    /// What it takes of memory.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Its bytes for good.
    pub(super) fn into_vec(mut self) -> Vec<u8> {
        self.bytes.truncate(self.length);
        std::mem::take(&mut self.bytes)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut kept = self.home.lock().unwrap_or_else(PoisonError::into_inner);
        if KEPT_BYTES.contains(&self.bytes.capacity()) && kept.len() < KEPT_BUFFERS {
            kept.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_with_the_length_that_is_asked_for() {
        let buffers = Buffers::default();
        let mut first = buffers.take(4 << 20).unwrap();
        first.bytes_mut().fill(b'x');
        let place = first.as_ref().as_ptr();
        drop(first);
        let mut second = buffers.take(1 << 20).unwrap();
        assert_eq!(
            (second.as_ref().len(), second.as_ref().as_ptr()),
            (1 << 20, place)
        );
        second.truncate(4);
        assert_eq!(second.into_vec(), b"xxxx");
        assert_eq!(buffers.take(7).unwrap().as_ref(), [0; 7]);
        assert!(buffers.take(u64::MAX).is_err());
    }

    #[test]
    fn small_and_large_buffers_are_not_kept() {
        let buffers = Buffers::default();
        for length in [1, 100 << 10, 7 << 20] {
            drop(buffers.take(length).unwrap());
        }
        assert_eq!(buffers.0.lock().unwrap().len(), 0);
    }
}
