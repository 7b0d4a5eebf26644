//! From bytes to a component that is compiled, linked and found to be a plugin; once for each digest.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use resource_broker_plugin_types::Role;
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::{Component, InstancePre, Linker};

use crate::error::LoadError;
use crate::interface::{self, Exports};
use crate::state::State;
use crate::{inert, shape, text};

/// How every WebAssembly binary begins.
const MAGIC: &[u8] = b"\0asm";
/// What follows in a component.
const COMPONENT: &[u8] = &[0x0d, 0, 1, 0];
/// What follows in a core module.
const CORE_MODULE: &[u8] = &[1, 0, 0, 0];
/// How much of the compiler's words is kept, in characters.
const MESSAGE: usize = 1024;

/// What settings and limits have no part in.
pub(crate) struct Compiled {
    pub(crate) instances: InstancePre<State>,
    pub(crate) exports: Exports,
    pub(crate) digest: String,
    pub(crate) size: usize,
    pub(crate) roles: Vec<Role>,
    pub(crate) imports: Vec<String>,
    pub(crate) time: Duration,
}

/// Makes the linker that all plugins share.
pub(crate) fn linker(engine: &Engine) -> Result<Linker<State>, LoadError> {
    let mut linker = Linker::new(engine);
    inert::add_to_linker(&mut linker)
        .and_then(|()| interface::add_to_linker(&mut linker))
        .map_err(|error| LoadError::Host { reason: format!("{error:#}") })?;
    Ok(linker)
}

/// Refuses what needs no compiler to be refused, and else gives the SHA-256 in lower-case hexadecimal.
pub(crate) fn identify(bytes: &[u8], size_limit: usize) -> Result<String, LoadError> {
    if bytes.len() > size_limit {
        return Err(LoadError::TooLarge { size: bytes.len(), limit: size_limit });
    }
    match bytes.strip_prefix(MAGIC) {
        Some(rest) if rest.starts_with(COMPONENT) => Ok(hex::encode(Sha256::digest(bytes))),
        Some(rest) if rest.starts_with(CORE_MODULE) => Err(LoadError::CoreModule),
        Some(_) | None => Err(LoadError::NotAComponent),
    }
}

/// Compiles and links a component. Takes a while; not for an async thread.
pub(crate) fn compile(linker: &Linker<State>, bytes: &[u8], digest: String) -> Result<Compiled, LoadError> {
    let engine = linker.engine();
    let start = Instant::now();
    let component = Component::from_binary(engine, bytes)
        .map_err(|error| LoadError::Invalid { reason: text::clean(&format!("{error:#}"), MESSAGE) })?;
    let time = start.elapsed();
    let roles = shape::roles(&component, engine)?;
    let imports = shape::imports(&component, engine)?;
    let instances = linker
        .instantiate_pre(&component)
        .map_err(|error| LoadError::Imports { reason: text::clean(&format!("{error:#}"), MESSAGE) })?;
    let exports = Exports::find(&instances, &roles)?;
    Ok(Compiled { instances, exports, digest, size: bytes.len(), roles, imports, time })
}

/// What is compiled and still in use, by digest.
#[derive(Default)]
pub(crate) struct Cache(Mutex<HashMap<String, Weak<Compiled>>>);

impl Cache {
    pub(crate) fn get(&self, digest: &str) -> Option<Arc<Compiled>> {
        self.0.lock().get(digest)?.upgrade()
    }

    pub(crate) fn insert(&self, compiled: &Arc<Compiled>) {
        let mut by_digest = self.0.lock();
        by_digest.retain(|_, compiled| compiled.strong_count() > 0);
        by_digest.insert(compiled.digest.clone(), Arc::downgrade(compiled));
    }
}
