//! Guests written by hand: a core module in WebAssembly text, made a component of the interface package.

#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::path::Path;
use std::sync::LazyLock;
use std::thread;

use resource_broker_sandbox::{ApiName, CallError, Offer, Plugin, Role, Sandbox, SandboxConfig, Source, Verdict};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// What every guest imports: `$drop`, which gives a document back, and `$log`.
const IMPORTS: &str = r#"
    (import "resource-broker:plugin/documents@0.1.0" "[resource-drop]document" (func $drop (param i32)))
    (import "resource-broker:plugin/host@0.1.0" "log" (func $log (param i32 i32 i32)))
"#;

/// What every guest has: memory, an allocator, and the functions of `plugin`.
const PRELUDE: &str = r#"
    (memory (export "memory") 64)
    (global $heap (mut i32) (i32.const 65536))
    (func $alloc (param $size i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
      (global.set $heap (i32.add (local.get $at) (local.get $size)))
      (local.get $at))
    ;; Nothing but zeros: an empty description, an answer that all is well.
    (func (export "resource-broker:plugin/plugin@0.1.0#describe") (result i32) (i32.const 1024))
    (func (export "resource-broker:plugin/plugin@0.1.0#validate-settings") (param i32 i32) (result i32) (i32.const 1024))
"#;

/// An allocator that works.
pub(crate) const HONEST: &str = r#"
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (call $alloc (local.get 3)))
"#;

/// A component of `world`, one of the interface package's, whose core module has `body` beside what every guest has.
pub(crate) fn component(world: &str, body: &str) -> Vec<u8> {
    encode(world, None, &format!("(module {IMPORTS} {PRELUDE} {body})"))
}

/// A component of a world of its own, which the package `wit` defines, and which has `imports` of its own.
pub(crate) fn component_of_world(world: &str, wit: &str, imports: &str, body: &str) -> Vec<u8> {
    encode(world, Some(wit), &format!("(module {IMPORTS} {imports} {PRELUDE} {HONEST} {body})"))
}

/// A filter of a world of its own.
pub(crate) fn filter_of_world(world: &str, wit: &str, imports: &str, functions: &str, body: &str) -> Vec<u8> {
    component_of_world(world, wit, imports, &filter_body(functions, body))
}

fn encode(world: &str, wit: Option<&str>, core: &str) -> Vec<u8> {
    let mut core = wat::parse_str(core).expect("valid text");
    let mut resolve = Resolve::default();
    let (mut package, _) =
        resolve.push_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit")).expect("valid WIT");
    if let Some(wit) = wit {
        package = resolve.push_str("guest.wit", wit).expect("valid WIT");
    }
    let world = resolve.select_world(&[package], Some(world)).expect("the world exists");
    embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8).expect("metadata fits");
    ComponentEncoder::default().module(&core).expect("a module").validate(true).encode().expect("a component")
}

/// A filter whose `judge` has `body`, with the handle, the offers' address and their number as locals 0 to 2; what it leaves
/// on the stack is the answer's address. `functions` stand beside it.
pub(crate) fn filter(functions: &str, body: &str) -> Vec<u8> {
    component("accept-filter-plugin", &filter_body(functions, body))
}

/// The part of a filter's core module that is not the same for all.
fn filter_body(functions: &str, body: &str) -> String {
    format!(
        r#"{functions}
        (func (export "resource-broker:plugin/accept-filter@0.1.0#validate") (param i32 i32) (result i32) (i32.const 1024))
        (func (export "resource-broker:plugin/accept-filter@0.1.0#judge") (param i32 i32 i32) (result i32) {body})"#
    )
}

/// A status transformer whose `transform` has `body`; its locals 0 to 2 are the copy's handle, whether there is a previous
/// object, and that one's handle.
pub(crate) fn status(functions: &str, body: &str) -> Vec<u8> {
    component(
        "status-transformer-plugin",
        &format!(
            r#"{functions}
            (func (export "resource-broker:plugin/status-transformer@0.1.0#transform")
              (param i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) {body})"#
        ),
    )
}

/// The sandbox with defaults, which tests share since to make one is to compile the standard plugin.
pub(crate) fn shared() -> Sandbox {
    static SHARED: LazyLock<Sandbox> = LazyLock::new(|| sandbox(SandboxConfig::default()));
    SHARED.clone()
}

pub(crate) fn sandbox(config: SandboxConfig) -> Sandbox {
    Sandbox::new(config).expect("the standard plugin loads")
}

pub(crate) fn api(resource: &str) -> ApiName {
    ApiName { group: "example.platform-mesh.io".to_owned(), resource: resource.to_owned() }
}

/// The API that this test's guest serves; every test has a thread of its own.
pub(crate) fn guests() -> ApiName {
    api(&format!("guests-{:?}", thread::current().id()))
}

pub(crate) fn offer(filters: &[&str]) -> Offer {
    Offer {
        provider: "provider#nestor".to_owned(),
        name: "default/offer".to_owned(),
        filters: filters.iter().map(|filter| (*filter).to_owned()).collect(),
    }
}

pub(crate) fn source(component: Vec<u8>) -> Source {
    Source { name: "guest".to_owned(), component, settings: None }
}

/// Loads a component and lets it serve this test's API in `role`.
pub(crate) async fn serve(sandbox: &Sandbox, role: Role, component: Vec<u8>) -> Plugin {
    let plugin = sandbox.load(source(component)).await.expect("the guest loads");
    sandbox.serve(&guests(), role, plugin.clone());
    plugin
}

/// Asks the guest to judge one offer.
pub(crate) async fn judge(sandbox: &Sandbox) -> Result<Vec<Verdict>, CallError> {
    sandbox.judge(&guests(), r#"{"spec":{}}"#.to_owned(), vec![offer(&[])]).await
}

/// The host is alive: another API's call is answered, and rightly.
pub(crate) async fn assert_others_are_answered(sandbox: &Sandbox) {
    let object = r#"{"spec":{"fqdn":"a.corp.com"}}"#.to_owned();
    let offers = vec![offer(&[r#"{"key":"fqdn","suffix":"corp.com"}"#]), offer(&[r#"{"key":"fqdn","suffix":"x"}"#])];
    let verdicts = sandbox.judge(&api("others"), object, offers).await.expect("an answer");
    assert!(matches!(verdicts.as_slice(), [Verdict::Accepted, Verdict::Refused(_)]), "{verdicts:?}");
}
