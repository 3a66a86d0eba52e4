//! What a client sends, before anything else sees it.
//!
//! An HTTP server may be lenient in what it accepts, as long as nobody else reads the same bytes.
//! Behind a proxy somebody does: where two of them disagree on where a request ends, a client can
//! hide a second request in the first. So every head and every frame of a body is read here once,
//! strictly, and only what has been understood is handed on.

mod body;
mod chunks;
mod content;
mod first_line;
mod head;
mod http2;

pub(crate) use body::{Decoder, Piece};
pub(crate) use content::{Demand, Giver, Inbound, InboundError, hand_over};
pub(crate) use head::{Asked, BAD_HOST_VALUE, Framing, Head};
pub(crate) use http2::settle;
