//! TLS with clients.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use codedance_core::ErrorKind;
use codedance_proxy::{Config, Proxy, Tls};
use hyper::{Response, StatusCode, Version};
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::authority::{Authority, Signed};
use crate::support::*;

const SHORT: Duration = Duration::from_millis(50);

fn secured(signed: &Signed) -> Config {
    config().with_tls(Tls::new(&signed.chain, &signed.key))
}

async fn connect(
    proxy: &Proxy,
    authority: &Authority,
    host: &'static str,
    versions: &[&str],
) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(proxy.local_addr()).await?;
    let connector = TlsConnector::from(Arc::new(authority.client(versions)));
    let host = ServerName::try_from(host).unwrap();
    connector.connect(host, stream).await
}

/// The certificate that the proxy shows to who asks for this host.
async fn shown(
    proxy: &Proxy,
    authority: &Authority,
    host: &'static str,
) -> io::Result<CertificateDer<'static>> {
    let stream = connect(proxy, authority, host, &[]).await?;
    let certificates = stream.get_ref().1.peer_certificates().unwrap();
    Ok(certificates[0].clone())
}

async fn counted(admin: SocketAddr, name: &str) -> u64 {
    let mut client = Client::connect(admin).await;
    let (_, page) = client.get("/metrics").await;
    let mut lines = page.lines();
    let line = lines.find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap().parse().unwrap()
}

#[tokio::test]
async fn clients_speak_the_version_that_they_ask_for() {
    let backend = Backend::start(|request| async move {
        let scheme = request.headers()["x-forwarded-proto"].clone();
        Response::new(full(scheme.to_str().unwrap().to_owned()))
    })
    .await;
    let authority = Authority::new();
    let config = secured(&authority.sign("shop"));
    let proxy = proxy(config, &[&backend], &[]).await;
    let connect = async |versions: &[&str]| connect(&proxy, &authority, "shop", versions).await;
    let https = (StatusCode::OK, "https".to_owned());
    for (offered, agreed) in [
        (&["h2", "http/1.1"][..], Some("h2")),
        (&["h2"], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&[], None),
    ] {
        let stream = connect(offered).await.unwrap();
        let protocol = stream.get_ref().1.alpn_protocol();
        assert_eq!(protocol, agreed.map(str::as_bytes));
        if agreed == Some("h2") {
            let client = Http2Client::over(stream).await;
            assert_eq!(client.get("/").await, https);
        } else {
            let mut client = Client::over(stream).await;
            let response = client.send(get("/")).await.unwrap();
            assert_eq!(response.version(), Version::HTTP_11);
            drop(response);
            assert_eq!(client.get("/").await, https);
        }
    }
    // Without a word beforehand it shows by what is sent.
    let client = Http2Client::over(connect(&[]).await.unwrap()).await;
    assert_eq!(client.get("/").await, https);
    assert!(connect(&["spdy/3"]).await.is_err());
    stop(proxy).await;
}

#[tokio::test]
async fn a_client_gets_the_certificate_of_the_name_it_asks_for() {
    let authority = Authority::new();
    let (shop, office) = (authority.sign("shop.test"), authority.sign("*.office.test"));
    let tls = Tls::new(&shop.chain, &shop.key).with_certificate(&office.chain, &office.key);
    let proxy = proxy(config().with_tls(tls), &[], &[]).await;
    let shown = async |host| shown(&proxy, &authority, host).await;
    assert_eq!(shown("shop.test").await.unwrap(), shop.certificate);
    assert_eq!(shown("desk.office.test").await.unwrap(), office.certificate);
    // Others get the first, which is not theirs.
    let error = shown("else.test").await.unwrap_err().to_string();
    assert!(error.contains("shop.test"), "{error}");
    stop(proxy).await;
}

#[tokio::test]
async fn a_new_certificate_is_taken_unless_it_is_broken() {
    let authority = Authority::new();
    let old = authority.sign("shop");
    let tls = Tls::new(&old.chain, &old.key).with_reload_interval(SHORT);
    let config = config().with_tls(tls).with_admin(NOWHERE);
    let backend = Backend::saying("ok").await;
    let proxy = proxy(config, &[&backend], &[]).await;
    let admin = proxy.admin_addr().unwrap();
    let outdated = async |wanted| {
        let same = async {
            while counted(admin, "codedance_proxy_outdated_certificates").await != wanted {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, same).await.unwrap();
    };
    let stream = connect(&proxy, &authority, "shop", &[]).await.unwrap();
    let mut client = Client::over(stream).await;

    // A key that belongs to another certificate, a file that is cut short, one that is gone.
    let other = authority.sign("other");
    std::fs::copy(&other.key, &old.key).unwrap();
    outdated(1).await;
    assert_eq!(
        shown(&proxy, &authority, "shop").await.unwrap(),
        old.certificate
    );
    std::fs::write(&old.chain, "-----BEGIN CERTIFICATE-----\nMIIB").unwrap();
    std::fs::remove_file(&old.key).unwrap();
    outdated(1).await;
    assert_eq!(
        shown(&proxy, &authority, "shop").await.unwrap(),
        old.certificate
    );

    let new = authority.sign("shop");
    outdated(0).await;
    assert_ne!(new.certificate, old.certificate);
    assert_eq!(
        shown(&proxy, &authority, "shop").await.unwrap(),
        new.certificate
    );
    assert_eq!(client.get("/").await.1, "ok", "connections outlive it");
    stop(proxy).await;
}

/// What the proxy answers to these bytes before it closes the connection.
async fn answer(proxy: &Proxy, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(proxy.local_addr()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    // It may be reset as well as closed.
    let _ = read.expect("it was never closed");
    answer
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_cut_off() {
    let authority = Authority::new();
    let signed = authority.sign("shop");
    let tls = Tls::new(&signed.chain, &signed.key).with_handshake_timeout(SHORT);
    let config = config().with_tls(tls).with_admin(NOWHERE);
    let proxy = proxy(config, &[], &[]).await;
    assert_eq!(answer(&proxy, b"").await, b"");
    // The beginning of a record.
    assert_eq!(answer(&proxy, b"\x16\x03\x01\x02\x00").await, b"");
    let admin = proxy.admin_addr().unwrap();
    assert_eq!(
        counted(admin, "codedance_proxy_failed_handshakes_total").await,
        2
    );
    stop(proxy).await;
}

#[tokio::test]
async fn what_is_no_proper_tls_is_refused_and_counted() {
    let authority = Authority::new();
    let config = secured(&authority.sign("shop")).with_admin(NOWHERE);
    let proxy = proxy(config, &[], &[]).await;
    let plain = answer(&proxy, b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n").await;
    assert!(!plain.starts_with(b"HTTP"), "{plain:?}");

    // What TLS 1.1 sends first; the answer is a fatal alert about the version.
    let mut hello = b"\x16\x03\x01\x00\x37\x01\x00\x00\x33\x03\x02".to_vec();
    hello.extend([7; 32]);
    hello.extend(b"\x00\x00\x02\xc0\x13\x01\x00\x00\x08\x00\x0d\x00\x04\x00\x02\x04\x03");
    let alert = answer(&proxy, &hello).await;
    assert!(alert.ends_with(&[2, 70]), "{alert:?}");

    let admin = proxy.admin_addr().unwrap();
    assert_eq!(
        counted(admin, "codedance_proxy_failed_handshakes_total").await,
        2
    );
    stop(proxy).await;
}

#[tokio::test]
async fn a_proxy_without_a_proper_certificate_does_not_start() {
    let authority = Authority::new();
    let (shop, other) = (authority.sign("shop"), authority.sign("other"));
    let refused = async |chain, key| {
        let config = config().with_tls(Tls::new(chain, key));
        let error = Proxy::bind(config).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        std::error::Error::source(&error).unwrap().to_string()
    };
    let missing = refused(authority.path("none.crt"), shop.key.clone()).await;
    assert!(
        missing.starts_with("cannot read ") && missing.ends_with("none.crt"),
        "{missing}"
    );
    let foreign = refused(shop.chain.clone(), other.key.clone()).await;
    assert!(foreign.starts_with("the key in "), "{foreign}");
}

/// What is left of a connection at rest is not only its socket, but the session, too.
#[tokio::test]
async fn a_quiet_client_asks_again_over_the_same_session() {
    let backend = Backend::saying("ok").await;
    let authority = Authority::new();
    let config = secured(&authority.sign("shop"));
    let proxy = proxy(config, &[&backend], &[]).await;
    let stream = connect(&proxy, &authority, "shop", &["http/1.1"]).await;
    let mut stream = stream.unwrap();
    for _ in 0..3 {
        let request = "GET / HTTP/1.1\r\nHost: shop\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = timeout(PATIENCE, read_head(&mut stream)).await;
        let head = answer.expect("no answer comes").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let mut body = [0; 2];
        stream.read_exact(&mut body).await.unwrap();
        assert_eq!(&body, b"ok");
    }
    stop(proxy).await;
    let ended = timeout(PATIENCE, stream.read(&mut [0; 1])).await;
    assert!(matches!(ended.expect("it stays open"), Ok(0) | Err(_)));
}
