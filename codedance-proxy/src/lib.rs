//! A reverse proxy for HTTP/1.1 and HTTP/2 that lives in your process, divides traffic between two
//! revisions of a service, and counts what becomes of every request.
//!
//! ```text
//!                       ┌──────────────── Proxy ────────────────┐
//!                       │  table: stable 95 %, canary 5 %       │     v1 (stable)
//!                       │    │                                  ├───▶ 10.0.0.1:80
//!   clients ────HTTP────┼──▶ choose ──▶ endpoint ──▶ connection ├───▶ 10.0.0.2:80
//!                       │    ▲             │  ▲                  │     v2 (canary)
//!                       │    │             ▼  │                 ├───▶ 10.0.0.3:80
//!                       │    │        counters, in flight       │
//!                       └────┼─────────────┼──┼─────────────────┘
//!                  TrafficRouter  MetricsSource  Endpoints     /metrics for Prometheus
//! ```
//!
//! A [`Proxy`] is three of Codedance's ports in one:
//! [`TrafficRouter`](codedance_core::traffic::TrafficRouter) sets the split,
//! [`Endpoints`](codedance_core::traffic::Endpoints) says which addresses serve a revision, and
//! [`MetricsSource`](codedance_core::metrics::MetricsSource) tells the judge what was counted.
//!
//! ```
//! use codedance_core::Percent;
//! use codedance_core::traffic::{Endpoints, Split, TrafficRouter};
//! use codedance_core::workload::Revision;
//! use codedance_proxy::{Config, Proxy};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let (v1, v2) = (Revision::new("v1")?, Revision::new("v2")?);
//! let proxy = Proxy::bind(Config::new("127.0.0.1:0".parse()?, v1.clone())).await?;
//! proxy.add(&v1, "10.0.0.1:80".parse()?).await?;
//! proxy.add(&v2, "10.0.0.3:80".parse()?).await?;
//!
//! // In force for the next request; none is lost by it.
//! proxy.apply(&Split::new(v1, v2, Percent::new(5)?)).await?;
//!
//! let cut = proxy.shutdown(std::time::Duration::from_secs(30)).await;
//! assert_eq!(cut, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # Guarantees
//!
//! - **A change loses nothing.** Every request loads the routing table once; the table is swapped as
//!   a whole. Connections of clients outlive every change.
//! - **0 % is nothing, 100 % is everything.** Between them each request is drawn anew, or users stay
//!   together by the hash of a header, a cookie or their address, exactly as with nginx
//!   `split_clients` – except that users without a key stay with the stable revision; see
//!   [`in_cohort`].
//! - **Rules come first.** Headers, cookies and networks can send certain requests to one side of a
//!   split as long as both have a share; see [`Rules`].
//! - **Kept connections lose nothing.** A server may close an idle connection just when a request is
//!   sent over it. Requests that may be repeated are then repeated, all others never travel over a
//!   connection that was kept; see [`Reuse`].
//! - **Nothing is sent twice that may not be.** Another endpoint of the revision is tried as long as
//!   none can have read the request, or each of them says that it has not looked at it. Beyond that,
//!   only what can be repeated is, and only where you ask for it; see [`Retries`].
//! - **Draining is exact.** Once an endpoint is drained, no request is in flight there, bodies
//!   included, and none comes.
//!
//! # Which endpoint
//!
//! The endpoints of a revision take turns. One that did not accept a connection is passed over for
//! [`Config::cool_down`]. [`HealthCheck`] asks each endpoint regularly whether it is well;
//! [`OutlierDetection`] ejects those that fail one request after the other. Both are off by default.
//! Who is unhealthy or ejected comes last, and is asked when no other accepts a request: when all of
//! a revision are, all take turns. [`Proxy::endpoint_status`] and the metrics say what is thought of
//! whom.
//!
//! # Access log
//!
//! [`AccessLog`] writes one line for each request, in JSON or in the form of Apache and nginx: what
//! was asked and answered, who answered and why. Requests never wait for its writer.
//!
//! # Mirroring
//!
//! A [`Mirror`] sends copies of a share of the requests to another revision, or to any group of
//! endpoints under a name of its own. Users neither wait for the copies nor see what becomes of them;
//! they are counted on their own.
//!
//! # What clients see
//!
//! Bodies are streamed both ways. Headers that concern one connection end at the proxy; `Host`
//! stays; `X-Codedance-Mirrored` is removed; `X-Forwarded-For` is appended to; `X-Forwarded-Proto`
//! and `-Host` are set. Of the proxy's own come, as one line of plain text:
//!
//! | status | because |
//! |---|---|
//! | 400 | the request is malformed, see below |
//! | 408 | the client did not send the head of its request within [`Config::header_timeout`], or stopped sending its body |
//! | 413, 414, 431 | the request's body, target or head is beyond the [`Limits`] |
//! | 501 | the request asks for a tunnel (`CONNECT`), or its body comes in another encoding than `chunked` |
//! | 502 | no endpoint of the revision accepts a connection or can prove who it is, or the one that did closed the connection without an answer |
//! | 503 | the revision has no endpoint, its endpoints refuse the request, or there are more connections than [`Limits::connections`] |
//! | 504 | the endpoint did not answer within [`Config::answer_timeout`] |
//! | 505 | the request is of another version than HTTP/2, HTTP/1.1 or HTTP/1.0 |
//!
//! # TLS
//!
//! With [`Config::tls`] clients speak TLS 1.3 or 1.2, in which they choose the version of HTTP;
//! `X-Forwarded-Proto` is then `https`. Certificates are taken from files again when those change,
//! without a connection being lost; see [`Tls`].
//!
//! Endpoints are spoken to in clear text, or over TLS with whom [`EndpointTls`] trusts: for all
//! revisions alike with [`Config::transport`], or for each in its own way with
//! [`Proxy::set_transport`]. An endpoint that cannot prove who it is gets nothing to read. In the same
//! way endpoints may be spoken to in HTTP/2, in which many requests share a connection, and trailers
//! pass from end to end as gRPC needs them; see [`Transport`].
//!
//! A client of HTTP/1.1 that closes its side of the connection before it has its answer is taken for
//! gone, as nginx does; one that takes nothing of its answer for [`Config::send_timeout`] is cut off.
//! An answer that an endpoint sends in a way that cannot be understood is none: 502. So is one that could
//! end in two places, because it has both a length and chunks, or lengths that differ. One that breaks
//! off, or whose chunks are malformed, breaks off for its client too. What follows an answer without
//! having been asked for is never taken for the next one.
//!
//! # HTTP/2
//!
//! In clear text, a client whose first bytes are those of HTTP/2 is spoken to in HTTP/2: it knows
//! that it may (RFC 9113, 3.3). Each of its requests is chosen for, counted, limited and answered on its own, as
//! if it had come in HTTP/1.1; its `:authority` becomes the `Host`, its cookies become one line.
//! Bodies and trailers stream both ways at once. At the end of the proxy, clients are told with
//! GOAWAY; what they sent before they knew is answered.
//!
//! Whoever asks nothing for [`Config::header_timeout`] is let go, and so is who does not answer a
//! PING in 20 s. A client that gives up 200 requests and more than half of all that it sent over a
//! connection loses that connection, because each of them has cost an endpoint something. Heads that
//! unpack to more than four times [`Limits::head_bytes`], or never end, end the connection too.
//!
//! # Other protocols
//!
//! A request that asks to switch to another protocol, a WebSocket for example, is passed on with its
//! `Upgrade`. When the endpoint agrees with 101, everything is passed on unread from then on, both
//! ways, and the request stays in flight until both sides have closed: draining waits for it, and it
//! is cut when the wait is over. An endpoint that does not agree answers as usual. Offers of `h2c`
//! and of newer versions of HTTP are ignored, as HTTP allows.
//!
//! # What is refused
//!
//! Where a proxy and a server disagree on where a request ends, a client can hide a second request
//! in the first. So whatever can be read in two ways is refused with 400, and nothing after it is
//! read from that connection: a `Content-Length` that is malformed, given twice or beside a
//! `Transfer-Encoding`; no `Host`, or several, or one with characters that no host has; lines that
//! end in a bare LF or hold a bare CR; white space before a header's colon or before its name (what
//! used to continue the line before); targets that are neither a path nor an address of HTTP;
//! chunks that are not of the exact form, or have extensions, which nobody uses and servers end in
//! different places. Trailers are at most 8 KiB. Requests that came before on the same connection are
//! answered as usual. HTTP/2 knows where messages end; what its headers say must be unambiguous too.

mod access_log;
mod admin;
mod answer;
mod attempt;
mod carrier;
mod client;
mod cohort;
mod config;
mod connection;
mod dial;
mod endpoint;
mod error;
mod exposition;
mod failure;
mod forward;
mod headers;
mod health;
mod history;
mod inbound;
mod limits;
mod listener;
mod mirror;
mod multiplex;
mod network;
mod outgoing;
mod phase;
mod pool;
mod refusal;
mod replay;
mod retries;
mod route;
mod router;
mod routing;
mod rules;
mod server;
mod source;
mod stats;
mod syntax;
mod tls;
mod transport;
mod tunnel;
mod upload;
mod upstream;
mod wakeups;

pub use access_log::AccessLog;
pub use cohort::{cohort_hash, in_cohort};
pub use config::{Config, Reuse};
pub use health::{EndpointStatus, Health, HealthCheck, OutlierDetection};
pub use limits::Limits;
pub use mirror::{Mirror, MirrorTotals};
pub use network::Network;
pub use retries::Retries;
pub use rules::{Rules, Side};
pub use server::Proxy;
pub use stats::Totals;
pub use tls::{EndpointTls, Tls};
pub use transport::{HttpVersion, Transport};
