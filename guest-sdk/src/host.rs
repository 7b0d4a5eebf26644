//! What the host does for a plugin.

use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::read;

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
/// Natively the line goes to standard error. [`info!`](crate::info) and its like format it as well.
pub fn log(level: Level, message: &str) {
    #[cfg(target_family = "wasm")]
    crate::bindings::log(level, message);
    #[cfg(all(not(target_family = "wasm"), feature = "testing"))]
    crate::testing::record(level, message);
    #[cfg(not(target_family = "wasm"))]
    eprintln!("{level:?}: {message}");
}

/// The settings that the operator gave to this plugin, as a type of yours; the type's default where there are none, as is
/// natively the case unless a test sets them.
///
/// # Errors
///
/// [`Error::InvalidSettings`] if the settings are something else.
pub fn settings<T: DeserializeOwned + Default>() -> Result<T, Error> {
    let json = settings_json();
    let parsed: Option<T> = read_settings(&json)?;
    Ok(parsed.unwrap_or_default())
}

/// The settings that the operator gave to this plugin, as a type of yours. Where there are none, they are read as an object
/// without fields, so that a field that the type needs is found missing.
///
/// ```
/// # #[derive(serde::Deserialize)]
/// # #[serde(deny_unknown_fields)]
/// struct Settings {
///     #[serde(default)]
///     regions: Vec<String>,
/// }
///
/// let settings: Settings = resource_broker_sdk::settings_as()?;
/// assert!(settings.regions.is_empty());
/// # Ok::<(), resource_broker_sdk::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::InvalidSettings`] with the path of what does not fit.
pub fn settings_as<T: DeserializeOwned>() -> Result<T, Error> {
    parse_settings(&settings_json())
}

/// Whether settings, given as JSON, are a type of yours: for [`Plugin::validate_settings`](crate::Plugin).
///
/// ```
/// use resource_broker_sdk::{Error, Plugin, validate_settings_as};
///
/// #[derive(serde::Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Settings {
///     regions: Vec<String>,
/// }
///
/// struct Regional;
///
/// impl Plugin for Regional {
///     fn validate_settings(settings: &str) -> Result<(), Error> {
///         validate_settings_as::<Settings>(settings)
///     }
/// }
///
/// assert_eq!(Regional::validate_settings(r#"{"regions": ["eu"]}"#), Ok(()));
/// let error = Regional::validate_settings(r#"{"regions": ["eu", 7]}"#).unwrap_err();
/// assert!(error.to_string().starts_with("invalid settings: regions.1: "), "{error}");
/// assert!(Regional::validate_settings("null").is_err());
/// ```
///
/// # Errors
///
/// [`Error::InvalidSettings`] with the path of what does not fit.
pub fn validate_settings_as<T: DeserializeOwned>(settings: &str) -> Result<(), Error> {
    parse_settings::<T>(settings).map(drop)
}

/// Reads settings, given as JSON, as a type of yours; for [`Plugin::validate_settings`](crate::Plugin) that looks closer.
///
/// # Errors
///
/// [`Error::InvalidSettings`] with the path of what does not fit.
pub fn parse_settings<T: DeserializeOwned>(settings: &str) -> Result<T, Error> {
    read_settings(if settings.trim() == "null" { "{}" } else { settings })
}

fn read_settings<T: DeserializeOwned>(json: &str) -> Result<T, Error> {
    read::from_text("", json).map_err(|problem| Error::InvalidSettings(vec![problem]))
}

fn settings_json() -> String {
    #[cfg(target_family = "wasm")]
    return crate::bindings::settings();
    #[cfg(all(not(target_family = "wasm"), feature = "testing"))]
    return crate::testing::current_settings();
    #[cfg(all(not(target_family = "wasm"), not(feature = "testing")))]
    "null".to_owned()
}

/// The part of the logging macros that they have in common.
macro_rules! define_log_macros {
    ($dollar:tt $($name:ident $level:ident $what:literal;)+) => {
        $(
            #[doc = concat!("Writes one line at level ", $what, " to the plugin's log, formatted as by `format!`.")]
            ///
            /// ```
            #[doc = concat!("resource_broker_sdk::", stringify!($name), "!(\"{} offers\", 3);")]
            /// ```
            #[macro_export]
            macro_rules! $name {
                ($dollar($argument:tt)+) => {
                    $crate::log($crate::Level::$level, &::std::format!($dollar($argument)+))
                };
            }
        )+
    };
}

define_log_macros! { $
    trace Trace "trace";
    debug Debug "debug";
    info Info "info";
    warn Warn "warn";
    error Error "error";
}
