//! A program that listens on a port, until it is dropped.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hyper::StatusCode;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::time::{sleep, timeout};

use super::{PATIENCE, try_fetch};

/// How often another port is tried, if somebody was quicker to take one that was free.
const ATTEMPTS: usize = 10;

/// How often a program is asked whether it is there yet: neither its start nor its end is told otherwise.
const POLL: Duration = Duration::from_millis(20);

/// How long it may take to answer that.
const PATIENT_POLL: Duration = Duration::from_secs(2);

/// How to start it, and how to know that it is there.
pub(super) struct Recipe {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    /// The last argument, without the address.
    pub(super) listen: &'static str,
    /// What this path shows holds the proof, as soon as it answers queries. Without it the answer is of
    /// another server, which took the port first.
    pub(super) status: String,
    pub(super) proof: String,
    pub(super) log: PathBuf,
}

/// It runs, and answers.
pub(super) struct Program {
    recipe: Recipe,
    address: SocketAddr,
    process: Process,
}

/// It ends when it is dropped, and prints its log if the test has failed.
///
/// It is in the process group of the tests, so that an interrupt from the keyboard ends it, too.
struct Process {
    child: Child,
    log: PathBuf,
    /// How long the log was before.
    begins: usize,
}

/// The path of a program that `cargo xtask services up` has noted, or that the variable names.
///
/// # Panics
/// If there is none.
pub(super) fn installed(name: &str, variable: &str) -> PathBuf {
    if let Some(named) = std::env::var_os(variable) {
        return named.into();
    }
    let notes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/services");
    let noted = std::fs::read_to_string(notes.join(name).with_extension("path"));
    let noted = noted.ok().map(PathBuf::from).filter(|path| path.is_file());
    noted.unwrap_or_else(|| {
        panic!("no {name}: install it with `cargo xtask services up`, or set {variable}")
    })
}

impl Program {
    /// Starts it on a free port, and returns when it answers.
    ///
    /// # Panics
    /// With its log, if it does not.
    pub(super) async fn start(recipe: Recipe) -> Self {
        for _ in 0..ATTEMPTS {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let address = free.local_addr().unwrap();
            drop(free);
            if let Some(process) = recipe.run(address).await {
                return Self {
                    recipe,
                    address,
                    process,
                };
            }
        }
        panic!("no port stays free");
    }

    /// Ends it in order, and starts it again at the same address.
    pub(super) async fn restart(&mut self) {
        self.signal(Signal::TERM);
        let ended = timeout(PATIENCE, async {
            while !self.process.is_over() {
                sleep(POLL).await;
            }
        });
        assert!(ended.await.is_ok(), "it does not end");
        for _ in 0..ATTEMPTS {
            if let Some(process) = self.recipe.run(self.address).await {
                self.process = process;
                return;
            }
        }
        panic!("somebody took {}", self.address);
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn pid(&self) -> Pid {
        Pid::from_child(&self.process.child)
    }

    /// Stops it where it is, all of its threads.
    pub(super) async fn pause(&self) {
        self.signal(Signal::STOP);
        let stopped = timeout(PATIENCE, async {
            let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
            while waitid(WaitId::Pid(self.pid()), options).unwrap().is_none() {
                sleep(POLL).await;
            }
        });
        assert!(stopped.await.is_ok(), "it does not stop");
    }

    pub(super) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }
}

impl Recipe {
    /// A process that answers at this address; none if somebody else has it.
    async fn run(&self, address: SocketAddr) -> Option<Process> {
        let mut process = self.spawn(address);
        let ready = timeout(PATIENCE, self.ready(address, &mut process)).await;
        let ready = ready.unwrap_or_else(|_| panic!("{} does not answer", self.program.display()));
        ready.then_some(process)
    }

    fn spawn(&self, address: SocketAddr) -> Process {
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log.unwrap();
        let begins = log.metadata().unwrap().len() as usize;
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .arg(format!("{}{address}", self.listen))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let child = command.spawn();
        let child = child.unwrap_or_else(|error| panic!("{}: {error}", self.program.display()));
        Process {
            child,
            log: self.log.clone(),
            begins,
        }
    }

    /// Whether it answers, and not another one at its place.
    async fn ready(&self, address: SocketAddr, process: &mut Process) -> bool {
        loop {
            if process.is_over() {
                let log = process.log();
                let taken = log.contains("address already in use");
                assert!(taken, "{} does not start", self.program.display());
                return false;
            }
            // Whoever has the port may accept, and never answer.
            let answer = timeout(PATIENT_POLL, try_fetch(address, &self.status, true)).await;
            if let Ok(Ok((StatusCode::OK, status))) = answer
                && status.contains(&self.proof)
            {
                return true;
            }
            sleep(POLL).await;
        }
    }
}

impl Process {
    fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    fn log(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(log.get(self.begins..).unwrap_or_default()).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be over already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}:\n{}", self.log.display(), self.log());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "no prometheus1: install it with `cargo xtask services up`, or set")]
    fn a_program_that_is_missing_is_named() {
        installed("prometheus1", "CODEDANCE_PROMETHEUS1");
    }

    fn recipe(folder: &Path) -> Recipe {
        let data = folder.join("data").display().to_string();
        Recipe {
            program: installed("victoria-metrics", "CODEDANCE_VICTORIA_METRICS"),
            arguments: vec![format!("-storageDataPath={data}")],
            listen: "-httpListenAddr=",
            status: "/flags".to_owned(),
            proof: data,
            log: folder.join("log"),
        }
    }

    #[tokio::test]
    async fn a_port_that_somebody_else_has_is_found_out() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        // It accepts, and does not answer.
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = taken.local_addr().unwrap();
        assert!(recipe(first.path()).run(address).await.is_none());
        drop(taken);
        let running = recipe(first.path()).run(address).await;
        assert!(running.is_some());
        // It answers as the other one would.
        assert!(recipe(second.path()).run(address).await.is_none());
    }
}
