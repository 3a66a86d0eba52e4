//! Every clause of the contracts of the proxy's three ports, with real requests.

mod endpoints;
mod metrics;
mod router;
