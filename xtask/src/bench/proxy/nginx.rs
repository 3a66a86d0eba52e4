//! nginx: the rival that the goals are about, and the servers behind all proxies.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::machine::Server;
use crate::{install, servers::free_address};

/// How long a reload may take until only the new configuration serves.
const RELOAD: Duration = Duration::from_secs(30);

/// What all nginx servers here have in common: one worker, no log, connections that stay open.
/// By its own default nginx closes one after a thousand requests.
const COMMON: &str = "
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    client_body_temp_path temp;
    proxy_temp_path temp;
    fastcgi_temp_path temp;
    uwsgi_temp_path temp;
    scgi_temp_path temp;
";

/// One nginx with a folder of its own.
#[derive(Debug)]
pub(super) struct Nginx {
    pub(super) server: Server,
    pub(super) address: SocketAddr,
    folder: PathBuf,
}

impl Nginx {
    /// A server behind the proxies: `/1k` and `/64k` are so long, `/status` counts requests.
    ///
    /// # Errors
    ///
    /// If nginx cannot be had or started.
    pub(super) fn backend(folder: PathBuf, cores: &str) -> Result<Self> {
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("64k"), "x".repeat(65_536))?;
        // `return` answers POST too, and files have no room for a configuration.
        let short = "x".repeat(1_024);
        let root = folder.display().to_string();
        Self::start(folder, cores, |address| {
            format!(
                "sendfile on; tcp_nopush on; open_file_cache max=16 inactive=1h; open_file_cache_valid 1h;
                server {{
                    listen {address} backlog=4096;
                    root \"{root}\";
                    location = /1k {{ return 200 {short}; }}
                    location = /status {{ stub_status; }}
                }}"
            )
        })
    }

    /// A proxy that sends `points` basis points of the users to the canary.
    ///
    /// # Errors
    ///
    /// If nginx cannot be had or started.
    pub(super) fn proxy(
        folder: PathBuf,
        cores: &str,
        behind: &Behind,
        points: u32,
    ) -> Result<Self> {
        Self::start(folder, cores, |address| {
            proxy_configuration(address, behind, points, 0)
        })
    }

    fn start(
        folder: PathBuf,
        cores: &str,
        configuration: impl FnOnce(SocketAddr) -> String,
    ) -> Result<Self> {
        let program = install::program("nginx", "nginx", Vec::new)?;
        fs::create_dir_all(folder.join("temp"))?;
        let address = free_address()?;
        write(&folder, &configuration(address))?;
        let log = folder.join("log");
        let (program, prefix) = (program.to_string_lossy(), folder.to_string_lossy());
        let command = [&program, "-p", &prefix, "-c", "nginx.conf", "-e", "errors"];
        let mut server = Server::start(&command, cores, &log, false)?;
        server.wait_for(address, &log)?;
        Ok(Self {
            server,
            address,
            folder,
        })
    }

    /// Sends `points` basis points of the users to the canary from now on: writes the configuration,
    /// has it read, and waits until no process serves the one before.
    ///
    /// # Errors
    ///
    /// If the change is not in force in time.
    pub(super) fn change(&self, behind: &Behind, points: u32, generation: u32) -> Result<()> {
        let before = self.server.children();
        write(
            &self.folder,
            &proxy_configuration(self.address, behind, points, generation),
        )?;
        self.server.hang_up()?;
        let begun = Instant::now();
        loop {
            let now = self.server.children();
            if !now.is_empty() && now.iter().all(|worker| !before.contains(worker)) {
                let serving = get(self.address, "/generation")?;
                ensure!(
                    serving.ends_with(&format!("\r\n\r\n{generation}.")),
                    "nginx serves another configuration: {serving}"
                );
                return Ok(());
            }
            ensure!(
                begun.elapsed() < RELOAD,
                "nginx does not end its old workers"
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// How many requests it has answered, this question included.
    ///
    /// # Errors
    ///
    /// If it does not tell.
    pub(super) fn requests(&self) -> Result<u64> {
        let status = get(self.address, "/status")?;
        requests_in(&status).with_context(|| format!("there is no count in {status}"))
    }
}

/// The two servers that traffic is divided between.
#[derive(Debug)]
pub(super) struct Behind {
    pub(super) stable: Nginx,
    pub(super) canary: Nginx,
}

fn write(folder: &Path, http: &str) -> Result<()> {
    let user = if install::is_root() { "user root;" } else { "" };
    let text = format!(
        "{user}
daemon off;
worker_processes 1;
pid pid;
error_log errors crit;
worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{{COMMON}{http}}}
"
    );
    // Renamed into place: a reload must not find half of it.
    let draft = folder.join("draft");
    fs::write(&draft, text)?;
    fs::rename(draft, folder.join("nginx.conf"))?;
    Ok(())
}

fn proxy_configuration(
    address: SocketAddr,
    behind: &Behind,
    points: u32,
    generation: u32,
) -> String {
    let (stable, canary) = (behind.stable.address, behind.canary.address);
    let kept = "keepalive 1024; keepalive_requests 1000000000; keepalive_timeout 1h;";
    // It refuses a share of nothing.
    let share = match points {
        0 => String::new(),
        _ => format!("{}.{:02}% canary;", points / 100, points % 100),
    };
    let rest = if points < 10_000 { "* stable;" } else { "" };
    format!(
        "
    # Without these an answer of 64 KiB would take a detour over a file.
    proxy_buffers 16 8k;
    proxy_max_temp_file_size 0;
    split_clients \"$http_x_user\" $side {{ {share} {rest} }}
    upstream stable {{ server {stable}; {kept} }}
    upstream canary {{ server {canary}; {kept} }}
    server {{
        listen {address} backlog=4096;
        location = /generation {{ return 200 {generation}.; }}
        location / {{
            proxy_pass http://$side;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
    }}
"
    )
}

/// One request on a connection of its own, and the whole answer.
fn get(address: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The third number below `server accepts handled requests`.
fn requests_in(status: &str) -> Option<u64> {
    let mut lines = status
        .lines()
        .skip_while(|line| !line.contains("handled requests"));
    lines.nth(1)?.split_whitespace().nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_the_third_count() {
        let status = "HTTP/1.1 200 OK\r\n\r\nActive connections: 1 \nserver accepts handled requests\n 16 15 31070465 \nReading: 0\n";
        assert_eq!(requests_in(status), Some(31_070_465));
        assert_eq!(requests_in("HTTP/1.1 404 Not Found\r\n\r\n"), None);
    }
}
