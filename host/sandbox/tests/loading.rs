//! What can be loaded, what cannot and why, and which plugin then serves.

mod common;

use common::{ACCEPTING, Guest, accepting, api, guests, judge, sandbox, serve, shared, source};
use resource_broker_plugin_types::{ApiName, Role, Verdict};
use resource_broker_sandbox::{CallError, LoadError, Sandbox, SandboxConfig, Source};

async fn error(sandbox: &Sandbox, component: Vec<u8>) -> LoadError {
    sandbox.load(source(component)).await.expect_err("it does not load")
}

#[tokio::test]
async fn what_is_no_component_is_told_apart() {
    let sandbox = sandbox(SandboxConfig { component_bytes: 1 << 20, ..SandboxConfig::default() });
    let module = wat::parse_str("(module)").unwrap();
    assert_eq!(error(&sandbox, module.clone()).await, LoadError::CoreModule);
    for garbage in [&b""[..], b"\0asm", b"\x7fELF compiled ahead of time", b"PK\x03\x04", &[0xff; 4096]] {
        assert_eq!(error(&sandbox, garbage.to_vec()).await, LoadError::NotAComponent);
    }
    let large = error(&sandbox, vec![0; (1 << 20) + 1]).await;
    assert_eq!(large, LoadError::TooLarge { size: (1 << 20) + 1, limit: 1 << 20 });

    let mut cut = accepting();
    cut.truncate(cut.len() / 2);
    assert!(matches!(error(&sandbox, cut).await, LoadError::Invalid { .. }));
    let mut garbled = accepting();
    let middle = garbled.len() / 2;
    garbled[middle..middle + 64].fill(0xff);
    assert!(matches!(error(&sandbox, garbled).await, LoadError::Invalid { .. }));
    common::assert_others_are_answered(&sandbox).await;
}

#[tokio::test]
async fn a_component_that_is_no_plugin_says_what_it_lacks() {
    let sandbox = shared();
    let empty = wat::parse_str("(component)").unwrap();
    assert!(matches!(error(&sandbox, empty).await, LoadError::MissingInterface { .. }));
    let world = r"
        package test:guest;
        world guest {
          include resource-broker:plugin/base@0.2.0;
          import resource-broker:plugin/documents@0.2.0;
        }";
    let no_role = Guest { world: Some(world), ..Guest::new("") }.encode();
    let error = error(&sandbox, no_role).await;
    assert_eq!(error, LoadError::NoRole);
    assert!(error.to_string().contains("status-transformer"), "{error}");
}

#[tokio::test]
async fn an_import_that_is_not_given_is_named() {
    let sandbox = shared();
    let world = r"
        package test:guest;
        world guest {
          include resource-broker:plugin/accept-filter-plugin@0.2.0;
          import wasi:sockets/instance-network@0.2.6;
        }
        package wasi:sockets@0.2.6 { interface instance-network { open: func() -> u32; } }";
    let import = r#"(import "wasi:sockets/instance-network@0.2.6" "open" (func (result i32)))"#;
    let fields = format!("{import} {ACCEPTING}");
    let component = Guest { world: Some(world), ..Guest::new(&fields) }.encode();
    let import = "wasi:sockets/instance-network@0.2.6".to_owned();
    assert_eq!(error(&sandbox, component).await, LoadError::UnknownImport { import });
}

#[tokio::test]
async fn an_import_that_differs_from_what_is_given_says_so() {
    let sandbox = shared();
    let world = r"
        package test:guest;
        world guest {
          include resource-broker:plugin/accept-filter-plugin@0.2.0;
          import wasi:random/random@0.2.6;
        }
        package wasi:random@0.2.6 { interface random { get-random-u64: func() -> u32; } }";
    let import = r#"(import "wasi:random/random@0.2.6" "get-random-u64" (func (result i32)))"#;
    let fields = format!("{import} {ACCEPTING}");
    let component = Guest { world: Some(world), ..Guest::new(&fields) }.encode();
    let error = error(&sandbox, component).await;
    assert!(matches!(&error, LoadError::Imports { reason } if reason.contains("get-random-u64")), "{error}");
}

#[tokio::test]
async fn another_minor_version_is_named_with_ours_and_the_way_out() {
    let sandbox = shared();
    for (version, way_out) in [
        ("0.1.0", "build it again with the SDK of this broker, which `resource-broker plugin new` writes"),
        ("0.3.0", "build it with the SDK of this broker, or run a broker that speaks 0.3.0"),
    ] {
        let other = Guest { version, ..Guest::new(ACCEPTING) }.encode();
        let error = error(&sandbox, other).await;
        let is_named =
            matches!(&error, LoadError::Version { found, supported, .. } if found == version && supported == "0.2.0");
        let text = error.to_string();
        assert!(is_named && text.contains("resource-broker:plugin/") && text.ends_with(way_out), "{text}");
    }
}

#[tokio::test]
async fn a_compatible_version_serves() {
    let sandbox = shared();
    serve(&sandbox, Role::AcceptFilter, Guest { version: "0.2.1", ..Guest::new(ACCEPTING) }.encode()).await;
    assert_eq!(judge(&sandbox).await, Ok(vec![Verdict::accepted()]));
}

#[tokio::test]
async fn one_export_of_another_version_is_enough_to_refuse() {
    let sandbox = shared();
    let world = r"
        package test:guest;
        world guest {
          include resource-broker:plugin/accept-filter-plugin@0.2.0;
          export resource-broker:plugin/later@0.1.0;
        }
        package resource-broker:plugin@0.1.0 { interface later { now: func() -> u32; } }";
    let export = r#"(func (export "resource-broker:plugin/later@0.1.0#now") (result i32) (i32.const 0))"#;
    let fields = format!("{export} {ACCEPTING}");
    let component = Guest { world: Some(world), ..Guest::new(&fields) }.encode();
    let error = error(&sandbox, component).await;
    assert!(matches!(&error, LoadError::Version { found, .. } if found == "0.1.0"), "{error}");
}

#[tokio::test]
async fn a_function_that_is_missing_or_of_another_type_is_named() {
    let sandbox = shared();
    let renamed = ACCEPTING.replace("#judge\"", "#decide\"");
    let missing = Guest { edits: &[("judge: func(", "decide: func(")], ..Guest::new(&renamed) }.encode();
    let other_type = |from, to| Guest { edits: &[(from, to)], ..Guest::new(ACCEPTING) }.encode();
    let settings =
        other_type("validate-settings: func(settings: string)", "validate-settings: func(settings: list<u8>)");
    let verdict = other_type("refused(list<violation>)", "denied(list<violation>)");
    for (component, interface, function, reason) in [
        (missing, "accept-filter", "judge", "it is missing"),
        (settings, "plugin", "validate-settings", "parameters"),
        (verdict, "accept-filter", "judge", "results"),
    ] {
        let error = error(&sandbox, component).await;
        let LoadError::Exports { interface: i, function: f, reason: r } = &error else { panic!("{error}") };
        assert_eq!((i.as_str(), f.as_str()), (interface, function), "{error}");
        assert!(r.contains(reason), "{error}");
    }
}

#[tokio::test]
async fn settings_are_shown_to_the_plugin_before_they_are_used() {
    let sandbox = shared();
    let with_settings = |settings: &str| Source { settings: Some(settings.to_owned()), ..source(accepting()) };
    let plugin = sandbox.load(with_settings(r#"{"a":1}"#)).await.expect("all settings are welcome by this one");
    assert_eq!(plugin.roles(), [Role::AcceptFilter]);
    assert!(!format!("{:?}", with_settings("secret")).contains("secret"));
}

#[tokio::test]
async fn settings_are_refused_in_the_plugins_own_words() {
    let sandbox = shared();
    let refusing = format!(
        r#"(data (i32.const 64) "engines.0is not an engine")
        (func (export "resource-broker:plugin/plugin@0.2.0#validate-settings") (param i32 i32) (result i32)
          ;; The error's case 0, with a list of one pair of texts.
          (i32.store8 (i32.const 16) (i32.const 1))
          (i32.store (i32.const 24) (i32.const 512))
          (i32.store (i32.const 28) (i32.const 1))
          (i32.store (i32.const 512) (i32.const 64))
          (i32.store (i32.const 516) (i32.const 9))
          (i32.store (i32.const 520) (i32.const 73))
          (i32.store (i32.const 524) (i32.const 16))
          (i32.const 16))
        {ACCEPTING}"#
    );
    let component = Guest::new(&refusing).encode();
    assert!(sandbox.load(source(component.clone())).await.is_ok(), "without settings there is nothing to refuse");
    let settings = Some(r#"{"engines":["moon"]}"#.to_owned());
    let error = sandbox.load(Source { settings, ..source(component) }).await.expect_err("refused");
    assert_eq!(error.category(), "settings");
    assert_eq!(error.to_string(), "the component refuses its configuration: engines.0: is not an engine");
}

#[tokio::test]
async fn a_schema_that_is_no_json_is_not_shown_to_anybody() {
    let sandbox = shared();
    let babbling = format!(
        r#"(data (i32.const 64) "\1b[2J")
        (func (export "resource-broker:plugin/plugin@0.2.0#describe") (result i32)
          (i32.store8 (i32.const 40) (i32.const 1))
          (i32.store (i32.const 44) (i32.const 64))
          (i32.store (i32.const 48) (i32.const 4))
          (i32.const 16))
        {ACCEPTING}"#
    );
    let error = error(&sandbox, Guest::new(&babbling).encode()).await;
    assert!(matches!(&error, LoadError::Call(CallError::Malformed { .. })), "{error}");
}

#[tokio::test]
async fn a_plugin_says_what_it_is() {
    let sandbox = shared();
    let standard = sandbox.standard();
    assert_eq!(standard.name(), "standard");
    assert_eq!(standard.roles(), [Role::AcceptFilter, Role::StatusTransformer]);
    assert_eq!(standard.description().name, "resource-broker-plugin-standard");
    assert_eq!((standard.digest().len(), standard.interface_version()), (64, "0.2.0"));
    assert!(standard.size() > 10_000 && !standard.compile_time().is_zero());
}

#[tokio::test]
async fn a_plugin_serves_its_api_and_role_alone_until_it_is_withdrawn() {
    let sandbox = shared();
    let refused = |verdicts: Result<Vec<Verdict>, CallError>| matches!(verdicts.as_deref(), Ok([Verdict::Refused(_)]));
    let ask = |api: ApiName| {
        let sandbox = sandbox.clone();
        async move { sandbox.judge(&api, "{}".to_owned(), vec![common::offer(&["not a filter"])]).await }
    };
    assert!(refused(ask(guests()).await), "the standard plugin serves at first");

    serve(&sandbox, Role::AcceptFilter, accepting()).await;
    assert_eq!(ask(guests()).await, Ok(vec![Verdict::accepted()]));
    assert!(refused(ask(api("others")).await), "another API is not touched");
    let serving = |role: Role| sandbox.serving(&guests(), role).map(|plugin| plugin.name().to_owned());
    assert_eq!(serving(Role::StatusTransformer).as_deref(), Some("standard"));
    assert_eq!(serving(Role::AcceptFilter).as_deref(), Some("guest"));

    sandbox.load(source(b"\0asm".to_vec())).await.expect_err("a bad version");
    assert_eq!(judge(&sandbox).await, Ok(vec![Verdict::accepted()]), "the good one goes on serving");

    sandbox.withdraw(&guests(), Role::AcceptFilter);
    assert!(refused(ask(guests()).await));
}

#[tokio::test]
async fn a_swap_fails_no_call_under_way() {
    let sandbox = shared();
    let plugin = serve(&sandbox, Role::AcceptFilter, accepting()).await;
    let other = sandbox.load(source(accepting())).await.unwrap();
    let calls: Vec<_> = (0..200)
        .map(|number| {
            let next = if number % 2 == 0 { &plugin } else { &other };
            sandbox.serve(&guests(), Role::AcceptFilter, next.clone());
            let sandbox = sandbox.clone();
            tokio::spawn(async move { judge(&sandbox).await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), Ok(vec![Verdict::accepted()]));
    }
}
