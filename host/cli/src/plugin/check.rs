//! `plugin check`: what a component is, or why the broker would not load it.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use resource_broker_plugin_types::Role;
use resource_broker_sandbox::{LoadError, Plugin, SandboxConfig, Source};
use serde::Serialize;
use serde_json::Value;

use super::component::{self, ComponentArgs};
use super::input;
use super::packing::{self, Compress};
use crate::output::{self, Format, Progress, size, table, time};

/// Loads a component as the broker does, and says what it is: roles, interface version, imports, size, compile time,
/// description, and the schema of its settings. Exit code 1, and the exact reason, if it could not be loaded.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  resource-broker plugin check target/wasm32-wasip2/release/my_plugin.wasm")]
pub(super) struct CheckArgs {
    #[command(flatten)]
    component: ComponentArgs,
    /// Print for scripts
    #[arg(short, long, value_name = "FORM")]
    output: Option<Format>,
}

/// Loads and describes.
pub(super) fn run(args: &CheckArgs) -> Result<ExitCode> {
    let component = input::bytes(&args.component.file)?;
    match check(&args.component, &component)? {
        Ok(checked) => {
            output::print(&checked, args.output)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            if let Some(format) = args.output {
                output::print(&Refused::new(&args.component.file, &error), Some(format))?;
            }
            Err(anyhow::Error::new(error).context(input::name(&args.component.file)))
        }
    }
}

/// What a component is. The outer error is not the component's.
pub(super) fn check(args: &ComponentArgs, component: &[u8]) -> Result<Result<Checked, LoadError>> {
    let settings = args.read_settings()?.map(|document| document.value.to_string());
    let source = Source {
        name: component::stem(&args.file),
        component: component.to_vec(),
        settings,
        limits: component::request(args.limits.as_ref()),
    };
    let _progress = Progress::new("compiling");
    let sandbox = component::sandbox(SandboxConfig { probe: super::probe(), ..SandboxConfig::default() })?;
    let plugin = match super::block_on(sandbox.load(source))? {
        Ok(plugin) => plugin,
        Err(error) => return Ok(Err(error)),
    };
    // Only what could be loaded is small enough to be compressed in a moment.
    let packed = packing::pack(component, Compress::Auto)?;
    Ok(Ok(Checked::new(&args.file, &plugin, &packed)))
}

/// What a component is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Checked {
    file: String,
    loadable: bool,
    name: String,
    version: String,
    summary: String,
    roles: Vec<&'static str>,
    interface_version: String,
    imports: Vec<String>,
    sha256: String,
    size: usize,
    compressed_size: usize,
    compression: &'static str,
    config_maps: usize,
    compile_milliseconds: u128,
    #[serde(skip)]
    compile_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    settings_schema: Option<Value>,
}

impl Checked {
    fn new(file: &Path, plugin: &Plugin, packed: &packing::Packed) -> Self {
        let description = plugin.description();
        // What is no JSON is shown as the text that it is.
        let schema = |text: &String| serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()));
        Self {
            file: input::name(file),
            loadable: true,
            name: description.name.clone(),
            version: description.version.clone(),
            summary: description.summary.clone(),
            roles: plugin.roles().iter().copied().map(Role::name).collect(),
            interface_version: plugin.interface_version().to_owned(),
            imports: plugin.imports().to_vec(),
            sha256: plugin.digest().to_owned(),
            size: plugin.size(),
            compressed_size: packed.size(),
            compression: packed.encoding,
            config_maps: packed.parts().len(),
            compile_milliseconds: plugin.compile_time().as_millis(),
            compile_time: time(plugin.compile_time()),
            settings_schema: description.settings_schema.as_ref().map(schema),
        }
    }

    /// Size, compressed size and what it needs in the cluster, in one line.
    pub(super) fn fit(&self) -> String {
        let maps = match self.config_maps {
            1 => "fits one ConfigMap".to_owned(),
            several => format!("needs {several} ConfigMaps"),
        };
        format!("{} as {}: {maps}", size(self.compressed_size), self.compression)
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schema = match &self.settings_schema {
            None => "none".to_owned(),
            // A Value can always be written.
            Some(schema) => serde_json::to_string_pretty(schema).unwrap_or_default(),
        };
        table(
            f,
            &[
                ("component", self.file.clone()),
                ("name", format!("{} {}", self.name, self.version)),
                ("summary", self.summary.clone()),
                ("roles", self.roles.join(", ")),
                ("interface", self.interface_version.clone()),
                ("imports", self.imports.join("\n")),
                ("sha256", self.sha256.clone()),
                ("size", format!("{} ({} bytes)", size(self.size), output::count(self.size as u64))),
                ("compressed", self.fit()),
                ("compiled in", self.compile_time.clone()),
                ("settings", schema),
            ],
        )
    }
}

/// A component that could not be loaded, for scripts; people read the error.
#[derive(Debug, Serialize)]
struct Refused {
    file: String,
    loadable: bool,
    error: Reason,
}

#[derive(Debug, Serialize)]
struct Reason {
    category: &'static str,
    message: String,
}

impl Refused {
    fn new(file: &Path, error: &LoadError) -> Self {
        let error = Reason { category: error.category(), message: error.to_string() };
        Self { file: input::name(file), loadable: false, error }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.file, self.error.message)
    }
}
