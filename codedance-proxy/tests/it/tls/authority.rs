//! Who vouches for whom.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
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
        let folder = TempDir::new().unwrap();
        let mut params = CertificateParams::default();
        // Two of the same name would be taken for one whose signature is wrong.
        let name = folder.path().to_str().unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap());
        let authority = Self {
            issuer: issuer.unwrap(),
            folder,
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
        self.sign_as(host, CertificateParams::new([host.to_owned()]).unwrap())
    }

    /// Signs a certificate whose time is over.
    pub(super) fn sign_expired(&self, host: &str) -> Signed {
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(2001, 1, 1);
        self.sign_as(&format!("expired.{host}"), params)
    }

    fn sign_as(&self, file: &str, params: CertificateParams) -> Signed {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let signed = Signed {
            chain: self.path(&format!("{file}.crt")),
            key: self.path(&format!("{file}.key")),
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
