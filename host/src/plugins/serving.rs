//! Who serves what: from all Plugins and how far each has got, to the holder of each API and role.
//!
//! The oldest Plugin that claims an API and a role holds it, also while it has nothing to serve it with: until then its
//! objects wait, rather than being answered by somebody that nobody chose for them.

use std::collections::{BTreeMap, BTreeSet};

use resource_broker_plugin_types::{ApiName, Role};

/// What is held: one role for one API.
pub(super) type Slot = (ApiName, Role);

/// What one Plugin asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    /// Its name.
    pub(super) name: String,
    /// When it was created, in RFC 3339: the older one comes first.
    pub(super) created: String,
    /// The APIs.
    pub(super) apis: Vec<ApiName>,
    /// The roles that it asks for; none: everything that it exports.
    pub(super) roles: Vec<Role>,
    /// The roles that its component exports; `None`: none was ever loaded.
    pub(super) exports: Option<Vec<Role>>,
}

impl Claim {
    /// The roles that it holds or keeps waiting, where nobody is older.
    pub(super) fn takes(&self) -> Vec<Role> {
        let asked = |role: &Role| self.roles.is_empty() || self.roles.contains(role);
        match &self.exports {
            Some(exports) => exports.iter().copied().filter(asked).collect(),
            None if self.roles.is_empty() => vec![Role::AcceptFilter, Role::StatusTransformer],
            None => self.roles.clone(),
        }
    }

    /// The roles that it asks for and does not export.
    pub(super) fn missing(&self) -> Vec<Role> {
        let exports = |role: &Role| self.exports.as_ref().is_none_or(|exports| exports.contains(role));
        self.roles.iter().copied().filter(|role| !exports(role)).collect()
    }
}

/// What one Plugin gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    /// What it holds.
    pub(super) holds: BTreeSet<Slot>,
    /// What an older Plugin holds, with its name.
    pub(super) shadowed: BTreeMap<Slot, String>,
}

/// The oldest first.
pub(super) fn by_age(claims: &[Claim]) -> Vec<&Claim> {
    let mut by_age: Vec<&Claim> = claims.iter().collect();
    by_age.sort_by(|one, other| (&one.created, &one.name).cmp(&(&other.created, &other.name)));
    by_age
}

/// Gives each API and role to the oldest of those that claim it. The shares are by the Plugins' names.
pub(super) fn share_out(claims: &[Claim]) -> BTreeMap<String, Share> {
    let mut holders: BTreeMap<Slot, &str> = BTreeMap::new();
    let mut shares = BTreeMap::new();
    for claim in by_age(claims) {
        let mut share = Share::default();
        for slot in slots(claim) {
            if let Some(older) = holders.get(&slot) {
                share.shadowed.insert(slot, (*older).to_owned());
            } else {
                holders.insert(slot.clone(), &claim.name);
                share.holds.insert(slot);
            }
        }
        shares.insert(claim.name.clone(), share);
    }
    shares
}

/// Each once, also where a Plugin names an API twice.
fn slots(claim: &Claim) -> BTreeSet<Slot> {
    let roles = claim.takes();
    claim.apis.iter().flat_map(|api| roles.iter().map(|role| (api.clone(), *role))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(resource: &str) -> ApiName {
        ApiName { group: "g.io".into(), resource: resource.into() }
    }

    fn claim(name: &str, created: u32, apis: &[&str], roles: &[Role], exports: Option<&[Role]>) -> Claim {
        Claim {
            name: name.into(),
            created: format!("2026-01-01T00:00:{created:02}Z"),
            apis: apis.iter().map(|name| api(name)).collect(),
            roles: roles.to_vec(),
            exports: exports.map(<[Role]>::to_vec),
        }
    }

    const BOTH: &[Role] = &[Role::AcceptFilter, Role::StatusTransformer];

    #[test]
    fn the_older_one_holds_it_and_the_younger_is_told_by_whom() {
        let young = claim("a", 9, &["vms", "disks"], &[], Some(BOTH));
        let old = claim("z", 1, &["vms"], &[], Some(&[Role::AcceptFilter]));
        for order in [[young.clone(), old.clone()], [old, young]] {
            let shares = share_out(&order);
            assert_eq!(shares["z"].holds, BTreeSet::from([(api("vms"), Role::AcceptFilter)]));
            assert_eq!(
                shares["a"].holds,
                BTreeSet::from([
                    (api("vms"), Role::StatusTransformer),
                    (api("disks"), Role::AcceptFilter),
                    (api("disks"), Role::StatusTransformer),
                ]),
                "roles are given one by one"
            );
            assert_eq!(shares["a"].shadowed, BTreeMap::from([((api("vms"), Role::AcceptFilter), "z".to_owned())]));
        }
    }

    #[test]
    fn of_two_made_in_one_second_the_name_decides() {
        let claims = ["b", "a"].map(|name| claim(name, 1, &["vms"], &[], Some(BOTH)));
        let shares = share_out(&claims);
        assert_eq!((shares["a"].holds.len(), shares["b"].holds.len(), shares["b"].shadowed.len()), (2, 0, 2));
    }

    #[test]
    fn what_never_loaded_holds_what_it_claims_all_the_same() {
        let shares = share_out(&[
            claim("bad", 1, &["vms"], &[], None),
            claim("good", 2, &["vms"], &[], Some(&Role::ALL)),
            claim("named", 1, &["disks"], &[Role::MigrationTemplate], None),
        ]);
        assert_eq!(shares["bad"].holds.iter().map(|slot| slot.1).collect::<Vec<_>>(), BOTH);
        assert_eq!(shares["good"].holds, BTreeSet::from([(api("vms"), Role::MigrationTemplate)]));
        assert_eq!(shares["named"].holds, BTreeSet::from([(api("disks"), Role::MigrationTemplate)]));
    }

    #[test]
    fn a_role_that_is_asked_for_and_not_exported_is_not_held() {
        let claim = claim("a", 1, &["vms"], BOTH, Some(&[Role::AcceptFilter, Role::MigrationTemplate]));
        assert_eq!(claim.takes(), [Role::AcceptFilter], "nor is one that is exported and not asked for");
        assert_eq!(claim.missing(), [Role::StatusTransformer]);
    }

    #[test]
    fn an_api_that_is_named_twice_is_held_once() {
        let shares = share_out(&[claim("a", 1, &["vms", "vms"], &[], Some(&[Role::AcceptFilter]))]);
        assert_eq!((shares["a"].holds.len(), shares["a"].shadowed.len()), (1, 0));
    }
}
