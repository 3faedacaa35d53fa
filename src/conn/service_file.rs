//! `pg_service.conf`: named groups of connection parameters.
//!
//! Manual: "The Connection Service File".

use std::path::{Path, PathBuf};

use super::settings::Environment;

/// Where Debian's and the PGDG packages' libpq look when `PGSYSCONFDIR` is not set.
const SYSTEM_DIRECTORIES: [&str; 2] = ["/etc/postgresql-common", "/etc"];

/// The parameters of a service: the user's file first, then the system's.
/// `file` is the `servicefile` parameter or `PGSERVICEFILE`, and must exist if it is given.
pub(super) fn find(
    service: &str,
    file: Option<&str>,
    environment: &Environment,
) -> Result<Vec<(String, String)>, String> {
    let mut candidates = Vec::new();
    match file {
        Some(file) if Path::new(file).exists() => candidates.push(PathBuf::from(file)),
        Some(file) => return Err(format!("service file \"{file}\" not found")),
        None => candidates.extend(environment.in_home(".pg_service.conf")),
    }
    match environment.var("PGSYSCONFDIR") {
        Some(directory) => candidates.push(Path::new(directory).join("pg_service.conf")),
        None => candidates.extend(
            SYSTEM_DIRECTORIES.map(|directory| Path::new(directory).join("pg_service.conf")),
        ),
    }
    for path in candidates.iter().filter(|path| path.exists()) {
        let text = std::fs::read_to_string(path)
            .map_err(|e| format!("could not read service file \"{}\": {e}", path.display()))?;
        if let Some(pairs) = parse(&text, service, path)? {
            return Ok(pairs);
        }
    }
    Err(format!("definition of service \"{service}\" not found"))
}

/// The pairs of the first group of that name, or `None` if there is no such group.
fn parse(text: &str, service: &str, path: &Path) -> Result<Option<Vec<(String, String)>>, String> {
    let mut pairs: Option<Vec<(String, String)>> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line.starts_with('[') {
            if pairs.is_some() {
                break;
            }
            if line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) == Some(service) {
                pairs = Some(Vec::new());
            }
            continue;
        }
        let Some(pairs) = &mut pairs else { continue };
        let at = || format!("service file \"{}\", line {number}", path.display());
        if line.starts_with("ldap") && line.contains("://") {
            return Err(format!("{}: LDAP lookups are not supported", at()));
        }
        match line.split_once('=') {
            Some(("service" | "servicefile", _)) => {
                return Err(format!("{}: a service cannot name another one", at()));
            }
            Some((keyword, value)) => pairs.push((keyword.to_owned(), value.to_owned())),
            None => return Err(format!("{}: there is no \"=\"", at())),
        }
    }
    Ok(pairs)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const FILE: &str = "# comment\n[other]\nhost=wrong\n\n[mydb]\n host=somehost \nport=5433\nuser=admin\n[mydb]\nport=1\n";

    #[test]
    fn the_first_group_of_the_name_counts() {
        let pairs = parse(FILE, "mydb", Path::new("f")).unwrap().unwrap();
        let shown: Vec<_> = pairs.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(shown, ["host=somehost", "port=5433", "user=admin"]);
        assert!(parse(FILE, "absent", Path::new("f")).unwrap().is_none());
    }

    #[test]
    fn mistakes_name_the_line() {
        let error = |text| parse(text, "s", Path::new("f")).unwrap_err();
        assert!(error("[s]\nport").contains("line 2"));
        assert!(error("[s]\nservice=t").contains("cannot name another"));
        assert!(error("[s]\nldap://h/x").contains("LDAP"));
    }
}
