//! What can be loaded, what cannot and why, and which plugin then serves.

mod common;

use common::{HONEST, api, component_of_world, filter, filter_of_world, guests, judge, sandbox, serve, shared, source};
use resource_broker_sandbox::{ApiName, CallError, LoadError, Role, Sandbox, SandboxConfig, Source, Verdict};

/// A filter that accepts its one offer.
const ACCEPTING: &str = "(call $drop (local.get 0)) (i32.store (i32.const 20) (i32.const 1024))
    (i32.store (i32.const 24) (i32.const 1)) (i32.const 16)";

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

    let mut cut = filter(HONEST, ACCEPTING);
    cut.truncate(cut.len() / 2);
    assert!(matches!(error(&sandbox, cut).await, LoadError::Invalid { .. }));
    let mut garbled = filter(HONEST, ACCEPTING);
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
        world idle {
          include resource-broker:plugin/base@0.1.0;
          import resource-broker:plugin/documents@0.1.0;
        }";
    let no_role = component_of_world("idle", world, "", "");
    let error = error(&sandbox, no_role).await;
    assert_eq!(error, LoadError::NoRole);
    assert!(error.to_string().contains("status-transformer"), "{error}");
}

#[tokio::test]
async fn an_import_that_is_not_given_is_named() {
    let sandbox = shared();
    let world = r"
        package test:guest;
        world caller {
          include resource-broker:plugin/accept-filter-plugin@0.1.0;
          import wasi:sockets/instance-network@0.2.6;
        }
        package wasi:sockets@0.2.6 { interface instance-network { open: func() -> u32; } }";
    let import = r#"(import "wasi:sockets/instance-network@0.2.6" "open" (func (result i32)))"#;
    let component = filter_of_world("caller", world, import, "", ACCEPTING);
    let import = "wasi:sockets/instance-network@0.2.6".to_owned();
    assert_eq!(error(&sandbox, component).await, LoadError::UnknownImport { import });
}

#[tokio::test]
async fn an_import_that_differs_from_what_is_given_says_so() {
    let sandbox = shared();
    let world = r"
        package test:guest;
        world differing {
          include resource-broker:plugin/accept-filter-plugin@0.1.0;
          import wasi:random/random@0.2.6;
        }
        package wasi:random@0.2.6 { interface random { get-random-u64: func() -> u32; } }";
    let import = r#"(import "wasi:random/random@0.2.6" "get-random-u64" (func (result i32)))"#;
    let component = filter_of_world("differing", world, import, "", ACCEPTING);
    let error = error(&sandbox, component).await;
    assert!(matches!(&error, LoadError::Imports { reason } if reason.contains("get-random-u64")), "{error}");
}

#[tokio::test]
async fn another_version_of_the_interface_is_named_with_ours() {
    let sandbox = shared();
    let world = r"
        package test:guest;
        world coming {
          include resource-broker:plugin/accept-filter-plugin@0.1.0;
          export resource-broker:plugin/later@0.2.0;
        }
        package resource-broker:plugin@0.2.0 { interface later { now: func() -> u32; } }";
    let export = r#"(func (export "resource-broker:plugin/later@0.2.0#now") (result i32) (i32.const 0))"#;
    let component = filter_of_world("coming", world, "", export, ACCEPTING);
    let error = error(&sandbox, component).await;
    assert!(matches!(&error, LoadError::Version { found, .. } if found == "0.2.0"), "{error}");
    assert!(error.to_string().contains("0.1.0"), "{error}");
}

#[tokio::test]
async fn a_role_with_other_functions_does_not_fit() {
    let sandbox = shared();
    let text = r#"(component
        (core module $m (func (export "f") (result i32) (i32.const 0)))
        (core instance $i (instantiate $m))
        (func $f (result u32) (canon lift (core func $i "f")))
        (instance $plugin (export "describe" (func $f)))
        (export "resource-broker:plugin/plugin@0.1.0" (instance $plugin))
        (export "resource-broker:plugin/accept-filter@0.1.0" (instance $plugin)))"#;
    let error = error(&sandbox, wat::parse_str(text).unwrap()).await;
    assert!(matches!(&error, LoadError::Exports { interface, .. } if interface == "plugin"), "{error}");
}

#[tokio::test]
async fn a_component_that_crashes_at_its_start_does_not_load() {
    let sandbox = shared();
    let crashing = filter(&format!("{HONEST} (func $boom unreachable) (start $boom)"), ACCEPTING);
    let error = error(&sandbox, crashing).await;
    assert!(matches!(&error, LoadError::Call(CallError::Trap { .. })), "{error}");
    assert_eq!(error.category(), "trap");
}

#[tokio::test]
async fn settings_are_shown_to_the_plugin_before_they_are_used() {
    let sandbox = shared();
    let with_settings =
        |settings: &str| Source { settings: Some(settings.to_owned()), ..source(filter(HONEST, ACCEPTING)) };
    let plugin = sandbox.load(with_settings(r#"{"a":1}"#)).await.expect("all settings are welcome by this one");
    assert_eq!(plugin.roles(), [Role::AcceptFilter]);
    assert!(!format!("{:?}", with_settings("secret")).contains("secret"));
}

#[tokio::test]
async fn a_plugin_says_what_it_is() {
    let sandbox = shared();
    let standard = sandbox.standard();
    assert_eq!(standard.name(), "standard");
    assert_eq!(standard.roles(), [Role::AcceptFilter, Role::StatusTransformer]);
    assert_eq!(standard.description().name, "resource-broker-plugin-standard");
    assert_eq!((standard.digest().len(), standard.interface_version()), (64, "0.1.0"));
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

    serve(&sandbox, Role::AcceptFilter, filter(HONEST, ACCEPTING)).await;
    assert_eq!(ask(guests()).await, Ok(vec![Verdict::Accepted]));
    assert!(refused(ask(api("others")).await), "another API is not touched");
    assert_eq!(sandbox.serving(&guests(), Role::StatusTransformer).name(), "standard");

    sandbox.load(source(b"\0asm".to_vec())).await.expect_err("a bad version");
    assert_eq!(judge(&sandbox).await, Ok(vec![Verdict::Accepted]), "the good one goes on serving");

    sandbox.withdraw(&guests(), Role::AcceptFilter);
    assert!(refused(ask(guests()).await));
}

#[tokio::test]
async fn a_swap_fails_no_call_under_way() {
    let sandbox = shared();
    let plugin = serve(&sandbox, Role::AcceptFilter, filter(HONEST, ACCEPTING)).await;
    let other = sandbox.load(source(filter(HONEST, ACCEPTING))).await.unwrap();
    let calls: Vec<_> = (0..200)
        .map(|number| {
            let next = if number % 2 == 0 { &plugin } else { &other };
            sandbox.serve(&guests(), Role::AcceptFilter, next.clone());
            let sandbox = sandbox.clone();
            tokio::spawn(async move { judge(&sandbox).await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), Ok(vec![Verdict::Accepted]));
    }
}
