//! A client that speaks HTTP/1.1.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::Instant;

use super::note_end;
use super::timer::ConnectionTimer;
use crate::inbound::Guard;
use crate::limits::Limits;
use crate::phase::{Phase, reached};
use crate::tunnel::Tunnel;

/// The connection of a client that asks for nothing at the moment.
#[derive(Debug)]
pub(crate) struct Quiet<S> {
    pub(crate) stream: S,
    /// How long it has to ask again.
    pub(crate) until: Instant,
}

/// Serves one connection until its client is done or the proxy is over, or until the client is
/// [quiet](ConnectionTimer::is_quiet): all that is needed to serve it is gone then.
pub(crate) async fn serve<S, F, B>(
    stream: Guard<S>,
    limits: Limits,
    header_timeout: Duration,
    timer: ConnectionTimer,
    mut phase: watch::Receiver<Phase>,
    answer: impl Fn(Request<Incoming>) -> F,
    tunnel: impl Fn() -> Option<Tunnel>,
) -> Option<Quiet<S>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = Result<Response<B>, Infallible>>,
    B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>> + 'static,
{
    let mut builder = http1::Builder::new();
    // Only where it is more than hyper allows anyway: it would allocate the list of headers then.
    if limits.headers > 100 {
        builder.max_headers(limits.headers);
    }
    let verdict = stream.verdict();
    let mut connection = builder
        .timer(timer.clone())
        .header_read_timeout(header_timeout)
        .serve_connection(TokioIo::new(stream), service_fn(answer))
        .with_upgrades();
    let stopped = {
        let mut finishing = pin!(reached(&mut phase, Phase::Finishing));
        // Only while it waits for a head, and nothing of one or of an answer is under way, is there
        // nothing to be lost with a connection. It looks each time it has been served, because an
        // answer may be taken later than the client is quiet.
        let quiet = poll_fn(|_| match timer.is_quiet() && verdict.is_at_rest() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        });
        tokio::select! {
            // In this order: while it serves, the connection has nearly always more to do.
            biased;
            ended = &mut connection => Stopped::Ended(ended),
            () = quiet => Stopped::Quiet,
            () = &mut finishing => Stopped::Finishing,
        }
    };
    let finished = match stopped {
        Stopped::Ended(ended) => Some(ended),
        Stopped::Finishing => None,
        Stopped::Quiet => {
            let parts = connection.into_parts()?;
            // Whole messages are all that it was given, and it has understood them all.
            debug_assert!(parts.read_buf.is_empty());
            return Some(Quiet {
                stream: parts.io.into_inner().into_stream(),
                until: timer.deadline(),
            });
        }
    };
    let finish = async {
        let ended = match finished {
            Some(ended) => ended,
            None => {
                Pin::new(&mut connection).graceful_shutdown();
                (&mut connection).await
            }
        };
        let late = matches!(&ended, Err(error) if error.is_timeout());
        note_end(ended);
        match (connection.into_parts(), tunnel()) {
            (Some(parts), _) if late => parts.io.into_inner().close_late().await,
            (Some(parts), _) => parts.io.into_inner().close().await,
            (None, Some(tunnel)) => tunnel.run().await,
            (None, None) => {}
        }
    };
    tokio::select! {
        biased;
        () = finish => {}
        () = reached(&mut phase, Phase::Over) => {}
    }
    None
}

/// Why a connection is no longer served.
enum Stopped {
    Ended(hyper::Result<()>),
    Quiet,
    Finishing,
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};
    use hyper::body::Bytes;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::task::JoinHandle;
    use tokio::time::{sleep, timeout};

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    /// What a body of two bytes follows.
    const HEAD: &[u8] = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n";
    const PATIENCE: Duration = Duration::from_secs(20);
    const BODY: usize = 1_000;

    type Served = JoinHandle<Option<Quiet<DuplexStream>>>;

    /// A client whose answers take so long, where `size` bytes fit between it and the proxy.
    fn connect(size: usize, thinking: Duration) -> (DuplexStream, Served) {
        let (client, stream) = duplex(size);
        let served = async move {
            let (_sender, phase) = watch::channel(Phase::Serving);
            let limits = Limits::default();
            let guard = Guard::new(stream, limits, PATIENCE);
            let timer = ConnectionTimer::for_client(Instant::now() + PATIENCE, PATIENCE);
            let answer = |request: Request<Incoming>| async move {
                sleep(thinking).await;
                // It is answered before its body has come.
                tokio::spawn(request.into_body().collect());
                Ok(Response::new(Full::new(Bytes::from(vec![b'x'; BODY]))))
            };
            serve(guard, limits, PATIENCE, timer, phase, answer, || None).await
        };
        (client, tokio::spawn(served))
    }

    /// Reads one answer in parts, with a pause before each.
    async fn read_answer(client: &mut DuplexStream, pause: Duration) {
        let mut answer = Vec::new();
        while !answer.ends_with(&[b'x'; BODY]) {
            sleep(pause).await;
            let reading = timeout(2 * PATIENCE, client.read_buf(&mut answer));
            let read = reading.await.expect("nobody answers").unwrap();
            assert!(read > 0, "{}", String::from_utf8_lossy(&answer));
        }
    }

    /// Waits for longer than a client is served that asks for nothing.
    async fn pause() {
        sleep(Duration::from_secs(5)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_asks_for_nothing_is_quiet_until_its_deadline() {
        let (mut client, served) = connect(4_096, Duration::ZERO);
        let between = Duration::from_millis(900);
        for _ in 0..3 {
            client.write_all(REQUEST).await.unwrap();
            read_answer(&mut client, Duration::ZERO).await;
            sleep(between).await;
        }
        assert!(!served.is_finished());
        let answered = Instant::now() - between;
        let quiet = served.await.unwrap().unwrap();
        assert_eq!(answered.elapsed().as_secs(), 1);
        assert_eq!((quiet.until - answered).as_secs(), PATIENCE.as_secs());
        // Whatever is sent now is for whoever has the stream.
        client.write_all(REQUEST).await.unwrap();
        drop(client);
        let (mut stream, mut sent) = (quiet.stream, Vec::new());
        stream.read_to_end(&mut sent).await.unwrap();
        assert_eq!(sent, REQUEST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_whose_answer_is_on_its_way_is_served() {
        let (mut client, served) = connect(4_096, Duration::from_secs(5));
        // It has been quiet in the middle of a head.
        client.write_all(&REQUEST[..5]).await.unwrap();
        pause().await;
        client.write_all(&REQUEST[5..]).await.unwrap();
        read_answer(&mut client, Duration::ZERO).await;
        assert!(!served.is_finished());
        assert!(served.await.unwrap().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_its_answer_slowly_is_served() {
        let (mut client, served) = connect(256, Duration::ZERO);
        client.write_all(HEAD).await.unwrap();
        pause().await;
        // With its body, all that the client had to say is said.
        client.write_all(b"ab").await.unwrap();
        read_answer(&mut client, Duration::from_millis(1_500)).await;
        assert!(served.await.unwrap().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_in_the_middle_of_a_message_is_served() {
        let head = &REQUEST[..REQUEST.len() - 1];
        for begun in [&b"\r"[..], b"\r\n", &REQUEST[..1], head, HEAD] {
            let (mut client, served) = connect(4_096, Duration::ZERO);
            client.write_all(REQUEST).await.unwrap();
            read_answer(&mut client, Duration::ZERO).await;
            client.write_all(begun).await.unwrap();
            pause().await;
            assert!(!served.is_finished(), "{begun:?}");
            served.abort();
        }
    }
}
