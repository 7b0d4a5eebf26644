//! Components that are made to cost the compiler dearly, and the child process that takes the blow.

mod common;

use std::env;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Read as _};
use std::process;
use std::time::{Duration, Instant};

use common::{ACCEPTING, Guest, accepting, assert_others_are_answered, guests, judge, sandbox, source};
use resource_broker_plugin_types::{Role, Verdict};
use resource_broker_sandbox::{LoadError, Probe, Sandbox, SandboxConfig, probe};

/// What the child process runs: this program, and of it only this.
#[test]
#[ignore = "the other tests run it as a child process"]
fn child() {
    if std::io::stdin().is_terminal() {
        return;
    }
    let mut component = Vec::new();
    std::io::stdin().read_to_end(&mut component).expect("the component");
    if component.is_empty() {
        return;
    }
    match probe(&component) {
        Ok(()) => process::exit(0),
        Err(error) => {
            eprintln!("error: {error}");
            process::exit(1);
        }
    }
}

fn guarded(compile_time: Duration) -> Sandbox {
    let args = ["--ignored", "--exact", "child", "--nocapture"].map(str::to_owned).to_vec();
    let probe = Probe { program: env::current_exe().expect("this program"), args };
    sandbox(SandboxConfig { compile_time, probe: Some(probe), ..SandboxConfig::default() })
}

/// A filter with a function of a million instructions, all of whose values are in use to the end.
fn giant() -> Vec<u8> {
    let mut function = String::from("(func $giant (param i32) (result i32) (local i64)\n");
    for number in 0..120_000 {
        let _ =
            writeln!(function, "(if (local.get 0) (then (local.set 1 (i64.add (local.get 1) (i64.const {number})))))");
    }
    function.push_str("(i32.wrap_i64 (local.get 1)))");
    Guest::new(&format!("{function} {ACCEPTING}")).encode()
}

#[tokio::test]
async fn a_good_component_passes_the_probe() {
    let sandbox = guarded(Duration::from_secs(30));
    let plugin = sandbox.load(source(accepting())).await.expect("it loads");
    sandbox.serve(&guests(), Role::AcceptFilter, plugin);
    assert_eq!(judge(&sandbox).await, Ok(vec![Verdict::accepted()]));
}

#[tokio::test]
async fn a_giant_function_is_given_up_in_time() {
    let limit = Duration::from_millis(300);
    let sandbox = guarded(limit);
    let giant = giant();
    let begun = Instant::now();
    let error = sandbox.load(source(giant)).await.expect_err("it takes too long");
    assert_eq!(error, LoadError::CompileTime { limit });
    println!("given up {:?} after the limit", begun.elapsed().saturating_sub(limit));
    assert!(begun.elapsed() < limit + Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_others_are_answered(&sandbox).await;
}

/// Components in components: each has ten instances of the next, so that a few lines stand for ten billion instances.
fn nested() -> Vec<u8> {
    let mut text =
        String::from("(component $c0 (core module $m (func (export \"f\"))) (core instance (instantiate $m)))");
    for level in 1..=10 {
        let inner = level - 1;
        let instances = format!("(instance (instantiate $c{inner}))").repeat(10);
        text = format!("(component $c{level} {text} {instances})");
    }
    wat::parse_str(text).expect("valid text")
}

#[tokio::test]
async fn instances_in_instances_are_given_up_in_time() {
    let limit = Duration::from_secs(2);
    let sandbox = guarded(limit);
    let begun = Instant::now();
    let error = sandbox.load(source(nested())).await.expect_err("far too many instances");
    println!("{error}, after {:?}", begun.elapsed());
    assert!(matches!(&error, LoadError::CompileTime { .. } | LoadError::Invalid { .. }), "{error}");
    assert!(begun.elapsed() < limit + Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_others_are_answered(&sandbox).await;
}

#[tokio::test]
async fn what_the_child_says_is_the_reason() {
    let sandbox = guarded(Duration::from_secs(30));
    let mut cut = accepting();
    cut.truncate(cut.len() / 2);
    let error = sandbox.load(source(cut)).await.expect_err("half a component");
    let LoadError::Invalid { reason } = &error else { panic!("{error}") };
    assert!(reason.contains("unexpected") && !reason.contains("does not compile"), "{reason}");
}

#[tokio::test]
async fn a_probe_that_cannot_be_run_is_the_hosts_fault() {
    let probe = Probe { program: "/nonexistent/probe".into(), args: Vec::new() };
    let sandbox = sandbox(SandboxConfig { probe: Some(probe), ..SandboxConfig::default() });
    let error = sandbox.load(source(accepting())).await.expect_err("nobody tries it");
    assert!(matches!(&error, LoadError::Host { reason } if reason.contains("/nonexistent/probe")), "{error}");
}

#[tokio::test]
async fn a_component_compiled_ahead_of_time_is_not_taken() {
    let sandbox = guarded(Duration::from_secs(30));
    let engine = wasmtime::Engine::default();
    let compiled = engine.precompile_component(&accepting()).expect("it compiles");
    assert_eq!(sandbox.load(source(compiled)).await.expect_err("not these bytes"), LoadError::NotAComponent);
}
