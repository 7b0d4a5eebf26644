//! `plugin new`: a project that builds, with an example for each role that it takes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use super::manifest::RoleArg;
use super::usage;
use crate::output;

/// The SDK's files, by their paths in a project's `sdk` folder.
const SDK: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/sdk.rs"));
/// Names that cargo refuses, or that a dependency has.
const TAKEN: [&str; 13] = [
    "alloc",
    "build",
    "core",
    "deps",
    "examples",
    "incremental",
    "proc-macro",
    "resource-broker-plugin-cases",
    "resource-broker-sdk",
    "serde",
    "serde-json",
    "std",
    "test",
];
/// What Rust itself uses, as far as it is written like a crate's name.
const KEYWORDS: [&str; 51] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod",
    "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct", "super", "trait", "true",
    "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];
/// The longest name: it is a Plugin's, too.
const MAX_NAME: usize = 63;

/// Writes a project: a small, real example for each role, cases that run natively and in the sandbox, and the SDK beside
/// it, which is on no registry. It builds and its tests pass as it is.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Example:\n  resource-broker plugin new my-plugin --role accept-filter,status-transformer\n  cd my-plugin\n  \
                  cargo test\n  resource-broker plugin build"
)]
pub(super) struct NewArgs {
    /// The plugin's name, or a path that ends in it: small letters, digits and dashes
    #[arg(value_name = "NAME")]
    path: PathBuf,
    /// The roles that it takes
    #[arg(long, value_name = "ROLE", value_delimiter = ',', default_value = "accept-filter,status-transformer")]
    role: Vec<RoleArg>,
    /// A checkout of the SDK to build against [default: a copy of it is written into the project]
    #[arg(long, value_name = "PATH")]
    sdk: Option<PathBuf>,
}

/// Writes the project and says what comes next.
pub(super) fn run(args: &NewArgs) -> Result<ExitCode> {
    let name = args.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    check_name(name)?;
    let sdk = args.sdk.as_deref().map(checkout).transpose()?;
    require_empty(&args.path)?;
    let project = Project { name, roles: &args.role, sdk: sdk.as_deref() };
    for (path, text) in project.files() {
        write(&args.path.join(path), &text)?;
    }
    if sdk.is_none() {
        for (path, text) in SDK {
            write(&args.path.join("sdk").join(path), text)?;
        }
    }
    let (place, word) = (args.path.display(), shell_word(&args.path));
    output::write(&format!(
        "{place} is a plugin's project. Next:\n  cd {word}\n  cargo test                     # natively\n  \
         resource-broker plugin build   # for the broker\nIts README.md says how it goes on.\n"
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn check_name(name: &str) -> Result<()> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_name = (1..=MAX_NAME).contains(&name.len())
        && name.chars().all(is_part)
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-');
    if !is_name {
        return usage(format!(
            "{name:?} cannot be a plugin's name: it begins with a small letter and has small letters, digits and dashes, \
             at most {MAX_NAME}"
        ));
    }
    if TAKEN.contains(&name) || KEYWORDS.contains(&name) {
        return usage(format!("{name:?} cannot be a plugin's name: Rust or a dependency has it; take another"));
    }
    Ok(())
}

/// The folder of the SDK's package in a checkout: of the whole repository, or of the package itself.
fn checkout(path: &Path) -> Result<PathBuf> {
    for folder in [path.join("guest-sdk"), path.to_owned()] {
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        if manifest.contains("name = \"resource-broker-sdk\"") {
            return folder.canonicalize().with_context(|| format!("{} cannot be read", folder.display()));
        }
    }
    bail!("--sdk {}: no checkout of the SDK: there is neither guest-sdk/Cargo.toml nor the SDK's own", path.display())
}

fn require_empty(folder: &Path) -> Result<()> {
    match fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("{} cannot be made", folder.display())),
        Ok(true) => Ok(()),
        Ok(false) => bail!("{} exists and is not empty: choose another name, or remove it", folder.display()),
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(path, text));
    written.with_context(|| format!("{} cannot be written", path.display()))
}

/// What is written beside the SDK.
struct Project<'a> {
    name: &'a str,
    roles: &'a [RoleArg],
    /// The SDK's package, if it is not a copy.
    sdk: Option<&'a Path>,
}

impl Project<'_> {
    /// Paths within the project, and texts.
    fn files(&self) -> Vec<(&'static str, String)> {
        let mut files = vec![
            ("Cargo.toml", self.fill(include_str!("templates/Cargo.toml.in"))),
            (".gitignore", "/target\n".to_owned()),
            ("README.md", self.fill(include_str!("templates/README.md.in"))),
            ("src/lib.rs", self.fill(include_str!("templates/lib.rs.in"))),
            ("src/settings.schema.json", self.fill(include_str!("templates/settings.schema.json.in"))),
            ("tests/cases.rs", self.fill(include_str!("templates/cases.rs.in"))),
        ];
        for example in self.examples() {
            files.extend(example.files.iter().map(|(path, text)| (*path, self.fill(text))));
        }
        files
    }

    fn examples(&self) -> impl Iterator<Item = &'static Example> {
        EXAMPLES.iter().filter(|example| self.roles.contains(&example.role))
    }

    /// A template with this project's words in it.
    fn fill(&self, template: &str) -> String {
        let join = |word: fn(&Example) -> &str, between| self.examples().map(word).collect::<Vec<_>>().join(between);
        let sdk = self.sdk.map_or("sdk/guest-sdk".to_owned(), |path| path.display().to_string());
        template
            .replace("@MODULES@", &join(|example| example.module, "\n"))
            .replace("@TRAITS@", &join(|example| example.role_trait, ", "))
            .replace("@HARNESS@", &join(|example| example.harness, "\n"))
            .replace("@SETTINGS@", &join(|example| example.setting, "\n"))
            .replace("@SCHEMA@", &join(|example| example.schema, ",\n"))
            .replace("@WHAT@", &join(|example| example.what, "\n"))
            .replace("@DOCS@", &join(|example| example.setting_documented, "\n"))
            .replace("@TRY@", &join(|example| example.attempt, "\n"))
            .replace("@NAME@", self.name)
            .replace("@CRATE@", &self.name.replace('-', "_"))
            .replace("@TYPE@", &type_name(self.name))
            .replace("@SDK@", &sdk.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

/// `my-plugin` as a type: `MyPlugin`. One that has a type's name already is told apart: `filter` is `FilterPlugin`.
fn type_name(name: &str) -> String {
    let capital = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_ascii_uppercase() + rest
    };
    let plain: String = name.split('-').map(capital).collect();
    if is_in_templates(&plain) { plain + "Plugin" } else { plain }
}

/// Whether a word stands in the code of any project.
fn is_in_templates(name: &str) -> bool {
    let code = |example: &Example| {
        let files = example.files.iter().filter(|(path, _)| Path::new(path).extension().is_some_and(|e| e == "rs"));
        files.map(|(_, text)| *text).chain([example.setting, example.role_trait]).collect::<Vec<_>>()
    };
    let shared = [include_str!("templates/lib.rs.in"), include_str!("templates/cases.rs.in")];
    let mut texts = shared.into_iter().chain(EXAMPLES.iter().flat_map(code));
    texts.any(|text| text.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == name))
}

/// A path as a word of a shell.
fn shell_word(path: &Path) -> String {
    let path = path.display().to_string();
    if path.chars().all(|c| c.is_ascii_alphanumeric() || "-_./+=@:,".contains(c)) {
        return path;
    }
    format!("'{}'", path.replace('\'', r"'\''"))
}

/// The example of one role: what it adds to the files that all projects have, and files of its own.
struct Example {
    role: RoleArg,
    /// Its module's declaration.
    module: &'static str,
    /// The SDK's trait.
    role_trait: &'static str,
    /// How the native harness is told.
    harness: &'static str,
    /// Its field of the settings, that field's schema, and what the README says of it.
    setting: &'static str,
    schema: &'static str,
    setting_documented: &'static str,
    /// One item for the README's list.
    what: &'static str,
    /// A command for the README.
    attempt: &'static str,
    files: &'static [(&'static str, &'static str)],
}

/// By name, as rustfmt wants their modules.
const EXAMPLES: [Example; 3] = [
    Example {
        role: RoleArg::AcceptFilter,
        module: "mod accept_filter;",
        role_trait: "AcceptFilter",
        harness: "    let harness = harness.accept_filter();",
        setting: "    /// The most memory that any provider may take.\n    \
                  pub largest: Option<resource_broker_sdk::quantity::Quantity>,",
        schema: r#"    "largest": {"type": "string", "description": "The most memory that any provider may take, as in 64Gi."}"#,
        setting_documented: "- `largest`: the most memory that any provider may take, whatever it offers.",
        what: "- Which offers take an object (`src/accept_filter.rs`): a filter may say `with: {atMost: 16Gi}`.",
        attempt: "resource-broker plugin run target/wasm32-wasip2/release/@CRATE@.wasm \\\n    \
                  --object examples/vm.yaml --accept-api examples/nestor.yaml",
        files: &[
            ("src/accept_filter.rs", include_str!("templates/accept_filter.rs.in")),
            ("cases/accept_filter.yaml", include_str!("templates/accept_filter.yaml.in")),
            ("examples/vm.yaml", include_str!("templates/vm.yaml.in")),
            ("examples/nestor.yaml", include_str!("templates/nestor.yaml.in")),
        ],
    },
    Example {
        role: RoleArg::MigrationTemplate,
        module: "mod migration_template;",
        role_trait: "MigrationTemplate",
        harness: "    let harness = harness.migration_template();",
        setting: "    /// The image of the Job that copies.\n    pub image: Option<String>,",
        schema: r#"    "image": {"type": "string", "description": "The image of the Job that copies."}"#,
        setting_documented: "- `image`: the image of the Job that copies.",
        what: "- How an object moves from one provider to another (`src/migration_template.rs`): a Job copies.",
        attempt: "resource-broker plugin run target/wasm32-wasip2/release/@CRATE@.wasm \\\n    \
                  --migration-configuration examples/move.yaml --from-copy examples/homer-copy.yaml \\\n    \
                  --to-copy examples/nestor-copy.yaml --stage copy",
        files: &[
            ("src/migration_template.rs", include_str!("templates/migration_template.rs.in")),
            ("cases/migration_template.yaml", include_str!("templates/migration_template.yaml.in")),
            ("examples/move.yaml", include_str!("templates/move.yaml.in")),
            ("examples/homer-copy.yaml", include_str!("templates/homer-copy.yaml.in")),
            ("examples/nestor-copy.yaml", include_str!("templates/nestor-copy.yaml.in")),
        ],
    },
    Example {
        role: RoleArg::StatusTransformer,
        module: "mod status_transformer;",
        role_trait: "StatusTransformer",
        harness: "    let harness = harness.status_transformer();",
        setting: "    /// The fields of the status that consumers do not see.\n    pub hide: Vec<String>,",
        schema: r#"    "hide": {"type": "array", "items": {"type": "string"}, "description": "The fields of the status that consumers do not see."}"#,
        setting_documented: "- `hide`: the fields of the status that consumers do not see.",
        what: "- How the provider's status is shown to the consumer (`src/status_transformer.rs`): without hidden fields.",
        attempt: "resource-broker plugin run target/wasm32-wasip2/release/@CRATE@.wasm --copy examples/copy.yaml",
        files: &[
            ("src/status_transformer.rs", include_str!("templates/status_transformer.rs.in")),
            ("cases/status_transformer.yaml", include_str!("templates/status_transformer.yaml.in")),
            ("examples/copy.yaml", include_str!("templates/copy.yaml.in")),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [RoleArg; 3] = [RoleArg::AcceptFilter, RoleArg::StatusTransformer, RoleArg::MigrationTemplate];

    #[test]
    fn nothing_is_left_to_fill_in_for_any_choice_of_roles() {
        for chosen in 1..1 << ALL.len() {
            let roles: Vec<RoleArg> = (0..ALL.len()).filter(|bit| chosen & 1 << bit != 0).map(|bit| ALL[bit]).collect();
            let project = Project { name: "my-plugin", roles: &roles, sdk: Some(Path::new("/a \"b\"")) };
            let files = project.files();
            for (path, text) in &files {
                assert!(!text.contains('@'), "{path}: {text}");
                assert!(text.ends_with('\n') && !text.contains("\n\n\n"), "{path}: {text}");
            }
            let lib = &files.iter().find(|(path, _)| *path == "src/lib.rs").unwrap().1;
            for role in ALL {
                let written = lib.contains(&format!("mod {};", role.role().name().replace('-', "_")));
                assert_eq!(written, roles.contains(&role), "{lib}");
            }
            let schema = &files.iter().find(|(path, _)| *path == "src/settings.schema.json").unwrap().1;
            serde_json::from_str::<serde_json::Value>(schema).unwrap();
        }
    }

    #[test]
    fn the_sdk_is_a_workspace_of_its_own() {
        let file = |name: &str| SDK.iter().find(|(path, _)| *path == name).map(|(_, text)| *text);
        let manifest = file("Cargo.toml").unwrap();
        assert!(manifest.contains("\"guest-sdk\"") && manifest.contains("[workspace.dependencies"), "{manifest}");
        assert!(!manifest.contains("wasmtime") && !manifest.contains("path = \"host"), "{manifest}");
        assert!(file("guest-sdk/src/lib.rs").is_some() && file("wit/plugin.wit").is_some());
    }

    #[test]
    fn names_that_cannot_be_a_crates_or_a_plugins_are_refused() {
        for name in ["db", "my-plugin", "a1-2"] {
            check_name(name).unwrap();
        }
        for name in ["", "-a", "a-", "1a", "My", "a_b", "a.b", "test", "match", "serde", &"a".repeat(64)] {
            assert!(check_name(name).unwrap_err().is::<crate::plugin::Usage>(), "{name}");
        }
        assert_eq!(type_name("my-db2-plugin"), "MyDb2Plugin");
    }

    #[test]
    fn a_type_has_no_name_that_the_project_uses() {
        for (name, expected) in [("filter", "FilterPlugin"), ("settings", "SettingsPlugin"), ("databases", "Databases")]
        {
            assert_eq!(type_name(name), expected);
        }
        for used in ["plugin", "error", "value", "map", "stage", "option", "result", "vec", "some", "accept-filter"] {
            let name = type_name(used);
            assert!(name.ends_with("Plugin") && !is_in_templates(&name), "{used} is {name}");
        }
    }

    #[test]
    fn a_path_can_be_copied_into_a_shell() {
        assert_eq!(shell_word(Path::new("../a/my-plugin")), "../a/my-plugin");
        assert_eq!(shell_word(Path::new("it's mine/a")), r"'it'\''s mine/a'");
    }
}
