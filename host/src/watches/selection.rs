//! Which objects of a cluster each store follows.

use resource_broker_api::{keys, names::Role};

use crate::{
    cache::{StoreId, What, own},
    watch::{Selection, Served},
};

/// What the watch of a store follows. `namespace` is the broker's, in the coordination and in the compute cluster.
pub(super) fn selection(id: &StoreId, namespace: &str) -> Selection {
    let what = &id.what;
    let kind = match what {
        What::Records => Served::Known(own::records()),
        What::Offers => Served::Known(own::offers()),
        What::Plugins => Served::Known(own::plugins()),
        What::Components => Served::Known(own::config_maps()),
        What::Migrations => Served::Known(own::migrations()),
        What::Configurations => Served::Known(own::configurations()),
        What::Clusters => Served::Known(own::clusters()),
        What::Kind(gvk) => Served::Asked { gvk: gvk.clone(), with_shape: id.cluster.role == Role::Consumer },
        What::Sources(gvk) | What::Related(gvk) | What::Stage(gvk) | What::Mirrors(gvk) => Served::plain(gvk),
    };
    let is_everywhere = matches!(what, What::Offers | What::Kind(_) | What::Sources(_) | What::Related(_));
    let labels = match what {
        What::Stage(_) => Some(keys::MIGRATION_STAGE.to_owned()),
        // A comma and an exclamation mark, escaped: with an id, and of no stage.
        What::Mirrors(_) => Some(format!("{}%2C%21{}", keys::MIGRATION_ID, keys::MIGRATION_STAGE)),
        What::Related(_) => Some(keys::RELATED_TO.to_owned()),
        _ => None,
    };
    Selection {
        kind,
        namespace: (!is_everywhere).then(|| namespace.to_owned()),
        labels,
        metadata: matches!(what, What::Sources(_) | What::Related(_) | What::Mirrors(_) | What::Components),
        optional: matches!(what, What::Sources(_) | What::Related(_)),
        on_call: matches!(what, What::Stage(_) | What::Mirrors(_)),
    }
}
