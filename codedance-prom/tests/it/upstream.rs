//! A server that answers as the test says, and remembers what it was asked.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

pub(crate) type Content = BoxBody<Bytes, Infallible>;

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// How many came before it.
    pub(crate) number: usize,
    pub(crate) method: Method,
    pub(crate) version: Version,
    pub(crate) path: String,
    /// Of the form, or of the address.
    pub(crate) fields: BTreeMap<String, String>,
    pub(crate) headers: HeaderMap,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// The server; it ends, with all its connections, when dropped.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Upstream {
    pub(crate) async fn start<F, A>(answer: A) -> Self
    where
        A: Fn(Asked) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Content>> + Send + 'static,
    {
        Self::listen(None, answer).await
    }

    pub(crate) async fn start_tls<F, A>(tls: TlsAcceptor, answer: A) -> Self
    where
        A: Fn(Asked) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Content>> + Send + 'static,
    {
        Self::listen(Some(tls), answer).await
    }

    /// Answers the n-th request with the n-th of these, and the rest with the last one.
    pub(crate) async fn answering<const N: usize>(answers: [fn() -> Response<Content>; N]) -> Self {
        Self::start(move |asked| {
            let answer = answers[asked.number.min(N - 1)];
            async move { answer() }
        })
        .await
    }

    async fn listen<F, A>(tls: Option<TlsAcceptor>, answer: A) -> Self
    where
        A: Fn(Asked) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Content>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let book = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let (tls, book, answer) = (tls.clone(), Arc::clone(&book), answer.clone());
                connections.spawn(async move {
                    match tls {
                        None => serve(stream, book, answer).await,
                        // A client that does not trust it goes away.
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, book, answer).await;
                            }
                        }
                    }
                });
            }
        });
        Self {
            address,
            asked,
            task,
        }
    }

    /// What it was asked so far, in order.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve<S, F, A>(stream: S, book: Arc<Mutex<Vec<Asked>>>, answer: A)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(Asked) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Content>> + Send + 'static,
{
    let answer = Arc::new(answer);
    let service = service_fn(move |request: Request<Incoming>| {
        let (book, answer) = (Arc::clone(&book), Arc::clone(&answer));
        async move {
            let asked = enter(request, &book).await;
            Ok::<_, Infallible>(answer(asked).await)
        }
    });
    // How a connection ends is the client's business.
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn enter(request: Request<Incoming>, book: &Mutex<Vec<Asked>>) -> Asked {
    let (head, body) = request.into_parts();
    let form = match head.method {
        Method::POST => body.collect().await.unwrap().to_bytes(),
        _ => Bytes::from(head.uri.query().unwrap_or_default().to_owned()),
    };
    let form = std::str::from_utf8(&form).unwrap();
    let fields = reqwest::Url::parse(&format!("http://form/?{form}")).unwrap();
    let mut book = book.lock().unwrap();
    let asked = Asked {
        number: book.len(),
        method: head.method,
        version: head.version,
        path: head.uri.path().to_owned(),
        fields: fields.query_pairs().into_owned().collect(),
        headers: head.headers,
    };
    book.push(asked.clone());
    asked
}

/// Any answer.
pub(crate) fn answer(status: u16, content_type: &str, body: impl Into<Bytes>) -> Response<Content> {
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, content_type)
        .body(Full::new(body.into()).boxed())
        .unwrap()
}

/// A vector of one series without labels.
pub(crate) fn one(value: &str) -> Response<Content> {
    let body = format!(
        r#"{{"status":"success","data":{{"resultType":"vector","result":[{{"metric":{{}},"value":[1,"{value}"]}}]}}}}"#
    );
    answer(200, "application/json", body)
}
