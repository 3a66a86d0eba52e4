//! The same judgement by way of a Prometheus or VictoriaMetrics that scrapes the proxy.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use codedance::decision::Policy;
use codedance::metrics::MetricsSource;
use codedance::prom::{BaseUrl, Checked, Client, Config, Prometheus};
use codedance::proxy::Proxy;
use codedance::workload::{Revision, WorkloadName};
use tokio::time::{Instant, sleep};

use crate::conduct::Operator;
use crate::show::View;

/// How often the server has to scrape the proxy. More often than that, looks would see nothing new.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);

/// Over how long the stable version's requests are asked for before the rollout: longer than they take to
/// become visible, on any server.
const RECENT: Duration = Duration::from_secs(5);

/// How long the server may take to show the first of them. VictoriaMetrics finds new series late.
const PATIENCE: Duration = Duration::from_secs(45);

/// How often it is asked for them.
const POLL: Duration = Duration::from_millis(500);

/// Whom to ask, and where the proxy shows what it counts.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) server: BaseUrl,
    pub(crate) metrics: SocketAddr,
}

/// The metrics of the proxy, as a server has scraped them.
#[derive(Debug)]
pub(crate) struct Scraped {
    source: Prometheus,
    server: BaseUrl,
}

impl Scraped {
    /// Reads nothing yet.
    pub(crate) async fn open(options: &Options, workload: &WorkloadName) -> Result<Self> {
        let server = options.server.clone();
        let client = Client::open(Config::new(server.clone())).await?;
        // How long it waits for what was scraped to arrive, it knows best: the servers differ.
        let source = Prometheus::new(client, workload)
            .with_default("codedance_proxy")
            .with_resolution(INTERVAL)
            .with_spread(Duration::ZERO);
        Ok(Self { source, server })
    }

    /// The port for the driver.
    pub(crate) fn source(&self) -> Arc<dyn MetricsSource> {
        Arc::new(self.source.clone())
    }

    /// Finds out before anything begins whether the server is there and takes every question of the policy.
    pub(crate) async fn check(
        &self,
        policy: &Policy,
        stable: &Revision,
        canary: &Revision,
    ) -> Result<Checked> {
        let server = &self.server;
        let checked = self.source.check(policy, stable, canary).await;
        let checked = checked.with_context(|| {
            format!("{server} cannot be asked; start Prometheus there, or correct --prometheus")
        })?;
        if checked.faults.is_empty() {
            return Ok(checked);
        }
        let faults = checked.faults.into_iter();
        let faults: Vec<_> = faults
            .map(|(metric, error)| format!("`{metric}`: {:#}", anyhow::Error::from(error)))
            .collect();
        bail!("{server} cannot answer for {}", faults.join("; for "))
    }

    /// Returns when the server knows of the stable version's requests. Without them the rollout would only
    /// wait for its deadline.
    pub(crate) async fn wait(
        &self,
        policy: &Policy,
        (stable, canary): (&Revision, &Revision),
        proxy: &Proxy,
        operator: &Operator,
        view: &View,
    ) -> Result<()> {
        let server = &self.server;
        let metrics = proxy.admin_addr().context("the proxy shows no counters")?;
        view.say(&format!(
            "waiting for {server}, which has to scrape http://{metrics}/metrics each second"
        ));
        let recent = policy.clone().into_builder().with_interval(RECENT);
        let recent = recent.build()?;
        let begun = Instant::now();
        loop {
            let checked = tokio::select! {
                checked = self.check(&recent, stable, canary) => checked?,
                () = operator.wait() => bail!("interrupted before the rollout began"),
            };
            if checked.silent.is_empty() {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                bail!(
                    "{server} has no data of {stable} for `{}`; have it scrape \
                     http://{metrics}/metrics with `scrape_interval: 1s`, and see to it that there are \
                     requests",
                    checked.silent.join("`, `")
                );
            }
            sleep(POLL).await;
        }
    }
}
