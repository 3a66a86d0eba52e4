//! Two small HTTP servers that stand for a user's stable and canary, and a trickle of traffic.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// A server on a free port of this machine that answers every request with the same status, for as
/// long as the process lives.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
}

impl Server {
    /// Starts a server that answers with `status`, such as `200 OK`.
    ///
    /// # Errors
    ///
    /// If no port is free.
    pub(crate) fn start(status: &'static str) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that goes away in the middle of a request is no failure of the server.
                thread::spawn(move || serve(stream, status).ok());
            }
        });
        Ok(Self { address })
    }

    /// The address to send requests to.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Answers requests on one connection until the client closes it or asks to.
fn serve(stream: TcpStream, status: &str) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = Request::read(&mut reader)? {
        let body = if request.is_head { "" } else { "hello\n" };
        write!(
            writer,
            "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: 6\r\n\r\n{body}"
        )?;
        if request.closes {
            break;
        }
    }
    Ok(())
}

/// What the server has to know of a request to answer it and find the next one.
struct Request {
    is_head: bool,
    closes: bool,
}

impl Request {
    /// Reads a request with its body; none at the end of the connection.
    fn read(reader: &mut impl BufRead) -> io::Result<Option<Self>> {
        let start = line(reader)?;
        if start.is_empty() {
            return Ok(None);
        }
        let mut request = Self {
            is_head: start.starts_with("head "),
            closes: false,
        };
        let (mut length, mut chunked) = (0, false);
        loop {
            let header = line(reader)?;
            match header
                .split_once(':')
                .map(|(name, value)| (name, value.trim()))
            {
                None => break,
                Some(("content-length", value)) => length = value.parse().unwrap_or(0),
                Some(("transfer-encoding", value)) => chunked = value.contains("chunked"),
                Some(("connection", value)) => request.closes = value.contains("close"),
                Some(_) => {}
            }
        }
        if chunked {
            while let Ok(size @ 1..) = u64::from_str_radix(&line(reader)?, 16) {
                skip(reader, size)?;
                line(reader)?;
            }
            while !line(reader)?.is_empty() {}
        } else {
            skip(reader, length)?;
        }
        Ok(Some(request))
    }
}

/// A line in small letters, without its end; empty at the end of the stream, too.
fn line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    Ok(line.trim_end().to_ascii_lowercase())
}

fn skip(reader: &mut impl BufRead, bytes: u64) -> io::Result<()> {
    io::copy(&mut reader.take(bytes), &mut io::sink()).map(drop)
}

/// An address that was free a moment ago.
///
/// # Errors
///
/// If no port is free.
pub(crate) fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind(("127.0.0.1", 0))?.local_addr()
}

/// A user's own traffic: about a hundred requests each second, until it is dropped.
#[derive(Debug)]
pub(crate) struct Traffic {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Traffic {
    /// Starts to send requests to `address`, whether somebody listens there yet or not.
    pub(crate) fn start(address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                // What the answers are is for the proxy to judge.
                get(address, "/").ok();
                thread::sleep(Duration::from_millis(10));
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// Sends one request and returns the whole answer.
///
/// # Errors
///
/// If nobody answers within a few seconds, or not in text.
pub(crate) fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    let wait = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&address, wait)?;
    stream.set_read_timeout(Some(wait))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_answers_with_its_status() {
        let server = Server::start("500 Internal Server Error").unwrap();
        let answer = get(server.address, "/").unwrap();
        assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
        assert!(answer.ends_with("\r\n\r\nhello\n"), "{answer}");
    }

    #[test]
    fn bodies_are_read_to_their_end() {
        let text = "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc\
            POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
            HEAD / HTTP/1.1\r\nConnection: Close\r\n\r\n";
        let mut reader = text.as_bytes();
        let mut next = || {
            Request::read(&mut reader)
                .unwrap()
                .map(|r| (r.is_head, r.closes))
        };
        assert_eq!(next(), Some((false, false)));
        assert_eq!(next(), Some((false, false)));
        assert_eq!(next(), Some((true, true)));
        assert_eq!(next(), None);
    }
}
