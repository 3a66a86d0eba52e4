//! Connections of HTTP/1.1 to endpoints: one for each request under way.
//!
//! This is our own because it is most of what a proxy does. A general client hands messages over to a
//! connection and back through channels, copies heads so that they can be handed back, and boxes what
//! it waits for: per request more instructions than all that is done here. Here the task of the
//! client's request writes and reads the connection itself.
//!
//! What an endpoint sends is read as RFC 9112 says, and more strictly where that leaves a choice:
//!
//! - the head (4, 5): by `httparse`, at most [`HEAD_BYTES`](head::HEAD_BYTES)
//!   long and of [`HEADERS`](head::HEADERS) headers; answers
//!   before the final one are skipped (RFC 9110, 15.2);
//! - where the body ends (6.3): an answer with both a length and a transfer coding, with lengths that
//!   differ, or with another coding than `chunked`, is none at all;
//! - chunks (7.1): by the letter, with extensions ignored;
//! - what ends before its end (8) is an error, never an answer;
//! - whether the connection persists (9.3): not after anything that was left unread or unsent.

mod body;
mod chunks;
mod connection;
mod head;
mod request;

pub(crate) use connection::Upstream;
