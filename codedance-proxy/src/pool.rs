//! Connections to endpoints that are kept, and used again.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::upstream::Upstream;

/// The connections to one endpoint that wait for the next request.
#[derive(Debug)]
pub(crate) struct Pool {
    /// The longest idle first. `None` once the endpoint is out of rotation.
    idle: Mutex<Option<VecDeque<Box<Upstream>>>>,
    capacity: usize,
    idle_timeout: Duration,
}

impl Pool {
    pub(crate) fn new(capacity: usize, idle_timeout: Duration) -> Self {
        Self {
            idle: Mutex::new(Some(VecDeque::new())),
            capacity,
            idle_timeout,
        }
    }

    /// The connection used last: it is the least likely to be closed meanwhile.
    ///
    /// If the endpoint has closed it, [`Upstream::send`] sees that before it writes anything.
    pub(crate) fn take(&self) -> Option<Box<Upstream>> {
        loop {
            // Not a `while let`: its scrutinee would hold the lock during the body.
            let upstream = self.lock().as_mut()?.pop_back()?;
            if upstream.idle_for() < self.idle_timeout {
                return Some(upstream);
            }
        }
    }

    /// Keeps the connection if it can be used again.
    pub(crate) fn put(&self, mut upstream: Box<Upstream>) {
        if !upstream.rest() {
            return;
        }
        let surplus = match self.lock().as_mut() {
            None => Some(upstream),
            Some(idle) => {
                idle.push_back(upstream);
                if idle.len() > self.capacity {
                    idle.pop_front()
                } else {
                    None
                }
            }
        };
        if let Some(surplus) = surplus {
            surplus.reset();
        }
    }

    /// Closes connections that were idle for too long, or that the endpoint closed.
    pub(crate) fn sweep(&self) {
        let mut idle = self.lock();
        if let Some(idle) = idle.as_mut() {
            idle.retain_mut(|upstream| {
                upstream.idle_for() < self.idle_timeout && upstream.is_silent()
            });
        }
    }

    pub(crate) const fn idle_timeout(&self) -> Duration {
        self.idle_timeout
    }

    /// Closes all connections, and from now on each one that is put back.
    pub(crate) fn close(&self) {
        self.lock().take();
    }

    fn lock(&self) -> MutexGuard<'_, Option<VecDeque<Box<Upstream>>>> {
        // Whatever panicked while it held the lock left the queue whole.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
