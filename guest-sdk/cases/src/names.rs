//! What objects are called on both sides, where a case gives no more than the prefix of a copy's names.

use resource_broker_plugin_types::NamePair;
use serde_json::Value;

/// The prefix of a copy's names where a case gives none.
pub const PREFIX: &str = "0123456789ab-";

/// The pairs that the broker would make: the copy itself, then each related resource that its status names, by key, each pair
/// once. A name without the prefix is the same on both sides.
pub fn names(copy: &Value, prefix: &str) -> Vec<NamePair> {
    let own = copy.pointer("/metadata/name").and_then(Value::as_str);
    let related = copy.pointer("/status/relatedResources").and_then(Value::as_object);
    let mut related: Vec<(&String, &Value)> = related.into_iter().flatten().collect();
    related.sort_by_key(|(key, _)| *key);
    let related = related.into_iter().filter_map(|(_, resource)| resource.get("name")?.as_str());
    let mut pairs: Vec<NamePair> = Vec::new();
    for copy in own.into_iter().chain(related).filter(|name| !name.is_empty()) {
        let consumer = copy.strip_prefix(prefix).filter(|rest| !rest.is_empty()).unwrap_or(copy);
        if pairs.iter().all(|pair| pair.copy != copy) {
            pairs.push(NamePair { consumer: consumer.to_owned(), copy: copy.to_owned() });
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_object_comes_first_then_its_related_resources_by_key_and_each_once() {
        let copy = json!({
            "metadata": {"name": "x-shop"},
            "status": {"relatedResources": {
                "c": {"name": "x-"},
                "b": {"name": "x-login"},
                "a": {"name": "plain"},
                "d": {"name": "x-login"},
                "e": {"name": 7},
                "f": null,
                "g": {"name": ""},
            }},
        });
        let pairs: Vec<String> =
            names(&copy, "x-").into_iter().map(|pair| format!("{}={}", pair.consumer, pair.copy)).collect();
        assert_eq!(pairs, ["shop=x-shop", "plain=plain", "login=x-login", "x-=x-"]);
        assert_eq!(names(&json!({"status": {"relatedResources": []}}), "x-"), []);
    }
}
