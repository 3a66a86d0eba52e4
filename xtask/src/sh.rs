//! Running commands, and saying plainly which one failed.

use std::{
    fmt,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

/// The root of the workspace; every command runs there.
///
/// It is where `cargo run` has found the manifest, not where this was compiled: two checkouts may
/// share a target directory, and so this very binary.
pub(crate) fn root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR");
    let mut root = manifest.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    root.pop();
    root
}

/// A failure with the command that repeats it.
#[derive(Debug)]
pub(crate) struct Failed {
    /// What failed, as a full sentence.
    pub(crate) sentence: String,
    /// The command to type to see it again.
    pub(crate) repeat: String,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for Failed {}

/// A command of plain words: no quotes, pipes or redirections, so that it reads the same in a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cmd {
    env: Vec<(String, String)>,
    words: Vec<String>,
}

impl Cmd {
    /// Reads a line such as `CI=true cargo test --workspace`: assignments first, then the words.
    pub(crate) fn new(line: &str) -> Self {
        let mut env = Vec::new();
        let mut words = Vec::new();
        for word in line.split_whitespace() {
            match word.split_once('=') {
                Some((name, value)) if words.is_empty() && is_variable(name) => {
                    env.push((name.to_owned(), value.to_owned()));
                }
                _ => words.push(word.to_owned()),
            }
        }
        Self { env, words }
    }

    /// Adds one word that may hold spaces, for instance a path.
    pub(crate) fn with_arg(mut self, arg: impl Into<String>) -> Self {
        self.words.push(arg.into());
        self
    }

    /// Sets an environment variable for this command alone.
    pub(crate) fn with_env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// The words without the assignments before them.
    pub(crate) fn words(&self) -> &[String] {
        &self.words
    }

    /// The value that follows `flag`, as `--flag value` or `--flag=value`.
    pub(crate) fn flag<'a>(&'a self, flag: &'a str) -> Option<&'a str> {
        self.values(flag).next()
    }

    /// Every value given to `flag`, in order.
    pub(crate) fn values<'a>(&'a self, flag: &'a str) -> impl Iterator<Item = &'a str> {
        self.words
            .iter()
            .enumerate()
            .filter_map(move |(i, word)| match word.strip_prefix(flag) {
                Some("") => self.words.get(i + 1).map(String::as_str),
                Some(rest) => rest.strip_prefix('='),
                None => None,
            })
    }

    /// The same command with another value for `flag`; unchanged if the flag is not there.
    pub(crate) fn with_flag(mut self, flag: &str, value: &str) -> Self {
        let long = format!("{flag}=");
        if let Some(i) = self.words.iter().position(|word| word.starts_with(&long)) {
            self.words[i] = format!("{flag}={value}");
        } else if let Some(i) = self.words.iter().position(|word| word == flag)
            && let Some(word) = self.words.get_mut(i + 1)
        {
            value.clone_into(word);
        }
        self
    }

    /// The command that only builds what this `cargo run` would run; none for other commands.
    pub(crate) fn build(&self) -> Option<Self> {
        let (cargo, rest) = self.words.split_first()?;
        let (run, rest) = rest.split_first()?;
        if cargo != "cargo" || run != "run" {
            return None;
        }
        let before = rest
            .iter()
            .take_while(|word| *word != "--")
            .map(String::as_str);
        let words = ["cargo", "build"]
            .into_iter()
            .chain(before)
            .map(str::to_owned)
            .collect();
        Some(Self {
            env: self.env.clone(),
            words,
        })
    }

    /// Runs the command with its output shown, and fails unless its exit code is 0.
    ///
    /// # Errors
    ///
    /// A [`Failed`] that begins with `what`, such as "clippy found something".
    pub(crate) fn run(&self, what: &str) -> Result<()> {
        println!("$ {self}");
        let status = self
            .command()?
            .status()
            .with_context(|| format!("failed to start `{self}`"))?;
        self.expect(what, status, 0)
    }

    /// Runs the command and returns what it printed on its standard output.
    ///
    /// # Errors
    ///
    /// A [`Failed`] that begins with `what`, unless the exit code is 0.
    pub(crate) fn output(&self, what: &str) -> Result<String> {
        self.output_with(what, 0)
    }

    /// Runs the command and returns what it printed on its standard output.
    ///
    /// # Errors
    ///
    /// A [`Failed`] that begins with `what`, unless the exit code is `code`.
    pub(crate) fn output_with(&self, what: &str, code: i32) -> Result<String> {
        let output = self
            .command()?
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("failed to start `{self}`"))?;
        self.expect(what, output.status, code)?;
        String::from_utf8(output.stdout).with_context(|| format!("`{self}` did not print UTF-8"))
    }

    /// Runs the command with its output shown, stops it after `limit`, and returns how long it took.
    ///
    /// # Errors
    ///
    /// A [`Failed`] that begins with `what`, unless it ends in time with exit code `code`.
    pub(crate) fn run_for(&self, what: &str, limit: Duration, code: i32) -> Result<Duration> {
        println!("$ {self}");
        self.wait(self.spawn()?, what, limit, code)
    }

    /// Runs the command beside others: all that it says goes into the file `log`, and is shown at once if
    /// it fails. Stops it after `limit`, and returns what it said.
    ///
    /// # Errors
    ///
    /// A [`Failed`] that begins with `what`, unless it ends in time with exit code `code`.
    pub(crate) fn run_aside(
        &self,
        what: &str,
        limit: Duration,
        code: i32,
        log: &Path,
    ) -> Result<String> {
        let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let child = self
            .command()?
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("failed to start `{self}`"))?;
        let ended = self.wait(child, what, limit, code);
        let said = String::from_utf8_lossy(&fs::read(log)?).into_owned();
        if ended.is_err() {
            println!("$ {self}\n{said}");
        }
        ended.map(|_| said)
    }

    fn wait(&self, mut child: Child, what: &str, limit: Duration, code: i32) -> Result<Duration> {
        let start = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                self.expect(what, status, code)?;
                return Ok(start.elapsed());
            }
            if start.elapsed() > limit {
                stop(&mut child)?;
                let sentence =
                    format!("{what}: `{self}` did not end within {} s.", limit.as_secs());
                return Err(self.failed(sentence).into());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs the command and kills it after `life` with a signal that it cannot catch; true if it ended by
    /// itself before that.
    ///
    /// # Errors
    ///
    /// A [`Failed`] that begins with `what`, if it ended by itself with an exit code other than 0.
    pub(crate) fn run_until_killed(&self, what: &str, life: Duration) -> Result<bool> {
        println!("$ {self}    # killed after {} ms", life.as_millis());
        let start = Instant::now();
        let mut child = self.spawn()?;
        while start.elapsed() < life {
            if let Some(status) = child.try_wait()? {
                self.expect(what, status, 0)?;
                return Ok(true);
            }
            thread::sleep(Duration::from_millis(5));
        }
        child.kill()?;
        let status = child.wait()?;
        if status.code().is_none() {
            return Ok(false);
        }
        // It was over already when the signal came.
        self.expect(what, status, 0).map(|()| true)
    }

    /// Starts the command with its output shown and nothing to read.
    fn spawn(&self) -> Result<Child> {
        self.command()?
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("failed to start `{self}`"))
    }

    /// A failure that this command repeats.
    pub(crate) fn failed(&self, sentence: String) -> Failed {
        Failed {
            sentence,
            repeat: self.to_string(),
        }
    }

    fn expect(&self, what: &str, status: ExitStatus, code: i32) -> Result<()> {
        if status.code() == Some(code) {
            return Ok(());
        }
        let wanted = if code == 0 {
            String::new()
        } else {
            format!(", not with {code}")
        };
        let sentence = match status.code() {
            Some(found) => format!("{what}: `{self}` ended with exit code {found}{wanted}."),
            None => format!("{what}: `{self}` ended with {status}{wanted}."),
        };
        Err(self.failed(sentence).into())
    }

    fn command(&self) -> Result<Command> {
        let (program, args) = self
            .words
            .split_first()
            .context("the command has no words")?;
        let mut command = match std::env::var_os("CARGO") {
            Some(cargo) if program == "cargo" => Command::new(cargo),
            _ => Command::new(program),
        };
        command
            .args(args)
            .envs(self.env.iter().cloned())
            .current_dir(root());
        Ok(command)
    }
}

impl fmt::Display for Cmd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let env = self
            .env
            .iter()
            .map(|(name, value)| format!("{name}={}", quoted(value)));
        let words = self.words.iter().map(|word| quoted(word));
        f.write_str(&env.chain(words).collect::<Vec<_>>().join(" "))
    }
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn quoted(word: &str) -> String {
    let special = |c: char| c.is_whitespace() || "{}()|&;<>$\"'*?".contains(c);
    if word.contains(special) {
        format!("'{}'", word.replace('\'', "'\\''"))
    } else {
        word.into()
    }
}

/// Asks the process to end, so that it can stop what it started, and ends it if it does not listen.
///
/// # Errors
///
/// If it can be neither asked nor ended.
pub(crate) fn stop(child: &mut Child) -> Result<()> {
    let asked = Command::new("kill").arg(child.id().to_string()).status();
    if asked.is_ok_and(|status| status.success()) {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(5) {
            if child.try_wait()?.is_some() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
    child.kill()?;
    child.wait()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_come_before_the_words() {
        let cmd = Cmd::new("CI=true cargo run --rate=0");
        assert_eq!(cmd.env, [("CI".to_owned(), "true".to_owned())]);
        assert_eq!(cmd.words(), ["cargo", "run", "--rate=0"]);
        assert_eq!(cmd.to_string(), "CI=true cargo run --rate=0");
    }

    #[test]
    fn a_command_prints_as_a_shell_reads_it() {
        let cmd = Cmd::new("cargo tree --format").with_arg("{p}\t{f}");
        assert_eq!(cmd.to_string(), "cargo tree --format '{p}\t{f}'");
    }

    #[test]
    fn a_flag_is_read_and_replaced_in_both_spellings() {
        let cmd = Cmd::new("x --stable a --canary=b");
        assert_eq!(
            (cmd.flag("--stable"), cmd.flag("--canary")),
            (Some("a"), Some("b"))
        );
        let cmd = cmd
            .with_flag("--stable", "c")
            .with_flag("--canary", "d")
            .with_flag("--no", "e");
        assert_eq!(cmd.to_string(), "x --stable c --canary=d");
    }

    #[test]
    fn a_run_is_built_without_the_arguments_of_the_program() {
        let cmd = Cmd::new("cargo run --release --example quickstart -- --crash");
        assert_eq!(
            cmd.build().unwrap().to_string(),
            "cargo build --release --example quickstart"
        );
        assert_eq!(Cmd::new("cargo test").build(), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_failure_names_the_command_that_repeats_it() {
        let error = Cmd::new("false").run("nothing works").unwrap_err();
        let failed = error.downcast_ref::<Failed>().unwrap();
        assert_eq!(
            failed.sentence,
            "nothing works: `false` ended with exit code 1."
        );
        assert_eq!(failed.repeat, "false");
    }

    #[cfg(unix)]
    #[test]
    fn a_command_is_stopped_at_its_limit() {
        let start = Instant::now();
        let error = Cmd::new("sleep 30").run_for("it sleeps", Duration::from_millis(50), 0);
        assert_eq!(
            error.unwrap_err().to_string(),
            "it sleeps: `sleep 30` did not end within 0 s."
        );
        assert!(start.elapsed() < Duration::from_secs(20));
    }
}
