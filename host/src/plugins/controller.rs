//! The task that keeps the sandbox as the Plugins say: sees changes, loads one component at a time, gives out APIs and
//! roles, has objects looked at again, and hands statuses to be written.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use resource_broker_api::conditions::reason;
use resource_broker_plugin_types::{ApiName, Role};
use resource_broker_sandbox::Sandbox;
use tokio::{
    task::{JoinError, JoinSet},
    time::sleep,
};

use super::{
    board::Board,
    known::{Good, Known},
    loading::{Loader, Outcome, Version},
    pulse::{Beat, Pulse},
    report::{Notice, Reports},
    serving::{Share, Slot, by_age, share_out},
    status::{Progress, short},
};
use crate::{
    apply::Apply,
    cache::{Cache, StoreId, What, WorkKey},
    clusters::ClusterSet,
    metrics::Metrics,
    queue::Queue,
};

/// How often the plugins' counts are looked at, where there are plugins.
const LOOK: Duration = Duration::from_secs(1);
/// The pace at which objects are looked at again after a swap: 200 a second, so that fresh events go first.
const PACE: Duration = Duration::from_millis(5);

/// What the controller works with.
pub struct Parts {
    /// The coordination cluster.
    pub clusters: Arc<ClusterSet>,
    /// Shows Plugins and config maps.
    pub cache: Arc<Cache>,
    /// Gets what is to be looked at again.
    pub queue: Arc<Queue<WorkKey>>,
    /// Runs the components.
    pub sandbox: Sandbox,
    /// The largest component that the sandbox takes, in bytes.
    pub component_bytes: usize,
    /// Writes statuses.
    pub apply: Arc<Apply>,
    /// Begins the watch of config maps when there is a Plugin.
    pub watches: Box<dyn Fn(StoreId) + Send + Sync>,
    /// Tells who serves.
    pub metrics: Metrics,
    /// Tells passes and readiness.
    pub board: Board,
}

/// How an API and role is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Held {
    /// By nobody, until the Plugin is loaded.
    Loading { plugin: String },
    /// By nobody: the Plugin cannot be loaded.
    Blocked { plugin: String, why: String },
    /// By the load of this number.
    Serving { plugin: String, serial: u64 },
}

/// See the module.
pub struct Controller {
    parts: Parts,
    loader: Loader,
    known: BTreeMap<String, Known>,
    /// What each Plugin got when it was last given out.
    shares: BTreeMap<String, Share>,
    /// What the sandbox was told.
    held: BTreeMap<Slot, Held>,
    /// The names that each API has which a Plugin holds, as far as clusters have said.
    names: BTreeMap<ApiName, BTreeSet<ApiName>>,
    /// The load under way, at most one.
    loads: JoinSet<Outcome>,
    under_way: Option<Load>,
    loaded: u64,
    reports: Reports,
}

/// Which Plugin is being loaded, in which version.
struct Load {
    name: String,
    uid: String,
    version: Version,
    apis: Arc<BTreeSet<ApiName>>,
}

impl Controller {
    /// Knows no Plugin yet.
    pub fn new(parts: Parts) -> Self {
        let loader = Loader {
            cluster: parts.clusters.coordination().clone(),
            namespace: parts.apply.namespace.clone(),
            sandbox: parts.sandbox.clone(),
            limit: parts.component_bytes,
        };
        let reports = Reports::new(parts.apply.clone(), parts.clusters.coordination().name().clone());
        Self {
            parts,
            loader,
            known: BTreeMap::new(),
            shares: BTreeMap::new(),
            held: BTreeMap::new(),
            names: BTreeMap::new(),
            loads: JoinSet::new(),
            under_way: None,
            loaded: 0,
            reports,
        }
    }

    /// Runs until it is dropped.
    pub async fn run(mut self) {
        loop {
            if self.look() {
                self.load_next();
                self.give_out();
                self.parts.board.set_claimed();
            }
            self.feel_pulses();
            self.report();
            tokio::select! {
                () = self.parts.cache.plugins_changed() => {}
                Some(ended) = self.loads.join_next() => self.load_ended(ended),
                () = self.reports.written() => {}
                () = sleep(LOOK), if !self.known.is_empty() => {}
            }
        }
    }

    /// Takes in how Plugins and config maps are now; `false` while they have never been read.
    fn look(&mut self) -> bool {
        let view = self.parts.cache.plugins();
        let Ok(objects) = &view.plugins else { return false };
        if !objects.is_empty() {
            let coordination = self.parts.clusters.coordination().name().clone();
            (self.parts.watches)(StoreId { cluster: coordination, what: What::Components });
        }
        let there: BTreeMap<&str, _> = objects.iter().map(|object| (object.name(), object)).collect();
        self.known.retain(|name, known| {
            let stays = there.get(name.as_str()).is_some_and(|object| object.uid() == known.object.uid());
            if !stays {
                tracing::info!(plugin = name, "the Plugin is gone; what it served is no longer its own");
                self.parts.metrics.forget_plugin(name);
            }
            stays
        });
        for (name, object) in there {
            let known = self.known.entry(name.to_owned()).or_insert_with(|| Known::new(object.clone()));
            known.see(object, &view);
        }
        true
    }

    /// Begins the next load that is due, unless one is under way.
    fn load_next(&mut self) {
        if !self.loads.is_empty() {
            return;
        }
        let Some(known) = Known::next(self.known.values_mut()) else { return };
        let Some((version, apis)) = known.begin() else { return };
        let (name, uid) = (known.object.name().to_owned(), known.object.uid().to_owned());
        let already = known.good.as_ref().map(|good| good.identity.clone());
        self.under_way = Some(Load { name: name.clone(), uid, version: version.clone(), apis });
        let loader = self.loader.clone();
        self.loads.spawn(async move { loader.load(&name, &version, already.as_ref()).await });
    }

    fn load_ended(&mut self, ended: Result<Outcome, JoinError>) {
        let outcome = ended.unwrap_or_else(|error| Outcome::panicked(&error));
        let Some(Load { name, uid, version, apis }) = self.under_way.take() else { return };
        let Some(known) = self.known.get_mut(&name).filter(|known| known.object.uid() == uid) else { return };
        match outcome {
            Outcome::Same => known.succeeded(version),
            Outcome::Loaded(plugin, identity) => {
                known.succeeded(version);
                self.loaded += 1;
                let digest = short(plugin.digest()).to_owned();
                tracing::info!(plugin = name, digest, took_ms = plugin.compile_time().as_millis(), "loaded a plugin");
                let notice = match &known.good {
                    None => Notice::normal(reason::LOADED, format!("the component {digest} is loaded")),
                    Some(old) if old.plugin.digest() == plugin.digest() => {
                        let message =
                            format!("the component {digest} serves with other settings or limits from now on");
                        Notice::normal(reason::SWAPPED, message)
                    }
                    Some(old) => {
                        let message = format!("the component {digest} took over from {}", short(old.plugin.digest()));
                        Notice::normal(reason::SWAPPED, message)
                    }
                };
                self.reports.tell(known, notice);
                known.good = Some(Good { plugin, identity, serial: self.loaded, apis });
                known.pulse = Pulse::default();
            }
            Outcome::Failed { problem, again } => {
                if known.failed(version, problem.clone(), again) {
                    tracing::warn!(plugin = name, reason = problem.reason, error = problem.message, "cannot be loaded");
                    self.reports.tell(known, Notice::warning(problem.reason, problem.message));
                }
            }
        }
    }

    /// Tells the sandbox who holds what, as far as that changed, and has the objects concerned looked at again.
    fn give_out(&mut self) {
        let claims: Vec<_> = self.known.values().map(Known::claim).collect();
        self.shares = share_out(&claims);
        let mut wanted = BTreeMap::new();
        for (name, share) in &self.shares {
            let Some(known) = self.known.get(name) else { continue };
            wanted.extend(share.holds.iter().map(|slot| (slot.clone(), held(name, known, &slot.0))));
        }
        let ages: BTreeMap<&str, usize> =
            by_age(&claims).iter().zip(0..).map(|(claim, age)| (claim.name.as_str(), age)).collect();
        let holders = self.shares.iter().filter_map(|(name, share)| Some((ages.get(name.as_str())?, share)));
        let by_slot = holders.flat_map(|(age, share)| share.holds.iter().map(|slot| (slot.clone(), *age)));
        self.parts.board.set_held(by_slot.collect());
        let before = std::mem::take(&mut self.held);
        self.see_names(&wanted);
        if before == wanted {
            self.held = wanted;
            return;
        }
        // Whoever sees that the sandbox has nobody must also see that somebody is being loaded.
        self.parts.board.set_loading(loading(&before).chain(loading(&wanted)).collect());
        let mut changed: BTreeMap<&ApiName, Changed> = BTreeMap::new();
        for slot @ (api, role) in before.keys().chain(wanted.keys()).collect::<BTreeSet<_>>() {
            let (old, new) = (before.get(slot), wanted.get(slot));
            if old == new {
                continue;
            }
            self.tell_sandbox(api, *role, new);
            if !matches!(new, Some(Held::Loading { .. })) {
                changed.entry(api).or_default().note(*role, old);
            }
        }
        self.parts.board.set_loading(loading(&wanted).collect());
        for (api, changed) in changed {
            self.look_again(api, &changed);
        }
        self.held = wanted;
    }

    /// Takes in under which names clusters serve what Plugins hold. What has got another name is looked at again: until then it
    /// was nobody's.
    fn see_names(&mut self, wanted: &BTreeMap<Slot, Held>) {
        let apis: BTreeSet<&ApiName> = wanted.keys().map(|(api, _)| api).collect();
        let names = |api: &ApiName| (api.clone(), self.parts.cache.apis_beside(api));
        let names: BTreeMap<ApiName, BTreeSet<ApiName>> = apis.into_iter().map(names).collect();
        let before = std::mem::replace(&mut self.names, names);
        for (api, names) in &self.names {
            if before.get(api).is_some_and(|before| before != names) {
                tracing::info!(%api, names = names.len(), "clusters serve an API under another name as well");
                let roles = Role::ALL.into_iter().collect();
                self.look_again(api, &Changed { roles, waited: true });
            }
        }
    }

    fn tell_sandbox(&self, api: &ApiName, role: Role, held: Option<&Held>) {
        let sandbox = &self.parts.sandbox;
        match held {
            None => {
                tracing::info!(%api, role = role.name(), "the standard component serves");
                sandbox.withdraw(api, role);
            }
            Some(Held::Loading { plugin }) => sandbox.block(api, role, plugin, "it is being loaded"),
            Some(Held::Blocked { plugin, why }) => {
                tracing::warn!(%api, role = role.name(), plugin, why, "nobody serves; objects stay as they are");
                sandbox.block(api, role, plugin, why);
            }
            Some(Held::Serving { plugin, .. }) => {
                // What is said to serve was loaded.
                let Some(good) = self.known.get(plugin).and_then(|known| known.good.clone()) else { return };
                tracing::info!(%api, role = role.name(), plugin, digest = short(good.plugin.digest()), "a plugin serves");
                sandbox.serve(api, role, good.plugin);
            }
        }
    }

    /// Has everything looked at again whose answer may be another now.
    fn look_again(&self, api: &ApiName, changed: &Changed) {
        let mut keys = self.parts.cache.keys_of_api(api);
        if !changed.roles.contains(&Role::AcceptFilter) {
            keys.retain(|key| !matches!(key, WorkKey::Offer(_)));
        }
        if !changed.roles.contains(&Role::MigrationTemplate) {
            keys.retain(|key| !matches!(key, WorkKey::Configuration(_)));
        }
        if changed.waited {
            self.parts.queue.add_all(keys);
            return;
        }
        tracing::debug!(%api, keys = keys.len(), "looking at them again");
        for (key, nth) in keys.into_iter().zip(0_u32..) {
            self.parts.queue.add_after(key, PACE.saturating_mul(nth));
        }
    }

    /// Takes in how calls went.
    fn feel_pulses(&mut self) {
        let mut recovered = Vec::new();
        for (name, known) in &mut self.known {
            let Some(good) = &known.good else { continue };
            let stats = good.plugin.stats();
            let last = stats.last_error.as_deref().unwrap_or("no error was kept");
            match known.pulse.look(&stats) {
                Beat::Steady => {}
                Beat::Suspended => {
                    tracing::warn!(plugin = name, error = last, "too many calls failed in a row; asked now and then");
                    let message = format!("too many calls failed in a row, the last one with: {last}");
                    self.reports.tell(known, Notice::warning(reason::SUSPENDED, message));
                }
                Beat::Recovered { long } => {
                    tracing::info!(plugin = name, "calls succeed again");
                    self.reports.tell(known, Notice::normal(reason::RECOVERED, "calls succeed again".into()));
                    if long {
                        recovered.push(name.clone());
                    }
                }
            }
        }
        for name in recovered {
            self.end_of_suspension(&name);
        }
    }

    /// Those that wait for the end of the suspension need not wait any longer.
    fn end_of_suspension(&self, name: &str) {
        let slots = self.shares.get(name).into_iter().flat_map(|share| &share.holds);
        let mut changed: BTreeMap<&ApiName, Changed> = BTreeMap::new();
        for (api, role) in slots {
            changed.entry(api).or_default().note(*role, None);
        }
        for (api, changed) in changed {
            self.look_again(api, &changed);
        }
    }

    fn report(&mut self) {
        let is_watched = |api: &ApiName| self.parts.cache.is_watched(api);
        let checks = self.reports.report(&mut self.known, &self.shares, is_watched, &self.parts.metrics);
        self.parts.board.set_checks(checks);
    }
}

/// How an API is answered that a Plugin holds.
fn held(name: &str, known: &Known, api: &ApiName) -> Held {
    let plugin = name.to_owned();
    match (known.good_for(api), &known.progress) {
        (Some(good), _) => Held::Serving { plugin, serial: good.serial },
        (None, Progress::Failed(problem)) => Held::Blocked { plugin, why: problem.message.clone() },
        (None, Progress::Loading | Progress::Loaded) => Held::Loading { plugin },
    }
}

/// What waits for a Plugin that is being loaded, with its name.
fn loading(held: &BTreeMap<Slot, Held>) -> impl Iterator<Item = (Slot, String)> {
    held.iter().filter_map(|(slot, held)| match held {
        Held::Loading { plugin } => Some((slot.clone(), plugin.clone())),
        Held::Blocked { .. } | Held::Serving { .. } => None,
    })
}

/// What changed for an API.
#[derive(Clone, Debug, Default)]
struct Changed {
    roles: BTreeSet<Role>,
    /// Its objects waited for a load and were not told anything: they are not kept waiting longer.
    waited: bool,
}

impl Changed {
    fn note(&mut self, role: Role, before: Option<&Held>) {
        self.roles.insert(role);
        self.waited |= matches!(before, Some(Held::Loading { .. }));
    }
}
