//! From bytes to a plugin that can be called.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::{Component, InstancePre, Linker};

use crate::call::State;
use crate::error::LoadError;
use crate::limits::Limits;
use crate::{Role, inert, text, v1};

/// How every WebAssembly binary begins.
const MAGIC: &[u8] = b"\0asm";
/// What follows in a component.
const COMPONENT: &[u8] = &[0x0d, 0, 1, 0];
/// What follows in a core module.
const CORE_MODULE: &[u8] = &[1, 0, 0, 0];
/// How much of the compiler's words is kept, in characters.
const MESSAGE: usize = 1024;

/// A component to be loaded.
#[derive(Clone)]
pub struct Source {
    /// What it is called in errors, logs and metrics.
    pub name: String,
    /// The binary.
    pub component: Vec<u8>,
    /// The plugin's settings as JSON; `None`: it has none, and sees `null`.
    pub settings: Option<String>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Settings may hold what is not for a log.
        f.debug_struct("Source").field("name", &self.name).field("bytes", &self.component.len()).finish_non_exhaustive()
    }
}

/// How a plugin introduces itself; a stranger's words, bounded and free of control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// A short name.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// One sentence.
    pub summary: String,
    /// The JSON Schema of its settings, as it was given.
    pub settings_schema: Option<String>,
}

/// A plugin that is loaded. Clones share it; it is dropped when neither a registry nor a call holds it any more.
#[derive(Clone)]
pub struct Plugin(Arc<Loaded>);

struct Loaded {
    linked: Linked,
    description: Description,
    digest: String,
    size: usize,
    roles: Vec<Role>,
    compile_time: Duration,
}

/// What a call needs.
pub(crate) struct Linked {
    pub(crate) name: Arc<str>,
    pub(crate) settings: Arc<str>,
    pub(crate) instances: InstancePre<State>,
    pub(crate) exports: v1::Exports,
}

impl Plugin {
    /// What it is called in errors, logs and metrics.
    pub fn name(&self) -> &str {
        &self.0.linked.name
    }

    /// How it introduced itself.
    pub fn description(&self) -> &Description {
        &self.0.description
    }

    /// SHA-256 of its bytes, in lower-case hexadecimal.
    pub fn digest(&self) -> &str {
        &self.0.digest
    }

    /// Its size in bytes.
    pub fn size(&self) -> usize {
        self.0.size
    }

    /// The roles that it exports.
    pub fn roles(&self) -> &[Role] {
        &self.0.roles
    }

    /// How long it took to compile.
    pub fn compile_time(&self) -> Duration {
        self.0.compile_time
    }

    /// The version of the interface package that it is called by.
    pub fn interface_version(&self) -> &'static str {
        v1::VERSION
    }

    pub(crate) fn linked(&self) -> &Linked {
        &self.0.linked
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.name())
            .field("digest", &self.digest())
            .field("roles", &self.roles())
            .finish_non_exhaustive()
    }
}

/// Makes the linker that all plugins share.
pub(crate) fn linker(engine: &Engine) -> Result<Linker<State>, LoadError> {
    let mut linker = Linker::new(engine);
    inert::add_to_linker(&mut linker)
        .and_then(|()| v1::add_to_linker(&mut linker))
        .map_err(|error| LoadError::Host { reason: format!("{error:#}") })?;
    Ok(linker)
}

/// Compiles, links and questions a component. Takes a while; not for an async thread.
pub(crate) fn load(
    linker: &Linker<State>,
    limits: &Limits,
    size_limit: usize,
    source: Source,
) -> Result<Plugin, LoadError> {
    let Source { name, component: bytes, settings } = source;
    check_format(&bytes, size_limit)?;
    let digest = digest(&bytes);
    let start = Instant::now();
    let component = Component::from_binary(linker.engine(), &bytes)
        .map_err(|error| LoadError::Invalid { reason: text::clean(&format!("{error:#}"), MESSAGE) })?;
    let compile_time = start.elapsed();
    let roles = roles(&component, linker.engine())?;
    check_imports(&component, linker.engine())?;
    let instances = linker
        .instantiate_pre(&component)
        .map_err(|error| LoadError::Imports { reason: text::clean(&format!("{error:#}"), MESSAGE) })?;
    let exports = v1::Exports::find(&instances, &roles)?;
    let has_settings = settings.is_some();
    let settings = settings.unwrap_or_else(|| "null".to_owned());
    let callable = Linked { name: name.into(), settings: settings.into(), instances, exports };
    let description = v1::describe(&callable, limits)?;
    if has_settings {
        v1::validate_settings(&callable, limits)?;
    }
    Ok(Plugin(Arc::new(Loaded { linked: callable, description, digest, size: bytes.len(), roles, compile_time })))
}

fn digest(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn check_format(bytes: &[u8], size_limit: usize) -> Result<(), LoadError> {
    if bytes.len() > size_limit {
        return Err(LoadError::TooLarge { size: bytes.len(), limit: size_limit });
    }
    match bytes.strip_prefix(MAGIC) {
        Some(rest) if rest.starts_with(COMPONENT) => Ok(()),
        Some(rest) if rest.starts_with(CORE_MODULE) => Err(LoadError::CoreModule),
        Some(_) | None => Err(LoadError::NotAComponent),
    }
}

/// The roles that the component exports, if it is a plugin at all, and of this version.
fn roles(component: &Component, engine: &Engine) -> Result<Vec<Role>, LoadError> {
    let component_type = component.component_type();
    let mut exported = Vec::new();
    for (name, _) in component_type.exports(engine) {
        let Some((interface, version)) = name.split_once('@') else { continue };
        if !interface.starts_with(v1::PACKAGE) {
            continue;
        }
        if version != v1::VERSION {
            return Err(LoadError::Version {
                interface: interface.to_owned(),
                found: version.to_owned(),
                supported: v1::VERSION.to_owned(),
            });
        }
        exported.push(interface);
    }
    if !exported.contains(&v1::PLUGIN) {
        return Err(LoadError::MissingInterface { interface: format!("{}@{}", v1::PLUGIN, v1::VERSION) });
    }
    let has = |role: &Role| exported.iter().any(|name| name.strip_prefix(v1::PACKAGE) == Some(role.name()));
    let roles: Vec<Role> = Role::ALL.into_iter().filter(has).collect();
    if roles.is_empty() { Err(LoadError::NoRole) } else { Ok(roles) }
}

/// Names what the host does not give, which the linker would bury in a sentence about instances.
fn check_imports(component: &Component, engine: &Engine) -> Result<(), LoadError> {
    let component_type = component.component_type();
    let given = |name: &str| {
        let interface = name.split('@').next().unwrap_or(name);
        interface.starts_with(v1::PACKAGE) || GIVEN.contains(&interface)
    };
    match component_type.imports(engine).find(|(name, _)| !given(name)) {
        Some((name, _)) => Err(LoadError::UnknownImport { import: text::clean(name, MESSAGE) }),
        None => Ok(()),
    }
}

/// The interfaces of WASI that are linked; see [`inert`].
const GIVEN: [&str; 20] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
];
