//! Servers that show who they are.

use std::sync::Arc;
use std::time::Duration;

use codedance_core::ErrorKind;
use futures::future::join_all;
use hyper::Version;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

use super::gate::{Gate, Weather};
use super::upstream::{Upstream, one};
use super::{AT, Config, told, value};
use crate::client::Client;

/// A folder with the certificate of an authority.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let mut params = CertificateParams::default();
        // Two of the same name would be taken for one whose signature is wrong.
        let name = folder.path().to_str().unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    fn acceptor(&self, host: &str) -> TlsAcceptor {
        self.acceptor_of(host, &[])
    }

    /// One that speaks these protocols.
    fn acceptor_of(&self, host: &str, protocols: &[&str]) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([host.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key);
        let mut config = config.unwrap();
        let protocols = protocols.iter();
        config.alpn_protocols = protocols.map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config).into()
    }

    fn trusting(&self, config: Config) -> Config {
        config.with_ca_file(self.folder.path().join("ca.pem"))
    }
}

fn config(gate: &Gate) -> Config {
    Config::new(format!("https://{}", gate.address).parse().unwrap())
}

#[tokio::test]
async fn a_server_is_trusted_if_the_named_authority_vouches_for_it() {
    let own = Authority::new();
    let upstream = Upstream::start_tls(own.acceptor("127.0.0.1"), |_| async { one("1") }).await;
    let gate = Gate::to(upstream.address).await;
    let client = Client::open(own.trusting(config(&gate))).await.unwrap();
    assert_eq!(value(&client.instant("up", AT).await.unwrap()), 1.0);
    assert_eq!(upstream.asked().len(), 1);
}

#[tokio::test]
async fn http_2_is_spoken_with_those_who_speak_it() {
    let own = Authority::new();
    for (protocols, expected) in [
        (&["h2", "http/1.1"][..], Version::HTTP_2),
        (&["http/1.1"], Version::HTTP_11),
        (&[], Version::HTTP_11),
    ] {
        let acceptor = own.acceptor_of("127.0.0.1", protocols);
        let upstream = Upstream::start_tls(acceptor, |_| async { one("1") }).await;
        let gate = Gate::to(upstream.address).await;
        let client = Client::open(own.trusting(config(&gate))).await.unwrap();
        let queries: Vec<_> = (0..20).map(|id| format!("q{id}")).collect();
        for rows in join_all(queries.iter().map(|query| client.instant(query, AT))).await {
            assert_eq!(value(&rows.unwrap()), 1.0);
        }
        let asked = upstream.asked();
        assert_eq!(asked.len(), 20);
        assert!(
            asked.iter().all(|asked| asked.version == expected),
            "{protocols:?}"
        );
    }
}

#[tokio::test]
async fn a_server_for_which_nobody_vouches_is_told_nothing() {
    let (own, other) = (Authority::new(), Authority::new());
    let upstream = Upstream::start_tls(own.acceptor("127.0.0.1"), |_| async { one("1") }).await;
    let elsewhere = Upstream::start_tls(own.acceptor("127.0.0.2"), |_| async { one("1") }).await;
    for (upstream, trusted) in [
        (&upstream, None),
        (&upstream, Some(&other)),
        (&elsewhere, Some(&own)),
    ] {
        let gate = Gate::to(upstream.address).await;
        let config = match trusted {
            None => config(&gate),
            Some(authority) => authority.trusting(config(&gate)),
        };
        let error = match Client::open(config).await {
            Ok(client) => client.instant("up", AT).await.unwrap_err(),
            // A machine may know no authority at all.
            Err(error) if trusted.is_none() => {
                assert!(told(&error).contains("under `ca_file`"), "{}", told(&error));
                continue;
            }
            Err(error) => panic!("{}", told(&error)),
        };
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let told = told(&error);
        let expected = "the server is not trusted; name the file of its authority under `ca_file`";
        assert!(told.contains(expected), "{told}");
        assert_eq!(
            gate.connections(),
            1,
            "it would not be trusted a moment later"
        );
        assert!(upstream.asked().is_empty());
    }
}

#[tokio::test]
async fn a_handshake_has_the_time_of_a_connection() {
    let own = Authority::new();
    let upstream = Upstream::start_tls(own.acceptor("127.0.0.1"), |_| async { one("1") }).await;
    let gate = Gate::to(upstream.address).await;
    gate.script([Weather::Swallow], Weather::Fair);
    let config = own
        .trusting(config(&gate))
        .with_connect_timeout(Duration::from_secs(1));
    let client = Client::open(config.clone()).await.unwrap();
    assert_eq!(
        value(&client.instant("up", AT).await.unwrap()),
        1.0,
        "the second time"
    );
    gate.set(Weather::Swallow);
    let client = Client::open(config.with_attempts(1)).await.unwrap();
    let error = client.instant("up", AT).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(
        told(&error).contains("no connection within 1s"),
        "{}",
        told(&error)
    );
}
