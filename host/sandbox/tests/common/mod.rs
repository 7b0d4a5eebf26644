//! Makes components of the guests in `tests/guests`, and asks them.

#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::thread;

use resource_broker_plugin_types::{ApiName, CopyContext, NamePair, Offer, Role, Verdict};
use resource_broker_sandbox::{CallError, LimitsRequest, Plugin, Sandbox, SandboxConfig, Source};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The version of the interface package that guests are written for.
const VERSION: &str = "0.2.0";
/// The package's files.
const PACKAGE: [&str; 3] = ["types.wit", "plugin.wit", "worlds.wit"];
/// What a guest gets that does not bring it itself: a file of `common/`, and the mark by which it is known.
const PLUGIN_PARTS: [(&str, &str); 4] = [
    ("memory", "(memory "),
    ("realloc", "\"cabi_realloc\""),
    ("describe", "#describe\""),
    ("validate-settings", "#validate-settings\""),
];
const FILTER_PARTS: [(&str, &str); 1] = [("validate-filters", "accept-filter@0.2.0#validate\"")];
const TEMPLATE_PARTS: [(&str, &str); 4] = [
    ("validate-migration", "migration-template@0.2.0#validate\""),
    ("stages", "#stages\""),
    ("render", "#render\""),
    ("assess", "#assess\""),
];

/// A filter that accepts its one offer.
pub(crate) const ACCEPTING: &str = r#"
    (func (export "resource-broker:plugin/accept-filter@0.2.0#judge")
      (param $object i32) (param $offers i32) (param $count i32) (result i32)
      (call $drop (local.get $object))
      (call $accepted))"#;

fn guests_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/guests")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The guest in `tests/guests` of this name.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    let own_world = guests_folder().join(format!("{name}.wit"));
    let world = own_world.exists().then(|| read(&own_world));
    Guest { world: world.as_deref(), ..Guest::new(&guest_text(name)) }.encode()
}

/// The text of that guest.
pub(crate) fn guest_text(name: &str) -> String {
    read(&guests_folder().join(format!("{name}.wat")))
}

/// A guest by the fields of its core module.
pub(crate) struct Guest<'g> {
    pub(crate) fields: &'g str,
    /// The package of a world `guest`, where the world does not follow from the role.
    pub(crate) world: Option<&'g str>,
    pub(crate) encoding: StringEncoding,
    /// Which version of the interface package it is made for, as if there were that one.
    pub(crate) version: &'g str,
    /// What is replaced in the interface package, for a guest that was made for another one.
    pub(crate) edits: &'g [(&'g str, &'g str)],
}

impl<'g> Guest<'g> {
    pub(crate) fn new(fields: &'g str) -> Self {
        Self { fields, world: None, encoding: StringEncoding::UTF8, version: VERSION, edits: &[] }
    }

    /// The component.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let at_version = |text: &str| text.replace(VERSION, self.version);
        let mut core = wat::parse_str(at_version(&self.module())).expect("valid text");
        let mut resolve = Resolve::default();
        let mut package: String = PACKAGE.iter().map(|file| read(&wit_folder().join(file))).collect();
        for (from, to) in self.edits {
            assert!(package.contains(from), "{from} is in the interface package");
            package = package.replace(from, to);
        }
        let mut package = resolve.push_str("plugin.wit", &at_version(&package)).expect("valid WIT");
        let mut world = self.role();
        if let Some(wit) = self.world {
            package = resolve.push_str("guest.wit", &at_version(wit)).expect("valid WIT");
            world = "guest";
        }
        let world = resolve.select_world(&[package], Some(world)).expect("the world exists");
        embed_component_metadata(&mut core, &resolve, world, self.encoding).expect("metadata fits");
        ComponentEncoder::default().module(&core).expect("a module").validate(true).encode().expect("a component")
    }

    /// The world of the interface package, by what is exported.
    fn role(&self) -> &'static str {
        if self.fields.contains("status-transformer@") {
            "status-transformer-plugin"
        } else if self.fields.contains("migration-template@") {
            "migration-template-plugin"
        } else {
            "accept-filter-plugin"
        }
    }

    fn module(&self) -> String {
        let fields = self.fields;
        let part = |name: &str| read(&guests_folder().join("common").join(format!("{name}.wat")));
        let mut module = format!("(module {}\n{fields}", part("imports"));
        let role_parts = match self.role() {
            "accept-filter-plugin" if fields.contains("accept-filter@") => &FILTER_PARTS[..],
            "migration-template-plugin" => &TEMPLATE_PARTS[..],
            _ => &[],
        };
        for (name, mark) in PLUGIN_PARTS.iter().chain(role_parts) {
            if !fields.contains(mark) {
                module.push_str(&part(name));
            }
        }
        module + "\n)"
    }
}

fn wit_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit")
}

/// The filter that accepts its one offer, as a component.
pub(crate) fn accepting() -> Vec<u8> {
    Guest::new(ACCEPTING).encode()
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

pub(crate) fn copy_context() -> CopyContext {
    CopyContext {
        names: vec![NamePair { consumer: "web".to_owned(), copy: "0123456789ab-web".to_owned() }],
        consumer_namespace: "team".to_owned(),
        provider: "provider#nestor".to_owned(),
    }
}

pub(crate) fn source(component: Vec<u8>) -> Source {
    Source { name: "guest".to_owned(), component, settings: None, limits: LimitsRequest::default() }
}

/// Loads a component and lets it serve this test's API in `role`.
pub(crate) async fn serve(sandbox: &Sandbox, role: Role, component: Vec<u8>) -> Plugin {
    let plugin = sandbox.load(source(component)).await.expect("the guest loads");
    sandbox.serve(&guests(), role, plugin.clone());
    plugin
}

/// Asks the guest to judge one offer.
pub(crate) async fn judge(sandbox: &Sandbox) -> Result<Vec<Verdict>, CallError> {
    judge_nth(sandbox, 0).await
}

/// As [`judge`], of one of many objects.
pub(crate) async fn judge_nth(sandbox: &Sandbox, nth: usize) -> Result<Vec<Verdict>, CallError> {
    sandbox.judge(&guests(), format!(r#"{{"spec":{{"nth":{nth}}}}}"#), vec![offer(&["{}"])]).await
}

/// The host is alive: another API's call is answered, and rightly.
pub(crate) async fn assert_others_are_answered(sandbox: &Sandbox) {
    let object = r#"{"spec":{"fqdn":"a.corp.com"}}"#.to_owned();
    let offers = vec![offer(&[r#"{"key":"fqdn","suffix":"corp.com"}"#]), offer(&[r#"{"key":"fqdn","suffix":"x"}"#])];
    let verdicts = sandbox.judge(&api("others"), object, offers).await.expect("an answer");
    assert!(matches!(verdicts.as_slice(), [Verdict::Accepted { .. }, Verdict::Refused(_)]), "{verdicts:?}");
}
