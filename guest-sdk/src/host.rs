//! What the host does for a plugin.

use serde::de::DeserializeOwned;

use crate::error::Error;

/// How much a message matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For the author, step by step.
    Trace,
    /// For the author.
    Debug,
    /// For the operator.
    Info,
    /// Something that the operator should look at.
    Warn,
    /// Something that is broken.
    Error,
}

/// Writes one line to the plugin's log. A call's share of the log is bounded: what exceeds it is dropped and counted.
/// Natively the line goes to standard error.
pub fn log(level: Level, message: &str) {
    #[cfg(target_family = "wasm")]
    crate::bindings::log(level, message);
    #[cfg(not(target_family = "wasm"))]
    eprintln!("{level:?}: {message}");
}

/// The settings that the operator gave to this plugin, as a type of yours; the type's default where there are none, as is
/// always the case natively.
///
/// # Errors
///
/// [`Error::InvalidSettings`] if the settings are something else.
pub fn settings<T: DeserializeOwned + Default>() -> Result<T, Error> {
    let json = settings_json();
    let parsed: Result<Option<T>, _> = serde_json::from_str(&json);
    match parsed {
        Ok(settings) => Ok(settings.unwrap_or_default()),
        Err(error) => Err(Error::InvalidSettings(vec![crate::FieldError::new("", error.to_string())])),
    }
}

fn settings_json() -> String {
    #[cfg(target_family = "wasm")]
    return crate::bindings::settings();
    #[cfg(not(target_family = "wasm"))]
    "null".to_owned()
}
