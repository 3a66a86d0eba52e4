//! What shows who asks, as fresh as its files.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use reqwest::{Request, RequestBuilder};
use tracing::warn;

use super::config::{Authorization, Config};
use super::fault::Fault;
use super::secret::{Secret, Source};

/// The most bytes of a file with a secret.
const MOST_BYTES: u64 = 64 * 1024;

/// The fewest bytes of a secret that is taken out of what a server says.
const LEAST_HIDDEN: usize = 4;

/// The credentials and headers of each request.
pub(super) struct Credentials(Vec<Shown>);

/// One secret, and how it is shown.
struct Shown {
    how: How,
    live: Live,
}

enum How {
    Basic { username: String },
    Bearer,
    Header(HeaderName),
}

impl Credentials {
    /// Reads every secret, so that one that is not there is found at the start.
    pub(super) async fn open(config: &Config) -> Result<Self, Fault> {
        let mut all = Vec::new();
        match &config.authorization {
            None => {}
            Some(Authorization::Basic { username, password }) => all.push(Shown {
                how: How::Basic {
                    username: username.clone(),
                },
                live: Live::open("authorization.basic.password".to_owned(), password).await?,
            }),
            Some(Authorization::Bearer(token)) => all.push(Shown {
                how: How::Bearer,
                live: Live::open("authorization.bearer".to_owned(), token).await?,
            }),
        }
        for (name, value) in &config.headers {
            let key = format!("headers.{name}");
            let Ok(name) = HeaderName::try_from(name) else {
                return Err(Fault::config(key, "is not the name of a header"));
            };
            all.push(Shown {
                how: How::Header(name),
                live: Live::open(key, value).await?,
            });
        }
        Ok(Self(all))
    }

    /// Reads the files that have changed.
    pub(super) async fn refresh(&self) {
        for shown in &self.0 {
            shown.live.refresh().await;
        }
    }

    /// Reads every file again.
    pub(super) async fn reread(&self) {
        for shown in &self.0 {
            shown.live.reread().await;
        }
    }

    /// The secrets as they are now, in the order of the configuration.
    pub(super) fn secrets(&self) -> Secrets {
        Secrets(self.0.iter().map(|shown| shown.live.text()).collect())
    }

    pub(super) fn show(&self, secrets: &Secrets, mut request: RequestBuilder) -> RequestBuilder {
        for (Shown { how, .. }, secret) in self.0.iter().zip(&secrets.0) {
            request = match how {
                How::Basic { username } => request.basic_auth(username, Some(secret)),
                How::Bearer => request.bearer_auth(secret),
                How::Header(name) => match HeaderValue::from_bytes(secret.as_bytes()) {
                    Ok(mut value) => {
                        value.set_sensitive(true);
                        request.header(name, value)
                    }
                    // Impossible without control characters, which `Live` does not take in.
                    Err(_) => request,
                },
            };
        }
        request
    }
}

/// What was shown with a request.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// What must not be seen of a request that shows them.
    pub(super) fn hidden(self, request: &Request) -> Redaction {
        let mut hidden = self.0;
        // The user and the password together, as they are sent.
        let authorization = request.headers().get(AUTHORIZATION);
        let authorization = authorization.and_then(|value| value.to_str().ok());
        let encoded = authorization.and_then(|text| text.strip_prefix("Basic "));
        hidden.extend(encoded.map(str::to_owned));
        Redaction(hidden)
    }
}

/// Takes secrets out of what a server says: some repeat what they were sent.
///
/// Of the shortest it leaves the text as it is: tenants are often called `1`, which is no secret, and
/// without its digits a message says nothing.
pub(super) struct Redaction(Vec<String>);

impl Redaction {
    pub(super) fn redact(&self, text: &str) -> String {
        let hidden = self.0.iter().filter(|secret| secret.len() >= LEAST_HIDDEN);
        hidden.fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.0.iter().map(|shown| &shown.live.key);
        f.debug_set().entries(keys).finish()
    }
}

/// A secret, and the file that may give another one.
struct Live {
    /// Where it stands in the configuration.
    key: String,
    file: Option<PathBuf>,
    held: Mutex<Held>,
}

struct Held {
    text: String,
    /// Of the file when it was last looked at, whether its content could be used or not.
    stamp: Option<Stamp>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    bytes: u64,
}

impl Live {
    async fn open(key: String, secret: &Secret) -> Result<Self, Fault> {
        let (text, file, stamp) = match &secret.0 {
            Source::Value(text) => (text.clone(), None, None),
            Source::Env(name) => match std::env::var(name) {
                Ok(text) => (text, None, None),
                Err(_) => {
                    let problem = format!("the environment variable `{name}` is not set to a text");
                    return Err(Fault::config(key, problem));
                }
            },
            Source::File(path) => match read(path.clone()).await {
                Ok((text, stamp)) => (text, Some(path.clone()), Some(stamp)),
                Err(source) => {
                    let path = path.clone();
                    return Err(Fault::File { key, path, source });
                }
            },
        };
        if let Some(problem) = problem(&text) {
            return Err(Fault::config(key, problem));
        }
        let held = Mutex::new(Held { text, stamp });
        Ok(Self { key, file, held })
    }

    async fn refresh(&self) {
        let Some(path) = &self.file else { return };
        // A file that is away for the moment is being replaced; what it held stays.
        let found = tokio::fs::metadata(path)
            .await
            .and_then(|it| Stamp::of(&it));
        if found.is_ok_and(|found| self.held(|held| held.stamp != Some(found))) {
            self.reread().await;
        }
    }

    async fn reread(&self) {
        let Some(path) = &self.file else { return };
        let (problem, stamp) = match read(path.clone()).await {
            Err(error) => (error.to_string(), None),
            Ok((text, stamp)) => match problem(&text) {
                Some(problem) => (problem.to_owned(), Some(stamp)),
                None => {
                    let stamp = Some(stamp);
                    self.held(|held| *held = Held { text, stamp });
                    return;
                }
            },
        };
        self.held(|held| held.stamp = stamp.or(held.stamp));
        let (key, path) = (&self.key, path.display());
        warn!(key, %path, problem, "a secret cannot be read again; the one before stays in use");
    }

    fn text(&self) -> String {
        self.held(|held| held.text.clone())
    }

    fn held<T>(&self, look: impl FnOnce(&mut Held) -> T) -> T {
        look(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Stamp {
    fn of(metadata: &std::fs::Metadata) -> io::Result<Self> {
        Ok(Self {
            modified: metadata.modified()?,
            bytes: metadata.len(),
        })
    }
}

/// Why a text cannot be shown as a secret.
fn problem(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        Some("is empty; give the secret, or leave the key out")
    } else if text.contains(char::is_control) {
        Some("has a line break or another control character in it; give it in one line")
    } else {
        None
    }
}

async fn read(path: PathBuf) -> io::Result<(String, Stamp)> {
    let read = tokio::task::spawn_blocking(move || read_now(&path)).await;
    read.unwrap_or_else(|gone| Err(io::Error::other(gone)))
}

fn read_now(path: &Path) -> io::Result<(String, Stamp)> {
    let file = File::open(path)?;
    // Before the content: what is written in between has a later stamp, and is read next time.
    let stamp = Stamp::of(&file.metadata()?)?;
    let mut text = String::new();
    file.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(io::Error::other(format!(
            "it has more than {MOST_BYTES} bytes"
        )));
    }
    text.truncate(text.trim_end().len());
    Ok((text, stamp))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn open(secret: Secret) -> Result<Live, String> {
        let live = Live::open("key".to_owned(), &secret).await;
        live.map_err(|fault| fault.to_string())
    }

    #[tokio::test]
    async fn a_secret_comes_from_where_it_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "from a file \n\n").unwrap();
        let set = std::env::var("PATH").unwrap();
        for (secret, expected) in [
            (Secret::new("itself"), "itself"),
            (Secret::file(&path), "from a file"),
            (Secret::env("PATH"), &set),
        ] {
            assert_eq!(open(secret).await.unwrap().text(), expected);
        }
    }

    #[tokio::test]
    async fn one_that_is_not_there_is_refused_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let missing = open(Secret::file(&path)).await.err().unwrap();
        assert!(missing.starts_with("key: cannot read /"), "{missing}");
        std::fs::write(&path, "\n").unwrap();
        let empty = open(Secret::file(&path)).await.err().unwrap();
        assert!(empty.starts_with("key: is empty"), "{empty}");
        std::fs::write(&path, "x".repeat(70_000)).unwrap();
        assert!(open(Secret::file(&path)).await.is_err());
        let unset = open(Secret::env("CODEDANCE_NOT_SET")).await.err().unwrap();
        assert!(unset.contains("`CODEDANCE_NOT_SET` is not set"), "{unset}");
        let broken = open(Secret::new("a\nb")).await.err().unwrap();
        assert!(broken.contains("line break"), "{broken}");
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_used_any_more_leaves_what_it_held() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "first").unwrap();
        let live = open(Secret::file(&path)).await.unwrap();
        std::fs::write(&path, "").unwrap();
        live.refresh().await;
        assert_eq!(live.text(), "first");
        std::fs::remove_file(&path).unwrap();
        live.refresh().await;
        live.reread().await;
        assert_eq!(live.text(), "first");
        std::fs::write(&path, "second").unwrap();
        live.refresh().await;
        assert_eq!(live.text(), "second");
    }

    #[tokio::test]
    async fn a_secret_of_the_same_length_and_time_is_found_by_reading_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "first").unwrap();
        let live = open(Secret::file(&path)).await.unwrap();
        let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
        std::fs::write(&path, "other").unwrap();
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(modified)
            .unwrap();
        live.refresh().await;
        assert_eq!(live.text(), "first");
        live.reread().await;
        assert_eq!(live.text(), "other");
    }
}
