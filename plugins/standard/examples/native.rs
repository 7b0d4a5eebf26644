//! The standard filter without WebAssembly: what the sandbox is measured against. Reads `{"object", "offers", "seconds"}` from
//! standard input, judges for so long, and prints the mean time of a call in nanoseconds.

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use resource_broker_plugin_standard::Standard;
use resource_broker_sdk::{AcceptFilter as _, Document, Offer};
use serde_json::Value;

fn main() -> Result<(), Box<dyn Error>> {
    let input: Value = serde_json::from_reader(std::io::stdin())?;
    let object = input["object"].as_str().ok_or("object is the text of an object")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let offers: Vec<Offer> = list(&input["offers"])
        .iter()
        .map(|offer| Offer {
            provider: text(&offer["provider"]),
            name: text(&offer["name"]),
            filters: list(&offer["filters"]).iter().map(text).collect(),
        })
        .collect();
    let enough = Duration::from_secs_f64(input["seconds"].as_f64().ok_or("seconds is a number")?);
    let begun = Instant::now();
    let mut calls = 0_u32;
    while begun.elapsed() < enough {
        // As the host does for a call: the object comes as text.
        let object = Document::from(serde_json::from_str::<Value>(black_box(object))?);
        let verdicts = Standard::judge(&object, black_box(&offers)).map_err(|error| format!("{error:?}"))?;
        black_box(verdicts);
        calls += 1;
    }
    println!("{}", (begun.elapsed() / calls.max(1)).as_nanos());
    Ok(())
}
