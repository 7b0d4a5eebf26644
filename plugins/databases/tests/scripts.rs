//! The stages' scripts, run with programs that only write down what they are asked for.

use std::fs;
use std::path::Path;
use std::process::Output;

use resource_broker_plugin_kit::scene::{Scene, unreadable};

const KEYS: &[(&str, &str)] = &[
    ("HOST_KEYS", "host hostname"),
    ("PORT_KEYS", "port"),
    ("USERNAME_KEYS", "username"),
    ("PASSWORD_KEYS", "password"),
    ("DATABASE_KEYS", "database"),
    ("URI_KEYS", "uri"),
    ("API_KEY_KEYS", "api-key"),
];

fn ends(name: &str) -> Scene {
    let scene = Scene::new(name).unwrap();
    let write = |path: &str, text: &str| scene.write(path, text).unwrap();
    write("from/1/host", "old.example");
    write("to/0/hostname", "new.example");
    for end in ["from/1", "to/0"] {
        write(&format!("{end}/username"), "app");
        write(&format!("{end}/password"), r#"p"a\ss $(x)"#);
        write(&format!("{end}/database"), "shop");
        write(&format!("{end}/uri"), &format!("http://{}.example:6333", &end[..2]));
    }
    scene
}

fn run(scene: &Scene, parts: &[&str], variables: &[(&str, &str)]) -> Output {
    let variables: Vec<_> = KEYS.iter().chain(variables).copied().collect();
    scene.run(parts, &variables).unwrap()
}

fn succeeded(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

const POSTGRES_COPY: &[&str] = &[include_str!("../scripts/postgres.sh"), include_str!("../scripts/postgres-copy.sh")];

fn postgres(name: &str) -> Scene {
    let scene = ends(name);
    let psql = r#"sql=$(cat); case "$sql" in *RESET*) what=thaw ;; "SET default_transaction_read_only = off;"*) what=freeze ;; *) what=stuck ;; esac
echo "psql $PGHOST $PGUSER $PGDATABASE $PGPORT $PGSSLMODE $what" >>"$CALLS""#;
    scene.program("psql", psql).unwrap();
    scene.program("pg_dump", r#"echo "pg_dump $PGHOST $PGPASSWORD" >>"$CALLS""#).unwrap();
    scene.program("pg_restore", r#"echo "pg_restore $PGHOST $*" | tr -s ' ' >>"$CALLS""#).unwrap();
    scene
}

#[test]
fn postgres_is_frozen_dumped_and_restored() {
    let scene = postgres("pg-copy");
    succeeded(&run(&scene, POSTGRES_COPY, &[("FREEZE", "true"), ("TLS", "require")]));
    let calls = scene.calls();
    assert_eq!(calls[0], "psql old.example app shop 5432 require freeze");
    assert_eq!(calls[1], r#"pg_dump old.example p"a\ss $(x)"#);
    assert!(calls[2].starts_with("pg_restore new.example --single-transaction"), "{calls:?}");
    assert!(calls[2].contains("--dbname=shop"), "{calls:?}");
    assert_eq!(calls.len(), 3);
}

#[test]
fn postgres_is_thawed_when_the_copy_fails() {
    let scene = postgres("pg-thaw");
    scene.program("pg_dump", "exit 3").unwrap();
    let output = run(&scene, POSTGRES_COPY, &[("FREEZE", "true")]);
    assert_eq!(output.status.code(), Some(3));
    let last: Vec<String> = scene.calls().iter().map(|call| call.rsplit(' ').next().unwrap().to_owned()).collect();
    assert_eq!(last, ["freeze", "thaw"], "and nothing is restored");
}

#[test]
fn postgres_is_left_alone_unless_it_is_to_be_frozen() {
    let scene = postgres("pg-unfrozen");
    scene.program("pg_dump", "exit 3").unwrap();
    assert!(!run(&scene, POSTGRES_COPY, &[("FREEZE", "false")]).status.success());
    assert_eq!(scene.calls(), Vec::<String>::new());
}

#[test]
fn a_missing_credential_is_said_and_ends_the_script() {
    let scene = postgres("pg-missing");
    fs::remove_file(scene.root().join("to/0/hostname")).unwrap();
    let output = run(&scene, POSTGRES_COPY, &[("FREEZE", "false")]);
    assert_eq!(output.status.code(), Some(1));
    let message = "none of the related resources mounted from the to end has a key called any of: host hostname\n";
    assert_eq!(scene.termination(), message);
}

#[test]
fn a_value_of_several_lines_is_no_option_of_the_client() {
    for host in ["db\nlocal-infile=1", "db\rlocal-infile=1"] {
        let scene = ends("mysql-lines");
        scene.write("from/1/host", host).unwrap();
        scene.program("mysql", r#"echo "$*" >>"$CALLS""#).unwrap();
        scene.program("mysqldump", r#"echo "$*" >>"$CALLS""#).unwrap();
        let variables = [("FREEZE", "true"), ("CLIENT", "mysql"), ("DUMP", "mysqldump")];
        let output = run(&scene, &[MYSQL, include_str!("../scripts/mysql-copy.sh")], &variables);
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(scene.termination().contains("the from end has a value of several lines"), "{}", scene.termination());
        assert_eq!(scene.calls(), Vec::<String>::new());
    }
}

#[test]
fn postgres_tables_are_compared() {
    let parts = &[include_str!("../scripts/postgres.sh"), include_str!("../scripts/postgres-verify.sh")];
    let scene = postgres("pg-verify");
    scene
        .program(
            "psql",
            r#"cat >/dev/null; echo "public|orders|7"; if [ "$PGHOST" = "$OTHER" ]; then echo "public|more|1"; fi"#,
        )
        .unwrap();
    succeeded(&run(&scene, parts, &[]));
    let output = run(&scene, parts, &[("OTHER", "old.example")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(scene.termination().contains("numbers of rows differ"), "{}", scene.termination());
}

const MYSQL: &str = include_str!("../scripts/mysql.sh");

#[test]
fn mysql_is_thawed_when_the_restore_fails_and_its_password_is_in_no_argument() {
    let scene = ends("mysql-copy");
    scene.write("from/1/username", r#"a"b\c"#).unwrap();
    let client = r#"echo "$*" >>"$CALLS.arguments"
case "$*" in *"READ ONLY"*) echo "$*" | sed 's/.*READ/READ/' >>"$CALLS" ;; *) cat >/dev/null; echo restore >>"$CALLS"; exit 4 ;; esac"#;
    scene.program("mysql", client).unwrap();
    scene.program("mysqldump", r#"echo dump >>"$CALLS"; : >"$WORK/dump.sql""#).unwrap();
    let variables = [("FREEZE", "true"), ("CLIENT", "mysql"), ("DUMP", "mysqldump"), ("TLS", "require")];
    let output = run(&scene, &[MYSQL, include_str!("../scripts/mysql-copy.sh")], &variables);
    assert_eq!(output.status.code(), Some(4), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(scene.calls(), ["READ ONLY = 1", "dump", "restore", "READ ONLY = 0"]);
    let options = scene.read("work/from.cnf");
    assert!(options.contains(r#"user="a\"b\\c""#) && options.contains("loose-local-infile=0"), "{options}");
    assert!(options.contains(r#"password="p\"a\\ss $(x)""#) && options.contains("ssl-mode=REQUIRED"), "{options}");
    let arguments = scene.read("calls.arguments");
    assert!(!arguments.contains("ss $(x)"));
    let restore = arguments.lines().find(|call| call.contains("--database=")).unwrap_or_default();
    assert!(restore.contains("--binary-mode --batch"), "the client's own commands are off: {restore}");
}

#[test]
fn mysql_tables_are_counted_one_by_one() {
    let scene = ends("mysql-verify");
    let client = r#"case "$*" in *information_schema*) printf 'a b\n`c`\n' ;; *COUNT*) echo "$*" | sed 's/.*FROM //' >>"$CALLS"; echo 5 ;; esac"#;
    scene.program("mysql", client).unwrap();
    let parts = &[MYSQL, include_str!("../scripts/mysql-verify.sh")];
    succeeded(&run(&scene, parts, &[("CLIENT", "mysql")]));
    assert_eq!(scene.calls(), ["`a b`", "```c```", "`a b`", "```c```"]);
}

const PROMOTE: &[&str] = &[
    include_str!("../scripts/redis.sh"),
    include_str!("../scripts/redis-replicate.sh"),
    include_str!("../scripts/redis-promote.sh"),
];

#[test]
fn redis_that_follows_no_more_is_made_to_follow_again_before_it_is_promoted() {
    let scene = ends("redis-restarted");
    let client = r#"echo "$*" | sed 's/.*--no-auth-warning //' >>"$CALLS"
case "$*" in
*"REPLICAOF old.example"*) : >"$WORK/follows" ;;
*INFO*) if [ -f "$WORK/follows" ]; then link=up; else link=; echo role:master; fi
printf 'master_link_status:%s\r\nmaster_sync_in_progress:0\r\nmaster_repl_offset:70\r\nslave_repl_offset:70\r\n' "$link" ;;
esac"#;
    scene.program("redis-cli", client).unwrap();
    succeeded(&run(&scene, PROMOTE, &[("CLIENT", "redis-cli"), ("PAUSE_MS", "4000")]));
    let calls = scene.calls();
    let at =
        |what: &str| calls.iter().position(|call| call.contains(what)).unwrap_or_else(|| panic!("{what}: {calls:?}"));
    assert!(at("REPLICAOF old.example 6379") < at("CLIENT PAUSE") && at("CLIENT PAUSE") < at("REPLICAOF NO ONE"));
}

#[test]
fn ends_of_redis_that_say_nothing_have_not_caught_up() {
    let scene = ends("redis-mute");
    let client = r#"case "$*" in *new.example*INFO*) printf 'master_link_status:up\nmaster_sync_in_progress:0\n' ;; esac
echo "$*" >>"$CALLS""#;
    scene.program("redis-cli", client).unwrap();
    let output = run(&scene, PROMOTE, &[("CLIENT", "redis-cli"), ("PAUSE_MS", "2000")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(!scene.calls().iter().any(|call| call.contains("NO ONE")));
}

#[test]
fn redis_is_promoted_only_when_it_has_caught_up() {
    let parts = PROMOTE;
    let scene = ends("redis-promote");
    let client = r#"echo "$*" | sed 's/.*--no-auth-warning //' >>"$CALLS"
case "$*" in *INFO*) printf 'master_link_status:up\r\nmaster_sync_in_progress:0\r\nmaster_repl_offset:%s\r\nslave_repl_offset:%s\r\n' "$OLD" 70 ;; esac"#;
    scene.program("redis-cli", client).unwrap();
    succeeded(&run(&scene, parts, &[("CLIENT", "redis-cli"), ("PAUSE_MS", "4000"), ("OLD", "70")]));
    let calls = scene.calls();
    assert!(calls.iter().any(|call| call.ends_with("CLIENT PAUSE 4000 WRITE")), "{calls:?}");
    assert!(calls.iter().any(|call| call.ends_with("REPLICAOF NO ONE")), "{calls:?}");

    let scene = ends("redis-behind");
    scene.program("redis-cli", client).unwrap();
    let output = run(&scene, parts, &[("CLIENT", "redis-cli"), ("PAUSE_MS", "2000"), ("OLD", "71")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(scene.termination().contains("did not catch up"));
    assert!(!scene.calls().iter().any(|call| call.contains("NO ONE")));
}

#[test]
fn redis_says_what_the_server_refuses() {
    let parts = &[include_str!("../scripts/redis.sh"), include_str!("../scripts/redis-replicate.sh")];
    let scene = ends("redis-refuses");
    scene.program("redis-cli", r#"cat >/dev/null; echo "NOPERM no permission""#).unwrap();
    let output = run(&scene, parts, &[("CLIENT", "redis-cli")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(scene.termination().contains("the to end refuses the command: NOPERM"), "{}", scene.termination());
}

const QDRANT: &str = include_str!("../scripts/qdrant.sh");

#[test]
fn qdrant_collections_travel_as_snapshots() {
    let scene = ends("qdrant-copy");
    let curl = r#"cat >/dev/null; for last; do :; done
echo "$last $*" | sed -e 's/ --fail.*--header @-//' >>"$CALLS"
case "$last" in
*/collections) echo '{"result":{"collections":[{"name":"b c"},{"name":"a"}]}}' ;;
*/snapshots\?wait=true) echo '{"result":{"name":"s-1.snapshot","size":5}}' ;;
esac"#;
    scene.program("curl", curl).unwrap();
    succeeded(&run(&scene, &[QDRANT, include_str!("../scripts/qdrant-copy.sh")], &[]));
    let targets: Vec<String> = scene.calls().iter().map(|call| call.split(' ').next().unwrap().to_owned()).collect();
    let expected = [
        "http://fr.example:6333/collections",
        "http://fr.example:6333/collections/a/snapshots?wait=true",
        "http://fr.example:6333/collections/a/snapshots/s-1.snapshot",
        "http://to.example:6333/collections/a/snapshots/upload?priority=snapshot&wait=true",
        "http://fr.example:6333/collections/a/snapshots/s-1.snapshot",
        "http://fr.example:6333/collections/b%20c/snapshots?wait=true",
    ];
    assert_eq!(targets[..6], expected);
}

#[test]
fn an_old_end_that_does_not_answer_is_no_empty_one() {
    let scene = ends("qdrant-silent");
    scene.program("curl", "cat >/dev/null; exit 22").unwrap();
    let output = run(&scene, &[QDRANT, include_str!("../scripts/qdrant-copy.sh")], &[]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(scene.termination().contains("the from end does not answer /collections"));
}

#[test]
fn an_end_of_qdrant_that_counts_nothing_is_no_equal_one() {
    let scene = ends("qdrant-uncounted");
    let curl = r#"cat >/dev/null; for last; do :; done
case "$*" in
*/points/count*) echo '{"status":"ok"}' ;;
*/collections) echo '{"result":{"collections":[{"name":"a"}]}}' ;;
esac"#;
    scene.program("curl", curl).unwrap();
    let output = run(&scene, &[QDRANT, include_str!("../scripts/qdrant-verify.sh")], &[]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(scene.termination().contains("does not say how many points"), "{}", scene.termination());
}

/// A stand-in for the shell of `MongoDB`, with two databases; the old end has one document more in the second.
const MONGOSH: &str = r#"for program; do :; done
exec node -e '
const old = process.env.END_URI.includes("old");
const counts = { shop: { a: 1 }, stock: { b: old ? 3 : 2 }, admin: { c: old ? 1 : 2 }, test: {} };
const database = name => ({
    getCollectionNames: () => Object.keys(counts[name]),
    getCollection: each => ({ countDocuments: () => counts[name][each] }),
    getSiblingDB: database,
    getMongo: () => ({ getDBNames: () => Object.keys(counts) }),
});
const connect = uri => database(new URL(uri).pathname.slice(1) || "test");
const print = console.log;
eval(process.argv[1]);' "$program""#;

#[test]
fn every_database_is_compared_where_none_is_named() {
    if std::process::Command::new("node").arg("--version").output().is_err() {
        eprintln!("skipped: the stand-in needs node");
        return;
    }
    let parts = &[include_str!("../scripts/mongodb.sh"), include_str!("../scripts/mongodb-verify.sh")];
    for (path, equal) in [("", false), ("/?tls=true", false), ("/shop?tls=true", true), ("/stock", false)] {
        let scene = ends("mongodb-verify");
        for (end, host) in [("from/1", "old"), ("to/0", "new")] {
            fs::remove_file(scene.root().join(end).join("database")).unwrap();
            scene.write(&format!("{end}/uri"), &format!("mongodb://app:p@{host}.example{path}")).unwrap();
        }
        scene.program("mongosh", MONGOSH).unwrap();
        let output = run(&scene, parts, &[]);
        let log = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), equal, "{path}: {log}");
        assert!(equal || log.contains("numbers of documents differ"), "{path}: {log}");
    }
}

#[test]
fn a_shell_can_read_every_script() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    assert_eq!(unreadable(&folder).unwrap(), Vec::<String>::new());
}
