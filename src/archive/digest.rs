//! The row digest: one number for all rows of a table, whatever their order.

/// The digest of the rows of a table, see [`super::TableRows::digest`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowDigest(u128);

impl RowDigest {
    /// Adds one row's COPY text (no newline).
    pub fn add_row(&mut self, row: &[u8]) {
        self.0 = self.0.wrapping_add(xxhash_rust::xxh3::xxh3_128(row));
    }

    /// Adds rows of COPY text, each with its newline.
    pub fn add_rows(&mut self, rows: &[u8]) {
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', rows) {
            self.add_row(&rows[start..end]);
            start = end + 1;
        }
    }

    /// Adds the digest of other rows of the same table.
    pub fn merge(&mut self, other: RowDigest) {
        self.0 = self.0.wrapping_add(other.0);
    }

    /// The digest of all rows together.
    pub fn sum(digests: impl IntoIterator<Item = RowDigest>) -> RowDigest {
        let mut sum = RowDigest::default();
        digests.into_iter().for_each(|digest| sum.merge(digest));
        sum
    }

    /// The digest of 32 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<RowDigest> {
        u128::from_str_radix(text, 16).ok().map(RowDigest)
    }

    /// 32 hexadecimal digits.
    pub fn to_hex(self) -> String {
        format!("{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_does_not_depend_on_order_but_on_multiplicity() {
        let digest = |rows: &[&[u8]]| {
            let mut digest = RowDigest::default();
            rows.iter().for_each(|row| digest.add_row(row));
            digest
        };
        assert_eq!(digest(&[b"1\ta", b"2\tb"]), digest(&[b"2\tb", b"1\ta"]));
        assert_ne!(digest(&[b"1\ta"]), digest(&[b"1\ta", b"1\ta"]));
        assert_eq!(RowDigest::default().to_hex(), "0".repeat(32));
        let mut together = RowDigest::default();
        together.add_rows(b"1\ta\n\n2\tb\n");
        assert_eq!(together, digest(&[b"1\ta", b"", b"2\tb"]));
        let some = digest(&[b"1\ta"]);
        assert_eq!(RowDigest::from_hex(&some.to_hex()), Some(some));
    }
}
