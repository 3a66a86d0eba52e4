//! Where one message ends and the next begins.

use crate::inbound::chunks::Chunks;
use crate::inbound::head::{Framing, Head};
use crate::limits::Limits;
use crate::refusal::Refusal;

/// Follows the messages of one connection.
#[derive(Debug)]
pub(crate) struct Scanner {
    limits: Limits,
    state: State,
}

#[derive(Debug)]
enum State {
    Head(Head),
    /// A body of which so many bytes are to come.
    Sized(u64),
    Chunked(Chunks),
}

/// How far the bytes that were looked at can be handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scan {
    /// So many bytes have been understood. What follows them begins an unfinished head.
    pub(crate) clear: usize,
    /// What is wrong with what follows them.
    pub(crate) fault: Option<Fault>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// In a head: nobody has seen anything of this request.
    Head(Refusal),
    /// In the body of a request that may be on its way already.
    Body(Refusal),
}

impl Scanner {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Head(Head::default()),
        }
    }

    /// Looks at the bytes that follow what was clear before: those of an unfinished head again, and
    /// what has come since.
    pub(crate) fn scan(&mut self, bytes: &[u8]) -> Scan {
        let mut clear = 0;
        loop {
            let rest = &bytes[clear..];
            if rest.is_empty() {
                return Scan { clear, fault: None };
            }
            match &mut self.state {
                State::Head(head) => match head.read(rest, &self.limits) {
                    Ok(None) => return Scan { clear, fault: None },
                    Ok(Some((length, framing))) => {
                        clear += length;
                        self.state = match framing {
                            Framing::Sized(0) => State::Head(Head::default()),
                            Framing::Sized(length) => State::Sized(length),
                            Framing::Chunked => State::Chunked(Chunks::default()),
                        };
                    }
                    Err(refusal) => {
                        let fault = Some(Fault::Head(refusal));
                        return Scan { clear, fault };
                    }
                },
                State::Sized(left) => {
                    let here = usize::try_from(*left).map_or(rest.len(), |n| n.min(rest.len()));
                    clear += here;
                    *left -= here as u64;
                    if *left == 0 {
                        self.state = State::Head(Head::default());
                    }
                }
                State::Chunked(chunks) => match chunks.read(rest) {
                    Ok(None) => clear = bytes.len(),
                    Ok(Some(length)) => {
                        clear += length;
                        self.state = State::Head(Head::default());
                    }
                    Err((length, refusal)) => {
                        clear += length;
                        let fault = Some(Fault::Body(refusal));
                        return Scan { clear, fault };
                    }
                },
            }
        }
    }

    /// Whether a head has begun and not ended.
    pub(crate) fn is_within_head(&self) -> bool {
        matches!(&self.state, State::Head(head) if head.has_begun())
    }

    /// Whether a body has begun and not ended.
    pub(crate) fn is_within_body(&self) -> bool {
        !matches!(self.state, State::Head(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The status of the first fault, with everything at once and byte by byte.
    fn fault(text: &str) -> Option<u16> {
        let status = |fault: Option<Fault>| match fault? {
            Fault::Head(refusal) | Fault::Body(refusal) => Some(refusal.status.as_u16()),
        };
        let at_once = Scanner::new(Limits::default()).scan(text.as_bytes()).fault;
        let mut scanner = Scanner::new(Limits::default());
        let (mut held, mut slowly) = (Vec::new(), None);
        for byte in text.bytes() {
            held.push(byte);
            let scan = scanner.scan(&held);
            held.drain(..scan.clear);
            slowly = scan.fault;
            if slowly.is_some() {
                break;
            }
        }
        assert_eq!(status(at_once), status(slowly), "{text:?}");
        status(at_once)
    }

    #[test]
    fn messages_end_where_they_say() {
        let text = "\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n\
            POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nG\r\n\n\
            POST / HTTP/1.1\r\nhost: x\r\nTransfer-Encoding:  Chunked \r\n\r\n\
            3\r\n\n\n\n\r\n00A\r\n0123456789\r\n0\r\nx-sum: 1\r\n\r\n\
            GET / HTTP/1.0\r\n\r\n";
        assert_eq!(fault(text), None);
        let mut scanner = Scanner::new(Limits::default());
        let cut = text.len() - 2;
        let scan = scanner.scan(&text.as_bytes()[..cut]);
        assert_eq!(&text[scan.clear..cut], "GET / HTTP/1.0\r\n");
        assert!(scanner.is_within_head() && !scanner.is_within_body());
    }

    #[test]
    fn chunks_are_taken_by_the_letter() {
        let chunked = |body: &str| {
            let head = "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
            fault(&format!("{head}{body}"))
        };
        assert_eq!(chunked("1\r\na\r\n0\r\n\r\n"), None);
        for bad in [
            "\r\n",
            "g\r\n",
            "-1\r\n",
            "+1\r\n",
            "0x1\r\n",
            " 1\r\n",
            "1 \r\na\r\n",
            "1 ;a\r\n",
            "1\na\r\n",
            "1;a\na\r\n",
            "1;a\r\r\n",
            "1;\r\n",
            "1;;a\r\n",
            "1;a=b\r\na\r\n0\r\n\r\n",
            "1\r\nab\r\n",
            "1\r\na\n0\r\n\r\n",
            "1\r\na\r\r\n",
            "0\r\n\n",
            "0\r\n x: folded\r\n",
            "0\r\nx: 1\n\r\n",
            "0\r\nx: 1\r\r\n",
            "10000000000000000\r\n",
        ] {
            assert_eq!(chunked(bad), Some(400), "{bad:?}");
        }
        let long = "x".repeat(5_000);
        assert_eq!(chunked(&format!("0\r\nx: {long}{long}\r\n\r\n")), Some(431));
    }
}
