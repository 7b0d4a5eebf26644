//! Why a call has no answer.

use std::fmt;

/// One thing that is wrong with one place of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// Where, as a path like a [`Document`](crate::Document)'s; for a list it begins with the index, as in
    /// `2.boundary.min`. Empty: the input as a whole.
    pub path: String,
    /// What is wrong and how to mend it, one sentence.
    pub message: String,
}

impl FieldError {
    /// An error at `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.path, self.message) }
    }
}

/// Why a call has no answer; the host shows the texts to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The plugin's settings are wrong.
    InvalidSettings(Vec<FieldError>),
    /// The caller's input is wrong.
    InvalidInput(Vec<FieldError>),
    /// The plugin does not do this: which kind, rule or version it lacks.
    Unsupported(String),
    /// The plugin itself is at fault.
    Internal(String),
}

impl Error {
    /// An [`Error::InvalidInput`] with a single problem.
    pub fn invalid(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::InvalidInput(vec![FieldError::new(path, message)])
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, problems) = match self {
            Self::InvalidSettings(problems) => ("invalid settings", problems),
            Self::InvalidInput(problems) => ("invalid input", problems),
            Self::Unsupported(message) => return write!(f, "not supported: {message}"),
            Self::Internal(message) => return write!(f, "the plugin failed: {message}"),
        };
        f.write_str(what)?;
        for (index, problem) in problems.iter().enumerate() {
            write!(f, "{} {problem}", if index == 0 { ":" } else { ";" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Internal(error.to_string())
    }
}
