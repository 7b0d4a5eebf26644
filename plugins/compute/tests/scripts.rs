//! Runs the stages' scripts as their Jobs would, with stand-ins for the programs that they call.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use resource_broker_plugin_compute::Compute;
use resource_broker_sdk::testing::with_settings;
use resource_broker_sdk::{Document, Endpoint, MigrationContext, MigrationTemplate, Mirrored};
use serde_json::{Value, json};

/// A folder in which one script runs: both ends' mounted Secrets, the stand-ins, and what these were asked.
struct Stage {
    folder: PathBuf,
    job: Value,
}

/// What came of a script.
struct Outcome {
    success: bool,
    /// What it said and what it failed with.
    said: String,
    /// The stand-ins' calls, one a line.
    calls: String,
}

fn endpoint(kind: &str, end: &str) -> Endpoint {
    Endpoint {
        provider: format!("provider#{end}"),
        api_version: "compute.generic.platform-mesh.io/v1alpha1".to_owned(),
        kind: kind.to_owned(),
        namespace: "shop".to_owned(),
        name: "0123456789ab-lab".to_owned(),
        related: vec![Mirrored {
            key: "access".to_owned(),
            api_version: "v1".to_owned(),
            kind: "Secret".to_owned(),
            name: format!("{end}-access"),
        }],
    }
}

impl Stage {
    fn new(test: &str, kind: &str, stage: &str, settings: &Value) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
        let _ = fs::remove_dir_all(&folder);
        for part in ["bin", "home", "from/0", "to/0"] {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
        let context = MigrationContext {
            id: "m1".to_owned(),
            namespace: "compute".to_owned(),
            configuration: Document::from(json!({})),
            old: endpoint(kind, "from"),
            new: endpoint(kind, "to"),
        };
        let copy = Document::from(json!({"spec": {"version": "1.34"}}));
        let manifests =
            with_settings(&settings.to_string(), || Compute::render(&context, &copy, &copy, stage)).unwrap();
        assert_eq!(manifests.len(), 1);
        let stage = Self { folder, job: manifests[0].body.clone() };
        // What waits for ever is found out instead of waited for.
        stage.program("sleep", &format!("[ $(grep -c ^sleep '{}') -lt 20 ]", stage.folder.join("calls").display()));
        stage.program("kubectl", "exit 0");
        stage
    }

    /// A stand-in that writes down how it was called before it answers.
    fn program(&self, name: &str, answer: &str) {
        // It reads kubeconfigs as the real one does: those of these tests are one line, which is nothing to be refused.
        let views = r#"case "$*" in
'config view'*--minify*) cat "$HOME"/*.published; exit 0 ;;
'config view'*) field=$(printf %s "$*" | sed 's/.*\.\(.*\)}$/\1/'); grep -o "$field: .*" "$4"; exit 0 ;;
esac
"#;
        let answer = if name == "kubectl" { format!("{views}{answer}") } else { answer.to_owned() };
        let path = self.folder.join("bin").join(name);
        let calls = self.folder.join("calls");
        let text = format!("#!/bin/sh\nprintf '%s\\n' \"{name} $*\" >>'{}'\n{answer}\n", calls.display());
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn secret(&self, end: &str, entries: &[(&str, &str)]) {
        for (key, value) in entries {
            fs::write(self.folder.join(end).join("0").join(key), value).unwrap();
        }
    }

    fn container(&self) -> &Value {
        &self.job["spec"]["template"]["spec"]["containers"][0]
    }

    fn run(&self) -> Outcome {
        let variables: BTreeMap<&str, &str> = self.container()["env"]
            .as_array()
            .unwrap()
            .iter()
            .map(|each| (each["name"].as_str().unwrap(), each["value"].as_str().unwrap()))
            .collect();
        let path = format!("{}:{}", self.folder.join("bin").display(), std::env::var("PATH").unwrap());
        let command: Vec<&str> =
            self.container()["command"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        let output = Command::new(command[0])
            .args(&command[1..])
            .env_clear()
            .envs(variables)
            .env("PATH", path)
            .env("HOME", self.folder.join("home"))
            .env("ENDS", &self.folder)
            .env("TERMINATION_LOG", self.folder.join("termination"))
            .output()
            .unwrap();
        Outcome {
            success: output.status.success(),
            said: String::from_utf8_lossy(&output.stderr).into_owned(),
            calls: fs::read_to_string(self.folder.join("calls")).unwrap_or_default(),
        }
    }
}

fn cluster(test: &str, stage: &str) -> Stage {
    let stage = Stage::new(test, "KubernetesCluster", stage, &json!({}));
    stage.secret("from", &[("kubeconfig", "old cluster")]);
    stage.secret("to", &[("value", "new cluster")]);
    stage
}

fn machine(test: &str, stage: &str) -> Stage {
    let settings = json!({"migration": {"pods": {"images": {"machine": "example/machine:1"}}}});
    Stage::new(test, "VirtualMachine", stage, &settings)
}

#[test]
fn a_job_has_both_ends_and_no_rights() {
    let stage = cluster("job", "backup");
    let pod = &stage.job["spec"]["template"]["spec"];
    assert_eq!(stage.container()["image"], "alpine/k8s:1.34.1");
    assert_eq!(pod["restartPolicy"], "Never");
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    let secrets: Vec<&Value> =
        pod["volumes"].as_array().unwrap().iter().filter_map(|volume| volume["secret"].get("secretName")).collect();
    assert_eq!(secrets, ["from-access", "to-access"]);
}

#[test]
fn a_kubeconfig_that_runs_programs_or_reads_files_is_refused() {
    for (field, name) in [
        ("exec: {command: sh}", "exec"),
        ("auth-provider: {name: gcp}", "auth-provider"),
        ("tokenFile: /to/0/value", "tokenFile"),
        ("client-certificate: /to/0/value", "client-certificate"),
        ("client-key: /to/0/value", "client-key"),
        ("certificate-authority: /to/0/value", "certificate-authority"),
        ("proxy-url: http://elsewhere", "proxy-url"),
        ("insecure-skip-tls-verify: true", "insecure-skip-tls-verify"),
    ] {
        for (end, stage) in [("from", "backup"), ("to", "restore"), ("from", "verify")] {
            let refused = cluster("refused", stage);
            refused.secret(end, &[("kubeconfig", field)]);
            let outcome = refused.run();
            let expected = format!("the kubeconfig of the {end} end is not used, since it has {name}:");
            assert!(!outcome.success && outcome.said.contains(&expected), "{stage}: {}", outcome.said);
            let used = outcome.calls.lines().find(|call| !call.contains("config view"));
            assert_eq!(used, None, "{}", outcome.calls);
        }
    }
    let whole = cluster("inline", "verify");
    whole
        .secret("from", &[("kubeconfig", "client-certificate-data: YQ==, token: x, certificate-authority-data: YQ==")]);
    assert!(whole.run().success, "what is within it is used");
}

/// The real client, where there is one: what it shows is what the script goes by.
#[test]
fn kubectl_itself_shows_what_is_refused() {
    if Command::new("kubectl").arg("version").arg("--client").output().is_err() {
        eprintln!("skipped: there is no kubectl here");
        return;
    }
    let kubeconfig = |user: Value, cluster: Value| {
        let mut whole = json!({"server": "https://127.0.0.1:1"});
        whole.as_object_mut().unwrap().extend(cluster.as_object().unwrap().clone());
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": whole}], "users": [{"name": "u", "user": user}],
        })
        .to_string()
    };
    let exec =
        json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "touch", "args": ["/tmp/no"]}});
    for (user, of_cluster, name) in [
        (exec, json!({}), "exec"),
        (json!({"auth-provider": {"name": "gcp"}}), json!({}), "auth-provider"),
        (json!({"tokenFile": "/to/0/value"}), json!({}), "tokenFile"),
        (json!({"client-certificate": "/x", "client-key": "/y"}), json!({}), "client-certificate, client-key"),
        (json!({"token": "t"}), json!({"certificate-authority": "/x"}), "certificate-authority"),
        (json!({"token": "t"}), json!({"proxy-url": "http://elsewhere"}), "proxy-url"),
        (json!({"token": "t"}), json!({"insecure-skip-tls-verify": true}), "insecure-skip-tls-verify"),
    ] {
        let stage = cluster("real-kubectl", "verify");
        fs::remove_file(stage.folder.join("bin/kubectl")).unwrap();
        stage.secret("from", &[("kubeconfig", &kubeconfig(user, of_cluster))]);
        let outcome = stage.run();
        let expected = format!("the kubeconfig of the from end is not used, since it has {name}:");
        assert!(!outcome.success && outcome.said.contains(&expected), "{}", outcome.said);
    }
}

#[test]
fn a_backup_is_made_and_waited_for() {
    let stage = cluster("backup", "backup");
    stage.program(
        "kubectl",
        r#"case "$*" in
*create*) cat >"$HOME/manifest"; printf m1-abc ;;
*' get '*)
    if [ -f "$HOME/asked" ]; then printf Completed; else touch "$HOME/asked"; printf InProgress; fi ;;
esac"#,
    );
    let outcome = stage.run();
    assert!(outcome.success, "{}", outcome.said);
    let manifest: Value =
        serde_json::from_str(&fs::read_to_string(stage.folder.join("home/manifest")).unwrap()).unwrap();
    assert_eq!(manifest["kind"], "Backup");
    assert_eq!(manifest["metadata"]["generateName"], "m1-");
    assert_eq!(manifest["metadata"]["labels"]["broker.platform-mesh.io/migration-id"], "m1");
    assert_eq!(manifest["spec"]["includedNamespaces"], json!(["*"]));
    assert_eq!(manifest["spec"]["ttl"], "72h0m0s");
    assert_eq!(outcome.calls.matches("get backups.velero.io m1-abc").count(), 2, "{}", outcome.calls);
    let asked: Vec<&str> = outcome.calls.lines().filter(|call| !call.contains("config view")).collect();
    assert!(asked.iter().all(|call| !call.contains("to.kubeconfig")), "{asked:?}");
    assert!(asked.iter().any(|call| call.contains("from.kubeconfig")), "{asked:?}");
    assert_eq!(fs::read_to_string(stage.folder.join("home/to.kubeconfig")).unwrap(), "new cluster");
}

#[test]
fn a_backup_that_fails_says_why() {
    for (phase, expected) in [("Failed", "failed: no space left"), ("PartiallyFailed", "lacks some objects")] {
        let stage = cluster("backup-fails", "backup");
        let answer = format!(
            "case \"$*\" in *create*) cat >/dev/null; printf m1-abc ;; *failureReason*) printf 'no space left' ;; *) printf {phase} ;; esac"
        );
        stage.program("kubectl", &answer);
        let outcome = stage.run();
        assert!(!outcome.success && outcome.said.contains(expected), "{}", outcome.said);
        let termination = fs::read_to_string(stage.folder.join("termination")).unwrap();
        assert!(termination.contains(expected), "the Job's own message has it as well: {termination}");
    }
}

#[test]
fn the_newest_backup_is_restored_into_the_new_cluster() {
    let stage = cluster("restore", "restore");
    stage.program(
        "kubectl",
        r#"case "$*" in
*from.kubeconfig*backups*) printf 'm1-old\nm1-new\n' ;;
*create*) cat >"$HOME/manifest"; printf m1-xyz ;;
*restores*) printf Completed ;;
esac"#,
    );
    let outcome = stage.run();
    assert!(outcome.success, "{}", outcome.said);
    let manifest: Value =
        serde_json::from_str(&fs::read_to_string(stage.folder.join("home/manifest")).unwrap()).unwrap();
    assert_eq!((&manifest["kind"], &manifest["spec"]["backupName"]), (&json!("Restore"), &json!("m1-new")));
    assert!(outcome.calls.contains("--selector broker.platform-mesh.io/migration-id=m1"), "{}", outcome.calls);
}

#[test]
fn without_a_backup_nothing_is_restored() {
    let stage = cluster("restore-nothing", "restore");
    stage.program("kubectl", "exit 0");
    let outcome = stage.run();
    assert!(!outcome.success && outcome.said.contains("has no backup with the label"), "{}", outcome.said);
}

#[test]
fn what_is_missing_in_the_new_cluster_is_named() {
    let stage = cluster("verify", "verify");
    let listing = r#"case "$*" in
*from.kubeconfig*) printf 'shop Deployment/web\nshop Service/web\nkube-system DaemonSet/proxy\ndefault Service/kubernetes\n' ;;
*to.kubeconfig*) printf 'shop Deployment/web\n' ;;
esac"#;
    stage.program("kubectl", listing);
    let outcome = stage.run();
    assert!(!outcome.success && outcome.said.contains("the new cluster lacks: shop Service/web"), "{}", outcome.said);
    assert!(!outcome.said.contains("proxy") && !outcome.said.contains("Service/kubernetes"), "{}", outcome.said);
}

#[test]
fn workloads_have_to_run_in_the_new_cluster() {
    let listing = "*' get '*) printf 'shop Deployment/web\\nshop Service/web\\n' ;;";
    let stage = cluster("verify-runs", "verify");
    stage.program("kubectl", &format!("case \"$*\" in {listing} *rollout*) exit 0 ;; esac"));
    let outcome = stage.run();
    assert!(outcome.success && outcome.said.contains("all of 2 objects"), "{}", outcome.said);
    assert!(outcome.calls.contains("--namespace shop rollout status"), "{}", outcome.calls);

    let stage = cluster("verify-runs", "verify");
    stage.program("kubectl", &format!("case \"$*\" in {listing} *rollout*) exit 1 ;; esac"));
    let outcome = stage.run();
    assert!(
        !outcome.success && outcome.said.contains("Deployment/web in namespace shop does not run"),
        "{}",
        outcome.said
    );
}

#[test]
fn a_cluster_that_does_not_answer_is_not_taken_for_an_empty_one() {
    for name in ["backup", "restore", "verify"] {
        let stage = cluster("unreachable", name);
        stage.program("kubectl", "exit 1");
        assert!(!stage.run().success, "{name}");
    }
    let stage = Stage::new("no-kubeconfig", "KubernetesCluster", "verify", &json!({}));
    stage.program("kubectl", "exit 0");
    let outcome = stage.run();
    assert!(
        !outcome.success && outcome.said.contains("from end has a key called any of: kubeconfig"),
        "{}",
        outcome.said
    );
}

#[test]
fn a_machine_is_stopped_with_the_ends_token() {
    let stage = machine("stop", "stop");
    let entries = [("stopURL", "https://old/stop"), ("stateURL", "https://old/state"), ("token", "secret")];
    stage.secret("from", &entries);
    stage.program(
        "curl",
        r#"cat >>"$HOME/config"
case "$*" in
*state*) if [ -f "$HOME/asked" ]; then echo Stopped; else touch "$HOME/asked"; echo '{"state": "Running", "offset": 0}'; fi ;;
esac"#,
    );
    let outcome = stage.run();
    assert!(outcome.success, "{}", outcome.said);
    assert!(outcome.calls.contains("--request POST --url https://old/stop"), "{}", outcome.calls);
    assert!(!outcome.calls.contains("secret"), "a token is no argument: {}", outcome.calls);
    let config = fs::read_to_string(stage.folder.join("home/config")).unwrap();
    assert!(config.starts_with("header = \"Authorization: Bearer secret\""), "{config}");
    assert_eq!(outcome.calls.matches("https://old/state").count(), 2);
}

const QEMU: &str = r#"case "$*" in
*info*small*) echo '{"virtual-size": 10}' ;;
*info*gone*) exit 1 ;;
*info*) echo '{"virtual-size": 1000}' ;;
esac"#;

#[test]
fn disks_are_copied_in_pairs() {
    let stage = machine("copy", "copy");
    stage.secret("from", &[("diskURL", "nbd://old/a nbd://old/b\n"), ("diskFormat", "qcow2")]);
    stage.secret("to", &[("disk-url", "nbd://new/a\nnbd://new/b")]);
    stage.program("qemu-img", QEMU);
    let outcome = stage.run();
    assert!(outcome.success, "{}", outcome.said);
    for pair in ["nbd://old/a nbd://new/a", "nbd://old/b nbd://new/b"] {
        assert!(outcome.calls.contains(&format!("convert -n -f qcow2 -O raw {pair}")), "{}", outcome.calls);
    }
}

#[test]
fn what_is_no_disk_of_a_server_is_not_read() {
    for (url, format, info, expected) in [
        ("/to/0/token", "raw", "", "something else than the URL of a server"),
        ("file:///to/0/token", "raw", "", "something else than the URL of a server"),
        ("json:{\"driver\":\"file\",\"filename\":\"/x://\"}", "raw", "", "something else than the URL of a server"),
        ("--object=secret://x", "raw", "", "something else than the URL of a server"),
        ("nbd+unix:///a?socket=/s", "raw", "", "something else than the URL of a server"),
        ("nbd://old/a", "vmdk", "", "a format that is not copied"),
        ("nbd://old/a", "qcow2", r#", "backing-filename": "/to/0/token""#, "made of other files"),
        (
            "nbd://old/a",
            "qcow2",
            r#", "format-specific": {"data": {"data-file": "/to/0/token"}}"#,
            "made of other files",
        ),
    ] {
        for name in ["copy", "verify"] {
            let stage = machine("no-disk", name);
            stage.secret("from", &[("diskURL", url), ("diskFormat", format)]);
            stage.secret("to", &[("diskURL", "nbd://new/a")]);
            stage.program("qemu-img", &format!("case \"$*\" in *info*) echo '{{\"virtual-size\": 10{info}}}' ;; esac"));
            let outcome = stage.run();
            assert!(!outcome.success && outcome.said.contains(expected), "{name} {url}: {}", outcome.said);
            assert!(!outcome.calls.contains("convert") && !outcome.calls.contains("compare"), "{}", outcome.calls);
        }
    }
}

#[test]
fn disks_that_do_not_fit_are_not_written() {
    for (old, new, expected) in [
        ("nbd://old/a nbd://old/b", "nbd://new/a", "has 2 disks, the new one 1"),
        ("nbd://old/a", "nbd://new/small", "is smaller"),
        ("nbd://old/gone", "nbd://new/a", "cannot be reached"),
    ] {
        let stage = machine("copy-misfit", "copy");
        stage.secret("from", &[("diskURL", old)]);
        stage.secret("to", &[("diskURL", new)]);
        stage.program("qemu-img", QEMU);
        let outcome = stage.run();
        assert!(!outcome.success && outcome.said.contains(expected), "{}", outcome.said);
        assert!(!outcome.calls.contains("convert"), "{}", outcome.calls);
    }
    let stage = machine("copy-nothing", "copy");
    stage.program("qemu-img", QEMU);
    assert!(!stage.run().success, "an end without disks is no empty machine");
    stage.secret("from", &[("diskURL", " \n")]);
    stage.secret("to", &[("diskURL", " ")]);
    let outcome = stage.run();
    assert!(!outcome.success && outcome.said.contains("the from end names no disk"), "{}", outcome.said);
}

#[test]
fn a_disk_that_differs_fails_the_verification() {
    let stage = machine("verify-disks", "verify");
    stage.secret("from", &[("diskURL", "nbd://old/a")]);
    stage.secret("to", &[("diskURL", "nbd://new/a")]);
    stage.program("qemu-img", "exit 0");
    assert!(stage.run().success);
    stage.program("qemu-img", "exit 1");
    let outcome = stage.run();
    assert!(!outcome.success && outcome.said.contains("disk 1 differs from the old one"), "{}", outcome.said);
}

#[test]
fn a_machine_is_started_and_asked_until_it_answers() {
    let stage = machine("start", "start");
    stage.secret("to", &[("startURL", "https://new/start"), ("healthURL", "https://new/health")]);
    stage.program(
        "curl",
        r#"case "$*" in
*health*) if [ -f "$HOME/asked" ]; then exit 0; else touch "$HOME/asked"; exit 22; fi ;;
esac"#,
    );
    let outcome = stage.run();
    assert!(outcome.success, "{}", outcome.said);
    assert!(outcome.calls.contains("--request POST --url https://new/start"), "{}", outcome.calls);
    assert_eq!(outcome.calls.matches("https://new/health").count(), 2);

    let stage = machine("start-by-itself", "start");
    stage.program("curl", "exit 1");
    assert!(stage.run().success, "a provider may start it by itself");
}
