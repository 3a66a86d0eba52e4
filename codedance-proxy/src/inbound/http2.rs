//! The head of a request of HTTP/2 (RFC 9113, 8).
//!
//! Its frames say where it ends, so nothing can be hidden behind it. But it becomes the head of a
//! request of HTTP/1.1, where it must not be read in two ways.

use http::header::{CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderValue};
use http::{Method, Request, StatusCode, Uri};

use super::first_line::{NO_TUNNELS, TARGET_TOO_LONG};
use crate::inbound::head::{BAD_HOST_VALUE, BAD_LENGTH, HEAD_TOO_LARGE, may_be_in_host};
use crate::limits::Limits;
use crate::refusal::{BODY_TOO_LARGE, Refusal};
use crate::syntax::decimal;

/// Makes a request what one of HTTP/1.1 is when it has been read: within the limits, of one meaning
/// only, and with its cookies in one line.
pub(crate) fn settle<B>(request: &mut Request<B>, limits: &Limits) -> Result<(), Refusal> {
    if *request.method() == Method::CONNECT {
        return Err(NO_TUNNELS);
    }
    check_target(request.uri(), request.method(), limits)?;
    check_host(request.uri(), request.headers())?;
    let headers = request.headers_mut();
    if headers.len() > limits.headers {
        return Err(HEAD_TOO_LARGE);
    }
    check_length(headers, limits)?;
    fold_cookies(headers);
    Ok(())
}

fn check_target(uri: &Uri, method: &Method, limits: &Limits) -> Result<(), Refusal> {
    let target = uri.path_and_query().map_or("", |target| target.as_str());
    if target.len() > limits.target_bytes {
        return Err(TARGET_TOO_LONG);
    }
    let is_path = target.starts_with('/') || (*method == Method::OPTIONS && target == "*");
    if is_path && target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::BAD_REQUEST,
        "the request's path is malformed",
    ))
}

/// Looks at every name that the request gives to its host; that there is one in the end is checked
/// where it is chosen.
fn check_host(uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
    let authority = uri.authority().map(http::uri::Authority::as_str);
    // User and password are not passed on.
    let authority = authority.and_then(|authority| authority.rsplit('@').next());
    let headers = headers.get_all(HOST).iter().map(HeaderValue::as_bytes);
    let mut hosts = headers.chain(authority.map(str::as_bytes));
    if hosts.all(|host| host.iter().all(|byte| may_be_in_host(*byte))) {
        Ok(())
    } else {
        Err(BAD_HOST_VALUE)
    }
}

fn check_length(headers: &HeaderMap, limits: &Limits) -> Result<(), Refusal> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else {
        return Ok(());
    };
    let length = decimal(length.as_bytes()).ok_or(BAD_LENGTH)?;
    if lengths.next().is_some() {
        return Err(BAD_LENGTH);
    }
    if limits.body_bytes.is_some_and(|most| length > most) {
        return Err(BODY_TOO_LARGE);
    }
    Ok(())
}

/// HTTP/2 may split the line (RFC 9113, 8.2.3), HTTP/1.1 may not.
fn fold_cookies(headers: &mut HeaderMap) {
    let mut lines = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    let (Some(first), Some(second)) = (lines.next(), lines.next()) else {
        return;
    };
    let lines: Vec<_> = [first, second].into_iter().chain(lines).collect();
    // Values joined by what may stand in a value are a value.
    if let Ok(line) = HeaderValue::try_from(lines.join(&b"; "[..])) {
        headers.insert(COOKIE, line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(request: http::request::Builder) -> u16 {
        let limits = Limits::default().with_target_bytes(10).with_headers(3);
        let settled = settle(
            &mut request.body(()).unwrap(),
            &limits.with_body_bytes(1_000),
        );
        settled.map_or_else(|refusal| refusal.status.as_u16(), |()| 200)
    }

    #[test]
    fn what_http_1_1_would_not_take_is_refused() {
        let get = |uri: &str| Request::get(uri.to_owned());
        assert_eq!(status(get("http://shop/a?b=c")), 200);
        assert_eq!(status(get("http://me@shop:80/")), 200);
        assert_eq!(status(get("/").header("host", "shop")), 200);
        assert_eq!(status(Request::options("*")), 200);
        assert_eq!(status(get("http://shop/123456789")), 200);
        assert_eq!(status(get("http://shop/1234567890")), 414);
        assert_eq!(status(get("*")), 400);
        assert_eq!(status(get("http://shop/\u{e9}")), 400);
        assert_eq!(status(get("http://a,b/")), 400);
        assert_eq!(status(get("/").header("host", "a b")), 400);
        assert_eq!(
            status(get("http://shop/").header("host", "a/b")),
            400,
            "although the other one counts"
        );
        assert_eq!(status(Request::connect("shop:443")), 501);
        let length = |length: &str| get("http://shop/").header("content-length", length);
        assert_eq!(status(length("1000")), 200);
        assert_eq!(status(length("1001")), 413);
        for bad in ["", "+1", "1,1", "1 ", "0x1"] {
            assert_eq!(status(length(bad)), 400, "{bad:?}");
        }
        assert_eq!(status(length("1").header("content-length", "1")), 400);
        let many = |count| (0..count).fold(get("http://shop/"), |head, _| head.header("x", ""));
        assert_eq!(status(many(3)), 200);
        assert_eq!(status(many(4)), 431);
    }

    #[test]
    fn cookies_come_in_one_line() {
        let folded = |lines: &[&str]| {
            let head = Request::get("http://shop/");
            let head = lines
                .iter()
                .fold(head, |head, line| head.header(COOKIE, *line));
            let mut request = head.body(()).unwrap();
            settle(&mut request, &Limits::default()).unwrap();
            let lines = request.headers().get_all(COOKIE).iter();
            lines
                .map(|line| line.to_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(folded(&[]), [""; 0]);
        assert_eq!(folded(&["a=1; b=2"]), ["a=1; b=2"]);
        assert_eq!(folded(&["a=1", "b=2", "c=3"]), ["a=1; b=2; c=3"]);
    }
}
