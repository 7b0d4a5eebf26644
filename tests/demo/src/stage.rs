//! What the audience sees: colours on a terminal, plain text elsewhere.

use std::fmt::Display;
use std::io::{IsTerminal, stdout};
use std::time::Instant;

/// Prints the story as it goes.
#[derive(Debug)]
pub struct Stage {
    coloured: bool,
    act: usize,
    start: Instant,
}

#[derive(Clone, Copy)]
enum Style {
    Heading = 1,
    Quiet = 2,
    Good = 32,
    Command = 36,
}

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}

impl Stage {
    /// The standard output, coloured if it is a terminal and `NO_COLOR` is not set.
    pub fn new() -> Self {
        let coloured = stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { coloured, act: 0, start: Instant::now() }
    }

    /// A new part of the story.
    pub fn act(&mut self, title: &str) {
        self.act += 1;
        println!("\n{}", self.paint(Style::Heading, format!("{}. {title}", self.act)));
    }

    /// A part that is no act: what comes before and after them.
    pub fn heading(&self, title: &str) {
        println!("\n{}", self.paint(Style::Heading, title));
    }

    /// What happens now.
    pub fn say(&self, text: &str) {
        println!("{text}");
    }

    /// A command that is run.
    pub fn command(&self, line: &str) {
        println!("  {}", self.paint(Style::Command, format!("$ {line}")));
    }

    /// What a command or a file holds.
    pub fn output(&self, text: &str) {
        for line in text.trim_end().lines() {
            println!("  {}", self.paint(Style::Quiet, line));
        }
    }

    /// Something that was to be shown, and holds.
    pub fn good(&self, text: &str) {
        println!("  {}", self.paint(Style::Good, format!("✓ {text}")));
    }

    /// Seconds since the beginning.
    pub fn seconds(&self) -> u64 {
        self.start.elapsed().as_secs()
    }

    fn paint(&self, style: Style, text: impl Display) -> String {
        if self.coloured { format!("\x1b[{}m{text}\x1b[0m", style as u8) } else { text.to_string() }
    }
}
