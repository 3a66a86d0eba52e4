//! The client against servers of the test's own.

mod asking;
mod faults;
#[path = "../../../tests/it/gate.rs"]
mod gate;
mod secrets;
mod sharing;
mod tls;
#[path = "../../../tests/it/upstream.rs"]
mod upstream;

use std::net::SocketAddr;

use codedance_core::{Error, Failure, Timestamp};
use upstream::Upstream;

use super::{Client, Config, Row, Value};

const AT: Timestamp = Timestamp::from_millis(1_795_304_790_497);

fn config(address: SocketAddr) -> Config {
    Config::new(format!("http://{address}").parse().unwrap())
}

async fn client(address: SocketAddr) -> Client {
    Client::open(config(address)).await.unwrap()
}

/// Why the server's answer to a query is none.
async fn refusal(upstream: &Upstream) -> Error {
    let client = client(upstream.address).await;
    client.instant("up", AT).await.unwrap_err()
}

/// The value of the only row.
fn value(rows: &[Row]) -> f64 {
    match rows {
        [
            Row {
                value: Value::Float(value),
                ..
            },
        ] => *value,
        other => panic!("{other:?}"),
    }
}

/// An error with all that caused it, as users read it.
fn told(error: &Error) -> String {
    Failure::from(error).message
}
