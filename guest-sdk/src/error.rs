//! Why a call has no answer.

use std::fmt;

use resource_broker_plugin_types::MissingRelated;

use crate::read::join;
use crate::value::ParseError;

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

    /// An [`Error::InvalidSettings`] with a single problem.
    pub fn settings(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::InvalidSettings(vec![FieldError::new(path, message)])
    }

    /// An [`Error::Unsupported`].
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::Unsupported(message.into())
    }

    /// An [`Error::Internal`].
    pub fn internal(message: impl Into<String>) -> Self {
        Self::Internal(message.into())
    }

    /// The same error, its paths below `base`.
    ///
    /// ```
    /// # use resource_broker_sdk::Error;
    /// let error = Error::invalid("min", "it is negative").below("2.with");
    /// assert_eq!(error, Error::invalid("2.with.min", "it is negative"));
    /// ```
    #[must_use]
    pub fn below(self, base: &str) -> Self {
        let below = |list: Vec<FieldError>| {
            list.into_iter()
                .map(|FieldError { path, message }| FieldError { path: join(base, &path), message })
                .collect()
        };
        match self {
            Self::InvalidSettings(list) => Self::InvalidSettings(below(list)),
            Self::InvalidInput(list) => Self::InvalidInput(below(list)),
            other @ (Self::Unsupported(_) | Self::Internal(_)) => other,
        }
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

impl From<ParseError> for Error {
    /// The input as a whole is wrong; [`Error::below`] says where it is.
    fn from(error: ParseError) -> Self {
        Self::invalid("", error.to_string())
    }
}

impl From<MissingRelated> for Error {
    /// The copy lacks what the migration needs; the path is the key in `status.relatedResources`.
    fn from(missing: MissingRelated) -> Self {
        let path = format!("status.relatedResources.{}", crate::escape_key(&missing.key));
        Self::invalid(path, missing.to_string())
    }
}

impl From<FieldError> for Error {
    fn from(error: FieldError) -> Self {
        Self::InvalidInput(vec![error])
    }
}

/// Collects everything that is wrong with an input, so that its author mends it in one go.
///
/// ```
/// # use resource_broker_sdk::{Document, Error, Problems};
/// fn validate(configuration: &Document<'_>) -> Result<(), Error> {
///     let mut problems = Problems::new();
///     let image = problems.take(configuration.at("image").required().text());
///     problems.take(configuration.at("timeout").duration());
///     if image.is_some_and(|image| !image.contains('@')) {
///         problems.push("image", "name it by digest, as in registry/image@sha256:…");
///     }
///     problems.finish()
/// }
///
/// let wrong = Document::from(serde_json::json!({"timeout": "soon"}));
/// let Err(Error::InvalidInput(problems)) = validate(&wrong) else { unreachable!() };
/// assert_eq!(problems.len(), 2);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    fields: Vec<FieldError>,
    /// The first error that is not about the input.
    other: Option<Error>,
}

impl Problems {
    /// None so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a problem at `path`.
    pub fn push(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.fields.push(FieldError::new(path, message));
    }

    /// What was read, or `None` with its error added.
    pub fn take<T>(&mut self, read: Result<T, Error>) -> Option<T> {
        match read {
            Ok(value) => return Some(value),
            Err(Error::InvalidInput(list) | Error::InvalidSettings(list)) => self.fields.extend(list),
            Err(other @ (Error::Unsupported(_) | Error::Internal(_))) => {
                self.other.get_or_insert(other);
            }
        }
        None
    }

    /// Nothing if there was no problem.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] with all problems; before that the first error that was not about the input.
    pub fn finish(self) -> Result<(), Error> {
        match self {
            Self { other: Some(other), .. } => Err(other),
            Self { fields, .. } if fields.is_empty() => Ok(()),
            Self { fields, .. } => Err(Error::InvalidInput(fields)),
        }
    }
}
