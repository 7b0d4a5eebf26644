//! Rules for runtimes.

use std::collections::BTreeMap;

use resource_broker_plugin_kit::judging::Broken;
use resource_broker_sdk::version::Range;
use resource_broker_sdk::{Document, Error, Filter, Problems, escape_key};
use serde::Deserialize;

use crate::runtime::{self, Wanted};
use crate::settings::Settings;

/// What an offer asks of a runtime. Everything that is given has to hold.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Rules {
    /// It is one of these, by any of their names; empty: any.
    one_of: Vec<String>,
    /// Which versions of a runtime there are; a runtime that is not named may have any.
    versions: BTreeMap<String, Range>,
    /// Whether it has to be able to serve the object's model.
    compatible: bool,
    /// Whether an object without the field is refused.
    required: bool,
}

impl Rules {
    /// The filter's rules; `None` if it has none.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with them: above all a name that there is not, which would refuse everything.
    pub fn read(filter: &Filter) -> Result<Option<Self>, Error> {
        let Some(mut rules) = filter.with::<Self>()? else { return Ok(None) };
        let mut problems = Problems::new();
        let mut resolve = |field: String, name: &str| {
            let known = runtime::known(&name.to_ascii_lowercase()).map(|runtime| runtime.name.to_owned());
            let unknown =
                || filter.invalid(&field, format!("there is no runtime {name:?}; there are {}", runtime::list()));
            problems.take(known.ok_or_else(unknown))
        };
        let one_of: Vec<String> = rules
            .one_of
            .iter()
            .enumerate()
            .filter_map(|(index, name)| resolve(format!("oneOf.{index}"), name))
            .collect();
        let versions: BTreeMap<String, Range> = std::mem::take(&mut rules.versions)
            .into_iter()
            .filter_map(|(name, range)| Some((resolve(format!("versions.{}", escape_key(&name)), &name)?, range)))
            .collect();
        problems.finish()?;
        Ok(Some(Self { one_of, versions, ..rules }))
    }

    /// Whether an object without the field is refused.
    pub fn required(&self) -> bool {
        self.required
    }

    /// Every rule that a runtime breaks.
    pub fn broken(&self, text: &str, object: &Document<'_>, settings: &Settings) -> Vec<Broken> {
        let Some(wanted) = runtime::read(text) else {
            let reason =
                format!("is no runtime: write a name, with or without :VERSION, as one of {}", runtime::list());
            return vec![Broken::new("syntax", "a runtime, such as vllm or vllm:0.8", reason)];
        };
        [self.not_offered(&wanted), self.wrong_version(&wanted), self.incompatible(&wanted, object, settings)]
            .into_iter()
            .flatten()
            .collect()
    }

    fn not_offered(&self, wanted: &Wanted) -> Option<Broken> {
        if self.one_of.is_empty() || self.one_of.contains(&wanted.name) {
            return None;
        }
        let offered = self.one_of.join(", ");
        Some(Broken::new(
            "oneOf",
            format!("one of {offered}"),
            format!("is not what there is here: choose one of {offered}"),
        ))
    }

    fn wrong_version(&self, wanted: &Wanted) -> Option<Broken> {
        let (range, version) = (self.versions.get(&wanted.name)?, wanted.version.as_ref()?);
        if range.meets(version) {
            return None;
        }
        let name = &wanted.name;
        let reason =
            format!("is none of the versions of {name} that there are here: choose one within {range}, or name none");
        Some(Broken::new("versions", format!("a version of {name} within {range}"), reason))
    }

    fn incompatible(&self, wanted: &Wanted, object: &Document<'_>, settings: &Settings) -> Option<Broken> {
        if !self.compatible {
            return None;
        }
        let id = object.text(&format!("spec.{}", settings.model_key()))?;
        let model = settings.model(&id, object).ok()?;
        let known = runtime::known(&wanted.name).filter(|known| !known.serves(&model.quantisation))?;
        let quantisation = model.quantisation;
        let reason = format!(
            "reads {}, and not the weights of {id}, which are {quantisation} as {}: choose another variant or another runtime",
            known.reads(),
            quantisation.format,
        );
        Some(Broken::new(
            "compatible",
            format!("a runtime that serves {} as {}", quantisation, quantisation.format),
            reason,
        ))
    }
}
