use clap::Arg;
use tempfile::TempDir;

use super::*;
use resource_broker_kube_io::testing::kubeconfig;

use crate::kubeconfig::Place;

/// A folder with kubeconfigs, and the flags that every run needs.
struct Given {
    folder: TempDir,
    environment: Environment,
}

impl Given {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for file in ["coord", "consumer", "provider"] {
            fs::write(folder.path().join(file), kubeconfig(&["ctx"], "t")).unwrap();
        }
        for directory in ["empty", "more"] {
            fs::create_dir(folder.path().join(directory)).unwrap();
        }
        fs::write(folder.path().join("broken"), "{").unwrap();
        Self { folder, environment: Environment::default() }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// `@NAME` in a flag is a path in the folder.
    fn parse(&self, flags: &[&str]) -> Result<Invocation> {
        let folder = format!("{}/", self.folder.path().display());
        let line = ["resource-broker"].into_iter().chain(flags.iter().copied());
        parse(line.map(|flag| flag.replace('@', &folder).into()), &self.environment)
    }

    fn options(&self, flags: &[&str]) -> Options {
        let complete = [
            "--kubeconfig=@coord",
            "--consumer-kubeconfig=@consumer",
            "--provider-kubeconfig=@provider",
            "--watch-kind=ConfigMap.v1.core",
        ];
        let flags: Vec<&str> = complete.into_iter().chain(flags.iter().copied()).collect();
        match self.parse(&flags) {
            Ok(Invocation::Run(options)) => *options,
            other => panic!("{flags:?}: {other:?}"),
        }
    }

    #[track_caller]
    fn error(&self, flags: &[&str]) -> String {
        match self.parse(flags) {
            Err(error) => error.to_string(),
            Ok(invocation) => panic!("{flags:?} was taken: {invocation:?}"),
        }
    }
}

fn kinds_of(options: &Options) -> Vec<String> {
    options.watch_kinds.iter().map(|kind| format!("{}|{}|{}", kind.kind, kind.version, kind.group)).collect()
}

fn places(options: &Options, role: Role) -> Vec<Place> {
    options.sources.iter().filter(|source| source.role == role).map(|source| source.place.clone()).collect()
}

#[test]
fn defaults_are_those_of_the_go_broker_on_loopback() {
    let given = Given::new();
    let options = given.options(&[]);
    assert_eq!(options.metrics_bind, Bind::Off);
    assert!(options.metrics_secure && !options.leader_elect);
    assert_eq!(options.health_bind, Bind::At { host: Some("127.0.0.1".to_owned()), port: 8081 });
    let related: Vec<&str> = options.related_kinds.iter().map(|kind| kind.kind.as_str()).collect();
    assert_eq!(related, ["Secret", "ConfigMap"]);
    assert_eq!(options.log, LogOptions { level: Level::Info, encoder: Encoder::Json, color: false });
    assert_eq!(options.namespace, "of-ctx", "the namespace of the coordination context");
    let coord = |name: &str| Place::Named { name: name.to_owned(), paths: vec![given.path("coord").into()] };
    assert_eq!(places(&options, Role::Coordination), [coord("coord")]);
    assert_eq!(places(&options, Role::Compute), [coord("compute")]);
    assert_ne!(options.identity, given.options(&[]).identity, "two runs are two candidates");
}

#[test]
fn moves_are_settled_bounded_and_remembered_as_the_flags_say() {
    let given = Given::new();
    let options = given.options(&[]);
    let limits = Limits { settle: Duration::from_secs(10), moves_per_provider: 10 };
    assert_eq!((options.limits, options.migration_history), (limits, Duration::from_hours(24)));
    let compute = |namespace: &str| Compute {
        cluster: ClusterName::new(Role::Compute, "compute"),
        namespace: namespace.to_owned(),
    };
    assert_eq!(options.compute, compute("of-ctx"), "the namespace of the compute context");
    let options = given.options(&[
        "-settle=1m30s",
        "--max-moves-per-provider",
        "3",
        "--migration-history=0",
        "--compute-namespace=jobs",
    ]);
    let limits = Limits { settle: Duration::from_secs(90), moves_per_provider: 3 };
    assert_eq!((options.limits, options.migration_history), (limits, Duration::ZERO));
    assert_eq!(options.compute, compute("jobs"));
    let options = given.options(&["--compute-kubeconfig=jobs=@coord"]);
    assert_eq!(options.compute.cluster.name, "jobs");
    assert_eq!(options.most_of_a_kind, 512 << 20);
    assert_eq!(given.options(&["--max-memory-per-kind=1.5Gi"]).most_of_a_kind, 1536 << 20);
}

#[test]
fn flags_are_written_the_go_way() {
    let given = Given::new();
    for flags in [
        &["-leader-elect", "-metrics-bind-address", ":1", "-zap-log-level=debug"][..],
        &["--leader-elect=true", "--metrics-bind-address=:1", "--zap-log-level", "debug"],
        &["-leader-elect=T", "--metrics-bind-address", ":2", "-metrics-bind-address=:1", "-zap-log-level", "1"],
    ] {
        let options = given.options(flags);
        assert!(options.leader_elect, "{flags:?}");
        assert_eq!(options.metrics_bind, Bind::At { host: None, port: 1 }, "{flags:?}");
        assert_eq!(options.log.level, Level::Debug, "{flags:?}");
    }
    let options = given.options(&["-metrics-secure=false", "-leader-elect=0"]);
    assert!(!options.metrics_secure && !options.leader_elect);
}

#[test]
fn lists_have_commas_or_are_repeated() {
    let given = Given::new();
    let options = given.options(&[
        "-watch-kind",
        "VM.v1alpha1.example.platform-mesh.io,Certificate.v1beta2.g.example",
        "--watch-kind=VM.v1.example.platform-mesh.io",
        "--provider-kubeconfig=nestor=@provider,@consumer",
        "--provider-kubeconfig-dir=@empty",
        "--related-kind=Secret.v1.core",
    ]);
    assert_eq!(
        kinds_of(&options),
        [
            "ConfigMap|v1|",
            "VM|v1alpha1|example.platform-mesh.io",
            "Certificate|v1beta2|g.example",
            "VM|v1|example.platform-mesh.io"
        ]
    );
    assert_eq!(
        places(&options, Role::Provider),
        [
            Place::Contexts(given.path("provider")),
            Place::Named { name: "nestor".to_owned(), paths: vec![given.path("provider").into()] },
            Place::Contexts(given.path("consumer")),
            Place::Directory(given.path("empty")),
        ]
    );
    assert_eq!(options.related_kinds.len(), 1);
}

#[test]
fn the_namespace_is_the_flags_then_the_pods_then_the_contexts() {
    let mut given = Given::new();
    assert_eq!(given.options(&[]).namespace, "of-ctx");
    given.environment.pod_namespace = Some("of-pod".to_owned());
    assert_eq!(given.options(&[]).namespace, "of-pod");
    assert_eq!(given.options(&["--namespace=given"]).namespace, "given");
    given.environment.pod_namespace = None;
    fs::write(given.folder.path().join("bare"), kubeconfig(&["ctx"], "t").replace(", namespace: of-ctx", "")).unwrap();
    assert_eq!(given.options(&["--coordination-kubeconfig=@bare"]).namespace, "default");
}

#[test]
fn coordination_is_found_in_the_surroundings() {
    let mut given = Given::new();
    let run = |given: &Given, flags: &[&str]| {
        let complete = ["--consumer-kubeconfig=@consumer", "--provider-kubeconfig=@provider", "--watch-kind=A.v1.g"];
        match given.parse(&complete.into_iter().chain(flags.iter().copied()).collect::<Vec<_>>()) {
            Ok(Invocation::Run(options)) => places(&options, Role::Coordination).remove(0),
            other => panic!("{other:?}"),
        }
    };
    let named = |name: &str, paths: &[String]| Place::Named {
        name: name.to_owned(),
        paths: paths.iter().map(PathBuf::from).collect(),
    };
    fs::create_dir(given.path(".kube")).unwrap();
    fs::copy(given.path("coord"), given.path(".kube/config")).unwrap();
    given.environment.home = Some(given.folder.path().to_owned());
    assert_eq!(run(&given, &[]), named("coord", &[given.path(".kube/config")]));
    let list = [given.path("nowhere"), given.path("coord")];
    given.environment.kubeconfig = Some(list.join(":").into());
    assert_eq!(run(&given, &[]), named("coord", &list));
    assert_eq!(run(&given, &["-kubeconfig=@consumer"]), named("coord", &[given.path("consumer")]));
    let own = ["-kubeconfig=@consumer", "-coordination-kubeconfig=main=@coord"];
    assert_eq!(run(&given, &own), named("main", &[given.path("coord")]));
}

#[test]
fn logs_suit_their_reader_unless_told() {
    let mut given = Given::new();
    let log = |given: &Given, flags: &[&str]| given.options(flags).log;
    given.environment.terminal = true;
    assert_eq!(log(&given, &[]), LogOptions { level: Level::Info, encoder: Encoder::Console, color: true });
    assert_eq!(log(&given, &["--zap-encoder=json"]).encoder, Encoder::Json);
    given.environment.terminal = false;
    let devel = log(&given, &["--zap-devel"]);
    assert_eq!((devel.level, devel.encoder), (Level::Debug, Encoder::Console));
    assert_eq!(log(&given, &["--zap-devel", "--zap-log-level=error"]).level, Level::Error);
}

#[test]
fn help_and_version_are_printed_and_commands_found() {
    let given = Given::new();
    let Ok(Invocation::Print(help)) = given.parse(&["-help"]) else { panic!("no help") };
    for flag in Raw::command().get_arguments().filter_map(Arg::get_long) {
        assert!(help.contains(&format!("--{flag}")), "--{flag} is not in the help");
    }
    assert!(help.contains("default: 127.0.0.1:8081") && help.contains("crds"), "{help}");
    let Ok(Invocation::Print(version)) = given.parse(&["--version"]) else { panic!("no version") };
    assert_eq!(version, format!("resource-broker {}\n", env!("CARGO_PKG_VERSION")));
    assert!(matches!(given.parse(&["crds", "--output", "somewhere"]), Ok(Invocation::Crds(_))));
}

#[test]
fn what_cannot_be_followed_is_one_line_that_helps() {
    let given = Given::new();
    let complete = ["--kubeconfig=@coord", "--consumer-kubeconfig=@consumer", "--provider-kubeconfig=@provider"];
    let mut unhelpful = Vec::new();
    for (flags, expected) in [
        // Flags.
        (&["--watch-kid=A.v1.g"][..], &["unknown flag --watch-kid", "did you mean --watch-kind?"][..]),
        (&["-watch-kid", "A.v1.g"], &["unknown flag --watch-kid", "--watch-kind"]),
        (&["--frobnicate"], &["unknown flag --frobnicate", "--help"]),
        (&["-x"], &["unknown flag -x", "--help"]),
        (&["serve"], &["unknown command \"serve\"", "takes flags only"]),
        (&["--leader-elect", "true"], &["unknown command \"true\""]),
        (&["crds"], &["crds", "cannot be used with", "--kubeconfig"]),
        (&["--watch-kind"], &["--watch-kind needs a value"]),
        (&["--leader-elect=maybe"], &["--leader-elect=maybe", "neither true nor false"]),
        (&["--metrics-bind-address=8443"], &["--metrics-bind-address=8443", "HOST:PORT"]),
        (&["--health-probe-bind-address=:http"], &["--health-probe-bind-address=:http", "is not a port"]),
        (&["--zap-log-level=loud"], &["--zap-log-level", "\"loud\"", "debug, info"]),
        (&["--zap-encoder=xml"], &["--zap-encoder", "\"xml\"", "console or json"]),
        (&["--namespace=A_b"], &["--namespace=A_b", "small letters"]),
        (&["--compute-namespace=A_b"], &["--compute-namespace=A_b", "small letters"]),
        (&["--settle=10"], &["--settle=10", "the unit is missing", "10s"]),
        (&["--migration-history=1d"], &["--migration-history=1d", "\"d\" is not a unit", "24h"]),
        (&["--max-memory-per-kind=1Mi"], &["--max-memory-per-kind=1Mi", "at least 16 MiB"]),
        (&["--max-memory-per-kind=much"], &["--max-memory-per-kind=much", "not a size, as 512Mi"]),
        (&["--max-moves-per-provider=0"], &["--max-moves-per-provider=0", "at least 1"]),
        (&["--max-moves-per-provider=many"], &["--max-moves-per-provider=many", "not a whole number"]),
        // Kinds.
        (&[], &["nothing to broker", "--watch-kind=Kind.version.group"]),
        (
            &["--watch-kind=Certificate"],
            &["--watch-kind=Certificate", "version or group is missing", "ConfigMap.v1.core"],
        ),
        (&["--watch-kind=ConfigMap.v1"], &["version or group is missing"]),
        (&["--watch-kind=configmaps.v1.core"], &["\"configmaps\" is not a kind", "capital"]),
        (&["--watch-kind=A.example.com"], &["\"example\" is not a version"]),
        (&["--watch-kind=A.v1."], &["\"\" is not an API group"]),
        (&["--watch-kind=A.v1.Example.com"], &["\"Example.com\" is not an API group"]),
        (
            &["--watch-kind=Lease.v1.coordination.k8s.io"],
            &["--watch-kind=Lease.v1.coordination.k8s.io", "cannot be brokered"],
        ),
        (&["--watch-kind=Node.v1.core"], &["--watch-kind=Node.v1.core", "parts of the cluster"]),
        (&["--watch-kind=A.v1.g,A.v1.g"], &["--watch-kind=A.v1.g: given twice"]),
        (&["--watch-kind=A.v1.g", "--related-kind=secrets"], &["--related-kind=secrets", "is missing"]),
        // Clusters.
        (&["--provider-kubeconfig=@nowhere"], &["provider kubeconfig", "/nowhere", "no such file"]),
        (&["--consumer-kubeconfig=x=@nowhere"], &["consumer kubeconfig", "/nowhere", "no such file"]),
        (&["--consumer-kubeconfig=@empty"], &["/empty", "--consumer-kubeconfig-dir"]),
        (&["--consumer-kubeconfig==@coord"], &["--consumer-kubeconfig=", "NAME=PATH"]),
        (&["--consumer-kubeconfig=a="], &["--consumer-kubeconfig=a=", "NAME=PATH"]),
        (&["--provider-kubeconfig-dir=@nowhere"], &["--provider-kubeconfig-dir=", "no such directory"]),
        (&["--provider-kubeconfig-dir=@coord"], &["--provider-kubeconfig-dir=", "not a directory"]),
        (&["--provider-kubeconfig-dir=@more,@more"], &["--provider-kubeconfig-dir=", "given twice"]),
        (&["--provider-kubeconfig=x=@coord,x=@consumer"], &["x=", "/coord", "/consumer", "are both called x"]),
        (&["--provider-kubeconfig=@provider"], &["are both called", "NAME=PATH"]),
        (&["--coordination-kubeconfig=@broken"], &["coordination kubeconfig", "/broken", "not YAML"]),
        (&["--coordination-kubeconfig=@nowhere"], &["coordination kubeconfig", "/nowhere", "no such file"]),
    ] {
        let flags: Vec<&str> = complete.into_iter().chain(flags.iter().copied()).collect();
        let error = given.error(&flags);
        if error.lines().count() != 1 || !expected.iter().all(|part| error.contains(part)) {
            unhelpful.push(format!("{flags:?}: {expected:?} is not all in {error:?}"));
        }
    }
    assert!(unhelpful.is_empty(), "{unhelpful:#?}");
}

#[test]
fn a_role_without_clusters_is_told_what_to_give() {
    let given = Given::new();
    let error = given.error(&["--kubeconfig=@coord", "--provider-kubeconfig=@provider", "--watch-kind=A.v1.g"]);
    assert!(error.contains("no consumer clusters") && error.contains("--consumer-kubeconfig-dir"), "{error}");
    let error = given.error(&["--watch-kind=A.v1.g"]);
    assert!(error.contains("--coordination-kubeconfig") && error.contains("KUBECONFIG"), "{error}");
}

#[test]
fn a_broken_consumer_holds_nothing_up() {
    let given = Given::new();
    let options = given.options(&["--consumer-kubeconfig=bad=@broken"]);
    assert_eq!(places(&options, Role::Consumer).len(), 2);
}
