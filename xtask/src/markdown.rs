//! Code blocks in Markdown, and the commands in them.

use anyhow::{Result, bail};

use crate::sh::Cmd;

/// A fenced code block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The line of the opening fence, counted from 1.
    pub(crate) line: usize,
    /// The words after the opening fence: the language, then rustdoc's attributes.
    pub(crate) info: Vec<String>,
    /// The lines between the fences.
    pub(crate) lines: Vec<String>,
}

/// The fenced code blocks of a Markdown text.
///
/// # Errors
///
/// If a block is never closed.
pub(crate) fn blocks(text: &str) -> Result<Vec<Block>> {
    let mut blocks = Vec::new();
    let mut open: Option<(Block, String)> = None;
    for (i, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        match &mut open {
            Some((block, fence)) => {
                let closes = trimmed.starts_with(fence.as_str())
                    && trimmed.chars().all(|c| fence.starts_with(c));
                if closes {
                    blocks.extend(open.take().map(|(block, _)| block));
                } else {
                    block.lines.push(line.to_owned());
                }
            }
            None => {
                let Some(fence) = opening_fence(trimmed) else {
                    continue;
                };
                let info = trimmed[fence.len()..]
                    .split([',', ' '])
                    .filter(|word| !word.is_empty())
                    .map(str::to_owned)
                    .collect();
                let block = Block {
                    line: i + 1,
                    info,
                    lines: Vec::new(),
                };
                open = Some((block, fence.to_owned()));
            }
        }
    }
    if let Some((block, _)) = open {
        bail!(
            "the code block that opens in line {} is never closed",
            block.line
        );
    }
    Ok(blocks)
}

/// The three or more backticks or tildes that a line begins with.
fn opening_fence(line: &str) -> Option<&str> {
    ['`', '~'].into_iter().find_map(|mark| {
        let rest = line.trim_start_matches(mark);
        let fence = &line[..line.len() - rest.len()];
        // A line such as "```code``` in a sentence" opens nothing.
        (fence.len() >= 3 && !(mark == '`' && rest.contains('`'))).then_some(fence)
    })
}

impl Block {
    /// Whether rustdoc takes it for Rust: it does unless a word names another language.
    pub(crate) fn is_rust(&self) -> bool {
        let attribute = |word: &str| {
            ["rust", "no_run", "should_panic", "compile_fail"].contains(&word)
                || word.starts_with("ignore")
                || word.starts_with("edition")
        };
        self.info.iter().all(|word| attribute(word))
    }

    pub(crate) fn is_shell(&self) -> bool {
        let first = self.info.first().map(String::as_str);
        matches!(first, Some("sh" | "bash" | "shell" | "console"))
    }

    /// The commands of a shell block, each with its line: in `console` blocks the lines after `$ `,
    /// otherwise every line; comments and a last `&` left out, `\` at the end and `&&` understood.
    pub(crate) fn commands(&self) -> Vec<(usize, Cmd)> {
        let is_console = self.info.first().is_some_and(|word| word == "console");
        let mut commands = Vec::new();
        let mut continued: Option<(usize, String)> = None;
        for (i, text) in self.lines.iter().enumerate() {
            let text = text.trim();
            let (line, text) = match continued.take() {
                Some((line, before)) => (line, format!("{before} {text}")),
                None if !is_console => (self.line + 1 + i, text.to_owned()),
                None => match text.strip_prefix("$ ") {
                    Some(command) => (self.line + 1 + i, command.to_owned()),
                    None => continue,
                },
            };
            if let Some(before) = text.strip_suffix('\\')
                && i + 1 < self.lines.len()
            {
                continued = Some((line, before.to_owned()));
                continue;
            }
            let text = match text.find(" #") {
                _ if text.starts_with('#') => "",
                Some(comment) => &text[..comment],
                None => &text,
            };
            for part in text.trim().trim_end_matches(" &").split("&&") {
                if !part.trim().is_empty() {
                    commands.push((line, Cmd::new(part)));
                }
            }
        }
        commands
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(text: &str) -> Vec<(usize, String)> {
        let blocks = blocks(text).unwrap();
        let shell = blocks.iter().filter(|block| block.is_shell());
        shell
            .flat_map(Block::commands)
            .map(|(line, cmd)| (line, cmd.to_string()))
            .collect()
    }

    #[test]
    fn blocks_are_found_with_their_lines() {
        let text = "# A\n\n```rust,no_run\nlet a;\n```\n\n- in a list:\n  ~~~sh\n  ls\n  ~~~\n";
        let blocks = blocks(text).unwrap();
        assert_eq!(blocks.len(), 2);
        assert_eq!(
            (blocks[0].line, &blocks[0].lines[..]),
            (3, &["let a;".to_owned()][..])
        );
        assert_eq!(blocks[0].info, ["rust", "no_run"]);
        assert!(blocks[0].is_rust() && !blocks[0].is_shell());
        assert!(blocks[1].is_shell() && !blocks[1].is_rust());
    }

    #[test]
    fn a_longer_fence_holds_a_shorter_one() {
        let blocks = blocks("````text\n```rust\n```\n````\n").unwrap();
        assert_eq!(blocks.len(), 1);
        assert_eq!(blocks[0].lines, ["```rust", "```"]);
    }

    #[test]
    fn code_in_a_sentence_opens_no_block() {
        assert!(blocks("```not a fence``` here\n").unwrap().is_empty());
    }

    #[test]
    fn an_open_block_is_an_error() {
        let error = blocks("a\n```sh\nls\n").unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
    }

    #[test]
    fn commands_of_a_shell_block() {
        let text =
            "```sh\n# first\ncargo build   # it builds\n\ngit clone x && cd y\npython3 &\n```";
        let expected = [
            (3, "cargo build"),
            (5, "git clone x"),
            (5, "cd y"),
            (6, "python3"),
        ];
        assert_eq!(
            commands(text),
            expected.map(|(line, text)| (line, text.to_owned()))
        );
    }

    #[test]
    fn a_console_block_shows_output_too() {
        let text = "```console\n$ cargo run \\\n    --example a\npromoted\n$ cargo test\n```";
        let expected = [(2, "cargo run --example a"), (5, "cargo test")];
        assert_eq!(
            commands(text),
            expected.map(|(line, text)| (line, text.to_owned()))
        );
    }
}
