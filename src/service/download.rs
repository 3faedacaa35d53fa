//! A set's bytes over HTTP, whole or a range of them, in bounded memory.

use std::ops::Range;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream;

use super::http::ApiError;
use crate::archive::Source;
use crate::backup::{BackupSet, Repository};
use crate::storage::Lock;

/// Bytes sent at once.
const STEP: u64 = 1 << 20;

/// Streams a set's data as it is stored. It is not deleted before the last byte is sent.
///
/// # Errors
/// 416 for a range beyond the end; 404 if the set is gone.
pub(super) async fn download(
    repository: &Repository,
    set: &BackupSet,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let lock = repository.storage().lock(&set.file, false).await?;
    let source = repository.storage().source(&set.file).await?;
    let length = source.len();
    let asked = headers
        .get(header::RANGE)
        .and_then(|value| value.to_str().ok());
    let (status, range) = match asked.map(|asked| parse_range(asked, length)) {
        None | Some(Asked::All) => (StatusCode::OK, 0..length),
        Some(Asked::Part(range)) => (StatusCode::PARTIAL_CONTENT, range),
        Some(Asked::Beyond) => {
            let response = (
                StatusCode::RANGE_NOT_SATISFIABLE,
                [(header::CONTENT_RANGE, format!("bytes */{length}"))],
            );
            return Ok(response.into_response());
        }
    };
    let mut response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::CONTENT_LENGTH, range.end - range.start)
        .header(header::ETAG, format!("\"{}\"", set.meta.sha256))
        .header(
            header::CONTENT_DISPOSITION,
            // The name of a set has neither quotes nor other characters that would need quoting.
            format!("attachment; filename=\"{}\"", set.file),
        );
    if status == StatusCode::PARTIAL_CONTENT {
        let (first, last) = (range.start, range.end - 1);
        response = response.header(
            header::CONTENT_RANGE,
            format!("bytes {first}-{last}/{length}"),
        );
    }
    response
        .body(body(source, range, lock))
        .map_err(|e| ApiError::internal(&e.to_string()))
}

/// What a Range header asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// Everything: also what several ranges or other units are answered with, as RFC 9110 allows.
    All,
    /// A part that is there.
    Part(Range<u64>),
    /// A part that is not.
    Beyond,
}

fn parse_range(text: &str, length: u64) -> Asked {
    let Some((first, last)) = text
        .strip_prefix("bytes=")
        .and_then(|range| range.split_once('-'))
    else {
        return Asked::All;
    };
    let number = |text: &str| text.trim().parse::<u64>();
    let range = match (first.trim(), last.trim()) {
        ("", last) => match number(last) {
            Ok(0) => return Asked::Beyond,
            Ok(count) => length.saturating_sub(count)..length,
            Err(_) => return Asked::All,
        },
        (first, "") => match number(first) {
            Ok(first) => first..length,
            Err(_) => return Asked::All,
        },
        (first, last) => match (number(first), number(last)) {
            (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(length),
            _ => return Asked::All,
        },
    };
    match range.start < length {
        true => Asked::Part(range),
        false => Asked::Beyond,
    }
}

fn body(source: Box<dyn Source>, range: Range<u64>, lock: Lock) -> Body {
    let source: Arc<dyn Source> = Arc::from(source);
    let pieces = stream::try_unfold((range, lock), move |(range, lock)| {
        let source = Arc::clone(&source);
        async move {
            if range.is_empty() {
                return Ok(None);
            }
            let length = STEP.min(range.end - range.start);
            let offset = range.start;
            let piece = tokio::task::spawn_blocking(move || {
                let mut piece = vec![0; usize::try_from(length).unwrap_or_default()];
                source.read_at(offset, &mut piece).map(|()| piece)
            })
            .await
            .map_err(std::io::Error::other)??;
            let rest = offset + length..range.end;
            Ok::<_, std::io::Error>(Some((Bytes::from(piece), (rest, lock))))
        }
    });
    Body::from_stream(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_has_them() {
        let part = |range| Asked::Part(range);
        assert_eq!(parse_range("bytes=0-9", 100), part(0..10));
        assert_eq!(parse_range("bytes=90-200", 100), part(90..100));
        assert_eq!(parse_range("bytes=10-", 100), part(10..100));
        assert_eq!(parse_range("bytes=-10", 100), part(90..100));
        assert_eq!(parse_range("bytes=-1000", 100), part(0..100));
        for beyond in ["bytes=100-", "bytes=100-200", "bytes=-0"] {
            assert_eq!(parse_range(beyond, 100), Asked::Beyond, "{beyond}");
        }
        assert_eq!(parse_range("bytes=0-", 0), Asked::Beyond);
        for all in [
            "lines=1-2",
            "bytes=9-0",
            "bytes=a-b",
            "bytes=0-1,5-6",
            "bytes=5",
            "bytes=0-18446744073709551616",
        ] {
            assert_eq!(parse_range(all, 100), Asked::All, "{all}");
        }
        assert_eq!(
            parse_range("bytes=0-18446744073709551615", 100),
            part(0..100)
        );
    }
}
