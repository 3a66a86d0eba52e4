//! Whom the client trusts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{Error, PemObject};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

use super::config::Config;
use super::fault::Fault;

const KEY: &str = "ca_file";

/// How TLS is spoken with the server. Its files are read on a thread where that may take a while.
pub(super) async fn load(config: &Config) -> Result<ClientConfig, Fault> {
    let (is_https, ca_file) = (config.url.is_https(), config.ca_file.clone());
    let loaded = tokio::task::spawn_blocking(move || build(is_https, ca_file));
    loaded.await.unwrap_or(Err(Fault::Thread))
}

fn build(is_https: bool, ca_file: Option<PathBuf>) -> Result<ClientConfig, Fault> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(Fault::Tls)?;
    let builder = match ca_file {
        Some(path) => builder.with_root_certificates(authorities(&path)?),
        None if is_https => {
            let verifier = Verifier::new(provider).map_err(Fault::NoAuthorities)?;
            let builder = builder.dangerous();
            builder.with_custom_certificate_verifier(Arc::new(verifier))
        }
        // Nobody is asked for a certificate; a machine without any authority is good enough.
        None => builder.with_root_certificates(RootCertStore::empty()),
    };
    let mut tls = builder.with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(tls)
}

fn authorities(path: &Path) -> Result<RootCertStore, Fault> {
    let file = || path.display();
    let contents = std::fs::read(path).map_err(|source| Fault::File {
        key: KEY.to_owned(),
        path: path.to_owned(),
        source,
    })?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&contents) {
        let certificate = certificate.map_err(|error: Error| {
            Fault::config(KEY, format!("{} is not proper PEM: {error}", file()))
        })?;
        roots.add(certificate).map_err(|error| {
            let problem = format!("a certificate in {} is not an authority's: {error}", file());
            Fault::config(KEY, problem)
        })?;
    }
    if roots.is_empty() {
        let problem = format!("{} has no certificate in PEM", file());
        return Err(Fault::config(KEY, problem));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_an_authority_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own.pem");
        let refused = || authorities(&path).unwrap_err().to_string();
        assert!(
            refused().starts_with("ca_file: cannot read /"),
            "{}",
            refused()
        );
        std::fs::write(&path, "").unwrap();
        assert!(
            refused().ends_with("own.pem has no certificate in PEM"),
            "{}",
            refused()
        );
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        std::fs::write(&path, garbage).unwrap();
        assert!(
            refused().contains("own.pem is not an authority's: "),
            "{}",
            refused()
        );
        std::fs::write(&path, &garbage[..40]).unwrap();
        assert!(
            refused().contains("own.pem is not proper PEM: "),
            "{}",
            refused()
        );
    }
}
