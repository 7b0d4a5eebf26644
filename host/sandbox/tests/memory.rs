//! Guests that take what memory they can get leave none of it taken. In a process of its own, since it measures the process.

#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::time::Duration;

use common::{assert_others_are_answered, guest, sandbox, source};
use resource_broker_sandbox::{Limits, LimitsRequest, SandboxConfig, Source};

const MIB: usize = 1 << 20;

/// The process's resident memory in bytes.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it is there");
    let kilobytes: usize = line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number");
    kilobytes << 10
}

#[tokio::test]
async fn memory_comes_back() {
    let limits = Limits { deadline: Duration::from_millis(300), ..Limits::default() };
    let sandbox = sandbox(SandboxConfig { limits, ..SandboxConfig::default() });
    assert_others_are_answered(&sandbox).await;
    let large =
        LimitsRequest { memory_bytes: Some(128 * MIB), deadline: Some(Duration::from_secs(5)), output_bytes: None };
    let hungry = [
        ("memory-grow", LimitsRequest::default(), "memory"),
        ("copy-loop", LimitsRequest::default(), "deadline"),
        ("many-violations", LimitsRequest::default(), "oversized"),
        ("large-answer", large, "oversized"),
    ];
    let mut trials = Vec::new();
    for (name, limits, category) in hungry {
        let plugin = sandbox.load(Source { limits, ..source(guest(name)) }).await.expect("the guest loads");
        trials.push((sandbox.trial(&plugin), category));
    }
    let before = resident();
    let mut most = 0;
    for _ in 0..6 {
        for (trial, category) in &trials {
            // Trials are not suspended, however often they fail.
            let trialled = trial.judge("{}".to_owned(), vec![common::offer(&["{}"])]).await;
            assert_eq!(trialled.answer.expect_err("it misbehaves").category(), *category);
            most = most.max(trialled.memory_bytes);
        }
    }
    let after = resident();
    println!("resident: {} MiB before, {} MiB after; one guest had {} MiB", before / MIB, after / MIB, most / MIB);
    assert!(most > 100 * MIB, "they did take it: {most} bytes");
    assert!(after < before + 128 * MIB, "{before} bytes before, {after} bytes after");
    assert_others_are_answered(&sandbox).await;
}
