//! What serves models, and which files each of them can read.

use resource_broker_sdk::version::Version;

use crate::quantisation::{Format, Quantisation};

/// A program that serves models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Runtime {
    /// Its one name.
    pub name: &'static str,
    /// What else it is called.
    aliases: &'static [&'static str],
    /// What it can read.
    formats: &'static [Format],
    /// Schemes of these formats that it cannot.
    without: &'static [&'static str],
}

const KNOWN: &[Runtime] = &[
    Runtime { name: "exllama", aliases: &["exllamav2", "tabbyapi"], formats: &[Format::Exl], without: &[] },
    Runtime {
        name: "llama.cpp",
        aliases: &["llamacpp", "llama-cpp", "llama-server", "llama.cpp-server", "llama-cpp-python"],
        formats: &[Format::Gguf],
        without: &[],
    },
    Runtime {
        name: "lmdeploy",
        aliases: &["turbomind"],
        formats: &[Format::Safetensors],
        without: &["aqlm", "bnb", "nvfp4"],
    },
    Runtime {
        name: "mlx",
        aliases: &["mlx-lm", "mlx-server"],
        formats: &[Format::Mlx, Format::Safetensors],
        without: &[],
    },
    Runtime { name: "ollama", aliases: &[], formats: &[Format::Gguf], without: &[] },
    Runtime { name: "sglang", aliases: &["sgl"], formats: &[Format::Safetensors, Format::Gguf], without: &["aqlm"] },
    Runtime {
        name: "tei",
        aliases: &["text-embeddings-inference", "huggingface-tei"],
        formats: &[Format::Safetensors],
        without: &["aqlm", "autoround", "awq", "bnb", "fp8", "gptq", "int4", "int8", "mxfp4", "nvfp4"],
    },
    Runtime {
        name: "tensorrt-llm",
        aliases: &["trtllm", "trt-llm", "tensorrt_llm", "nim", "nvidia-nim"],
        formats: &[Format::Safetensors],
        without: &["aqlm", "bnb"],
    },
    Runtime {
        name: "tgi",
        aliases: &["text-generation-inference", "huggingface-tgi", "hf-tgi"],
        formats: &[Format::Safetensors],
        without: &["aqlm", "mxfp4", "nvfp4"],
    },
    Runtime {
        name: "triton",
        aliases: &["tritonserver", "triton-server", "nvidia-triton", "triton-inference-server"],
        formats: &[Format::Safetensors],
        without: &["aqlm", "bnb"],
    },
    Runtime {
        name: "vllm",
        aliases: &["vllm-openai", "vllm-server"],
        formats: &[Format::Safetensors, Format::Gguf],
        without: &[],
    },
];

/// A runtime as an object asks for it: `vllm`, `vllm:0.8.5`, `TGI@3.1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its one name; an unknown one as it was written, in lower case.
    pub name: String,
    /// Which version, if it says.
    pub version: Option<Version>,
}

/// Reads a runtime; `None` if the text cannot name one.
pub fn read(text: &str) -> Option<Wanted> {
    let lower = text.to_ascii_lowercase();
    let (name, version) = match lower.split_once([':', '@', '=']) {
        Some((name, version)) => (name, Some(version.trim_start_matches('=').parse().ok()?)),
        None => (lower.as_str(), None),
    };
    let possible = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > 63 || !name.chars().all(possible) {
        return None;
    }
    let name = known(name).map_or_else(|| name.to_owned(), |runtime| runtime.name.to_owned());
    Some(Wanted { name, version })
}

/// The runtime of that name, whichever of its names it is.
pub fn known(name: &str) -> Option<&'static Runtime> {
    KNOWN.iter().find(|runtime| runtime.name == name || runtime.aliases.contains(&name))
}

/// All of them, for a message.
pub fn list() -> String {
    KNOWN.iter().map(|runtime| runtime.name).collect::<Vec<_>>().join(", ")
}

impl Runtime {
    /// Whether it can serve weights that are stored so.
    pub fn serves(&self, quantisation: &Quantisation) -> bool {
        self.formats.contains(&quantisation.format) && !self.without.contains(&quantisation.scheme)
    }

    /// The formats that it reads, for a message.
    pub fn reads(&self) -> String {
        self.formats.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_to_the_same_one() {
        for (text, name, version) in [
            ("vllm", "vllm", None),
            ("vLLM:0.8.5", "vllm", Some("0.8.5")),
            ("text-generation-inference", "tgi", None),
            ("TGI@3.1", "tgi", Some("3.1")),
            ("vllm==0.8", "vllm", Some("0.8")),
            ("Llama-CPP", "llama.cpp", None),
            ("nvidia-triton", "triton", None),
            ("homemade", "homemade", None),
        ] {
            let wanted = read(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(wanted.name, name, "{text}");
            assert_eq!(wanted.version, version.map(|version| version.parse().unwrap()), "{text}");
        }
        for text in ["", ":1", "vllm:", "vllm:new", "a b"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_runtime_serves_the_formats_that_it_reads() {
        for (runtime, scheme, serves) in [
            ("vllm", "awq", true),
            ("vllm", "q4_k_m", true),
            ("vllm", "exl2", false),
            ("tgi", "gptq", true),
            ("tgi", "q4_k_m", false),
            ("ollama", "q4_k_m", true),
            ("ollama", "none", false),
            ("llama.cpp", "gguf-f16", true),
            ("tei", "none", true),
            ("tei", "awq", false),
        ] {
            let quantisation = Quantisation::named(scheme).unwrap();
            assert_eq!(known(runtime).unwrap().serves(&quantisation), serves, "{runtime} {scheme}");
        }
    }

    #[test]
    fn no_name_leads_to_two() {
        assert!(KNOWN.is_sorted_by_key(|runtime| runtime.name));
        for runtime in KNOWN {
            for name in runtime.aliases {
                assert_eq!(known(name).map(|found| found.name), Some(runtime.name), "{name}");
            }
        }
    }
}
