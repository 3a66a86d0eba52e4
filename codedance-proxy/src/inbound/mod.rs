//! What a client sends, before anything else sees it.
//!
//! An HTTP server may be lenient in what it accepts, as long as nobody else reads the same bytes.
//! Behind a proxy somebody does: where two of them disagree on where a request ends, a client can
//! hide a second request in the first. So every head and every frame of a body is checked here,
//! strictly, and only what has been understood is handed on to hyper.

mod chunks;
mod guard;
mod head;
mod http2;
mod scanner;

pub(crate) use guard::{Guard, Verdict, send_off};
pub(crate) use head::{BAD_HOST_VALUE, decimal};
pub(crate) use http2::settle;
