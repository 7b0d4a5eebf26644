//! Sets logging up: short lines for a terminal, JSON for machines.

use std::{fmt, io, str::FromStr};

use k8s_openapi::jiff::{Timestamp, tz::TimeZone};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    EnvFilter,
    fmt::{format::Writer, time::FormatTime},
    util::SubscriberInitExt,
};

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Only what went wrong.
    Error,
    /// Also what may need attention.
    Warn,
    /// Also what changed. The default.
    Info,
    /// Also why.
    Debug,
    /// Everything.
    Trace,
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "error" | "panic" => Ok(Self::Error),
            "warn" => Ok(Self::Warn),
            "info" => Ok(Self::Info),
            "debug" => Ok(Self::Debug),
            // zap's verbosity: 1 is debug, more is more.
            number => match number.parse::<u8>() {
                Ok(1) => Ok(Self::Debug),
                Ok(2..) => Ok(Self::Trace),
                _ => Err(format!("{text:?} is not a level; use debug, info, warn, error, or a number from 1 up")),
            },
        }
    }
}

impl From<Level> for LevelFilter {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::ERROR,
            Level::Warn => Self::WARN,
            Level::Info => Self::INFO,
            Level::Debug => Self::DEBUG,
            Level::Trace => Self::TRACE,
        }
    }
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoder {
    /// Short lines for people.
    Console,
    /// One JSON object a line.
    Json,
}

impl FromStr for Encoder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "console" => Ok(Self::Console),
            "json" => Ok(Self::Json),
            other => Err(format!("{other:?} is not an encoder; use console or json")),
        }
    }
}

/// What is logged, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// How much.
    pub level: Level,
    /// In which form.
    pub encoder: Encoder,
    /// Whether short lines are coloured.
    pub color: bool,
}

/// Crates whose debug lines are about themselves. kube's client logs as errors what we report as a cluster that does
/// not answer.
const QUIET: [&str; 10] = [
    "hyper=warn",
    "hyper_util=warn",
    "rustls=warn",
    "tower=warn",
    "kube_client=off",
    "kube_runtime=warn",
    "wasmtime=warn",
    "wasmtime_wasi=warn",
    "cranelift_codegen=warn",
    "h2=warn",
];

/// Starts logging to standard error. The first call in a process decides; later ones change nothing.
pub fn init(options: LogOptions) {
    let builder = tracing_subscriber::fmt().with_writer(io::stderr).with_env_filter(filter(options.level));
    // A second call fails, and is meant to do nothing.
    let _ = match options.encoder {
        Encoder::Json => {
            builder.json().flatten_event(true).with_current_span(true).with_span_list(false).finish().try_init()
        }
        Encoder::Console => {
            builder.compact().with_timer(ClockTime).with_target(false).with_ansi(options.color).finish().try_init()
        }
    };
}

fn filter(level: Level) -> EnvFilter {
    let quiet = QUIET.iter().filter_map(|directive| directive.parse().ok());
    let base = EnvFilter::builder().with_default_directive(LevelFilter::from(level).into()).parse_lossy("");
    // At trace, everything is wanted.
    if level == Level::Trace { base } else { quiet.fold(base, EnvFilter::add_directive) }
}

/// The time of day in UTC, to the millisecond.
struct ClockTime;

impl FormatTime for ClockTime {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        let now = Timestamp::now().to_zoned(TimeZone::UTC);
        write!(w, "{:02}:{:02}:{:02}.{:03}", now.hour(), now.minute(), now.second(), now.millisecond())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_words_or_zaps_numbers() {
        for (text, expected) in [
            ("debug", Level::Debug),
            ("INFO", Level::Info),
            ("warn", Level::Warn),
            ("error", Level::Error),
            ("panic", Level::Error),
            ("1", Level::Debug),
            ("5", Level::Trace),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in ["0", "-1", "loud", "", "999"] {
            assert!(text.parse::<Level>().is_err(), "{text}");
        }
    }

    #[test]
    fn every_directive_for_a_quiet_crate_is_understood() {
        let filter = filter(Level::Debug).to_string();
        for directive in QUIET {
            assert!(filter.contains(directive), "{directive} is not in {filter}");
        }
        assert!(filter.ends_with("debug"), "{filter}");
    }
}
