//! The password file, `~/.pgpass`.
//!
//! Manual: "The Password File".

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::settings::Secret;

/// The socket directories that are some build's default. Their sockets match `localhost`.
pub(super) const DEFAULT_SOCKET_DIRECTORIES: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// The lines of a password file: host, port, database, user, password.
#[derive(Clone, Default)]
pub(super) struct PassFile {
    lines: Vec<[String; 5]>,
}

impl PassFile {
    /// Reads the file. One that does not exist has no lines; one that others may read is not used,
    /// as libpq does, and the warning says so.
    pub(super) fn read(path: &Path) -> (PassFile, Option<String>) {
        let Ok(metadata) = std::fs::metadata(path) else {
            return (PassFile::default(), None);
        };
        let ignored = |why: String| {
            let warning = format!("password file \"{}\" is ignored: {why}", path.display());
            (PassFile::default(), Some(warning))
        };
        if !metadata.is_file() {
            return ignored("it is not a plain file".to_owned());
        }
        if metadata.permissions().mode() & 0o077 != 0 {
            return ignored("group or others may read it; run chmod 0600 on it".to_owned());
        }
        match std::fs::read(path) {
            Ok(bytes) => (PassFile::parse(&String::from_utf8_lossy(&bytes)), None),
            Err(error) => ignored(error.to_string()),
        }
    }

    fn parse(text: &str) -> PassFile {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        PassFile {
            lines: lines.filter_map(split_line).collect(),
        }
    }

    /// The password of the first line that matches. Hosts that are a default socket directory, or
    /// not given, match `localhost`.
    pub(super) fn find(&self, host: &str, port: u16, database: &str, user: &str) -> Option<Secret> {
        let host = match host {
            "" => "localhost",
            host if DEFAULT_SOCKET_DIRECTORIES.contains(&host) => "localhost",
            host => host,
        };
        let port = port.to_string();
        let wanted = [host, &port, database, user];
        let matches = |line: &&[String; 5]| {
            (line.iter().zip(wanted)).all(|(pattern, value)| {
                // A star is a wildcard only when it stands alone and unescaped.
                pattern == "*" || unescape(pattern) == value
            })
        };
        let line = self.lines.iter().find(matches)?;
        Some(Secret::new(unescape(&line[4]))).filter(|password| !password.is_empty())
    }
}

/// The five fields, still escaped; `None` for a line that has fewer.
fn split_line(line: &str) -> Option<[String; 5]> {
    let mut fields = [const { String::new() }; 5];
    let mut at = 0;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                fields[at].push('\\');
                fields[at].extend(chars.next());
            }
            // What follows a fifth colon is none of the password's.
            ':' if at == 4 => break,
            ':' => at += 1,
            c => fields[at].push(c),
        }
    }
    (at == 4).then_some(fields)
}

fn unescape(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut chars = field.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => text.extend(chars.next()),
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn find(text: &str, host: &str, database: &str) -> Option<String> {
        let password = PassFile::parse(text).find(host, 5432, database, "joe")?;
        Some(password.reveal().to_owned())
    }

    #[test]
    fn the_first_matching_line_wins() {
        let text = "# h:5432:db:joe:comment\nh:5432:other:joe:a\nh:*:*:joe:b\nh:5432:db:joe:c\n";
        assert_eq!(find(text, "h", "db").as_deref(), Some("b"));
        assert_eq!(find(text, "h", "other").as_deref(), Some("a"));
        assert_eq!(find(text, "i", "db"), None);
    }

    #[test]
    fn colons_and_backslashes_are_escaped() {
        let text = r"fe80\:\:1:5432:d\\b:joe:p\:w\\d";
        assert_eq!(find(text, "fe80::1", r"d\b").as_deref(), Some(r"p:w\d"));
    }

    #[test]
    fn an_escaped_star_is_no_wildcard() {
        assert_eq!(find(r"h:5432:\*:joe:p", "h", "db"), None);
        assert_eq!(find(r"h:5432:\*:joe:p", "h", "*").as_deref(), Some("p"));
    }

    #[test]
    fn default_sockets_are_localhost_and_others_are_themselves() {
        let text = "localhost:*:*:*:local\n/srv/sock:*:*:*:srv\n";
        assert_eq!(find(text, "/tmp", "d").as_deref(), Some("local"));
        assert_eq!(find(text, "", "d").as_deref(), Some("local"));
        assert_eq!(find(text, "/srv/sock", "d").as_deref(), Some("srv"));
        assert_eq!(find(text, "/srv/other", "d"), None);
    }

    #[test]
    fn short_lines_match_nothing() {
        assert_eq!(find("*:*:*:secret\n", "h", "d"), None);
    }

    #[test]
    fn a_file_that_others_may_read_is_ignored_with_a_warning() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "*:*:*:*:p").unwrap();
        let find = |file: &PassFile| file.find("h", 1, "d", "u").is_some();
        let (passfile, warning) = PassFile::read(file.path());
        assert!(find(&passfile) && warning.is_none());
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o640)).unwrap();
        let (passfile, warning) = PassFile::read(file.path());
        assert!(!find(&passfile) && warning.unwrap().contains("chmod 0600"));
    }
}
