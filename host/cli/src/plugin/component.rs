//! Opens a component as the broker would.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use clap::Args;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use resource_broker_api::broker::PluginLimits;
use resource_broker_sandbox::{LimitsRequest, Plugin, Sandbox, SandboxConfig, Source};
use serde_json::Value;

use super::input::{self, Document};
use crate::output::Progress;

/// A component and what it is loaded with.
#[derive(Args, Clone, Debug)]
pub(super) struct ComponentArgs {
    /// The component; - is standard input
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    /// The plugin's settings, as YAML or JSON: what stands in a Plugin's spec.configuration; - is standard input
    #[arg(long, value_name = "FILE")]
    pub(super) settings: Option<PathBuf>,
    /// What a call may use, as memory=64Mi,timeout=1s,output=1Mi, or some of these [default: the broker's]
    #[arg(long, value_name = "LIMITS", value_parser = parse_limits)]
    pub(super) limits: Option<Wanted>,
}

impl ComponentArgs {
    /// What stands in the settings' file.
    pub(super) fn read_settings(&self) -> Result<Option<Document>> {
        self.settings.as_deref().map(input::single).transpose()
    }
}

/// Limits as they are asked for on the command line.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Wanted {
    /// As they stand in a Plugin.
    pub(super) written: PluginLimits,
    request: LimitsRequest,
}

/// A component that is loaded.
pub(super) struct Opened {
    pub(super) sandbox: Sandbox,
    pub(super) plugin: Plugin,
}

/// Where the broker would load it.
pub(super) fn sandbox(config: SandboxConfig) -> Result<Sandbox> {
    Sandbox::new(config).map_err(|error| anyhow!("the sandbox cannot be made: {error}"))
}

/// Reads and loads a component with its settings.
///
/// # Errors
/// Names the file, and says in the broker's words why it could not be loaded.
pub(super) async fn open(args: &ComponentArgs) -> Result<Opened> {
    let settings = args.read_settings()?.map(|document| document.value);
    load(args, input::bytes(&args.file)?, settings).await
}

/// As [`open`], with what has been read.
pub(super) async fn load(args: &ComponentArgs, component: Vec<u8>, settings: Option<Value>) -> Result<Opened> {
    let _progress = Progress::new("compiling");
    let sandbox = sandbox(SandboxConfig::default())?;
    let settings = settings.map(|settings| settings.to_string());
    let source = Source { name: stem(&args.file), component, settings, limits: request(args.limits.as_ref()) };
    let plugin = sandbox.load(source).await.with_context(|| input::name(&args.file))?;
    Ok(Opened { sandbox, plugin })
}

/// What the sandbox is asked for.
pub(super) fn request(wanted: Option<&Wanted>) -> LimitsRequest {
    wanted.map(|wanted| wanted.request).unwrap_or_default()
}

/// What a component is called in messages: its file's name without the ending.
pub(super) fn stem(path: &Path) -> String {
    match path.file_stem().and_then(|stem| stem.to_str()) {
        None | Some("-") => "stdin".to_owned(),
        Some(stem) => stem.to_owned(),
    }
}

/// Reads `memory=64Mi,timeout=1s,output=1Mi`.
fn parse_limits(text: &str) -> Result<Wanted, String> {
    let mut wanted = Wanted::default();
    for part in text.split(',') {
        let (name, value) = part.split_once('=').ok_or_else(|| format!("{part:?} is not NAME=VALUE"))?;
        match name.trim() {
            "memory" => {
                wanted.request.memory_bytes = Some(parse_bytes(value)?);
                wanted.written.memory = Some(Quantity(value.to_owned()));
            }
            "output" => {
                wanted.request.output_bytes = Some(parse_bytes(value)?);
                wanted.written.output = Some(Quantity(value.to_owned()));
            }
            "timeout" => {
                let milliseconds = parse_milliseconds(value)?;
                wanted.request.deadline = Some(Duration::from_millis(milliseconds.unsigned_abs()));
                wanted.written.timeout_milliseconds = Some(milliseconds);
            }
            other => return Err(format!("{other:?} is no limit: there are memory, timeout and output")),
        }
    }
    Ok(wanted)
}

fn parse_bytes(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match &text[digits.len()..] {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        other => return Err(format!("{other:?} is no unit of bytes: there are k, M, Ki and Mi")),
    };
    let number = digits.parse::<usize>().ok().and_then(|number| number.checked_mul(unit));
    number.filter(|number| *number > 0).ok_or_else(|| format!("{text:?} is no number of bytes, as in 64Mi"))
}

fn parse_milliseconds(text: &str) -> Result<i64, String> {
    let (number, unit) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => (number, 1),
        (None, Some(number)) => (number, 1000),
        (None, None) => return Err(format!("{text:?} is no time, as in 500ms or 1s")),
    };
    let number = number.parse::<i64>().ok().and_then(|number| number.checked_mul(unit));
    number.filter(|number| *number > 0).ok_or_else(|| format!("{text:?} is no time, as in 500ms or 1s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_they_are_written_in_a_plugin() {
        let wanted = parse_limits("memory=64Mi,timeout=1500ms,output=100k").unwrap();
        assert_eq!(wanted.request.memory_bytes, Some(64 << 20));
        assert_eq!(wanted.request.deadline, Some(Duration::from_millis(1500)));
        assert_eq!(wanted.request.output_bytes, Some(100_000));
        assert_eq!(wanted.written.memory.unwrap().0, "64Mi");
        assert_eq!(wanted.written.timeout_milliseconds, Some(1500));
        assert_eq!(parse_limits("timeout=2s").unwrap().written.timeout_milliseconds, Some(2000));
    }

    #[test]
    fn limits_that_make_no_sense_say_what_does() {
        for (text, part) in [
            ("memory", "NAME=VALUE"),
            ("memory=64Gib", "no unit"),
            ("memory=Mi", "64Mi"),
            ("memory=0", "64Mi"),
            ("memory=99999999999999999999Mi", "64Mi"),
            ("timeout=5", "500ms"),
            ("timeout=-1s", "500ms"),
            ("cpu=1", "memory, timeout and output"),
        ] {
            let error = parse_limits(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
