//! Ranges of addresses.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use codedance_core::Error;

use crate::error::ProxyError;

/// A range of addresses in CIDR notation, or a single address.
///
/// ```
/// use codedance_proxy::Network;
///
/// let office: Network = "192.0.2.0/24".parse()?;
/// assert!(office.contains("192.0.2.7".parse()?));
/// assert!("192.0.2.7".parse::<Network>()?.contains("::ffff:192.0.2.7".parse()?));
/// assert!("192.0.2.7/24".parse::<Network>().is_err(), "bits of a host");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(IpNet);

impl Network {
    /// Whether the address is in the range. An IPv4 address mapped into IPv6 is an IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    pub(crate) const fn range(self) -> IpNet {
        self.0
    }
}

impl FromStr for Network {
    type Err = Error;

    /// # Errors
    /// [`Invalid`](codedance_core::ErrorKind::Invalid) for what is no range, or one whose address has
    /// bits set behind the prefix: it is more likely a mistake than a wish.
    fn from_str(text: &str) -> Result<Self, Error> {
        let address = text.parse::<IpAddr>().map(IpNet::from);
        let range = address.or_else(|_| text.parse::<IpNet>()).ok();
        let range = range.filter(|range| range.trunc() == *range);
        let refused = || ProxyError::Network(text.to_owned()).during("read a network");
        range.map(Self).ok_or_else(refused)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_proper_ranges_are_read() {
        for good in [
            "0.0.0.0/0",
            "10.0.0.0/8",
            "10.0.0.1/32",
            "2001:db8::/32",
            "::/0",
        ] {
            assert_eq!(good.parse::<Network>().unwrap().to_string(), good);
        }
        assert_eq!("::1".parse::<Network>().unwrap().to_string(), "::1/128");
        for bad in [
            "",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "10.0.0/8",
            "2001:db8::1/32",
            "all",
        ] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
