//! What is known about models whose ids do not say it.

use resource_broker_plugin_kit::glob::Glob;
use serde::Deserialize;

use crate::model::Purpose;
use crate::quantisation::{Format, NONE, Quantisation};
use crate::size::Size;

/// What an operator says about the models that a pattern names.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fact {
    /// Which models: publisher and name in lower case, as in `acme/house-*`.
    pub matches: Glob,
    /// The family.
    pub family: Option<String>,
    /// How many parameters.
    pub parameters: Option<Size>,
    /// How the weights are stored, where the id does not say.
    pub quantisation: Option<Scheme>,
    /// What it is for.
    pub purpose: Option<Purpose>,
    /// The longest sequence in tokens.
    pub context: Option<u64>,
}

impl Fact {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.family.is_none()
            && self.parameters.is_none()
            && self.quantisation.is_none()
            && self.purpose.is_none()
            && self.context.is_none()
    }
}

/// A scheme by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Scheme(Quantisation);

impl TryFrom<String> for Scheme {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let word = text.to_ascii_lowercase();
        Quantisation::named(&word).map(Self).ok_or_else(|| format!("{text:?} is no way of storing weights"))
    }
}

/// What the facts say about one model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The family.
    pub family: Option<String>,
    /// How many parameters.
    pub size: Option<Size>,
    /// How the weights are stored.
    pub quantisation: Option<Quantisation>,
    /// What it is for.
    pub purpose: Option<Purpose>,
    /// The longest sequence in tokens.
    pub context: Option<u64>,
}

/// Published models by how their name begins, with millions of parameters. The first that fits counts.
const PUBLISHED: &[(&str, u64, Quantisation)] = &[
    ("all-minilm-l6", 23, NONE),
    ("bge-m3", 568, NONE),
    ("deepseek-r1-0528-qwen3-8b", 8_000, NONE),
    ("deepseek-r1-distill", 0, NONE),
    ("deepseek-r1", 671_000, FP8),
    ("deepseek-v2-lite", 16_000, NONE),
    ("deepseek-v2", 236_000, NONE),
    ("deepseek-v3", 671_000, FP8),
    ("gpt-oss", 0, MXFP4),
    ("kimi-k2", 1_000_000, FP8),
    ("llama-4-maverick", 400_000, NONE),
    ("llama-4-scout", 109_000, NONE),
    ("mistral-large", 123_000, NONE),
    ("mistral-nemo", 12_000, NONE),
    ("mistral-small", 24_000, NONE),
    ("mixtral-8x22b", 141_000, NONE),
    ("mixtral-8x7b", 46_700, NONE),
    ("nomic-embed-text", 137, NONE),
    ("phi-3-medium", 14_000, NONE),
    ("phi-3-mini", 3_800, NONE),
    ("phi-3-small", 7_400, NONE),
    ("phi-3.5-mini", 3_800, NONE),
    ("phi-4-mini", 3_800, NONE),
    ("phi-4", 14_700, NONE),
];

/// What a name of ollama's library stands for without a tag that says more, with millions of parameters.
const LIBRARY: &[(&str, u64)] = &[
    ("codellama", 7_000),
    ("deepseek-r1", 8_000),
    ("gemma2", 9_000),
    ("gemma3", 4_000),
    ("gpt-oss", 20_000),
    ("llama2", 7_000),
    ("llama3", 8_000),
    ("llama3.1", 8_000),
    ("llama3.2", 3_000),
    ("llama3.3", 70_000),
    ("mistral", 7_000),
    ("mixtral", 46_700),
    ("nomic-embed-text", 137),
    ("phi3", 3_800),
    ("phi4", 14_700),
    ("qwen2.5", 7_000),
    ("qwen3", 8_000),
];

const FP8: Quantisation = Quantisation { scheme: "fp8", centibits: 800, format: Format::Safetensors };
const MXFP4: Quantisation = Quantisation { scheme: "mxfp4", centibits: 425, format: Format::Safetensors };

/// What is known about a model: the operator's first fitting fact before the built-in ones, field by field. `full` has the
/// publisher, `name` has not; both are in lower case. `library`: the name is one of ollama's library.
pub fn find(facts: &[Fact], full: &str, name: &str, library: bool) -> Known {
    let built_in = if library { of_library(name) } else { published(name) };
    let Some(fact) = facts.iter().find(|fact| fact.matches.is_match(full)) else { return built_in };
    Known {
        family: fact.family.as_ref().map(|family| family.to_ascii_lowercase()),
        size: fact.parameters.or(built_in.size),
        quantisation: fact.quantisation.map(|Scheme(quantisation)| quantisation).or(built_in.quantisation),
        purpose: fact.purpose,
        context: fact.context,
    }
}

fn published(name: &str) -> Known {
    let entry = PUBLISHED.iter().find(|(prefix, ..)| name.starts_with(prefix));
    entry.map_or_else(Known::default, |(_, millions, quantisation)| Known {
        size: (*millions > 0).then(|| Size::of_millions(*millions)),
        quantisation: (*quantisation != NONE).then_some(*quantisation),
        ..Known::default()
    })
}

fn of_library(name: &str) -> Known {
    let entry = LIBRARY.iter().find(|(known, _)| *known == name);
    Known { size: entry.map(|(_, millions)| Size::of_millions(*millions)), ..Known::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(json: serde_json::Value) -> Fact {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn the_operators_first_fitting_fact_counts_before_the_built_in_ones() {
        let facts = [
            fact(
                serde_json::json!({"matches": "acme/house-*", "parameters": "13b", "quantisation": "AWQ", "context": 4096}),
            ),
            fact(serde_json::json!({"matches": "acme/*", "parameters": "1b", "family": "Acme"})),
            fact(serde_json::json!({"matches": "mistralai/mistral-large*", "family": "ours"})),
        ];
        let house = find(&facts, "acme/house-2", "house-2", false);
        assert_eq!(house.size, Some(Size::of_millions(13_000)));
        assert_eq!(house.quantisation.map(|q| q.scheme), Some("awq"));
        assert_eq!((house.family, house.context), (None, Some(4_096)));
        assert_eq!(find(&facts, "acme/other", "other", false).family.as_deref(), Some("acme"));
        let large = find(&facts, "mistralai/mistral-large-2407", "mistral-large-2407", false);
        assert_eq!((large.family.as_deref(), large.size), (Some("ours"), Some(Size::of_millions(123_000))));
        assert_eq!(find(&facts, "acme2/x", "x", false), Known::default());
    }

    #[test]
    fn a_longer_beginning_stands_before_a_shorter_one() {
        for (index, (prefix, ..)) in PUBLISHED.iter().enumerate() {
            let hidden = PUBLISHED[..index].iter().find(|(earlier, ..)| prefix.starts_with(earlier));
            assert_eq!(hidden, None, "{prefix} is never reached");
        }
    }
}
