//! The certificates that are shown to clients, as fresh as their files.

use std::error::Error;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use arc_swap::ArcSwap;
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tracing::{error, info};

use super::config::CertificateFiles;
use super::error::TlsError;
use super::pem::Contents;

/// At least one certificate.
#[derive(Debug)]
pub(super) struct Certificates(Vec<Certificate>);

#[derive(Debug)]
struct Certificate {
    files: CertificateFiles,
    in_use: ArcSwap<CertifiedKey>,
    /// Of what was last found in the files, whether it could be used or not.
    fingerprint: AtomicU64,
    is_outdated: AtomicBool,
}

impl Certificates {
    pub(super) async fn load(
        files: &[CertificateFiles],
        provider: &CryptoProvider,
    ) -> Result<Self, TlsError> {
        let mut all = Vec::new();
        for files in files {
            let contents = files.read().await?;
            all.push(Certificate {
                in_use: ArcSwap::new(files.parse(&contents, provider)?),
                files: files.clone(),
                fingerprint: AtomicU64::new(fingerprint(&contents)),
                is_outdated: AtomicBool::new(false),
            });
        }
        Ok(Self(all))
    }

    /// Looks whether the files have changed.
    pub(super) async fn reload(&self, provider: &CryptoProvider) {
        for certificate in &self.0 {
            certificate.reload(provider).await;
        }
    }

    /// How many are in use although their files can no longer be used.
    pub(super) fn outdated(&self) -> usize {
        let outdated = self.0.iter().filter(|c| c.is_outdated.load(Relaxed));
        outdated.count()
    }
}

impl Certificate {
    async fn reload(&self, provider: &CryptoProvider) {
        let found = self.files.read().await;
        let fingerprint = match &found {
            Ok(contents) => fingerprint(contents),
            Err(error) => fingerprint(&reasons(error)),
        };
        if self.fingerprint.swap(fingerprint, Relaxed) == fingerprint {
            return;
        }
        let parse = |contents: Contents| self.files.parse(&contents, provider);
        match found.and_then(parse) {
            Ok(certified) => {
                self.in_use.store(certified);
                self.is_outdated.store(false, Relaxed);
                info!(chain = %self.files.chain.display(), "a new certificate is in use");
            }
            Err(wrong) => {
                self.is_outdated.store(true, Relaxed);
                let reason = reasons(&wrong);
                error!(%reason, "a new certificate cannot be used; the old one stays");
            }
        }
    }

    fn is_for(&self, name: &ServerName<'_>) -> bool {
        let in_use = self.in_use.load();
        let own = in_use.end_entity_cert().ok();
        own.and_then(|own| ParsedCertificate::try_from(own).ok())
            .is_some_and(|own| verify_server_name(&own, name).is_ok())
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asked = hello.server_name();
        let asked = asked.and_then(|name| ServerName::try_from(name).ok());
        let fitting = asked.and_then(|name| self.0.iter().find(|c| c.is_for(&name)));
        let chosen = fitting.or_else(|| self.0.first())?;
        Some(chosen.in_use.load_full())
    }
}

fn fingerprint(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// An error with all that caused it.
fn reasons(error: &TlsError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
