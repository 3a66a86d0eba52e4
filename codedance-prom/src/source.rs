//! The source itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use codedance_core::decision::Policy;
use codedance_core::metrics::{MetricQuery, MetricsSource, Question, Reading, Sample, Window};
use codedance_core::workload::{Revision, WorkloadName};
use codedance_core::{Error, ErrorKind, Result, Timestamp};

use crate::client::{Client, Row};
use crate::dialect::{Dialect, Language};
use crate::moment::Moment;
use crate::query::{Both, Grid, Look};
use crate::template::{Template, Values};

/// How many points in time one range query asks for: servers refuse more than 11,000.
const POINTS: usize = 1_000;

/// VictoriaMetrics repeats older points for those of a range query that are newer than this
/// (`-search.latencyOffset`, with a second to spare), if its step is at most [`ADJUSTED_STEP`]
/// (`-search.maxStepForPointsAdjustment`): those are asked for one by one.
const ADJUSTED: Duration = Duration::from_secs(31);
const ADJUSTED_STEP: Duration = Duration::from_secs(60);

/// The metrics of one workload, in Prometheus or VictoriaMetrics.
///
/// - **One request a look**, of as many metrics as a query has room for (about ten), and one more at a rollout's first look, for the
///   past. What several metrics can be read from (the error rate and the success rate; P50, P90 and P99)
///   is asked for once, and everything is joined with `or`, each part under a label of its own.
/// - **Counts**, not quotients: they are exact over restarts, gaps between scrapes and series that are
///   born late, on all servers alike.
/// - **No data is no data**: no series, none fresh, not a number. Several series where one was expected,
///   a partial answer and a warning are errors.
///
/// ```no_run
/// use codedance_core::workload::WorkloadName;
/// use codedance_prom::{Client, Config, Prometheus};
///
/// # async fn open() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::open(Config::new("http://prometheus:9090".parse()?)).await?;
/// let metrics = Prometheus::new(client, &WorkloadName::new("shop/web")?).with_default("istio");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Prometheus {
    client: Client,
    values: Values,
    templates: Arc<BTreeMap<String, Template>>,
    default: String,
    resolution: Duration,
    lookback: Duration,
    moment: Moment,
}

/// What [`Prometheus::check`] found.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Checked {
    /// The metrics that cannot be asked for, in the policy's order, each with what the server says. A
    /// rollout should not begin before they are mended.
    pub faults: Vec<(String, Error)>,
    /// The metrics that the stable revision has no data of now. That may be as it should be, where there
    /// is no traffic yet; otherwise a label is misspelt.
    pub silent: Vec<String>,
}

impl Prometheus {
    /// The metrics of that workload, by the [built-in templates](Template::built_in). Its name's halves
    /// are the placeholders `{{namespace}}` and `{{workload}}`; a name without `/` has no namespace.
    #[must_use]
    pub fn new(client: Client, workload: &WorkloadName) -> Self {
        let name = workload.as_str();
        let mut values = Values::new();
        let name = match name.split_once('/') {
            Some((namespace, name)) => {
                values.insert("namespace".to_owned(), namespace.to_owned());
                name
            }
            None => name,
        };
        for variable in ["workload", "service", "ingress", "route"] {
            values.insert(variable.to_owned(), name.to_owned());
        }
        for (variable, value) in [
            ("reporter", "destination"),
            ("namespace_label", "namespace"),
        ] {
            values.insert(variable.to_owned(), value.to_owned());
        }
        Self {
            client,
            values,
            templates: Arc::new(Template::built_in()),
            default: Template::DEFAULT.to_owned(),
            resolution: Duration::from_secs(15),
            lookback: Duration::from_secs(900),
            moment: Moment::of(workload),
        }
    }

    /// The same with one more template, or another of that name.
    #[must_use]
    pub fn with_template(mut self, name: impl Into<String>, template: Template) -> Self {
        Arc::make_mut(&mut self.templates).insert(name.into(), template);
        self
    }

    /// The same with another template for metrics that name none. Default `http`.
    #[must_use]
    pub fn with_default(mut self, name: impl Into<String>) -> Self {
        self.default = name.into();
        self
    }

    /// The same with a placeholder `{{name}}` of that value. Unless they are set, `service`, `ingress` and
    /// `route` are the workload's name, `reporter` is `destination` and `namespace_label` is `namespace`.
    #[must_use]
    pub fn with_variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.values.insert(name.into(), value.into());
        self
    }

    /// The same for targets that are scraped at this interval, at least 1 s. Default 15 s. Restarts are
    /// told apart that lie at least so far apart. Longer than the true interval, it loses the last
    /// counts of what dies; much shorter, it costs the server time.
    #[must_use]
    pub fn with_resolution(mut self, interval: Duration) -> Self {
        self.resolution = interval.max(Duration::from_secs(1));
        self
    }

    /// The same with another time for which the last value of a target is remembered that cannot be
    /// scraped, at least 5 min. Default 15 min. A counter that comes back later counts as new.
    #[must_use]
    pub fn with_lookback(mut self, lookback: Duration) -> Self {
        self.lookback = lookback.max(Duration::from_secs(300));
        self
    }

    /// The same with another time that is waited after a window's end, for what was scraped in it to
    /// arrive. Default 2 s for Prometheus, whose scrapes are visible when they end, and 12 s for
    /// VictoriaMetrics, which finds new series up to 10 s late. What comes later than that, and belongs to
    /// a window before, is counted nowhere.
    #[must_use]
    pub fn with_lag(mut self, lag: Duration) -> Self {
        self.moment.lag = Some(lag);
        self
    }

    /// The same with another time over which the looks of many workloads are spread, at most a window:
    /// each workload has its own moment in it, always the same, so that what two ask of one workload is still
    /// asked once. Default 10 s.
    #[must_use]
    pub fn with_spread(mut self, spread: Duration) -> Self {
        self.moment.spread = spread;
        self
    }

    /// Asks for each metric of the policy once, by itself, for revisions of these names: what the server
    /// refuses is found here, and not in the middle of a rollout.
    ///
    /// # Errors
    /// When the server cannot be asked at all.
    pub async fn check(
        &self,
        policy: &Policy,
        stable: &Revision,
        canary: &Revision,
    ) -> Result<Checked> {
        let language = self.client.language().await?;
        // As a look would: what has not arrived yet is missed by both.
        let to = now() - self.moment.lag(language.dialect);
        let grid = self.grid(policy.interval(), language);
        let mut checked = Checked::default();
        for metric in policy.queries() {
            let read = async {
                let look = self.look(std::slice::from_ref(&metric), stable, canary, grid.window)?;
                let rows = self.ask(&look, &grid, to).await?;
                look.readings(&rows, to, self.stale_after())
            };
            match read.await {
                Ok(readings) => {
                    let silent = |reading: &Reading| reading.stable == Sample::NoData;
                    let own = matches!(metric.signal, codedance_core::metrics::Signal::Query(_));
                    let nothing = |reading: &Reading| {
                        silent(reading) && (!own || reading.canary == Sample::NoData)
                    };
                    if readings.iter().all(nothing) {
                        checked.silent.push(metric.name);
                    }
                }
                Err(error) if error.is_retryable() => return Err(error),
                Err(error) => checked.faults.push((metric.name, error)),
            }
        }
        Ok(checked)
    }

    /// What the looks of a rollout would have read: one window of `step` after the other, the first
    /// beginning at `from` and the last ending at or before `to`. For a backtest.
    ///
    /// # Errors
    /// When the metrics cannot be asked for, or `step` is 0.
    pub async fn range(
        &self,
        metrics: &[MetricQuery],
        (stable, canary): (&Revision, &Revision),
        (from, to): (Timestamp, Timestamp),
        step: Duration,
    ) -> Result<Vec<(Window, Vec<Reading>)>> {
        if step < Duration::from_millis(1) {
            let error = Error::new(ErrorKind::Invalid, "read a range");
            return Err(error.with_source("the step is 0; write a length, such as 1 minute"));
        }
        let look = self.look(metrics, stable, canary, step)?;
        let grid = self.grid(step, self.client.language().await?);
        let mut windows = Vec::new();
        let mut begin = from;
        while begin + step <= to {
            windows.push(Window::new(begin, begin + step));
            begin = begin + step;
        }
        let samples = self.over_time(&look, &grid, &windows).await?;
        let readings = samples.into_iter().map(|samples| look.named(samples));
        Ok(windows.into_iter().zip(readings).collect())
    }

    /// What these metrics ask for.
    fn look(
        &self,
        metrics: &[MetricQuery],
        stable: &Revision,
        canary: &Revision,
        window: Duration,
    ) -> Result<Look> {
        let mut values = self.values.clone();
        for (name, revision) in [("stable", stable), ("canary", canary)] {
            values.insert(name.to_owned(), revision.as_str().to_owned());
        }
        let millis = window.as_millis();
        let window = match millis % 1_000 {
            0 => format!("{}s", millis / 1_000),
            _ => format!("{millis}ms"),
        };
        values.insert("window".to_owned(), window);
        Look::new(metrics, &self.templates, &self.default, &values)
    }

    fn grid(&self, window: Duration, language: Language) -> Grid {
        let step = self.resolution.min(window);
        Grid {
            window,
            step,
            lookback: self.lookback.max(step * 4),
            language,
        }
    }

    /// How old the newest sample of a series may be.
    fn stale_after(&self) -> Duration {
        (self.resolution * 2).max(Duration::from_secs(60))
    }

    /// Asks for everything at once. A query that the server refuses is taken apart, to name the metric.
    async fn ask(&self, look: &Look, grid: &Grid, to: Timestamp) -> Result<Vec<Row>> {
        let texts = look.texts(grid);
        let asked = texts.iter().map(|text| self.client.instant(text, to));
        let refused = match futures::future::try_join_all(asked).await {
            Ok(rows) => return Ok(rows.concat()),
            Err(error) if error.kind() == ErrorKind::Invalid => error,
            Err(error) => return Err(error),
        };
        for group in 0..look.groups() {
            let alone = self.client.instant(&look.text_of(group, grid), to).await;
            if let Err(error) = alone
                && error.kind() == ErrorKind::Invalid
            {
                let operation = format!("measure `{}`", look.metric_of(group));
                return Err(Error::new(ErrorKind::Invalid, operation).with_source(error));
            }
        }
        Err(refused)
    }

    /// The samples at the ends of these windows, which are of the grid's length and follow each other.
    async fn over_time(
        &self,
        look: &Look,
        grid: &Grid,
        windows: &[Window],
    ) -> Result<Vec<Vec<Both<Sample>>>> {
        let settled = match grid.language.dialect {
            Dialect::VictoriaMetrics if grid.window <= ADJUSTED_STEP => {
                let now = now();
                windows.partition_point(|window| window.to + ADJUSTED <= now)
            }
            Dialect::VictoriaMetrics | Dialect::Prometheus => windows.len(),
        };
        let (settled, recent) = windows.split_at(settled);
        let stale_after = self.stale_after();
        let texts = look.texts(grid);
        let mut samples = Vec::with_capacity(windows.len());
        for windows in settled.chunks(POINTS) {
            let (first, last) = (windows[0].to, windows[windows.len() - 1].to);
            let asked = texts.iter();
            let asked = asked.map(|text| self.client.range(text, first, last, grid.window));
            let tracks = futures::future::try_join_all(asked).await?.concat();
            let ends = windows.iter().map(|window| window.to);
            samples.extend(look.over_time(&tracks, ends, stale_after)?);
        }
        for window in recent {
            let rows = self.ask(look, grid, window.to).await?;
            samples.push(look.samples(&rows, window.to, stale_after)?);
        }
        Ok(samples)
    }

    /// How the stable revision did before, for each metric.
    async fn past(&self, question: &Question, language: Language) -> Result<Vec<Vec<Sample>>> {
        let nothing = vec![Vec::new(); question.metrics.len()];
        let Some(history) = question.history else {
            return Ok(nothing);
        };
        let windows: Vec<_> = question.past().collect();
        // What would lie before the epoch is empty, and nobody measured then.
        let whole = windows
            .iter()
            .filter(|window| window.length() == history.step);
        let asked: Vec<_> = whole.copied().collect();
        let unasked = windows.len() - asked.len();
        let (stable, canary) = (&question.stable, &question.canary);
        let look = self.look(&question.metrics, stable, canary, history.step)?;
        let grid = self.grid(history.step, language);
        let mut past: Vec<Vec<Sample>> = nothing;
        for samples in &mut past {
            samples.resize(unasked, Sample::NoData);
        }
        for at_end in self.over_time(&look, &grid, &asked).await? {
            for (samples, both) in past.iter_mut().zip(at_end) {
                samples.push(both.stable);
            }
        }
        Ok(past)
    }
}

#[async_trait]
impl MetricsSource for Prometheus {
    async fn measure(&self, question: &Question) -> Result<Vec<Reading>> {
        let Question {
            stable,
            canary,
            metrics,
            window,
            ..
        } = question;
        let length = window.length();
        let look = self.look(metrics, stable, canary, length)?;
        if look.is_empty() {
            return Ok(Vec::new());
        }
        let language = self.client.language().await?;
        let at = self.moment.after(*window, language.dialect);
        tokio::time::sleep(at.since(now())).await;
        let now = async {
            if length.is_zero() {
                return look.readings(&[], window.to, self.stale_after());
            }
            let rows = self
                .ask(&look, &self.grid(length, language), window.to)
                .await?;
            look.readings(&rows, window.to, self.stale_after())
        };
        let (readings, past) = futures::try_join!(now, self.past(question, language))?;
        let readings = readings.into_iter().zip(past);
        Ok(readings
            .map(|(reading, past)| reading.with_history(past))
            .collect())
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let millis = i64::try_from(since.unwrap_or_default().as_millis());
    Timestamp::from_millis(millis.unwrap_or(i64::MAX))
}
