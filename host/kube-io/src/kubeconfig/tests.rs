use std::os::unix::fs::symlink;

use tempfile::TempDir;

use kube::config::AuthInfo;

use super::*;
use crate::testing::kubeconfig;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }
}

fn reader() -> Reader {
    Reader::new(Proxy::default())
}

fn provider(place: Place) -> [Source; 1] {
    [Source { role: Role::Provider, place }]
}

fn names(reading: &Reading) -> Vec<String> {
    reading.found.keys().map(ToString::to_string).collect()
}

#[track_caller]
fn only_problem(reading: &Reading) -> String {
    assert_eq!(reading.problems.len(), 1, "{:?}", reading.problems);
    reading.problems[0].to_string()
}

#[test]
fn every_context_of_a_plain_path_is_a_cluster() {
    let folder = Folder::new();
    let path = folder.write("x.yaml", &kubeconfig(&["b", "a"], "t"));
    let reading = reader().read(&provider(Place::Contexts(path.clone())));
    assert_eq!(names(&reading), [format!("provider#{path}+a"), format!("provider#{path}+b")]);
    assert_eq!(reading.problems, []);
}

#[test]
fn a_named_file_is_its_current_context() {
    let folder = Folder::new();
    let path = PathBuf::from(folder.write("x.yaml", &kubeconfig(&["b", "a"], "t")));
    let place = Place::Named { name: "nestor".to_owned(), paths: vec![path] };
    let mut reader = reader();
    assert_eq!(names(&reader.read(&provider(place.clone()))), ["provider#nestor"]);
    assert_eq!(reader.namespace(&place), Some("of-b".to_owned()));
}

#[test]
fn of_several_files_the_first_decides_and_missing_ones_are_overlooked() {
    let folder = Folder::new();
    let paths = vec![
        PathBuf::from(folder.path("missing")),
        PathBuf::from(folder.write("one", &kubeconfig(&["a"], "first"))),
        PathBuf::from(folder.write("two", &kubeconfig(&["b"], "second"))),
    ];
    let place = Place::Named { name: "merged".to_owned(), paths };
    let mut reader = reader();
    assert_eq!(reader.namespace(&place), Some("of-a".to_owned()));
    assert_eq!(reader.read(&provider(place)).problems, []);
}

#[test]
fn directories_hold_kubeconfigs_of_certain_names() {
    let folder = Folder::new();
    for name in ["kubeconfig.yaml", "a.kubeconfig", "b.kubeconfig.yaml", "c.kubeconfig.yml", "kubeconfig.yml"] {
        folder.write(name, &kubeconfig(&["x"], "t"));
    }
    for name in ["notes.yaml", "kubeconfig", "a.kubeconfig.bak", ".hidden.kubeconfig"] {
        folder.write(name, "no kubeconfig");
    }
    let directory = folder.path("");
    let reading = reader().read(&provider(Place::Directory(format!("{directory}/./"))));
    let clean = directory.trim_end_matches('/');
    let expected = ["a.kubeconfig", "b.kubeconfig.yaml", "c.kubeconfig.yml", "kubeconfig.yaml", "kubeconfig.yml"];
    assert_eq!(names(&reading), expected.map(|name| format!("provider#{clean}/{name}+x")));
    assert_eq!(reading.problems, []);
}

#[test]
fn paths_of_directories_are_cleaned() {
    for (given, expected) in [
        ("dir", "dir"),
        ("./dir/", "dir"),
        ("a//b/./c/", "a/b/c"),
        ("a/../b", "b"),
        ("../a", "../a"),
        ("/../a", "/a"),
        ("a/..", "."),
        (".", "."),
        ("/", "/"),
    ] {
        assert_eq!(directory::clean(given), expected, "{given}");
    }
}

#[test]
fn a_rewritten_file_is_noticed_by_its_content() {
    let folder = Folder::new();
    let path = folder.write("x", &kubeconfig(&["a", "b"], "one"));
    let sources = provider(Place::Contexts(path.clone()));
    let mut reader = reader();
    let digests = |reading: Reading| reading.found.into_values().map(|found| found.digest).collect::<Vec<_>>();
    let first = digests(reader.read(&sources));
    folder.write("x", &kubeconfig(&["a", "b"], "one"));
    assert_eq!(digests(reader.read(&sources)), first, "the same content is the same");
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    folder.write("x", &kubeconfig(&["a", "b"], "two"));
    fs::File::open(&path).unwrap().set_modified(modified).unwrap();
    assert_ne!(digests(reader.read(&sources)), first, "another content under the same time is another");
}

#[test]
fn a_mounted_secret_is_swapped_by_a_symlink() {
    let folder = Folder::new();
    for (version, token) in [("v1", "one"), ("v2", "two")] {
        fs::create_dir(folder.path(version)).unwrap();
        folder.write(&format!("{version}/x.kubeconfig"), &kubeconfig(&["a"], token));
    }
    symlink("v1", folder.path("..data")).unwrap();
    symlink("..data/x.kubeconfig", folder.path("x.kubeconfig")).unwrap();
    let sources = provider(Place::Directory(folder.path("")));
    let mut reader = reader();
    let mut digest = || reader.read(&sources).found.into_values().map(|found| found.digest).collect::<Vec<_>>();
    let before = digest();
    symlink("v2", folder.path("..tmp")).unwrap();
    fs::rename(folder.path("..tmp"), folder.path("..data")).unwrap();
    let after = digest();
    assert_eq!((before.len(), after.len()), (1, 1));
    assert_ne!(before, after);
}

#[test]
fn certificates_beside_the_file_belong_to_it() {
    let folder = Folder::new();
    let ca = |body: &str| format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
    folder.write("ca.pem", &ca("AAAA"));
    let text = kubeconfig(&["a"], "t").replace("server:", "certificate-authority: ca.pem, server:");
    let sources = provider(Place::Contexts(folder.write("x", &text)));
    let mut reader = reader();
    let mut read = || reader.read(&sources);
    let before = read();
    assert_eq!(before.problems, []);
    let digest = |reading: &Reading| reading.found.values().next().unwrap().digest;
    folder.write("ca.pem", &ca("AAAB"));
    assert_ne!(digest(&read()), digest(&before));
    fs::remove_file(folder.path("ca.pem")).unwrap();
    let without = read();
    assert!(only_problem(&without).contains("ca.pem cannot be read: No such file"), "{:?}", without.problems);
    let name = before.found.keys().next().unwrap();
    assert!(without.keeps(name, "elsewhere"), "whoever has the cluster keeps it");
}

#[test]
fn what_is_wrong_is_said_without_the_files_values() {
    let good = kubeconfig(&["a"], "t");
    for (text, expected) in [
        ("", "it is empty"),
        ("\n \n", "it is empty"),
        ("users: hunter2", "unfit value, expected a sequence"),
        ("contexts: [{name: hunter2", "it is not YAML that makes a kubeconfig"),
        ("{}", "it has no contexts"),
        (&good.replace("cluster: c,", "cluster: other,"), r#"context "a": the file has no cluster "other""#),
        (&good.replace("http://127.0.0.1:1", "hunter2"), "server is not a URL such as https://host:6443"),
        (&good.replace("server:", "certificate-authority-data: hunter2!, server:"), "the data is not base64"),
        (&good.replace("server:", "proxy-url: 'a b', server:"), "proxy-url"),
    ] {
        let folder = Folder::new();
        let path = folder.write("x", text);
        let problem = only_problem(&reader().read(&provider(Place::Contexts(path.clone()))));
        assert!(problem.starts_with(&format!("provider kubeconfig {path}: ")), "{problem}");
        assert!(problem.contains(expected), "{text:?}: {problem}");
        assert!(!problem.contains("hunter2"), "{problem}");
    }
}

#[test]
fn one_bad_file_or_context_leaves_the_others() {
    let folder = Folder::new();
    folder.write("bad.kubeconfig", "{");
    let text = kubeconfig(&["a"], "t") + "- {name: stray, context: {cluster: nowhere}}\n";
    folder.write("good.kubeconfig", &text);
    let reading = reader().read(&provider(Place::Directory(folder.path(""))));
    assert_eq!(names(&reading).len(), 1);
    assert_eq!(reading.problems.len(), 2, "{:?}", reading.problems);
    let bad = folder.path("bad.kubeconfig");
    assert!(reading.keeps(&ClusterName::new(Role::Provider, format!("{bad}+a")), &bad));
}

#[test]
fn two_clusters_of_one_name_are_told_by_their_files() {
    let folder = Folder::new();
    let [one, two] = ["one", "two"].map(|name| PathBuf::from(folder.write(name, &kubeconfig(&["a"], name))));
    let named = |path: PathBuf| Place::Named { name: "same".to_owned(), paths: vec![path] };
    let sources = [one.clone(), two.clone()].map(|path| Source { role: Role::Consumer, place: named(path) });
    let problem = only_problem(&reader().read(&sources));
    assert!(problem.contains(one.to_str().unwrap()) && problem.contains(two.to_str().unwrap()), "{problem}");
}

#[test]
fn the_environments_proxy_serves_those_who_name_none() {
    let folder = Folder::new();
    let proxied = kubeconfig(&["own"], "t").replace("server:", "proxy-url: 'http://own:1', server:");
    let path = folder.write("own", &proxied.replace("127.0.0.1", "api.example"));
    let plain = folder.write("plain", &kubeconfig(&["x"], "t").replace("127.0.0.1", "api.example"));
    let local = folder.write("local", &kubeconfig(&["x"], "t").replace("127.0.0.1", "api.local"));
    let proxy = Proxy { url: Some("corp:3128".to_owned()), except: Some(".local".to_owned()) };
    let mut reader = Reader::new(proxy);
    let mut proxy_of = |path: String| {
        let reading = reader.read(&provider(Place::Contexts(path)));
        reading.found.into_values().next().unwrap().config.proxy_url.as_ref().map(ToString::to_string)
    };
    assert_eq!(proxy_of(path).as_deref(), Some("http://own:1/"));
    assert_eq!(proxy_of(plain).as_deref(), Some("http://corp:3128/"));
    assert_eq!(proxy_of(local), None);
}

/// A kubeconfig of one context whose cluster and user are these maps.
fn with(cluster: &str, user: &str) -> String {
    format!(
        "clusters:\n- name: c\n  cluster: {{server: 'https://a.example:6443', {cluster}}}\nusers:\n- name: u\n  user: {{{user}}}\n\
         contexts:\n- {{name: x, context: {{cluster: c, user: u}}}}\n"
    )
}

/// What there is in a folder beside the kubeconfig.
fn beside() -> Folder {
    let folder = Folder::new();
    for (name, text) in [
        ("ca.pem", PEM),
        ("key.pem", "key"),
        ("token", "of-file\n"),
        ("token-blank", " \t of-file \r\n\n"),
        ("token-empty", "\n"),
        ("token-broken", "of\nfile"),
    ] {
        folder.write(name, text);
    }
    folder
}

const PEM: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
/// The same in base64, and wrapped as some tools write it.
const BASE64: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCkFBQUEKLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=";

fn wrapped(indent: &str) -> String {
    let lines = BASE64.as_bytes().chunks(20).map(|line| str::from_utf8(line).unwrap());
    lines.flat_map(|line| [indent, line, "\n"]).collect()
}

/// The only cluster of a kubeconfig, or what is wrong; with what is said beside it.
fn read_one(folder: &Folder, text: &str) -> (Result<Arc<Config>, String>, Vec<String>) {
    let reading = reader().read(&provider(Place::Contexts(folder.write("x", text))));
    let warnings = reading.warnings.iter().map(|warning| warning.problem.to_string()).collect();
    let found = reading.found.values().next().map(|found| found.config.clone());
    (found.ok_or_else(|| only_problem(&reading)), warnings)
}

fn word(user: &AuthInfo, key: &str) -> Option<String> {
    serde_json::to_value(user).unwrap()[key].as_str().map(str::to_owned)
}

#[test]
fn credentials_are_those_that_kubectl_would_use() {
    let data = |text: &str| format!("{text}: {BASE64}");
    let (cert, key) = (data("client-certificate-data"), data("client-key-data"));
    let folder = beside();
    for (user, expected) in [
        // Tokens. Of client-go: a token file counts more than a token, and is trimmed.
        ("token: t".to_owned(), &[("token", "t")][..]),
        ("token: \"t\\n\"".to_owned(), &[("token", "t")]),
        ("token: ' t\t'".to_owned(), &[("token", "t")]),
        ("tokenFile: token".to_owned(), &[("token", "of-file")]),
        ("tokenFile: token-blank".to_owned(), &[("token", "of-file")]),
        ("token: t, tokenFile: token".to_owned(), &[("token", "of-file")]),
        ("token: '', tokenFile: token".to_owned(), &[("token", "of-file")]),
        ("token: t, tokenFile: ''".to_owned(), &[("token", "t")]),
        ("token: t, tokenFile: token-empty".to_owned(), &[("token", "t")]),
        ("token: t, tokenFile: nowhere".to_owned(), &[("token", "t")]),
        // Empty is not given.
        ("token: t, client-certificate: '', client-key: ''".to_owned(), &[("token", "t")]),
        ("token: t, client-certificate-data: '', client-key-data: null".to_owned(), &[("token", "t")]),
        ("token: t, username: '', password: ''".to_owned(), &[("token", "t")]),
        ("token: t, exec: null, auth-provider: null, extensions: [{name: x}], odd: [1]".to_owned(), &[("token", "t")]),
        // Passwords may be empty; one without a name is none.
        ("username: n".to_owned(), &[("username", "n"), ("password", "")]),
        ("username: n, password: p".to_owned(), &[("username", "n"), ("password", "p")]),
        ("token: t, password: p".to_owned(), &[("token", "t")]),
        // Certificates: data counts more than a file, and a key alone is none.
        (format!("{cert}, {key}"), &[("client-certificate-data", BASE64), ("client-key-data", BASE64)]),
        (
            format!("{cert}, {key}, client-key: nowhere"),
            &[("client-certificate-data", BASE64), ("client-key-data", BASE64)],
        ),
        (format!("token: t, {key}"), &[("token", "t")]),
    ] {
        let (config, warnings) = read_one(&folder, &with("", &user));
        let config = config.unwrap_or_else(|what| panic!("{user}: {what}"));
        for key in ["token", "tokenFile", "username", "password", "client-certificate-data", "client-key-data"] {
            let expected = expected.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned());
            assert_eq!(word(&config.auth_info, key), expected, "{key} of {user}");
        }
        assert_eq!(warnings, [""; 0], "{user}");
    }
    let files = "client-certificate: ca.pem, client-key: key.pem";
    let (config, _) = read_one(&folder, &with("", files));
    assert_eq!(config.unwrap().auth_info.client_key, Some(folder.path("key.pem")), "relative to the kubeconfig");
}

#[test]
fn wrapped_base64_is_base64() {
    let folder = beside();
    for style in ["|", ">", ">-", "|-"] {
        let text = with("", "token: t").replace(
            "  cluster: {server: 'https://a.example:6443', }",
            &format!(
                "  cluster:\n    server: https://a.example:6443\n    certificate-authority-data: {style}\n{}",
                wrapped("      ")
            ),
        );
        let (config, warnings) = read_one(&folder, &text);
        assert_eq!(config.unwrap().root_cert, Some(vec![vec![0, 0, 0]]), "{text}");
        assert_eq!(warnings, [""; 0]);
    }
    let plain = wrapped(" ").replace('\n', "");
    let user = format!("client-certificate-data: '{plain}', client-key-data: \"{}\"", plain.replace(' ', "\\r\\n"));
    let config = read_one(&folder, &with("", &user)).0.unwrap();
    for key in ["client-certificate-data", "client-key-data"] {
        assert_eq!(word(&config.auth_info, key).as_deref(), Some(BASE64));
    }
}

#[test]
fn a_clusters_empty_fields_are_not_given() {
    let folder = beside();
    let empty = "certificate-authority: '', certificate-authority-data: '', proxy-url: '', tls-server-name: '', \
                 insecure-skip-tls-verify: null, disable-compression: no, extensions: null";
    let config = read_one(&folder, &with(empty, "token: t")).0.unwrap();
    assert_eq!((&config.root_cert, &config.proxy_url, &config.tls_server_name), (&None, &None, &None));
    assert!(!config.accept_invalid_certs && !config.disable_compression);
    let given = "certificate-authority: ca.pem, tls-server-name: n, insecure-skip-tls-verify: yes, extensions: [{name: x, extension: 1}]";
    let config = read_one(&folder, &with(given, "token: t")).0.unwrap();
    assert_eq!(config.root_cert, Some(vec![vec![0, 0, 0]]));
    assert!(config.accept_invalid_certs && config.tls_server_name.as_deref() == Some("n"));
    let bare = with("insecure-skip-tls-verify: true", "token: t").replace("https://a", "a");
    let config = read_one(&folder, &bare).0.unwrap();
    assert_eq!(config.cluster_url.to_string(), "https://a.example:6443/", "kubectl takes HOST:PORT where TLS is meant");
}

#[test]
fn files_are_taken_in_the_forms_that_kubectl_takes() {
    let good = kubeconfig(&["a"], "t");
    let json = r#"{
	"contexts": [{"name": "a", "context": {"cluster": "c", "user": "u"}}],
	"clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
	"users": [{"name": "u", "user": {"token": "t"}}]
}"#;
    let anchors = "x-user: &user {token: other}\ncontexts: [{name: a, context: {cluster: c, user: u}}]\n\
                   clusters: [{name: c, cluster: &cluster {server: 'http://127.0.0.1:1'}}, {name: d, cluster: *cluster}]\n\
                   users: [{name: u, user: {<<: *user, token: t}}]\n";
    let folder = Folder::new();
    for text in [
        good.clone(),
        format!("{good}---\n"),
        format!("---\n{good}...\n"),
        format!("{good}---\n{}", kubeconfig(&["other"], "o")),
        good.replace('\n', "\r\n"),
        format!("\u{feff}{good}"),
        good.replace("apiVersion: v1\nkind: Config\n", ""),
        good.replace("apiVersion: v1\nkind: Config\n", "apiVersion: null\nkind:\npreferences:\nextensions: null\n"),
        format!("{good}preferences: {{colors: true}}\nextensions: [{{name: x, extension: {{a: b}}}}]\nodd: 1\n"),
        json.to_owned(),
        anchors.to_owned(),
    ] {
        let (config, warnings) = read_one(&folder, &text);
        let config = config.unwrap_or_else(|what| panic!("{what}: {text}"));
        assert_eq!(word(&config.auth_info, "token").as_deref(), Some("t"), "{text}");
        assert_eq!(warnings, [""; 0], "{text}");
    }
}

#[test]
fn what_is_of_no_use_leaves_what_is() {
    let good = kubeconfig(&["a"], "t");
    let folder = Folder::new();
    for (text, expected) in [
        (format!("{good}- {{name: half}}\n"), r#"context "half": it names no cluster"#),
        (format!("{good}- {{name: half, context: null}}\n"), r#"context "half": it names no cluster"#),
        (format!("{good}- {{name: half, context: {{user: u}}}}\n"), r#"context "half": it names no cluster"#),
        (
            format!("{good}- {{name: half, context: {{cluster: d}}}}\n"),
            r#"context "half": the file has no cluster "d""#,
        ),
        (
            format!("{good}- {{name: half, context: {{cluster: d}}}}\n").replace("users:", "- {name: d}\nusers:"),
            r#"context "half": its cluster has no server"#,
        ),
        (
            format!("{good}- {{name: half, context: {{cluster: c, user: [hunter2]}}}}\n"),
            r#"context "half": context "half": user: unfit value, expected a string"#,
        ),
        (
            format!("{good}- {{name: half, context: {{cluster: c, user: v}}}}\n")
                .replace("contexts:", "- {name: v, user: {token: 12345}}\ncontexts:"),
            r#"context "half": user "v": token: unfit value, expected a string"#,
        ),
    ] {
        let reading = reader().read(&provider(Place::Contexts(folder.write("x", &text))));
        assert_eq!(names(&reading), [format!("provider#{}+a", folder.path("x"))], "{text}");
        let problem = only_problem(&reading);
        assert!(problem.contains(expected), "{problem}");
        assert!(!problem.contains("hunter2") && !problem.contains("12345"), "{problem}");
        let half = ClusterName::new(Role::Provider, format!("{}+half", folder.path("x")));
        assert!(reading.keeps(&half, ""), "whoever has it keeps it");
    }
    for (text, expected) in [
        (format!("{good}- {{context: {{cluster: c}}}}\n"), "one of its contexts has no name"),
        (format!("{good}- half\n"), "one of its contexts is no map"),
        (format!("{good}- {{name: a, context: {{cluster: d}}}}\n"), r#"contexts has "a" twice; the first one counts"#),
    ] {
        let (config, warnings) = read_one(&folder, &text);
        assert!(config.is_ok() && warnings.len() == 1 && warnings[0].contains(expected), "{warnings:?}");
    }
}

#[test]
fn credentials_that_cannot_be_used_are_told_without_them() {
    let folder = beside();
    for (cluster, user, expected) in [
        ("", "token: \"hun\\nter2\"", "its token holds characters that no HTTP header can"),
        ("", "token: \"hunter2\\u0007\"", "its token holds characters"),
        ("", "tokenFile: token-broken", "its token holds characters"),
        ("", "tokenFile: token-empty", "token-empty is empty"),
        ("", "tokenFile: nowhere", "nowhere cannot be read"),
        ("", "token: hunter2, username: n", "both a token and a username"),
        ("", "client-certificate: ca.pem", "client-key: neither data nor a file is given"),
        ("", "client-certificate: nowhere, client-key: key.pem", "client-certificate: "),
        (
            "",
            "client-certificate-data: hunter2!, client-key: key.pem",
            "client-certificate-data: the data is not base64",
        ),
        ("", "exec: {apiVersion: v1}, token: hunter2", "no command"),
        ("", "exec: {command: a}, auth-provider: {name: oidc}", "both an exec plugin and an auth-provider"),
        ("certificate-authority-data: aHVudGVyMg==", "token: hunter2", "there is no certificate in it"),
        ("insecure-skip-tls-verify: hunter2", "token: t", "insecure-skip-tls-verify: unfit value, expected a boolean"),
    ] {
        let (config, _) = read_one(&folder, &with(cluster, user));
        let problem = config.err().unwrap_or_else(|| panic!("{cluster} {user} is taken"));
        assert!(problem.contains(expected), "{cluster} {user}: {problem}");
        assert!(!problem.contains("hunter2") && problem.lines().count() == 1, "{problem}");
    }
}

#[test]
fn who_sends_no_credentials_is_named() {
    let folder = Folder::new();
    let anonymous = "system:anonymous";
    for (text, expected) in [
        (with("", "token: ''"), r#"its user "u" has none"#),
        (with("", "token: ' '"), r#"its user "u" has none"#),
        (with("", "password: p, client-key-data: ''"), r#"its user "u" has none"#),
        (with("", "").replace("user: {}", "user: null"), r#"its user "u" has none"#),
        (with("", "").replace("name: u", "name: other"), r#"its user "u" is not in the file"#),
        (with("", "").replace("users:\n- name: u\n  user: {}", "users: null"), r#"its user "u" is not in the file"#),
        (with("", "").replace(", user: u", ", user: ''"), "it names no user"),
    ] {
        let (config, warnings) = read_one(&folder, &text);
        assert!(config.is_ok(), "{text}");
        let name = format!("cluster provider#{}+x: ", folder.path("x"));
        assert_eq!(warnings.len(), 1, "{text}");
        for part in [expected, anonymous, &name] {
            assert!(warnings[0].contains(part), "{part} is not in {}", warnings[0]);
        }
    }
}

#[test]
fn of_several_files_those_that_are_empty_or_broken_are_passed_over() {
    let folder = Folder::new();
    let list = |names: &[&str]| names.iter().map(|name| PathBuf::from(folder.path(name))).collect();
    for (name, text) in [
        ("empty", ""),
        ("blank", "\n# nothing\n"),
        ("null", "null\n"),
        ("none", "current-context: ''\ncontexts: []\n"),
        ("broken", "contexts: [hunter2"),
        ("good", &kubeconfig(&["a"], "t")),
    ] {
        folder.write(name, text);
    }
    for (names, told) in [
        (&["empty", "good"][..], ""),
        (&["good", "blank"], ""),
        (&["null", "none", "good"], ""),
        (&["nowhere", "good", "empty"], ""),
        (&["broken", "good"], "broken is passed over: it is not YAML"),
    ] {
        let place = Place::Named { name: "merged".to_owned(), paths: list(names) };
        let reading = reader().read(&provider(place));
        assert_eq!((reading.found.len(), &reading.problems), (1, &vec![]), "{names:?}");
        let warnings: Vec<_> = reading.warnings.iter().map(|warning| warning.problem.to_string()).collect();
        assert!(warnings.len() == usize::from(!told.is_empty()) && warnings.concat().contains(told), "{warnings:?}");
        assert!(!warnings.concat().contains("hunter2"));
    }
    let place = Place::Named { name: "merged".to_owned(), paths: list(&["empty", "blank"]) };
    assert!(only_problem(&reader().read(&provider(place))).contains("it is empty"));
}

#[test]
fn a_file_without_a_current_context_says_which_there_are() {
    let folder = Folder::new();
    for current in ["''", "null"] {
        let text = kubeconfig(&["a", "b"], "t").replace("current-context: a", &format!("current-context: {current}"));
        let place = Place::Named { name: "n".to_owned(), paths: vec![PathBuf::from(folder.write("x", &text))] };
        let problem = only_problem(&reader().read(&provider(place)));
        assert!(problem.contains("no current-context") && problem.contains("a, b"), "{problem}");
    }
}

#[test]
fn a_token_file_that_is_rewritten_is_noticed() {
    let folder = beside();
    let sources = provider(Place::Contexts(folder.write("x", &with("", "tokenFile: token"))));
    let mut reader = reader();
    let mut read = || {
        let found = reader.read(&sources).found.into_values().next().unwrap();
        (found.digest, word(&found.config.auth_info, "token").unwrap())
    };
    let before = read();
    folder.write("token", "renewed\n");
    let after = read();
    assert_ne!(before.0, after.0);
    assert_eq!((before.1.as_str(), after.1.as_str()), ("of-file", "renewed"));
}

#[test]
fn a_kubeconfig_of_another_name_is_told_once_and_again_when_it_changes() {
    let folder = Folder::new();
    let directory = folder.path("");
    let good = kubeconfig(&["a"], "t");
    folder.write("a.kubeconfig", &good);
    for (name, text) in [
        ("notes.yaml", "some: notes"),
        ("compose.yaml", "contexts: [{name: a}]"),
        ("binary", "\u{0}\u{1}"),
        (".kubeconfig.swp", &good),
        ("list.yaml", "- a\n- b\n"),
    ] {
        folder.write(name, text);
    }
    fs::create_dir(folder.path("config")).unwrap();
    let mut reader = reader();
    let mut read = || {
        let reading = reader.read(&provider(Place::Directory(directory.clone())));
        assert_eq!((reading.found.len(), &reading.problems), (1, &vec![]), "it is no provider");
        reading.warnings
    };
    assert!(read().is_empty());
    for name in ["config.yaml", "a.kubeconfig.bak", "kubeconfig"] {
        folder.write(name, &good);
        let first = read();
        let warning = first.first().unwrap();
        assert_eq!((first.len(), &warning.problem.place), (1, &folder.path(name)));
        assert!(warning.problem.what.contains("NAME.kubeconfig"), "{}", warning.problem);
        assert_eq!(read(), first, "the same is no news");
        folder.write(name, &kubeconfig(&["a", "b"], "t"));
        assert_eq!(read().difference(&first).count(), 1, "another content is");
        fs::remove_file(folder.path(name)).unwrap();
        assert!(read().is_empty());
    }
}

#[test]
fn a_mounted_secrets_own_folders_are_no_kubeconfigs() {
    let folder = Folder::new();
    fs::create_dir(folder.path("..2024_v1")).unwrap();
    for name in ["x.kubeconfig", "odd"] {
        folder.write(&format!("..2024_v1/{name}"), &kubeconfig(&["a"], "t"));
        symlink(format!("..data/{name}"), folder.path(name)).unwrap();
    }
    symlink("..2024_v1", folder.path("..data")).unwrap();
    let reading = reader().read(&provider(Place::Directory(folder.path(""))));
    assert_eq!(names(&reading), [format!("provider#{}+a", folder.path("x.kubeconfig"))]);
    let warned: Vec<_> = reading.warnings.iter().map(|warning| warning.problem.place.clone()).collect();
    assert_eq!(warned, [folder.path("odd")]);
}
