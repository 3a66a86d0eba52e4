//! Who is at the other end of a connection.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::header::{HeaderMap, HeaderValue};

use crate::config::Config;
use crate::headers::X_FORWARDED_FOR;
use crate::network::Network;
use crate::tunnel::Tunnel;

/// Who has connected, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) is_secure: bool,
}

/// The client of one connection.
#[derive(Debug)]
pub(crate) struct Client {
    /// The peer's address without the port, made once for all requests of the connection.
    address: HeaderValue,
    is_secure: bool,
    trust: Trust,
    /// What follows once the client's connection has stopped speaking HTTP.
    tunnel: Mutex<Option<Box<Tunnel>>>,
}

/// Whose word counts for what lies in front of the proxy.
#[derive(Clone, Debug)]
pub(crate) enum Trust {
    Nobody,
    /// Whoever has connected.
    Peer,
    /// Proxies with these addresses.
    Proxies(Arc<Vec<Network>>),
}

impl Trust {
    pub(crate) fn in_front(config: &Config) -> Self {
        match (&*config.trusted_proxies, config.trust_forwarded) {
            (_, true) => Self::Peer,
            ([], false) => Self::Nobody,
            (proxies, false) => Self::Proxies(Arc::new(proxies.to_vec())),
        }
    }
}

impl Client {
    pub(crate) fn new(peer: Peer, trust: Trust) -> Self {
        let trust = match trust {
            Trust::Proxies(proxies) if !is_in(&proxies, peer.address.ip()) => Trust::Nobody,
            trust => trust,
        };
        Self {
            address: address_value(peer.address.ip()),
            is_secure: peer.is_secure,
            trust,
            tunnel: Mutex::default(),
        }
    }

    /// The address of whoever has connected.
    pub(crate) const fn own_address(&self) -> &HeaderValue {
        &self.address
    }

    /// How the peer has connected, as part of an address.
    pub(crate) const fn scheme(&self) -> HeaderValue {
        HeaderValue::from_static(if self.is_secure { "https" } else { "http" })
    }

    /// Whether what the peer says of the way in front of it is believed.
    pub(crate) const fn is_trusted(&self) -> bool {
        !matches!(self.trust, Trust::Nobody)
    }

    /// The address of the client of this request, as text: the peer's, or what a trusted proxy in
    /// front says.
    pub(crate) fn address<'h>(&'h self, headers: &'h HeaderMap) -> &'h [u8] {
        let lines = match self.trust {
            Trust::Nobody => return self.address.as_bytes(),
            Trust::Peer | Trust::Proxies(_) => headers.get_all(X_FORWARDED_FOR).iter().rev(),
        };
        // The one nearest to the proxy first: those before it may have been made up.
        let mut addresses = lines
            .flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii);
        let Trust::Proxies(proxies) = &self.trust else {
            return addresses.next().unwrap_or(self.address.as_bytes());
        };
        let mut nearest = self.address.as_bytes();
        for text in addresses {
            // What is no address was not written by a proxy that is trusted.
            let Some(address) = parse(text) else { break };
            nearest = text;
            if !is_in(proxies, address) {
                break;
            }
        }
        nearest
    }

    /// Hands over what is to run when the answer that switches protocols has been sent.
    pub(crate) fn open(&self, tunnel: Tunnel) {
        *self.lock_tunnel() = Some(Box::new(tunnel));
    }

    /// What was handed over.
    pub(crate) fn tunnel(&self) -> Option<Tunnel> {
        self.lock_tunnel().take().map(|tunnel| *tunnel)
    }

    fn lock_tunnel(&self) -> MutexGuard<'_, Option<Box<Tunnel>>> {
        self.tunnel.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_in(networks: &[Network], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(address))
}

fn parse(text: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The address as text; an IPv4 client of an IPv6 socket is an IPv4 client.
fn address_value(address: IpAddr) -> HeaderValue {
    let text = address.to_canonical().to_string();
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(peer: &str, forwarded: &[&'static str]) -> String {
        let proxies = ["10.0.0.0/8", "2001:db8::/32"].map(|network| network.parse().unwrap());
        let peer = Peer {
            address: SocketAddr::new(peer.parse().unwrap(), 1234),
            is_secure: false,
        };
        let client = Client::new(peer, Trust::Proxies(Arc::new(proxies.into())));
        let lines = forwarded.iter().map(|line| HeaderValue::from_static(line));
        let headers: HeaderMap = lines.map(|line| (X_FORWARDED_FOR, line)).collect();
        String::from_utf8(client.address(&headers).to_vec()).unwrap()
    }

    #[test]
    fn the_last_address_that_is_no_trusted_proxys_is_the_clients() {
        let line = "203.0.113.9, 198.51.100.3, 10.0.0.1";
        assert_eq!(address("10.9.9.9", &[line]), "198.51.100.3");
        assert_eq!(address("::ffff:10.9.9.9", &[line]), "198.51.100.3");
        assert_eq!(
            address("2001:db8::9", &["1.2.3.4", "2001:db8::8,10.0.0.1"]),
            "1.2.3.4"
        );
        assert_eq!(address("10.9.9.9", &["10.0.0.2, 10.0.0.1"]), "10.0.0.2");
        assert_eq!(address("10.9.9.9", &[]), "10.9.9.9");
    }

    #[test]
    fn who_is_not_trusted_is_not_believed() {
        assert_eq!(address("192.0.2.7", &["10.0.0.1"]), "192.0.2.7");
        assert_eq!(
            address("10.9.9.9", &["1.2.3.4, made up, 10.0.0.1"]),
            "10.0.0.1"
        );
        assert_eq!(address("10.9.9.9", &["made up"]), "10.9.9.9");
    }
}
