//! The first line of a request (RFC 9112, 3).

use http::{StatusCode, Version};

use super::head::Place;
use crate::limits::Limits;
use crate::refusal::Refusal;

/// Where the parts of a first line lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct FirstLine {
    pub(super) method: Place,
    pub(super) target: Place,
    pub(super) version: Version,
}

pub(crate) const TARGET_TOO_LONG: Refusal =
    Refusal::new(StatusCode::URI_TOO_LONG, "the request's target is too long");
pub(super) const BAD_REQUEST_LINE: Refusal =
    Refusal::bad_request("the request's first line is malformed");
pub(crate) const NO_TUNNELS: Refusal =
    Refusal::new(StatusCode::NOT_IMPLEMENTED, "this proxy opens no tunnels");

/// Where its parts lie in the head, in which it begins at `start`.
pub(super) fn first_line(line: &[u8], start: usize, limits: &Limits) -> Result<FirstLine, Refusal> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(BAD_REQUEST_LINE);
    };
    if target.len() > limits.target_bytes {
        return Err(TARGET_TOO_LONG);
    }
    let version = match version {
        b"HTTP/1.1" => Version::HTTP_11,
        b"HTTP/1.0" => Version::HTTP_10,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            return Err(Refusal::new(
                StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                "this proxy speaks HTTP/2, HTTP/1.1, and HTTP/1.0",
            ));
        }
        _ => return Err(BAD_REQUEST_LINE),
    };
    if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) {
        return Err(BAD_REQUEST_LINE);
    }
    if method == b"CONNECT" {
        // What follows is for the other end of the tunnel, not a message.
        return Err(NO_TUNNELS);
    }
    let plain = target
        .iter()
        .all(|byte| matches!(byte, b'!'..=b'~') && *byte != b'#');
    if plain && is_target(method, target) {
        Ok(FirstLine {
            method: Place::new(start, method.len()),
            target: Place::new(start + method.len() + 1, target.len()),
            version,
        })
    } else {
        Err(BAD_REQUEST_LINE)
    }
}

/// A path, a whole address, or the `*` of `OPTIONS`.
fn is_target(method: &[u8], target: &[u8]) -> bool {
    let begins_with = |scheme: &[u8]| {
        let start = target.get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    target.first() == Some(&b'/')
        || (method == b"OPTIONS" && target == b"*")
        || begins_with(b"http://")
        || begins_with(b"https://")
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_has_three_parts() {
        let first = |line: &str| {
            let read = first_line(line.as_bytes(), 0, &Limits::default());
            read.map(|_| ()).map_err(|refusal| refusal.status.as_u16())
        };
        for good in [
            "GET /a?b=%20 HTTP/1.1",
            "M-SEARCH / HTTP/1.0",
            "OPTIONS * HTTP/1.1",
            "GET HTTP://a:80/b HTTP/1.1",
        ] {
            assert_eq!(first(good), Ok(()), "{good}");
        }
        for bad in [
            "GET /",
            "GET / http/1.1",
            "GET  / HTTP/1.1",
            "GET /a b HTTP/1.1",
            " GET / HTTP/1.1",
            "G\u{e9}T / HTTP/1.1",
            "G(T / HTTP/1.1",
            "GET /\u{e9} HTTP/1.1",
            "GET /a#b HTTP/1.1",
            "GET shop:80 HTTP/1.1",
            "GET * HTTP/1.1",
            "GET ftp://a/b HTTP/1.1",
            "GET / HTTP/11",
        ] {
            assert_eq!(first(bad), Err(400), "{bad}");
        }
        assert_eq!(first("GET / HTTP/2.0"), Err(505));
        assert_eq!(first("CONNECT shop:443 HTTP/1.1"), Err(501));
    }
}
