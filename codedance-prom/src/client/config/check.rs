//! What a user may not set.

use std::time::Duration;

use codedance_core::time::display_duration;
use reqwest::header::{AUTHORIZATION, HeaderName};

use super::super::fault::Fault;
use super::{Authorization, Config};

/// Headers that are not a user's to set: the client's own would be contradicted.
const OWN_HEADERS: [&str; 7] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "host",
    "transfer-encoding",
];

impl Config {
    pub(in crate::client) fn check(&self) -> Result<(), Fault> {
        for (key, length) in [
            ("timeout", self.timeout),
            ("connect_timeout", self.connect_timeout),
        ] {
            let bounds = Duration::from_millis(1)..=Duration::from_secs(3_600);
            if !bounds.contains(&length) {
                let found = display_duration(length);
                return Err(Fault::config(key, format!("is {found}; write 1ms to 1h")));
            }
        }
        if !(1..=1_000).contains(&self.concurrency) {
            let problem = format!("is {}; write 1 to 1000", self.concurrency);
            return Err(Fault::config("concurrency", problem));
        }
        if !(1 << 10..=1 << 30).contains(&self.max_answer_bytes) {
            let problem = format!("is {}; write 1024 to 1073741824", self.max_answer_bytes);
            return Err(Fault::config("max_answer_bytes", problem));
        }
        if !(1..=10).contains(&self.attempts) {
            let problem = format!("is {}; write 1 to 10", self.attempts);
            return Err(Fault::config("attempts", problem));
        }
        if self.ca_file.is_some() && !self.url.is_https() {
            let problem = "has no effect on `http://`; write `https://` in `url`, or leave it out";
            return Err(Fault::config("ca_file", problem));
        }
        self.check_authorization()?;
        self.check_headers()
    }

    fn check_authorization(&self) -> Result<(), Fault> {
        if let Some(Authorization::Basic { username, .. }) = &self.authorization
            && (username.is_empty() || username.contains(|c: char| c == ':' || c.is_control()))
        {
            let problem = "is no user's name; write one without a colon";
            return Err(Fault::config("authorization.basic.username", problem));
        }
        Ok(())
    }

    fn check_headers(&self) -> Result<(), Fault> {
        let mut names = Vec::new();
        for name in self.headers.keys() {
            let refuse = |problem: &str| {
                let problem = format!("`{}` {problem}", name.escape_debug());
                Err(Fault::config("headers", problem))
            };
            let Ok(parsed) = name.parse::<HeaderName>() else {
                return refuse("is not the name of a header; write one such as `X-Scope-OrgID`");
            };
            if OWN_HEADERS.contains(&parsed.as_str()) {
                return refuse("is set by the client itself; leave it out");
            }
            if parsed == AUTHORIZATION && self.authorization.is_some() {
                return refuse("is there already by `authorization`; keep one of them");
            }
            if names.contains(&parsed) {
                return refuse("is there twice, as names ignore case; keep one of them");
            }
            names.push(parsed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use codedance_core::config::from_yaml;

    use super::*;

    #[test]
    fn a_wrong_key_is_named_with_its_line_and_the_mend() {
        for (line, expected) in [
            (
                "timeout: 0s",
                "line 2, column 1, timeout: is 0s; write 1ms to 1h",
            ),
            ("timeout: 30", "line 2, column 10, timeout: "),
            (
                "connect_timeout: 2h",
                "line 2, column 1, connect_timeout: is 2h; write 1ms to 1h",
            ),
            (
                "concurrency: 0",
                "line 2, column 1, concurrency: is 0; write 1 to 1000",
            ),
            (
                "max_answer_bytes: 5",
                "line 2, column 1, max_answer_bytes: is 5; write 1024 to",
            ),
            (
                "attempts: 11",
                "line 2, column 1, attempts: is 11; write 1 to 10",
            ),
            (
                "ca_file: x.pem",
                "line 2, column 1, ca_file: has no effect on `http://`",
            ),
            ("retries: 3", "unknown field `retries`"),
            (
                "headers: { Host: x }",
                "headers: `Host` is set by the client itself",
            ),
            (
                "headers: { 'a b': x }",
                "headers: `a b` is not the name of a header",
            ),
            ("headers: { X-A: x, x-a: z }", "is there twice"),
            (
                "authorization: { basic: { username: 'a:b', password: x } }",
                "line 2, column 27, authorization.basic.username: is no user's name",
            ),
            (
                "authorization: { bearer: x }\nheaders: { authorization: z }",
                "is there already by `authorization`",
            ),
        ] {
            let error = from_yaml::<Config>(&format!("url: http://p\n{line}\n")).unwrap_err();
            assert!(error.to_string().contains(expected), "{line}: {error}");
        }
        let error = from_yaml::<Config>("timeout: 5s\nurl: http://me:hunter2@p\n").unwrap_err();
        let error = error.to_string();
        assert!(
            error.starts_with("line 2, column 6, url: has credentials"),
            "{error}"
        );
        assert!(!error.contains("hunter2"), "{error}");
    }
}
