//! A plugin's log: bounded, one line at a time, without control characters.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio::io::AsyncWrite;
use tracing::Level;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::text;

/// The longest line in characters.
const LINE: usize = 1024;
/// What a line costs of the log's budget beyond its text.
const LINE_COST: usize = 64;
/// How much a stream takes at once, in bytes.
const WRITE: usize = 4096;

/// One line that a plugin logged; free of control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How much it matters; what is printed is [`Level::INFO`].
    pub level: Level,
    /// The text.
    pub message: String,
}

/// What one call writes; shared with the streams that the call prints to.
#[derive(Clone, Debug)]
pub(crate) struct Log(Arc<Mutex<Lines>>);

#[derive(Debug)]
struct Lines {
    plugin: Arc<str>,
    budget: usize,
    dropped: usize,
    last_error: Option<String>,
    /// The lines so far, where they are kept instead of being logged.
    kept: Option<Vec<LogLine>>,
    /// What was printed since the last line break.
    partial: Vec<u8>,
}

impl Log {
    /// A log of `plugin` for `bytes` bytes, which goes to the broker's log.
    pub(crate) fn new(plugin: Arc<str>, bytes: usize) -> Self {
        Self::with(plugin, bytes, None)
    }

    /// The same, but kept for [`take`](Self::take).
    pub(crate) fn kept(plugin: Arc<str>, bytes: usize) -> Self {
        Self::with(plugin, bytes, Some(Vec::new()))
    }

    fn with(plugin: Arc<str>, budget: usize, kept: Option<Vec<LogLine>>) -> Self {
        let lines = Lines { plugin, budget, dropped: 0, last_error: None, kept, partial: Vec::new() };
        Self(Arc::new(Mutex::new(lines)))
    }

    /// Writes one line.
    pub(crate) fn write(&self, level: Level, message: &str) {
        self.lines().write(level, message);
    }

    /// Writes what is left, and says what was dropped.
    pub(crate) fn finish(&self) {
        let mut lines = self.lines();
        lines.end_line();
        if lines.dropped > 0 {
            let dropped = lines.dropped;
            lines.emit(Level::WARN, &format!("the plugin logged too much in one call: {dropped} lines were dropped"));
        }
    }

    /// The lines that were kept.
    pub(crate) fn take(&self) -> Vec<LogLine> {
        self.lines().kept.take().unwrap_or_default()
    }

    /// The last line at level error, such as a panic's message.
    pub(crate) fn last_error(&self) -> Option<String> {
        self.lines().last_error.clone()
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock()
    }
}

impl Lines {
    fn write(&mut self, level: Level, message: &str) {
        let line = if self.budget > LINE_COST { text::clean(message, LINE) } else { String::new() };
        let Some(rest) = self.budget.checked_sub(line.len() + LINE_COST) else {
            self.dropped += 1;
            return;
        };
        self.budget = rest;
        self.emit(level, &line);
        if level == Level::ERROR {
            self.last_error = Some(line);
        }
    }

    fn emit(&mut self, level: Level, line: &str) {
        if let Some(kept) = &mut self.kept {
            kept.push(LogLine { level, message: line.to_owned() });
            return;
        }
        let plugin = &self.plugin;
        // A level is part of what is fixed where a line is logged.
        if level == Level::ERROR {
            tracing::error!(target: "plugin", %plugin, "{line}");
        } else if level == Level::WARN {
            tracing::warn!(target: "plugin", %plugin, "{line}");
        } else if level == Level::INFO {
            tracing::info!(target: "plugin", %plugin, "{line}");
        } else if level == Level::DEBUG {
            tracing::debug!(target: "plugin", %plugin, "{line}");
        } else {
            tracing::trace!(target: "plugin", %plugin, "{line}");
        }
    }

    fn print(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => self.end_line(),
                // Four bytes are the longest character: the line stays long enough to be cut by its characters.
                _ if self.partial.len() < 4 * (LINE + 1) => self.partial.push(*byte),
                _ => {}
            }
        }
    }

    fn end_line(&mut self) {
        if !self.partial.is_empty() {
            let line = std::mem::take(&mut self.partial);
            self.write(Level::INFO, &String::from_utf8_lossy(&line));
        }
    }
}

impl IsTerminal for Log {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Log {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only asked for by versions of WASI that are not linked.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl OutputStream for Log {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.lines().print(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE)
    }
}

#[async_trait]
impl Pollable for Log {
    async fn ready(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(bytes: usize) -> Log {
        Log::new("test".into(), bytes)
    }

    #[test]
    fn a_flood_is_dropped_and_counted() {
        let log = log(3 * (LINE_COST + 4));
        for _ in 0..1000 {
            log.write(Level::INFO, "line");
        }
        assert_eq!(log.lines().dropped, 997);
    }

    #[test]
    fn printing_is_cut_into_lines_and_a_line_without_end_is_bounded() {
        let mut log = log(10 * LINE);
        log.lines().print(b"one\ntwo");
        assert_eq!(log.lines().partial, b"two");
        for _ in 0..1000 {
            OutputStream::write(&mut log, Bytes::from_static(&[b'x'; 1000])).unwrap();
        }
        assert!(log.lines().partial.len() <= 4 * (LINE + 1));
        log.finish();
        assert!(log.lines().partial.is_empty());
    }

    #[test]
    fn lines_are_kept_for_who_asks_and_what_is_missing_is_said() {
        let log = Log::kept("test".into(), 3 * (LINE_COST + 8));
        log.write(Level::DEBUG, "one\n\u{1b}");
        for _ in 0..9 {
            log.write(Level::INFO, "more");
        }
        log.finish();
        let lines = log.take();
        let texts: Vec<&str> = lines.iter().map(|line| line.message.as_str()).collect();
        let flood = "the plugin logged too much in one call: 7 lines were dropped";
        assert_eq!(texts, ["one \u{fffd}", "more", "more", flood]);
        assert_eq!((lines[0].level, lines[3].level), (Level::DEBUG, Level::WARN));
    }

    #[test]
    fn the_last_error_is_kept_clean() {
        let log = log(1000);
        log.write(Level::ERROR, "panicked:\nfirst");
        log.write(Level::INFO, "later");
        assert_eq!(log.last_error().as_deref(), Some("panicked: first"));
    }
}
