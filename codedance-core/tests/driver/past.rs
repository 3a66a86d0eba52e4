//! How the stable revision did before: the question to the source, and what the journal keeps of it.

use std::sync::{Arc, Mutex};

use codedance_core::driver::Ports;
use codedance_core::journal::Record;
use codedance_core::memory::MemoryMetrics;
use codedance_core::metrics::{History, Question, Reading, Sample};
use codedance_core::rollout::{Input, Outcome, Report};

use crate::books::Books;
use crate::world::{World, plan, watching, workload};
use crate::{builder, ended, secs};

/// The first answer tells too little of the past, the later ones all of it.
#[tokio::test(start_paused = true)]
async fn the_past_is_asked_for_until_all_of_it_was_told() {
    let (books, world) = (Books::new(), World::new());
    let questions: Arc<Mutex<Vec<Question>>> = Arc::default();
    let asked = Arc::clone(&questions);
    let source = MemoryMetrics::new(move |question| {
        let mut asked = asked.lock().unwrap();
        asked.push(question.clone());
        let good = Sample::Counts {
            bad: 0,
            total: 10_000,
        };
        let told = question.past().count() / if asked.len() == 1 { 2 } else { 1 };
        let reading = Reading::new("errors", good.clone(), good.clone());
        vec![reading.with_history(vec![good; told])]
    });
    let ports = Ports::new(world.clone(), world.clone(), Arc::new(source));
    let driver = builder(&books).build();
    let policy = watching();
    let handle = driver.start(plan("shop", 20), policy, ports).await.unwrap();
    assert_eq!(ended(&handle).await, Ok(Outcome::Completed));

    let history = Some(History {
        step: secs(10),
        intervals: 60,
    });
    let questions = questions.lock().unwrap();
    let asked: Vec<_> = questions.iter().map(|question| question.history).collect();
    assert_eq!(asked[..2], [history, history]);
    assert!(
        asked.len() > 10 && asked[2..].iter().all(Option::is_none),
        "{asked:?}"
    );

    let mut kept = Vec::new();
    for entry in books.entries(&workload("shop")) {
        if let Record::Told(Input::Outcome(_, outcome)) = entry.record {
            match outcome {
                Ok(Report::Measured { readings, .. }) => kept.push(readings[0].history.len()),
                Ok(_) => {}
                Err(failure) => {
                    assert!(failure.message.contains("told 30 of `errors`"), "{failure}");
                }
            }
        }
    }
    assert_eq!(kept[0], 60);
    assert_eq!(kept.iter().sum::<usize>(), 60, "{kept:?}");
}
