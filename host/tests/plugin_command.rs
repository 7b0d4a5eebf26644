//! `resource-broker plugin` as its users run it: exit codes, what is printed where, and the way from `new` to `manifest`.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

const ROLES: &str = "accept-filter,status-transformer,migration-template";

/// What came of a command.
struct Outcome {
    code: i32,
    out: String,
    err: String,
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Outcome {
    /// Asserts the exit code and parts of both streams together.
    #[track_caller]
    fn is(self, code: i32, parts: &[&str]) -> Self {
        let Self { code: found, out, err } = &self;
        let missing: Vec<_> = parts.iter().filter(|part| !out.contains(**part) && !err.contains(**part)).collect();
        assert!(*found == code && missing.is_empty(), "code {found}, without {missing:?}\nOUT:\n{out}\nERR:\n{err}");
        self
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap()
    }
}

fn command(line: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_resource-broker"));
    command.arg("plugin").args(line);
    command
}

fn plugin(line: &[&str]) -> Outcome {
    command(line).output().unwrap().into()
}

fn plugin_in(folder: &Path, line: &[&str]) -> Outcome {
    command(line).current_dir(folder).output().unwrap().into()
}

/// With standard input.
fn plugin_with(input: &[u8], line: &[&str]) -> Outcome {
    let mut child = command(line).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap().into()
}

/// Below cargo's target directory, so that what was built is there the next time.
fn cached(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugin-command").join(name)
}

/// A new project with every role, and its component.
struct Sample {
    project: PathBuf,
    component: String,
    built: Outcome,
}

static SAMPLE: LazyLock<Sample> = LazyLock::new(|| {
    let project = cached("sample");
    if project.exists() {
        fs::remove_dir_all(&project).unwrap();
    }
    let path = project.to_str().unwrap();
    plugin(&["new", path, "--role", ROLES]).is(0, &["cargo test", "plugin build"]);
    // Not where cargo puts it: there it is another file after each build.
    let (target, component) = (cached("target"), cached("sample.wasm").to_str().unwrap().to_owned());
    let built = plugin(&["build", path, "--target-dir", target.to_str().unwrap(), "--output", &component]);
    Sample { project, component, built }
});

fn component() -> &'static str {
    &SAMPLE.component
}

/// A file below a new folder, which is there as long as the first value.
fn file(name: &str, text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn a_new_project_passes_its_tests_and_becomes_what_kubectl_applies() {
    let Sample { project, component, built } = &*SAMPLE;
    assert_eq!(built.code, 0, "{}{}", built.out, built.err);
    for part in ["sample 0.1.0", &ROLES.replace(',', ", "), "fits one ConfigMap", "largest"] {
        assert!(built.out.contains(part), "{part} is not in\n{}", built.out);
    }
    let native = Command::new(env!("CARGO"))
        .args(["test", "--quiet", "--target-dir"])
        .arg(cached("target"))
        .current_dir(project)
        .output()
        .unwrap();
    Outcome::from(native).is(0, &["1 passed"]);
    let format = Command::new(env!("CARGO")).args(["fmt", "--check"]).current_dir(project).output().unwrap();
    Outcome::from(format).is(0, &[]);
    plugin_in(project, &["test", component, "cases"]).is(0, &["... ok", "result: ok.", "0 failed"]);
    plugin(&["manifest", component, "--api", "vms.example.platform-mesh.io"]).is(0, &["kind: Plugin", "name: sample"]);
}

#[test]
fn a_component_goes_where_cargo_puts_it_unless_told_otherwise() {
    let (project, target) = (SAMPLE.project.to_str().unwrap(), cached("target"));
    let place = target.join("wasm32-wasip2/release/sample.wasm");
    plugin(&["build", project, "--target-dir", target.to_str().unwrap()]).is(0, &[place.to_str().unwrap()]);
    assert!(fs::read(&place).unwrap() == fs::read(component()).unwrap(), "stripped in place as well");
    let folder = tempfile::tempdir().unwrap();
    plugin(&["build", folder.path().to_str().unwrap()]).is(1, &["Cargo.toml cannot be read", "plugin new"]);
}

#[test]
fn what_builds_no_component_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = "[package]\nname = \"plain\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";
    fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
    fs::create_dir(folder.path().join("src")).unwrap();
    fs::write(folder.path().join("src/lib.rs"), "").unwrap();
    plugin(&["build", folder.path().to_str().unwrap()]).is(1, &["builds no component", "crate-type"]);
    fs::write(folder.path().join("src/lib.rs"), "fn broken(").unwrap();
    plugin(&["build", folder.path().to_str().unwrap()]).is(1, &["unclosed delimiter", "cargo build failed"]);
}

#[test]
fn a_project_is_made_once_and_under_a_name_that_works() {
    let folder = tempfile::tempdir().unwrap();
    plugin_in(folder.path(), &["new", "mine", "--role", "accept-filter"]).is(0, &["cd mine"]);
    let project = folder.path().join("mine");
    for file in ["Cargo.toml", "src/accept_filter.rs", "cases/accept_filter.yaml", "README.md", ".gitignore"] {
        assert!(project.join(file).is_file(), "{file}");
    }
    assert!(project.join("sdk/guest-sdk/src/lib.rs").is_file() && project.join("sdk/wit/plugin.wit").is_file());
    assert!(!project.join("src/status_transformer.rs").exists(), "a role that was not asked for");
    plugin_in(folder.path(), &["new", "mine"]).is(1, &["mine exists and is not empty"]);
    plugin_in(folder.path(), &["new", "Mine"]).is(2, &["small letters"]);
    plugin_in(folder.path(), &["new", "match"]).is(2, &["take another"]);
    plugin_in(folder.path(), &["new", "other", "--role", "filter"]).is(2, &["accept-filter"]);
    plugin_in(folder.path(), &["new", "other", "--sdk", "mine"]).is(1, &["no checkout of the SDK"]);
    assert!(!folder.path().join("other").exists(), "nothing is written before everything is known to be well");

    plugin_in(folder.path(), &["new", "other", "--sdk", "mine/sdk"]).is(0, &[]);
    let manifest = fs::read_to_string(folder.path().join("other/Cargo.toml")).unwrap();
    assert!(manifest.contains("mine/sdk/guest-sdk\""), "{manifest}");
    assert!(!folder.path().join("other/sdk").exists());
}

#[test]
fn command_lines_that_make_no_sense_are_one_line_and_exit_code_2() {
    for (line, parts) in [
        (&["chek"][..], &["unrecognized subcommand 'chek'"][..]),
        (&["check"], &["<FILE>"]),
        (&["check", "x", "--colour"], &["--colour", "resource-broker plugin check --help"]),
        (&["check", "x", "-o", "xml"], &["xml", "json", "yaml"]),
        (&["check", "x", "--limits", "cpu=1"], &["memory, timeout and output"]),
        (&["run", "x"], &["nothing is asked", "--accept-api", "--copy"]),
        (&["run", "x", "--object", "o"], &["--accept-api"]),
        (&["run", "x", "--copy", "c", "--accept-api", "a"], &["cannot be used with"]),
        (&["run", "x", "--migration-configuration", "m", "--stage", "s"], &["--from-copy"]),
        (&["test", "x"], &["<CASES>"]),
        (&["manifest", "x"], &["--api"]),
        (&["manifest", "x", "--api", "VMs"], &["RESOURCE.GROUP"]),
        (&["manifest", "-", "--settings", "-", "--api", "vms"], &["cannot both be read"]),
        (&["bench", "x", "--seconds", "0"], &["0.01 to 600"]),
    ] {
        let outcome = plugin(line).is(2, parts);
        assert_eq!(outcome.err.lines().count(), 1, "{line:?}: {}", outcome.err);
        assert!(outcome.out.is_empty(), "{line:?}: {}", outcome.out);
    }
}

#[test]
fn every_command_explains_itself_with_an_example() {
    let all = plugin(&["--help"]).is(0, &["Write a new plugin's project"]);
    assert_eq!(plugin(&[]).is(0, &[]).out, all.out, "who says nothing is asking");
    assert!(!all.out.contains("probe"), "that is for the broker alone");
    for command in ["new", "build", "check", "run", "test", "manifest", "bench"] {
        assert!(all.out.contains(&format!("\n  {command} ")), "{command} is not in\n{}", all.out);
        plugin(&[command, "--help"]).is(0, &["Example", &format!("resource-broker plugin {command} ")]);
    }
}

#[test]
fn check_says_what_a_component_is() {
    let outcome = plugin(&["check", component(), "-o", "json"]).is(0, &[]);
    let checked = outcome.json();
    assert_eq!(checked["name"], "sample");
    assert_eq!(checked["roles"].as_array().unwrap().len(), 3);
    assert_eq!(checked["sha256"], sha256(&fs::read(component()).unwrap()));
    assert_eq!(checked["size"], fs::metadata(component()).unwrap().len());
    assert_eq!(checked["settingsSchema"]["properties"]["hide"]["type"], "array");
    assert!(checked["imports"].as_array().unwrap().contains(&"resource-broker:plugin/host@0.2.0".into()));
    assert!(checked["compressedSize"].as_u64().unwrap() < checked["size"].as_u64().unwrap());
    plugin(&["check", component(), "-o", "yaml"]).is(0, &["name: sample", "loadable: true"]);
    plugin_with(&fs::read(component()).unwrap(), &["check", "-"]).is(0, &["standard input", "sample 0.1.0"]);
}

#[test]
fn check_says_exactly_why_a_component_cannot_be_loaded() {
    let (_folder, garbage) = file("x.wasm", "no component");
    plugin(&["check", &garbage]).is(1, &["plugin check: ", "x.wasm: ", "not a WebAssembly component"]);
    let outcome = plugin(&["check", &garbage, "-o", "json"]).is(1, &[]);
    assert_eq!(outcome.json()["error"]["category"], "not-a-component");
    assert_eq!(outcome.json()["loadable"], false);
    plugin_with(b"\0asm\x01\0\0\0", &["check", "-"]).is(1, &["standard input: ", "core WebAssembly module"]);
    plugin(&["check", "/nowhere/x.wasm"]).is(1, &["/nowhere/x.wasm cannot be read", "No such file"]);
    let (_folder, settings) = file("settings.yaml", "hide: 7\n");
    plugin(&["check", component(), "--settings", &settings]).is(1, &["refuses its configuration", "hide"]);
    plugin(&["check", component(), "--limits", "memory=9999Mi"]).is(1, &["memory", "more than"]);
}

#[test]
fn run_shows_which_offers_take_an_object() {
    let offers = "apiVersion: v1\nkind: List\nitems:\n".to_owned()
        + &[("small", "4Gi"), ("large", "16Gi")].map(|(name, most)| {
            format!(
                "- kind: AcceptAPI\n  apiVersion: broker.platform-mesh.io/v1alpha1\n  metadata: {{name: {name}}}\n  spec:\n    \
                 gvr: {{group: example.platform-mesh.io, version: v1alpha1, resource: vms}}\n    \
                 filters: [{{key: memory, with: {{atMost: {most}}}}}]\n"
            )
        })
        .concat();
    let (_folder, offers) = file("nestor.yaml", &offers);
    let object = SAMPLE.project.join("examples/vm.yaml").to_str().unwrap().to_owned();
    let line = ["run", component(), "--object", &object, "--accept-api", &offers];
    plugin(&line).is(
        0,
        &["provider#nestor default/small: refused", "memory, atMost: ", "default/large: accepted", "time ", "memory "],
    );
    let outcome = plugin(&[&line[..], &["-o", "json"]].concat()).is(0, &[]);
    let answered = outcome.json();
    assert_eq!(answered["answer"][0]["violations"][0]["found"], "10240");
    assert_eq!(answered["answer"][1]["verdict"], "accepted");
    assert!(answered["timeMicroseconds"].is_u64() && answered["memoryBytes"].as_u64().unwrap() > 0);
    let (_folder, settings) = file("settings.json", r#"{"largest": "1Gi"}"#);
    plugin(&[&line[..], &["--settings", &settings]].concat()).is(0, &["default/large: refused", "1Gi"]);
    // Offers alone are validated.
    plugin(&["run", component(), "--accept-api", &offers]).is(0, &["default/small: valid", "default/large: valid"]);
}

#[test]
fn run_shows_status_and_migration() {
    let example = |name: &str| SAMPLE.project.join("examples").join(name).to_str().unwrap().to_owned();
    let (copy, configuration) = (example("copy.yaml"), example("move.yaml"));
    plugin(&["run", component(), "--copy", &copy, "--consumer-namespace", "shop"])
        .is(0, &["name: login", "namespace: shop"]);
    let migration = ["run", component(), "--migration-configuration", &configuration];
    plugin(&migration).is(0, &["the configuration: valid"]);
    let (from, to) = (example("homer-copy.yaml"), example("nestor-copy.yaml"));
    let copies = [&migration[..], &["--from-copy", &from, "--to-copy", &to]].concat();
    plugin(&copies).is(0, &["copy: timeout 3600 s, 3 retries, progress"]);
    let stage = [&copies[..], &["--stage", "copy"]].concat();
    plugin(&stage).is(0, &["kind: Job"]);
    let (_folder, deployed) = file("deployed.yaml", "[]");
    plugin(&[&stage[..], &["--deployed", &deployed]].concat()).is(0, &["ready"]);
    let job =
        "- {name: copy, object: {kind: Job, status: {conditions: [{type: Failed, status: 'True', message: full}]}}}";
    let (_folder, deployed) = file("deployed.yaml", job);
    plugin(&[&stage[..], &["--deployed", &deployed]].concat()).is(0, &["failed: ", "full"]);
    // No answer is a failure, and scripts see it too.
    let unknown = [&copies[..], &["--stage", "paste", "-o", "json"]].concat();
    let outcome = plugin(&unknown).is(1, &["does not support", "paste"]);
    assert_eq!(outcome.json()["error"]["category"], "unsupported");
}

#[test]
fn files_that_do_not_fit_are_named_with_document_and_field() {
    let object = SAMPLE.project.join("examples/vm.yaml").to_str().unwrap().to_owned();
    for (text, parts) in [
        ("a: [", &["document 1 is neither YAML nor JSON"][..]),
        ("kind: AcceptAPI\nspec: {}\n", &["spec", "gvr"]),
        (
            "kind: AcceptAPI\nspec: {gvr: {group: g, version: v1, resource: r}}\n---\nkind: AcceptAPI\nspec: {gvr: {group: g, \
             version: v1, resource: r}, filters: [{key: 7}]}\n",
            &["document 2: spec.filters[0].key: ", "string"],
        ),
        ("kind: Secret\n", &["kind is not AcceptAPI"]),
        ("", &["is empty"]),
    ] {
        let (_folder, offers) = file("offers.yaml", text);
        let line = ["run", component(), "--object", &object, "--accept-api", &offers];
        plugin(&line).is(1, &[&["plugin run: ", "offers.yaml"], parts].concat());
    }
    let (_folder, no_object) = file("o.yaml", "spec: {}\n");
    plugin(&["run", component(), "--copy", &no_object]).is(1, &["o.yaml: apiVersion is missing"]);
}

#[test]
fn test_shows_what_differs_and_counts() {
    let case = "name: two\ncopy: {status: {a: 1}}\nexpect: {status: {a: 2}}\n";
    let (folder, cases) = file("cases.yaml", &format!("name: one\ncopy: {{}}\nexpect: {{status: null}}\n---\n{case}"));
    plugin(&["test", component(), &cases]).is(
        1,
        &["running 2 cases", "one ... ok", "two ... FAILED", "expected", "found", "1 passed; 1 failed; 0 filtered out"],
    );
    let outcome = plugin(&["test", component(), &cases, "-o", "json"]).is(1, &[]);
    let summary = outcome.json();
    assert_eq!((&summary["passed"], &summary["failed"]), (&1.into(), &1.into()));
    assert!(!summary["cases"][1]["differences"].as_array().unwrap().is_empty());
    plugin(&["test", component(), &cases, "--filter", "one"]).is(0, &["1 passed; 0 failed; 1 filtered out"]);
    plugin(&["test", component(), &cases, "--filter", "none"]).is(1, &["none of the 2 cases"]);
    // Settings from the command line are for cases that bring none.
    let (_other, settings) = file("settings.yaml", "hide: [a]\n");
    plugin(&["test", component(), &cases, "--settings", &settings]).is(1, &["two ... FAILED"]);

    fs::write(&cases, "copy: {}\nexpect: {stauts: null}\n").unwrap();
    plugin(&["test", component(), &cases]).is(1, &["cases.yaml, document 1", "stauts"]);
    fs::remove_file(&cases).unwrap();
    plugin(&["test", component(), folder.path().to_str().unwrap()]).is(1, &["no "]);
}

#[test]
fn a_manifest_carries_the_component_and_says_what_it_is() {
    let (_folder, settings) = file("settings.yaml", "hide: [node]\n");
    let line = [
        "manifest",
        component(),
        "--name",
        "vms",
        "--api",
        "vms.example.platform-mesh.io,configmaps",
        "--role",
        "accept-filter",
        "--namespace",
        "broker",
        "--settings",
        &settings,
        "--limits",
        "timeout=500ms",
        "-o",
        "json",
    ];
    let bytes = fs::read(component()).unwrap();
    for compress in ["none", "gzip", "zstd"] {
        let outcome = plugin(&[&line[..], &["--compress", compress]].concat()).is(0, &[]);
        let list = outcome.json();
        let (plugin, maps) = list["items"].as_array().unwrap().split_last().unwrap();
        assert_eq!(plugin["metadata"]["name"], "vms");
        assert_eq!(plugin["metadata"]["namespace"], "broker");
        assert_eq!(plugin["spec"]["sha256"], sha256(&bytes));
        assert_eq!(plugin["spec"]["roles"], serde_json::json!(["accept-filter"]));
        assert_eq!(plugin["spec"]["configuration"], serde_json::json!({"hide": ["node"]}));
        assert_eq!(plugin["spec"]["limits"], serde_json::json!({"timeoutMilliseconds": 500}));
        assert_eq!(plugin["spec"]["apis"][1], serde_json::json!({"group": "", "resource": "configmaps"}));
        assert_eq!(unpacked(maps, &plugin["spec"]["component"], compress), bytes, "{compress}");
    }
    let none = plugin(&[&line[..], &["--compress", "none"]].concat()).json();
    assert!(none["items"].as_array().unwrap().len() > 2, "more than one part");
    plugin(&["manifest", component(), "--api", "vms", "--settings", "/nowhere/settings.yaml"])
        .is(1, &["cannot be read"]);
    plugin(&["manifest", component(), "--api", "vms", "--name", "A"]).is(2, &["--name"]);
    let (_folder, bad) = file("bad.yaml", "hid: []\n");
    plugin(&["manifest", component(), "--api", "vms", "--settings", &bad]).is(1, &["refuses its configuration", "hid"]);
}

/// What the broker makes of a Plugin's component, from the ConfigMaps in the order in which it names them.
fn unpacked(maps: &[Value], parts: &Value, compress: &str) -> Vec<u8> {
    let mut packed = Vec::new();
    for part in parts.as_array().unwrap() {
        let map = maps.iter().find(|map| map["metadata"]["name"] == part["configMap"]).unwrap();
        let data: k8s_openapi::ByteString =
            serde_json::from_value(map["binaryData"][part["key"].as_str().unwrap()].clone()).unwrap();
        packed.extend(data.0);
    }
    match compress {
        "gzip" => {
            let mut bytes = Vec::new();
            flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut bytes).unwrap();
            bytes
        }
        "zstd" => zstd::decode_all(packed.as_slice()).unwrap(),
        _ => packed,
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

#[test]
fn bench_measures_every_role_that_it_can_call() {
    let outcome = plugin(&["bench", component(), "--seconds", "0.01", "-o", "json"]).is(0, &[]);
    let bench = outcome.json();
    let rows = bench["rows"].as_array().unwrap();
    let offers: Vec<u64> = rows.iter().filter_map(|row| row["offers"].as_u64()).collect();
    assert_eq!(offers, [1, 10, 100, 1000]);
    assert_eq!(rows.len(), 6, "an instance, four numbers of offers, a status");
    for row in rows {
        assert!(row["calls"].as_u64().unwrap() > 0 && row["memoryBytes"].as_u64().unwrap() > 0, "{row}");
        assert!(row["p50Nanoseconds"].as_u64().unwrap() <= row["p99Nanoseconds"].as_u64().unwrap(), "{row}");
    }
    plugin(&["bench", component(), "--seconds", "0.01"]).is(0, &["CALLS/S", "P99", "1,000"]);
}

#[test]
fn the_probe_compiles_standard_input() {
    plugin_with(&fs::read(component()).unwrap(), &["compile-probe"]).is(0, &[]);
    let broken = [b"\0asm\x0d\0\x01\0", &[0xff; 16][..]].concat();
    plugin_with(&broken, &["compile-probe"]).is(1, &["does not compile"]);
}
