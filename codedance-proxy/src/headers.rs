//! What a proxy takes from messages and adds to them.

use std::net::SocketAddr;

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, Entry, HOST, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::{PathAndQuery, Uri};
use http::{Method, Request, Version, request};

use crate::client::Client;
use crate::refusal::Refusal;
use crate::syntax::{lists, tokens};
use crate::upload::Upload;

pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Marks copies of requests; see [`Mirror`](crate::Mirror).
pub(crate) const X_CODEDANCE_MIRRORED: HeaderName = HeaderName::from_static("x-codedance-mirrored");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Headers that concern one connection only (RFC 9110, 7.6.1), besides those that `Connection`
/// names.
const HOP_BY_HOP: [HeaderName; 7] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Which headers there are that are not simply passed on. One look at the few that there are is cheaper
/// than a search for each that there might be.
#[derive(Debug, Default)]
struct Special {
    /// Of one connection, or never passed on.
    ends_here: bool,
    hosts: usize,
    /// The first.
    host: Option<HeaderValue>,
    forwarded_for: bool,
    forwarded_host: bool,
    forwarded_proto: bool,
}

impl Special {
    fn of(headers: &HeaderMap) -> Self {
        let mut special = Self::default();
        for (name, value) in headers {
            match name.as_str() {
                "connection"
                | "expect"
                | "keep-alive"
                | "proxy-authenticate"
                | "proxy-authorization"
                | "proxy-connection"
                | "te"
                | "transfer-encoding"
                | "upgrade"
                | "x-codedance-mirrored" => special.ends_here = true,
                "host" => {
                    special.hosts += 1;
                    special.host.get_or_insert_with(|| value.clone());
                }
                "x-forwarded-for" => special.forwarded_for = true,
                "x-forwarded-host" => special.forwarded_host = true,
                "x-forwarded-proto" => special.forwarded_proto = true,
                _ => {}
            }
        }
        special
    }
}

/// Makes the head of a client's request the head of the request to an endpoint. Returns whether that
/// asks for another protocol.
///
/// A missing `Host` of an HTTP/1.0 request stays missing here: the endpoint's address takes its
/// place once the endpoint is known.
pub(crate) fn to_endpoint(parts: &mut request::Parts, client: &Client) -> Result<bool, Refusal> {
    let mut special = Special::of(&parts.headers);
    let (mut upgrade, mut trailers) = (None, false);
    if special.ends_here {
        upgrade = asked_upgrade(parts);
        trailers = takes_trailers(parts);
        if parts.headers.contains_key(TRANSFER_ENCODING) {
            // The body is framed anew, and a length beside it is an attack or a mistake.
            parts.headers.remove(CONTENT_LENGTH);
        }
        strip_hop_by_hop(&mut parts.headers);
        // Asking for the body has answered `100 Continue` already.
        parts.headers.remove(EXPECT);
        // Ours to say: an endpoint may leave undone what it believes to be a copy.
        parts.headers.remove(X_CODEDANCE_MIRRORED);
        special = Special::of(&parts.headers);
    }
    if parts.uri.authority().is_some() {
        take_authority(parts);
        special = Special::of(&parts.headers);
    }
    match special.hosts {
        1 => {}
        0 if parts.version == Version::HTTP_10 => {}
        _ => {
            let text = "a request needs exactly one Host header";
            return Err(Refusal::bad_request(text));
        }
    }
    forwarded(&mut parts.headers, client, special);
    parts.version = Version::HTTP_11;
    if trailers {
        // Some servers send none to those who do not ask for them.
        let headers = &mut parts.headers;
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    let asks_to_switch = upgrade.is_some();
    offer_upgrade(&mut parts.headers, upgrade);
    Ok(asks_to_switch)
}

/// Whether the client wants the headers that come after an answer's body.
fn takes_trailers(parts: &request::Parts) -> bool {
    // Looked up first: nearly no request has it.
    let Some(te) = parts.headers.get(TE) else {
        return false;
    };
    let is_meant = parts.version == Version::HTTP_2 || connection_names(&parts.headers, "te");
    is_meant && lists(te.as_bytes(), "trailers")
}

/// The protocol that a client insists on.
fn asked_upgrade(parts: &request::Parts) -> Option<HeaderValue> {
    // Looked up first: nearly no request has it.
    let upgrade = parts.headers.get(UPGRADE)?;
    let insists = parts.version == Version::HTTP_11
        && connection_names(&parts.headers, "upgrade")
        && !parts.headers.get_all(UPGRADE).iter().all(may_be_ignored);
    insists.then(|| upgrade.clone())
}

fn offer_upgrade(headers: &mut HeaderMap, upgrade: Option<HeaderValue>) {
    if let Some(upgrade) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, upgrade);
    }
}

/// Makes the head of an answer with which an endpoint switches protocols that to a client.
pub(crate) fn to_client_switching(headers: &mut HeaderMap) {
    let upgrade = headers.get(UPGRADE).cloned();
    to_client(headers);
    offer_upgrade(headers, upgrade);
}

/// Makes the head of an endpoint's answer the head of the answer to a client.
pub(crate) fn to_client(headers: &mut HeaderMap) {
    if Special::of(headers).ends_here {
        if headers.contains_key(TRANSFER_ENCODING) {
            headers.remove(CONTENT_LENGTH);
        }
        strip_hop_by_hop(headers);
    }
}

/// Whether a client that offers this upgrade is content with a plain answer: `h2c`, which some send
/// with every request, and newer versions of HTTP. A WebSocket is not.
fn may_be_ignored(upgrade: &HeaderValue) -> bool {
    tokens(upgrade.as_bytes()).all(|protocol| {
        let begin = protocol.get(..5);
        protocol.eq_ignore_ascii_case(b"h2c")
            || protocol.eq_ignore_ascii_case(b"h2")
            || begin.is_some_and(|name| name.eq_ignore_ascii_case(b"http/"))
    })
}

fn connection_names(headers: &HeaderMap, name: &str) -> bool {
    headers
        .get_all(CONNECTION)
        .iter()
        .any(|value| lists(value.as_bytes(), name))
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if let Entry::Occupied(connection) = headers.entry(CONNECTION) {
        let (_, values) = connection.remove_entry_mult();
        let mut named = Vec::new();
        for value in values {
            for token in tokens(value.as_bytes()) {
                // What nearly all clients send names no other header; it is not worth a look-up.
                let usual = [&b"keep-alive"[..], b"close"];
                if !usual.iter().any(|usual| token.eq_ignore_ascii_case(usual)) {
                    named.extend(HeaderName::from_bytes(token));
                }
            }
        }
        for name in named {
            headers.remove(name);
        }
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Leaves a target that names only a path: its authority overrides `Host` (RFC 9112, 3.2.2).
fn take_authority(parts: &mut request::Parts) {
    let authority = parts
        .uri
        .authority()
        .map_or("", |authority| authority.as_str());
    // Without user and password.
    let host = authority.rsplit('@').next().unwrap_or_default();
    if let Ok(host) = HeaderValue::from_str(host) {
        parts.headers.insert(HOST, host);
    }
    let path = parts.uri.path_and_query().cloned();
    let star = parts.method == Method::OPTIONS && parts.uri.path().is_empty();
    parts.uri = match path {
        Some(path) if !star => Uri::from(path),
        _ => Uri::from(PathAndQuery::from_static(if star { "*" } else { "/" })),
    };
}

/// Says what lies in front of the proxy, behind what those say who are trusted.
fn forwarded(headers: &mut HeaderMap, client: &Client, special: Special) {
    let mut own = client.own_address().clone();
    if special.forwarded_for {
        let before = headers.get_all(X_FORWARDED_FOR);
        let lines = before.iter().chain([&own]).map(HeaderValue::as_bytes);
        let joined = lines.collect::<Vec<_>>().join(&b", "[..]);
        // Values joined by what may stand in a value are a value.
        own = HeaderValue::try_from(joined).unwrap_or(own);
    }
    headers.insert(X_FORWARDED_FOR, own);
    if !(client.is_trusted() && special.forwarded_proto) {
        headers.insert(X_FORWARDED_PROTO, client.scheme());
    }
    if !(client.is_trusted() && special.forwarded_host) {
        match special.host {
            Some(host) => headers.insert(X_FORWARDED_HOST, host),
            None => headers.remove(X_FORWARDED_HOST),
        };
    }
}

/// Gives a request without `Host`, an HTTP/1.0 client's, the endpoint's address: HTTP/1.1 needs one.
pub(crate) fn default_host(request: &mut Request<Upload>, endpoint: SocketAddr) {
    if let Entry::Vacant(host) = request.headers_mut().entry(HOST)
        && let Ok(value) = HeaderValue::try_from(endpoint.to_string())
    {
        host.insert(value);
    }
}

#[cfg(test)]
mod tests {
    use crate::client::{Peer, Trust};

    use super::*;

    fn client() -> Client {
        connected("[::ffff:192.0.2.7]:1234", Trust::Nobody)
    }

    fn connected(address: &str, trust: Trust) -> Client {
        let peer = Peer {
            address: address.parse().unwrap(),
            is_secure: false,
        };
        Client::new(peer, trust)
    }

    fn request(uri: &str, headers: &[(&'static str, &'static str)]) -> request::Parts {
        let mut parts = Request::get(uri).body(()).unwrap().into_parts().0;
        for (name, value) in headers {
            parts.headers.append(*name, HeaderValue::from_static(value));
        }
        parts
    }

    fn refused(headers: &[(&'static str, &'static str)]) -> Option<u16> {
        let refusal = to_endpoint(&mut request("/", headers), &client()).err()?;
        Some(refusal.status.as_u16())
    }

    #[test]
    fn headers_of_one_connection_end_here() {
        let mut parts = request(
            "/",
            &[
                ("host", "shop"),
                ("connection", "close, X-Secret"),
                ("connection", "keep-alive ,x-other"),
                ("x-secret", "1"),
                ("x-other", "1"),
                ("x-other", "2"),
                ("keep-alive", "timeout=5"),
                ("proxy-connection", "keep-alive"),
                ("proxy-authorization", "Basic x"),
                ("te", "trailers"),
                ("trailer", "x-sum"),
                ("transfer-encoding", "chunked"),
                ("content-length", "5"),
                ("expect", "100-continue"),
                ("accept", "*/*"),
            ],
        );
        to_endpoint(&mut parts, &client()).unwrap();
        let mut left: Vec<_> = parts.headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        let expected = [
            "accept",
            "host",
            "trailer",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
        ];
        assert_eq!(left, expected);
    }

    #[test]
    fn each_header_that_ends_here_does_without_the_others_too() {
        for name in HOP_BY_HOP.into_iter().chain([CONNECTION]) {
            let mut headers = HeaderMap::new();
            headers.insert(name.clone(), HeaderValue::from_static("1"));
            to_client(&mut headers);
            assert!(headers.is_empty(), "{name}");
        }
        let own = [CONNECTION, EXPECT, X_CODEDANCE_MIRRORED];
        for name in HOP_BY_HOP.into_iter().chain(own) {
            let mut parts = request("/", &[("host", "shop")]);
            parts
                .headers
                .insert(name.clone(), HeaderValue::from_static("1"));
            assert_eq!(to_endpoint(&mut parts, &client()), Ok(false));
            assert!(!parts.headers.contains_key(&name), "{name}");
        }
    }

    #[test]
    fn only_upgrades_that_cannot_be_ignored_are_passed_on() {
        let offered = |connection, protocol| {
            let named = [("connection", connection), ("upgrade", protocol)];
            let mut parts = request("/", &[("host", "shop"), named[0], named[1]]);
            to_endpoint(&mut parts, &client()).unwrap();
            let offered = parts.headers.remove(UPGRADE)?;
            assert_eq!(parts.headers[CONNECTION], "upgrade");
            Some(offered.to_str().unwrap().to_owned())
        };
        assert_eq!(
            offered("Upgrade", "websocket").as_deref(),
            Some("websocket")
        );
        let list = "h2c, websocket";
        assert_eq!(offered("close, upgrade", list).as_deref(), Some(list));
        assert_eq!(offered("Upgrade", "h2c"), None);
        assert_eq!(offered("Upgrade", "HTTP/2.0, h2c"), None);
        assert_eq!(offered("keep-alive", "websocket"), None, "not named");
    }

    #[test]
    fn trailers_are_asked_for_on_behalf_of_those_who_want_them() {
        let asked = |version, connection, te| {
            let wish = [("connection", connection), ("te", te)];
            let mut parts = request("/", &[("host", "shop"), wish[0], wish[1]]);
            parts.version = version;
            to_endpoint(&mut parts, &client()).unwrap();
            let asked = parts.headers.get(TE).is_some_and(|te| te == "trailers");
            assert_eq!(parts.headers.contains_key(CONNECTION), asked);
            asked
        };
        assert!(asked(Version::HTTP_11, "TE", "gzip;q=0.5, Trailers"));
        assert!(asked(Version::HTTP_2, "", "trailers"));
        assert!(!asked(Version::HTTP_11, "te", "gzip"));
        assert!(!asked(Version::HTTP_11, "close", "trailers"), "not named");
    }

    #[test]
    fn there_is_exactly_one_host() {
        assert_eq!(refused(&[]), Some(400));
        assert_eq!(refused(&[("host", "a"), ("host", "b")]), Some(400));
        assert_eq!(refused(&[("host", "a"), ("connection", "host")]), Some(400));

        let mut old = request("/", &[]);
        old.version = Version::HTTP_10;
        to_endpoint(&mut old, &client()).unwrap();
        assert_eq!(old.version, Version::HTTP_11);

        let mut absolute = request("http://me@shop:8080/a?b=c", &[("host", "other")]);
        to_endpoint(&mut absolute, &client()).unwrap();
        assert_eq!(absolute.headers[HOST], "shop:8080");
        assert_eq!(absolute.headers[X_FORWARDED_HOST], "shop:8080");
        assert_eq!(absolute.uri, "/a?b=c");

        let mut alone = request("http://shop", &[]);
        to_endpoint(&mut alone, &client()).unwrap();
        assert_eq!(alone.headers[HOST], "shop");
    }

    #[test]
    fn forwarded_headers_say_what_was_seen_here() {
        let before = [
            ("host", "shop"),
            ("x-forwarded-for", "198.51.100.1"),
            ("x-forwarded-for", "198.51.100.2, 198.51.100.3"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "spoofed"),
        ];
        let mut parts = request("/", &before);
        assert_eq!(client().address(&parts.headers), b"192.0.2.7");
        to_endpoint(&mut parts, &client()).unwrap();
        let all = "198.51.100.1, 198.51.100.2, 198.51.100.3, 192.0.2.7";
        assert_eq!(parts.headers["x-forwarded-for"], all);
        assert_eq!(parts.headers["x-forwarded-proto"], "http");
        assert_eq!(parts.headers["x-forwarded-host"], "shop");
    }

    #[test]
    fn a_trusted_proxy_in_front_is_believed() {
        let client = connected("192.0.2.7:1234", Trust::Peer);
        let before = [
            ("host", "shop"),
            ("x-forwarded-for", "203.0.113.9, 198.51.100.3"),
            ("x-forwarded-proto", "https"),
        ];
        let mut parts = request("/", &before);
        assert_eq!(client.address(&parts.headers), b"198.51.100.3");
        assert_eq!(client.address(&HeaderMap::new()), b"192.0.2.7");
        to_endpoint(&mut parts, &client).unwrap();
        assert_eq!(parts.headers["x-forwarded-proto"], "https");
        assert_eq!(parts.headers["x-forwarded-host"], "shop");
    }
}
