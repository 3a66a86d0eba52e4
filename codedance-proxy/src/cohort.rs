//! Who belongs to the canary's cohort: the same answer as nginx `split_clients` gives.

use codedance_core::Percent;
use codedance_core::traffic::CohortKey;
use http::header::{COOKIE, HeaderMap, HeaderName};

use crate::error::ProxyError;

/// MurmurHash2 (32 bits, seed 0) of a cohort key, as nginx `split_clients` computes it.
///
/// ```
/// assert_eq!(codedance_proxy::cohort_hash(b"alice"), 0x1c96_2259);
/// ```
#[must_use]
pub fn cohort_hash(key: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;

    // The reference mixes in the length modulo 2³²; no key comes near that.
    let mut hash = key.len() as u32;
    let mut words = key.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (place, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// Whether the user with this key sees a canary of the given weight.
///
/// A growing weight only ever adds users. An empty key never belongs, except at 100 %, when everybody
/// does: nginx would put it into the first bucket at any weight, since it hashes to 0, and with it
/// every anonymous user at once.
///
/// ```
/// use codedance_core::Percent;
/// use codedance_proxy::in_cohort;
///
/// assert!(in_cohort(b"user-1", Percent::new(5)?));
/// assert!(!in_cohort(b"user-42", Percent::new(50)?));
/// assert!(!in_cohort(b"", Percent::new(99)?));
/// # Ok::<(), codedance_core::percent::PercentError>(())
/// ```
#[must_use]
pub fn in_cohort(key: &[u8], weight: Percent) -> bool {
    if weight == Percent::HUNDRED {
        return true;
    }
    let bound = u64::from(weight.basis_points()) * u64::from(u32::MAX) / 10_000;
    !key.is_empty() && u64::from(cohort_hash(key)) < bound
}

/// Where a request carries the key of its cohort: a [`CohortKey`] whose names have been checked.
#[derive(Clone, Debug)]
pub(crate) enum KeySource {
    Header(HeaderName),
    Cookie(String),
    ClientAddress,
}

impl TryFrom<&CohortKey> for KeySource {
    type Error = ProxyError;

    fn try_from(key: &CohortKey) -> Result<Self, ProxyError> {
        match key {
            CohortKey::Header(name) => HeaderName::from_bytes(name.as_bytes())
                .map(Self::Header)
                .map_err(|_| ProxyError::HeaderName(name.clone())),
            // A cookie's name is a token, as a header's is.
            CohortKey::Cookie(name) if HeaderName::from_bytes(name.as_bytes()).is_ok() => {
                Ok(Self::Cookie(name.clone()))
            }
            CohortKey::Cookie(name) => Err(ProxyError::CookieName(name.clone())),
            CohortKey::ClientAddress => Ok(Self::ClientAddress),
            other => Err(ProxyError::CohortKey(other.clone())),
        }
    }
}

impl KeySource {
    /// The key of a request from `address`; empty when it carries none.
    pub(crate) fn key<'a>(&self, headers: &'a HeaderMap, address: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Header(name) => headers.get(name).map_or(b"", |value| value.as_bytes()),
            Self::Cookie(name) => cookie(headers, name).unwrap_or_default(),
            Self::ClientAddress => address,
        }
    }
}

/// The value of the first cookie of that name, quotes included, as nginx `$cookie_…` reads it.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
        .find_map(|pair| {
            let value = pair.trim_ascii_start().strip_prefix(name.as_bytes())?;
            Some(value.strip_prefix(b"=")?.trim_ascii_end())
        })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn percent(whole: u32) -> Percent {
        Percent::new(whole).unwrap()
    }

    /// Keys, their hashes in nginx 1.22, and the smallest of 5, 25 and 50 % that takes them in.
    const NGINX: [(&str, u32, Option<u32>); 11] = [
        ("user-1", 0x0143_4a3f, Some(5)),
        ("user-2", 0x21c1_483c, Some(25)),
        ("user-7", 0x5f77_a232, Some(50)),
        ("user-42", 0xe087_0305, None),
        ("alice", 0x1c96_2259, Some(25)),
        ("bob", 0x5459_bb03, Some(50)),
        ("10.0.0.7", 0x760a_a6f2, Some(50)),
        ("2001:db8::1", 0xf17b_4610, None),
        ("x", 0x1635_7ce4, Some(25)),
        ("svc1:user-1", 0xf32f_47c9, None),
        (
            "a-rather-long-session-cookie-value-0123456789",
            0x3416_30b7,
            Some(25),
        ),
    ];

    #[test]
    fn keys_hash_and_fall_as_in_nginx() {
        for (key, hash, first) in NGINX {
            assert_eq!(cohort_hash(key.as_bytes()), hash, "{key}");
            for weight in [5, 25, 50] {
                let expected = first.is_some_and(|first| weight >= first);
                let found = in_cohort(key.as_bytes(), percent(weight));
                assert_eq!(found, expected, "{key} at {weight} %");
            }
        }
    }

    #[test]
    fn an_empty_key_belongs_only_when_everybody_does() {
        assert_eq!(cohort_hash(b""), 0);
        for points in 0..10_000 {
            let weight = Percent::from_basis_points(points).unwrap();
            assert!(!in_cohort(b"", weight), "{weight}");
        }
        assert!(in_cohort(b"", Percent::HUNDRED));
    }

    #[test]
    fn a_growing_weight_only_adds_users() {
        for user in 0..2_000 {
            let key = format!("user-{user}");
            let mut inside = false;
            for points in (0..=10_000).step_by(50) {
                let now = in_cohort(key.as_bytes(), Percent::from_basis_points(points).unwrap());
                assert!(now || !inside, "{key} left at {points} basis points");
                inside = now;
            }
            assert!(inside, "{key} is out at 100 %");
        }
    }

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("my-id=no; id2=no"));
        headers.append(
            COOKIE,
            HeaderValue::from_static("a=b;  id=\"yes\" ; id=late"),
        );
        assert_eq!(cookie(&headers, "id"), Some(&b"\"yes\""[..]));
        assert_eq!(cookie(&headers, "i"), None);
        assert_eq!(cookie(&HeaderMap::new(), "id"), None);
    }
}
