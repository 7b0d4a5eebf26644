//! What providers say, made fit to be written on: an API server refuses a whole status for one reason that is too long, and
//! the object's record with it. And what the broker says, made fit for those who own one object only.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use resource_broker_api::conditions::reason;
use serde_json::{Map, Value, json};

use crate::plan::text::{MAX_MESSAGE, clip};

/// The longest reason that a condition's schema takes (metav1.Condition).
const MAX_REASON: usize = 1024;
/// The longest type.
const MAX_TYPE: usize = 316;

/// Whether a condition's schema takes this reason.
pub(crate) fn is_reason(text: &str) -> bool {
    let word = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
    let (Some(first), Some(last)) = (text.bytes().next(), text.bytes().last()) else { return false };
    text.len() <= MAX_REASON
        && first.is_ascii_alphabetic()
        && word(last)
        && text.bytes().all(|c| word(c) || c == b',' || c == b':')
}

/// A reason that the schema takes, and the message, which gets what is no reason.
pub(crate) fn reason_and_message(said: &str, message: &str) -> (String, String) {
    if is_reason(said) {
        return (said.to_owned(), clip(message, MAX_MESSAGE));
    }
    let message = match (said.trim(), message.trim()) {
        ("", message) => message.to_owned(),
        (said, "") => said.to_owned(),
        (said, message) => format!("{message} (reason: {said})"),
    };
    (reason::REPORTED.into(), clip(&message, MAX_MESSAGE))
}

/// A provider's conditions as metav1.Condition has them: what is none goes, of two of one type the first stays, a field that
/// the schema would refuse is replaced. `before` are those that are shown now; `since` is when the object was made: a
/// condition that does not say since when it stands has stood as long as it was shown, or else since then.
pub(crate) fn conditions(said: Vec<Value>, before: &[Value], since: Option<&Time>) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::with_capacity(said.len());
    for condition in said {
        let Value::Object(fields) = condition else { continue };
        let Some(type_) = fields.get("type").and_then(Value::as_str).map(str::to_owned) else { continue };
        if type_.is_empty() || type_.len() > MAX_TYPE || all.iter().any(|other| other["type"] == type_.as_str()) {
            continue;
        }
        let shown = before.iter().find(|other| other["type"] == type_.as_str());
        if shown.and_then(Value::as_object) == Some(&fields) {
            // It may be somebody else's, who has a schema of their own in mind.
            all.push(Value::Object(fields));
            continue;
        }
        all.push(Value::Object(condition_of(fields, shown, since)));
    }
    all
}

fn condition_of(mut fields: Map<String, Value>, shown: Option<&Value>, since: Option<&Time>) -> Map<String, Value> {
    let text = |value: Option<&Value>| match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let status = text(fields.get("status"));
    let mut message = text(fields.get("message"));
    if !["True", "False", "Unknown"].contains(&status.as_str()) {
        if !status.is_empty() {
            message.push_str(if message.is_empty() { "" } else { " " });
            message = message + "(status: " + &status + ")";
        }
        fields.insert("status".into(), "Unknown".into());
    }
    let (reason, message) = reason_and_message(&text(fields.get("reason")), &message);
    fields.insert("reason".into(), reason.into());
    fields.insert("message".into(), message.into());
    let is_time =
        |value: Option<&Value>| value.and_then(Value::as_str).is_some_and(|at| at.parse::<Timestamp>().is_ok());
    if !is_time(fields.get("lastTransitionTime")) {
        let stood = shown.filter(|shown| shown["status"] == fields["status"]).map(|shown| &shown["lastTransitionTime"]);
        let at = match stood.filter(|at| is_time(Some(at))) {
            Some(at) => at.clone(),
            None => json!(since.cloned().unwrap_or(Time(Timestamp::UNIX_EPOCH))),
        };
        fields.insert("lastTransitionTime".into(), at);
    }
    // Less than none says nothing, and the schema refuses it.
    if fields.get("observedGeneration").is_some_and(|seen| seen.as_i64().is_none_or(|seen| seen < 0)) {
        fields.remove("observedGeneration");
    }
    fields
}

/// A text without what concerns only those who run the broker: the paths of requests, and its own clusters.
pub(crate) fn outward(text: &str) -> String {
    let own = ["coordination#", "compute#"];
    let neutral = |cluster: &str| match cluster {
        "coordination#" => "the broker cannot read or write its own records now; its operator has the details",
        _ => "the broker's compute cluster has a problem; the broker's operator has the details",
    };
    let mut shown = without_paths(text);
    for cluster in own {
        let Some(at) = shown.find(cluster) else { continue };
        let end = shown[at..].find("; ").map_or(shown.len(), |end| at + end);
        shown.replace_range(at..end, neutral(cluster));
    }
    shown
}

/// `CLUSTER: VERB /PATH: what` is `CLUSTER: what`.
fn without_paths(text: &str) -> String {
    const VERBS: [&str; 8] = ["get", "list", "create", "update", "patch", "apply", "delete", "watch"];
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(": ") {
        let (head, tail) = rest.split_at(at + 2);
        shown.push_str(head);
        rest = tail;
        let request = VERBS.iter().find_map(|verb| tail.strip_prefix(verb)?.strip_prefix(" /"));
        if let Some(path) = request {
            rest = path.find(": ").map_or("", |end| &path[end + 2..]);
        }
    }
    shown.push_str(rest);
    shown
}

/// A text without the addresses of servers.
pub(crate) fn without_addresses(text: &str) -> String {
    let is_address = |word: &str| {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let port = bare.rsplit_once(':').is_some_and(|(host, port)| {
            host.split('.').count() == 4
                && host.bytes().all(|c| c.is_ascii_digit() || c == b'.')
                && port.parse::<u16>().is_ok()
        });
        word.contains("://") || port
    };
    let words = text.split(' ').map(|word| match word {
        word if is_address(word) => {
            let end = word.len() - word.trim_end_matches([':', ',', ';']).len();
            format!("(an address){}", &word[word.len() - end..])
        }
        word => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_those_that_the_schema_takes() {
        for (text, is) in [
            ("Available", true),
            ("A", true),
            ("a1_b,c:d", true),
            ("", false),
            ("1a", false),
            ("not ready", false),
            ("ends:", false),
            ("é", false),
            ("_a", false),
        ] {
            assert_eq!(is_reason(text), is, "{text}");
        }
        assert!(is_reason(&"a".repeat(MAX_REASON)) && !is_reason(&"a".repeat(MAX_REASON + 1)));
    }

    #[test]
    fn what_is_no_reason_goes_into_the_message() {
        let long = "R".repeat(2000);
        for (said, message, expected) in [
            ("Fine", "well", ("Fine", "well".to_owned())),
            ("", "well", ("Reported", "well".to_owned())),
            ("not so", "", ("Reported", "not so".to_owned())),
            ("not so", "well", ("Reported", "well (reason: not so)".to_owned())),
            (long.as_str(), "well", ("Reported", format!("well (reason: {long})"))),
        ] {
            let (reason, text) = reason_and_message(said, message);
            assert_eq!((reason.as_str(), text), expected);
        }
        let (_, message) = reason_and_message("Fine", &"ä".repeat(MAX_MESSAGE));
        assert!(message.len() <= MAX_MESSAGE);
    }

    /// What the broker's own schemas, which are metav1.Condition's, take.
    fn is_taken(condition: &Value) -> bool {
        let text = |name: &str| condition[name].as_str();
        let time = text("lastTransitionTime").is_some_and(|at| at.parse::<Timestamp>().is_ok());
        let generation = &condition["observedGeneration"];
        text("type").is_some_and(|it| !it.is_empty() && it.len() <= MAX_TYPE)
            && text("status").is_some_and(|it| ["True", "False", "Unknown"].contains(&it))
            && text("reason").is_some_and(is_reason)
            && text("message").is_some_and(|it| it.len() <= MAX_MESSAGE)
            && time
            && (generation.is_null() || generation.as_i64().is_some_and(|it| it >= 0))
    }

    #[test]
    fn any_value_in_any_field_of_a_condition_becomes_one_that_is_taken() {
        let odd = [
            json!(null),
            json!(1),
            json!(-1),
            json!(1.5),
            json!(true),
            json!(""),
            json!("True"),
            json!("nearly"),
            json!("x".repeat(40_000)),
            json!(["a"]),
            json!({"a": {"b": 1}}),
            json!("\u{0}"),
            json!("2026-01-01T00:00:00Z"),
            json!("yesterday"),
        ];
        let whole = json!({
            "type": "Issued", "status": "True", "reason": "Fine", "message": "well", "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        assert_eq!(
            conditions(vec![whole.clone()], &[], None),
            std::slice::from_ref(&whole),
            "a good one is not touched"
        );
        for field in ["type", "status", "reason", "message", "observedGeneration", "lastTransitionTime"] {
            for value in odd.iter().map(Some).chain([None]) {
                let mut condition = whole.clone();
                let fields = condition.as_object_mut().unwrap();
                match value {
                    Some(value) => fields.insert(field.into(), value.clone()),
                    None => fields.remove(field),
                };
                let once = conditions(vec![condition], &[], None);
                assert!(once.iter().all(is_taken), "{field}: {value:?}: {once:?}");
                assert_eq!(
                    conditions(once.clone(), &once, None),
                    once,
                    "{field}: {value:?}: not the same a second time"
                );
            }
        }
    }

    #[test]
    fn of_two_of_one_type_the_first_stays_and_what_is_no_condition_goes() {
        let of = |type_: &str, reason: &str| json!({"type": type_, "status": "True", "reason": reason, "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let said = vec![json!("text"), of("A", "One"), json!(null), of("A", "Two"), of("B", "Three"), json!([])];
        assert_eq!(conditions(said, &[], None), [of("A", "One"), of("B", "Three")]);
    }

    #[test]
    fn a_condition_without_a_time_keeps_the_one_that_is_shown() {
        let said = || vec![json!({"type": "A", "status": "True"})];
        let since = Time("2026-02-02T00:00:00Z".parse().unwrap());
        let first = conditions(said(), &[], Some(&since));
        assert_eq!(first[0]["lastTransitionTime"], "2026-02-02T00:00:00Z");
        let shown = json!({"type": "A", "status": "True", "lastTransitionTime": "2026-03-03T00:00:00Z"});
        assert_eq!(conditions(said(), &[shown], Some(&since))[0]["lastTransitionTime"], "2026-03-03T00:00:00Z");
    }

    #[test]
    fn owners_of_objects_do_not_see_the_brokers_own_clusters_and_paths() {
        for (text, expected) in [
            (
                "the copy at provider#a shows generation 2 of this object",
                "the copy at provider#a shows generation 2 of this object",
            ),
            (
                "provider#a: apply /apis/g.io/v1/namespaces/n/things/x: 422 Invalid: spec.a: too long",
                "provider#a: 422 Invalid: spec.a: too long",
            ),
            (
                "coordination#hub: patch /apis/b/v1/namespaces/broker-system/assignments/x: 403 Forbidden: User \"broker\" cannot",
                "the broker cannot read or write its own records now; its operator has the details",
            ),
            (
                "nothing is torn down; Migrations cannot be read: coordination#hub: list /apis/b/v1/migrations: no answer within 10 s; later",
                "nothing is torn down; Migrations cannot be read: the broker cannot read or write its own records now; its operator \
                 has the details; later",
            ),
            ("provider#a: get /version", "provider#a: "),
            ("spec.path: list of /a: b", "spec.path: list of /a: b"),
        ] {
            assert_eq!(outward(text), expected, "{text}");
        }
    }

    #[test]
    fn addresses_of_servers_stay_inside() {
        let text = "failed calling webhook \"w\": Post \"https://w.sys.svc:443/v?t=1\": dial tcp 10.0.0.1:443: refused at 10:42";
        let expected = "failed calling webhook \"w\": Post (an address): dial tcp (an address): refused at 10:42";
        assert_eq!(without_addresses(text), expected);
    }
}
