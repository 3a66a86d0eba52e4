//! Routers that move as one.

use std::time::Duration;

use async_trait::async_trait;

use super::All;
use crate::error::Result;
use crate::percent::Percent;
use crate::traffic::{Capability, Split, TrafficRouter};

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: TrafficRouter> TrafficRouter for All<T> {
    fn capability(&self) -> Capability {
        let all = Capability::new(Percent::ratio(1, 10_000), Duration::ZERO).with_cohorts(true);
        self.members
            .iter()
            .map(|member| member.port.capability())
            .fold(all, |all, one| {
                Capability::new(
                    common_multiple(all.granularity, one.granularity),
                    all.propagation.max(one.propagation),
                )
                .with_cohorts(all.cohorts && one.cohorts)
            })
    }

    async fn apply(&self, split: &Split) -> Result<()> {
        // Checked for all before any is told: a refusal must leave every member as it was.
        self.capability().check(split)?;
        self.asked().split = Some(split.clone());
        self.each("route in every member", |member| member.apply(split))
            .await?;
        Ok(())
    }

    async fn observe(&self) -> Result<Split> {
        let read = self
            .each("read the split of every member", |member| member.observe())
            .await?;
        let splits = read.into_iter().map(|(_, split)| split).collect::<Vec<_>>();
        let asked = self.asked().split.clone();
        let astray = match asked {
            Some(asked) => splits.iter().position(|split| !split.agrees_with(&asked)),
            None => loneliest(&splits),
        };
        let shown = splits.into_iter().nth(astray.unwrap_or(0));
        shown.ok_or_else(|| crate::Error::unsupported("a router without members"))
    }
}

/// The finest weight that is a multiple of both. Where that is beyond the whole, nothing and everything
/// are all that both can do.
fn common_multiple(a: Percent, b: Percent) -> Percent {
    let (a, b) = (
        u32::from(a.basis_points().max(1)),
        u32::from(b.basis_points().max(1)),
    );
    let (mut divisor, mut rest) = (a, b);
    while rest != 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    Percent::ratio(a / divisor * b, 10_000)
}

/// The place of the split with which the fewest agree; the last of them, if there are several.
fn loneliest(splits: &[Split]) -> Option<usize> {
    let company = |split: &Split| {
        splits
            .iter()
            .filter(|other| split.agrees_with(other))
            .count()
    };
    (0..splits.len())
        .rev()
        .min_by_key(|place| splits.get(*place).map(company))
}
