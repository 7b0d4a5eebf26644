use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

/// A kubeconfig with these contexts, the first being the current one.
pub(crate) fn kubeconfig(contexts: &[&str], token: &str) -> String {
    use std::fmt::Write;
    let named = contexts.iter().fold(String::new(), |mut text, name| {
        write!(text, "\n- {{name: {name}, context: {{cluster: c, user: u, namespace: of-{name}}}}}").unwrap();
        text
    });
    let current = contexts[0];
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: {current}\n\
         clusters:\n- {{name: c, cluster: {{server: 'http://127.0.0.1:1'}}}}\n\
         users:\n- {{name: u, user: {{token: {token}}}}}\ncontexts:{named}\n"
    )
}

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
        assert_eq!(clean(given), expected, "{given}");
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
