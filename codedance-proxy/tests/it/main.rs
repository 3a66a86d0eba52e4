//! The proxy between real clients and real servers on the loopback device.

mod access_log;
mod answers;
mod conformance;
mod counting;
mod faults;
mod forwarding;
mod health;
mod hostile;
mod http2;
mod limits;
mod mirroring;
mod moving;
mod quiet;
mod retries;
mod rules;
mod stalling;
mod support;
mod tls;
mod tunnels;
mod uploads;
