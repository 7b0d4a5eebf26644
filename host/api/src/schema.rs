//! Pieces of `OpenAPI` schema that the derive cannot say: Kubernetes list types, free objects, quantities.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::gvk::GroupVersionKind;

/// A list of conditions, one of each type, with the limits that `metav1.Condition` has.
pub(crate) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "type": {
                    "type": "string",
                    "description": "What the condition is about, in CamelCase.",
                    "maxLength": 316,
                    "minLength": 1,
                },
                "status": {
                    "type": "string",
                    "description": "Whether it holds.",
                    "enum": ["True", "False", "Unknown"],
                },
                "reason": {
                    "type": "string",
                    "description": "Why, as one CamelCase word for programs.",
                    "maxLength": 1024,
                    "minLength": 1,
                },
                "message": {
                    "type": "string",
                    "description": "Why, as a sentence for people.",
                    "maxLength": 32768,
                },
                "lastTransitionTime": {
                    "type": "string",
                    "description": "When the status changed last.",
                    "format": "date-time",
                },
                "observedGeneration": {
                    "type": "integer",
                    "description": "The metadata.generation that the condition speaks of.",
                    "format": "int64",
                    "minimum": 0,
                },
            },
        },
    })
}

/// What each broker makes of an offer: a list map by id, so that none takes another's entry away.
pub(crate) fn brokers(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["id"],
        "items": {
            "type": "object",
            "required": ["id"],
            "properties": {
                "id": { "type": "string", "description": "The broker's id.", "minLength": 1 },
                "objects": {
                    "type": "integer",
                    "description": "How many of its consumers' objects the offer holds.",
                    "format": "int64",
                    "minimum": 0,
                },
                "valid": {
                    "type": "string",
                    "description": "Whether the offer makes sense to it: True, False or Unknown.",
                },
                "message": { "type": "string", "description": "Why, as a sentence for people." },
            },
        },
    })
}

/// A moment.
pub(crate) fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time" })
}

/// How often: a number that is not negative.
pub(crate) fn count(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int32", "minimum": 0 })
}

/// A kind of which version and kind are said. Its group may be empty, which is the core group.
pub(crate) fn named_kind(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = GroupVersionKind::json_schema(generator);
    for field in ["version", "kind"] {
        if let Some(said) = schema.pointer_mut(&format!("/properties/{field}")).and_then(|said| said.as_object_mut()) {
            said.insert("minLength".to_owned(), 1.into());
        }
    }
    schema
}

/// An object whose fields are nobody's business here.
pub(crate) fn free_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// A map from names to free objects.
pub(crate) fn free_objects_by_name(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "additionalProperties": free_object(generator) })
}

/// A list of free objects.
pub(crate) fn free_objects(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": free_object(generator) })
}

/// An amount of at least one: a number in the field's own unit, or a Kubernetes quantity such as `500Gi`.
pub(crate) fn amount(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-int-or-string": true,
        "minimum": 1,
        "pattern": r"^[0-9]+(\.[0-9]+)?([KMGTPE]i|[kMGTPE])?$",
    })
}
