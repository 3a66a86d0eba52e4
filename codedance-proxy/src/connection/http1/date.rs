//! The date of answers that come without one (RFC 9110, 6.6.1).

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

/// Adds the line, which is written anew each second.
pub(super) fn append(out: &mut Vec<u8>) {
    thread_local! {
        static LINE: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
    }
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = since_epoch.map_or(0, |length| length.as_secs());
    LINE.with_borrow_mut(|(second, line)| {
        if *second != now {
            *second = now;
            *line = write(now);
        }
        out.extend_from_slice(line.as_bytes());
    });
}

/// Nothing for a time that has no date: a clock that is not set is no reason to fail.
fn write(second: u64) -> String {
    let time = i64::try_from(second).ok();
    let time = time.and_then(|second| Timestamp::from_second(second).ok());
    let date = time.and_then(|time| {
        let printed = DateTimePrinter::new().timestamp_to_rfc9110_string(&time);
        printed.ok()
    });
    date.map_or_else(String::new, |date| format!("date: {date}\r\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_written_as_http_wants_it() {
        assert_eq!(
            write(784_111_777),
            "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
        );
        assert_eq!(write(u64::MAX), "");
        let mut out = Vec::new();
        append(&mut out);
        assert!(out.ends_with(b" GMT\r\n"), "{out:?}");
    }
}
