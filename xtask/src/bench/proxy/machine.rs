//! What the operating system knows: processors, processes, their time and memory.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{install::succeed, sh};

/// How long a server may take to accept connections.
const STARTUP: Duration = Duration::from_secs(20);

/// Which processors the proxies have to themselves, and which the client and the servers behind share.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cores {
    proxy: Vec<u32>,
    load: Vec<u32>,
}

impl Cores {
    /// Divides the processors that this process may use.
    ///
    /// # Errors
    ///
    /// If there is only one: client and proxy would measure each other.
    pub(super) fn of_this_machine() -> Result<Self> {
        let status = fs::read_to_string("/proc/self/status")
            .context("this benchmark reads /proc, and needs Linux")?;
        let list = status
            .lines()
            .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
            .context("/proc/self/status names no processors")?;
        Self::divide(&listed(list)?)
    }

    fn divide(all: &[u32]) -> Result<Self> {
        ensure!(
            all.len() >= 2,
            "this benchmark needs two processors: one for the proxy, one for client and servers"
        );
        let (proxy, load) = all.split_at(if all.len() < 4 { 1 } else { 2 });
        Ok(Self {
            proxy: proxy.to_vec(),
            load: load.to_vec(),
        })
    }

    /// Whether a proxy can have two processors to itself.
    pub(super) fn has_room_for_two(&self) -> bool {
        self.proxy.len() > 1
    }

    /// For proxies with one thread.
    pub(super) fn one(&self) -> String {
        self.proxy[0].to_string()
    }

    /// For a proxy with two threads; where there is no room, it has to share.
    pub(super) fn two(&self) -> String {
        let second = self.proxy.get(1).unwrap_or(&self.load[0]);
        format!("{},{second}", self.proxy[0])
    }

    /// For the client and the servers behind.
    pub(super) fn load(&self) -> String {
        let cores: Vec<_> = self.load.iter().map(u32::to_string).collect();
        cores.join(",")
    }
}

/// The numbers in a list such as `0-2,5`.
fn listed(list: &str) -> Result<Vec<u32>> {
    let mut cores = Vec::new();
    for part in list.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        cores.extend(first.parse::<u32>()?..=last.parse::<u32>()?);
    }
    Ok(cores)
}

/// Lets this process, and all that it starts from now on, open as many files as it is allowed to.
///
/// # Errors
///
/// If `prlimit` cannot be run.
pub(super) fn raise_file_limit() -> Result<()> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .context("/proc/self/limits names no limit of files")?;
    let hard = line.split_whitespace().nth(1).unwrap_or_default();
    let mut raise = Command::new("prlimit");
    succeed(raise.args([
        "--pid",
        &std::process::id().to_string(),
        &format!("--nofile={hard}:{hard}"),
    ]))
}

/// A server of the benchmark, stopped when it is dropped.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
}

impl Server {
    /// Starts a program on some processors. What it says is in `log`, but its standard output where
    /// `talks`.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub(super) fn start(command: &[&str], cores: &str, log: &Path, talks: bool) -> Result<Self> {
        let said = fs::File::create(log)?;
        let (input, output) = match talks {
            true => (Stdio::piped(), Stdio::piped()),
            false => (Stdio::null(), said.try_clone()?.into()),
        };
        let child = Command::new("taskset")
            .args(["--cpu-list", cores])
            .args(command)
            .stdin(input)
            .stdout(output)
            .stderr(said)
            .spawn()
            .with_context(|| format!("{command:?} cannot be started"))?;
        Ok(Self { child })
    }

    /// Waits until it accepts connections at `address`.
    ///
    /// # Errors
    ///
    /// If it ends, or does not accept any in time.
    pub(super) fn wait_for(&mut self, address: SocketAddr, log: &Path) -> Result<()> {
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = self.child.try_wait()?;
            if ended.is_some() || begun.elapsed() > STARTUP {
                let log = fs::read_to_string(log).unwrap_or_default();
                bail!("nothing listens on {address}: {}", log.trim());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Where it reads orders and gives answers, if it talks.
    pub(super) fn pipes(&mut self) -> Option<(ChildStdin, ChildStdout)> {
        self.child.stdin.take().zip(self.child.stdout.take())
    }

    /// Asks it to read its configuration again, as nginx does.
    ///
    /// # Errors
    ///
    /// If it is gone.
    pub(super) fn hang_up(&self) -> Result<()> {
        let mut kill = Command::new("kill");
        succeed(kill.args(["-HUP", &self.child.id().to_string()]))
    }

    /// The processes that it started.
    pub(super) fn children(&self) -> Vec<u32> {
        let id = self.child.id();
        let list = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        let list = list.unwrap_or_default();
        list.split_whitespace().flat_map(str::parse).collect()
    }

    /// The processor time used so far with that of its children, in microseconds. Linux counts it in
    /// hundredths of a second.
    ///
    /// # Errors
    ///
    /// If it is gone.
    pub(super) fn processor_micros(&self) -> Result<f64> {
        let mut ticks = 0;
        for id in self.family() {
            let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
            ticks += ticks_in(&stat).with_context(|| format!("/proc/{id}/stat reads `{stat}`"))?;
        }
        Ok(ticks as f64 * 10_000.0)
    }

    /// The memory that it and its children hold now, in bytes.
    ///
    /// # Errors
    ///
    /// If it is gone.
    pub(super) fn resident_bytes(&self) -> Result<f64> {
        let mut kibibytes = 0;
        for id in self.family() {
            let status = fs::read_to_string(format!("/proc/{id}/status"))?;
            kibibytes += resident_in(&status)
                .with_context(|| format!("/proc/{id}/status does not tell its memory"))?;
        }
        Ok(kibibytes as f64 * 1_024.0)
    }

    fn family(&self) -> Vec<u32> {
        let mut family = self.children();
        family.push(self.child.id());
        family
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = sh::stop(&mut self.child) {
            eprintln!("warning: a server was not stopped: {error:#}");
        }
    }
}

/// The 14th and 15th fields of proc(5), counted from the name on, which may hold spaces.
fn ticks_in(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

fn resident_in(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxy_has_a_core_to_itself() {
        let divided = |list| Cores::divide(&listed(list).unwrap()).unwrap();
        let two = divided("0-1\n");
        assert_eq!((two.one(), two.load()), ("0".to_owned(), "1".to_owned()));
        assert!(!two.has_room_for_two());
        let more = divided(" 1,4-6");
        assert_eq!(more.one(), "1");
        assert_eq!((more.two(), more.load()), ("1,4".into(), "5,6".into()));
        assert!(Cores::divide(&[3]).is_err());
    }

    #[test]
    fn time_and_memory_are_read_as_proc_writes_them() {
        let stat = "7 (a b) S 1 7 7 0 -1 4194560 1 0 0 0 250 31 0 0 20 0 1 0 5 9 9";
        assert_eq!(ticks_in(stat), Some(281));
        assert_eq!(resident_in("Name:\tx\nVmRSS:\t    2048 kB\n"), Some(2_048));
        assert_eq!(resident_in("Name:\tzombie\n"), None);
    }
}
