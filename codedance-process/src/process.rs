//! One child process with all its descendants: started, waited for, stopped.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::config::{Output, Template, with_port};

/// How many lines of output are kept.
const LINES: usize = 20;
/// How many bytes of a line are kept.
const LINE_BYTES: usize = 1024;
/// How long the output of a dead process may take to arrive. Only a descendant that left the process
/// group can hold the pipe open for so long.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// How often to look whether the descendants of a process that ended are gone; the system tells
/// nobody but their parent.
const STRAGGLER_INTERVAL: Duration = Duration::from_millis(20);

/// A running server, the leader of a process group of its own. Dropping it kills the whole group.
pub(crate) struct Process {
    child: Child,
    group: Pid,
    address: SocketAddr,
    output: Tail,
    readers: Vec<JoinHandle<()>>,
    over: bool,
}

/// A program that could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start `{program}`: {source}")]
pub(crate) struct StartError {
    program: String,
    source: std::io::Error,
}

impl Process {
    /// Starts the program of the template, which is to listen on `address`.
    pub(crate) fn start(template: &Template, address: SocketAddr) -> Result<Self, StartError> {
        let port = address.port();
        let pipe = || match template.output {
            Output::Keep => Stdio::piped(),
            Output::Inherit => Stdio::inherit(),
            Output::Discard => Stdio::null(),
        };
        let mut command = Command::new(&template.program);
        command
            .args(template.args.iter().map(|arg| with_port(arg, port)))
            .env("PORT", port.to_string())
            .envs(
                template
                    .env
                    .iter()
                    .map(|(name, value)| (name, with_port(value, port))),
            )
            .stdin(Stdio::null())
            .stdout(pipe())
            .stderr(pipe())
            .process_group(0)
            .kill_on_drop(true);
        if let Some(dir) = &template.working_dir {
            command.current_dir(dir);
        }
        let mut child = command.spawn().map_err(|source| {
            let program = template.program.to_string_lossy().into_owned();
            StartError { program, source }
        })?;
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let group = group.expect("a process that nobody waited for has an id");

        let output = Tail::default();
        let stdout = child
            .stdout
            .take()
            .map(|pipe| tokio::spawn(output.clone().follow(pipe)));
        let stderr = child
            .stderr
            .take()
            .map(|pipe| tokio::spawn(output.clone().follow(pipe)));
        let readers = stdout.into_iter().chain(stderr).collect();
        Ok(Self {
            child,
            group,
            address,
            output,
            readers,
            over: false,
        })
    }

    /// Its number, while nobody knows that it ended.
    pub(crate) fn running(&self) -> Option<u32> {
        (!self.over).then(|| self.group.as_raw_pid().cast_unsigned())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the process to end by itself; what it leaves of its group is killed. May be
    /// cancelled.
    pub(crate) async fn ended(&mut self) -> String {
        let status = self.child.wait().await;
        self.kill_group();
        match status {
            Ok(status) => told(status),
            Err(error) => format!("its end could not be waited for: {error}"),
        }
    }

    /// Asks the group to end, waits for it at most `grace`, and then kills it. Returns whether it had
    /// to. May be cancelled and called again.
    pub(crate) async fn terminate(&mut self, grace: Duration) -> bool {
        if self.over {
            return false;
        }
        // An error means that there is nobody left to be asked.
        let _ = kill_process_group(self.group, Signal::TERM);
        let gone = async {
            let _ = self.child.wait().await;
            while test_kill_process_group(self.group).is_ok() {
                sleep(STRAGGLER_INTERVAL).await;
            }
        };
        let killed = timeout(grace, gone).await.is_err();
        self.kill().await;
        killed
    }

    /// Kills the group at once and waits for the process to be gone.
    pub(crate) async fn kill(&mut self) {
        self.kill_group();
        let _ = self.child.wait().await;
    }

    /// The last lines that it wrote, oldest first; all that came, if it ended.
    pub(crate) async fn last_output(&mut self) -> Vec<String> {
        if self.over {
            let read = async {
                for reader in &mut self.readers {
                    let _ = reader.await;
                }
            };
            let _ = timeout(LAST_WORDS, read).await;
            for reader in self.readers.drain(..) {
                reader.abort();
            }
        }
        self.output.lines()
    }

    /// The group keeps its number while a member lives or was not waited for, so this reaches no
    /// stranger; afterwards it is not done again.
    fn kill_group(&mut self) {
        if !self.over {
            let _ = kill_process_group(self.group, Signal::KILL);
            self.over = true;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill_group();
        for reader in &self.readers {
            reader.abort();
        }
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("group", &self.group)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// The status as a phrase; the standard library's own has a prefix for codes and none for signals.
fn told(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("ended with exit code {code}"),
        None => format!("ended by {status}"),
    }
}

/// The last lines of one or more streams. Clones share them.
#[derive(Clone, Debug, Default)]
struct Tail(Arc<Mutex<VecDeque<String>>>);

impl Tail {
    /// Reads the stream to its end.
    async fn follow(self, mut stream: impl AsyncRead + Unpin) {
        let (mut line, mut chunk) = (Vec::new(), vec![0; 4096]);
        while let Ok(read @ 1..) = stream.read(&mut chunk).await {
            self.take(&mut line, &chunk[..read]);
        }
        if !line.is_empty() {
            self.push(&line);
        }
    }

    /// Takes in what came next, `line` being the beginning of a line not ended yet.
    fn take(&self, line: &mut Vec<u8>, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            let room = LINE_BYTES.saturating_sub(line.len());
            line.extend_from_slice(&text[..text.len().min(room)]);
            if ended {
                self.push(line);
                line.clear();
            }
        }
    }

    fn push(&self, line: &[u8]) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back(String::from_utf8_lossy(line).trim_end().to_owned());
    }

    fn lines(&self) -> Vec<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_however_they_arrive() {
        let (tail, mut line) = (Tail::default(), Vec::new());
        tail.take(&mut line, b"one\ntw");
        tail.take(&mut line, b"o\r\n\nlast");
        assert_eq!(tail.lines(), ["one", "two", ""]);
        assert_eq!(line, b"last");
    }

    #[test]
    fn output_without_end_takes_no_more_memory() {
        let (tail, mut line) = (Tail::default(), Vec::new());
        for _ in 0..100 {
            tail.take(&mut line, &[b'x'; 4096]);
        }
        assert_eq!(line.len(), LINE_BYTES);
        for number in 0..1000 {
            tail.take(&mut line, format!("\n{number}").as_bytes());
        }
        let lines = tail.lines();
        assert_eq!(
            (lines.len(), lines.last().map(String::as_str)),
            (LINES, Some("998"))
        );
    }
}
