//! Digests, by which a pass knows its own last write again.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// A digest of a JSON value: equal values have equal digests, whatever the order of their keys.
pub fn of(value: &Value) -> String {
    let mut hash = Sha256::new();
    feed(&mut hash, value);
    hex::encode(&hash.finalize()[..16])
}

fn feed(hash: &mut Sha256, value: &Value) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_unstable();
            hash.update(b"{");
            for key in keys {
                feed_text(hash, key);
                feed(hash, &map[key.as_str()]);
            }
            hash.update(b"}");
        }
        Value::Array(items) => {
            hash.update(b"[");
            for item in items {
                feed(hash, item);
            }
            hash.update(b"]");
        }
        Value::String(text) => feed_text(hash, text),
        other => {
            hash.update(b"#");
            feed_text(hash, &other.to_string());
        }
    }
}

fn feed_text(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_be_bytes());
    hash.update(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn equal_values_have_equal_digests_and_others_do_not() {
        assert_eq!(of(&json!({"a": 1, "b": [true, null]})), of(&json!({"b": [true, null], "a": 1})));
        for (one, two) in [(json!("1"), json!(1)), (json!(["ab"]), json!(["a", "b"])), (json!({}), json!([]))] {
            assert_ne!(of(&one), of(&two));
        }
    }
}
