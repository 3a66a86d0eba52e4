//! Lines on their way to the writer.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::warn;

use super::config::{AccessLog, Format};

/// How much is written at once.
const BATCH: usize = 64 * 1024;

/// Takes lines from requests and never has them wait.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(super) format: Format,
    lines: Sender<Message>,
    /// Bytes that may wait.
    most: usize,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Bytes that wait, or are being written.
    waiting: AtomicUsize,
    dropped: AtomicU64,
}

#[derive(Debug)]
enum Message {
    Line(String),
    /// Answered when everything before has been written.
    Flush(oneshot::Sender<()>),
}

impl Queue {
    /// Starts the thread that writes. It ends with the queue.
    pub(crate) fn start(log: &AccessLog) -> io::Result<Self> {
        let (lines, received) = channel();
        let shared = Arc::new(Shared::default());
        let writing = Writing {
            received,
            writer: Arc::clone(&log.writer),
            shared: Arc::clone(&shared),
            reported: 0,
        };
        thread::Builder::new()
            .name("codedance-access-log".to_owned())
            .spawn(|| writing.run())?;
        Ok(Self {
            format: log.format,
            lines,
            most: log.buffer,
            shared,
        })
    }

    /// Hands over a line with its end, or drops it when too much is waiting.
    pub(super) fn push(&self, line: String) {
        let length = line.len();
        let waiting = self.shared.waiting.fetch_add(length, Relaxed);
        let fits = waiting + length <= self.most;
        if !fits || self.lines.send(Message::Line(line)).is_err() {
            self.shared.waiting.fetch_sub(length, Relaxed);
            self.shared.dropped.fetch_add(1, Relaxed);
        }
    }

    /// How many lines were lost.
    pub(crate) fn dropped(&self) -> u64 {
        self.shared.dropped.load(Relaxed)
    }

    /// Waits until everything that was handed over has been written, at most `within`.
    pub(crate) async fn flush(&self, within: Duration) {
        let (done, written) = oneshot::channel();
        if self.lines.send(Message::Flush(done)).is_ok() {
            // However this ends, nobody waits any longer.
            let _ = timeout(within, written).await;
        }
    }
}

/// The thread that writes.
struct Writing {
    received: Receiver<Message>,
    writer: Arc<Mutex<dyn Write + Send>>,
    shared: Arc<Shared>,
    /// So many lost lines have been told about.
    reported: u64,
}

impl Writing {
    fn run(mut self) {
        while let Ok(first) = self.received.recv() {
            let mut batch = String::new();
            let mut lines = 0;
            let mut flushed = None;
            let mut next = Some(first);
            while let Some(message) = next {
                match message {
                    Message::Line(line) => {
                        batch.push_str(&line);
                        lines += 1;
                    }
                    Message::Flush(done) => flushed = Some(done),
                }
                let is_full = batch.len() >= BATCH || flushed.is_some();
                next = (!is_full).then(|| self.received.try_recv().ok()).flatten();
            }
            if let Err(error) = self.write(&batch) {
                self.shared.dropped.fetch_add(lines, Relaxed);
                warn!(%error, lines, "cannot write the access log");
                self.reported += lines;
            }
            self.shared.waiting.fetch_sub(batch.len(), Relaxed);
            let dropped = self.shared.dropped.load(Relaxed);
            if dropped > self.reported {
                let lines = dropped - self.reported;
                warn!(
                    lines,
                    "lines of the access log were dropped: its writer is slow"
                );
                self.reported = dropped;
            }
            if let Some(done) = flushed {
                // Whoever asked may have given up.
                let _ = done.send(());
            }
        }
    }

    fn write(&self, batch: &str) -> io::Result<()> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.write_all(batch.as_bytes())?;
        writer.flush()
    }
}
