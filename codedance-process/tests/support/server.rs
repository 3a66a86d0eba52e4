//! A small HTTP server to be a replica. It is this very test program, started again as the one test
//! that serves: so the tests need no other program, and no other target of the crate.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use codedance_process::Template;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PORT: &str = "CODEDANCE_TEST_SERVER_PORT";
const ARGS: [&str; 3] = [
    "support::server::serves_when_asked_to",
    "--exact",
    "--nocapture",
];

/// A replica that is healthy at once, and ends when it is told to.
pub(crate) fn template() -> Template {
    let program = std::env::current_exe().unwrap();
    with_health_path(
        Template::new(program)
            .with_args(ARGS)
            .with_env(PORT, "{port}"),
    )
}

/// The same server, started by `script` where it says `$SERVER`.
pub(crate) fn started_by(script: &str) -> Template {
    let program = std::env::current_exe().unwrap();
    let server = format!("'{}' {}", program.display(), ARGS.join(" "));
    let template = super::shell(&script.replace("$SERVER", &server));
    with_health_path(template.with_env(PORT, "{port}"))
}

fn with_health_path(template: Template) -> Template {
    template.with_health_path("/healthz").unwrap()
}

/// Sends a request and returns the status line with the body, or why there is none.
pub(crate) async fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n").as_bytes())
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    Ok(format!("{status} {body}"))
}

#[test]
fn serves_when_asked_to() {
    let Ok(port) = std::env::var(PORT) else {
        return;
    };
    let listener = TcpListener::bind(("127.0.0.1", port.parse().unwrap())).unwrap();
    let server = Arc::new(Server::default());
    for stream in listener.incoming() {
        let server = server.clone();
        std::thread::spawn(move || server.answer(&stream.unwrap()));
    }
}

#[derive(Default)]
struct Server {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    sick: bool,
    checks: u32,
    held: bool,
    released: bool,
}

impl Server {
    fn answer(&self, mut stream: &TcpStream) {
        let lines = BufReader::new(stream).lines().map_while(Result::ok);
        let head: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
        let Some(path) = head.first().and_then(|line| line.split(' ').nth(1)) else {
            return;
        };
        let (status, body) = match path {
            "/healthz" if self.state.lock().unwrap().sick => {
                ("503 Service Unavailable", "sick".into())
            }
            "/healthz" => ("200 OK", "well".into()),
            // Well at first, then sick, and so on.
            "/healthz-now-and-then" => {
                self.set(|state| state.checks += 1);
                let well = self.state.lock().unwrap().checks % 2 == 1;
                (
                    if well {
                        "200 OK"
                    } else {
                        "503 Service Unavailable"
                    },
                    String::new(),
                )
            }
            "/checked-10-times" => self.wait(|state| state.checks >= 10),
            "/pid" => ("200 OK", std::process::id().to_string()),
            "/sick" => self.set(|state| state.sick = true),
            "/well" => self.set(|state| state.sick = false),
            // Answers when it is released; `/held` answers when there is somebody to release.
            "/hold" => {
                self.set(|state| state.held = true);
                self.wait(|state| state.released)
            }
            "/held" => self.wait(|state| state.held),
            "/release" => self.set(|state| state.released = true),
            _ => ("404 Not Found", String::new()),
        };
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        // Who does not wait for the answer does not want it.
        let _ = stream.write_all(answer.as_bytes());
    }

    fn set(&self, set: impl FnOnce(&mut State)) -> (&'static str, String) {
        set(&mut self.state.lock().unwrap());
        self.changed.notify_all();
        ("200 OK", "done".into())
    }

    fn wait(&self, until: impl Fn(&State) -> bool) -> (&'static str, String) {
        let state = self.state.lock().unwrap();
        drop(
            self.changed
                .wait_while(state, |state| !until(state))
                .unwrap(),
        );
        ("200 OK", "done".into())
    }
}
