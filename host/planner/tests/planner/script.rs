//! The little language of the golden files: a list of steps, each a word or some changes of the world, from one new
//! `Certificate` and nothing else to the moment that is planned.

use std::{collections::BTreeMap, time::Duration};

use resource_broker_api::object::Shape;
use resource_broker_api::{
    broker::Copies,
    keys,
    names::{ClusterName, Gvk},
};
use resource_broker_planner::model::{
    claimed::Owner,
    question::{Judgement, PluginFailure},
    snapshot::{Configuration, Failure, Memory, Part, Record, Target},
};
use resource_broker_plugin_types::Verdict;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::world::{accepts, judgement};
use crate::{
    fields,
    world::{OfferName, Plugin, Unread, World, compute::Scripted, provider},
};

/// One step of a script.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Step {
    Word(Word),
    Changes(Box<Changes>),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Word {
    /// One pass.
    Pass,
    /// Passes until nothing is left to write, and a minute.
    Settle,
    /// The process forgets what it remembers.
    Restart,
    /// The consumer deletes its object.
    Delete,
    /// The consumer deletes its object, another finalizer or not, and makes it anew.
    Recreate,
    /// The object is there no longer, as if nobody had held it.
    Vanish,
    /// Somebody at the provider deletes the copy.
    DeleteCopy,
    /// The copy is there no longer, as if nobody had held it.
    CopyVanishes,
    /// A copy is there as another broker makes it.
    ForeignCopy,
    /// The record is there no longer.
    LoseRecord,
    /// An API server's own answer said that the copy is gone.
    SeenGone,
    /// The consumer's schema has conditions, but drops what the broker says in them.
    DropConditions,
    /// One look at the Migration as history.
    History,
    /// Somebody deletes the Migration.
    DeleteMigration,
    /// The Migration is there no longer, as if nobody had held it.
    LoseMigration,
    /// A Plugin makes the stages of the object's API.
    StagesPlugin,
    /// What runs in the compute cluster ends well.
    JobsEnd,
    /// What runs in the compute cluster fails.
    JobsFail,
    /// Somebody, or their TTL, deletes what a stage deployed.
    JobsAreDeleted,
    /// The same, with all finalizers taken off.
    JobsVanish,
    /// The pods of Jobs end, and nobody has seen how.
    PodsVanish,
    /// Copies that no record names are taken away.
    Sweep,
    /// The version that a record names is watched no longer, if it is another than the object's.
    WatchThisVersionOnly,
}

/// Changes of the world; what concerns a provider is at `at`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Changes {
    /// The provider that is meant; `nestor` if none is named.
    at: Option<String>,
    /// What the consumer cluster serves: `conditions`, `status` or `nothing`.
    serves: Option<Serves>,
    /// Another kind.
    kind: Option<String>,
    /// The kind is cluster-wide.
    cluster_wide: bool,
    /// A merge patch of the consumer object.
    object: Option<Value>,
    /// A condition that another controller puts into the consumer object's status.
    guest: Option<Value>,
    /// A merge patch, by somebody at the provider, of what is under the copy's name.
    copy: Option<Value>,
    /// A merge patch of the record: `{spec, status, uid, recreated}`.
    record: Option<Value>,
    /// The record whose copy the consumer object is.
    copy_of: Option<String>,
    /// All offers: `PROVIDER/NAME: accepts`, a list of reasons why not, or `{fails: WHY}`.
    offers: Option<BTreeMap<String, Answer>>,
    /// How the offers of a provider want their copies.
    copies: BTreeMap<String, Copies>,
    /// Networks that a Peering may refer to: `gone`, `unplaced`, `unread`, a provider, or `FROM to TO`.
    networks: BTreeMap<String, String>,
    /// Peerings with a record that refer to a network: all of them.
    referrers: Option<Vec<String>>,
    attach: Vec<String>,
    detach: Vec<String>,
    /// Providers at which every write fails from now on.
    broken: Vec<String>,
    /// Providers whose API server refuses every copy, with what it says; nothing: it does not any more.
    refuses: BTreeMap<String, Option<String>>,
    /// Caches that have not synced: `object`, `record`, `copy`, `offers`, `sources`, `targets`; and why.
    unread: BTreeMap<String, String>,
    /// The same for a while already.
    failing: BTreeMap<String, String>,
    /// Ends of related resources that may not be watched: `sources`, `targets`.
    unwatchable: Vec<String>,
    /// The filter plugin: `silent`, or what it fails with.
    filter: Option<String>,
    /// The status plugin: `silent`, or what it fails with.
    transformer: Option<String>,
    /// New versions of objects at the provider: `KIND/NAME`; `-KIND/NAME` takes one away.
    sources: Vec<String>,
    /// Copies of others that declare the same related resources at the provider.
    rivals: Option<Vec<String>>,
    /// Whose copy owns them: `this`, `nobody`, or the name of another one.
    owner: Option<String>,
    /// Why other copies are not known for a while already.
    rivals_unread: Option<String>,
    /// Merge patches, by somebody in the consumer cluster, of objects there: `KIND/NAME: patch`.
    beside: BTreeMap<String, Value>,
    /// Objects that the consumer deletes there: `KIND/NAME`.
    drop_beside: Vec<String>,
    /// What a webhook at the providers makes of copies.
    webhook: Option<Value>,
    /// What went wrong in the last pass.
    failure: Option<FailureOf>,
    /// Providers whose operator has made the copy available, with a Secret of this name that it declares as `tls`.
    ready: BTreeMap<String, String>,
    /// Offers for other versions of the kind.
    versions: BTreeMap<String, BTreeMap<String, Answer>>,
    /// Other objects that move from or to a provider.
    moves: BTreeMap<String, usize>,
    /// How many may.
    most_moves: Option<usize>,
    /// Configurations for moves of this kind: why each is invalid, or null.
    configurations: Option<BTreeMap<String, Option<String>>>,
    /// What the template component makes of a configuration.
    stages: Option<Vec<Scripted>>,
    /// The template component: `works`, `silent`, or what it fails with.
    component: Option<String>,
    /// Annotations of the Migration, without what they begin with.
    orders: BTreeMap<String, String>,
    /// A merge patch of the Migration's status.
    migration: Option<Value>,
    /// Merge patches of objects in the compute cluster: `KIND/NAME: patch`; `ID` in the name stands for the migration's id.
    compute: BTreeMap<String, Value>,
    /// Why pods cannot be listed in the compute cluster.
    pods_unread: Option<String>,
    /// Another namespace of the compute cluster that the broker uses from now on.
    compute_namespace: Option<String>,
    /// Kinds that do not live in namespaces in the compute cluster.
    cluster_wide_in_compute: Vec<String>,
    /// This many steps of a pass, after which the process is killed.
    steps: Option<usize>,
    /// Seconds that pass.
    wait: f64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Serves {
    Conditions,
    Status,
    Nothing,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Answer {
    Accepts(Accepts),
    Scores(Scores),
    Refuses(Vec<String>),
    Fails(Fails),
}

/// It accepts, with this score.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scores {
    score: u8,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fails {
    fails: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Accepts {
    Accepts,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FailureOf {
    part: String,
    #[serde(default)]
    invalid: bool,
    reason: String,
    message: String,
}

/// The world after a script in YAML.
pub(crate) fn run(script: &str) -> World {
    let steps: Vec<Step> = if script.trim().is_empty() {
        Vec::new()
    } else {
        serde_yaml::from_str(script).unwrap_or_else(|error| panic!("the script cannot be read: {error}\n{script}"))
    };
    let mut world = World::new();
    for step in steps {
        match step {
            Step::Word(event) => act(&mut world, &event),
            Step::Changes(changes) => change(&mut world, *changes),
        }
    }
    world
}

fn act(world: &mut World, event: &Word) {
    let at = world.assigned().unwrap_or_else(|| provider("nestor"));
    match event {
        Word::Pass => {
            world.pass();
        }
        Word::Settle => {
            world.settle();
            world.wait(Duration::from_mins(1));
        }
        Word::Restart => world.memory = Memory::default(),
        Word::Delete => world.delete_object(),
        Word::Recreate => world.create_object(),
        Word::Vanish => world.object = None,
        Word::DeleteCopy => world.delete_copy(&at),
        Word::CopyVanishes => world.providers.entry(at).or_default().copy = None,
        Word::ForeignCopy => world.copy_of_another_broker(&at),
        Word::LoseRecord => world.record = None,
        Word::SeenGone => world.memory.gone.extend(world.copy().map(|copy| text(&copy["metadata"]["uid"]))),
        Word::History => {
            world.history_pass();
        }
        Word::DeleteMigration => world.delete_migration(),
        Word::LoseMigration => world.migration = None,
        Word::StagesPlugin => world.stages_plugin = true,
        Word::JobsEnd => world.end_jobs(true),
        Word::JobsFail => world.end_jobs(false),
        Word::JobsAreDeleted => world.delete_jobs(false),
        Word::JobsVanish => world.delete_jobs(true),
        Word::PodsVanish => world.compute.pods.clear(),
        Word::Sweep => {
            world.sweep();
        }
        Word::DropConditions => world.drops_conditions = true,
        Word::WatchThisVersionOnly => world.other_versions_watched = false,
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn change(world: &mut World, changes: Changes) {
    // A field that is forgotten here would be a step that does nothing.
    let Changes {
        at,
        serves,
        kind,
        cluster_wide,
        object,
        guest,
        copy,
        record,
        copy_of,
        offers,
        copies,
        networks,
        referrers,
        attach,
        detach,
        broken,
        refuses,
        unread,
        failing,
        unwatchable,
        filter,
        transformer,
        sources,
        rivals,
        owner,
        rivals_unread,
        beside,
        drop_beside,
        webhook,
        failure,
        ready,
        versions,
        moves,
        most_moves,
        configurations,
        stages,
        component,
        orders,
        migration,
        compute,
        pods_unread,
        compute_namespace,
        cluster_wide_in_compute,
        steps,
        wait,
    } = changes;
    let at = provider(at.as_deref().unwrap_or("nestor"));
    if let Some(serves) = serves {
        world.shape = match serves {
            Serves::Conditions => Shape { status: true, conditions: true },
            Serves::Status => Shape { status: true, conditions: false },
            Serves::Nothing => Shape { status: false, conditions: false },
        };
    }
    if let Some(kind) = kind {
        world.key.gvk = Gvk::parse(&kind).unwrap_or_else(|| panic!("{kind} is no kind"));
    }
    if cluster_wide {
        world.key.namespace = None;
        world.create_object();
    }
    if let Some(offers) = offers {
        world.offers = offers.into_iter().map(|(name, answer)| offer(world, &name, answer)).collect();
    }
    world.networks.extend(networks);
    world.referrers = referrers.unwrap_or_else(|| std::mem::take(&mut world.referrers));
    world.copies.extend(copies.into_iter().map(|(name, copies)| (provider(&name), copies)));
    for name in attach {
        world.providers.entry(provider(&name)).or_default().detached = false;
    }
    for name in detach {
        world.providers.entry(provider(&name)).or_default().detached = true;
    }
    for name in broken.iter().filter(|name| *name == "compute") {
        world.compute.broken = name == "compute";
    }
    for name in broken.into_iter().filter(|name| name != "compute") {
        world.providers.entry(provider(&name)).or_default().broken = true;
    }
    for (name, why) in refuses {
        world.providers.entry(provider(&name)).or_default().refuses = why;
    }
    if let Some(patch) = object {
        world.edit_object(&patch);
    }
    if let Some(condition) = guest {
        let there = world.object.as_ref().map(|there| there["status"]["conditions"].clone()).unwrap_or_default();
        let mut conditions = there.as_array().cloned().unwrap_or_default();
        conditions.push(condition);
        world.edit_object(&json!({"status": {"conditions": conditions}}));
    }
    if let Some(patch) = copy {
        world.edit_copy(&at, &patch);
    }
    if copy_of.is_some() {
        world.copy_of = copy_of;
    }
    if let Some(patch) = record {
        change_record(world, &patch);
    }
    for source in sources {
        let (name, goes) = source.strip_prefix('-').map_or((source.as_str(), false), |name| (name, true));
        let (gvk, name) = named(name);
        if goes {
            let sources = &mut world.providers.entry(at.clone()).or_default().sources;
            sources.retain(|(kind, _, there), _| (kind, there) != (&gvk, &name));
        } else {
            world.put_source(&at, gvk, &name);
        }
    }
    claim(world, &at, rivals, owner.as_deref(), rivals_unread);
    for (name, patch) in beside {
        let (gvk, name) = named(&name);
        world.edit_beside(gvk, &name, &patch);
    }
    for name in drop_beside {
        world.beside.remove(&named(&name));
    }
    for (what, why) in unread {
        cannot_read(world, &at, &what, Unread { why, failing: false });
    }
    for (what, why) in failing {
        cannot_read(world, &at, &what, Unread { why, failing: true });
    }
    for end in unwatchable {
        match end.as_str() {
            "sources" => world.sources.unwatchable = true,
            "targets" => world.targets.unwatchable = true,
            other => panic!("{other} is no end of a related resource"),
        }
    }
    let plugin = |answer: String| if answer == "silent" { Plugin::Silent } else { Plugin::Failed(answer) };
    if let Some(answer) = filter {
        world.filter = plugin(answer);
    }
    if let Some(answer) = transformer {
        world.transformer = plugin(answer);
    }
    if webhook.is_some() {
        world.webhook = webhook;
    }
    if let Some(failure) = failure {
        world.memory.failure = Some(failed(failure));
    }
    for (name, secret) in ready {
        world.make_ready(&provider(&name), &secret);
    }
    for (version, offers) in versions {
        let offers = offers.into_iter().map(|(name, answer)| offer(world, &name, answer)).collect();
        world.versions.insert(version, offers);
    }
    world.limits.moves_per_provider = most_moves.unwrap_or(world.limits.moves_per_provider);
    world.moves.extend(moves.into_iter().map(|(name, moves)| (provider(&name), moves)));
    if let Some(configurations) = configurations {
        let gvk = &world.key.gvk;
        let of = |(name, invalid)| Configuration {
            name,
            from: gvk.clone(),
            to: gvk.clone(),
            spec: r#"{"stages":"as scripted"}"#.into(),
            invalid,
        };
        world.configurations = configurations.into_iter().map(of).collect();
    }
    if let Some(stages) = stages {
        world.compute.stages = stages;
    }
    if let Some(answer) = component {
        world.compute.component = if answer == "works" { Plugin::Works } else { plugin(answer) };
    }
    change_migration(world, orders, migration.as_ref());
    for (name, patch) in compute {
        world.edit_in_compute(&name, &patch);
    }
    world.compute.pods_unread = pods_unread.or(world.compute.pods_unread.take());
    if let Some(namespace) = compute_namespace {
        world.compute.namespace = namespace;
    }
    world.compute.cluster_wide.extend(cluster_wide_in_compute);
    if let Some(steps) = steps {
        let plan = world.plan();
        world.carry_out(&plan, steps);
        world.memory = Memory::default();
    }
    world.wait(Duration::from_secs_f64(wait));
}

fn claim(
    world: &mut World,
    at: &ClusterName,
    rivals: Option<Vec<String>>,
    owner: Option<&str>,
    unread: Option<String>,
) {
    let copy = |name: &str| {
        let gvk = world.key.gvk.clone();
        Target::new(at.clone(), gvk, world.key.namespace.clone(), name.to_owned())
    };
    let owner = owner.map(|owner| match owner {
        "this" => Owner::This,
        "nobody" => Owner::Nobody,
        other => Owner::Other(copy(other)),
    });
    let rivals = rivals.map(|rivals| rivals.iter().map(|rival| copy(rival)).collect());
    let claims = &mut world.claims;
    claims.owner = owner.unwrap_or_else(|| claims.owner.clone());
    claims.rivals = rivals.unwrap_or_else(|| claims.rivals.clone());
    claims.unread = unread.map(|why| (why, true)).or_else(|| claims.unread.take());
}

fn change_migration(world: &mut World, orders: BTreeMap<String, String>, patch: Option<&Value>) {
    if orders.is_empty() && patch.is_none() {
        return;
    }
    let Some(migration) = &mut world.migration else { panic!("there is no Migration to change") };
    let annotations = orders.into_iter().map(|(order, value)| (format!("{}/migration-{order}", keys::GROUP), value));
    migration.orders.extend(annotations);
    if let Some(patch) = patch {
        let mut status = json!(migration.status);
        fields::patch(&mut status, patch);
        migration.status = serde_json::from_value(status).unwrap_or_else(|error| panic!("migration: {error}"));
    }
}

fn offer(world: &mut World, name: &str, answer: Answer) -> (OfferName, Judgement) {
    let Some((cluster, offer)) = name.split_once('/') else { panic!("{name}: an offer is PROVIDER/NAME") };
    world.providers.entry(provider(cluster)).or_default();
    let verdict = match answer {
        Answer::Accepts(Accepts::Accepts) => accepts(),
        Answer::Scores(Scores { score }) => Ok(Verdict::scored(score)),
        Answer::Refuses(reasons) => judgement(&reasons),
        Answer::Fails(Fails { fails }) => Err(PluginFailure { message: fails }),
    };
    ((provider(cluster), "offers".into(), offer.into()), verdict)
}

/// A core kind and a name, from `KIND/NAME`; `HASH` in the name stands for the prefix of this consumer's copies.
fn named(text: &str) -> (Gvk, String) {
    let Some((kind, name)) = text.split_once('/') else { panic!("{text}: an object is KIND/NAME") };
    let prefix = World::new().key.consumer.copy_prefix();
    (Gvk::new("core", "v1", kind), name.replace("HASH-", &prefix))
}

fn change_record(world: &mut World, patch: &Value) {
    let Some(record) = &mut world.record else { panic!("there is no record to change") };
    let Record { uid, spec, status, recreated, .. } = &*record;
    let mut document = json!({"uid": uid, "spec": spec, "status": status, "recreated": recreated});
    fields::patch(&mut document, patch);
    record.recreated = document["recreated"].as_str().map(str::to_owned);
    record.uid = text(&document["uid"]);
    record.spec = serde_json::from_value(document["spec"].take()).unwrap_or_else(|error| panic!("record: {error}"));
    record.status = serde_json::from_value(document["status"].take()).unwrap_or_else(|error| panic!("record: {error}"));
}

fn cannot_read(world: &mut World, at: &ClusterName, what: &str, unread: Unread) {
    match what {
        "object" => world.object_unread = Some(unread),
        "record" => world.record_unread = Some(unread),
        "copy" => world.providers.entry(at.clone()).or_default().copies_unread = Some(unread),
        "offers" => world.providers.entry(at.clone()).or_default().offers_unread = Some(unread),
        "sources" => world.sources.unread = Some(unread),
        "targets" => world.targets.unread = Some(unread),
        "compute" => world.compute.unread = Some(unread),
        "migrations" => world.migrations_unread = Some(unread),
        other => panic!("{other} is no cache"),
    }
}

fn failed(failure: FailureOf) -> Failure {
    let part = match failure.part.as_str() {
        "record" => Part::Record,
        "decorate" => Part::Decorate,
        "copy" => Part::Copy,
        "status" => Part::Status,
        "related" => Part::Related,
        "migration" => Part::Migration,
        "delete" => Part::Delete,
        other => panic!("{other} is no part of a pass"),
    };
    // Reasons are constants in the planner; a test program that ends soon may leak a few more.
    let reason = Box::leak(failure.reason.into_boxed_str());
    Failure { part, invalid: failure.invalid, reason, message: failure.message }
}
