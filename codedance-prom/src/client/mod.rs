//! The HTTP client: questions in PromQL, answers as rows and tracks.

mod answer;
mod config;
mod credentials;
mod fault;
mod flight;
mod form;
mod refusal;
mod secret;
#[cfg(test)]
mod tests;
mod tls;
mod transport;
mod url;

use std::sync::Arc;
use std::time::Duration;

use codedance_core::{ErrorKind, Result, Timestamp};
use tokio::sync::OnceCell;

#[cfg(test)]
pub(crate) use answer::NativeBucket;
pub(crate) use answer::{NativeBuckets, Row, Track, Value};
pub use config::{Authorization, Config};
use fault::Fault;
use flight::Flights;
use form::Form;
pub use secret::Secret;
use transport::Transport;
pub use url::{BaseUrl, BaseUrlError};

use crate::dialect::{self, Dialect, Language};

/// A client of one Prometheus or VictoriaMetrics. Clones are cheap, and share connections, turns and
/// requests under way.
///
/// - **Bounded**: in time, in requests at once, in bytes of an answer and in attempts, as the
///   [`Config`] says.
/// - **Tried again** is what may succeed a moment later: a server that cannot be reached, an answer that
///   breaks off, 502, 503, 504, and 429 with `Retry-After`; never a query that the server refuses.
/// - **Asked once**: the same question at the same time is one request, however many ask it.
/// - **All or nothing**: an answer with warnings, or of a part of the storage only, is an error.
/// - **Redirects** are followed within the server alone, so that credentials stay with it.
/// - **Proxies** are those of the environment (`HTTPS_PROXY`, `NO_PROXY`), except to this machine.
///
/// ```no_run
/// use codedance_prom::{Client, Config};
///
/// # async fn open() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::open(Config::new("http://prometheus:9090".parse()?)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    transport: Arc<Transport>,
    instants: Flights<Form, Answer<Row>>,
    ranges: Flights<Form, Answer<Track>>,
    language: Arc<OnceCell<Language>>,
}

/// One for all who asked.
type Answer<T> = Result<Arc<Vec<T>>, Arc<Fault>>;

impl Client {
    /// Reads the files and environment variables that the configuration names. The server is not
    /// asked for anything yet.
    ///
    /// # Errors
    /// [`Invalid`](codedance_core::ErrorKind::Invalid) with the key that is wrong: a value out of its
    /// bounds, a file that cannot be read, an environment variable that is not set.
    pub async fn open(config: Config) -> Result<Self> {
        let operation = format!("set up the client of {}", config.url);
        let transport = Transport::open(config).await;
        let transport = transport.map_err(|fault| Arc::new(fault).during(operation))?;
        Ok(Self {
            transport: Arc::new(transport),
            instants: Flights::new(),
            language: Arc::default(),
            ranges: Flights::new(),
        })
    }

    /// How the server understands queries: found out once, by queries that servers answer differently.
    pub(crate) async fn language(&self) -> Result<Language> {
        let probe = async || {
            let known = self.transport.config.dialect;
            let (dialect, closed_ranges) = futures::try_join!(
                async {
                    match known {
                        Some(dialect) => Ok(dialect),
                        None => self.dialect().await,
                    }
                },
                self.has_closed_ranges(),
            )?;
            Ok(Language {
                dialect,
                closed_ranges,
            })
        };
        self.language.get_or_try_init(probe).await.copied()
    }

    async fn dialect(&self) -> Result<Dialect> {
        match self.instant(dialect::DIALECT, Timestamp::EPOCH).await {
            Ok(_) => Ok(Dialect::VictoriaMetrics),
            Err(error) if error.kind() == ErrorKind::Invalid => Ok(Dialect::Prometheus),
            Err(error) => Err(error),
        }
    }

    async fn has_closed_ranges(&self) -> Result<bool> {
        let rows = self.instant(dialect::RANGE, dialect::RANGE_AT).await?;
        let points = rows.first().map(|row| &row.value);
        Ok(points == Some(&Value::Float(2.0)))
    }

    /// The value of each series that the query gives at that time.
    pub(crate) async fn instant(&self, query: &str, at: Timestamp) -> Result<Vec<Row>> {
        let form = Form::instant(query, at);
        self.ask(&self.instants, form, answer::rows).await
    }

    /// The values of each series that the query gives, at `from` and every `step` after it up to `to`.
    pub(crate) async fn range(
        &self,
        query: &str,
        from: Timestamp,
        to: Timestamp,
        step: Duration,
    ) -> Result<Vec<Track>> {
        let form = Form::range(query, from, to, step);
        self.ask(&self.ranges, form, answer::tracks).await
    }

    async fn ask<T: Clone + Send + Sync + 'static>(
        &self,
        flights: &Flights<Form, Answer<T>>,
        form: Form,
        read: fn(&[u8]) -> Result<Vec<T>, Fault>,
    ) -> Result<Vec<T>> {
        let url = self.transport.config.url.endpoint(form.endpoint);
        let transport = Arc::clone(&self.transport);
        let asked = form.clone();
        let request = async move {
            let answer = transport.ask(&asked, read).await;
            answer.map(Arc::new).map_err(Arc::new)
        };
        let answer = flights.join(form, request).await;
        answer
            .map(Arc::unwrap_or_clone)
            .map_err(|fault| fault.during(format!("ask {url}")))
    }
}
