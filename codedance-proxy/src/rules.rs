//! Who gets which side whatever the weight says.

use std::net::IpAddr;

use codedance_core::Result;
use http::HeaderMap;
use http::header::HeaderName;
use ipnet::IpNet;
use prefix_trie::joint::map::JointPrefixMap;

use crate::cohort::cookie;
use crate::error::ProxyError;
use crate::network::Network;

/// Rules that send certain requests to one side of a split, before shares or cohorts are looked at.
///
/// Headers and cookies are looked at in the order in which they were added; the first that the
/// request carries with exactly this value decides. If none does, the client's address is looked up:
/// of all networks that contain it the smallest decides. If there is none either, the split decides.
///
/// A rule holds as long as both sides have a share. At 0 % nobody sees the canary and at 100 %
/// everybody does, whatever the rules say: the other side may have been taken down.
///
/// ```
/// use codedance_proxy::{Rules, Side};
///
/// let rules = Rules::new()
///     .with_header("X-Preview", "yes", Side::Canary)?
///     .with_cookie("beta", "1", Side::Canary)?
///     .with_network("10.0.0.0/8".parse()?, Side::Canary)?
///     .with_network("10.7.0.0/16".parse()?, Side::Stable)?;
/// # Ok::<(), codedance_core::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Rules {
    conditions: Vec<(Condition, Side)>,
    /// Every range once; their order does not matter.
    networks: JointPrefixMap<IpNet, Side>,
}

/// One side of a split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The revision that gets what the canary does not.
    Stable,
    /// The revision under observation.
    Canary,
}

#[derive(Clone, Debug)]
enum Condition {
    Header(HeaderName, Vec<u8>),
    Cookie(String, Vec<u8>),
}

impl Rules {
    /// No rules: the split decides alone.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Requests with a header of this name, in any case, and exactly this value go to `side`.
    ///
    /// # Errors
    /// [`Invalid`](codedance_core::ErrorKind::Invalid) for what is not the name of a header.
    pub fn with_header(mut self, name: &str, value: &str, side: Side) -> Result<Self> {
        let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
            return Err(ProxyError::HeaderName(name.to_owned()).during(ADD));
        };
        let condition = Condition::Header(header, value.as_bytes().to_vec());
        self.conditions.push((condition, side));
        Ok(self)
    }

    /// Requests with a cookie of exactly this name and value go to `side`. Where a request has
    /// several cookies of the name, the first counts.
    ///
    /// # Errors
    /// [`Invalid`](codedance_core::ErrorKind::Invalid) for what is not the name of a cookie.
    pub fn with_cookie(mut self, name: &str, value: &str, side: Side) -> Result<Self> {
        // A cookie's name is a token, as a header's is.
        if HeaderName::from_bytes(name.as_bytes()).is_err() {
            return Err(ProxyError::CookieName(name.to_owned()).during(ADD));
        }
        let condition = Condition::Cookie(name.to_owned(), value.as_bytes().to_vec());
        self.conditions.push((condition, side));
        Ok(self)
    }

    /// Requests of clients in this network go to `side`, unless a smaller network contains them too.
    ///
    /// # Errors
    /// [`Invalid`](codedance_core::ErrorKind::Invalid) for a network that has a rule already.
    pub fn with_network(mut self, network: Network, side: Side) -> Result<Self> {
        if self.networks.insert(network.range(), side).is_some() {
            return Err(ProxyError::NetworkTwice(network).during(ADD));
        }
        Ok(self)
    }

    /// The side that the rules send a request from `address` to; `None` when the split decides.
    pub(crate) fn side(&self, headers: &HeaderMap, address: &[u8]) -> Option<Side> {
        let met = |(condition, _): &&(Condition, Side)| condition.is_met(headers);
        if let Some((_, side)) = self.conditions.iter().find(met) {
            return Some(*side);
        }
        if self.networks.is_empty() {
            return None;
        }
        let address: IpAddr = std::str::from_utf8(address).ok()?.parse().ok()?;
        let single = IpNet::from(address.to_canonical());
        self.networks.get_lpm(&single).map(|(_, side)| *side)
    }
}

const ADD: &str = "add a rule";

impl Condition {
    fn is_met(&self, headers: &HeaderMap) -> bool {
        match self {
            Self::Header(name, value) => {
                let mut lines = headers.get_all(name).iter();
                lines.any(|line| line.as_bytes() == value)
            }
            Self::Cookie(name, value) => cookie(headers, name) == Some(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let lines = lines.iter();
        lines
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn the_first_header_or_cookie_decides_before_any_network() {
        let rules = Rules::new()
            .with_header("X-Preview", "yes", Side::Canary)
            .and_then(|rules| rules.with_cookie("beta", "1", Side::Stable))
            .and_then(|rules| rules.with_header("x-preview", "no", Side::Canary))
            .and_then(|rules| rules.with_network("0.0.0.0/0".parse()?, Side::Stable))
            .unwrap();
        let side = |lines: &[_]| rules.side(&headers(lines), b"192.0.2.1");
        assert_eq!(side(&[("x-preview", "yes")]), Some(Side::Canary));
        assert_eq!(
            side(&[("x-preview", "yes"), ("cookie", "beta=1")]),
            Some(Side::Canary)
        );
        assert_eq!(
            side(&[("x-preview", "no"), ("cookie", "a=b; beta=1")]),
            Some(Side::Stable)
        );
        assert_eq!(side(&[("x-preview", "no")]), Some(Side::Canary));
        assert_eq!(
            side(&[("x-preview", "YES"), ("cookie", "beta=11")]),
            Some(Side::Stable)
        );
        assert_eq!(rules.side(&HeaderMap::new(), b"2001:db8::1"), None);
    }

    #[test]
    fn the_smallest_network_decides() {
        // A naive look-up beside it: all networks, the longest prefix last.
        let networks = [
            ("0.0.0.0/0", Side::Stable),
            ("10.0.0.0/8", Side::Canary),
            ("10.7.0.0/16", Side::Stable),
            ("10.7.7.7/32", Side::Canary),
            ("2001:db8::/32", Side::Canary),
            ("2001:db8:1::/48", Side::Stable),
        ];
        let mut rules = Rules::new();
        for (network, side) in networks.iter().rev() {
            rules = rules.with_network(network.parse().unwrap(), *side).unwrap();
        }
        for (address, length) in [
            ("192.0.2.1", Some(0)),
            ("10.1.2.3", Some(8)),
            ("10.7.0.1", Some(16)),
            ("10.7.7.7", Some(32)),
            ("::ffff:10.7.7.7", Some(32)),
            ("2001:db8::1", Some(32)),
            ("2001:db8:1::1", Some(48)),
            ("2001:db9::1", None),
        ] {
            let parsed: IpAddr = address.parse().unwrap();
            let naive = networks
                .iter()
                .map(|(network, side)| (network.parse::<Network>().unwrap(), *side))
                .filter(|(network, _)| network.contains(parsed))
                .max_by_key(|(network, _)| network.range().prefix_len());
            let found = rules.side(&HeaderMap::new(), address.as_bytes());
            assert_eq!(found, naive.map(|(_, side)| side), "{address}");
            assert_eq!(
                naive.map(|(n, _)| n.range().prefix_len()),
                length,
                "{address}"
            );
        }
        assert_eq!(rules.side(&HeaderMap::new(), b"unknown"), None);
    }

    #[test]
    fn rules_that_cannot_be_are_refused() {
        assert!(Rules::new().with_header("a b", "x", Side::Canary).is_err());
        assert!(Rules::new().with_cookie("", "x", Side::Canary).is_err());
        let network = "10.0.0.0/8".parse().unwrap();
        let rules = Rules::new().with_network(network, Side::Canary).unwrap();
        assert!(rules.with_network(network, Side::Stable).is_err());
    }
}
