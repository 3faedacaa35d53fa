//! Connection strings for people: everything but the passwords.

use super::keywords;
use super::uri;

/// A connection string without its passwords; `***` if it cannot be understood, for then nobody knows where one is.
pub fn mask_connection_string(text: &str) -> String {
    let masked = match uri::is_uri(text) {
        true => mask_uri(text),
        false => mask_keywords(text),
    };
    masked.unwrap_or_else(|| "***".to_owned())
}

fn mask_uri(text: &str) -> Option<String> {
    uri::parse(text).ok()?;
    let (scheme, rest) = text.split_once("://")?;
    let rest = match uri::credentials(rest) {
        Some((user, password, rest)) => {
            let password = if password.is_empty() { "" } else { ":***" };
            format!("{user}{password}@{rest}")
        }
        None => rest.to_owned(),
    };
    let Some((before, query)) = rest.split_once('?') else {
        return Some(format!("{scheme}://{rest}"));
    };
    let parameters: Vec<String> = query
        .split('&')
        .map(|parameter| match parameter.split_once('=') {
            Some((keyword, _)) if is_secret(keyword) => format!("{keyword}=***"),
            _ => parameter.to_owned(),
        })
        .collect();
    Some(format!("{scheme}://{before}?{}", parameters.join("&")))
}

fn mask_keywords(text: &str) -> Option<String> {
    let pairs = keywords::parse(text).ok()?;
    let shown = pairs.iter().map(|(keyword, value)| {
        let value = if is_secret(keyword) { "***" } else { value };
        match value.contains(' ') || value.is_empty() {
            true => format!("{keyword}='{value}'"),
            false => format!("{keyword}={value}"),
        }
    });
    Some(shown.collect::<Vec<_>>().join(" "))
}

/// Percent signs may hide the word in a URI, so what has one counts as secret.
fn is_secret(keyword: &str) -> bool {
    keyword.contains("password") || keyword.contains('%')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_masked_wherever_they_stand() {
        for (text, masked) in [
            (
                "postgresql://me:sesame@h:5432/db",
                "postgresql://me:***@h:5432/db",
            ),
            (
                "postgres://h/db?password=sesame&sslmode=require",
                "postgres://h/db?password=***&sslmode=require",
            ),
            (
                "postgres://h/db?sslpassword=sesame",
                "postgres://h/db?sslpassword=***",
            ),
            ("postgresql://me@h/db", "postgresql://me@h/db"),
            (
                "host=h password='ses ame' dbname=db",
                "host=h password=*** dbname=db",
            ),
            ("postgresql://me:ses/ame@h/db", "***"),
            ("postgresql://[sesame", "***"),
            ("password='sesame", "***"),
        ] {
            assert_eq!(mask_connection_string(text), masked);
        }
    }
}
