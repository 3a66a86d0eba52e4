//! Lines of JSON.

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::header::HeaderValue;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use super::record::Record;

/// The fields in the order in which they are written.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    client: Cow<'a, str>,
    method: &'a str,
    path: &'a str,
    protocol: String,
    host: Option<Cow<'a, str>>,
    status: u16,
    bytes_in: u64,
    bytes_out: u64,
    request_time: f64,
    upstream_time: Option<f64>,
    endpoint: Option<SocketAddr>,
    revision: Option<&'a str>,
    route: Option<&'static str>,
    retries: u32,
    referer: Option<Cow<'a, str>>,
    user_agent: Option<Cow<'a, str>>,
}

pub(super) fn line(record: &Record) -> String {
    let at = Timestamp::try_from(record.at).unwrap_or_default();
    let request = record.line.as_ref();
    let revision = record.revision.as_ref();
    let line = Line {
        time: format!("{at:.3}"),
        client: String::from_utf8_lossy(&record.client),
        method: request.map_or("-", |(method, ..)| method.as_str()),
        path: request.map_or("-", |(_, path, _)| path),
        protocol: request.map_or_else(|| "-".to_owned(), |(.., version)| format!("{version:?}")),
        host: text(record.host.as_ref()),
        status: record.status(),
        bytes_in: record.bytes_in(),
        bytes_out: record.bytes_out,
        request_time: seconds(record.request_time()),
        upstream_time: record.upstream_time.map(seconds),
        endpoint: record.endpoint,
        revision: revision.map(|(revision, _)| revision.name.as_str()),
        route: revision.map(|(_, reason)| reason.name()),
        retries: record.retries,
        referer: text(record.referer.as_ref()),
        user_agent: text(record.user_agent.as_ref()),
    };
    let mut bytes = Vec::with_capacity(512);
    // Writing to memory cannot fail, nor can what has strings for names.
    let _ = line.serialize(&mut Serializer::with_formatter(&mut bytes, Ascii));
    // Only ASCII was written.
    String::from_utf8(bytes).unwrap_or_default()
}

fn text(value: Option<&HeaderValue>) -> Option<Cow<'_, str>> {
    value.map(|value| String::from_utf8_lossy(value.as_bytes()))
}

/// To the microsecond.
fn seconds(length: Duration) -> f64 {
    length.as_micros() as f64 / 1e6
}

/// Writes printable ASCII and nothing else. JSON allows more, but terminals and readers of lines make
/// something of U+0085, U+009B and U+2028.
struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: io::Write + ?Sized,
    {
        for c in fragment.chars() {
            if matches!(c, ' '..='~') {
                writer.write_all(&[c as u8])?;
                continue;
            }
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_printable_ascii_and_read_back_as_they_were() {
        let odd = "a\"b\\c\r\nd\x7f\x1b é\u{85}\u{9b}\u{2028}\u{1f600}";
        let mut bytes = Vec::new();
        odd.serialize(&mut Serializer::with_formatter(&mut bytes, Ascii))
            .unwrap();
        assert!(bytes.iter().all(|byte| matches!(byte, b' '..=b'~')));
        assert_eq!(serde_json::from_slice::<String>(&bytes).unwrap(), odd);
    }
}
