//! `resource-broker migrate` as its users run it: what it says of every kubeconfig and every answer that is of no use, and what
//! it lists. The coordination cluster is a server here that gives the answers of a table.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::thread;

use serde_json::{Value, json};

/// What came of a command.
#[derive(Debug)]
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
    /// It ended with this code, and said all of this in one line.
    #[track_caller]
    fn is_refused(&self, code: i32, parts: &[&str]) {
        let missing: Vec<_> = parts.iter().filter(|part| !self.err.contains(**part)).collect();
        let is_one_line = self.out.is_empty() && self.err.trim_end().lines().count() == 1;
        assert!(self.code == code && missing.is_empty() && is_one_line, "without {missing:?}: {self:?}");
    }

    #[track_caller]
    fn is_done(&self) -> &str {
        assert_eq!(self.code, 0, "{self:?}");
        &self.out
    }
}

/// Runs the command outside of any cluster, for somebody without a kubeconfig.
fn migrate(line: &[&str]) -> Outcome {
    let mut command = Command::new(env!("CARGO_BIN_EXE_resource-broker"));
    command.arg("migrate").args(line).env("HOME", "/nonexistent");
    command.env_remove("KUBECONFIG").env_remove("KUBERNETES_SERVICE_HOST");
    command.output().unwrap().into()
}

/// A kubeconfig for a server, which has contexts `here` and `there`.
fn kubeconfig(server: &str) -> String {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "a-token-that-nobody-is-to-see"}}],
        "contexts": [
            {"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "broker"}},
            {"name": "there", "context": {"cluster": "c", "user": "u"}},
        ],
    })
    .to_string()
}

/// What a server answers: the beginning of a request's first line, the code and the body. Everything else is not found.
type Answers = Vec<(&'static str, u16, Value)>;

/// A server that gives these answers, and a kubeconfig for it.
struct Server {
    _folder: tempfile::TempDir,
    kubeconfig: String,
}

impl Server {
    fn new(answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        fs::write(&path, kubeconfig(&format!("http://{}", listener.local_addr().unwrap()))).unwrap();
        // It ends with the process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let answers = answers.clone();
                thread::spawn(move || answer(stream, &answers));
            }
        });
        Self { kubeconfig: path.to_str().unwrap().to_owned(), _folder: folder }
    }

    fn migrate(&self, line: &[&str]) -> Outcome {
        migrate(&[line, &["--kubeconfig", &self.kubeconfig]].concat())
    }
}

/// Answers the requests of one connection.
fn answer(stream: TcpStream, answers: &Answers) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        reader.read_exact(&mut vec![0; length.unwrap_or(0)]).ok()?;
        let not_found = ("", 404, status("NotFound", "the server could not find the requested resource"));
        let found = answers.iter().find(|(request, ..)| head.starts_with(request));
        let (_, code, body) = found.unwrap_or(&not_found);
        let body = body.to_string();
        let head =
            format!("HTTP/1.1 {code} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).ok()?;
    }
}

fn status(reason: &str, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message})
}

fn list(items: &Value) -> Value {
    json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items})
}

/// A Migration whose stage waits for approval.
fn migration(namespace: &str, name: &str) -> Value {
    let end = |cluster: &str| json!({"gvk": {"group": "g", "version": "v1", "kind": "SQL"}, "name": "c", "clusterName": cluster});
    let condition = json!({
        "type": "Progressing", "status": "False", "reason": "AwaitingApproval", "message": "a person has to approve it",
        "lastTransitionTime": "2020-01-01T00:00:00Z",
    });
    json!({
        "apiVersion": "broker.platform-mesh.io/v1alpha1", "kind": "Migration",
        "metadata": {
            "name": name, "namespace": namespace, "uid": name, "resourceVersion": "1",
            "creationTimestamp": "2020-01-01T00:00:00Z",
        },
        "spec": {"from": end("provider#a"), "to": end("provider#b")},
        "status": {
            "state": "InitialInProgress", "stage": "copy", "id": "m1", "conditions": [condition],
            "stages": [{"name": "copy", "state": "AwaitingApproval", "attempt": 1}],
        },
    })
}

fn assignment(namespace: &str, name: &str) -> Value {
    let consumer = json!({
        "cluster": "consumer#c", "group": "g", "version": "v1", "kind": "SQL", "namespace": "team", "name": "orders", "uid": "1",
    });
    let provider = json!({"cluster": "provider#a", "name": "c", "acceptAPI": {"namespace": "n", "name": "o"}});
    json!({"metadata": {"name": name, "namespace": namespace}, "spec": {"consumer": consumer, "provider": provider}})
}

#[test]
fn a_kubeconfig_that_is_of_no_use_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let missing = folder.path().join("missing");
    let missing = missing.to_str().unwrap();
    let good = put("good", &kubeconfig("http://127.0.0.1:1"));
    let garbage = put("garbage", "users: [{name: a, user: {token: a-token-that-nobody-is-to-see}}\n]:");
    let empty = put("empty", "");
    let nowhere = put("nowhere", &kubeconfig("http://127.0.0.1:1").replace("\"current-context\":\"here\",", ""));
    for (line, parts) in [
        (vec!["--kubeconfig", missing], vec![missing, "no such file; check the path"]),
        (vec!["--coordination-kubeconfig", missing], vec![missing, "no such file; check the path"]),
        (vec!["--kubeconfig", folder.path().to_str().unwrap()], vec!["directory", "it must be a file"]),
        (vec!["--kubeconfig", &garbage], vec![&garbage, "it is not YAML that makes a kubeconfig"]),
        (vec!["--kubeconfig", &empty], vec![&empty, "it is empty"]),
        (vec!["--kubeconfig", &nowhere], vec![&nowhere, "no current-context", "--context: here, there"]),
        (vec!["--kubeconfig", &good, "--context", "where"], vec!["no context \"where\"", "--context: here, there"]),
        (vec![], vec!["no kubeconfig for the coordination cluster", "KUBECONFIG"]),
    ] {
        for order in [&["approve", "a"][..], &["retry", "a"], &["rollback", "a"], &["list"]] {
            let outcome = migrate(&[order, &line].concat());
            outcome.is_refused(2, &parts);
            assert!(!outcome.err.contains("a-token") && !outcome.err.contains("os error 2"), "{outcome:?}");
        }
    }
    // The server of this one does not answer.
    migrate(&["retry", "a", "--kubeconfig", &good]).is_refused(
        1,
        &["migrate retry: http://127.0.0.1:1", &good, "does not answer", "check that it is up", "--context"],
    );
}

#[test]
fn a_command_line_that_cannot_be_followed_is_told_before_anybody_is_asked() {
    for (line, part) in [
        (&["approve"][..], "NAME"),
        (&["undo", "a"], "undo"),
        (&["retry", "Not A Name"], "migrate list shows them"),
        (&["retry", "assignment/sql-a"], "not a Migration's name"),
        (&["retry", "a", "-n", "a/b"], "not a namespace's name"),
        (&["retry", "a", "--timeout=5s"], "--wait"),
        (&["list", "-A", "-n", "a"], "cannot be used with"),
        (&["list", "-o", "xml"], "wide, json, yaml"),
    ] {
        migrate(line).is_refused(2, &[part]);
    }
}

#[test]
fn what_the_cluster_refuses_is_told_with_the_way_out() {
    let of_broker = "GET /apis/broker.platform-mesh.io/v1alpha1/namespaces/broker/migrations";
    let get = "GET /apis/broker.platform-mesh.io/v1alpha1/namespaces/broker/migrations/sql-orders-1 ";
    let patch = "PATCH /apis/broker.platform-mesh.io/v1alpha1/namespaces/broker/migrations/sql-orders-1?";
    let forbidden = || status("Forbidden", "User \"u\" cannot patch resource \"migrations\"");
    let all = || list(&json!([migration("broker", "vm-web-2"), migration("broker", "sql-orders-1")]));
    let cases: [(Answers, &[&str], &[&str]); 6] = [
        (
            vec![(of_broker, 401, status("Unauthorized", "Unauthorized"))],
            &["retry", "sql-orders-1"],
            &["does not know the credentials", "log in anew"],
        ),
        (
            vec![(get, 200, migration("broker", "sql-orders-1")), (patch, 403, forbidden())],
            &["approve", "sql-orders-1"],
            &["does not allow it", "cannot patch resource", "ask who runs that cluster"],
        ),
        (
            vec![(get, 200, migration("broker", "sql-orders-1"))],
            &["retry", "sql-orders-1"],
            &["sql-orders-1: nothing has failed", "migrate rollback"],
        ),
        (vec![], &["retry", "sql-orders-1"], &["has no Migrations", "is it the coordination cluster?", "--context"]),
        (
            vec![(of_broker, 200, list(&json!([])))],
            &["rollback", "orders", "-n", "broker"],
            // The list stands in for the object, which it is not.
            &["cannot be read"],
        ),
        (
            vec![("GET /apis/broker.platform-mesh.io/v1alpha1/namespaces/broker/migrations ", 200, all())],
            &["retry", "orders"],
            &["there is no Migration orders in namespace broker, which has sql-orders-1 (InitialInProgress), vm-web-2"],
        ),
    ];
    for (answers, line, parts) in cases {
        Server::new(answers).migrate(line).is_refused(1, parts);
    }
}

#[test]
fn a_migration_of_another_namespace_is_found() {
    let here = "GET /apis/broker.platform-mesh.io/v1alpha1/namespaces/broker/migrations ";
    let everywhere = "GET /apis/broker.platform-mesh.io/v1alpha1/migrations ";
    let all = list(&json!([migration("other", "sql-orders-1")]));
    let server = Server::new(vec![(here, 200, list(&json!([]))), (everywhere, 200, all)]);
    server.migrate(&["retry", "sql-orders-1"]).is_refused(1, &["in namespace broker, but in other: give -n other"]);
    server
        .migrate(&["retry", "sql-orders-2"])
        .is_refused(1, &["nor any other; there are some in other: give -n NAMESPACE"]);
    let server = Server::new(vec![(here, 200, list(&json!([])))]);
    server.migrate(&["retry", "sql-orders-1"]).is_refused(1, &["nor any other; -n NAMESPACE names the broker's"]);
}

#[test]
fn an_order_is_told_to_people_and_to_scripts() {
    let get = "GET /apis/broker.platform-mesh.io/v1alpha1/namespaces/broker/migrations/sql-orders-1 ";
    let patch = "PATCH /apis/broker.platform-mesh.io/v1alpha1/namespaces/broker/migrations/sql-orders-1?";
    let answers = [get, patch].map(|request| (request, 200, migration("broker", "sql-orders-1")));
    let server = Server::new(answers.to_vec());
    let told = server.migrate(&["approve", "migration.broker.platform-mesh.io/sql-orders-1"]);
    assert_eq!(told.is_done(), "sql-orders-1: approve is ordered; the broker carries it out\n");
    let told = server.migrate(&["approve", "sql-orders-1", "-o", "json"]);
    let told: Value = serde_json::from_str(told.is_done()).unwrap();
    let expected = json!({
        "migration": "sql-orders-1", "namespace": "broker", "order": "approve", "stage": "copy",
        "state": "InitialInProgress", "carriedOut": false,
    });
    assert_eq!(told, expected);
    let told = server.migrate(&["approve", "sql-orders-1", "-o", "yaml"]);
    assert!(told.is_done().contains("carriedOut: false\n"), "{told:?}");
    server
        .migrate(&["approve", "sql-orders-1", "--stage=check"])
        .is_refused(1, &["stage copy waits for approval, not check"]);
}

#[test]
fn migrations_are_listed_with_their_objects() {
    let here = "GET /apis/broker.platform-mesh.io/v1alpha1/namespaces/broker/";
    let of = |kind: &str| -> &'static str { format!("{here}{kind} ").leak() };
    let both = json!([migration("broker", "vm-web-2"), migration("broker", "sql-orders-1")]);
    let assignments = list(&json!([assignment("broker", "sql-orders-1")]));
    let answers = vec![(of("migrations"), 200, list(&both)), (of("assignments"), 200, assignments)];
    let server = Server::new(answers.clone());
    let table = server.migrate(&["list"]);
    let lines: Vec<&str> = table.is_done().lines().collect();
    assert_eq!(lines.len(), 3, "{table:?}");
    assert!(lines[0].starts_with("NAME           OBJECT "), "{table:?}");
    assert!(
        lines[1].starts_with("sql-orders-1   SQL team/orders   provider#a   provider#b   InitialInProgress   copy"),
        "{table:?}"
    );
    assert!(
        lines[1].ends_with("a person has to approve it") && lines[2].starts_with("vm-web-2       SQL  "),
        "{table:?}"
    );
    let wide = server.migrate(&["list", "-o", "wide"]);
    assert!(wide.is_done().contains("CONSUMER") && wide.out.contains("consumer#c"), "{wide:?}");
    let all: Value = serde_json::from_str(server.migrate(&["list", "-o", "json"]).is_done()).unwrap();
    assert_eq!(all[0]["object"]["name"], "orders");
    assert_eq!(all[0]["message"], "a person has to approve it");
    assert_eq!((&all[1]["object"], &all[1]["kind"]), (&Value::Null, &json!("SQL")));

    // Who may not read Assignments sees the rest; where there is nothing, that is said; and what is no such cluster is told.
    let server = Server::new(answers[..1].to_vec());
    assert!(server.migrate(&["list"]).is_done().contains("sql-orders-1"));
    let server = Server::new(vec![(of("migrations"), 200, list(&json!([])))]);
    let none = server.migrate(&["list"]);
    assert_eq!((none.is_done(), none.err.as_str()), ("", "no Migrations in namespace broker\n"));
    assert_eq!(server.migrate(&["list", "-o", "json"]).is_done(), "[]\n");
    Server::new(vec![]).migrate(&["list", "-A"]).is_refused(1, &["has no Migrations", "--kubeconfig"]);
    let all = vec![("GET /apis/broker.platform-mesh.io/v1alpha1/migrations ", 200, list(&both))];
    let table = Server::new(all).migrate(&["list", "-A"]);
    assert!(table.is_done().starts_with("NAMESPACE   NAME"), "{table:?}");
}
