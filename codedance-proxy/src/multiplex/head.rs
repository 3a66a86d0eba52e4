//! The head of a request in HTTP/2.

use std::net::SocketAddr;

use http::header::{CONNECTION, HOST, TRANSFER_ENCODING, UPGRADE};
use http::uri::{self, Authority, Scheme, Uri};
use http::{Request, Version};

use crate::inbound::BAD_HOST_VALUE;
use crate::refusal::Refusal;

/// Makes the head of a request to an endpoint one of HTTP/2.
pub(crate) fn settle_head<B>(
    request: &mut Request<B>,
    scheme: Scheme,
    endpoint: SocketAddr,
) -> Result<(), Refusal> {
    let headers = request.headers_mut();
    for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    let host = headers.remove(HOST).filter(|host| !host.is_empty());
    let authority = match &host {
        Some(host) => Authority::try_from(host.as_bytes()),
        None => Authority::try_from(endpoint.to_string()),
    };
    let mut parts = uri::Parts::default();
    parts.scheme = Some(scheme);
    parts.authority = Some(authority.map_err(|_| BAD_HOST_VALUE)?);
    parts.path_and_query = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from_parts(parts).map_err(|_| BAD_HOST_VALUE)?;
    *request.version_mut() = Version::HTTP_2;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(target: &str, host: Option<&str>) -> Result<Request<()>, u16> {
        let request = Request::options(target).header("te", "trailers");
        let request = request.header("connection", "te");
        let request = host
            .into_iter()
            .fold(request, |head, host| head.header("host", host));
        let mut request = request.body(()).unwrap();
        let endpoint = ([10, 0, 0, 1], 80).into();
        let settled = settle_head(&mut request, Scheme::HTTPS, endpoint);
        settled.map_err(|refusal| refusal.status.as_u16())?;
        Ok(request)
    }

    #[test]
    fn the_host_becomes_the_authority() {
        let address = |target, host| settled(target, host).unwrap().uri().to_string();
        assert_eq!(address("/a?b", Some("shop:81")), "https://shop:81/a?b");
        assert_eq!(address("*", Some("[::1]")), "https://[::1]*");
        assert_eq!(address("/", Some("")), "https://10.0.0.1:80/");
        assert_eq!(address("/", None), "https://10.0.0.1:80/");
        assert_eq!(settled("/", Some("a:b:c")).unwrap_err(), 400);

        let request = settled("/", Some("shop")).unwrap();
        let names: Vec<_> = request.headers().keys().collect();
        assert_eq!(names, ["te"]);
    }
}
