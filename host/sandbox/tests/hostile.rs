//! Guests that misbehave: each is stopped, the failure is put down to the right cause, and everybody else is answered.

mod common;

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use common::{HONEST, assert_others_are_answered, filter, judge, sandbox, serve, status};
use resource_broker_sandbox::{CallError, CopyContext, Fault, Limits, Role, Sandbox, SandboxConfig, Verdict};

const DEADLINE: Duration = Duration::from_millis(200);
/// How long after its deadline a guest may be stopped; generous, since other tests share the processors.
const GRACE: Duration = Duration::from_secs(5);

/// A sandbox with a short deadline and room for the guests of all tests.
fn strict() -> Sandbox {
    static STRICT: LazyLock<Sandbox> = LazyLock::new(|| strict_for(32));
    STRICT.clone()
}

fn strict_for(parallel_calls: usize) -> Sandbox {
    let limits = Limits { deadline: DEADLINE, ..Limits::default() };
    sandbox(SandboxConfig { limits, parallel_calls, ..SandboxConfig::default() })
}

/// Runs a filter with an honest allocator, which has to fail.
async fn failure(functions: &str, body: &str) -> CallError {
    failure_of(filter(&format!("{HONEST} {functions}"), body)).await
}

async fn failure_of(component: Vec<u8>) -> CallError {
    let sandbox = strict();
    serve(&sandbox, Role::AcceptFilter, component).await;
    let begun = Instant::now();
    let error = judge(&sandbox).await.expect_err("the guest misbehaves");
    assert!(begun.elapsed() < DEADLINE + GRACE, "stopped after {:?}", begun.elapsed());
    assert_eq!(error.fault(), Fault::Guest, "{error}");
    assert!(error.to_string().contains("guest"), "the plugin is named: {error}");
    assert_others_are_answered(&sandbox).await;
    // The next call of the same guest gets an instance of its own, and fails the same way.
    assert_eq!(judge(&sandbox).await.expect_err("the guest misbehaves again").category(), error.category());
    error
}

/// What a filter answers: the bytes at 16, written by these instructions.
const ERROR_INTERNAL: &str = "(i32.store8 (i32.const 16) (i32.const 1)) (i32.store8 (i32.const 20) (i32.const 3))";

#[tokio::test]
async fn an_endless_loop_is_stopped_at_the_deadline() {
    let error = failure("", "(loop $l (br $l)) unreachable").await;
    assert_eq!(error, CallError::Deadline { plugin: "guest".to_owned(), limit: DEADLINE });
}

#[tokio::test]
async fn a_loop_of_bulk_copies_is_stopped_at_the_deadline() {
    let copy = "(memory.copy (i32.const 0) (i32.const 1024) (i32.const 4000000))";
    let error = failure("", &format!("(loop $l {copy} (br $l)) unreachable")).await;
    assert_eq!(error.category(), "deadline");
}

#[tokio::test]
async fn memory_is_bounded() {
    let error = failure("", "(loop $l (drop (memory.grow (i32.const 100))) (br $l)) unreachable").await;
    assert_eq!(error.category(), "memory");
    assert!(error.to_string().contains("67108864"), "the limit is named: {error}");
}

#[tokio::test]
async fn tables_are_bounded() {
    let error = failure("(table 1 funcref)", "(drop (table.grow (ref.null func) (i32.const 20000))) unreachable").await;
    assert_eq!(error.category(), "memory");
}

#[tokio::test]
async fn deep_recursion_is_the_guests_own_crash() {
    let error = failure(
        "(func $deep (param i32) (call $deep (local.get 0)) (drop (i32.const 1)))",
        "(call $deep (i32.const 1)) unreachable",
    )
    .await;
    assert_eq!(error.category(), "trap");
}

#[tokio::test]
async fn a_trap_is_the_guests_own_crash_and_its_last_error_says_why() {
    assert_eq!(failure("", "unreachable").await.category(), "trap");

    let error = failure(
        r#"(data (i32.const 64) "the disk\1b[2J is on fire")"#,
        "(call $log (i32.const 4) (i32.const 64) (i32.const 23)) unreachable",
    )
    .await;
    assert_eq!(error.to_string(), "plugin guest crashed: the disk\u{fffd}[2J is on fire");
}

#[tokio::test]
async fn an_oversized_answer_is_not_taken() {
    let body = format!(
        "(call $drop (local.get 0)) {ERROR_INTERNAL} (i32.store (i32.const 28) (i32.const 3000000)) (i32.const 16)"
    );
    assert_eq!(failure("", &body).await.category(), "oversized");
}

#[tokio::test]
async fn a_million_verdicts_are_not_taken() {
    let body = "(call $drop (local.get 0)) (i32.store (i32.const 24) (i32.const 300000)) (i32.const 16)";
    assert_eq!(failure("", body).await.category(), "oversized");
}

#[tokio::test]
async fn verdicts_are_counted() {
    let none = "(call $drop (local.get 0)) (i32.const 1024)";
    let two = "(call $drop (local.get 0)) (i32.store (i32.const 20) (i32.const 1024)) (i32.store (i32.const 24) (i32.const 2)) (i32.const 16)";
    for body in [none, two] {
        let error = failure("", body).await;
        assert_eq!(error.category(), "malformed");
        assert!(error.to_string().contains("verdicts on 1 offers"), "{error}");
    }
}

#[tokio::test]
async fn pointers_out_of_memory_and_broken_text_are_malformed() {
    let text = |pointer: i32, length: i32| {
        format!(
            "(call $drop (local.get 0)) {ERROR_INTERNAL} (i32.store (i32.const 24) (i32.const {pointer}))
             (i32.store (i32.const 28) (i32.const {length})) (i32.const 16)"
        )
    };
    let broken = r#"(data (i32.const 64) "\ff\fe")"#;
    for (functions, body) in [
        ("", text(-65536, 100)),
        (broken, text(64, 2)),
        ("", "(call $drop (local.get 0)) (i32.store8 (i32.const 16) (i32.const 9)) (i32.const 16)".to_owned()),
        ("", "(call $drop (local.get 0)) (i32.const 17)".to_owned()),
        ("", "(call $drop (local.get 0)) (i32.const -1)".to_owned()),
    ] {
        assert_eq!(failure(functions, &body).await.category(), "malformed", "{body}");
    }
}

#[tokio::test]
async fn a_borrowed_handle_that_is_kept_or_dropped_twice_is_malformed() {
    assert!(matches!(failure("", "(i32.const 1024)").await.category(), "malformed" | "trap"));
    let twice = "(call $drop (local.get 0)) (call $drop (local.get 0)) (i32.const 1024)";
    assert!(matches!(failure("", twice).await.category(), "malformed" | "trap"));
}

#[tokio::test]
async fn an_allocator_that_lies_is_malformed() {
    for allocator in ["(i32.const -8)", "(i32.const 3)", "(i32.const 4194300)"] {
        let functions = format!(r#"(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {allocator})"#);
        let error = failure_of(filter(&functions, "(call $drop (local.get 0)) (i32.const 1024)")).await;
        assert_eq!(error.category(), "malformed", "{allocator}");
    }
}

#[tokio::test]
async fn a_log_flood_harms_nobody() {
    let sandbox = strict();
    let flood = "(local $n i32)
        (loop $l
          (call $log (i32.const 2) (i32.const 1024) (i32.const 3000))
          (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 1000))))
        (call $drop (local.get 0))
        (i32.store (i32.const 20) (i32.const 1024)) (i32.store (i32.const 24) (i32.const 1)) (i32.const 16)";
    serve(&sandbox, Role::AcceptFilter, filter(HONEST, flood)).await;
    assert_eq!(judge(&sandbox).await, Ok(vec![Verdict::Accepted]));
    assert_others_are_answered(&sandbox).await;
}

#[tokio::test]
async fn nothing_lives_on_to_the_next_call() {
    let sandbox = strict();
    // Accepts if its memory is as it was at the beginning, which it then changes.
    let remember = r"
        (call $drop (local.get 0))
        (if (i32.load (i32.const 2048)) (then unreachable))
        (i32.store (i32.const 2048) (i32.const 1))
        (i32.store (i32.const 20) (i32.const 1024)) (i32.store (i32.const 24) (i32.const 1)) (i32.const 16)";
    serve(&sandbox, Role::AcceptFilter, filter(HONEST, remember)).await;
    for _ in 0..3 {
        assert_eq!(judge(&sandbox).await, Ok(vec![Verdict::Accepted]));
    }
}

#[tokio::test]
async fn guests_that_hang_delay_the_others_but_do_not_starve_them() {
    let sandbox = strict_for(2);
    serve(&sandbox, Role::AcceptFilter, filter(HONEST, "(loop $l (br $l)) unreachable")).await;
    let hanging: Vec<_> = (0..8)
        .map(|_| {
            let sandbox = sandbox.clone();
            tokio::spawn(async move { judge(&sandbox).await })
        })
        .collect();
    assert_others_are_answered(&sandbox).await;
    for call in hanging {
        assert_eq!(call.await.unwrap().expect_err("it hangs").category(), "deadline");
    }
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_any_more_ends_and_gives_its_place_back() {
    let sandbox = strict_for(1);
    serve(&sandbox, Role::AcceptFilter, filter(HONEST, "(loop $l (br $l)) unreachable")).await;
    tokio::time::timeout(DEADLINE / 4, judge(&sandbox)).await.expect_err("given up on");
    assert_others_are_answered(&sandbox).await;
}

#[tokio::test]
async fn a_guest_that_sleeps_wakes_at_once() {
    let world = r"
        package test:guest;
        world sleeper {
          include resource-broker:plugin/accept-filter-plugin@0.1.0;
          import wasi:clocks/monotonic-clock@0.2.6;
          import wasi:io/poll@0.2.6;
        }
        package wasi:io@0.2.6 { interface poll { resource pollable { block: func(); } } }
        package wasi:clocks@0.2.6 {
          interface monotonic-clock {
            use wasi:io/poll@0.2.6.{pollable};
            subscribe-duration: func(when: u64) -> pollable;
          }
        }";
    let imports = r#"(import "wasi:clocks/monotonic-clock@0.2.6" "subscribe-duration" (func $sleep (param i64) (result i32)))
        (import "wasi:io/poll@0.2.6" "[method]pollable.block" (func $block (param i32)))"#;
    let body = "(call $drop (local.get 0))
        (call $block (call $sleep (i64.const 3600000000000)))
        (i32.store (i32.const 20) (i32.const 1024)) (i32.store (i32.const 24) (i32.const 1)) (i32.const 16)";
    let component = common::filter_of_world("sleeper", world, imports, "", body);
    let sandbox = strict();
    serve(&sandbox, Role::AcceptFilter, component).await;
    assert_eq!(judge(&sandbox).await, Ok(vec![Verdict::Accepted]));
}

/// A transformer that answers `length` bytes at 4096, filled by `fill`.
async fn status_failure(fill: &str, length: usize) -> CallError {
    let sandbox = strict();
    let body = format!(
        "(call $drop (local.get 0)) {fill}
         (i32.store8 (i32.const 20) (i32.const 1)) (i32.store (i32.const 24) (i32.const 4096))
         (i32.store (i32.const 28) (i32.const {length})) (i32.const 16)"
    );
    serve(&sandbox, Role::StatusTransformer, status(HONEST, &body)).await;
    let context = CopyContext {
        prefix: "0123456789ab-".to_owned(),
        consumer_namespace: "team".to_owned(),
        provider: "provider#nestor".to_owned(),
    };
    let answer = sandbox.transform_status(&common::guests(), r#"{"status":{}}"#.to_owned(), None, context).await;
    assert_others_are_answered(&sandbox).await;
    answer.expect_err("the guest misbehaves")
}

#[tokio::test]
async fn a_status_is_a_json_object_of_bounded_size_and_depth() {
    let deep = "(memory.fill (i32.const 4096) (i32.const 0x5b) (i32.const 10000))";
    assert_eq!(status_failure(deep, 10_000).await.category(), "malformed");
    let number = "(i32.store8 (i32.const 4096) (i32.const 0x37))";
    assert_eq!(status_failure(number, 1).await.category(), "malformed");
    assert_eq!(status_failure("", 0).await.category(), "malformed");
    let blanks = "(memory.fill (i32.const 4096) (i32.const 0x20) (i32.const 2000000))";
    assert_eq!(status_failure(blanks, 2_000_000).await.category(), "oversized");
}
