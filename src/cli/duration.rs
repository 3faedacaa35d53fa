//! Durations as options take them: `90`, `90s`, `5m`, `2h`; and as the server's settings do: `500`, `5s`, `2min`.

use std::time::Duration;

/// Reads one.
///
/// # Errors
/// What is expected instead, for clap.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let expected = || "expected a number of seconds, or a number with s, m or h".to_owned();
    let (digits, factor) = match text.as_bytes().last() {
        Some(b's') => (&text[..text.len() - 1], 1),
        Some(b'm') => (&text[..text.len() - 1], 60),
        Some(b'h') => (&text[..text.len() - 1], 3600),
        _ => (text, 1),
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(expected());
    }
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .map(Duration::from_secs)
        .ok_or_else(expected)
}

/// Reads milliseconds as `lock_timeout` would: a number, with a unit that the server knows or without. Manual: "Parameter Names and
/// Values". 0, the server's word for never, and more than it can count are refused.
///
/// # Errors
/// What is expected instead, for clap.
pub(super) fn parse_timeout(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim_start() {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => 0,
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .filter(|milliseconds| (1..=MOST_MILLISECONDS).contains(milliseconds))
        .ok_or_else(|| {
            "expected a number of milliseconds, or a number with ms, s, min, h or d".to_owned()
        })
}

/// The highest value of the server's timeouts.
const MOST_MILLISECONDS: u64 = 2_147_483_647;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_the_server_does() {
        for (text, milliseconds) in [
            ("1", 1),
            ("500", 500),
            ("500ms", 500),
            ("5s", 5_000),
            ("2 min", 120_000),
            ("24d", 2_073_600_000),
        ] {
            assert_eq!(parse_timeout(text), Ok(milliseconds), "{text}");
        }
        for text in [
            "",
            "0",
            "0s",
            "s",
            "-1",
            "5m",
            "25d",
            "5 s x",
            "99999999999999999999",
        ] {
            assert!(parse_timeout(text).is_err(), "{text}");
        }
    }

    #[test]
    fn units_are_seconds_minutes_and_hours() {
        for (text, seconds) in [("0", 0), ("90", 90), ("90s", 90), ("5m", 300), ("2h", 7200)] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "s",
            "-1",
            "1.5",
            "5 m",
            "1d",
            "m5",
            "99999999999999999999",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
