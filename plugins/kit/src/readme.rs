//! For a plugin's own tests: whether the YAML that its README shows is what the plugin takes.

use resource_broker_sdk::{AcceptFilter, Document, Error, MigrationTemplate};
use serde_json::Value;

/// What is wrong with a README's offers (documents of the kind `AcceptAPI`) and settings (those without a kind); a README
/// without one of each is wrong as well.
pub fn problems<P: AcceptFilter>(readme: &str) -> Vec<String> {
    let (documents, mut problems) = documents(readme);
    let (mut offers, mut settings) = (0, 0);
    for document in &documents {
        let judged = match document["kind"].as_str() {
            Some("AcceptAPI") => {
                offers += 1;
                let filters = document["spec"]["filters"].as_array().map(Vec::as_slice).unwrap_or_default();
                P::validate(&filters.iter().map(Value::to_string).collect::<Vec<_>>())
            }
            Some(_) => Ok(()),
            None => {
                settings += 1;
                P::validate_settings(&document.to_string())
            }
        };
        problems.extend(refusal(document, judged));
    }
    for (what, count) in [("offer", offers), ("settings", settings)] {
        if count == 0 {
            problems.push(format!("the README has no example of {what}"));
        }
    }
    problems
}

/// What is wrong with a README's documents of the kind `MigrationConfiguration`; one without any is wrong as well.
pub fn migration_problems<P: MigrationTemplate>(readme: &str) -> Vec<String> {
    let (documents, mut problems) = documents(readme);
    let of_kind = documents.iter().filter(|document| document["kind"] == "MigrationConfiguration");
    let configurations: Vec<&Value> = of_kind.collect();
    for configuration in &configurations {
        problems.extend(refusal(configuration, P::validate(&Document::from(&configuration["spec"]))));
    }
    if configurations.is_empty() {
        problems.push("the README has no example of a MigrationConfiguration".to_owned());
    }
    problems
}

fn refusal(document: &Value, judged: Result<(), Error>) -> Option<String> {
    judged.err().map(|error| format!("{error}, in {document}"))
}

/// The blocks of YAML, and what cannot be read of them.
fn documents(readme: &str) -> (Vec<Value>, Vec<String>) {
    let (mut documents, mut problems) = (Vec::new(), Vec::new());
    for block in readme.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()) {
        match serde_yaml::from_str(block) {
            Ok(document) => documents.push(document),
            Err(error) => problems.push(format!("{error}, in {block}")),
        }
    }
    (documents, problems)
}
