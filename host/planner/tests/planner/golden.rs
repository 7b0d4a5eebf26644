//! Plans written down. Each file of `tests/golden` holds cases of one step of the flow:
//!
//! ```text
//! === what the case shows
//! - offers: {nestor/certs: accepts}    a script (see `script`)
//! - settle
//! ---
//! state: ready                         the plan that follows from it
//! nothing to write
//! ```
//!
//! `UPDATE_GOLDEN=1 cargo test -p resource-broker-planner --test planner golden` writes the plans anew; read the
//! difference before it is committed.

use std::{fmt::Write, fs, path::PathBuf};

use resource_broker_planner::{migration::retention, plan, plan::check};

use crate::{configurations, offers, render, script, sweeps};

/// The plan that follows from a script.
fn planned(script: &str) -> String {
    let world = script::run(script);
    let snapshot = world.snapshot();
    let (answers, asked) = world.questioned(&snapshot);
    let plan = plan(&snapshot, &answers).expect("all questions are answered");
    assert_eq!(check::problems(&snapshot, &plan), Vec::<String>::new());
    assert_eq!(world.wrongs, Vec::<String>::new(), "on the way there");
    let asked: String = asked.iter().map(|questions| render::questions(&snapshot, questions)).collect();
    format!("{asked}{}", render::plan(&plan, &snapshot.now))
}

/// What is to be done about the Migration that a script leads to, as history.
fn remembered(script: &str) -> String {
    let world = script::run(script);
    assert_eq!(world.wrongs, Vec::<String>::new(), "on the way there");
    let snapshot = world.history_snapshot();
    render::plan(&retention::plan(&snapshot), &snapshot.now)
}

/// One case of a file.
struct Case<'a> {
    name: &'a str,
    script: &'a str,
    expected: &'a str,
}

fn parse(text: &str) -> (&str, Vec<Case<'_>>) {
    let Some(start) = text.find("=== ") else { return (text, Vec::new()) };
    let (head, rest) = text.split_at(start);
    let cases = rest.split("\n=== ").map(|case| {
        let (name, case) = case.trim_start_matches("=== ").split_once('\n').unwrap_or((case, ""));
        let (script, expected) = case.split_once("\n---").unwrap_or((case, ""));
        Case { name, script, expected: expected.trim() }
    });
    (head, cases.collect())
}

/// Compares every case of a file with what `planned` makes of it.
fn check_file(file: &str, planned: fn(&str) -> String) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (head, cases) = parse(&text);
    assert!(!cases.is_empty(), "{file} holds no case");
    let (mut written, mut wrong) = (head.to_owned(), String::new());
    for Case { name, script, expected } in &cases {
        let actual = planned(script);
        let actual = actual.trim_end();
        let _ = write!(written, "=== {name}\n{}\n---\n{actual}\n\n", script.trim_end());
        if actual != *expected {
            let _ = writeln!(wrong, "\n=== {name}\n{}", difference(expected, actual));
        }
    }
    if is_update() {
        let written = format!("{}\n", written.trim_end());
        fs::write(&path, written).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        return;
    }
    assert!(wrong.is_empty(), "{file}: other plans than written down; UPDATE_GOLDEN=1 writes them anew\n{wrong}");
}

#[expect(clippy::disallowed_methods, reason = "whoever runs the tests asks for it, no plan depends on it")]
fn is_update() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

/// Lines that only one of two texts has, where they are.
fn difference(expected: &str, actual: &str) -> String {
    let (expected, actual): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), actual.lines().collect());
    let mut lines = Vec::new();
    let mut next = 0;
    for line in &expected {
        let Some(skipped) = actual[next..].iter().position(|other| other == line) else {
            lines.push(format!("- {line}"));
            continue;
        };
        lines.extend(actual[next..next + skipped].iter().map(|other| format!("+ {other}")));
        lines.push(format!("  {line}"));
        next += skipped + 1;
    }
    lines.extend(actual[next..].iter().map(|other| format!("+ {other}")));
    lines.join("\n")
}

/// A test for each file, so that one step can be looked at alone.
macro_rules! golden {
    ($($name:ident: $planned:path),* $(,)?) => {
        $(#[test]
        fn $name() {
            check_file(concat!(stringify!($name), ".txt"), $planned);
        })*

        #[test]
        fn every_file_is_read() {
            let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
            let mut files: Vec<String> = fs::read_dir(&folder)
                .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
                .map(|entry| entry.expect("a folder that can be read").file_name().to_string_lossy().into_owned())
                .collect();
            files.sort_unstable();
            let mut read = vec![$(concat!(stringify!($name), ".txt")),*];
            read.sort_unstable();
            assert_eq!(files, read);
        }
    };
}

golden! {
    route: planned,
    takeover: planned,
    ownership: planned,
    copy: planned,
    hold: planned,
    status: planned,
    related: planned,
    delete: planned,
    failure: planned,
    offer: offers::planned,
    places: planned,
    references: planned,
    sweep: sweeps::planned,
    churn: planned,
    leave: planned,
    migrate: planned,
    stages: planned,
    history: remembered,
    configuration: configurations::planned,
}
