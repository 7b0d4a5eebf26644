//! `plugin manifest`: the ConfigMaps that carry a component and the Plugin that names them, for `kubectl apply -f -`.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ObjectMeta;
use resource_broker_api::broker::{ApiRef, ComponentPart, Plugin, PluginRole, PluginSpec};
use resource_broker_plugin_types::Role;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::component::{self, ComponentArgs, Opened};
use super::input;
use super::packing::{self, Compress, Packed};
use super::usage;
use crate::output::{self, Format};
use crate::yaml;

/// The longest name of a Plugin: its ConfigMaps are called `NAME-component-NN`, and a label holds the name.
const MAX_NAME: usize = 63;
/// Where kubectl writes what it applied, with the line break that follows it.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration\n";
/// How many bytes all annotations of an object may have.
const ANNOTATIONS: usize = 256 << 10;

/// Loads a component with its settings and limits, as the broker will, and prints the ConfigMaps that carry it and the
/// Plugin that names them. A large component is compressed and split, so that plain `kubectl apply` takes each part.
/// Names stay the same from one version to the next, so that applying swaps the component; the Plugin has its digest, so
/// that the broker goes on with the old one until all parts are there.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Example:\n  resource-broker plugin manifest my_plugin.wasm --name postgres \\\n      --api databases.generic.platform-mesh.io --namespace resource-broker | kubectl apply -f -"
)]
pub(super) struct ManifestArgs {
    #[command(flatten)]
    component: ComponentArgs,
    /// The Plugin's name [default: what the component calls itself]
    #[arg(long)]
    name: Option<String>,
    /// An API that it serves, by its plural name; the core group is written core
    #[arg(long, value_name = "RESOURCE.GROUP", value_delimiter = ',', required = true, value_parser = parse_api)]
    api: Vec<ApiRef>,
    /// What it is used for [default: everything that it exports]
    #[arg(long, value_name = "ROLE", value_delimiter = ',')]
    role: Vec<RoleArg>,
    /// The broker's namespace in the coordination cluster [default: kubectl's]
    #[arg(long)]
    namespace: Option<String>,
    /// How the component is compressed
    #[arg(long, value_name = "HOW", default_value = "auto")]
    compress: Compress,
    /// One document in this form [default: YAML, one document an object]
    #[arg(short, long, value_name = "FORM")]
    output: Option<Format>,
}

/// A role by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum RoleArg {
    /// Says which offers take an object
    AcceptFilter,
    /// Makes the consumer's status from the copy's
    StatusTransformer,
    /// Says which stages a move has, and what each deploys
    MigrationTemplate,
}

impl RoleArg {
    /// As the sandbox calls it.
    pub(super) fn role(self) -> Role {
        match self {
            Self::AcceptFilter => Role::AcceptFilter,
            Self::StatusTransformer => Role::StatusTransformer,
            Self::MigrationTemplate => Role::MigrationTemplate,
        }
    }

    fn written(self) -> PluginRole {
        match self {
            Self::AcceptFilter => PluginRole::AcceptFilter,
            Self::StatusTransformer => PluginRole::StatusTransformer,
            Self::MigrationTemplate => PluginRole::MigrationTemplate,
        }
    }
}

/// Prints the objects.
pub(super) fn run(args: &ManifestArgs) -> Result<ExitCode> {
    if args.component.file.as_os_str() == "-"
        && args.component.settings.as_deref().is_some_and(|s| s.as_os_str() == "-")
    {
        return usage("component and settings cannot both be read from standard input");
    }
    let configuration = configuration(&args.component)?;
    let bytes = input::bytes(&args.component.file)?;
    let Opened { plugin, .. } =
        super::block_on(component::load(&args.component, bytes.clone(), configuration.clone().map(Value::Object)))??;
    for role in &args.role {
        if !plugin.roles().contains(&role.role()) {
            let exported: Vec<&str> = plugin.roles().iter().copied().map(Role::name).collect();
            let (file, role) = (input::name(&args.component.file), role.role().name());
            bail!("{file} does not export {role}: it exports {}", exported.join(", "));
        }
    }
    let name = name(args.name.clone().unwrap_or_else(|| plugin.description().name.clone()))?;
    let packed = packing::pack(&bytes, args.compress)?;
    let meta = Meta { name, namespace: args.namespace.clone() };
    let spec = PluginSpec {
        component: (0..packed.parts().len())
            .map(|index| ComponentPart { config_map: meta.part_name(index), key: packed.key.to_owned() })
            .collect(),
        apis: args.api.clone(),
        roles: args.role.iter().copied().map(RoleArg::written).collect(),
        configuration,
        sha256: Some(plugin.digest().to_owned()),
        limits: args.component.limits.as_ref().map(|limits| limits.written.clone()),
    };
    let objects = objects(&meta, &packed, spec)?;
    if objects.iter().any(is_too_large_to_apply) {
        // The parts never are; settings may be.
        let _ = writeln!(
            io::stderr(),
            "note: with these settings the Plugin is too large for `kubectl apply`: add --server-side to it"
        );
    }
    output::write(&render(&objects, args.output)?)?;
    Ok(ExitCode::SUCCESS)
}

/// Settings as they stand in a Plugin, where they are an object.
fn configuration(args: &ComponentArgs) -> Result<Option<Map<String, Value>>> {
    match args.read_settings()? {
        None => Ok(None),
        Some(document) => match document.value {
            Value::Object(configuration) => Ok(Some(configuration)),
            _ => bail!("{}: a Plugin's configuration is an object", document.place),
        },
    }
}

fn name(given: String) -> Result<String> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_name = (1..=MAX_NAME).contains(&given.len())
        && given.chars().all(is_part)
        && !given.starts_with('-')
        && !given.ends_with('-');
    if is_name {
        return Ok(given);
    }
    usage(format!(
        "{given:?} is no name for a Plugin, which has small letters, digits and dashes, and at most {MAX_NAME}: give one \
         with --name"
    ))
}

fn parse_api(text: &str) -> Result<ApiRef, String> {
    let (resource, group) = text.split_once('.').unwrap_or((text, "core"));
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_label = |label: &str| {
        !label.is_empty() && label.chars().all(is_part) && !label.starts_with('-') && !label.ends_with('-')
    };
    if !is_label(resource) || !group.split('.').all(is_label) {
        return Err("not RESOURCE.GROUP, as in virtualmachines.compute.generic.platform-mesh.io".to_owned());
    }
    let group = if group == "core" { "" } else { group };
    Ok(ApiRef { group: group.to_owned(), resource: resource.to_owned() })
}

/// What all objects' metadata have in common.
struct Meta {
    name: String,
    namespace: Option<String>,
}

impl Meta {
    fn part_name(&self, index: usize) -> String {
        format!("{}-component-{index}", self.name)
    }

    fn of(&self, name: String) -> ObjectMeta {
        let label = ("app.kubernetes.io/name".to_owned(), self.name.clone());
        let component = ("app.kubernetes.io/component".to_owned(), "resource-broker-plugin".to_owned());
        ObjectMeta {
            name: Some(name),
            namespace: self.namespace.clone(),
            labels: Some(BTreeMap::from([label, component])),
            ..ObjectMeta::default()
        }
    }
}

/// The ConfigMaps, then the Plugin: where both change, its digest does not fit the old parts, and nothing is loaded until
/// it is there.
fn objects(meta: &Meta, packed: &Packed, spec: PluginSpec) -> Result<Vec<Value>> {
    let mut objects = Vec::new();
    for (index, part) in packed.parts().enumerate() {
        objects.push(to_value(ConfigMap {
            metadata: meta.of(meta.part_name(index)),
            binary_data: Some(BTreeMap::from([(packed.key.to_owned(), ByteString(part.to_vec()))])),
            ..ConfigMap::default()
        })?);
    }
    objects.push(to_value(Plugin { metadata: meta.of(meta.name.clone()), spec, status: None })?);
    Ok(objects)
}

/// Whether plain `kubectl apply` fails on an object: it writes the whole of it into an annotation.
fn is_too_large_to_apply(object: &Value) -> bool {
    object.to_string().len() + LAST_APPLIED.len() >= ANNOTATIONS
}

fn to_value(object: impl Serialize) -> Result<Value> {
    serde_json::to_value(object).context("an object cannot be written")
}

fn render(objects: &[Value], format: Option<Format>) -> Result<String> {
    let list = || json!({"apiVersion": "v1", "kind": "List", "items": objects});
    match format {
        Some(Format::Json) => Ok(serde_json::to_string_pretty(&list()).context("the list cannot be written")? + "\n"),
        Some(Format::Yaml) => yaml::to_string(&list()).context("the list cannot be written"),
        None => {
            let mut text = String::new();
            for object in objects {
                text.push_str("---\n");
                text.push_str(&yaml::to_string(object).context("an object cannot be written")?);
            }
            Ok(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> PluginSpec {
        PluginSpec {
            component: Vec::new(),
            apis: Vec::new(),
            roles: Vec::new(),
            configuration: None,
            sha256: None,
            limits: None,
        }
    }

    #[test]
    fn every_part_can_be_applied_by_the_client() {
        let meta = Meta { name: "n".repeat(MAX_NAME), namespace: Some("s".repeat(63)) };
        let packed = packing::pack(&vec![0xff; packing::PART_BYTES * 2 + 1], Compress::None).unwrap();
        let objects = objects(&meta, &packed, spec()).unwrap();
        assert_eq!(objects.len(), 4, "three parts and the Plugin");
        for object in &objects {
            assert!(!is_too_large_to_apply(object), "{}", object["metadata"]["name"]);
        }
        let largest = objects.iter().map(|object| object.to_string().len()).max().unwrap();
        assert!(largest > ANNOTATIONS * 9 / 10, "{largest}: no more parts than are needed");
        assert!(is_too_large_to_apply(&json!({"spec": {"configuration": {"a": "x".repeat(ANNOTATIONS)}}})));
    }

    #[test]
    fn an_api_has_a_resource_and_a_group() {
        let api = |group: &str, resource: &str| Ok(ApiRef { group: group.into(), resource: resource.into() });
        assert_eq!(parse_api("vms.compute.example.com"), api("compute.example.com", "vms"));
        assert_eq!(parse_api("virtual-machines.example.com"), api("example.com", "virtual-machines"));
        assert_eq!(parse_api("configmaps"), api("", "configmaps"));
        assert_eq!(parse_api("configmaps.core"), api("", "configmaps"));
        for wrong in
            ["", ".", "vms.", "-vms.example.com", "vms.-a.com", "VMs.example.com", "vms..com", "vms.example.com/v1"]
        {
            assert!(parse_api(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_name_that_no_object_could_have_is_refused() {
        assert!(name("db-1".to_owned()).is_ok() && name("a".repeat(63)).is_ok());
        for wrong in ["", "-a", "a-", "A", "a.b", &"a".repeat(64)] {
            let error = name(wrong.to_owned()).unwrap_err();
            assert!(error.is::<crate::plugin::Usage>() && error.to_string().contains("--name"), "{wrong}");
        }
    }
}
