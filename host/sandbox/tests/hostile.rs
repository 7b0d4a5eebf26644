//! Guests that misbehave: each is stopped, the failure is put down to the right cause, and everybody else is answered.

mod common;

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use common::{assert_others_are_answered, copy_context, guest, guests, judge, judge_nth, sandbox, serve, source};
use resource_broker_plugin_types::{Role, Verdict};
use resource_broker_sandbox::{CallError, Fault, Limits, LimitsRequest, LoadError, Sandbox, SandboxConfig, Source};
use wit_component::StringEncoding;

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

/// Asks the filter in the file `name`, which has to fail.
async fn failure(name: &str) -> CallError {
    failure_of(source(guest(name))).await
}

async fn failure_of(source: Source) -> CallError {
    failure_in(&strict(), source).await
}

async fn failure_in(sandbox: &Sandbox, source: Source) -> CallError {
    let plugin = sandbox.load(source).await.expect("the guest loads");
    sandbox.serve(&guests(), Role::AcceptFilter, plugin.clone());
    let begun = Instant::now();
    let (answer, ()) = tokio::join!(judge(sandbox), assert_others_are_answered(sandbox));
    let error = answer.expect_err("the guest misbehaves");
    let taken = begun.elapsed();
    println!("stopped {:?} after its deadline", taken.saturating_sub(DEADLINE));
    assert!(taken < DEADLINE + GRACE, "stopped after {taken:?}");
    assert_eq!(error.fault(), Fault::Guest, "{error}");
    assert!(error.to_string().contains("guest"), "the plugin is named: {error}");
    assert_others_are_answered(sandbox).await;
    // The next call of the same guest gets an instance of its own, and fails the same way.
    assert_eq!(judge(sandbox).await.expect_err("the guest misbehaves again").category(), error.category());
    let stats = plugin.stats();
    assert_eq!((stats.calls, stats.failures), (2, 2));
    error
}

#[tokio::test]
async fn an_endless_loop_is_stopped_at_the_deadline() {
    let error = failure("endless-loop").await;
    assert_eq!(error, CallError::Deadline { plugin: "guest".to_owned(), limit: DEADLINE });
}

#[tokio::test]
async fn a_loop_of_bulk_copies_is_stopped_at_the_deadline() {
    assert_eq!(failure("copy-loop").await.category(), "deadline");
}

#[tokio::test]
async fn memory_and_tables_are_bounded() {
    // So much time that a loaded machine does not end them by the deadline instead.
    let limits = Limits { deadline: GRACE, ..Limits::default() };
    let patient = sandbox(SandboxConfig { limits, ..SandboxConfig::default() });
    let error = failure_in(&patient, source(guest("memory-grow"))).await;
    assert_eq!(error.category(), "memory");
    assert!(error.to_string().contains("67108864"), "the limit is named: {error}");
    assert_eq!(failure_in(&patient, source(guest("table-grow"))).await.category(), "memory");
}

#[tokio::test]
async fn deep_recursion_is_the_guests_own_crash() {
    assert_eq!(failure("deep-recursion").await.category(), "trap");
}

#[tokio::test]
async fn a_crash_is_explained_by_the_last_error_that_was_logged() {
    assert_eq!(failure("panic").await.to_string(), "plugin guest crashed: the disk\u{fffd}[2J is on fire");
}

#[tokio::test]
async fn a_guest_that_never_introduces_itself_or_crashes_at_its_start_does_not_load() {
    let sandbox = strict();
    for (name, category) in [("endless-describe", "deadline"), ("start-trap", "trap")] {
        let error = sandbox.load(source(guest(name))).await.expect_err("it does not load");
        assert!(matches!(&error, LoadError::Call(call) if call.category() == category), "{error}");
        assert_others_are_answered(&sandbox).await;
    }
}

#[tokio::test]
async fn a_hundred_instances_are_too_many() {
    let error = strict().load(source(with_instances(guest("endless-loop"), 100))).await.expect_err("too many");
    assert!(matches!(&error, LoadError::Call(call) if call.category() == "memory"), "{error}");
    let error = strict().load(source(with_instances(guest("endless-loop"), 10_000))).await.expect_err("far too many");
    assert!(matches!(&error, LoadError::Invalid { .. }), "{error}");
    assert_others_are_answered(&strict()).await;
}

/// The component with `count` instances more, of an empty module.
fn with_instances(mut component: Vec<u8>, count: u32) -> Vec<u8> {
    const CORE_MODULE: u8 = 1;
    const CORE_INSTANCE: u8 = 2;
    let mut modules = 0;
    let mut rest = &component[8..];
    while let [id, tail @ ..] = rest {
        let (size, length) = leb(tail);
        modules += u32::from(*id == CORE_MODULE);
        rest = &tail[length + size..];
    }
    let module = b"\0asm\x01\0\0\0";
    component.extend([CORE_MODULE, u8::try_from(module.len()).unwrap()]);
    component.extend(module);
    let mut instances = to_leb(count);
    for _ in 0..count {
        instances.push(0);
        instances.extend(to_leb(modules));
        instances.push(0);
    }
    component.push(CORE_INSTANCE);
    component.extend(to_leb(u32::try_from(instances.len()).unwrap()));
    component.extend(instances);
    component
}

/// A number in WebAssembly's binary format, and its length.
fn leb(bytes: &[u8]) -> (usize, usize) {
    let length = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
    let value = bytes[..length].iter().rev().fold(0, |value, byte| value << 7 | usize::from(byte & 0x7f));
    (value, length)
}

fn to_leb(value: u32) -> Vec<u8> {
    let [low, ..] = value.to_le_bytes();
    if value < 0x80 {
        return vec![low];
    }
    let mut bytes = vec![low | 0x80];
    bytes.extend(to_leb(value >> 7));
    bytes
}

#[tokio::test]
async fn an_oversized_answer_is_not_taken() {
    assert_eq!(failure("many-verdicts").await.category(), "oversized");
    assert_eq!(failure("many-violations").await.category(), "oversized");
    let limits = LimitsRequest {
        memory_bytes: Some(128 << 20),
        deadline: Some(Duration::from_secs(5)),
        ..LimitsRequest::default()
    };
    let error = failure_of(Source { limits, ..source(guest("large-answer")) }).await;
    assert_eq!(error.category(), "oversized");
}

#[tokio::test]
async fn verdicts_are_counted() {
    for name in ["no-verdicts", "two-verdicts"] {
        let error = failure(name).await;
        assert_eq!(error.category(), "malformed");
        assert!(error.to_string().contains("verdicts on 1 offers"), "{error}");
    }
}

#[tokio::test]
async fn pointers_to_nowhere_and_broken_text_are_malformed() {
    for name in ["out-of-bounds", "wrapping-text", "misaligned", "broken-utf8"] {
        assert_eq!(failure(name).await.category(), "malformed", "{name}");
    }
    let text = common::guest_text("misaligned-utf16");
    let utf16 = common::Guest { encoding: StringEncoding::UTF16, ..common::Guest::new(&text) };
    assert_eq!(failure_of(source(utf16.encode())).await.category(), "malformed");
}

#[tokio::test]
async fn cases_that_a_type_does_not_have_are_malformed() {
    for name in ["undefined-variant", "undefined-enum"] {
        assert_eq!(failure(name).await.category(), "malformed", "{name}");
    }
}

#[tokio::test]
async fn handles_are_given_back_once_and_bounded() {
    for name in ["handle-kept", "handle-twice", "handle-leak"] {
        let error = failure(name).await;
        assert!(matches!(error.category(), "malformed" | "trap"), "{name}: {error}");
    }
}

#[tokio::test]
async fn an_allocator_that_lies_or_does_not_end_is_stopped() {
    for (name, category) in [
        ("realloc-low", "malformed"),
        ("realloc-odd", "malformed"),
        ("realloc-end", "malformed"),
        ("realloc-reenters", "trap"),
        ("realloc-loop", "deadline"),
    ] {
        assert_eq!(failure(name).await.category(), category, "{name}");
    }
}

#[tokio::test]
async fn a_log_flood_harms_nobody() {
    let sandbox = strict();
    let plugin = serve(&sandbox, Role::AcceptFilter, guest("log-flood")).await;
    assert_eq!(judge(&sandbox).await, Ok(vec![Verdict::accepted()]));
    assert_others_are_answered(&sandbox).await;
    let trialled = sandbox.trial(&plugin).judge("{}".to_owned(), vec![common::offer(&["{}"])]).await;
    let bytes: usize = trialled.log.iter().map(|line| line.message.len()).sum();
    assert!(bytes <= Limits::default().log_bytes, "{bytes} bytes");
    let last = &trialled.log.last().unwrap().message;
    assert!(last.contains("lines were dropped"), "{last}");
}

#[tokio::test]
async fn a_log_line_is_one_line_of_visible_text() {
    let sandbox = strict();
    let plugin = sandbox.load(source(guest("log-escapes"))).await.unwrap();
    let trialled = sandbox.trial(&plugin).judge("{}".to_owned(), vec![common::offer(&["{}"])]).await;
    let [line] = trialled.log.as_slice() else { panic!("one line: {:?}", trialled.log) };
    assert_eq!(line.message, "x\u{fffd}[2J\u{fffd}y  ERROR forged");
}

#[tokio::test]
async fn nothing_lives_on_to_the_next_call() {
    let sandbox = strict();
    serve(&sandbox, Role::AcceptFilter, guest("remembering")).await;
    for _ in 0..3 {
        assert_eq!(judge(&sandbox).await, Ok(vec![Verdict::accepted()]));
    }
}

#[tokio::test]
async fn an_answer_cannot_depend_on_chance_or_time() {
    let sandbox = strict();
    serve(&sandbox, Role::AcceptFilter, guest("guessing")).await;
    let first = judge(&sandbox).await.expect_err("it says what it made of them");
    assert_eq!(first.category(), "failed");
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(judge(&sandbox).await, Err(first));
}

#[tokio::test]
async fn a_guest_that_sleeps_wakes_at_once() {
    let sandbox = strict();
    serve(&sandbox, Role::AcceptFilter, guest("sleeping")).await;
    assert_eq!(judge(&sandbox).await, Ok(vec![Verdict::accepted()]));
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_any_more_ends_and_gives_its_place_back() {
    let sandbox = strict_for(1);
    serve(&sandbox, Role::AcceptFilter, guest("endless-loop")).await;
    tokio::time::timeout(DEADLINE / 4, judge(&sandbox)).await.expect_err("given up on");
    assert_others_are_answered(&sandbox).await;
}

#[tokio::test]
async fn guests_that_hang_hold_up_their_own_api_and_no_other() {
    let sandbox = strict_for(2);
    serve(&sandbox, Role::AcceptFilter, guest("endless-loop")).await;
    let hanging: Vec<_> = (0..30)
        .map(|nth| {
            let sandbox = sandbox.clone();
            tokio::spawn(async move { judge_nth(&sandbox, nth).await })
        })
        .collect();
    tokio::task::yield_now().await;
    let begun = Instant::now();
    assert_others_are_answered(&sandbox).await;
    let waited = begun.elapsed();
    println!("another API's call took {waited:?}");
    assert!(waited < DEADLINE * 3, "it did not wait for all of them: {waited:?}");
    let mut categories: Vec<&str> = Vec::new();
    for call in hanging {
        categories.push(call.await.unwrap().expect_err("it hangs").category());
    }
    let count = |category: &str| categories.iter().filter(|found| **found == category).count();
    // Five in a row are enough to know: what still waits is not called any more.
    assert_eq!((count("deadline"), count("suspended")), (5, 25), "{categories:?}");
}

/// Asks the guest that answers with the copy's text at `answer` for a status.
async fn status(sandbox: &Sandbox, answer: &str) -> Result<Option<String>, CallError> {
    let copy = serde_json::json!({ "answer": answer }).to_string();
    sandbox.transform_status(&guests(), copy, Some("{}".to_owned()), copy_context()).await
}

#[tokio::test]
async fn a_status_is_a_json_object_of_bounded_size_and_depth() {
    let sandbox = strict();
    serve(&sandbox, Role::StatusTransformer, guest("parrot-status")).await;
    let fine = r#"{"status":"Available","n":1.10}"#;
    assert_eq!(status(&sandbox, fine).await.unwrap().as_deref(), Some(fine));
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    for bad in ["7", "[]", r#"{"n":NaN}"#, "{} {}"] {
        assert_eq!(status(&sandbox, bad).await.unwrap_err().category(), "malformed", "{bad}");
    }
    assert_eq!(status(&sandbox, fine).await.unwrap().as_deref(), Some(fine), "an answer closes the row of failures");
    assert_eq!(status(&sandbox, &deep).await.unwrap_err().category(), "malformed");
    let large = format!("{{}}{}", " ".repeat(2_000_000));
    assert_eq!(status(&sandbox, &large).await.unwrap_err().category(), "oversized");
    assert_others_are_answered(&sandbox).await;
}

#[tokio::test]
async fn what_a_status_says_of_other_places_is_text_and_no_more() {
    let sandbox = strict();
    serve(&sandbox, Role::StatusTransformer, guest("parrot-status")).await;
    let foreign = r#"{"relatedResources":{"x":{"name":"../../secrets/root","namespace":"kube-system","cluster":"consumer#other"}}}"#;
    assert_eq!(status(&sandbox, foreign).await.unwrap().as_deref(), Some(foreign));
}
