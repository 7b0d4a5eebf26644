//! What is printed: a report for people, or the same as JSON or YAML for scripts.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use crate::yaml;

/// What is shown of a long text in a table of the usual width, in characters.
const CLIPPED: usize = 60;

/// The form of a report for scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// JSON, indented
    Json,
    /// YAML
    Yaml,
}

/// Something to be printed: [`fmt::Display`] is its form for people.
pub(crate) trait Report: Serialize + fmt::Display {}

impl<T: Serialize + fmt::Display> Report for T {}

/// Prints a report; `None` is for people.
///
/// # Errors
/// If standard output takes no more. That it was closed is none.
pub(crate) fn print(report: &impl Report, format: Option<Format>) -> Result<()> {
    let text = match format {
        None => report.to_string(),
        Some(Format::Json) => {
            serde_json::to_string_pretty(report).context("the report cannot be written as JSON")? + "\n"
        }
        Some(Format::Yaml) => yaml::to_string(report).context("the report cannot be written as YAML")?,
    };
    write(&text)
}

/// Writes text to standard output.
pub(crate) fn write(text: &str) -> Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever closed the pipe has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("standard output takes no more"),
    }
}

/// A line on a terminal that says what takes its time, until it is dropped. Elsewhere it says nothing.
pub(crate) struct Progress(bool);

impl Progress {
    pub(crate) fn new(what: &str) -> Self {
        let is_terminal = io::stderr().is_terminal();
        if is_terminal {
            eprint!("{what} …");
        }
        Self(is_terminal)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.0 {
            eprint!("\r\x1b[K");
        }
    }
}

/// Lines of a label and a value, the values below each other. A value of several lines keeps their indentation.
pub(crate) fn table(f: &mut fmt::Formatter<'_>, rows: &[(&str, String)]) -> fmt::Result {
    let width = rows.iter().map(|(label, _)| label.len()).max().unwrap_or_default();
    for (label, value) in rows {
        let mut lines = value.lines();
        writeln!(f, "{}", format!("{label:width$}  {}", lines.next().unwrap_or_default()).trim_end())?;
        for line in lines {
            writeln!(f, "{:width$}  {line}", "")?;
        }
    }
    Ok(())
}

/// A size for people: `122.4 KiB`.
pub(crate) fn size(bytes: usize) -> String {
    for (unit, name) in [(1 << 20, "MiB"), (1 << 10, "KiB")] {
        if bytes >= unit {
            return format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit);
        }
    }
    format!("{bytes} bytes")
}

/// A time for people: `143.2 µs`, `17.0 ms`, `1.2 s`.
pub(crate) fn time(time: Duration) -> String {
    let nanos = time.as_nanos();
    let (unit, name) =
        [(1_000_000_000, "s"), (1_000_000, "ms")].into_iter().find(|(unit, _)| nanos >= *unit).unwrap_or((1_000, "µs"));
    format!("{}.{} {name}", nanos / unit, nanos % unit * 10 / unit)
}

/// A whole number with its thousands apart: `12,345`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes lines with the same number of cells, each column as wide as its longest cell.
pub(crate) fn columns(f: &mut fmt::Formatter<'_>, lines: &[Vec<String>]) -> fmt::Result {
    let count = lines.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    for line in lines {
        let padded: Vec<String> = line.iter().zip(&widths).map(|(text, width)| format!("{text:width$}")).collect();
        writeln!(f, "{}", padded.join("   ").trim_end())?;
    }
    Ok(())
}

/// A text that is cut to what a table of the usual width shows.
pub(crate) fn clipped(text: &str) -> String {
    if text.chars().count() <= CLIPPED {
        return text.to_owned();
    }
    let short: String = text.chars().take(CLIPPED - 1).collect();
    format!("{}…", short.trim_end())
}

/// How old something is, in its largest unit: `42s`, `5m`, `3h`, `2d`.
pub(crate) fn age(now: Timestamp, created: Timestamp) -> String {
    let seconds = now.duration_since(created).as_secs().max(0);
    let (unit, name) =
        [(86_400, "d"), (3_600, "h"), (60, "m")].into_iter().find(|(unit, _)| seconds >= 2 * unit).unwrap_or((1, "s"));
    format!("{}{name}", seconds / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_well() {
        assert_eq!(
            [size(1023), size(1024), size(125_337), size(3 << 20)],
            ["1023 bytes", "1.0 KiB", "122.3 KiB", "3.0 MiB"]
        );
        let times = [1_550, 17_000_000, 1_290_000_000].map(|nanos| time(Duration::from_nanos(nanos)));
        assert_eq!(times, ["1.5 µs", "17.0 ms", "1.2 s"]);
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
    }
}
