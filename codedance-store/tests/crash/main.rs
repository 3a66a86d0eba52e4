//! Processes that are killed, and what is left of their rollouts.
//!
//! The test runs itself as a child that drives a rollout: its journal is a store in a file, and the world
//! that it acts on is another file, so that both outlive it. The child is killed with SIGKILL, at random
//! moments and at every journal write, and started again until it says how the rollout ended. The world
//! must then have seen the same distinct effects in the same order as under a child that nobody killed.

mod child;
mod world;

use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use codedance_core::rollout::Action;

use crate::child::{Stop, WEB};
use crate::world::World;

/// What a child is told to do, and what became of the rollout.
struct Case {
    directory: tempfile::TempDir,
    bad: bool,
}

impl Case {
    fn new(bad: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { directory, bad }
    }

    fn spawn(&self, owner: &str, stop: Option<Stop>) -> Child {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args([
                "--exact",
                "child::drives_a_rollout",
                "--nocapture",
                "--ignored",
            ])
            .env("CODEDANCE_DIRECTORY", self.directory.path())
            .env("CODEDANCE_OWNER", owner)
            .env("CODEDANCE_BAD", if self.bad { "yes" } else { "no" })
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        if let Some(stop) = stop {
            command.env("CODEDANCE_STOP", stop.to_string());
        }
        command.spawn().unwrap()
    }

    /// What the world has seen, without repetitions: a crash may leave the last effect to be done again.
    fn distinct(&self) -> Vec<Action> {
        let mut seen = World::in_directory(self.directory.path()).effects();
        seen.dedup();
        seen
    }

    fn journal_is_whole(&self) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let directory: &Path = self.directory.path();
        runtime.block_on(async {
            let store = codedance_store::Store::in_directory(directory)
                .await
                .unwrap();
            let entries = store.export(&WEB.parse().unwrap()).await.unwrap();
            codedance_store::audit::replay(entries, &[]).unwrap();
        });
    }
}

/// What a child says, line by line: `stopped` where it waits to be killed, `ended …` at the end.
fn next_word(child: &mut BufReader<std::process::ChildStdout>) -> Option<String> {
    loop {
        let mut line = String::new();
        if child.read_line(&mut line).unwrap() == 0 {
            return None;
        }
        let word = line.trim();
        // The test harness has its own lines.
        let Some((_, word)) = word.split_once("child: ") else {
            continue;
        };
        if word != "stopped" {
            // Whoever still has something to say is not cut off.
            io::copy(child, &mut io::sink()).unwrap();
        }
        return Some(word.to_owned());
    }
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Runs a child to its end.
fn undisturbed(case: &Case) -> String {
    let mut child = case.spawn("one", None);
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let ended = next_word(&mut said).expect("a child that nobody kills comes to an end");
    child.wait().unwrap();
    ended
}

fn expected(bad: bool) -> (String, Vec<Action>) {
    let case = Case::new(bad);
    let ended = undisturbed(&case);
    let effects = case.distinct();
    assert!(effects.len() > 6, "{effects:?}");
    let rolled_back = ended.contains("rolled back");
    assert_eq!(rolled_back, bad, "{ended}");
    (ended, effects)
}

/// Kills and starts again at every write, once before the journal has it and once after.
#[test]
fn killed_at_every_journal_write() {
    for bad in [false, true] {
        let (ended, effects) = expected(bad);
        for when in ["before", "after"] {
            let case = Case::new(bad);
            let mut kills = 0;
            let last = loop {
                // Who takes over says so, looks, measures, and only then goes on: each is a write, and who
                // does not get beyond them makes no progress. So some are let get further.
                let stop = match when {
                    "before" => Stop::Before(2 + kills % 5),
                    _ => Stop::After(1 + kills % 5),
                };
                let mut child = case.spawn("one", Some(stop));
                let mut said = BufReader::new(child.stdout.take().unwrap());
                let word = next_word(&mut said).expect("a child stops or ends");
                kill(child);
                if word != "stopped" {
                    break word;
                }
                kills += 1;
                assert!(kills < 1_000, "there is no progress");
            };
            assert_eq!(last, ended, "{when}");
            assert_eq!(case.distinct(), effects, "{when}");
            case.journal_is_whole();
            println!("{ended}: killed {kills} times {when} a journal write");
            assert!(kills > 10, "only {kills} writes");
        }
    }
}

#[test]
fn killed_at_random_moments() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let expected = [expected(false), expected(true)];
    let (mut kills, mut rollouts) = (0, 0);
    while kills < 200 {
        let bad = rollouts % 2 == 1;
        let (ended, effects) = &expected[usize::from(bad)];
        let case = Case::new(bad);
        let last = loop {
            let mut child = case.spawn("one", None);
            let said = child.stdout.take().unwrap();
            // The moment itself is what is random here: there is nothing to wait for.
            let moment = Duration::from_millis(random.u64(10..120));
            let killer = thread::spawn(move || {
                thread::sleep(moment);
                kill(child);
            });
            let word = next_word(&mut BufReader::new(said));
            killer.join().unwrap();
            match word {
                Some(word) => break word,
                None => kills += 1,
            }
        };
        assert_eq!(&last, ended);
        assert_eq!(&case.distinct(), effects, "after {kills} kills");
        case.journal_is_whole();
        rollouts += 1;
    }
    println!("{kills} kills in {rollouts} rollouts");
}

/// Two processes want the same workload. Whichever has it is killed; the other goes on when the lease
/// has run out.
#[test]
fn two_processes_contend() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for bad in [false, true] {
        let (ended, effects) = expected(bad);
        let case = Case::new(bad);
        let mut kills = 0;
        let mut children = ["one", "two"].map(|owner| case.spawn(owner, None));
        while kills < 12 {
            thread::sleep(Duration::from_millis(random.u64(50..500)));
            let victim = random.usize(0..2);
            let owner = ["one", "two"][victim];
            let next = case.spawn(owner, None);
            kill(std::mem::replace(&mut children[victim], next));
            kills += 1;
        }
        for mut child in children {
            let mut said = BufReader::new(child.stdout.take().unwrap());
            let word = next_word(&mut said).expect("both see the end");
            assert_eq!(word, ended);
            child.wait().unwrap();
        }
        assert_eq!(case.distinct(), effects, "after {kills} kills");
        case.journal_is_whole();
    }
}
