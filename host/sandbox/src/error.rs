//! What can go wrong with a plugin, and whose fault it is.

use std::fmt::{self, Write as _};
use std::time::Duration;

use resource_broker_plugin_types::Role;
use semver::Version;

/// One thing that a plugin finds wrong with one place of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// Where, as a dotted path; for a list of filters it begins with the filter's index, as in `2.boundary.min`. Empty: the
    /// input as a whole.
    pub path: String,
    /// What is wrong, one sentence in the plugin's words.
    pub message: String,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.path, self.message) }
    }
}

/// Whose fault a failed call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The plugin's.
    Guest,
    /// The input's: the plugin works and says no.
    Input,
    /// The broker's own.
    Host,
}

/// Why a call has no answer. The text is fit for a condition: one line, and the plugin's own words bounded in length and free of
/// control characters.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum CallError {
    /// The plugin stopped itself: a panic, an invalid instruction, a stack that ran over.
    #[error("plugin {plugin} crashed: {message}")]
    Trap {
        /// The plugin's name.
        plugin: String,
        /// The panic's message, or else the trap's.
        message: String,
    },
    /// The plugin did not answer in time.
    #[error("plugin {plugin} did not answer within {} ms and was stopped", limit.as_millis())]
    Deadline {
        /// The plugin's name.
        plugin: String,
        /// How long it had.
        limit: Duration,
    },
    /// The plugin wanted more memory, tables or instances than it may have.
    #[error("plugin {plugin} was stopped: {message}")]
    Memory {
        /// The plugin's name.
        plugin: String,
        /// What it wanted, and how much it may have.
        message: String,
    },
    /// The plugin gave the host more than the host takes.
    #[error("plugin {plugin} was stopped: {message}")]
    Oversized {
        /// The plugin's name.
        plugin: String,
        /// What was too large, and the limit.
        message: String,
    },
    /// The plugin's answer is not what its interface promises.
    #[error("plugin {plugin} gave an answer that makes no sense: {message}")]
    Malformed {
        /// The plugin's name.
        plugin: String,
        /// What is wrong with it.
        message: String,
    },
    /// The plugin refuses its input.
    #[error("plugin {plugin} refuses its input: {}", join(problems))]
    Refused {
        /// The plugin's name.
        plugin: String,
        /// Everything that it finds wrong.
        problems: Vec<FieldError>,
    },
    /// The plugin refuses its own settings.
    #[error("plugin {plugin} refuses its settings: {}", join(problems))]
    Settings {
        /// The plugin's name.
        plugin: String,
        /// Everything that it finds wrong.
        problems: Vec<FieldError>,
    },
    /// The plugin does not do what was asked.
    #[error("plugin {plugin} does not support this: {message}")]
    Unsupported {
        /// The plugin's name.
        plugin: String,
        /// What it lacks, in its own words.
        message: String,
    },
    /// The plugin says that it failed.
    #[error("plugin {plugin} failed: {message}")]
    Failed {
        /// The plugin's name.
        plugin: String,
        /// Why, in its own words.
        message: String,
    },
    /// The plugin failed many times in a row, and is spared until its next trial.
    #[error(
        "plugin {plugin} failed too often in a row and is called again in {} s; the last failure: {message}",
        retry_in.as_secs_f64().ceil()
    )]
    Suspended {
        /// The plugin's name.
        plugin: String,
        /// The last failure's text.
        message: String,
        /// When to ask again.
        retry_in: Duration,
    },
    /// The plugin that is to answer cannot serve, and no other may answer in its stead.
    #[error("plugin {plugin} cannot serve: {reason}")]
    Unavailable {
        /// The plugin's name.
        plugin: String,
        /// Why.
        reason: String,
    },
    /// The broker could not make the call.
    #[error("plugin {plugin} could not be called: {message}")]
    Host {
        /// The plugin's name.
        plugin: String,
        /// Why.
        message: String,
    },
}

impl CallError {
    /// A short word from a closed set, for metrics.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Trap { .. } => "trap",
            Self::Deadline { .. } => "deadline",
            Self::Memory { .. } => "memory",
            Self::Oversized { .. } => "oversized",
            Self::Malformed { .. } => "malformed",
            Self::Refused { .. } => "refused",
            Self::Settings { .. } => "settings",
            Self::Unsupported { .. } => "unsupported",
            Self::Failed { .. } => "failed",
            Self::Suspended { .. } => "suspended",
            Self::Unavailable { .. } => "unavailable",
            Self::Host { .. } => "host",
        }
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Trap { .. }
            | Self::Deadline { .. }
            | Self::Memory { .. }
            | Self::Oversized { .. }
            | Self::Malformed { .. }
            | Self::Settings { .. }
            | Self::Unsupported { .. }
            | Self::Failed { .. }
            | Self::Suspended { .. } => Fault::Guest,
            Self::Refused { .. } => Fault::Input,
            Self::Unavailable { .. } | Self::Host { .. } => Fault::Host,
        }
    }
}

/// About how much of a list of problems is shown, in bytes: a text that is written on every object must stay small.
const PROBLEMS: usize = 4096;

/// The problems, or the first of them and how many more there are.
fn join(problems: &[FieldError]) -> String {
    let mut text = String::new();
    for (nth, problem) in problems.iter().enumerate() {
        let problem = problem.to_string();
        if nth > 0 && text.len() + problem.len() > PROBLEMS {
            // Writing to a string cannot fail.
            let _ = write!(text, "; and {} more", problems.len() - nth);
            break;
        }
        if nth > 0 {
            text.push_str("; ");
        }
        text.push_str(&problem);
    }
    text
}

/// Why a component cannot serve. The text is fit for a condition.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum LoadError {
    /// More bytes than a component may have.
    #[error(
        "the component has {size} bytes, more than the {limit} that are allowed; build it with optimisation and stripped"
    )]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// WebAssembly, but the older format without interfaces.
    #[error("this is a core WebAssembly module, not a component; build it for wasm32-wasip2")]
    CoreModule,
    /// No WebAssembly at all.
    #[error("this is not a WebAssembly component: it does not begin as one does")]
    NotAComponent,
    /// Begins like a component, but is none that can be compiled here.
    #[error("the component does not compile: {reason}")]
    Invalid {
        /// The compiler's words.
        reason: String,
    },
    /// Not compiled within the time that there is for it.
    #[error(
        "the component was not compiled within {} ms; it is too large, or has a function that is, and has to be made smaller",
        limit.as_millis()
    )]
    CompileTime {
        /// How long compiling may take.
        limit: Duration,
    },
    /// Asks for more than any plugin may have.
    #[error(
        "the limit asked for {field} is {wanted}, more than the {maximum} that a plugin may have here; ask for less"
    )]
    Limits {
        /// Which limit: `memory`, `time` or `output`.
        field: &'static str,
        /// What is asked for, with its unit.
        wanted: String,
        /// What may be asked for, with its unit.
        maximum: String,
    },
    /// Wants something of the host that the host does not give.
    #[error("the component imports {import}, which plugins are not given")]
    UnknownImport {
        /// The interface's name.
        import: String,
    },
    /// Imports an interface that the host gives, but with other functions or types.
    #[error("the component's imports do not fit: {reason}")]
    Imports {
        /// What does not fit.
        reason: String,
    },
    /// Uses an interface of a version that this host does not speak.
    #[error(
        "the component is made for {interface}@{found}, and this broker speaks {supported}; {}",
        if is_newer(found, supported) {
            format!("build it with the SDK of this broker, or run a broker that speaks {found}")
        } else {
            "build it again with the SDK of this broker, which `resource-broker plugin new` writes".to_owned()
        }
    )]
    Version {
        /// The interface's name without version.
        interface: String,
        /// The component's version.
        found: String,
        /// The host's version.
        supported: String,
    },
    /// Lacks the interface that every plugin has.
    #[error("the component does not export {interface}; export it with the SDK's export! macro")]
    MissingInterface {
        /// The interface's name.
        interface: String,
    },
    /// Exports no role.
    #[error("the component takes no role: it exports neither {}", Role::ALL.map(Role::name).join(" nor "))]
    NoRole,
    /// Exports an interface, but a function of it is missing or of another type.
    #[error("the component's {interface}.{function} does not fit: {reason}; build it with an SDK for this version")]
    Exports {
        /// The interface's name, as in `accept-filter`.
        interface: String,
        /// The function's name, as in `judge`.
        function: String,
        /// What does not fit.
        reason: String,
    },
    /// Refuses its settings.
    #[error("the component refuses its configuration: {}", join(problems))]
    Settings {
        /// Everything that it finds wrong, in its own words.
        problems: Vec<FieldError>,
    },
    /// Cannot even introduce itself, or fails where it is to judge its settings.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The broker could not do it.
    #[error("the component could not be loaded: {reason}")]
    Host {
        /// Why.
        reason: String,
    },
}

impl LoadError {
    /// A short word from a closed set, for metrics.
    pub fn category(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too-large",
            Self::CompileTime { .. } => "compile-time",
            Self::Limits { .. } => "limits",
            Self::Settings { .. } => "settings",
            Self::CoreModule | Self::NotAComponent | Self::Invalid { .. } => "not-a-component",
            Self::UnknownImport { .. } | Self::Imports { .. } => "imports",
            Self::Version { .. } => "version",
            Self::MissingInterface { .. } | Self::NoRole | Self::Exports { .. } => "exports",
            Self::Call(error) => error.category(),
            Self::Host { .. } => "host",
        }
    }
}

/// Whether a component is made for a later version of the interface package than this broker's.
fn is_newer(found: &str, supported: &str) -> bool {
    match (Version::parse(found), Version::parse(supported)) {
        (Ok(found), Ok(supported)) => found > supported,
        (Err(_), _) | (_, Err(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(count: usize, words: usize) -> String {
        let problem = FieldError { path: "a".to_owned(), message: "x".repeat(words) };
        CallError::Refused { plugin: "p".to_owned(), problems: vec![problem; count] }.to_string()
    }

    #[test]
    fn a_long_list_of_problems_is_cut_and_counted() {
        assert_eq!(refused(2, 1), "plugin p refuses its input: a: x; a: x");
        let long = refused(100, 1000);
        assert!(long.len() < 2 * PROBLEMS && long.ends_with("; and 96 more"), "{}", long.len());
        let alone = refused(1, 2 * PROBLEMS);
        assert!(alone.ends_with("xx"), "one problem is told in full");
    }
}
