//! The memory that a connection holds while nobody asks for anything.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{
    Site,
    contenders::{RIVALS, Rival},
    machine::Server,
};
use crate::bench::figure::{Figure, Goal};

const CONNECTIONS: usize = 4_000;
/// For so long one client goes on asking while the others do not; then the memory is looked at.
const IDLE: Duration = Duration::from_secs(5);
/// How much of nginx's memory ours may hold.
const OF_NGINX: f64 = 1.5;

/// Compares fresh proxies: what an earlier load has left behind would hide what connections need.
///
/// # Errors
///
/// If our proxy or nginx fails.
pub(super) fn measure(site: &Site) -> Result<Vec<Figure>> {
    let ours = site.ours()?;
    let each = bytes_each(&ours.server, ours.address)?;
    drop(ours);
    let beside = |name: &str| -> Result<f64> {
        let rival = Rival::start(name, &site.cores.one(), &site.behind, &site.folder)?;
        bytes_each(rival.server(), rival.address())
    };
    let figures = RIVALS.map(|name| {
        let row = format!("idle_connection_{name}");
        let goal = match name {
            "nginx" => Goal::AtMost(OF_NGINX),
            _ => Goal::None,
        };
        match beside(name) {
            Ok(theirs) => Figure::beside(row, "bytes", &[each], &[theirs], goal),
            Err(error) => Figure::missing(row, "bytes", format!("not measured: {error:#}")),
        }
    });
    Ok(figures.into())
}

/// What a server holds more for each connection that has had one answer, a while ago.
///
/// Allocators give memory back as they go about their work, and a server of which nobody at all asks for
/// anything is none that anybody has.
fn bytes_each(server: &Server, address: SocketAddr) -> Result<f64> {
    // What the first requests make once and for all is not the connections'.
    let warm = open(address)?;
    let before = server.resident_bytes()?;
    let connections = (0..CONNECTIONS)
        .map(|_| open(address))
        .collect::<Result<Vec<_>>>()?;
    let begun = Instant::now();
    while begun.elapsed() < IDLE {
        ask(&warm, address)?;
    }
    let each = (server.resident_bytes()? - before) / CONNECTIONS as f64;
    drop((warm, connections));
    Ok(each)
}

/// A connection that has had one answer, and stays open.
fn open(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.set_nodelay(true)?;
    ask(&stream, address)?;
    Ok(stream)
}

/// Has one answer.
fn ask(mut stream: &TcpStream, address: SocketAddr) -> Result<()> {
    let request = format!("GET /1k HTTP/1.1\r\nhost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    ensure!(line.starts_with("HTTP/1.1 200"), "{address} answers {line}");
    let mut length = None;
    while line != "\r\n" {
        line.clear();
        ensure!(reader.read_line(&mut line)? > 0, "{address} breaks off");
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = Some(value.trim().parse()?);
        }
    }
    let mut body = vec![0; length.context("the answer says how long it is")?];
    reader.read_exact(&mut body)?;
    Ok(())
}
