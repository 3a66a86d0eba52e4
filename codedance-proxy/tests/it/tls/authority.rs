//! Who vouches for whom.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;

/// An authority, and a folder with what it has signed.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

/// A certificate and its key, in files.
pub(super) struct Signed {
    pub(super) chain: PathBuf,
    pub(super) key: PathBuf,
    pub(super) certificate: CertificateDer<'static>,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap());
        let authority = Self {
            issuer: issuer.unwrap(),
            folder: TempDir::new().unwrap(),
        };
        std::fs::write(authority.file(), authority.issuer.pem()).unwrap();
        authority
    }

    /// Where its own certificate is.
    pub(super) fn file(&self) -> PathBuf {
        self.folder.path().join("authority.crt")
    }

    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Signs a certificate for a host, in place of the one that was there before.
    pub(super) fn sign(&self, host: &str) -> Signed {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([host.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let signed = Signed {
            chain: self.path(&format!("{host}.crt")),
            key: self.path(&format!("{host}.key")),
            certificate: certificate.der().clone(),
        };
        std::fs::write(&signed.chain, certificate.pem()).unwrap();
        std::fs::write(&signed.key, key.serialize_pem()).unwrap();
        signed
    }

    pub(super) fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        Arc::new(roots)
    }

    /// What a client that trusts this authority needs to know.
    pub(super) fn client(&self, versions: &[&str]) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots())
            .with_no_client_auth();
        config.alpn_protocols = versions
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        config
    }
}
