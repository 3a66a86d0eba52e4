//! The connections to one endpoint.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::connection::{Connection, Lease};
use crate::dial::{DialError, Stream};

/// As few connections as there have to be.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// `None` once the endpoint is out of rotation.
    connections: Mutex<Open>,
    /// Held by the one request that connects; the others wait for what comes of it.
    connecting: tokio::sync::Mutex<Option<DialError>>,
    /// How many attempts to connect have failed.
    failed: AtomicU64,
}

#[derive(Debug)]
enum Open {
    All(Vec<Arc<Connection>>),
    /// The endpoint is out of rotation: who has a place on a connection keeps it.
    NoMore,
}

impl Default for Open {
    fn default() -> Self {
        Self::All(Vec::new())
    }
}

impl Shared {
    /// A place on a connection that is there, or on a new one, on which the endpoint begins to speak
    /// within this time.
    pub(crate) async fn lease(
        &self,
        dial: impl Future<Output = Result<Stream, DialError>>,
        limit: Duration,
    ) -> Result<Lease, DialError> {
        if let Some(lease) = self.find() {
            return Ok(lease);
        }
        let failed = self.failed.load(Relaxed);
        let mut failure = self.connecting.lock().await;
        if let Some(lease) = self.find() {
            return Ok(lease);
        }
        if let Some(failure) = &*failure
            && self.failed.load(Relaxed) > failed
        {
            // Somebody has tried while this request waited. If each of those that wait tried in its
            // turn, the last would wait very long.
            return Err(failure.clone());
        }
        let connected = match dial.await {
            Ok(stream) => Connection::over(stream, limit)
                .await
                .map_err(DialError::from),
            Err(error) => Err(error),
        };
        let leased = connected.and_then(|connection| {
            let lease = connection.lease().ok_or_else(DialError::closed)?;
            if let Open::All(connections) = &mut *self.lock() {
                connections.push(connection);
            }
            Ok(lease)
        });
        if let Err(error) = &leased {
            self.failed.fetch_add(1, Relaxed);
            *failure = Some(error.clone());
        }
        leased
    }

    fn find(&self) -> Option<Lease> {
        match &mut *self.lock() {
            Open::All(connections) => {
                connections.retain(|connection| connection.is_open());
                connections.iter().find_map(Connection::lease)
            }
            Open::NoMore => None,
        }
    }

    /// Closes connections that were idle for too long.
    pub(crate) fn sweep(&self, idle_timeout: Duration) {
        if let Open::All(connections) = &mut *self.lock() {
            connections.retain(|c| c.is_open() && !c.is_idle_for(idle_timeout));
        }
    }

    /// Closes all connections as soon as nothing is under way on them.
    pub(crate) fn close(&self) {
        *self.lock() = Open::NoMore;
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // Whatever panicked while it held the lock left the list whole.
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
