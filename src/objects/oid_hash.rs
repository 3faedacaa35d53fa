//! Maps by what has an OID. A catalog of 50 000 tables has a million rows that name two million others: most of the time
//! that took was spent on hashing, and on waiting for memory that a good hash scatters them over.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

/// A map by [`super::Oid`], [`super::CatalogId`] or [`super::ObjectId`].
pub type OidMap<K, V> = HashMap<K, V, BuildHasherDefault<OidHasher>>;

/// A set of the same.
pub type OidSet<K> = HashSet<K, BuildHasherDefault<OidHasher>>;

/// OIDs come from one counter, so the number itself spreads well enough, and neighbours in the catalogs become neighbours
/// in memory. The map finds its slots by the low bits and tells entries apart by the highest seven, which are mixed.
#[derive(Default)]
pub struct OidHasher(u64);

/// Odd, with its bits well spread (2^64 divided by the golden ratio).
const MIX: u64 = 0x9E37_79B9_7F4A_7C15;
const HIGHEST: u64 = 0x7F << 57;

impl Hasher for OidHasher {
    fn finish(&self) -> u64 {
        (self.0 & !HIGHEST) | (self.0.wrapping_mul(MIX) & HIGHEST)
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u32(u32::from(byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = self.0.wrapping_mul(MIX).wrapping_add(u64::from(number));
    }

    /// Which part of the row: moves all OIDs by as much.
    fn write_isize(&mut self, number: isize) {
        self.0 = (self.0).wrapping_add((number.unsigned_abs() as u64).wrapping_mul(MIX));
    }

    fn write_i32(&mut self, number: i32) {
        self.write_u32(number.unsigned_abs());
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, BuildHasherDefault};

    use super::*;
    use crate::objects::{CatalogId, ObjectId, Oid, Part, catalog};

    fn hash(value: impl std::hash::Hash) -> u64 {
        BuildHasherDefault::<OidHasher>::default().hash_one(value)
    }

    #[test]
    fn neighbours_lie_side_by_side_and_can_be_told_apart() {
        let row = |oid| CatalogId::new(catalog::PG_CLASS, Oid(oid));
        let low = |value: u64| value & 0xFFFF;
        let (one, next) = (hash(row(20_000)), hash(row(20_001)));
        assert_eq!(low(next.wrapping_sub(one)), 1);
        assert_ne!(one >> 57, next >> 57);
    }

    #[test]
    fn parts_and_catalogs_have_hashes_of_their_own() {
        let table = ObjectId::definition(catalog::PG_CLASS, Oid(20_000));
        let data = table.with_part(Part::Data);
        let row_type = ObjectId::definition(catalog::PG_TYPE, Oid(20_000));
        assert_ne!(hash(table), hash(data));
        assert_ne!(hash(table), hash(row_type));
    }
}
