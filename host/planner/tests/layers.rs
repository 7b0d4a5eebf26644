//! Which of the planner's files may import which: the folders are layers. In the planner, the sandbox and the command line no
//! files import each other in a circle.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

/// The layers from the lowest to the highest. A file may import what is in its own layer and in lower ones.
const LAYERS: [&str; 10] =
    ["model", "plan", "offers", "configurations", "placement", "sync", "migration", "relocation", "deletion", "lib"];

/// What each module imports of the others, by path: `sync::copy`.
type Imports = BTreeMap<String, BTreeSet<String>>;

fn layer(module: &str) -> &str {
    module.split("::").next().unwrap_or(module)
}

/// The text of every source file below `folder`, by module.
fn sources(folder: &Path, prefix: &str, found: &mut BTreeMap<String, String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        let module = if prefix.is_empty() { name.clone() } else { format!("{prefix}::{name}") };
        if path.is_dir() {
            sources(&path, &module, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let module = if name == "mod" { prefix.to_owned() } else { module };
            found.insert(module, fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

/// Every path that begins with `crate::` in a source text, in or outside of `use`, with `{…}` written out.
fn paths(source: &str) -> Vec<String> {
    let code: String =
        source.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join(" ");
    let starts = code.match_indices("crate::").map(|(at, start)| at + start.len());
    starts.flat_map(|at| tree(&code[at..]).0).collect()
}

/// The paths of the import tree that a text begins with, and how long it is.
fn tree(text: &str) -> (Vec<String>, usize) {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let length = text.find(|c| !is_part(c)).unwrap_or(text.len());
    let head = &text[..length];
    if !(head.is_empty() || head.ends_with("::")) || !text[length..].starts_with('{') {
        return (vec![head.trim_end_matches("::self").to_owned()], length);
    }
    let (mut all, mut at) = (Vec::new(), length + 1);
    while let Some(next) = text[at..].find(|c: char| !c.is_whitespace() && c != ',').map(|skip| at + skip) {
        if text[next..].starts_with('}') {
            return (all, next + 1);
        }
        let (below, length) = tree(&text[next..]);
        if length == 0 {
            break;
        }
        let join = |path: String| {
            if path == "self" { head.trim_end_matches("::").to_owned() } else { head.to_owned() + &path }
        };
        all.extend(below.into_iter().map(join));
        at = next + length;
    }
    (all, text.len())
}

fn imports(sources: &BTreeMap<String, String>) -> Imports {
    let module_of = |path: &str| {
        let parts: Vec<&str> = path.split("::").collect();
        let longest = (1..=parts.len()).rev().map(|count| parts[..count].join("::"));
        longest.into_iter().find(|module| sources.contains_key(module)).unwrap_or_else(|| "lib".into())
    };
    let of = |(module, source): (&String, &String)| {
        let used = paths(source).iter().map(|path| module_of(path)).filter(|used| used != module).collect();
        (module.clone(), used)
    };
    sources.iter().map(of).collect()
}

/// The imports that go upward, each as a sentence.
fn upward(imports: &Imports) -> Vec<String> {
    let place = |module: &str| LAYERS.iter().position(|it| *it == layer(module));
    let mut wrong = Vec::new();
    for (module, used) in imports {
        let Some(here) = place(module) else {
            wrong.push(format!("{module} is in no layer: LAYERS needs a line for {}", layer(module)));
            continue;
        };
        let above = used.iter().filter(|used| place(used).is_some_and(|there| there > here));
        wrong.extend(above.map(|used| format!("{module} imports {used}, which is above it")));
    }
    wrong
}

/// The modules that import each other in a circle, and whatever only leads from one circle to another.
fn circles(imports: &Imports) -> BTreeSet<String> {
    let mut left = imports.clone();
    loop {
        let used: BTreeSet<&String> = left.values().flatten().collect();
        let ends: Vec<String> = left
            .iter()
            .filter(|(module, uses)| !used.contains(module) || uses.iter().all(|used| !left.contains_key(used)))
            .map(|(module, _)| module.clone())
            .collect();
        if ends.is_empty() {
            return left.into_keys().collect();
        }
        left.retain(|module, _| !ends.contains(module));
    }
}

#[test]
fn imports_go_downward_and_in_no_circle() -> io::Result<()> {
    let mut found = BTreeMap::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut found)?;
    let imports = imports(&found);
    let all: usize = imports.values().map(BTreeSet::len).sum();
    assert!(all > 100, "only {all} imports were found");
    let wrong = upward(&imports);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let circles = circles(&imports);
    assert!(circles.is_empty(), "these import each other in a circle: {circles:?}");
    Ok(())
}

#[test]
fn sandbox_and_command_line_have_no_circle() -> io::Result<()> {
    for folder in ["sandbox", "cli"] {
        let mut found = BTreeMap::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder).join("src"), "", &mut found)?;
        let imports = imports(&found);
        assert!(imports.len() > 20, "{folder} has only {} files", imports.len());
        let circles = circles(&imports);
        assert!(circles.is_empty(), "in {folder} these import each other in a circle: {circles:?}");
    }
    Ok(())
}

#[test]
fn a_wrong_import_is_named() {
    let source = "use crate::{\n    model::{self, key::{Key, Target}}, // crate::deletion\n    plan,\n};\nfn f() { crate::sync::copy::made() }";
    assert_eq!(paths(source), ["model", "model::key::Key", "model::key::Target", "plan", "sync::copy::made"]);
    let text = |modules: &[(&str, &str)]| -> BTreeMap<String, String> {
        modules.iter().map(|(module, source)| ((*module).to_owned(), (*source).to_owned())).collect()
    };
    let house = imports(&text(&[
        ("model", ""),
        ("model::key", "use crate::sync::copy;"),
        ("sync", ""),
        ("sync::copy", "use crate::model::key::Key; use crate::sync::marks;"),
        ("sync::marks", ""),
        ("attic", "use crate::sync::marks;"),
    ]));
    assert_eq!(
        upward(&house),
        ["attic is in no layer: LAYERS needs a line for attic", "model::key imports sync::copy, which is above it"]
    );
    assert_eq!(circles(&house), ["model::key".to_owned(), "sync::copy".to_owned()].into());
}
