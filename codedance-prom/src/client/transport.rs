//! From a question to an answer: turns, attempts, and the bounds of both.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use codedance_core::Timestamp;
use reqwest::header::HeaderMap;
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Method, Response, StatusCode};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use super::config::Config;
use super::credentials::{Credentials, Redaction, Secrets};
use super::fault::Fault;
use super::form::{Form, seconds};
use super::refusal::{MOST_BYTES, complaint_of_success, excerpt, refusal};
use super::tls;

/// An answer from which on reading it is left to a thread that others do not wait for.
const LONG: usize = 256 * 1024;

/// How often a request is sent on within the same server.
const MOST_REDIRECTS: usize = 3;

/// The way to one server.
pub(super) struct Transport {
    pub(super) config: Config,
    http: reqwest::Client,
    credentials: Credentials,
    turns: Semaphore,
    /// The server has refused POST.
    by_get: AtomicBool,
}

/// What came back to one request.
struct Received {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    redaction: Redaction,
}

impl Transport {
    pub(super) async fn open(config: Config) -> Result<Self, Fault> {
        config.check()?;
        let credentials = Credentials::open(&config).await?;
        let http = reqwest::Client::builder()
            .user_agent(concat!(
                env!("CARGO_PKG_NAME"),
                "/",
                env!("CARGO_PKG_VERSION")
            ))
            .tls_backend_preconfigured(tls::load(&config).await?)
            .connect_timeout(config.connect_timeout)
            .pool_max_idle_per_host(config.concurrency)
            .redirect(Policy::custom(within_the_server))
            .referer(false)
            // All that is tried again is tried again here, within one deadline.
            .retry(reqwest::retry::never());
        let http = if config.url.is_loopback() {
            http.no_proxy()
        } else {
            http
        };
        Ok(Self {
            http: http.build().map_err(Fault::Http)?,
            credentials,
            turns: Semaphore::new(config.concurrency),
            by_get: AtomicBool::new(false),
            config,
        })
    }

    /// Asks, as often as it takes and is allowed, until the time is up.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        form: &Form,
        read: fn(&[u8]) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let timeout = self.config.timeout;
        let deadline = Instant::now() + timeout;
        // A wait that nothing could come after is not waited.
        let adjust = |fault: &Fault, wait: Option<Duration>| {
            let wait = wait?.max(fault.retry_after().unwrap_or_default());
            let left = deadline.saturating_duration_since(Instant::now());
            (wait < left).then_some(wait)
        };
        let attempts = (|| self.attempt(form, read, deadline))
            .retry(backoff(self.config.attempts - 1))
            .sleep(tokio::time::sleep)
            .when(Fault::is_worth_another_attempt)
            .adjust(adjust)
            .notify(|fault, wait| debug!(%fault, ?wait, "asked again later"));
        let answer = timeout_at(deadline, attempts).await;
        answer.unwrap_or(Err(Fault::Timeout(timeout)))
    }

    async fn attempt<T: Send + 'static>(
        &self,
        form: &Form,
        read: fn(&[u8]) -> Result<T, Fault>,
        deadline: Instant,
    ) -> Result<T, Fault> {
        // Held while the answer is read, too, so that answers are bounded in number as well as in length.
        let Ok(Ok(_turn)) = timeout_at(deadline, self.turns.acquire()).await else {
            return Err(Fault::Crowded {
                after: self.config.timeout,
                concurrency: self.config.concurrency,
            });
        };
        self.credentials.refresh().await;
        let secrets = self.credentials.secrets();
        let (body, redaction) = match self.exchange(form, &secrets, deadline).await {
            Err(fault) if fault.is_unauthorized() => {
                self.credentials.reread().await;
                let now = self.credentials.secrets();
                if now == secrets {
                    return Err(fault);
                }
                self.exchange(form, &now, deadline).await?
            }
            received => received?,
        };
        let answer = if body.len() < LONG {
            read(&body)
        } else {
            let read = tokio::task::spawn_blocking(move || read(&body));
            read.await.unwrap_or(Err(Fault::Thread))
        };
        answer.map_err(|fault| match fault {
            Fault::Partial(said) => {
                let redact = |text: &str| redaction.redact(text);
                Fault::Partial(excerpt(said.as_bytes(), redact))
            }
            other => other,
        })
    }

    /// The body of a success, and what must not be seen of it.
    async fn exchange(
        &self,
        form: &Form,
        secrets: &Secrets,
        deadline: Instant,
    ) -> Result<(Vec<u8>, Redaction), Fault> {
        let by_get = self.by_get.load(Relaxed);
        let method = if by_get { Method::GET } else { Method::POST };
        let mut received = self.send(method, form, secrets, deadline).await?;
        if received.status == StatusCode::METHOD_NOT_ALLOWED && !by_get {
            received = self.send(Method::GET, form, secrets, deadline).await?;
            let refused = received.status == StatusCode::METHOD_NOT_ALLOWED;
            self.by_get.store(!refused, Relaxed);
        }
        let Received {
            status,
            headers,
            body,
            redaction,
        } = received;
        let redact = |text: &str| redaction.redact(text);
        let fault = if status.is_success() {
            complaint_of_success(status, &headers, &body, redact)
        } else {
            let url = self.config.url.endpoint(form.endpoint);
            Some(refusal(status, &headers, url.path(), &body, redact))
        };
        fault.map_or(Ok((body, redaction)), Err)
    }

    async fn send(
        &self,
        method: Method,
        form: &Form,
        secrets: &Secrets,
        deadline: Instant,
    ) -> Result<Received, Fault> {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timestamp::EPOCH + left.max(Duration::from_millis(1));
        let mut fields = form.fields.clone();
        fields.push(("timeout", seconds(left)));
        let mut url = self.config.url.endpoint(form.endpoint);
        let request = if method == Method::GET {
            url.query_pairs_mut().extend_pairs(&fields);
            self.http.get(url)
        } else {
            self.http.post(url).form(&fields)
        };
        let request = self.credentials.show(secrets, request);
        let request = request.build().map_err(Fault::Http)?;
        let redaction = secrets.clone().hidden(&request);
        let sent = self.http.execute(request).await;
        let mut response =
            sent.map_err(|error| Fault::of_sending(error, self.config.connect_timeout))?;
        let status = response.status();
        let body = if status.is_success() {
            read_whole(&mut response, self.config.max_answer_bytes).await?
        } else {
            read_beginning(&mut response, MOST_BYTES).await
        };
        Ok(Received {
            status,
            headers: std::mem::take(response.headers_mut()),
            body,
            redaction,
        })
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("config", &self.config)
            .field("free_turns", &self.turns.available_permits())
            .field("by_get", &self.by_get)
            .finish_non_exhaustive()
    }
}

/// From 100 ms on, doubled each time up to 5 s, plus up to as much again by chance.
fn backoff(times: u32) -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(5))
        .with_factor(2.0)
        .with_max_times(times as usize)
        .with_jitter()
}

/// Follows where the question stays the same and the credentials with the server that they are for.
fn within_the_server(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let keeps_the_question = matches!(
        attempt.status(),
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
    );
    let from = attempt.previous().last();
    let same_server = from.is_some_and(|from| from.origin() == attempt.url().origin());
    if keeps_the_question && same_server && attempt.previous().len() <= MOST_REDIRECTS {
        attempt.follow()
    } else {
        attempt.stop()
    }
}

/// All of a body that is no longer than that; the rest of a longer one is never read.
async fn read_whole(response: &mut Response, most: usize) -> Result<Vec<u8>, Fault> {
    let announced = response.content_length().unwrap_or(0);
    if announced > most as u64 {
        return Err(Fault::TooLong(most));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(torn)? {
        if body.len() + chunk.len() > most {
            return Err(Fault::TooLong(most));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What there is of a body, up to that length.
async fn read_beginning(response: &mut Response, most: usize) -> Vec<u8> {
    let mut body = Vec::new();
    // An answer that says no has said it in its head; that its body breaks off changes nothing.
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = most - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == most {
            break;
        }
    }
    body
}

fn torn(error: reqwest::Error) -> Fault {
    Fault::Torn(error.without_url())
}

#[cfg(test)]
mod tests {
    use codedance_core::ErrorKind;

    use super::*;
    use crate::client::answer::rows;

    #[tokio::test]
    async fn who_gets_no_turn_in_time_is_told_so() {
        let config = Config::new("http://127.0.0.1:9".parse().unwrap())
            .with_concurrency(1)
            .with_timeout(Duration::from_millis(50));
        let transport = Transport::open(config).await.unwrap();
        let _taken = transport.turns.acquire().await.unwrap();
        let form = Form::instant("up", Timestamp::EPOCH);
        let fault = transport.ask(&form, rows).await.unwrap_err();
        assert_eq!(fault.kind(), ErrorKind::Timeout);
        let told = "no free turn within 50ms, while other requests took all 1; `concurrency` is";
        assert!(fault.to_string().starts_with(told), "{fault}");
    }
}
