//! The names of backup files. Pure.

use crate::archive::Codec;

/// A database's name as it may stand in a file name: letters, digits, `.`, `_`, `-`, not starting with `.` or `-`.
/// Every other character becomes `_`.
pub fn backup_name(database: &str) -> String {
    let name: String = database
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "._-".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect();
    match name.chars().next() {
        None => "database".to_owned(),
        Some('.' | '-') => format!("_{}", &name[1..]),
        Some(_) => name,
    }
}

/// `NAME-backup-YYYYMMDD-HHMMSS.sql.gz`, in UTC. `attempt` counts from 1; a second backup of the same second gets `-2`.
pub fn set_file_name(name: &str, at: jiff::Timestamp, codec: Codec, attempt: u32) -> String {
    let suffix = match attempt {
        0 | 1 => String::new(),
        n => format!("-{n}"),
    };
    format!(
        "{name}-backup-{}{suffix}.{}",
        at.strftime("%Y%m%d-%H%M%S"),
        codec.extension()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backup_name_holds_no_path() {
        assert_eq!(backup_name("shop"), "shop");
        assert_eq!(backup_name("../../etc/x"), "_._.._etc_x");
        assert_eq!(backup_name("-rf"), "_rf");
        assert_eq!(backup_name(""), "database");
        assert_eq!(backup_name("a\nb"), "a_b");
    }

    #[test]
    fn second_backup_of_a_second_is_numbered() {
        let at: jiff::Timestamp = "2026-01-14T02:00:00Z".parse().expect("valid");
        assert_eq!(
            set_file_name("shop", at, Codec::Gzip, 1),
            "shop-backup-20260114-020000.sql.gz"
        );
        assert_eq!(
            set_file_name("shop", at, Codec::Zstd, 2),
            "shop-backup-20260114-020000-2.sql.zst"
        );
    }
}
