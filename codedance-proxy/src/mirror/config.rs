//! What is mirrored, and where to.

use std::time::Duration;

use codedance_core::workload::Revision;
use codedance_core::{Percent, Result};

use crate::error::ProxyError;
use crate::server::Proxy;

/// Sends copies of a share of the requests to another revision, which answers to nobody: a new
/// revision meets real requests before it gets any, or a group of endpoints is tried under load.
///
/// Requests that any other revision answers are copied; those that the revision answers itself are
/// not. The revision needs no share of the split: any name to which
/// [endpoints](codedance_core::traffic::Endpoints::add) were added will do, so a group of endpoints
/// that never serves users is a revision of its own.
///
/// # Users notice nothing
///
/// A copy is sent by a task of its own, over connections that no user waits for. When
/// [`in_flight`](Self::in_flight) of them are under way, further ones are dropped and counted. The
/// answer is read and thrown away. A copy of a request with a body is sent when the body has come in
/// whole and was not larger than [`body_bytes`](Self::body_bytes); it never holds the body up. So
/// mirroring takes at most `in_flight × (body_bytes + `[`head_bytes`](crate::Limits::head_bytes)`)`
/// of memory.
///
/// # What the revision sees
///
/// The request as it goes to the other endpoint, with cookies and all, and with the header
/// `X-Codedance-Mirrored: 1`. What clients send under that name is removed, from all requests: who
/// reads the header may rely on it. `Host` stays as it is, unlike with Envoy, which appends
/// `-shadow`: a copy should be treated as the original is. Only methods that are safe (`GET`, `HEAD`,
/// `OPTIONS`, `TRACE`) are mirrored, unless [`unsafe_methods`](Self::unsafe_methods) says otherwise;
/// offers of another protocol never are, and trailers are left out.
///
/// # What is counted
///
/// Copies are counted on their own, see [`Proxy::mirror_totals`], and neither among the requests of
/// the revision nor by the judge. They are in flight as any request is: draining an endpoint waits for
/// them, at most for [`timeout`](Self::timeout). They end when the proxy shuts down.
///
/// ```
/// use codedance_core::Percent;
/// use codedance_core::workload::Revision;
/// use codedance_proxy::Mirror;
///
/// let mirror = Mirror::new(Revision::new("v2")?, Percent::new(10)?).with_body_bytes(16 * 1024);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mirror {
    /// Who gets the copies.
    pub to: Revision,
    /// The share of the requests that is copied, drawn anew for each.
    pub share: Percent,
    /// Whether requests are copied that may change something, such as `POST`. The revision then does
    /// everything a second time, unless it heeds the header. Default false.
    pub unsafe_methods: bool,
    /// The largest body that is copied, 0 to 16 MiB. Default 64 KiB.
    pub body_bytes: usize,
    /// How many copies are under way at once, 1 to 10,000. Default 64.
    pub in_flight: usize,
    /// How long the exchange may take, from connecting to the end of the answer. Default 10 s.
    pub timeout: Duration,
}

impl Mirror {
    /// Copies a share of the requests to this revision.
    #[must_use]
    pub fn new(to: Revision, share: Percent) -> Self {
        Self {
            to,
            share,
            unsafe_methods: false,
            body_bytes: 64 * 1024,
            in_flight: 64,
            timeout: Duration::from_secs(10),
        }
    }

    /// Sets [`Mirror::unsafe_methods`].
    #[must_use]
    pub fn with_unsafe_methods(mut self, copied: bool) -> Self {
        self.unsafe_methods = copied;
        self
    }

    /// Sets [`Mirror::body_bytes`].
    #[must_use]
    pub fn with_body_bytes(mut self, bytes: usize) -> Self {
        self.body_bytes = bytes;
        self
    }

    /// Sets [`Mirror::in_flight`].
    #[must_use]
    pub fn with_in_flight(mut self, count: usize) -> Self {
        self.in_flight = count;
        self
    }

    /// Sets [`Mirror::timeout`].
    #[must_use]
    pub fn with_timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    pub(crate) fn check(&self) -> Result<(), ProxyError> {
        let refuse = |key, wanted| Err(ProxyError::Config { key, wanted });
        if self.body_bytes > 16 * 1024 * 1024 {
            return refuse("mirror.body_bytes", "0 to 16777216");
        }
        if !(1..=10_000).contains(&self.in_flight) {
            return refuse("mirror.in_flight", "1 to 10000");
        }
        if self.timeout.is_zero() {
            return refuse("mirror.timeout", "longer than nothing");
        }
        Ok(())
    }
}

impl Proxy {
    /// Begins, changes or ends mirroring, for the next request; see [`Mirror`]. Copies under way are
    /// not touched.
    ///
    /// # Errors
    /// [`Invalid`](codedance_core::ErrorKind::Invalid) for a setting that cannot be, named in the
    /// cause; what was in force stays so.
    pub fn set_mirror(&self, mirror: Option<Mirror>) -> Result<()> {
        let set = self.routing().set_mirror(mirror);
        set.map_err(|error| error.during("set the mirror"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_be_are_refused_by_name() {
        let mirror = Mirror::new(Revision::new("v2").unwrap(), Percent::HUNDRED);
        mirror.check().unwrap();
        for (bad, name) in [
            (mirror.clone().with_body_bytes(1 << 30), "body_bytes"),
            (mirror.clone().with_in_flight(0), "in_flight"),
            (mirror.clone().with_in_flight(10_001), "in_flight"),
            (mirror.clone().with_timeout(Duration::ZERO), "timeout"),
        ] {
            let text = bad.check().unwrap_err().to_string();
            assert!(text.starts_with(&format!("mirror.{name} ")), "{text}");
        }
    }
}
