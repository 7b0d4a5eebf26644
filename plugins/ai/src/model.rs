//! What a model's id says about the model.
//!
//! There is no grammar for ids, only habits: `PUBLISHER/NAME`, as in `meta-llama/Llama-3.1-70B-Instruct-AWQ`, and the short
//! names of ollama's library, as in `llama3.1:70b-instruct-q4_K_M`. Their words say family, size, purpose and how the
//! weights are stored. What an id leaves out is taken from the operator's facts, then from the built-in ones about
//! well-known models; what nobody knows stays unknown.

use std::fmt;

use serde::Deserialize;
use thiserror::Error;

use crate::facts::{self, Fact};
use crate::quantisation::{self, Format, Quantisation};
use crate::size::Size;

/// How long an id may be; longer than any path that a repository of models allows.
const MAX_ID: usize = 300;

/// What a model is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// To follow instructions and to talk.
    Chat,
    /// To go on with a text; also where the id does not say.
    #[default]
    Base,
    /// To write programs.
    Code,
    /// To turn texts into vectors.
    Embedding,
    /// To rank texts by their relevance.
    Reranking,
    /// To understand images, and to talk about them.
    Vision,
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chat => "chat",
            Self::Base => "base",
            Self::Code => "code",
            Self::Embedding => "embedding",
            Self::Reranking => "reranking",
            Self::Vision => "vision",
        })
    }
}

/// What is known about a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// Who published it, in lower case; `None` for a name from ollama's library.
    pub publisher: Option<String>,
    /// The family that it is of, in lower case: `llama`.
    pub family: String,
    /// How many parameters it has in all, whether they are active or not.
    pub size: Option<Size>,
    /// How its weights are stored.
    pub quantisation: Quantisation,
    /// What it is for.
    pub purpose: Purpose,
    /// The longest sequence in tokens, where the id or a fact says so.
    pub context: Option<u64>,
}

/// Why a text is no model's id; a sentence's rest, after "the id".
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IdError {
    /// Nothing is there.
    #[error("is empty")]
    Empty,
    /// Nothing that is called so.
    #[error("has {0} characters; at most {MAX_ID} are possible")]
    TooLong(usize),
    /// A character that no id has.
    #[error("has {0:?} in it; an id has letters, digits and - _ . : / @")]
    Character(char),
    /// A slash or colon with nothing beside it.
    #[error("has an empty part: it is written PUBLISHER/NAME or NAME:TAG")]
    EmptyPart,
}

impl Model {
    /// Reads an id. The runtime's name decides how a short name is meant, as `llama3.1` is by ollama; `facts` are the
    /// operator's.
    ///
    /// # Errors
    ///
    /// What makes the text no id.
    pub fn parse(id: &str, runtime: Option<&str>, facts: &[Fact]) -> Result<Self, IdError> {
        let id = Id::parse(id)?;
        let words = id.words();
        let library = id.publisher.is_none() && (id.tag.is_some() || runtime == Some("ollama"));
        let said = Said::by(&words);
        // The size of a mixture is known by its published name, wherever it comes from.
        let of_library = library && !matches!(said.size, Some(ReadSize::AtMost(_)));
        let name = if of_library { id.name.clone() } else { words.join("-") };
        let fact = facts::find(facts, &id.full(), &name, of_library);
        let size = match said.size {
            Some(ReadSize::Exact(size)) => Some(size),
            Some(ReadSize::AtMost(size)) => fact.size.or(Some(size)),
            Some(ReadSize::Part) | None => fact.size,
        };
        let quantisation = Quantisation::of_words(&words).or(fact.quantisation);
        Ok(Self {
            family: fact.family.unwrap_or_else(|| family(&words)),
            size,
            quantisation: if library { in_library(quantisation) } else { quantisation.unwrap_or(quantisation::NONE) },
            purpose: fact.purpose.or(said.purpose).unwrap_or_default(),
            context: said.context.or(fact.context),
            publisher: id.publisher,
        })
    }
}

/// How ollama's library has a model: as GGUF in any case, and with about four bits unless its tag says otherwise.
fn in_library(said: Option<Quantisation>) -> Quantisation {
    let usual = || Quantisation::named("q4_k_m").unwrap_or(quantisation::NONE);
    Quantisation { format: Format::Gguf, ..said.unwrap_or_else(usual) }
}

/// An id's parts, in lower case.
struct Id {
    publisher: Option<String>,
    name: String,
    tag: Option<String>,
}

impl Id {
    fn parse(id: &str) -> Result<Self, IdError> {
        if id.is_empty() {
            return Err(IdError::Empty);
        }
        let length = id.chars().count();
        if length > MAX_ID {
            return Err(IdError::TooLong(length));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:/@".contains(c);
        if let Some(character) = id.chars().find(|character| !allowed(*character)) {
            return Err(IdError::Character(character));
        }
        let id = id.to_ascii_lowercase();
        // A revision says which upload it is, not which model.
        let id = id.split('@').next().unwrap_or_default();
        let hosted = ["hf.co/", "huggingface.co/", "hf:"].iter().find_map(|host| id.strip_prefix(host));
        let (publisher, name) = match hosted.unwrap_or(id).rsplit_once('/') {
            // Whoever calls himself so there is not the library of ollama.
            Some(("library", name)) if hosted.is_some() => (Some("hf.co/library"), name),
            Some(("library", name)) => (None, name),
            Some((publisher, name)) => (Some(publisher), name),
            None => (None, hosted.unwrap_or(id)),
        };
        let (name, tag) = match name.split_once(':') {
            Some((name, tag)) => (name, Some(tag)),
            None => (name, None),
        };
        if name.is_empty() || publisher == Some("") || tag == Some("") {
            return Err(IdError::EmptyPart);
        }
        Ok(Self { publisher: publisher.map(str::to_owned), name: name.to_owned(), tag: tag.map(str::to_owned) })
    }

    /// Publisher and name, as facts speak of it.
    fn full(&self) -> String {
        match &self.publisher {
            Some(publisher) => format!("{publisher}/{}", self.name),
            None => self.name.clone(),
        }
    }

    /// The words of name and tag. A word ends at a hyphen, and at a dot before the type of a GGUF file.
    fn words(&self) -> Vec<&str> {
        let name = self.name.split('-').flat_map(split_file_type);
        let tag = self.tag.iter().flat_map(|tag| tag.split('-')).flat_map(split_file_type);
        name.chain(tag).flat_map(split_underscores).filter(|word| !word.is_empty()).collect()
    }
}

/// `v1.0.q4_k_m.gguf` is three words.
fn split_file_type(word: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = word;
    while let Some((before, last)) = rest.rsplit_once('.') {
        if last != "gguf" && Quantisation::named(last).is_none() {
            break;
        }
        words.push(last);
        rest = before;
    }
    words.push(rest);
    words.reverse();
    words
}

/// An underscore separates words, but not within a scheme's name.
fn split_underscores(word: &str) -> Vec<&str> {
    if Quantisation::named(word).is_some() { vec![word] } else { word.split('_').collect() }
}

/// A size as an id gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadSize {
    /// All parameters.
    Exact(Size),
    /// `8x7b`: less, since the experts share a part.
    AtMost(Size),
    /// `17b-16e`: those that are active, which say nothing about the others.
    Part,
}

/// What the words say by themselves.
#[derive(Default)]
struct Said {
    size: Option<ReadSize>,
    purpose: Option<Purpose>,
    context: Option<u64>,
}

impl Said {
    fn by(words: &[&str]) -> Self {
        let mut said = Self::default();
        let mut millions = None;
        for word in words {
            match word.parse::<Size>() {
                // Thousands of millions are sizes; `1m` may be a million tokens.
                Ok(size) if word.ends_with('m') => millions = millions.or(Some(size)),
                Ok(size) => said.size = said.size.or(Some(ReadSize::Exact(size))),
                Err(()) => said.read(word),
            }
        }
        if words.iter().any(|word| is_expert_count(word)) {
            said.size = said.size.map(|_| ReadSize::Part);
        }
        match (said.size, millions) {
            (None, Some(size)) => said.size = Some(ReadSize::Exact(size)),
            (Some(_), Some(tokens)) => said.context = said.context.or(Some(tokens.millions() * 1_048_576)),
            (_, None) => {}
        }
        said
    }

    fn read(&mut self, word: &str) {
        if let Some(size) = mixture(word) {
            self.size = self.size.or(Some(ReadSize::AtMost(size)));
        } else if let Some(size) = word.strip_prefix('e').filter(|_| word.ends_with('b')).and_then(|n| n.parse().ok()) {
            self.size = self.size.or(Some(ReadSize::Exact(size)));
        } else if let Some(thousands) = word.strip_suffix('k').and_then(|n| n.parse::<u64>().ok()) {
            self.context = self.context.or(thousands.checked_mul(1_024));
        }
        if let Some(purpose) = purpose(word) {
            self.purpose = Some(self.purpose.map_or(purpose, |earlier| more_special(earlier, purpose)));
        }
    }
}

/// `8x7b`: eight experts of seven billion each.
fn mixture(word: &str) -> Option<Size> {
    let (experts, size) = word.split_once('x')?;
    size.parse::<Size>().ok()?.times(experts.parse().ok()?)
}

/// `16e`: sixteen experts.
fn is_expert_count(word: &str) -> bool {
    word.strip_suffix('e').is_some_and(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()))
}

fn purpose(word: &str) -> Option<Purpose> {
    let letters = word.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    Some(match letters {
        "chat" | "instruct" | "it" | "sft" | "dpo" | "rlhf" | "thinking" | "reasoning" | "assistant" => Purpose::Chat,
        "coder" | "code" | "codellama" | "starcoder" | "codestral" | "codegemma" | "devstral" => Purpose::Code,
        "embed" | "embedding" | "embeddings" | "bge" | "gte" | "minilm" | "gritlm" => Purpose::Embedding,
        "rerank" | "reranker" => Purpose::Reranking,
        "vl" | "vision" | "pixtral" | "llava" | "omni" | "internvl" | "multimodal" => Purpose::Vision,
        _ => return None,
    })
}

/// Of two purposes the one that says more: a coder that was instructed is a coder.
fn more_special(one: Purpose, other: Purpose) -> Purpose {
    let rank = |purpose: Purpose| match purpose {
        Purpose::Base => 0,
        Purpose::Chat => 1,
        Purpose::Code => 2,
        Purpose::Vision => 3,
        Purpose::Embedding => 4,
        Purpose::Reranking => 5,
    };
    if rank(other) > rank(one) { other } else { one }
}

/// Names that belong to a family of another name.
const FAMILIES: &[(&str, &[&str])] = &[
    ("llama", &["llama", "codellama", "tinyllama", "vicuna", "alpaca"]),
    ("mistral", &["mistral", "mixtral", "ministral", "codestral", "devstral", "magistral", "pixtral", "mathstral"]),
    ("qwen", &["qwen", "qwq", "qvq", "codeqwen"]),
    ("gemma", &["gemma", "codegemma", "medgemma", "shieldgemma", "recurrentgemma", "embeddinggemma"]),
    ("deepseek", &["deepseek"]),
    ("phi", &["phi"]),
    ("gpt-oss", &["gptoss"]),
    ("command", &["command", "aya"]),
    ("glm", &["glm", "chatglm"]),
    ("granite", &["granite"]),
    ("falcon", &["falcon"]),
    ("starcoder", &["starcoder", "starcoderbase"]),
    ("nemotron", &["nemotron"]),
    ("kimi", &["kimi"]),
    ("olmo", &["olmo"]),
    ("yi", &["yi"]),
];

/// The family that the first telling word names; where none is known, what the name begins with.
fn family(words: &[&str]) -> String {
    if words.starts_with(&["gpt", "oss"]) {
        return "gpt-oss".to_owned();
    }
    let letters = |word: &&str| word.chars().take_while(char::is_ascii_alphabetic).collect::<String>();
    let known = words.iter().map(letters).find_map(|word| family_of(&word));
    known.map_or_else(|| words.first().map(letters).unwrap_or_default(), str::to_owned)
}

/// The family that a name belongs to, if it is a known one.
pub fn family_of(name: &str) -> Option<&'static str> {
    FAMILIES.iter().find(|(family, names)| *family == name || names.contains(&name)).map(|(family, _)| *family)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(id: &str) -> Model {
        Model::parse(id, None, &[]).unwrap_or_else(|error| panic!("{id} {error}"))
    }

    /// Family, size, scheme, purpose.
    fn summary(id: &str, runtime: Option<&str>) -> String {
        let model = Model::parse(id, runtime, &[]).unwrap_or_else(|error| panic!("{id} {error}"));
        let size = model.size.map_or("?".to_owned(), |size| size.to_string());
        format!("{} {size} {} {}", model.family, model.quantisation.scheme, model.purpose)
    }

    #[test]
    fn ids_of_repositories() {
        for (id, expected) in [
            ("meta-llama/Llama-3.1-70B-Instruct", "llama 70b none chat"),
            ("hugging-quants/Meta-Llama-3.1-70B-Instruct-AWQ-INT4", "llama 70b awq chat"),
            ("Qwen/Qwen2.5-72B-Instruct-GPTQ-Int8", "qwen 72b gptq chat"),
            ("Qwen/Qwen2.5-0.5B", "qwen 500m none base"),
            ("Qwen/Qwen3-235B-A22B-FP8", "qwen 235b fp8 base"),
            ("Qwen/Qwen2.5-Coder-32B-Instruct", "qwen 32b none code"),
            ("Qwen/Qwen2.5-VL-7B-Instruct", "qwen 7b none vision"),
            ("Qwen/QwQ-32B", "qwen 32b none base"),
            ("mistralai/Mixtral-8x7B-Instruct-v0.1", "mistral 46.7b none chat"),
            ("someone/Frankenmoe-4x9B", "frankenmoe 36b none base"),
            ("google/gemma-2-27b-it", "gemma 27b none chat"),
            ("google/gemma-3n-E4B-it", "gemma 4b none chat"),
            ("microsoft/Phi-3-mini-128k-instruct", "phi 3.8b none chat"),
            ("openai/gpt-oss-120b", "gpt-oss 120b mxfp4 base"),
            ("deepseek-ai/DeepSeek-V3", "deepseek 671b fp8 base"),
            ("deepseek-ai/DeepSeek-R1-Distill-Llama-70B", "deepseek 70b none base"),
            ("meta-llama/Llama-4-Scout-17B-16E-Instruct", "llama 109b none chat"),
            ("someone/Other-17B-16E", "other ? none base"),
            ("RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w4a16", "llama 8b int4 chat"),
            ("unsloth/Llama-3.2-1B-Instruct-bnb-4bit", "llama 1b bnb chat"),
            ("TheBloke/Llama-2-13B-chat-GGUF", "llama 13b q4_k_m chat"),
            ("TheBloke/tinyllama-1.1b-chat-v1.0.Q5_K_M.gguf", "llama 1.1b q5_k_m chat"),
            ("hf.co/bartowski/Llama-3.2-3B-Instruct-GGUF:IQ4_XS", "llama 3b iq4_xs chat"),
            ("BAAI/bge-reranker-v2-m3", "bge ? none reranking"),
            ("HuggingFaceTB/SmolLM2-135M-Instruct", "smollm 135m none chat"),
            ("nomic-ai/nomic-embed-text-v1.5", "nomic 137m none embedding"),
            ("mlx-community/Llama-3.2-3B-Instruct-4bit", "llama 3b int4 chat"),
            ("acme/house", "house ? none base"),
        ] {
            assert_eq!(summary(id, None), expected, "{id}");
        }
    }

    #[test]
    fn names_of_ollamas_library() {
        for (id, runtime, expected) in [
            ("llama3.1:70b-instruct-q4_K_M", None, "llama 70b q4_k_m chat"),
            ("llama3.1:8b", None, "llama 8b q4_k_m base"),
            ("llama3.1:latest", None, "llama 8b q4_k_m base"),
            ("library/qwen2.5:7b-instruct-fp16", None, "qwen 7b none chat"),
            ("deepseek-r1:70b", None, "deepseek 70b q4_k_m base"),
            ("llama3.1", Some("ollama"), "llama 8b q4_k_m base"),
            ("llama3.1", None, "llama ? none base"),
            ("mixtral:8x22b", None, "mistral 141b q4_k_m base"),
            ("gemma3:270m", None, "gemma 270m q4_k_m base"),
        ] {
            assert_eq!(summary(id, runtime), expected, "{id}");
        }
    }

    #[test]
    fn publisher_and_context() {
        assert_eq!(read("Meta-Llama/Llama-3.1-8B@main").publisher.as_deref(), Some("meta-llama"));
        assert_eq!(read("llama3:8b").publisher, None);
        assert_eq!(read("llama3:8b-instruct-fp16").quantisation.format, Format::Gguf);
        assert_eq!(read("hf.co/bartowski/X-3B-GGUF").publisher.as_deref(), Some("bartowski"));
        assert_eq!(read("microsoft/Phi-3-medium-128k-instruct").context, Some(131_072));
        assert_eq!(read("Qwen/Qwen2.5-7B-Instruct-1M").context, Some(1_048_576));
        assert_eq!(read("Qwen/Qwen2.5-7B-Instruct-1M").size, Some(Size::of_millions(7_000)));
        assert_eq!(read("acme/house").context, None);
    }

    #[test]
    fn what_is_no_id() {
        for (id, expected) in [
            ("", IdError::Empty),
            ("a b", IdError::Character(' ')),
            ("llama:", IdError::EmptyPart),
            ("/llama", IdError::EmptyPart),
            ("meta/", IdError::EmptyPart),
            ("@main", IdError::EmptyPart),
            ("ma\u{308}", IdError::Character('\u{308}')),
        ] {
            assert_eq!(Model::parse(id, None, &[]), Err(expected), "{id}");
        }
        assert_eq!(Model::parse(&"a".repeat(301), None, &[]), Err(IdError::TooLong(301)));
    }

    #[test]
    fn no_text_of_the_right_letters_is_too_strange() {
        let letters: Vec<char> = "abx8k7.-_:/@em1BQ".chars().collect();
        let mut seed = 7_u32;
        for _ in 0..20_000 {
            let mut id = String::new();
            for _ in 0..=(seed % 24) {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                id.push(letters[(seed >> 16) as usize % letters.len()]);
            }
            let _ = Model::parse(&id, Some("ollama"), &[]);
        }
    }
}
