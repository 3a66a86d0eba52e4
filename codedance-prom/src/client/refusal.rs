//! What servers say when they do not answer the question.

use std::time::{Duration, SystemTime};

use codedance_core::ErrorKind;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use serde::Deserialize;

use super::fault::Fault;

/// The most characters of what a server says.
const MOST_CHARACTERS: usize = 400;

/// The most bytes of an answer other than a success; what is longer was not written for people.
pub(super) const MOST_BYTES: usize = 64 * 1024;

/// How the Prometheus API says no.
#[derive(Debug, Deserialize)]
struct Complaint {
    status: String,
    #[serde(default, rename = "errorType")]
    error_type: String,
    #[serde(default)]
    error: String,
}

/// The first words of a text, in one line, after secrets have been taken out.
pub(super) fn excerpt(body: &[u8], redact: impl Fn(&str) -> String) -> String {
    let body = body.get(..MOST_BYTES).unwrap_or(body);
    let text = redact(&String::from_utf8_lossy(body));
    let words: Vec<_> = text.split_whitespace().collect();
    let line = words.join(" ");
    let line: String = line
        .chars()
        .map(|character| {
            if character.is_control() {
                '�'
            } else {
                character
            }
        })
        .collect();
    match line.char_indices().nth(MOST_CHARACTERS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None if line.is_empty() => "it says nothing".to_owned(),
        None => line,
    }
}

/// What an answer other than a success means.
pub(super) fn refusal(
    status: StatusCode,
    headers: &HeaderMap,
    path: &str,
    body: &[u8],
    redact: impl Fn(&str) -> String,
) -> Fault {
    if status.is_redirection() {
        let to = headers.get(LOCATION).map_or(&b""[..], |to| to.as_bytes());
        // What follows the path may be a token that the gateway has made.
        let to = to.split(|byte| matches!(byte, b'?' | b'#')).next();
        return Fault::Redirected {
            to: excerpt(to.unwrap_or_default(), redact),
        };
    }
    let complaint = complaint(body);
    let said = match &complaint {
        Some(complaint) => excerpt(complaint.error.as_bytes(), redact),
        None => excerpt(body, redact),
    };
    let error_type = complaint.map(|complaint| complaint.error_type);
    // A single node of VictoriaMetrics answers 400, where others answer 404.
    if (status == StatusCode::NOT_FOUND && error_type.is_none())
        || said.contains("unsupported path requested")
    {
        let path = path.to_owned();
        return Fault::NoSuchPath { path, said };
    }
    Fault::Refused {
        status,
        kind: kind(status, error_type.as_deref().unwrap_or_default(), &said),
        said,
        retry_after: retry_after(headers),
    }
}

/// What a success that is none says: `None` if it is one.
pub(super) fn complaint_of_success(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    redact: impl Fn(&str) -> String,
) -> Option<Fault> {
    let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    if let Some(found) = content_type
        && !is_json(found)
    {
        return Some(Fault::NotJson {
            found: format!("`{}`", excerpt(found, &redact)),
            said: excerpt(body, redact),
        });
    }
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if first.is_some_and(|first| *first != b'{') {
        return Some(Fault::NotJson {
            found: "a text".to_owned(),
            said: excerpt(body, redact),
        });
    }
    if body.len() > MOST_BYTES {
        return None;
    }
    let complaint = complaint(body)?;
    let said = excerpt(complaint.error.as_bytes(), redact);
    let kind = kind(status, &complaint.error_type, &said);
    Some(Fault::Refused {
        status,
        said,
        kind,
        retry_after: retry_after(headers),
    })
}

fn complaint(body: &[u8]) -> Option<Complaint> {
    let mut complaint: Complaint = serde_json::from_slice(body).ok()?;
    if let Some(why) = without_query(&complaint.error) {
        complaint.error = why.to_owned();
    }
    (complaint.status == "error").then_some(complaint)
}

/// VictoriaMetrics repeats the query, which is long, before it says what is wrong with it.
fn without_query(error: &str) -> Option<&str> {
    let rest = error.strip_prefix("error when executing query=\"")?;
    let mut escaped = false;
    let end = rest.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    // What follows are the times, in parentheses.
    let (_, why) = rest[end..].split_once("): ")?;
    Some(why)
}

fn is_json(content_type: &[u8]) -> bool {
    let essence = content_type.split(|byte| *byte == b';').next();
    let essence = essence
        .unwrap_or_default()
        .trim_ascii()
        .to_ascii_lowercase();
    essence.ends_with(b"/json") || essence.ends_with(b"+json")
}

fn kind(status: StatusCode, error_type: &str, said: &str) -> ErrorKind {
    match status {
        StatusCode::TOO_MANY_REQUESTS => return ErrorKind::RateLimited,
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::PROXY_AUTHENTICATION_REQUIRED => return ErrorKind::Denied,
        StatusCode::REQUEST_TIMEOUT => return ErrorKind::Timeout,
        // VictoriaMetrics has one status for all that goes wrong with a query.
        StatusCode::UNPROCESSABLE_ENTITY if said.contains("timeout exceeded") => {
            return ErrorKind::Timeout;
        }
        _ => {}
    }
    match error_type {
        "bad_data" | "execution" | "not_acceptable" => ErrorKind::Invalid,
        "timeout" => ErrorKind::Timeout,
        "not_found" => ErrorKind::NotFound,
        "canceled" | "internal" | "unavailable" => ErrorKind::Unavailable,
        _ if status == StatusCode::NOT_FOUND => ErrorKind::NotFound,
        _ if status.is_client_error() => ErrorKind::Invalid,
        _ => ErrorKind::Unavailable,
    }
}

/// How long to wait, out of seconds or a date. The date is compared with the server's own clock where
/// it shows it, since clocks differ.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let date = headers.get(DATE).and_then(|date| date.to_str().ok());
    let now = date.and_then(|date| httpdate::parse_http_date(date).ok());
    let now = now.unwrap_or_else(SystemTime::now);
    Some(until.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    fn redact(text: &str) -> String {
        text.replace("hunter2", "***")
    }

    fn refused(status: u16, body: &str) -> Fault {
        let status = StatusCode::from_u16(status).unwrap();
        refusal(
            status,
            &headers(&[]),
            "/x/api/v1/query",
            body.as_bytes(),
            redact,
        )
    }

    #[test]
    fn each_refusal_has_its_kind_and_says_what_the_server_said() {
        use ErrorKind::*;
        let api = |error_type: &str, error: &str| {
            format!(r#"{{"status":"error","errorType":"{error_type}","error":"{error}","x":1}}"#)
        };
        for (status, body, kind) in [
            (400, api("bad_data", "parse error: EOF"), Invalid),
            (422, api("execution", "parse error: many-to-many"), Invalid),
            (422, api("422", "parse error: labelFilterExpr"), Invalid),
            (
                422,
                api("422", "parse error: timeout exceeded while fetching"),
                Timeout,
            ),
            (503, api("timeout", "parse error: query timed out"), Timeout),
            (503, api("canceled", "parse error: canceled"), Unavailable),
            (499, api("canceled", "parse error: canceled"), Unavailable),
            (500, api("internal", "parse error: storage"), Unavailable),
            (
                503,
                api("unavailable", "parse error: starting"),
                Unavailable,
            ),
            (404, api("not_found", "parse error: none"), NotFound),
            (404, "parse error: 404 page not found".to_owned(), NotFound),
            (
                400,
                "parse error: unsupported path requested: \"/a\"".to_owned(),
                NotFound,
            ),
            (401, "parse error: log in".to_owned(), Denied),
            (403, api("bad_data", "parse error: forbidden"), Denied),
            (407, "parse error: proxy".to_owned(), Denied),
            (408, "parse error: slow".to_owned(), Timeout),
            (414, "parse error: long".to_owned(), Invalid),
            (429, api("bad_data", "parse error: slow down"), RateLimited),
            (
                502,
                "<html>parse error: Bad Gateway</html>".to_owned(),
                Unavailable,
            ),
            (504, "parse error:".to_owned(), Unavailable),
        ] {
            let fault = refused(status, &body);
            assert_eq!(fault.kind(), kind, "{status} {body}");
            assert!(fault.to_string().contains("parse error:"), "{fault}");
        }
    }

    #[test]
    fn a_missing_path_is_named_with_the_prefixes_there_may_be() {
        let fault = refused(404, "404 page not found").to_string();
        assert!(
            fault.starts_with("there is no /x/api/v1/query; "),
            "{fault}"
        );
        assert!(fault.contains("`/select/0/prometheus`"), "{fault}");
    }

    #[test]
    fn only_the_overloaded_are_asked_again() {
        let with = |status: u16, pairs: &[(&'static str, &'static str)]| {
            let status = StatusCode::from_u16(status).unwrap();
            refusal(status, &headers(pairs), "/", b"", redact).is_worth_another_attempt()
        };
        for status in [502, 503, 504] {
            assert!(with(status, &[]), "{status}");
        }
        for status in [301, 400, 401, 403, 404, 408, 422, 429, 500, 501] {
            assert!(!with(status, &[]), "{status}");
        }
        assert!(with(429, &[("retry-after", "1")]));
        let timeout = refused(
            503,
            r#"{"status":"error","errorType":"timeout","error":"x"}"#,
        );
        assert!(!timeout.is_worth_another_attempt());
    }

    #[test]
    fn the_wish_to_be_left_alone_is_seconds_or_a_date() {
        let wait = |pairs: &[_]| retry_after(&headers(pairs));
        assert_eq!(wait(&[("retry-after", "7")]), Some(Duration::from_secs(7)));
        let until = ("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT");
        let now = ("date", "Sun, 06 Nov 1994 08:49:07 GMT");
        assert_eq!(wait(&[until, now]), Some(Duration::from_secs(30)));
        assert_eq!(wait(&[until]), Some(Duration::ZERO), "long past");
        let far = wait(&[("retry-after", "Fri, 31 Dec 9999 23:59:59 GMT")]);
        assert!(far > Some(Duration::from_secs(1 << 36)), "{far:?}");
        for text in ["", "soon", "-1", "1.5"] {
            assert_eq!(wait(&[("retry-after", text)]), None, "{text}");
        }
        assert_eq!(wait(&[]), None);
    }

    #[test]
    fn a_success_in_html_is_none() {
        let ok = |content_type: &'static str, body: &str| {
            let headers = match content_type {
                "" => headers(&[]),
                found => headers(&[("content-type", found)]),
            };
            complaint_of_success(StatusCode::OK, &headers, body.as_bytes(), redact)
        };
        let page = "<html>\n  <h1>Please   log in</h1> hunter2";
        let fault = ok("text/html; charset=utf-8", page).unwrap();
        assert_eq!(fault.kind(), ErrorKind::Unavailable);
        let fault = fault.to_string();
        assert!(
            fault.contains("`text/html; charset=utf-8` came instead of JSON"),
            "{fault}"
        );
        assert!(
            fault.ends_with("<html> <h1>Please log in</h1> ***"),
            "{fault}"
        );
        for mislabelled in ["", "application/json"] {
            let fault = ok(mislabelled, page).unwrap().to_string();
            assert!(fault.contains("a text came instead of JSON"), "{fault}");
        }
        for content_type in [
            "",
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/stream+json; charset=utf-8",
        ] {
            assert!(
                ok(content_type, " {\"status\":\"success\"}").is_none(),
                "{content_type}"
            );
        }
        let said = r#"{"status":"error","errorType":"timeout","error":"slow"}"#;
        assert_eq!(ok("", said).unwrap().kind(), ErrorKind::Timeout);
    }

    #[test]
    fn a_redirect_is_told_without_what_may_be_a_token() {
        let pairs = [("location", "https://sso.example/login?state=abc#x")];
        let fault = refusal(StatusCode::FOUND, &headers(&pairs), "/", b"", redact);
        let text = "the server sends on to https://sso.example/login; write the address";
        assert!(fault.to_string().starts_with(text), "{fault}");
        assert_eq!(fault.kind(), ErrorKind::Invalid);
    }

    #[test]
    fn the_reason_is_told_without_the_query() {
        for (error, told) in [
            (
                r#"error when executing query="m{a=\"): x\"}\\" for (time=1, step=2): missing \"b\""#,
                Some(r#"missing \"b\""#),
            ),
            (
                "error when executing query=\"m\" on the time range (start=1, end=2, step=1): no",
                Some("no"),
            ),
            ("error when executing query=\"m", None),
            ("parse error: \"m\" (1): no", None),
        ] {
            assert_eq!(without_query(error), told, "{error}");
        }
    }

    #[test]
    fn what_is_said_is_short_in_one_line_and_without_secrets() {
        let said = excerpt("a\r\n\tb\u{1b}[31m c hunter2".as_bytes(), redact);
        assert_eq!(said, "a b�[31m c ***");
        let long = excerpt("ä".repeat(1_000).as_bytes(), redact);
        assert_eq!(long.chars().count(), MOST_CHARACTERS + 1);
        assert_eq!(excerpt(b" \n", redact), "it says nothing");
        assert_eq!(excerpt(b"\xff", redact), "\u{fffd}");
    }
}
