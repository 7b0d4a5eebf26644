//! What a component exports and imports, before anything of it runs.

use resource_broker_plugin_types::Role;
use semver::{Version, VersionReq};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::error::LoadError;
use crate::{interface, text};

/// The longest name of an interface that is shown, in characters.
const NAME: usize = 256;

/// The roles that the component exports, if it is a plugin at all, and of a version that fits.
pub(crate) fn roles(component: &Component, engine: &Engine) -> Result<Vec<Role>, LoadError> {
    let component_type = component.component_type();
    let mut exported = Vec::new();
    for (name, _) in component_type.exports(engine) {
        if let Some(interface) = ours(name)? {
            exported.push(interface);
        }
    }
    if !exported.contains(&interface::PLUGIN) {
        return Err(LoadError::MissingInterface { interface: format!("{}@{}", interface::PLUGIN, interface::VERSION) });
    }
    let has = |role: &Role| exported.iter().any(|name| name.strip_prefix(interface::PACKAGE) == Some(role.name()));
    let roles: Vec<Role> = Role::ALL.into_iter().filter(has).collect();
    if roles.is_empty() { Err(LoadError::NoRole) } else { Ok(roles) }
}

/// The interfaces that the component imports, all of which the host gives. The linker would bury what is missing in a sentence
/// about instances.
pub(crate) fn imports(component: &Component, engine: &Engine) -> Result<Vec<String>, LoadError> {
    let component_type = component.component_type();
    let mut imports = Vec::new();
    for (name, _) in component_type.imports(engine) {
        let shown = text::clean(name, NAME);
        let interface = name.split('@').next().unwrap_or(name);
        let given = match ours(name)? {
            Some(ours) => interface::IMPORTED.contains(&ours),
            None => GIVEN.contains(&interface),
        };
        if !given {
            return Err(LoadError::UnknownImport { import: shown });
        }
        imports.push(shown);
    }
    Ok(imports)
}

/// The name without version of an interface of the package, if it is one, and of a version that fits.
fn ours(name: &str) -> Result<Option<&str>, LoadError> {
    let (interface, found) = name.split_once('@').unwrap_or((name, ""));
    if !interface.starts_with(interface::PACKAGE) {
        return Ok(None);
    }
    if fits(found) {
        return Ok(Some(interface));
    }
    Err(LoadError::Version {
        interface: text::clean(interface, NAME),
        found: text::clean(found, NAME),
        supported: interface::VERSION.to_owned(),
    })
}

/// Whether an interface of version `found` can stand for the host's: one that differs in its last number can.
fn fits(found: &str) -> bool {
    match (Version::parse(found), VersionReq::parse(interface::VERSION)) {
        (Ok(found), Ok(supported)) => supported.matches(&found),
        (Err(_), _) | (_, Err(_)) => false,
    }
}

/// The interfaces of WASI that are linked; see [`inert`](crate::inert).
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_fit_by_semver() {
        for version in ["0.2.0", "0.2.1", "0.2.99"] {
            assert!(fits(version), "{version}");
        }
        for version in ["", "0", "0.2", "0.1.0", "0.1.9", "0.3.0", "0.0.9", "1.2.0", "0.2.1-rc.1", "0.2.x"] {
            assert!(!fits(version), "{version}");
        }
    }
}
