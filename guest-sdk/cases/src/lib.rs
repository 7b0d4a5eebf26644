//! Case files for plugins: what a plugin is asked, what it should answer, and how its answer differs.
//!
//! A file holds one or more YAML documents, each a [`Case`]. A case is one call of one role, told by the fields that it
//! has, and `expect`:
//!
//! ```yaml
//! name: a version within the range is accepted     # default: the file's name and the document's number
//! settings: {strict: true}                         # the plugin's settings; default: none
//! object: {spec: {version: "16"}}                  # judge this object …
//! offers:                                          # … against these: AcceptAPI objects, or the short form
//!   - {provider: provider#a, name: default/small, filters: [{key: version, with: {semver: ">=15, <18"}}]}
//! expect:
//!   verdicts: [accepted]                           # or {accepted: {score}}, or refused, or
//!                                                  # {refused: [{filter, rule, expected, found, message}]}
//! ---
//! filters: [{key: version, with: {semver: nonsense}}]
//! expect: {invalid: [{path: 0.with.semver}]}       # or {valid: true}
//! ---
//! settings: {strict: perhaps}
//! expect: {settings: {invalid: [{path: strict}]}}  # or {settings: valid}
//! ---
//! copy: {status: {phase: Ready}}                   # transform the status of this copy
//! previous: {status: {phase: Pending}}             # optional
//! context: {prefix: 0123456789ab-, consumerNamespace: shop, provider: provider#a}   # these are the defaults; in place of
//!                                                  # a prefix there may be names: [{consumer: login, copy: a7-login}]
//! expect: {status: {phase: Ready}}                 # the whole status, or null
//! ---
//! configuration: {image: "example/dump:1"}         # judge spec of a MigrationConfiguration
//! expect: {valid: true}
//! ---
//! migration:                                       # every field has a default
//!   configuration: {image: "example/dump:1"}
//!   old: {provider: provider#a, related: [{key: login, name: from-login}]}
//! old: {spec: {version: "15"}}                     # the two copies
//! new: {spec: {version: "16"}}
//! stage: dump                                      # absent: which stages there are
//! deployed: [{name: job, object: {kind: Job}}]     # present, be it empty: how the stage stands; absent: what it deploys
//! expect: {outcome: waiting, reason: not finished} # or {stages: […]}, {manifests: [{name, body}]}
//! ```
//!
//! Any of them may expect `{error: {kind, message}}`, where `kind` is `invalid-settings`, `invalid-input`, `unsupported`,
//! `internal` or `crashed`. What a list expects is compared in order and number; within a violation, a problem, a stage or an
//! error only the fields that are given count, and a message or a reason is a part of the text. A status and a manifest's
//! body are compared whole.
//!
//! A field of another name is an error, so that a misspelt expectation does not pass for one that was met.

mod answer;
mod case;
mod compare;
mod names;
mod read;
mod run;
pub mod yaml;

pub use answer::{Answer, Failure, FailureKind, Manifest, Problem};
pub use case::{Call, Case, Deployed, Migration};
pub use compare::Difference;
pub use names::{PREFIX, names};
pub use read::ParseError;
pub use run::{Executor, Report, Tried, run};
