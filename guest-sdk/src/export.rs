//! From a plugin's traits to a component's exports.

/// Makes a component of a plugin: names the type that implements [`Plugin`](crate::Plugin), and its roles.
///
/// ```
/// use resource_broker_sdk::{Plugin, StatusTransformer};
///
/// /// Shows the provider's status as it is.
/// pub struct PassThrough;
///
/// impl Plugin for PassThrough {}
/// impl StatusTransformer for PassThrough {}
///
/// resource_broker_sdk::export!(PassThrough: StatusTransformer);
/// ```
///
/// Several roles are separated by commas.
///
/// Name, version and summary are those of the crate that calls it. Natively nothing is exported; what the type has to
/// implement is checked all the same.
#[macro_export]
macro_rules! export {
    ($plugin:ident: $($role:ident),+ $(,)?) => {
        const _: () = {
            const fn has_role<P: $($crate::$role +)+>() {}
            has_role::<$plugin>();
        };

        #[cfg(target_family = "wasm")]
        const _: () = {
            impl $crate::__private::Identity for $plugin {
                const NAME: &'static str = ::core::env!("CARGO_PKG_NAME");
                const VERSION: &'static str = ::core::env!("CARGO_PKG_VERSION");
                const SUMMARY: &'static str = ::core::env!("CARGO_PKG_DESCRIPTION");
            }
            type Exported = $crate::__private::Exported<$plugin>;
            $crate::__private::bindings::base::export_base!(
                Exported with_types_in $crate::__private::bindings::base
            );
            $($crate::__export_role!($role Exported);)+
        };
    };
}

/// The part of [`export!`] that differs by role.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_role {
    (AcceptFilter $exported:ident) => {
        $crate::__private::bindings::accept_filter::export_accept_filter!(
            $exported with_types_in $crate::__private::bindings::accept_filter
        );
    };
    (StatusTransformer $exported:ident) => {
        $crate::__private::bindings::status_transformer::export_status_transformer!(
            $exported with_types_in $crate::__private::bindings::status_transformer
        );
    };
    (MigrationTemplate $exported:ident) => {
        $crate::__private::bindings::migration_template::export_migration_template!(
            $exported with_types_in $crate::__private::bindings::migration_template
        );
    };
}

/// What [`export!`] expands to; no part of the public interface.
#[doc(hidden)]
pub mod __private {
    #[cfg(target_family = "wasm")]
    pub use super::component::{Exported, Identity};
    #[cfg(target_family = "wasm")]
    pub use crate::bindings;
}

#[cfg(target_family = "wasm")]
mod component {
    use std::marker::PhantomData;
    use std::sync::Once;

    use crate::bindings::accept_filter::exports::resource_broker::plugin::accept_filter as filter;
    use crate::bindings::base::exports::resource_broker::plugin::plugin;
    use crate::bindings::base::resource_broker::plugin::types;
    use crate::bindings::migration_template::exports::resource_broker::plugin::migration_template as migration;
    use crate::bindings::status_transformer::exports::resource_broker::plugin::status_transformer as status;
    use crate::{
        AcceptFilter, CopyContext, Deployed, Document, Endpoint, Error, Level, Manifest, MigrationContext,
        MigrationTemplate, Mirrored, NamePair, Offer, Plugin, Stage, StageOutcome, StatusTransformer, Verdict,
        Violation,
    };

    /// How a plugin introduces itself; taken from its crate.
    pub trait Identity {
        /// The crate's name.
        const NAME: &'static str;
        /// The crate's version.
        const VERSION: &'static str;
        /// The crate's description.
        const SUMMARY: &'static str;
    }

    /// A plugin behind the generated traits.
    #[derive(Debug)]
    pub struct Exported<P>(PhantomData<P>);

    /// A panic's message would otherwise be lost in the trap that follows it.
    fn report_panics() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| std::panic::set_hook(Box::new(|info| crate::log(Level::Error, &info.to_string()))));
    }

    impl<P: Plugin + Identity> plugin::Guest for Exported<P> {
        fn describe() -> plugin::Description {
            report_panics();
            plugin::Description {
                name: P::NAME.to_owned(),
                version: P::VERSION.to_owned(),
                summary: P::SUMMARY.to_owned(),
                settings_schema: P::SETTINGS_SCHEMA.map(str::to_owned),
            }
        }

        fn validate_settings(settings: String) -> Result<(), types::Error> {
            report_panics();
            Ok(P::validate_settings(&settings)?)
        }
    }

    impl<P: AcceptFilter> filter::Guest for Exported<P> {
        fn validate(filters: Vec<String>) -> Result<(), types::Error> {
            report_panics();
            Ok(P::validate(&filters)?)
        }

        fn judge(
            object: &crate::bindings::HostDocument,
            offers: Vec<filter::Offer>,
        ) -> Result<Vec<filter::Verdict>, types::Error> {
            report_panics();
            let offer = |filter::Offer { provider, name, filters }| Offer { provider, name, filters: filters.into() };
            let offers: Vec<Offer> = offers.into_iter().map(offer).collect();
            let verdicts = P::judge(&Document::held_by_host(object), &offers)?;
            Ok(verdicts.into_iter().map(verdict).collect())
        }
    }

    fn verdict(verdict: Verdict) -> filter::Verdict {
        let violation = |Violation { filter, rule, expected, found, message }| filter::Violation {
            filter,
            rule,
            expected,
            found,
            message,
        };
        match verdict {
            Verdict::Accepted { score } => filter::Verdict::Accepted(score),
            Verdict::Refused(violations) => filter::Verdict::Refused(violations.into_iter().map(violation).collect()),
        }
    }

    impl<P: StatusTransformer> status::Guest for Exported<P> {
        fn transform(
            copy: &crate::bindings::HostDocument,
            previous: Option<&crate::bindings::HostDocument>,
            context: status::CopyContext,
        ) -> Result<Option<String>, types::Error> {
            report_panics();
            let status::CopyContext { names, consumer_namespace, provider } = context;
            let pair = |status::NamePair { consumer, copy }| NamePair { consumer, copy };
            let names = names.into_iter().map(pair).collect();
            let context = CopyContext { names, consumer_namespace, provider };
            let previous = previous.map(Document::held_by_host);
            Ok(P::transform(&Document::held_by_host(copy), previous.as_ref(), &context)?)
        }
    }

    impl<P: MigrationTemplate> migration::Guest for Exported<P> {
        fn validate(configuration: String) -> Result<(), types::Error> {
            report_panics();
            Ok(P::validate(&parse_document(&configuration)?)?)
        }

        fn stages(
            context: migration::Context,
            old: &crate::bindings::HostDocument,
            new: &crate::bindings::HostDocument,
        ) -> Result<Vec<migration::Stage>, types::Error> {
            report_panics();
            let stages =
                P::stages(&migration_context(context)?, &Document::held_by_host(old), &Document::held_by_host(new))?;
            Ok(stages.into_iter().map(stage).collect())
        }

        fn render(
            context: migration::Context,
            old: &crate::bindings::HostDocument,
            new: &crate::bindings::HostDocument,
            stage: String,
        ) -> Result<Vec<migration::Manifest>, types::Error> {
            report_panics();
            let (old, new) = (Document::held_by_host(old), Document::held_by_host(new));
            let manifests = P::render(&migration_context(context)?, &old, &new, &stage)?;
            let manifest = |Manifest { name, body }| migration::Manifest { name, body: body.to_string() };
            Ok(manifests.into_iter().map(manifest).collect())
        }

        fn assess(
            context: migration::Context,
            old: &crate::bindings::HostDocument,
            new: &crate::bindings::HostDocument,
            stage: String,
            deployed: Vec<migration::Deployed>,
        ) -> Result<migration::Outcome, types::Error> {
            report_panics();
            let (old, new) = (Document::held_by_host(old), Document::held_by_host(new));
            let deployed = deployed.into_iter().map(deployed_object).collect::<Result<Vec<_>, _>>()?;
            Ok(outcome(P::assess(&migration_context(context)?, &old, &new, &stage, &deployed)?))
        }
    }

    fn parse_document(json: &str) -> Result<Document<'static>, Error> {
        serde_json::from_str::<serde_json::Value>(json)
            .map(Document::from)
            .map_err(|error| Error::invalid("", error.to_string()))
    }

    fn migration_context(context: migration::Context) -> Result<MigrationContext, Error> {
        let migration::Context { id, namespace, configuration, old, new } = context;
        let configuration = parse_document(&configuration)?;
        Ok(MigrationContext { id, namespace, configuration, old: endpoint(old), new: endpoint(new) })
    }

    fn endpoint(endpoint: migration::Endpoint) -> Endpoint {
        let migration::Endpoint { provider, api_version, kind, namespace, name, related } = endpoint;
        let mirrored = |migration::Mirrored { key, api_version, kind, name }| Mirrored { key, api_version, kind, name };
        let related = related.into_iter().map(mirrored).collect();
        Endpoint { provider, api_version, kind, namespace, name, related }
    }

    fn stage(stage: Stage) -> migration::Stage {
        let Stage { name, progress, timeout_seconds, retries, approval } = stage;
        migration::Stage { name, progress, timeout_seconds, retries, approval }
    }

    fn deployed_object(deployed: migration::Deployed) -> Result<Deployed, Error> {
        let migration::Deployed { name, object } = deployed;
        let object = object.map(|object| parse_document(&object)).transpose()?;
        Ok(Deployed { name, object })
    }

    fn outcome(outcome: StageOutcome) -> migration::Outcome {
        match outcome {
            StageOutcome::Waiting(reason) => migration::Outcome::Waiting(reason),
            StageOutcome::Ready => migration::Outcome::Ready,
            StageOutcome::Succeeded => migration::Outcome::Succeeded,
            StageOutcome::Failed(reason) => migration::Outcome::Failed(reason),
        }
    }
}
