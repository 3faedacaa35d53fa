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

/// What follows the name of a file that is encrypted with age.
const ENCRYPTED: &str = ".age";

/// `NAME-backup-YYYYMMDD-HHMMSS.sql.gz`, in UTC, with `.age` at its end if it is encrypted. `attempt` counts from 1; a second
/// backup of the same second gets `-2`.
pub fn set_file_name(
    name: &str,
    at: jiff::Timestamp,
    codec: Codec,
    encrypted: bool,
    attempt: u32,
) -> String {
    let suffix = match attempt {
        0 | 1 => String::new(),
        n => format!("-{n}"),
    };
    format!(
        "{name}-backup-{}{suffix}.{}{}",
        at.strftime("%Y%m%d-%H%M%S"),
        codec.extension(),
        if encrypted { ENCRYPTED } else { "" }
    )
}

/// What the name of a set's data file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetName {
    /// The name without its extension: what users call the set.
    pub id: String,
    /// Whose backup it is.
    pub name: String,
    /// When it was made, by its name.
    pub created: jiff::Timestamp,
    /// 1 for the first set of its second.
    pub attempt: u32,
    /// Whether it is encrypted.
    pub encrypted: bool,
}

/// Reads a name that [`set_file_name`] made; `None` for any other file. NAME may itself hold `-backup-`.
pub fn parse_set_name(file: &str) -> Option<SetName> {
    let plain = file.strip_suffix(ENCRYPTED).unwrap_or(file);
    let (codec, id) = Codec::ALL.into_iter().find_map(|codec| {
        let id = plain.strip_suffix(codec.extension())?.strip_suffix('.')?;
        Some((codec, id))
    })?;
    let (name, rest) = id.rsplit_once("-backup-")?;
    let (stamp, attempt) = match rest.splitn(3, '-').collect::<Vec<_>>()[..] {
        [day, time] => (format!("{day}-{time}"), 1),
        [day, time, attempt] => (format!("{day}-{time}"), attempt.parse().ok()?),
        _ => return None,
    };
    let created = jiff::civil::DateTime::strptime("%Y%m%d-%H%M%S", &stamp).ok()?;
    let set = SetName {
        id: id.to_owned(),
        name: name.to_owned(),
        created: created.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp(),
        attempt,
        encrypted: plain.len() < file.len(),
    };
    // Only what we would write ourselves: no blanks, signs or leading zeros that a parser lets pass.
    let written = set_file_name(name, set.created, codec, set.encrypted, attempt);
    (backup_name(name) == name && written == file).then_some(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_names_are_read_as_they_are_written() {
        let at: jiff::Timestamp = "2026-01-14T02:00:00Z".parse().expect("valid");
        for name in ["shop", "a-backup-b", "x.y_z-1"] {
            for codec in Codec::ALL {
                for (attempt, encrypted) in [(1, false), (2, true), (17, false)] {
                    let file = set_file_name(name, at, codec, encrypted, attempt);
                    let set = parse_set_name(&file).expect("a set's name");
                    assert_eq!(
                        (set.name.as_str(), set.created, set.attempt, set.encrypted),
                        (name, at, attempt, encrypted)
                    );
                    assert!(file.starts_with(&format!("{}.", set.id)));
                }
            }
        }
        for other in [
            "shop.sql.gz",
            "shop-backup-20260114-020000.sql.gz.meta",
            "shop-backup-20260114-020000.sql.gz.age.age",
            "shop-backup-20261314-020000.sql.gz",
            "shop-backup-20260114-020000-02.sql.gz",
            "shop-backup-20260114-020000-1.sql.gz",
            "shop-backup- 2026114-020000.sql.gz",
            "-backup-20260114-020000.sql.gz",
        ] {
            assert_eq!(parse_set_name(other), None, "{other}");
        }
    }

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
            set_file_name("shop", at, Codec::Gzip, false, 1),
            "shop-backup-20260114-020000.sql.gz"
        );
        assert_eq!(
            set_file_name("shop", at, Codec::Zstd, false, 2),
            "shop-backup-20260114-020000-2.sql.zst"
        );
    }
}
