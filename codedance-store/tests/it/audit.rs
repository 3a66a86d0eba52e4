//! Lines out, lines in, and what does not fit.

use codedance_core::journal::{Entry, Record};
use codedance_store::audit::{Problem, from_json_lines, replay, to_json_lines};

use crate::support::{at, began, told, workload};

#[test]
fn lines_come_back_as_they_were() {
    let entries = [began(0, &workload("shop/web")), told(1), told(2)];
    let lines = to_json_lines(&entries);
    assert_eq!(lines.lines().count(), 3);
    assert_eq!(from_json_lines(&lines).unwrap(), entries);
    assert_eq!(
        from_json_lines(&format!("\n{lines}\r\n\n")).unwrap(),
        entries
    );
}

#[test]
fn a_bad_line_is_named() {
    let lines = to_json_lines(&[told(0)]);
    let error = from_json_lines(&format!("{lines}\n{{\"version\": 1}}")).unwrap_err();
    assert_eq!(error.number, 3);
    assert!(
        error.to_string().starts_with("line 3: missing field"),
        "{error}"
    );
}

#[test]
fn what_does_not_follow_is_named() {
    let web = workload("shop/web");
    let problem = |entries: Vec<Entry>| {
        let found = replay(entries, &[]).unwrap_err();
        (found.sequence, found.problem)
    };
    assert_eq!(problem(vec![told(3)]), (3, Problem::NoBeginning));
    let expected = 1;
    let gap = vec![began(0, &web), told(2)];
    assert_eq!(problem(gap), (2, Problem::OutOfOrder { expected }));
    // Paused twice.
    let (sequence, rejected) = problem(vec![began(0, &web), told(1), told(2)]);
    assert!(matches!(rejected, Problem::Rejected(_)), "{rejected}");
    assert_eq!(sequence, 2);
    // A snapshot from before the pause.
    let mut state = codedance_core::driver::replay(vec![began(0, &web)], &[])
        .unwrap()
        .unwrap();
    let before = Box::new(state.rollout.snapshot());
    let entries = |snapshot| {
        vec![
            began(0, &web),
            told(1),
            Entry::new(2, at(2), Record::Snapshot(snapshot)),
        ]
    };
    assert_eq!(problem(entries(before)), (2, Problem::OtherState));
    let Record::Told(pause) = told(1).record else {
        unreachable!()
    };
    state.rollout.step(at(1), pause).unwrap();
    let told = replay(entries(Box::new(state.rollout.snapshot())), &[]).unwrap();
    assert_eq!(told.events.len(), 1, "{told:?}");
}
