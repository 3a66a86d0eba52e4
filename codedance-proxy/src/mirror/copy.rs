//! Copies while they are made.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use codedance_core::Percent;
use codedance_core::workload::Revision;
use http::header::{CONTENT_LENGTH, HeaderValue, TE, TRAILER, TRANSFER_ENCODING};
use http::{Request, request};
use hyper::body::Body;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::config::Mirror;
use super::send::send;
use crate::config::Config;
use crate::headers::X_CODEDANCE_MIRRORED;
use crate::route::Route;
use crate::upload::Upload;

/// The tasks that send copies.
#[derive(Clone, Debug, Default)]
pub(crate) struct MirrorTasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl MirrorTasks {
    /// Ends all copies that are under way, and every one that would begin.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
        self.tracker.close();
    }

    /// Waits until the last has ended.
    pub(crate) async fn ended(&self) {
        self.tracker.wait().await;
    }
}

/// A mirror in force, whoever serves its revision.
#[derive(Debug)]
pub(crate) struct Mirroring {
    pub(super) settings: Mirror,
    pub(super) config: Config,
    room: Arc<Semaphore>,
    tasks: MirrorTasks,
}

impl Mirroring {
    pub(crate) fn new(settings: Mirror, config: Config, tasks: MirrorTasks) -> Self {
        Self {
            room: Arc::new(Semaphore::new(settings.in_flight)),
            settings,
            config,
            tasks,
        }
    }

    pub(crate) const fn revision(&self) -> &Revision {
        &self.settings.to
    }
}

/// A mirror in force, and the endpoints that get its copies.
#[derive(Debug)]
pub(crate) struct MirrorTarget {
    pub(super) mirroring: Arc<Mirroring>,
    pub(super) route: Arc<Route>,
}

impl MirrorTarget {
    pub(crate) const fn new(mirroring: Arc<Mirroring>, route: Arc<Route>) -> Self {
        Self { mirroring, route }
    }

    /// Whether the chances are that this request of another revision is copied.
    pub(crate) fn draws(&self, chosen: &Revision) -> bool {
        let share = self.mirroring.settings.share.basis_points();
        self.route.revision.name != *chosen
            && fastrand::u16(..Percent::HUNDRED.basis_points()) < share
    }

    /// Copies a request that is ready for its endpoint: at once when it has no body, or else while its
    /// body passes through.
    pub(crate) fn copy(self: Arc<Self>, parts: &request::Parts, upload: &mut Upload) {
        let settings = &self.mirroring.settings;
        if !(settings.unsafe_methods || parts.method.is_safe()) {
            return;
        }
        let counters = &self.route.revision.mirrored;
        if upload.size_hint().lower() > settings.body_bytes as u64 {
            counters.too_large.fetch_add(1, Relaxed);
            return;
        }
        let Ok(room) = Arc::clone(&self.mirroring.room).try_acquire_owned() else {
            counters.dropped.fetch_add(1, Relaxed);
            return;
        };
        let copying = Box::new(Copying {
            head: head_of(parts),
            body: Vec::new(),
            job: Job {
                target: self,
                settled: false,
                _room: room,
            },
        });
        if let Some(copying) = upload.copy_to(copying) {
            copying.send();
        }
    }
}

/// The head of the copy. Its body is framed anew, without what belongs to trailers.
fn head_of(parts: &request::Parts) -> Request<()> {
    let mut head = Request::new(());
    head.method_mut().clone_from(&parts.method);
    head.uri_mut().clone_from(&parts.uri);
    let headers = head.headers_mut();
    headers.clone_from(&parts.headers);
    for name in [CONTENT_LENGTH, TRANSFER_ENCODING, TE, TRAILER] {
        headers.remove(name);
    }
    headers.insert(X_CODEDANCE_MIRRORED, HeaderValue::from_static("1"));
    head
}

/// A copy whose body is still coming.
#[derive(Debug)]
pub(crate) struct Copying {
    head: Request<()>,
    body: Vec<u8>,
    job: Job,
}

impl Copying {
    /// Adds a part of the body. False when it is too large now: that is counted, and all is over.
    pub(crate) fn add(&mut self, part: &[u8]) -> bool {
        let target = &self.job.target;
        let fits = self.body.len() + part.len() <= target.mirroring.settings.body_bytes;
        if fits {
            // Copied, since a part that is kept would keep all of the buffer that it lies in.
            self.body.extend_from_slice(part);
        } else {
            let counters = &target.route.revision.mirrored;
            counters.too_large.fetch_add(1, Relaxed);
            self.job.settled = true;
        }
        fits
    }

    /// Sends what has been copied.
    pub(crate) fn send(self) {
        let Self { head, body, job } = self;
        let body = Upload::whole(Bytes::from(body));
        let tasks = job.target.mirroring.tasks.clone();
        let stop = tasks.stop;
        tasks.tracker.spawn(async move {
            let sending = send(head.map(|()| body), job);
            stop.run_until_cancelled(sending).await;
        });
    }
}

/// A copy of which it is open what becomes. Dropped before it is settled, it has been given up.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) target: Arc<MirrorTarget>,
    pub(super) settled: bool,
    _room: OwnedSemaphorePermit,
}

impl Drop for Job {
    fn drop(&mut self) {
        if !self.settled {
            let counters = &self.target.route.revision.mirrored;
            counters.abandoned.fetch_add(1, Relaxed);
        }
    }
}
