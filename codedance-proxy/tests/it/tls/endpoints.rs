//! TLS with endpoints.

use std::convert::Infallible;
use std::sync::Arc;

use codedance_core::ErrorKind;
use codedance_core::traffic::Endpoints;
use codedance_proxy::{Config, EndpointTls, Proxy, Transport};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::authority::{Authority, Signed};
use crate::support::*;

/// What a server with this certificate needs; it may ask clients for one signed by `clients`.
pub(super) fn server(signed: &Signed, clients: Option<&Authority>) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let roots = clients.roots();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        }
    };
    let key = PrivateKeyDer::from_pem_file(&signed.key).unwrap();
    let chain = vec![signed.certificate.clone()];
    builder.with_single_cert(chain, key).unwrap()
}

/// A server that says which name it was asked for.
async fn named(config: ServerConfig) -> Backend {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Backend::raw(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            // Clients that do not trust it go away.
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let name = stream.get_ref().1.server_name().map(str::to_owned);
            let name = name.unwrap_or_else(|| "nobody".to_owned());
            let service = service_fn(move |_| {
                let answer = Response::new(full(name.clone()));
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            let _ = connection.await;
        }
    })
    .await
}

fn trusting(authority: &Authority) -> EndpointTls {
    EndpointTls::new().with_authorities(authority.file())
}

fn over(tls: EndpointTls) -> Config {
    config().with_transport(Transport::new().with_tls(tls))
}

#[tokio::test]
async fn an_endpoint_that_proves_its_name_is_spoken_to() {
    let authority = Authority::new();
    let backend = named(server(&authority.sign("shop.internal"), None)).await;
    let config = over(trusting(&authority).with_server_name("shop.internal"));
    let proxy = proxy(config, &[&backend], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    for _ in 0..5 {
        let answer = (StatusCode::OK, "shop.internal".to_owned());
        assert_eq!(client.get("/").await, answer);
    }
    assert_eq!(backend.accepted(), 1, "its connection is kept");
    stop(proxy).await;
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_is_noticed_before_it_is_used() {
    let authority = Authority::new();
    let acceptor = TlsAcceptor::from(Arc::new(server(&authority.sign("127.0.0.1"), None)));
    let (closed, mut closings) = mpsc::unbounded_channel();
    let backend = Backend::raw(move |stream| {
        let (acceptor, closed) = (acceptor.clone(), closed.clone());
        async move {
            let mut stream = acceptor.accept(stream).await.unwrap();
            read_head(&mut stream).await.unwrap();
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            stream.write_all(answer).await.unwrap();
            // It says that it closes, as all do that speak TLS, and then does.
            stream.shutdown().await.unwrap();
            drop(stream);
            closed.send(()).unwrap();
        }
    })
    .await;
    let proxy = proxy(over(trusting(&authority)), &[&backend], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    for asked in 1..=3 {
        assert_eq!(client.get("/").await, (StatusCode::OK, "ok".to_owned()));
        closings.recv().await.unwrap();
        assert_eq!(backend.accepted(), asked);
    }
    let resent = proxy.totals(&revision("v1")).unwrap().resent;
    assert_eq!(resent, 0, "nothing was sent to nobody");
    stop(proxy).await;
}

#[tokio::test]
async fn http_2_is_agreed_on_or_not_spoken() {
    let authority = Authority::new();
    let signed = authority.sign("127.0.0.1");
    let speaking = async |versions: &[&str]| {
        let mut config = server(&signed, None);
        config.alpn_protocols = versions
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Backend::raw(move |stream| {
            let acceptor = acceptor.clone();
            async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    let answer = |request: Request<Incoming>| async move {
                        assert_eq!(request.uri().scheme_str(), Some("https"));
                        Response::new(full("ok"))
                    };
                    serve_http2(stream, answer, 200).await;
                }
            }
        })
        .await
    };
    let transport = Transport::new().with_http2().with_tls(trusting(&authority));
    let config = config().with_transport(transport);
    for (versions, status) in [
        (&["h2", "http/1.1"][..], StatusCode::OK),
        (&["http/1.1"], StatusCode::BAD_GATEWAY),
        (&[], StatusCode::BAD_GATEWAY),
    ] {
        let backend = speaking(versions).await;
        let proxy = proxy(config.clone(), &[&backend], &[]).await;
        let mut client = Client::connect(proxy.local_addr()).await;
        let (answered, text) = client.get("/").await;
        assert_eq!(answered, status, "{versions:?}: {text}");
        let failed = proxy.totals(&revision("v1")).unwrap().failed_handshakes;
        if status != StatusCode::OK {
            assert!(text.contains("another version of HTTP"), "{text}");
            assert_eq!(failed, 1);
        }
        stop(proxy).await;
    }
}

#[tokio::test]
async fn without_a_name_an_endpoint_proves_its_address() {
    let authority = Authority::new();
    let backend = named(server(&authority.sign("127.0.0.1"), None)).await;
    let proxy = proxy(over(trusting(&authority)), &[&backend], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    assert_eq!(client.get("/").await.1, "nobody");
    stop(proxy).await;
}

#[tokio::test]
async fn an_endpoint_that_does_not_is_never_used() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let signed = ours.sign("shop.internal");
    let name = |tls: EndpointTls| tls.with_server_name("shop.internal");
    let expired = ours.sign_expired("shop.internal");
    for (server, tls, reason) in [
        (server(&signed, None), name(trusting(&theirs)), "authority"),
        (server(&signed, None), name(EndpointTls::new()), "authority"),
        (server(&signed, None), trusting(&ours), "another name"),
        (
            server(&signed, None),
            trusting(&ours).with_server_name("office.internal"),
            "another name",
        ),
        (server(&expired, None), name(trusting(&ours)), "expired"),
    ] {
        let backend = named(server).await;
        let proxy = proxy(over(tls), &[&backend], &[]).await;
        let mut client = Client::connect(proxy.local_addr()).await;
        let (status, text) = client.get("/").await;
        assert_eq!(status, StatusCode::BAD_GATEWAY, "{text}");
        assert!(text.contains(reason), "{text}");
        let totals = proxy.totals(&revision("v1")).unwrap();
        assert_eq!((totals.failed_handshakes, totals.no_answer), (1, 1));
        assert_eq!(totals.refused_connections, 0);
        stop(proxy).await;
    }
}

#[tokio::test]
async fn a_server_that_speaks_in_clear_text_gets_nothing_to_read() {
    let authority = Authority::new();
    let (backend, seen) = witness().await;
    let proxy = proxy(over(trusting(&authority)), &[&backend], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    let (status, text) = client.get("/").await;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    assert!(text.contains("does not agree on TLS"), "{text}");
    assert!(seen.lock().unwrap().is_empty());
    stop(proxy).await;
}

#[tokio::test]
async fn others_take_over_from_one_that_is_not_trusted() {
    let authority = Authority::new();
    let good = named(server(&authority.sign("good"), None)).await;
    let bad = named(server(&authority.sign("bad"), None)).await;
    let config = over(trusting(&authority).with_server_name("good"));
    let proxy = proxy(config.with_cool_down(PATIENCE), &[&bad, &good], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    for _ in 0..6 {
        let (status, _) = client.ask(post("/", "x")).await.unwrap();
        assert_eq!(status, StatusCode::OK);
    }
    assert_eq!(proxy.totals(&revision("v1")).unwrap().failed_handshakes, 1);
    stop(proxy).await;
}

#[tokio::test]
async fn an_endpoint_may_ask_who_the_proxy_is() {
    let (theirs, ours) = (Authority::new(), Authority::new());
    let backend = named(server(&theirs.sign("shop"), Some(&ours))).await;
    let tls = trusting(&theirs).with_server_name("shop");
    let own = ours.sign("proxy");
    let known = tls.clone().with_client_certificate(&own.chain, &own.key);
    for (tls, status) in [(known, StatusCode::OK), (tls, StatusCode::BAD_GATEWAY)] {
        let proxy = proxy(over(tls), &[&backend], &[]).await;
        let mut client = Client::connect(proxy.local_addr()).await;
        assert_eq!(client.get("/").await.0, status);
        stop(proxy).await;
    }
}

#[tokio::test]
async fn each_revision_may_be_spoken_to_in_its_own_way() {
    let authority = Authority::new();
    let clear = Backend::saying("clear").await;
    let secure = named(server(&authority.sign("127.0.0.1"), None)).await;
    let proxy = proxy(config(), &[&clear], &[]).await;
    let v2 = revision("v2");
    let tls = Transport::new().with_tls(trusting(&authority));
    proxy.set_transport(&v2, &tls).await.unwrap();
    proxy.add(&v2, secure.address).await.unwrap();
    let mut client = Client::connect(proxy.local_addr()).await;
    assert_eq!(client.get("/").await.1, "clear");
    apply(&proxy, &split(10_000)).await;
    assert_eq!(client.get("/").await.1, "nobody");
    stop(proxy).await;
}

#[tokio::test]
async fn another_protocol_passes_over_tls() {
    let authority = Authority::new();
    let acceptor = TlsAcceptor::from(Arc::new(server(&authority.sign("127.0.0.1"), None)));
    let backend = Backend::raw(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let mut stream = acceptor.accept(stream).await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let answer = b"HTTP/1.1 101 Hm\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
            stream.write_all(answer).await.unwrap();
            let (mut from, mut to) = tokio::io::split(stream);
            let _ = tokio::io::copy(&mut from, &mut to).await;
        }
    })
    .await;
    let proxy = proxy(over(trusting(&authority)), &[&backend], &[]).await;
    let mut stream = TcpStream::connect(proxy.local_addr()).await.unwrap();
    let ask = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    stream.write_all(ask).await.unwrap();
    let head = read_head(&mut stream).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    stream.write_all(b"hello").await.unwrap();
    let mut echoed = [0; 5];
    stream.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"hello");
    drop(stream);
    stop(proxy).await;
}

#[tokio::test]
async fn a_transport_that_cannot_be_is_refused() {
    let authority = Authority::new();
    let own = authority.sign("proxy");
    let proxy = proxy(config(), &[], &[]).await;
    for (tls, reason) in [
        (
            EndpointTls::new().with_authorities(authority.path("none.crt")),
            "cannot read ",
        ),
        (
            EndpointTls::new().with_authorities(&own.key),
            "has no certificate in PEM",
        ),
        (
            EndpointTls::new().with_server_name("not a name"),
            "`not a name` is neither",
        ),
        (
            EndpointTls::new().with_client_certificate(authority.file(), &own.key),
            "is not that of the certificate",
        ),
    ] {
        let transport = Transport::new().with_tls(tls);
        let error = proxy.set_transport(&revision("v2"), &transport).await;
        let started = Proxy::bind(config().with_transport(transport)).await;
        for error in [error.unwrap_err(), started.unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Invalid);
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert!(cause.contains(reason), "{cause}");
        }
    }
    stop(proxy).await;
}
