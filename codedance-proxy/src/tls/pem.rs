//! Certificates and keys in files.

use std::path::Path;
use std::sync::Arc;

use rustls::Error;
use rustls::InconsistentKeys;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::config::CertificateFiles;
use super::error::TlsError;

/// What is in the files of a certificate.
#[derive(Debug, Hash)]
pub(super) struct Contents {
    chain: Vec<u8>,
    key: Vec<u8>,
}

impl CertificateFiles {
    pub(super) async fn read(&self) -> Result<Contents, TlsError> {
        Ok(Contents {
            chain: read(&self.chain).await?,
            key: read(&self.key).await?,
        })
    }

    /// The certificate with its key, which must fit it.
    pub(super) fn parse(
        &self,
        contents: &Contents,
        provider: &CryptoProvider,
    ) -> Result<Arc<CertifiedKey>, TlsError> {
        let Self { chain, key } = self;
        let certificates = certificates(chain, &contents.chain)?;
        let private = PrivateKeyDer::from_pem_slice(&contents.key)
            .map_err(|error| cannot_parse(key, "private key", &error))?;
        let certified = CertifiedKey::from_der(certificates, private, provider);
        let certified = certified.map_err(|source| {
            let (chain, key) = (chain.clone(), key.clone());
            match source {
                Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                    TlsError::NotItsKey { chain, key }
                }
                source => TlsError::Unusable { chain, key, source },
            }
        })?;
        Ok(Arc::new(certified))
    }
}

pub(super) async fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let read = tokio::fs::read(path).await;
    read.map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })
}

/// All certificates of a file, at least one, in their order.
pub(super) fn certificates(
    path: &Path,
    contents: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    const WANTED: &str = "certificate";
    let certificates = CertificateDer::pem_slice_iter(contents)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| cannot_parse(path, WANTED, &error))?;
    if certificates.is_empty() {
        return Err(cannot_parse(path, WANTED, &pem::Error::NoItemsFound));
    }
    Ok(certificates)
}

fn cannot_parse(path: &Path, wanted: &'static str, error: &pem::Error) -> TlsError {
    let path = path.to_owned();
    match error {
        pem::Error::NoItemsFound => TlsError::Missing { path, wanted },
        error => TlsError::Malformed {
            path,
            reason: error.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(chain: &str, key: &str) -> Result<Arc<CertifiedKey>, String> {
        let files = CertificateFiles {
            chain: "a.crt".into(),
            key: "a.key".into(),
        };
        let contents = Contents {
            chain: chain.into(),
            key: key.into(),
        };
        let provider = rustls::crypto::ring::default_provider();
        let parsed = files.parse(&contents, &provider);
        parsed.map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_wrong_with_which_file_is_said() {
        let shop = rcgen::generate_simple_self_signed(["shop".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(["other".to_owned()]).unwrap();
        let (chain, key) = (shop.cert.pem(), shop.signing_key.serialize_pem());
        let two = chain.clone() + &other.cert.pem();
        assert_eq!(parse(&two, &key).unwrap().cert.len(), 2);
        let wrong = |chain: &str, key: &str| parse(chain, key).unwrap_err();
        assert_eq!(wrong("", &key), "a.crt has no certificate in PEM");
        assert_eq!(wrong(&key, &key), "a.crt has no certificate in PEM");
        assert_eq!(wrong(&chain, &chain), "a.key has no private key in PEM");
        let cut = &chain[..chain.len() / 2];
        assert!(wrong(cut, &key).starts_with("a.crt is not proper PEM: "));
        assert_eq!(
            wrong(&chain, &other.signing_key.serialize_pem()),
            "the key in a.key is not that of the certificate in a.crt"
        );
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let cannot = "the certificate in a.crt with the key in a.key cannot be used";
        assert_eq!(wrong(garbage, &key), cannot);
    }
}
