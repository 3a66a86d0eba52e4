//! Servers, clients, and a proxy between them.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use codedance_core::Percent;
use codedance_core::traffic::{Endpoints, Split, TrafficRouter};
use codedance_core::workload::Revision;
use codedance_proxy::{Config, Proxy};
use http_body_util::channel::{Channel, Sender};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1 as client, http2};
use hyper::server::conn::{http1 as server, http2 as server2};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Longer than anything here takes: a test that comes near it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const NOWHERE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

pub(crate) type Content = BoxBody<Bytes, Infallible>;

pub(crate) fn revision(name: &str) -> Revision {
    Revision::new(name).unwrap()
}

pub(crate) fn split(points: u16) -> Split {
    let weight = Percent::from_basis_points(points).unwrap();
    Split::new(revision("v1"), revision("v2"), weight)
}

pub(crate) fn full(content: impl Into<Bytes>) -> Content {
    Full::new(content.into()).boxed()
}

pub(crate) fn config() -> Config {
    Config::new(NOWHERE, revision("v1"))
}

/// A server that ends, with all its connections, when dropped.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Backend {
    /// Answers over HTTP.
    pub(crate) async fn start<F, A>(answer: A) -> Self
    where
        A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Response<Content>> + Send + 'static,
    {
        Self::raw(move |stream| {
            let answer = answer.clone();
            async move {
                let service = service_fn(move |request| {
                    let answer = answer(request);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                // How a connection ends is the client's business.
                let _ = server::Builder::new()
                    .max_headers(1_000)
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            }
        })
        .await
    }

    /// Answers over HTTP/2, in clear text.
    pub(crate) async fn start_http2<F, A>(answer: A) -> Self
    where
        A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Response<Content>> + Send + 'static,
    {
        Self::raw(move |stream| serve_http2(stream, answer.clone(), 200)).await
    }

    /// Answers every request with the same text.
    pub(crate) async fn saying(text: &'static str) -> Self {
        Self::start(move |_| async move { Response::new(full(text)) }).await
    }

    /// Does with each connection what `serve` does.
    pub(crate) async fn raw<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(NOWHERE).await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                connections.spawn(serve(stream));
            }
        });
        Self {
            address,
            accepted,
            task,
        }
    }

    /// How many connections it has accepted.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Ends at once, and returns when nothing listens there any more.
    pub(crate) async fn kill(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

/// Answers over HTTP/2, so many requests at once.
pub(crate) async fn serve_http2<S, F, A>(stream: S, answer: A, streams: u32)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Content>> + Send + 'static,
{
    let service = service_fn(move |request| {
        let answer = answer(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    // How a connection ends is the client's business.
    let _ = server2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(streams)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A server that answers with the status that the path names.
pub(crate) async fn obedient() -> Backend {
    Backend::start(|request| async move {
        let status = request.uri().path().trim_start_matches('/').parse();
        Response::builder()
            .status::<u16>(status.unwrap())
            .body(full("done"))
            .unwrap()
    })
    .await
}

pub(crate) type Seen = Arc<Mutex<Vec<String>>>;

/// A server that notes the path of every request.
pub(crate) async fn witness() -> (Backend, Seen) {
    let seen = Seen::default();
    let paths = Arc::clone(&seen);
    let backend = Backend::start(move |request| {
        paths.lock().unwrap().push(request.uri().path().to_owned());
        async move {
            // A body that breaks off is the client's business.
            let _ = request.into_body().collect().await;
            Response::new(full("ok"))
        }
    })
    .await;
    (backend, seen)
}

/// A proxy in front of `stable` (v1) and `canary` (v2).
pub(crate) async fn proxy(config: Config, stable: &[&Backend], canary: &[&Backend]) -> Proxy {
    let proxy = Proxy::bind(config).await.unwrap();
    for (name, backends) in [("v1", stable), ("v2", canary)] {
        for backend in backends {
            proxy.add(&revision(name), backend.address).await.unwrap();
        }
    }
    proxy
}

pub(crate) async fn apply(proxy: &Proxy, split: &Split) {
    proxy.apply(split).await.unwrap();
}

/// A client with one connection.
pub(crate) struct Client {
    sender: client::SendRequest<Content>,
    task: JoinHandle<()>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream).await
    }

    pub(crate) async fn over<S>(stream: S) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = client::handshake(TokioIo::new(stream)).await.unwrap();
        let task = tokio::spawn(async move {
            // How it ended, the sender tells.
            let _ = connection.await;
        });
        Self { sender, task }
    }

    pub(crate) async fn send(
        &mut self,
        request: Request<Content>,
    ) -> hyper::Result<Response<Incoming>> {
        self.sender.ready().await?;
        self.sender.send_request(request).await
    }

    /// The status and the whole body of what comes back.
    pub(crate) async fn ask(
        &mut self,
        request: Request<Content>,
    ) -> hyper::Result<(StatusCode, Bytes)> {
        let response = self.send(request).await?;
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }

    pub(crate) async fn get(&mut self, path: &str) -> (StatusCode, String) {
        let (status, body) = self.ask(get(path)).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A client of HTTP/2 with one connection; clones ask over the same one.
#[derive(Clone)]
pub(crate) struct Http2Client {
    sender: http2::SendRequest<Content>,
}

impl Http2Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream).await
    }

    pub(crate) async fn over<S>(stream: S) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = handshake.await.unwrap();
        // It ends when the last client is dropped.
        tokio::spawn(connection);
        Self { sender }
    }

    pub(crate) async fn send(
        &self,
        request: Request<Content>,
    ) -> hyper::Result<Response<Incoming>> {
        let mut sender = self.sender.clone();
        sender.ready().await?;
        sender.send_request(request).await
    }

    /// The status and the whole body of what comes back.
    pub(crate) async fn ask(
        &self,
        request: Request<Content>,
    ) -> hyper::Result<(StatusCode, Bytes)> {
        let response = self.send(request).await?;
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, String) {
        let (status, body) = self.ask(get2(path)).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// Whether the connection is over.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

/// A request of HTTP/2.
pub(crate) fn get2(path: &str) -> Request<Content> {
    let request = Request::get(format!("http://shop{path}"));
    request.body(Empty::new().boxed()).unwrap()
}

pub(crate) fn post2(path: &str, body: Content) -> Request<Content> {
    let request = Request::post(format!("http://shop{path}"));
    request.body(body).unwrap()
}

/// A body that is sent part by part.
pub(crate) fn channel() -> (Sender<Bytes>, Content) {
    let (parts, body) = Channel::<Bytes>::new(1);
    (parts, body.map_err(|error| panic!("{error}")).boxed())
}

pub(crate) fn get(path: &str) -> Request<Content> {
    let request = Request::get(path).header("host", "shop");
    request.body(Empty::new().boxed()).unwrap()
}

pub(crate) fn post(path: &str, body: impl Into<Bytes>) -> Request<Content> {
    let request = Request::post(path).header("host", "shop");
    request.body(full(body)).unwrap()
}

/// Sends bytes as they are, and returns everything that comes until the other side closes.
pub(crate) async fn talk(address: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer));
    read.await.expect("the other side never closed").unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// The statuses of all answers, one after the other.
pub(crate) fn statuses(answers: &str) -> Vec<u16> {
    let lines = answers.split("HTTP/1.1 ").skip(1);
    lines.map(|answer| answer[..3].parse().unwrap()).collect()
}

/// Reads one request without a body from a raw connection; `None` when the other side has closed.
pub(crate) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// Stops the proxy, which must have nothing left to do.
pub(crate) async fn stop(proxy: Proxy) {
    assert_eq!(proxy.shutdown(PATIENCE).await, 0);
}
