//! What is known of one object's migration: the Migration, its configurations, and what the compute cluster holds of it.

use std::{collections::BTreeSet, sync::Arc};

use resource_broker_api::{names::Gvk, object::Object};

use super::{
    HeldId, Inner, State, StoreId, What,
    migrations::{is_for, is_over},
    needs::stage_kinds,
    store::Store,
    views::End,
};
use crate::planner::model::snapshot::{
    ComputeView, Configuration, Key, KindView, MigrationRecord, MigrationView, MirrorView, Record, Side, View,
};

/// The object that a migration is about, with its two copies.
pub(super) struct About<'a> {
    pub(super) key: &'a Key,
    pub(super) record: Option<&'a Record>,
    pub(super) from: Option<&'a End>,
    pub(super) to: Option<&'a End>,
}

impl Inner {
    /// Everything about an object's migration, but for whether a Plugin makes its stages.
    pub(super) fn migration(&self, about: &About<'_>, needed: &mut Vec<StoreId>) -> MigrationView {
        let name = about.key.record_name();
        let migration = self.migrations.records.get(&name);
        let mut compute = self.compute(migration.map(AsRef::as_ref), needed);
        let moves = about.record.is_some_and(|record| record.spec.next.is_some());
        if moves || migration.is_some_and(|migration| !is_over(migration)) {
            compute.mirrors = self.mirrors(about, needed);
        }
        MigrationView {
            object: self.migration_of(&name),
            configurations: match self.own_unread(&What::Configurations) {
                Some(why) => View::Unknown { why, failing: false },
                None => View::Present(self.configurations_for(about.key)),
            },
            plugin: false,
            compute,
        }
    }

    /// A Migration by its name.
    pub(super) fn migration_of(&self, name: &str) -> View<Arc<MigrationRecord>> {
        match (self.own_unread(&What::Migrations), self.migrations.records.get(name)) {
            (Some(why), _) => View::Unknown { why, failing: false },
            (None, Some(migration)) => View::Present(migration.clone()),
            (None, None) => View::Absent,
        }
    }

    /// Why the broker's own objects of a kind are not known; where the kind is not served there are none, and that is
    /// known.
    fn own_unread(&self, what: &What) -> Option<String> {
        match self.store_of(what) {
            None => Some("they have not been read yet".into()),
            Some(store) if matches!(store.state(), State::NotServed(_)) => None,
            Some(store) => store.why_unread(),
        }
    }

    fn configurations_for(&self, key: &Key) -> Vec<Arc<Configuration>> {
        let watched = |gvk: &Gvk| self.scope.kinds.contains(gvk);
        let known = self.migrations.configurations.values().filter(|known| !known.deleting);
        let fitting = known
            .map(|known| &known.configuration)
            .filter(|it| is_for(it, key) && watched(&it.from) && watched(&it.to));
        fitting.cloned().collect()
    }

    /// What the compute cluster holds of a migration; the watches that it takes to see that are needed.
    pub(super) fn compute(&self, migration: Option<&MigrationRecord>, needed: &mut Vec<StoreId>) -> ComputeView {
        let compute = &self.scope.compute;
        let kinds: BTreeSet<Gvk> = migration.into_iter().flat_map(stage_kinds).collect();
        let deployed = kinds.iter().cloned().map(What::Stage);
        let related = migration.into_iter().flat_map(|_| &self.scope.related).cloned();
        for what in deployed.chain(related.map(What::Mirrors)) {
            let id = StoreId { cluster: compute.cluster.clone(), what };
            if !self.stores.contains_key(&id) && !needed.contains(&id) {
                needed.push(id);
            }
        }
        let id = migration.and_then(|migration| migration.status.id.as_deref()).unwrap_or_default();
        let objects = self.migrations.deployed.of(id).filter(|(gvk, ..)| kinds.contains(gvk));
        ComputeView {
            cluster: compute.cluster.clone(),
            namespace: compute.namespace.clone(),
            deployed: objects.filter_map(|held| self.held_in_compute(held, What::Stage)).collect(),
            mirrored: {
                let mirrored = self.migrations.mirrored.of(id);
                mirrored.filter_map(|held| self.held_in_compute(held, What::Mirrors)).collect()
            },
            // Without a migration there is no id that anything there could be known by.
            mirrored_is_read: migration.map_or(View::Present(()), |_| self.mirrored_is_read()),
            mirrors: Vec::new(),
            kinds: kinds.into_iter().map(|kind| (kind.clone(), self.kind_in_compute(&kind))).collect(),
        }
    }

    fn kind_in_compute(&self, kind: &Gvk) -> KindView {
        let store = self.store(&self.scope.compute.cluster, What::Stage(kind.clone()));
        let read = match store.map(Store::state) {
            // What is not served is not there.
            Some(State::NotServed(_)) => View::Present(()),
            _ => store_view(store, || self.unread_compute()),
        };
        KindView { read, namespaced: store.and_then(|store| Some(store.resource.as_ref()?.namespaced)) }
    }

    fn unread_compute(&self) -> (String, bool) {
        let cluster = &self.scope.compute.cluster;
        if self.clusters.contains(cluster) {
            ("it has not been read yet".into(), false)
        } else {
            (self.not_attached(cluster), true)
        }
    }

    fn held_in_compute(&self, (gvk, namespace, name): &HeldId, what: fn(Gvk) -> What) -> Option<(Gvk, Arc<Object>)> {
        let store = self.store(&self.scope.compute.cluster, what(gvk.clone()))?;
        Some((gvk.clone(), store.get(&(namespace.clone(), name.clone()))?.clone()))
    }

    /// Whether every related kind has been read in the compute cluster. One that is not served there is not held.
    fn mirrored_is_read(&self) -> View<()> {
        let cluster = &self.scope.compute.cluster;
        let views = self.scope.related.iter().map(|kind| {
            let store = self.store(cluster, What::Mirrors(kind.clone()));
            match store.map(Store::state) {
                Some(State::NotServed(_)) => View::Present(()),
                _ => store_view(store, || self.unread_compute()),
            }
        });
        views.into_iter().find(|view| !view.is_known()).unwrap_or(View::Present(()))
    }

    fn mirrors(&self, about: &About<'_>, needed: &mut Vec<StoreId>) -> Vec<MirrorView> {
        let compute = &self.scope.compute;
        let mut mirrors = Vec::new();
        for (side, end) in [(Side::From, about.from), (Side::To, about.to)] {
            for (end, declared) in end.into_iter().flat_map(|end| end.declared.iter().map(move |one| (end, one))) {
                let name = format!("{}{}", side.prefix(), declared.name);
                let what = What::Mirrors(declared.gvk.clone());
                let source = self.source(end, declared, needed);
                let others = self.scope.related.iter().filter(|kind| **kind != declared.gvk);
                let rivals = others.filter_map(|kind| {
                    let what = What::Mirrors(kind.clone());
                    let there = self.view(&compute.cluster, what, Some(&compute.namespace), &name);
                    Some((kind.clone(), there.present()?.clone()))
                });
                mirrors.push(MirrorView {
                    side,
                    allowed: self.scope.related.contains(&declared.gvk),
                    claims: self.claims_on(end, declared, &source),
                    source,
                    rivals: rivals.collect(),
                    there: self.view(&compute.cluster, what, Some(&compute.namespace), &name),
                    declared: declared.clone(),
                });
            }
        }
        mirrors
    }
}

fn store_view(store: Option<&Store>, absent: impl FnOnce() -> (String, bool)) -> View<()> {
    match store.map(Store::unread) {
        Some(None) => View::Present(()),
        Some(Some((why, failing))) => View::Unknown { why, failing },
        None => {
            let (why, failing) = absent();
            View::Unknown { why, failing }
        }
    }
}
