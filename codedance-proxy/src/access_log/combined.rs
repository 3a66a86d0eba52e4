//! Lines that begin as those of Apache and nginx do.

use std::fmt::{self, Display, Write};
use std::time::Duration;

use http::header::HeaderValue;
use jiff::Timestamp;

use super::record::Record;

pub(super) fn line(record: &Record) -> String {
    let mut line = String::with_capacity(256);
    // Writing to a string cannot fail.
    let _ = write(&mut line, record);
    line
}

fn write(line: &mut String, record: &Record) -> fmt::Result {
    let at = Timestamp::try_from(record.at).unwrap_or_default();
    write!(
        line,
        "{} - - [{}] ",
        Bare(&record.client),
        at.strftime("%d/%b/%Y:%H:%M:%S +0000")
    )?;
    match &record.line {
        Some((method, path, version)) => write!(
            line,
            "\"{} {} {version:?}\"",
            Bare(method.as_str().as_bytes()),
            Bare(path.as_bytes())
        )?,
        None => line.push_str("\"-\""),
    }
    write!(
        line,
        " {} {} {} {} host={} in={} time={} upstream_time={}",
        record.status(),
        record.bytes_out,
        header(record.referer.as_ref()),
        header(record.user_agent.as_ref()),
        header(record.host.as_ref()),
        record.bytes_in(),
        Seconds(Some(record.request_time())),
        Seconds(record.upstream_time),
    )?;
    match record.endpoint {
        Some(endpoint) => write!(line, " endpoint={endpoint}")?,
        None => line.push_str(" endpoint=-"),
    }
    match &record.revision {
        Some((revision, reason)) => write!(
            line,
            " revision={} route={}",
            Quoted(revision.name.as_str().as_bytes()),
            reason.name()
        )?,
        None => line.push_str(" revision=\"-\" route=-"),
    }
    write!(line, " retries={}", record.retries)
}

fn header(value: Option<&HeaderValue>) -> Quoted<'_> {
    Quoted(value.map_or(b"-", HeaderValue::as_bytes))
}

struct Seconds(Option<Duration>);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(length) => write!(f, "{:.6}", length.as_secs_f64()),
            None => f.write_char('-'),
        }
    }
}

/// What stands in quotes, and cannot end them.
struct Quoted<'a>(&'a [u8]);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        escape(f, self.0, b' '..=b'~')?;
        f.write_char('"')
    }
}

/// What is one word.
struct Bare<'a>(&'a [u8]);

impl Display for Bare<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_char('-'),
            word => escape(f, word, b'!'..=b'~'),
        }
    }
}

fn escape(
    f: &mut fmt::Formatter<'_>,
    text: &[u8],
    plain: std::ops::RangeInclusive<u8>,
) -> fmt::Result {
    for byte in text {
        match byte {
            b'"' | b'\\' => write!(f, "\\{}", char::from(*byte))?,
            byte if plain.contains(byte) => f.write_char(char::from(*byte))?,
            byte => write!(f, "\\x{byte:02X}")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_could_end_a_field_is_escaped() {
        let odd = b"a\"b\\c\r\nd\x7f\x1b[2J \xc2\x9b\xff";
        assert_eq!(
            Quoted(odd).to_string(),
            r#""a\"b\\c\x0D\x0Ad\x7F\x1B[2J \xC2\x9B\xFF""#
        );
        assert_eq!(Bare(b"10.0.0.1 - -").to_string(), r"10.0.0.1\x20-\x20-");
        assert_eq!(Bare(b"").to_string(), "-");
    }
}
