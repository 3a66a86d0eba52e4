//! What the access log says of requests, and what it costs them.

use std::io::{self, Write};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use codedance_core::traffic::{CohortKey, Endpoints};
use codedance_proxy::{AccessLog, Config, Limits, Proxy, Rules, Side};
use http_body_util::{BodyExt, Empty};
use hyper::{Request, StatusCode};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::*;

/// Keeps what is written.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Memory {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Waits until there are so many lines.
    async fn lines(&self, count: usize) -> Vec<String> {
        let written = async {
            while self.text().lines().count() < count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, written).await.expect("a line is missing");
        self.text().lines().map(str::to_owned).collect()
    }

    async fn objects(&self, count: usize) -> Vec<Value> {
        let lines = self.lines(count).await;
        assert_eq!(lines.len(), count, "{lines:#?}");
        let read = |line: &String| serde_json::from_str(line).unwrap();
        lines.iter().map(read).collect()
    }
}

fn json(memory: &Memory) -> Config {
    config().with_access_log(AccessLog::json(memory.clone()))
}

#[tokio::test]
async fn a_line_tells_what_was_asked_and_answered_and_by_whom() {
    let log = Memory::default();
    let backend = Backend::saying("hello").await;
    let proxy = proxy(json(&log), &[&backend], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    let request = Request::post("/a/b?c=d")
        .header("host", "shop:80")
        .header("referer", "http://shop/")
        .header("user-agent", "test/1.0")
        .body(full("12345678"))
        .unwrap();
    client.ask(request).await.unwrap();
    let line = &log.objects(1).await[0];
    for (field, value) in [
        ("client", "127.0.0.1".into()),
        ("method", "POST".into()),
        ("path", "/a/b?c=d".into()),
        ("protocol", "HTTP/1.1".into()),
        ("host", "shop:80".into()),
        ("status", 200.into()),
        ("bytes_in", 8.into()),
        ("bytes_out", 5.into()),
        ("endpoint", backend.address.to_string().into()),
        ("revision", "v1".into()),
        ("route", "only".into()),
        ("retries", 0.into()),
        ("referer", "http://shop/".into()),
        ("user_agent", Value::from("test/1.0")),
    ] {
        assert_eq!(line[field], value, "{field} of {line}");
    }
    let time = |field: &str| line[field].as_f64().unwrap();
    assert!(time("upstream_time") > 0.0);
    assert!(time("request_time") >= time("upstream_time"));
    let at: codedance_core::Timestamp = line["time"].as_str().unwrap().parse().unwrap();
    assert!(at.as_millis() > 1_700_000_000_000, "{line}");
    stop(proxy).await;
}

#[tokio::test]
async fn the_combined_form_is_the_one_that_everybody_reads() {
    let log = Memory::default();
    let backend = Backend::saying("hello").await;
    let config = config().with_access_log(AccessLog::combined(log.clone()));
    let proxy = proxy(config, &[&backend], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    client.get("/x").await;
    stop(proxy).await;
    // Stopping has waited for the line.
    let text = log.text();
    let (begin, rest) = text.split_once(" [").unwrap();
    let (time, rest) = rest.split_once("] ").unwrap();
    assert_eq!((begin, time.len()), ("127.0.0.1 - -", 26), "{text}");
    assert!(time.ends_with(" +0000"), "{time}");
    let (line, rest) = rest.split_once(" in=0 time=0.").unwrap();
    assert_eq!(line, "\"GET /x HTTP/1.1\" 200 5 \"-\" \"-\" host=\"shop\"");
    let end = format!(
        " endpoint={} revision=\"v1\" route=only retries=0\n",
        backend.address
    );
    assert!(rest.ends_with(&end), "{rest}");
}

#[tokio::test]
async fn the_reason_of_the_route_is_told() {
    let log = Memory::default();
    let (v1, v2) = (Backend::saying("v1").await, Backend::saying("v2").await);
    let rules = Rules::new().with_header("x-preview", "yes", Side::Canary);
    let config = json(&log).with_rules(rules.unwrap());
    let proxy = proxy(config, &[&v1], &[&v2]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    let with = |name: &str, value: &str| {
        let request = Request::get("/").header("host", "shop").header(name, value);
        request.body(Empty::new().boxed()).unwrap()
    };
    apply(&proxy, &split(5_000)).await;
    client.get("/").await;
    client.ask(with("x-preview", "yes")).await.unwrap();
    let sticky = split(500).with_cohort(Some(CohortKey::Header("x-user".into())));
    apply(&proxy, &sticky).await;
    client.ask(with("x-user", "user-1")).await.unwrap();
    client.ask(with("x-user", "user-42")).await.unwrap();
    client.get("/").await;
    apply(&proxy, &split(10_000)).await;
    client.ask(with("x-preview", "no")).await.unwrap();
    let lines = log.objects(6).await;
    assert_eq!(lines[0]["route"], "weight");
    let told: Vec<_> = lines[1..]
        .iter()
        .map(|line| {
            let text = |field: &str| line[field].as_str().unwrap();
            (text("route"), text("revision"))
        })
        .collect();
    let expected = [
        ("rule", "v2"),
        ("cohort", "v2"),
        ("cohort", "v1"),
        ("fallback", "v1"),
        ("only", "v2"),
    ];
    assert_eq!(told, expected);
    stop(proxy).await;
}

#[tokio::test]
async fn requests_that_went_wrong_are_told_too() {
    let log = Memory::default();
    let config = json(&log)
        .with_answer_timeout(Duration::from_millis(100))
        .with_cool_down(Duration::ZERO)
        .with_limits(Limits::default().with_body_bytes(10));
    let proxy = proxy(config, &[], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    client.get("/nobody").await;
    client.ask(post("/large", "01234567890")).await.unwrap();
    talk(proxy.local_addr(), "GET /malformed HTTP/1.1\r\n\r\n").await;

    let (a, b) = (Backend::saying("a").await, Backend::saying("b").await);
    for backend in [&a, &b] {
        proxy.add(&revision("v1"), backend.address).await.unwrap();
    }
    let dead = [a.address, b.address].map(|address| address.to_string());
    a.kill().await;
    b.kill().await;
    let mut client = Client::connect(proxy.local_addr()).await;
    client.get("/dead").await;
    let lines = log.objects(4).await;
    let told = |line: &Value| {
        let text = |field: &str| line[field].as_str().unwrap().to_owned();
        (text("path"), line["status"].as_u64().unwrap())
    };
    let told: Vec<_> = lines.iter().map(told).collect();
    let expected = [("/nobody", 503), ("-", 413), ("-", 400), ("/dead", 502)];
    let expected: Vec<_> = expected
        .map(|(path, status)| (path.to_owned(), status))
        .into();
    assert_eq!(told, expected);
    assert_eq!(
        (&lines[0]["endpoint"], &lines[0]["revision"]),
        (&Value::Null, &"v1".into())
    );
    assert_eq!(
        (&lines[2]["method"], &lines[2]["revision"]),
        (&"-".into(), &Value::Null)
    );
    assert_eq!(lines[3]["retries"], 1);
    assert!(dead.contains(&lines[3]["endpoint"].as_str().unwrap().to_owned()));
    assert_eq!(lines[3]["upstream_time"], Value::Null);
    stop(proxy).await;
}

#[tokio::test]
async fn a_client_that_goes_away_has_a_line_of_its_own() {
    let log = Memory::default();
    let silent = Backend::raw(|mut stream: TcpStream| async move {
        while read_head(&mut stream).await.is_some() {}
    })
    .await;
    let proxy = proxy(json(&log), &[&silent], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    let waiting = tokio::spawn(async move { client.ask(get("/gone")).await });
    let in_flight = async {
        while silent.accepted() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, in_flight).await.unwrap();
    waiting.abort();
    let line = &log.objects(1).await[0];
    assert_eq!(
        (&line["path"], &line["status"]),
        (&"/gone".into(), &499.into())
    );
    assert_eq!(line["endpoint"], silent.address.to_string());
    stop(proxy).await;
}

#[tokio::test]
async fn nobody_can_forge_a_line() {
    let forged = "x\" 200 0\\\u{7f}\u{9b}\u{85}\u{2028}\t10.0.0.1 - - [now] \"GET /forged";
    let backend = Backend::saying("ok").await;
    let forms: [fn(Memory) -> AccessLog; 2] =
        [|log| AccessLog::json(log), |log| AccessLog::combined(log)];
    for form in forms {
        let log = Memory::default();
        let config = config()
            .with_access_log(form(log.clone()))
            .with_trust_forwarded(true);
        let proxy = proxy(config, &[&backend], &[]).await;
        let mut client = Client::connect(proxy.local_addr()).await;
        let value = hyper::header::HeaderValue::from_bytes(forged.as_bytes());
        let value = value.unwrap_or_else(|_| {
            let without_del: String = forged.chars().filter(|c| *c != '\u{7f}').collect();
            hyper::header::HeaderValue::from_bytes(without_del.as_bytes()).unwrap()
        });
        let request = Request::get("/%0Aforged")
            .header("host", "shop")
            .header("user-agent", value.clone())
            .header("referer", value.clone())
            .header("x-forwarded-for", value);
        let request = request.body(Empty::<Bytes>::new().boxed()).unwrap();
        assert_eq!(client.ask(request).await.unwrap().0, StatusCode::OK);
        stop(proxy).await;

        let text = log.text();
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        let line = text.strip_suffix('\n').unwrap();
        assert!(
            line.bytes().all(|byte| matches!(byte, b' '..=b'~')),
            "{line:?}"
        );
        if let Ok(object) = serde_json::from_str::<Value>(line) {
            let agent = object["user_agent"].as_str().unwrap();
            assert!(agent.starts_with("x\" 200 0\\"), "{agent}");
            assert_eq!(object.as_object().unwrap().len(), 17);
        } else {
            // Every quote that was sent is behind a backslash.
            let plain = line.replace("\\\\", "").replace("\\\"", "");
            assert_eq!(plain.matches('"').count(), 10, "{line}");
            assert_eq!(plain.split(' ').nth(1), Some("-"), "{line}");
        }
    }
}

/// Writes nothing until it is told to go on.
struct Stuck {
    began: mpsc::Sender<()>,
    go: mpsc::Receiver<()>,
    memory: Memory,
}

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // The test may have ended.
        let _ = self.began.send(());
        let _ = self.go.recv();
        self.memory.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn requests_do_not_wait_for_a_writer_that_is_stuck() {
    let (began, begun) = mpsc::channel();
    let (proceed, go) = mpsc::channel();
    let memory = Memory::default();
    let stuck = Stuck {
        began,
        go,
        memory: memory.clone(),
    };
    let log = AccessLog::json(stuck).with_buffer(4096);
    let backend = Backend::saying("ok").await;
    let config = config().with_access_log(log).with_admin(NOWHERE);
    let proxy = proxy(config, &[&backend], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    for _ in 0..100 {
        assert_eq!(client.get("/").await.0, StatusCode::OK);
    }
    begun.recv_timeout(PATIENCE).unwrap();
    let dropped = async {
        while proxy.access_log_dropped() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, dropped).await.unwrap();
    let dropped = proxy.access_log_dropped();
    assert!((80..100).contains(&dropped), "{dropped}");
    let mut admin = Client::connect(proxy.admin_addr().unwrap()).await;
    let page = admin.get("/metrics").await.1;
    let line = format!("\ncodedance_proxy_access_log_dropped_total {dropped}\n");
    assert!(page.contains(&line), "{page}");

    // Whatever was kept is written once the writer can.
    drop(proceed);
    let kept = memory
        .objects(100 - usize::try_from(dropped).unwrap())
        .await;
    assert!(memory.text().len() <= 4096, "{}", kept.len());
    client.get("/again").await;
    let lines = memory.objects(kept.len() + 1).await;
    assert_eq!(lines.last().unwrap()["path"], "/again");
    stop(proxy).await;
}

/// Fails to write.
struct Full;

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn lines_that_cannot_be_written_are_counted() {
    let backend = Backend::saying("ok").await;
    let config = config().with_access_log(AccessLog::json(Full));
    let proxy: Proxy = proxy(config, &[&backend], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    for _ in 0..3 {
        client.get("/").await;
    }
    let after = proxy.clone();
    stop(proxy).await;
    assert_eq!(after.access_log_dropped(), 3);
}

/// Takes a while to write.
struct Slow(Memory);

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        std::thread::sleep(Duration::from_millis(200));
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_last_lines_are_written_before_the_proxy_has_stopped() {
    let memory = Memory::default();
    let backend = Backend::saying("ok").await;
    let config = config().with_access_log(AccessLog::json(Slow(memory.clone())));
    let proxy = proxy(config, &[&backend], &[]).await;
    Client::connect(proxy.local_addr()).await.get("/").await;
    stop(proxy).await;
    assert_eq!(memory.text().lines().count(), 1);
}
