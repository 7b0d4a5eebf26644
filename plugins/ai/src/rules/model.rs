//! Rules for models.

use resource_broker_plugin_kit::glob::{self, Glob};
use resource_broker_plugin_kit::judging::Broken;
use resource_broker_sdk::quantity::Quantity;
use resource_broker_sdk::{Document, Error, Filter, Problems};
use serde::Deserialize;

use crate::memory::{self, Usage};
use crate::model::{Model, Purpose, family_of};
use crate::quantisation::Accepted;
use crate::settings::Settings;
use crate::size::Size;

/// Tokens of a sequence where neither the offer nor the model says how many.
const USUAL_CONTEXT: u64 = 8_192;
/// What a runtime takes beside the weights, in percent of them, where the offer does not say.
const USUAL_OVERHEAD: u64 = 10;
/// The most that anybody gives as context, sequences or overhead.
const MOST: u64 = 1_000_000_000;

/// What an offer asks of a model. Everything that is given has to hold.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Rules {
    /// Its family is one of these; empty: any.
    families: Vec<String>,
    /// Its publisher is as one of these; a name of ollama's library is `library`. Empty: any.
    publishers: Vec<Glob>,
    /// What it is for is one of these; empty: anything.
    purposes: Vec<Purpose>,
    /// How many parameters it has.
    sizes: Option<Sizes>,
    /// How its weights are stored is one of these; empty: anyhow.
    quantisations: Vec<Accepted>,
    /// How many bits each weight has.
    bits: Option<Bits>,
    /// How much memory it needs.
    memory: Option<Memory>,
    /// What of a model whose id does not say its size.
    unknown: Unknown,
    /// Whether an object without the field is refused.
    required: bool,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Sizes {
    min: Option<Size>,
    max: Option<Size>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Bits {
    min: Option<u32>,
    max: Option<u32>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Memory {
    /// The accelerator memory of one replica.
    max: Quantity,
    /// Tokens of one sequence.
    context: Option<u64>,
    /// Sequences at the same time.
    sequences: Option<u64>,
    /// What the runtime takes beside the weights, in percent of them.
    overhead: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Unknown {
    Accept,
    #[default]
    Refuse,
}

impl Rules {
    /// The filter's rules; `None` if it has none.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with them.
    pub fn read(filter: &Filter) -> Result<Option<Self>, Error> {
        let Some(rules) = filter.with::<Self>()? else { return Ok(None) };
        let mut problems = Problems::new();
        for (field, message) in rules.nonsense() {
            problems.take(Err::<(), _>(filter.invalid(&field, message)));
        }
        problems.finish()?;
        Ok(Some(rules))
    }

    /// Rules that nothing could keep, with their fields.
    fn nonsense(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut problem = |field: &str, message: &str| found.push((field.to_owned(), message.to_owned()));
        let nothing = "max is less than min, so that nothing is accepted";
        if let Some(Sizes { min: Some(min), max: Some(max) }) = self.sizes
            && min > max
        {
            problem("sizes", nothing);
        }
        if let Some(Bits { min, max }) = self.bits {
            if min.into_iter().chain(max).any(|bits| !(1..=32).contains(&bits)) {
                problem("bits", "a weight has from 1 to 32 bits");
            } else if max.is_some() && min > max {
                problem("bits", nothing);
            }
        }
        if let Some(memory) = &self.memory {
            if memory.max <= Quantity::ZERO {
                problem("memory.max", "it is not more than 0, so that nothing is accepted: write it as 80Gi");
            }
            for (field, least, number) in [
                ("memory.context", 1, memory.context),
                ("memory.sequences", 1, memory.sequences),
                ("memory.overhead", 0, memory.overhead),
            ] {
                if number.is_some_and(|number| !(least..=MOST).contains(&number)) {
                    problem(field, &format!("it is between {least} and {MOST}"));
                }
            }
        }
        for (index, family) in self.families.iter().enumerate() {
            let lower = family.to_lowercase();
            if family.is_empty() || *family != lower {
                problem(&format!("families.{index}"), &format!("a family is written in lower case: {lower}"));
            } else if let Some(other) = family_of(family).filter(|other| other != family) {
                problem(
                    &format!("families.{index}"),
                    &format!("models of {family} are of the family {other}: write that"),
                );
            }
        }
        found
    }

    /// Whether an object without the field is refused.
    pub fn required(&self) -> bool {
        self.required
    }

    /// Every rule that a model breaks.
    pub fn broken(&self, id: &str, object: &Document<'_>, settings: &Settings) -> Vec<Broken> {
        let model = match settings.model(id, object) {
            Ok(model) => model,
            Err(error) => {
                return vec![Broken::new("syntax", "a model's id, such as PUBLISHER/NAME", error.to_string())];
            }
        };
        let mut broken: Vec<Broken> = [
            self.wrong_family(&model),
            self.wrong_publisher(&model),
            self.wrong_purpose(&model),
            self.wrong_quantisation(&model),
            self.wrong_bits(&model),
        ]
        .into_iter()
        .flatten()
        .collect();
        match model.size {
            Some(size) => {
                broken.extend(self.wrong_size(size));
                broken.extend(self.too_large(&model, size));
            }
            None => broken.extend(self.unknown_size()),
        }
        broken
    }

    fn wrong_family(&self, model: &Model) -> Option<Broken> {
        if self.families.is_empty() || self.families.contains(&model.family) {
            return None;
        }
        let families = self.families.join(", ");
        let reason =
            format!("is of the family {}, and there are {families} here: choose a model of one of them", model.family);
        Some(Broken::new("families", format!("a model of {families}"), reason))
    }

    fn wrong_publisher(&self, model: &Model) -> Option<Broken> {
        let publisher = model.publisher.as_deref().unwrap_or("library");
        if self.publishers.is_empty() || self.publishers.iter().any(|pattern| pattern.is_match(publisher)) {
            return None;
        }
        let publishers = glob::list(&self.publishers);
        let reason = format!("is published by {publisher}, which is not trusted here: choose one by {publishers}");
        Some(Broken::new("publishers", format!("a model published by {publishers}"), reason))
    }

    fn wrong_purpose(&self, model: &Model) -> Option<Broken> {
        if self.purposes.is_empty() || self.purposes.contains(&model.purpose) {
            return None;
        }
        let purposes = self.purposes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let reason =
            format!("is a model for {}, and there are models for {purposes} here: choose one of these", model.purpose);
        Some(Broken::new("purposes", format!("a model for {purposes}"), reason))
    }

    fn wrong_quantisation(&self, model: &Model) -> Option<Broken> {
        if self.quantisations.is_empty() || self.quantisations.iter().any(|each| each.takes(&model.quantisation)) {
            return None;
        }
        let accepted = self.quantisations.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let reason = format!(
            "has its weights {}, and {accepted} is taken here: choose such a variant of it",
            model.quantisation
        );
        Some(Broken::new("quantisations", format!("weights stored as {accepted}"), reason))
    }

    fn wrong_bits(&self, model: &Model) -> Option<Broken> {
        let Bits { min, max } = self.bits?;
        let (quantisation, centibits) = (model.quantisation, u64::from(model.quantisation.centibits));
        // 4-bit schemes have something more than 4 bits a weight, for their scales.
        if let Some(min) = min.filter(|min| centibits < u64::from(*min) * 100) {
            let reason = format!(
                "has its weights {quantisation}, coarser than the {min} bits that are wanted here: choose a finer variant"
            );
            return Some(Broken::new("bits", format!("at least {min} bits a weight"), reason));
        }
        let max = max.filter(|max| centibits >= (u64::from(*max) + 1) * 100)?;
        let reason = format!(
            "has its weights {quantisation}, finer than the {max} bits that are had here: choose a quantised variant"
        );
        Some(Broken::new("bits", format!("at most {max} bits a weight"), reason))
    }

    fn wrong_size(&self, size: Size) -> Option<Broken> {
        let Sizes { min, max } = self.sizes?;
        if let Some(min) = min.filter(|min| size < *min) {
            let reason =
                format!("has {size} parameters, fewer than the {min} that are the least here: choose a larger model");
            return Some(Broken::new("sizes", format!("at least {min} parameters"), reason));
        }
        let max = max.filter(|max| size > *max)?;
        let reason =
            format!("has {size} parameters, more than the {max} that are the most here: choose a smaller model");
        Some(Broken::new("sizes", format!("at most {max} parameters"), reason))
    }

    fn too_large(&self, model: &Model, size: Size) -> Option<Broken> {
        let rule = self.memory.as_ref()?;
        let asked = rule.context.unwrap_or(USUAL_CONTEXT);
        let usage = Usage {
            context: model.context.map_or(asked, |longest| asked.min(longest)),
            sequences: rule.sequences.unwrap_or(1),
            overhead_percent: rule.overhead.unwrap_or(USUAL_OVERHEAD),
        };
        let needed = memory::estimate(size, model.quantisation, usage);
        if u128::try_from(rule.max.value()).is_ok_and(|max| needed <= max) {
            return None;
        }
        let reason = format!(
            "needs about {} of accelerator memory ({size} parameters, {}, {} tokens × {}), more than the {} that there are \
             here: choose a smaller or a quantised variant",
            memory::in_gib(needed),
            model.quantisation,
            usage.context,
            usage.sequences,
            rule.max,
        );
        Some(Broken::new("memory", format!("a model that needs at most {}", rule.max), reason))
    }

    fn unknown_size(&self) -> Option<Broken> {
        let rule = if self.sizes.is_some() {
            "sizes"
        } else if self.memory.is_some() {
            "memory"
        } else {
            return None;
        };
        (self.unknown == Unknown::Refuse).then(|| {
            let reason = "does not say how many parameters it has: choose a variant whose id does, or let the operator \
                          add the model to the plugin's settings";
            Broken::new(rule, "a model whose size is known", reason)
        })
    }
}
