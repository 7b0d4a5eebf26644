//! What the plugin controller may look at, and which keys a plugin's change concerns.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use resource_broker_api::{
    names::{Gvk, Role},
    object::Object,
};
use resource_broker_plugin_types::ApiName;

use super::{Cache, Dirty, Inner, State, What, WorkKey, store::Store};

/// All Plugins and the versions of their config maps, at one moment.
#[derive(Clone, Debug)]
pub struct PluginsView {
    /// The Plugins as they were last seen; `Err`: they have never been read, with why.
    pub plugins: Result<Vec<Arc<Object>>, String>,
    /// The config maps' resourceVersions by name; `Err`: they are not known now.
    pub versions: Result<BTreeMap<String, String>, Unread>,
}

/// Why something cannot be believed.
#[derive(Clone, Debug)]
pub struct Unread {
    /// For people.
    pub why: String,
    /// Whether this has gone on long enough to be told.
    pub lasts: bool,
}

impl Cache {
    /// All Plugins as they are known now.
    pub fn plugins(&self) -> PluginsView {
        let inner = self.lock();
        PluginsView { plugins: inner.plugins(), versions: inner.config_map_versions() }
    }

    /// Waits until something changes that plugins depend on. What changed since the last wait counts.
    pub async fn plugins_changed(&self) {
        self.plugins.notified().await;
    }

    /// Whether a watched kind is of this API, as far as it is known what the kinds' plurals are.
    pub fn is_watched(&self, api: &ApiName) -> bool {
        let inner = self.lock();
        let may_be = |gvk: &Gvk| !inner.plurals.contains_key(gvk) || inner.is_served_as(gvk, &api.resource);
        inner.scope.kinds.iter().any(|gvk| gvk.group == api.group && may_be(gvk))
    }

    /// All names that the API of a kind has: clusters may serve one kind under several plurals.
    pub fn apis_of_kind(&self, gvk: &Gvk) -> BTreeSet<ApiName> {
        self.lock().apis_of_kind(gvk)
    }

    /// All names that an API has, this one included.
    pub fn apis_beside(&self, api: &ApiName) -> BTreeSet<ApiName> {
        let inner = self.lock();
        let kinds = inner.kinds_of_api(api);
        kinds.iter().flat_map(|gvk| inner.apis_of_kind(gvk)).chain([api.clone()]).collect()
    }

    /// Every key whose answer may change with an API's plugin: offers first, then objects.
    pub fn keys_of_api(&self, api: &ApiName) -> Vec<WorkKey> {
        let inner = self.lock();
        let mut dirty = Dirty::default();
        let kinds = inner.kinds_of_api(api);
        for gvk in &kinds {
            inner.offers_of(gvk, &mut dirty);
        }
        for gvk in &kinds {
            inner.all_of(gvk, &mut dirty);
        }
        inner.configurations(|it| kinds.contains(&it.from), &mut dirty);
        // A copy without a record is asked of no plugin.
        dirty.now.retain(|key| !matches!(key, WorkKey::Copy(_)));
        dirty.now
    }
}

impl Inner {
    pub(super) fn store_of(&self, what: &What) -> Option<&Store> {
        self.stores.iter().find(|(id, _)| id.cluster.role == Role::Coordination && id.what == *what).map(|(_, it)| it)
    }

    fn plugins(&self) -> Result<Vec<Arc<Object>>, String> {
        let store = self.store_of(&What::Plugins).ok_or("they have not been read yet")?;
        match store.why_unread() {
            // Where the kind is not known there are none.
            Some(why) if !matches!(store.state(), State::NotServed(_)) => Err(why),
            _ => Ok(store.iter().map(|(_, plugin)| plugin.clone()).collect()),
        }
    }

    fn config_map_versions(&self) -> Result<BTreeMap<String, String>, Unread> {
        let not_yet = || Unread { why: "they have not been read yet".into(), lasts: false };
        let store = self.store_of(&What::Components).ok_or_else(not_yet)?;
        match store.unread() {
            Some((why, lasts)) => Err(Unread { why, lasts }),
            None => {
                Ok(store.iter().map(|((_, name), map)| (name.clone(), map.resource_version().to_owned())).collect())
            }
        }
    }

    fn kinds_of_api(&self, api: &ApiName) -> Vec<Gvk> {
        let serves = |gvk: &&Gvk| gvk.group == api.group && self.apis_of_kind(gvk).contains(api);
        self.scope.kinds.iter().filter(serves).cloned().collect()
    }

    fn apis_of_kind(&self, gvk: &Gvk) -> BTreeSet<ApiName> {
        let is_it = |other: &Gvk| (&other.group, &other.kind) == (&gvk.group, &gvk.kind);
        let first = self.plurals.iter().filter(|(kind, _)| is_it(kind)).map(|(_, plural)| plural);
        let served = self.stores.iter().filter_map(|(id, store)| match &id.what {
            What::Kind(kind) if is_it(kind) => store.resource.as_ref().map(|resource| &resource.plural),
            _ => None,
        });
        let all = first.chain(served).cloned();
        all.map(|resource| ApiName { group: gvk.group.clone(), resource }).collect()
    }

    /// Whether any cluster serves a kind under this plural: a provider that calls it otherwise decides for nobody else.
    pub(super) fn is_served_as(&self, gvk: &Gvk, plural: &str) -> bool {
        let kind = What::Kind(gvk.clone());
        let mut stores = self.stores.iter().filter(|(id, _)| id.what == kind);
        self.plurals.get(gvk).is_some_and(|first| first == plural)
            || stores.any(|(_, store)| store.resource.as_ref().is_some_and(|resource| resource.plural == plural))
    }
}

#[cfg(test)]
mod tests {
    use resource_broker_api::names::ClusterName;
    use serde_json::json;

    use super::*;
    use crate::{cache::StoreId, resource::Resource, testing::scope};

    #[test]
    fn a_plural_of_one_providers_own_does_not_hide_an_api_from_its_plugin() {
        let gvk = Gvk::new("g.io", "v1", "Widget");
        let cache = Cache::new(scope(vec![gvk.clone()], vec![]));
        let order = json!({"metadata": {"name": "a", "namespace": "n", "uid": "1", "resourceVersion": "1"}});
        for (cluster, plural) in [("provider#odd", "widgetz"), ("consumer#c", "widgets")] {
            let id = StoreId { cluster: ClusterName::parse(cluster).unwrap(), what: What::Kind(gvk.clone()) };
            cache.attach(&id.cluster);
            cache.open(&id);
            drop(cache.discovered(&id, Resource::known(gvk.clone(), plural)));
            let objects =
                if plural == "widgets" { vec![serde_json::from_str(&order.to_string()).unwrap()] } else { vec![] };
            cache.listed(&id, "1", objects);
        }
        for (resource, is_one) in [("widgets", true), ("widgetz", true), ("gadgets", false)] {
            let api = ApiName { group: "g.io".into(), resource: resource.into() };
            assert_eq!(cache.is_watched(&api), is_one, "{resource}");
            assert_eq!(cache.keys_of_api(&api).len(), usize::from(is_one), "{resource}");
        }
        let both: BTreeSet<String> = ["widgets".to_owned(), "widgetz".to_owned()].into();
        let resources = |apis: BTreeSet<ApiName>| apis.into_iter().map(|api| api.resource).collect::<BTreeSet<_>>();
        assert_eq!(resources(cache.apis_of_kind(&gvk)), both, "whichever consumer an object is of");
        for plural in &both {
            let api = ApiName { group: "g.io".into(), resource: plural.clone() };
            assert_eq!(resources(cache.apis_beside(&api)), both, "and whichever provider an offer is of");
        }
        let apart = ApiName { group: "g.io".into(), resource: "gadgets".into() };
        assert_eq!(cache.apis_beside(&apart), BTreeSet::from([apart]));
    }
}
