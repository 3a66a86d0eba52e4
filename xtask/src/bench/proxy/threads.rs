//! What a second thread brings.

use anyhow::Result;

use super::{
    Site,
    contenders::Ours,
    load::{Load, Mix},
    rounds::Turn,
};
use crate::bench::figure::{Figure, Goal};

const ROUNDS: usize = 5;
const LOAD: Load = Load {
    path: "/1k",
    mix: Mix::Users,
    connections: 64,
    seconds: 2,
};

/// Compares our proxy on two threads with itself on one.
///
/// # Errors
///
/// If our proxy fails.
pub(super) fn measure(site: &Site) -> Result<Vec<Figure>> {
    let one = site.ours()?;
    let cores = site.cores.two();
    let two = Ours::start(&site.program, 2, &cores, &site.behind, &site.folder)?;
    let (mut of_one, mut of_two) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        of_one.push(Turn::of(site, &one.server, one.address, LOAD)?);
        of_two.push(Turn::of(site, &two.server, two.address, LOAD)?);
    }
    let compare = |name, unit, goal, of: fn(&Turn) -> f64| {
        let values = |turns: &[Turn]| turns.iter().map(of).collect::<Vec<_>>();
        Figure::beside(name, unit, &values(&of_two), &values(&of_one), goal)
    };
    let throughput = match site.cores.has_room_for_two() {
        true => compare(
            "throughput_two_threads",
            "1/s",
            Goal::AtLeast(1.7),
            |turn| turn.seen.per_second(),
        ),
        false => Figure::missing(
            "throughput_two_threads",
            "1/s",
            "not measured: needs four processors",
        ),
    };
    // What two threads cost each other shows even where they have to share.
    let processor = compare("processor_time_two_threads", "µs", Goal::None, |turn| {
        turn.micros_each
    });
    Ok(vec![throughput, processor])
}
