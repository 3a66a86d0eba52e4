//! What is read and written alike on both sides of HTTP/1.1 (RFC 9110, 5; RFC 9112, 6 and 7): names, white
//! space, numbers, lines.

use bytes::{BufMut, Bytes, BytesMut};
use http::StatusCode;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, AUTHORIZATION, CACHE_CONTROL, CONNECTION,
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, COOKIE, DATE, ETAG, HOST,
    HeaderName, HeaderValue, InvalidHeaderName, LAST_MODIFIED, LOCATION, MAX_FORWARDS, REFERER,
    SERVER, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, USER_AGENT, VARY,
};

/// The name of a header, in capitals or not.
pub(crate) fn header_name(name: &[u8]) -> Result<HeaderName, InvalidHeaderName> {
    usual(name).map_or_else(|| HeaderName::from_bytes(name), Ok)
}

/// What most messages have, as most programs spell it: to recognize any name costs ten times as much.
fn usual(name: &[u8]) -> Option<HeaderName> {
    Some(match name {
        b"Date" | b"date" => DATE,
        b"ETag" | b"etag" => ETAG,
        b"Host" | b"host" => HOST,
        b"Vary" | b"vary" => VARY,
        b"Accept" | b"accept" => ACCEPT,
        b"Cookie" | b"cookie" => COOKIE,
        b"Server" | b"server" => SERVER,
        b"Referer" | b"referer" => REFERER,
        b"Location" | b"location" => LOCATION,
        b"Connection" | b"connection" => CONNECTION,
        b"Set-Cookie" | b"set-cookie" => SET_COOKIE,
        b"User-Agent" | b"user-agent" => USER_AGENT,
        b"Content-Type" | b"content-type" => CONTENT_TYPE,
        b"Authorization" | b"authorization" => AUTHORIZATION,
        b"Cache-Control" | b"cache-control" => CACHE_CONTROL,
        b"Last-Modified" | b"last-modified" => LAST_MODIFIED,
        b"Content-Length" | b"content-length" => CONTENT_LENGTH,
        b"Accept-Encoding" | b"accept-encoding" => ACCEPT_ENCODING,
        b"Accept-Language" | b"accept-language" => ACCEPT_LANGUAGE,
        b"Transfer-Encoding" | b"transfer-encoding" => TRANSFER_ENCODING,
        _ => return None,
    })
}

/// Without the white space before it, which is spaces and tabs alone (RFC 9110, 5.6.3).
pub(crate) fn trim_start(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    value
}

/// Without the white space around it.
pub(crate) fn trim(value: &[u8]) -> &[u8] {
    let mut value = trim_start(value);
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// The parts of a list.
pub(crate) fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim)
}

/// Whether a list of names has this one, in capitals or not.
pub(crate) fn lists(value: &[u8], name: &str) -> bool {
    tokens(value).any(|token| token.eq_ignore_ascii_case(name.as_bytes()))
}

/// Whether a header means something behind a body, and does no harm (RFC 9110, 6.5.1).
pub(crate) fn may_be_trailer(name: &HeaderName) -> bool {
    const NEVER: [HeaderName; 12] = [
        AUTHORIZATION,
        CACHE_CONTROL,
        CONTENT_ENCODING,
        CONTENT_LENGTH,
        CONTENT_RANGE,
        CONTENT_TYPE,
        HOST,
        MAX_FORWARDS,
        SET_COOKIE,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
    ];
    !NEVER.contains(name)
}

/// Whether an answer with this status can have a body, or say how long it is (RFC 9110, 6.4.1).
pub(crate) fn may_have_body(status: StatusCode) -> bool {
    !status.is_informational()
        && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Only digits: no sign, no list, nothing that somebody could read differently.
pub(crate) fn decimal(value: &[u8]) -> Option<u64> {
    // Nineteen digits fit for certain.
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// What has come of the next `left` bytes.
pub(crate) fn take_up_to(input: &mut BytesMut, left: u64) -> Bytes {
    let here = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
    input.split_to(here).freeze()
}

/// The line of one header.
pub(crate) fn write_line(out: &mut impl BufMut, name: &HeaderName, value: &HeaderValue) {
    out.put_slice(name.as_str().as_bytes());
    out.put_slice(b": ");
    out.put_slice(value.as_bytes());
    out.put_slice(b"\r\n");
}

/// The line that says how long a body is.
pub(crate) fn write_length(out: &mut impl BufMut, length: u64) {
    out.put_slice(b"content-length: ");
    out.put_slice(itoa::Buffer::new().format(length).as_bytes());
    out.put_slice(b"\r\n");
}

/// The line before a chunk.
pub(crate) fn write_chunk_size(out: &mut impl BufMut, size: usize) {
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4).max(1);
    for digit in (0..digits).rev() {
        out.put_u8(b"0123456789abcdef"[size >> (4 * digit) & 0xf]);
    }
    out.put_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_names_are_what_they_are_otherwise() {
        for name in [
            "Date",
            "etag",
            "Host",
            "vary",
            "Accept",
            "cookie",
            "Server",
            "referer",
            "Location",
            "connection",
            "Set-Cookie",
            "user-agent",
            "Content-Type",
            "authorization",
            "Cache-Control",
            "last-modified",
            "Content-Length",
            "accept-encoding",
            "Accept-Language",
            "transfer-encoding",
        ] {
            let known = usual(name.as_bytes());
            assert_eq!(
                known,
                Some(HeaderName::from_bytes(name.as_bytes()).unwrap())
            );
        }
        assert_eq!(header_name(b"X-User").unwrap(), "x-user");
        assert!(header_name(b"x user").is_err() && header_name(b"").is_err());
    }

    #[test]
    fn white_space_is_spaces_and_tabs_alone() {
        assert_eq!(trim(b"\t a b \t"), b"a b");
        assert_eq!(trim(b" \x0ca\r "), b"\x0ca\r");
        assert_eq!(trim(b" \t"), b"");
        assert!(lists(b"gzip, Close\t", "close") && lists(b"close", "close"));
        assert!(!lists(b"closed, clo se", "close") && !lists(b"close\x0c", "close"));
    }
}
