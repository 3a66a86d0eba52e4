//! Credentials that change, and that nobody sees.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use codedance_core::ErrorKind;
use hyper::Response;
use tempfile::TempDir;
use tokio::sync::Barrier;

use super::upstream::{Asked, Content, Upstream, answer, one};
use super::{AT, config, told, value};
use crate::client::{Authorization, Client, Secret};

/// The answer of a server that knows one token.
fn knows(token: &str, asked: &Asked) -> Response<Content> {
    if asked.header("authorization") == Some(&format!("Bearer {token}")) {
        one("1")
    } else {
        answer(401, "text/plain", "who are you?")
    }
}

async fn client(upstream: &Upstream, file: &Path) -> Client {
    let bearer = Authorization::Bearer(Secret::file(file));
    Client::open(config(upstream.address).with_authorization(bearer))
        .await
        .unwrap()
}

fn shown(upstream: &Upstream) -> Vec<String> {
    let asked = upstream.asked().into_iter();
    asked
        .map(|asked| asked.header("authorization").unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_token_that_has_changed_is_shown_from_the_next_request_on() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "one\n").unwrap();
    let upstream = Upstream::answering([|| one("1")]).await;
    let client = client(&upstream, &file).await;
    client.instant("a", AT).await.unwrap();
    // Replaced as a mounted secret is, by renaming.
    let new = folder.path().join("new");
    std::fs::write(&new, "second\n").unwrap();
    std::fs::rename(&new, &file).unwrap();
    client.instant("b", AT).await.unwrap();
    assert_eq!(shown(&upstream), ["Bearer one", "Bearer second"]);
}

/// Writes a token of the same length, in a file of the same time.
fn replace_unseen(file: &Path, token: &str) {
    let modified = std::fs::metadata(file).unwrap().modified().unwrap();
    std::fs::write(file, token).unwrap();
    File::options()
        .write(true)
        .open(file)
        .unwrap()
        .set_modified(modified)
        .unwrap();
}

#[tokio::test]
async fn after_a_refusal_the_file_is_read_once_more_for_all_who_were_refused() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "older").unwrap();
    let both = Arc::new(Barrier::new(2));
    let upstream = Upstream::start(move |asked| {
        let both = Arc::clone(&both);
        async move {
            // Neither is refused before the other has been sent.
            if asked.number < 2 {
                both.wait().await;
            }
            knows("newer", &asked)
        }
    })
    .await;
    let client = client(&upstream, &file).await;
    replace_unseen(&file, "newer");
    let (a, b) = tokio::join!(client.instant("a", AT), client.instant("b", AT));
    assert_eq!((value(&a.unwrap()), value(&b.unwrap())), (1.0, 1.0));
    let mut shown = shown(&upstream);
    shown.sort();
    assert_eq!(
        shown,
        [
            "Bearer newer",
            "Bearer newer",
            "Bearer older",
            "Bearer older"
        ]
    );
}

#[tokio::test]
async fn a_refusal_of_what_has_not_changed_stands() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "older").unwrap();
    let upstream = Upstream::start(|asked| async move { knows("newer", &asked) }).await;
    let client = client(&upstream, &file).await;
    let error = client.instant("a", AT).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(
        told(&error).ends_with("401 Unauthorized: who are you?"),
        "{}",
        told(&error)
    );
    replace_unseen(&file, "wrong");
    let error = client.instant("a", AT).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(
        shown(&upstream),
        ["Bearer older", "Bearer older", "Bearer wrong"]
    );
}

#[tokio::test]
async fn a_server_that_repeats_what_it_was_sent_gives_no_secret_away() {
    let upstream = Upstream::start(|asked| async move {
        let (authorization, key) = (asked.header("authorization"), asked.header("x-key"));
        let said = format!("1 problem: I do not know {authorization:?} with {key:?}, hunter2");
        match asked.fields["query"].as_str() {
            "json" => {
                let said = said.replace('"', "'");
                let body =
                    format!(r#"{{"status":"error","errorType":"bad_data","error":"{said}"}}"#);
                answer(400, "application/json", body)
            }
            "warning" => {
                let warning = said.replace('"', "'");
                let data = r#""data":{"resultType":"vector","result":[]}"#;
                let body = format!(r#"{{"status":"success","warnings":["{warning}"],{data}}}"#);
                answer(200, "application/json", body)
            }
            "html" => answer(200, "text/html", said),
            _ => answer(403, "text/plain", said),
        }
    })
    .await;
    let basic = Authorization::Basic {
        username: "shop".to_owned(),
        password: "hunter2".into(),
    };
    let bearer = Authorization::Bearer("t0ken".into());
    for (authorization, hidden) in [(basic, "c2hvcDpodW50ZXIy"), (bearer, "t0ken")] {
        let config = config(upstream.address)
            .with_authorization(authorization)
            .with_header("X-Key", "k3y!")
            .with_header("X-Scope-OrgID", "1")
            .with_header("X-Other", "hunter2");
        let client = Client::open(config).await.unwrap();
        for query in ["json", "warning", "html", "text"] {
            let error = client.instant(query, AT).await.unwrap_err();
            let all = format!("{} {error:?} {client:?}", told(&error));
            assert!(all.contains("1 problem: I do not know"), "{all}");
            for secret in [hidden, "hunter2", "k3y!"] {
                assert!(!all.contains(secret), "{secret} in {all}");
            }
        }
        let asked = upstream.asked().pop().unwrap();
        assert!(
            asked.header("authorization").unwrap().ends_with(hidden),
            "it was sent"
        );
    }
}

#[tokio::test]
async fn a_secret_that_is_not_there_is_refused_before_anything_is_asked() {
    let upstream = Upstream::answering([|| one("1")]).await;
    let config = config(upstream.address).with_header("X-Key", Secret::file("/does/not/exist"));
    let error = Client::open(config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let expected = format!(
        "failed to set up the client of http://{} (invalid): headers.X-Key: cannot read \
         /does/not/exist: ",
        upstream.address
    );
    assert!(told(&error).starts_with(&expected), "{}", told(&error));
}
