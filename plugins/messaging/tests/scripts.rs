//! The stages' scripts, run with programs that only write down what they are asked for.

use std::path::Path;
use std::process::Output;

use resource_broker_plugin_kit::scene::{Scene, unreadable};

const KEYS: &[(&str, &str)] = &[
    ("BOOTSTRAP_KEYS", "bootstrap"),
    ("PROTOCOL_KEYS", "protocol"),
    ("MECHANISM_KEYS", "mechanism"),
    ("USERNAME_KEYS", "username"),
    ("PASSWORD_KEYS", "password"),
    ("URI_KEYS", "uri"),
    ("CREDENTIALS_KEYS", "nats.creds"),
    ("TOPICS", "orders.*"),
    ("GROUPS_PATTERN", ".*"),
    ("REPLICATION", "3"),
    ("TASKS", "4"),
    ("POLL_SECONDS", "1"),
];

fn run(scene: &Scene, parts: &[&str], variables: &[(&str, &str)]) -> Output {
    let variables: Vec<_> = KEYS.iter().chain(variables).copied().collect();
    scene.run(parts, &variables).unwrap()
}

fn succeeded(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn ends(name: &str) -> Scene {
    let scene = Scene::new(name).unwrap();
    for (path, text) in [
        ("from/0/bootstrap", "old.example:9093"),
        ("from/0/username", "app"),
        ("from/0/password", r#"p"a\s"#),
        ("from/1/ca.crt", "certificate"),
        ("from/0/uri", "nats://old.example"),
        ("to/0/bootstrap", "new.example:9092"),
        ("to/0/uri", "nats://new.example"),
    ] {
        scene.write(path, text).unwrap();
    }
    scene
}

const KAFKA: &str = include_str!("../scripts/kafka.sh");

#[test]
fn the_mirror_has_both_ends_and_keeps_names() {
    let scene = ends("kafka-mirror");
    scene.program("connect-mirror-maker.sh", r#"echo "$*" >>"$CALLS""#).unwrap();
    succeeded(&run(&scene, &[KAFKA, include_str!("../scripts/kafka-mirror.sh")], &[]));
    assert!(scene.calls()[0].ends_with("/work/mirror.properties"));
    let properties = scene.read("work/mirror.properties");
    for line in [
        "from->to.enabled=true",
        "from->to.topics=orders.*",
        "replication.policy.class=org.apache.kafka.connect.mirror.IdentityReplicationPolicy",
        "from.bootstrap.servers=old.example:9093",
        "from.security.protocol=SASL_SSL",
        "from.ssl.truststore.type=PEM",
        "to.bootstrap.servers=new.example:9092",
        "to.security.protocol=PLAINTEXT",
        // A backslash and a quote, escaped for the JAAS entry and again for the properties file.
        r#"from.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="app" password="p\\"a\\\\s";"#,
    ] {
        assert!(properties.lines().any(|found| found == line), "{line} is missing:\n{properties}");
    }
}

/// Offsets of two partitions; `$TO_LAST` is the last of the second one at the new end.
const OFFSETS: &str = r#"case "$*" in
*old.example*--time\ -2*) printf 'orders:0:5\norders:1:0\n' ;;
*old.example*--time\ -1*) printf 'orders:0:15\norders:1:7\nmm2-offsets:0:99\n' ;;
*new.example*--time\ -2*) printf 'orders:0:0\norders:1:0\n' ;;
*new.example*--time\ -1*) printf 'orders:0:10\norders:1:%s\n' "$TO_LAST" ;;
esac
echo call >>"$CALLS""#;

#[test]
fn kafka_has_caught_up_when_no_more_is_missing_than_allowed() {
    let lag = &[KAFKA, include_str!("../scripts/kafka-lag.sh")];
    let scene = ends("kafka-lag");
    scene.program("kafka-get-offsets.sh", OFFSETS).unwrap();
    let output = run(&scene, lag, &[("TO_LAST", "5"), ("MAX_LAG", "2"), ("QUIET_SECONDS", "0")]);
    succeeded(&output);
    assert!(String::from_utf8_lossy(&output.stderr).contains("records missing at the new end: 2;"));

    // One more than is allowed: it goes on looking until somebody stops it.
    let hurry = "count=$(wc -l <\"$CALLS\"); if [ \"$count\" -gt 10 ]; then kill -TERM $PPID; fi";
    let scene = ends("kafka-behind");
    scene.program("kafka-get-offsets.sh", &format!("{OFFSETS}\n{hurry}")).unwrap();
    let output = run(&scene, lag, &[("TO_LAST", "4"), ("MAX_LAG", "2"), ("QUIET_SECONDS", "0")]);
    assert!(!output.status.success(), "3 are missing");
}

#[test]
fn kafka_is_drained_when_it_has_been_quiet() {
    let scene = ends("kafka-quiet");
    scene.program("kafka-get-offsets.sh", OFFSETS).unwrap();
    let variables = [("TO_LAST", "7"), ("MAX_LAG", "0"), ("QUIET_SECONDS", "2")];
    let output = run(&scene, &[KAFKA, include_str!("../scripts/kafka-lag.sh")], &variables);
    succeeded(&output);
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(log.matches("records missing at the new end: 0").count(), 3, "0, 1 and 2 seconds: {log}");
}

#[test]
fn an_end_that_does_not_answer_has_not_caught_up() {
    let scene = ends("kafka-silent");
    scene.program("kafka-get-offsets.sh", "exit 7").unwrap();
    let variables = [("MAX_LAG", "0"), ("QUIET_SECONDS", "0")];
    assert!(!run(&scene, &[KAFKA, include_str!("../scripts/kafka-lag.sh")], &variables).status.success());
}

#[test]
fn a_new_end_without_topics_yet_is_waited_for() {
    let scene = ends("kafka-young");
    let young = r#"case "$*" in *new.example*) if [ ! -f "$WORK/young" ]; then : >"$WORK/young"; exit 1; fi ;; esac"#;
    scene.program("kafka-get-offsets.sh", &format!("{young}\n{OFFSETS}")).unwrap();
    let variables = [("TO_LAST", "7"), ("MAX_LAG", "0"), ("QUIET_SECONDS", "0")];
    let output = run(&scene, &[KAFKA, include_str!("../scripts/kafka-lag.sh")], &variables);
    succeeded(&output);
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains("missing at the new end: 17") && log.contains("missing at the new end: 0"), "{log}");
}

const NATS: &str = include_str!("../scripts/nats.sh");

#[test]
fn streams_of_nats_take_from_the_old_ones_and_then_stand_on_their_own() {
    if std::process::Command::new("jq").arg("--version").output().is_err() {
        eprintln!("skipped: the script needs jq");
        return;
    }
    let scene = ends("nats");
    let nats = r#"case "$*" in
*"stream ls"*) echo '["orders"]' ;;
"--context from stream info"*) echo '{"config":{"name":"orders","subjects":["orders.>"],"retention":"limits"},"state":{"last_seq":9}}' ;;
"--context to stream info"*) [ -f "$WORK/made" ] && echo '{"config":{"name":"orders","sources":[{"name":"orders"}]},"sources":[{"lag":0}]}' ;;
*"stream add"*) : >"$WORK/made"; cp "$WORK/stream.json" "$WORK/added.json" ;;
*"stream edit"*) cp "$WORK/stream.json" "$WORK/edited.json" ;;
esac"#;
    scene.program("nats", nats).unwrap();
    let variables = [("API_PREFIX", "$JS.from.API"), ("MAX_LAG", "0"), ("QUIET_SECONDS", "1")];
    succeeded(&run(&scene, &[NATS, include_str!("../scripts/nats-mirror.sh")], &variables));
    let json = |path: &str| serde_json::from_str::<serde_json::Value>(&scene.read(path)).unwrap();
    let added = json("work/added.json");
    assert_eq!(added.get("subjects"), None, "it accepts nothing itself");
    assert_eq!(added["sources"], serde_json::json!([{"name": "orders", "external": {"api": "$JS.from.API"}}]));

    succeeded(&run(&scene, &[NATS, include_str!("../scripts/nats-switch.sh")], &variables));
    let edited = json("work/edited.json");
    assert_eq!(edited.get("sources"), None);
    assert_eq!(edited["subjects"], serde_json::json!(["orders.>"]));
}

const SWITCH: &[&str] = &[NATS, include_str!("../scripts/nats-switch.sh")];
const MIRROR: &[&str] = &[NATS, include_str!("../scripts/nats-mirror.sh")];
const NATS_VARIABLES: &[(&str, &str)] = &[("API_PREFIX", "$JS.from.API"), ("MAX_LAG", "0"), ("QUIET_SECONDS", "0")];

fn has_jq() -> bool {
    let found = std::process::Command::new("jq").arg("--version").output().is_ok();
    if !found {
        eprintln!("skipped: the script needs jq");
    }
    found
}

#[test]
fn an_old_end_of_nats_that_does_not_answer_is_no_empty_one() {
    if !has_jq() {
        return;
    }
    let info = r#"*"to stream info"*) echo '{"config":{"sources":[{}]},"sources":[{"lag":0}]}' ;; *) exit 1 ;; esac"#;
    for (name, list) in [("nats-silent", ""), ("nats-half-silent", r#"*"stream ls"*) echo '["orders"]' ;;"#)] {
        for parts in [MIRROR, SWITCH] {
            let scene = ends(name);
            scene.program("nats", &format!("case \"$*\" in\n{list}\n{info}")).unwrap();
            let output = run(&scene, parts, NATS_VARIABLES);
            assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert!(scene.termination().starts_with("the from end does not "), "{}", scene.termination());
        }
    }
}

#[test]
fn a_stream_that_has_heard_nothing_of_its_source_has_not_caught_up() {
    if !has_jq() {
        return;
    }
    let scene = ends("nats-unheard");
    let nats = r#"case "$*" in
*"stream ls"*) echo '["orders"]' ;;
"--context from stream info"*) echo '{"config":{"name":"orders"},"state":{"last_seq":9,"messages":9}}' ;;
"--context to stream info"*) active=-1; if [ -f "$WORK/heard" ]; then active=5; fi
echo "{\"config\":{\"sources\":[{}]},\"sources\":[{\"lag\":0,\"active\":$active}]}"
if [ -f "$CALLS" ]; then : >"$WORK/heard"; fi; echo asked >>"$CALLS" ;;
esac"#;
    scene.program("nats", nats).unwrap();
    let output = run(&scene, MIRROR, NATS_VARIABLES);
    succeeded(&output);
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains("missing at the new end: 9") && log.contains("missing at the new end: 0"), "{log}");
}

#[test]
fn a_stream_of_that_name_that_takes_nothing_is_refused() {
    if !has_jq() {
        return;
    }
    let scene = ends("nats-foreign");
    let nats =
        r#"case "$*" in *"stream ls"*) echo '["orders"]' ;; *info*) echo '{"config":{"name":"orders"}}' ;; esac"#;
    scene.program("nats", nats).unwrap();
    assert!(!run(&scene, MIRROR, NATS_VARIABLES).status.success());
    assert!(scene.termination().contains("takes nothing from the old one"), "{}", scene.termination());
}

#[test]
fn a_shell_can_read_every_script() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    assert_eq!(unreadable(&folder).unwrap(), Vec::<String>::new());
}
