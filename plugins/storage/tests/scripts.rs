//! The stages' scripts, run with programs that only write down what they are asked for.

use std::path::Path;
use std::process::Output;

use resource_broker_plugin_kit::scene::{Scene, unreadable};

const KEYS: &[(&str, &str)] = &[
    ("ENDPOINT_KEYS", "endpoint"),
    ("HOST_KEYS", "BUCKET_HOST"),
    ("PORT_KEYS", "BUCKET_PORT"),
    ("BUCKET_KEYS", "bucket BUCKET_NAME"),
    ("REGION_KEYS", "region"),
    ("ACCESS_KEY_KEYS", "access"),
    ("SECRET_KEY_KEYS", "secret"),
    ("SERVER_KEYS", "server"),
    ("SHARE_KEYS", "path"),
    ("USERNAME_KEYS", "username"),
    ("PASSWORD_KEYS", "password"),
    ("TRANSFERS", "16"),
    ("VERIFY", "true"),
];

fn run(scene: &Scene, parts: &[&str], variables: &[(&str, &str)]) -> Output {
    let variables: Vec<_> = KEYS.iter().chain(variables).copied().collect();
    scene.run(parts, &variables).unwrap()
}

fn succeeded(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

const OBJECT: &str = include_str!("../scripts/object.sh");

/// A bucket behind a Secret and a `ConfigMap` at the old end, as an `ObjectBucketClaim` has them, and one Secret at the new.
fn buckets(name: &str, rclone: &str) -> Scene {
    let scene = Scene::new(name).unwrap();
    for (path, text) in [
        ("from/0/BUCKET_HOST", "old.example"),
        ("from/0/BUCKET_PORT", "9000"),
        ("from/0/BUCKET_NAME", "logs-1"),
        ("from/1/access", "A"),
        ("from/1/secret", "S"),
        ("to/0/endpoint", "https://new.example"),
        ("to/0/bucket", "logs-2"),
        ("to/0/access", "B"),
        ("to/0/secret", "T"),
        ("to/0/region", "eu-west-1"),
    ] {
        scene.write(path, text).unwrap();
    }
    scene.program("rclone", &format!("echo \"$1 $2 $3 $*\" >>\"$CALLS\"\n{rclone}")).unwrap();
    scene
}

#[test]
fn a_bucket_is_synced_compared_and_looked_at_once_more() {
    let scene = buckets("object", "");
    for part in [
        include_str!("../scripts/object-bulk.sh"),
        include_str!("../scripts/object-delta.sh"),
        include_str!("../scripts/object-late.sh"),
    ] {
        succeeded(&run(&scene, &[OBJECT, part], &[]));
    }
    let calls = scene.calls();
    let begins: Vec<&str> = calls.iter().map(|call| call.split(' ').next().unwrap()).collect();
    assert_eq!(begins, ["sync", "sync", "check", "copy"]);
    assert!(calls.iter().all(|call| call.contains("from:logs-1 to:logs-2")), "{calls:?}");
    assert!(calls[3].contains("--update"), "what is newer at the new end stays: {}", calls[3]);
    let configuration = scene.read("work/rclone.conf");
    assert!(
        configuration.contains("[from]\ntype = s3\nprovider = Other\nendpoint = old.example:9000\n"),
        "{configuration}"
    );
    assert!(
        configuration.contains("[to]\ntype = s3\nprovider = Other\nendpoint = https://new.example\n"),
        "{configuration}"
    );
}

#[test]
fn a_bucket_that_differs_fails_the_stage_unless_nobody_compares() {
    let delta = &[OBJECT, include_str!("../scripts/object-delta.sh")];
    let scene = buckets("object-differs", r#"case "$1" in check) exit 1 ;; esac"#);
    assert_eq!(run(&scene, delta, &[]).status.code(), Some(1));
    assert!(scene.termination().contains("missing or differ"), "{}", scene.termination());
    succeeded(&run(&scene, delta, &[("VERIFY", "false")]));
}

const FILE: &str = include_str!("../scripts/file.sh");

const CLAIMED: &[(&str, &str)] = &[("CLAIMED_from", "true"), ("CLAIMED_to", "true")];

#[test]
fn a_file_system_behind_claims_is_not_mounted() {
    let scene = Scene::new("file-claims").unwrap();
    scene.program("rsync", r#"echo "$*" >>"$CALLS"; exit "${RSYNC:-0}""#).unwrap();
    scene.program("mount", r#"echo "mount $*" >>"$CALLS""#).unwrap();
    succeeded(&run(&scene, &[FILE, include_str!("../scripts/file-late.sh")], CLAIMED));
    let calls = scene.calls();
    assert_eq!(calls.len(), 1);
    assert!(calls[0].contains("--update") && !calls[0].contains("--delete"), "{calls:?}");
    assert!(calls[0].ends_with("/mounts/to/") && calls[0].contains("/mounts/from/ "), "{calls:?}");
}

#[test]
fn files_that_vanish_are_no_failure_and_others_are() {
    let scene = Scene::new("file-vanish").unwrap();
    scene.program("rsync", r#"exit "$RSYNC""#).unwrap();
    let bulk = &[FILE, include_str!("../scripts/file-bulk.sh")];
    let with = |code: &'static str| [CLAIMED, &[("RSYNC", code)]].concat();
    succeeded(&run(&scene, bulk, &with("24")));
    assert_eq!(run(&scene, bulk, &with("23")).status.code(), Some(1));
    assert_eq!(scene.termination(), "rsync ended with 23; see the log\n");
}

#[test]
fn files_that_differ_fail_the_stage() {
    let delta = &[FILE, include_str!("../scripts/file-delta.sh")];
    let scene = Scene::new("file-differs").unwrap();
    scene.program("rsync", r#"case "$*" in *--dry-run*) printf '%s' "$DIFFERENCES" ;; esac"#).unwrap();
    succeeded(&run(&scene, delta, CLAIMED));
    let output = run(&scene, delta, &[CLAIMED, &[("DIFFERENCES", ">fc........ a")]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(scene.termination().contains("files differ"), "{}", scene.termination());
}

#[test]
fn a_share_is_mounted_by_its_protocol_the_old_one_read_only() {
    let scene = Scene::new("file-mount").unwrap();
    scene.program("rsync", "").unwrap();
    scene.program("mount", r#"echo "$*" >>"$CALLS""#).unwrap();
    for (path, text) in [
        ("from/0/server", "old.example"),
        ("from/0/path", "/export"),
        ("to/0/server", "new.example"),
        ("to/0/path", "/share"),
        ("to/0/username", "app"),
        ("to/0/password", "secret"),
    ] {
        scene.write(path, text).unwrap();
    }
    let variables = [("PROTOCOL_from", "nfs"), ("NFS_VERSION_from", "4.1"), ("PROTOCOL_to", "smb")];
    succeeded(&run(&scene, &[FILE, include_str!("../scripts/file-bulk.sh")], &variables));
    let calls = scene.calls();
    assert!(
        calls[0].starts_with("-t nfs old.example:/export ") && calls[0].ends_with("-o ro,vers=4.1,nolock"),
        "{calls:?}"
    );
    assert!(
        calls[1].starts_with("-t cifs //new.example/share ") && calls[1].contains("-o rw,credentials="),
        "{calls:?}"
    );
    assert!(!calls[1].contains("secret"), "{calls:?}");
    assert_eq!(scene.read("work/to.smb"), "username=app\npassword=secret\n");

    scene.program("mount", "exit 32").unwrap();
    assert_eq!(run(&scene, &[FILE, ""], &variables).status.code(), Some(1));
    assert!(scene.termination().contains("the from end's share /export of old.example cannot be mounted"));
}

#[test]
fn a_shell_can_read_every_script() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    assert_eq!(unreadable(&folder).unwrap(), Vec::<String>::new());
}
