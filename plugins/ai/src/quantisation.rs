//! How a model's weights are stored: by which scheme, and with how many bits each.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// The file format that weights come in, which decides what can serve them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Safetensors, as repositories of models have them.
    Safetensors,
    /// llama.cpp's single file.
    Gguf,
    /// Apple's.
    Mlx,
    /// `ExLlama`'s.
    Exl,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Safetensors => "safetensors",
            Self::Gguf => "GGUF",
            Self::Mlx => "MLX",
            Self::Exl => "EXL2",
        })
    }
}

/// A way of storing weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantisation {
    /// The scheme in lower case: `awq`, `q4_k_m`; `none` for weights of 16 bits as they were published.
    pub scheme: &'static str,
    /// Bits for one weight, with the scheme's own scales, in hundredths.
    pub centibits: u32,
    /// What the weights come in.
    pub format: Format,
}

/// As published, with 16 bits a weight.
pub const NONE: Quantisation = Quantisation { scheme: "none", centibits: 1_600, format: Format::Safetensors };

/// Every scheme, with the words that name it in a model's id. Schemes with scales for each group of weights have these
/// counted in. The figures for GGUF are those of a Llama 3.1 of 8 billion parameters: smaller models have up to a tenth more.
const SCHEMES: &[(&str, &[&str], u32, Format)] = &[
    ("none", &["none", "bf16", "fp16", "float16", "bfloat16"], 1_600, Format::Safetensors),
    ("fp32", &["float32"], 3_200, Format::Safetensors),
    ("fp8", &["fp8", "float8", "w8a8fp8"], 800, Format::Safetensors),
    ("int8", &["int8", "w8a8", "w8a16", "8bit", "eetq"], 800, Format::Safetensors),
    ("int4", &["int4", "w4a16", "w4a8", "4bit", "marlin", "hqq"], 425, Format::Safetensors),
    ("awq", &["awq"], 425, Format::Safetensors),
    ("gptq", &["gptq"], 425, Format::Safetensors),
    ("autoround", &["autoround"], 425, Format::Safetensors),
    ("bnb", &["bnb", "bitsandbytes", "nf4", "qlora"], 450, Format::Safetensors),
    ("mxfp4", &["mxfp4"], 425, Format::Safetensors),
    ("nvfp4", &["nvfp4", "fp4"], 450, Format::Safetensors),
    ("aqlm", &["aqlm"], 225, Format::Safetensors),
    ("mlx", &["mlx"], 450, Format::Mlx),
    ("exl2", &["exl2", "exl3"], 425, Format::Exl),
    ("gguf-f16", &["f16"], 1_600, Format::Gguf),
    ("gguf-f32", &["f32"], 3_200, Format::Gguf),
    ("iq1_s", &["iq1_s"], 200, Format::Gguf),
    ("iq1_m", &["iq1_m"], 215, Format::Gguf),
    ("iq2_xxs", &["iq2_xxs"], 238, Format::Gguf),
    ("iq2_xs", &["iq2_xs"], 259, Format::Gguf),
    ("iq2_s", &["iq2_s"], 274, Format::Gguf),
    ("iq2_m", &["iq2_m"], 293, Format::Gguf),
    ("iq3_xxs", &["iq3_xxs"], 325, Format::Gguf),
    ("iq3_xs", &["iq3_xs"], 350, Format::Gguf),
    ("iq3_s", &["iq3_s"], 366, Format::Gguf),
    ("iq3_m", &["iq3_m"], 376, Format::Gguf),
    ("iq4_xs", &["iq4_xs"], 446, Format::Gguf),
    ("iq4_nl", &["iq4_nl"], 468, Format::Gguf),
    ("q2_k_s", &["q2_k_s"], 297, Format::Gguf),
    ("q2_k", &["q2_k", "q2_k_l"], 316, Format::Gguf),
    ("q3_k_s", &["q3_k_s"], 364, Format::Gguf),
    ("q3_k_m", &["q3_k_m", "q3_k"], 400, Format::Gguf),
    ("q3_k_l", &["q3_k_l", "q3_k_xl"], 430, Format::Gguf),
    ("q4_0", &["q4_0"], 467, Format::Gguf),
    ("q4_1", &["q4_1"], 513, Format::Gguf),
    ("q4_k_s", &["q4_k_s"], 467, Format::Gguf),
    ("q4_k_m", &["q4_k_m", "q4_k", "q4_k_l", "q4_k_xl"], 489, Format::Gguf),
    ("q5_0", &["q5_0"], 559, Format::Gguf),
    ("q5_1", &["q5_1"], 606, Format::Gguf),
    ("q5_k_s", &["q5_k_s"], 557, Format::Gguf),
    ("q5_k_m", &["q5_k_m", "q5_k", "q5_k_l"], 570, Format::Gguf),
    ("q6_k", &["q6_k", "q6_k_l"], 656, Format::Gguf),
    ("q8_0", &["q8_0", "q8"], 850, Format::Gguf),
];

/// Words that say the bits of a scheme that comes with several: `GPTQ-Int8`, `mlx-6bit`, `bnb-4bit`, `exl2-5.0bpw`.
const WIDTHS: &[(&str, u32)] = &[
    ("int2", 225),
    ("2bit", 225),
    ("int3", 325),
    ("3bit", 325),
    ("5bit", 550),
    ("6bit", 650),
    ("int8", 800),
    ("8bit", 800),
    ("w8a16", 800),
];

impl Quantisation {
    /// What the words of a model's id, in lower case, say about its weights; `None` if they say nothing.
    pub fn of_words(words: &[&str]) -> Option<Self> {
        // A word such as `int8` is a scheme of its own only where no word names another.
        let named = |word: &&str| Self::named(word).filter(|found| found.scheme != "int8" && found.scheme != "int4");
        let scheme = words.iter().find_map(named).or_else(|| words.iter().find_map(|word| Self::named(word)));
        let Some(mut found) = scheme else {
            // The file's type is all that is said; four bits is what is mostly taken.
            return words.contains(&"gguf").then(|| Self::named("q4_k_m")).flatten();
        };
        let width = words.iter().find_map(|word| WIDTHS.iter().find(|(name, _)| name == word));
        if let Some((_, centibits)) = width
            && matches!(found.scheme, "gptq" | "awq" | "bnb" | "mlx" | "exl2" | "autoround")
        {
            found.centibits = *centibits;
        }
        Some(found)
    }

    /// The scheme that one word names.
    pub fn named(word: &str) -> Option<Self> {
        SCHEMES
            .iter()
            .find(|(scheme, words, ..)| *scheme == word || words.contains(&word))
            .map(|(scheme, _, centibits, format)| Self { scheme, centibits: *centibits, format: *format })
    }
}

impl fmt::Display for Quantisation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.centibits / 100, self.centibits % 100);
        let bits = if fraction == 0 { whole.to_string() } else { format!("{whole}.{fraction:02}") };
        match self.scheme {
            "none" => write!(f, "unquantised ({bits} bits)"),
            scheme => write!(f, "{scheme} ({bits} bits)"),
        }
    }
}

/// One entry of an offer's list: a scheme, or `gguf` for all that llama.cpp reads.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Accepted {
    /// All that come as GGUF.
    AnyGguf,
    /// The scheme of these, whatever its width.
    Scheme(Quantisation),
}

impl Accepted {
    /// Whether the entry takes weights that are stored so.
    pub fn takes(&self, quantisation: &Quantisation) -> bool {
        match self {
            Self::AnyGguf => quantisation.format == Format::Gguf,
            Self::Scheme(of) => quantisation.scheme == of.scheme,
        }
    }
}

impl FromStr for Accepted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let word = text.to_ascii_lowercase();
        if word == "gguf" {
            return Ok(Self::AnyGguf);
        }
        Quantisation::named(&word).map(Self::Scheme).ok_or_else(|| {
            let known: Vec<&str> = SCHEMES.iter().map(|(scheme, ..)| *scheme).collect();
            format!("{text:?} is no way of storing weights; known are gguf, {}", known.join(", "))
        })
    }
}

impl TryFrom<String> for Accepted {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AnyGguf => "gguf",
            Self::Scheme(of) => of.scheme,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_a_scheme_and_its_width() {
        for (words, scheme, centibits) in [
            (vec!["awq"], "awq", 425),
            (vec!["gptq", "int8"], "gptq", 800),
            (vec!["int8", "gptq"], "gptq", 800),
            (vec!["bnb", "4bit"], "bnb", 450),
            (vec!["bnb", "8bit"], "bnb", 800),
            (vec!["w4a16"], "int4", 425),
            (vec!["w8a8"], "int8", 800),
            (vec!["fp8", "dynamic"], "fp8", 800),
            (vec!["q4_k_m", "gguf"], "q4_k_m", 489),
            (vec!["gguf"], "q4_k_m", 489),
            (vec!["bf16"], "none", 1_600),
            (vec!["mlx", "6bit"], "mlx", 650),
        ] {
            let found = Quantisation::of_words(&words).unwrap_or_else(|| panic!("{words:?}"));
            assert_eq!((found.scheme, found.centibits), (scheme, centibits), "{words:?}");
        }
        assert_eq!(Quantisation::of_words(&["instruct", "70b"]), None);
    }

    #[test]
    fn no_word_names_two_schemes() {
        for (scheme, words, ..) in SCHEMES {
            for word in *words {
                assert_eq!(Quantisation::named(word).map(|found| found.scheme), Some(*scheme), "{word}");
            }
        }
    }

    #[test]
    fn lists_speak_of_schemes_and_of_gguf_as_a_whole() {
        let accepted = |text: &str| text.parse::<Accepted>();
        let q4 = Quantisation::named("q4_k_m").unwrap();
        assert!(accepted("GGUF").unwrap().takes(&q4));
        assert!(accepted("q4_k_m").unwrap().takes(&q4));
        assert!(!accepted("awq").unwrap().takes(&q4));
        assert!(accepted("bf16").unwrap().takes(&NONE));
        assert!(accepted("q9").unwrap_err().contains("known are gguf, none"));
    }
}
