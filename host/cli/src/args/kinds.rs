//! Kinds as they are written in flags, `Kind.version.group`, and the names that they are made of.

use std::collections::HashSet;

use kube::core::GroupVersionKind;

use super::{Result, UsageError, usage};
use crate::values::{is_dns_label, is_dns_name};

pub(super) fn kinds(flag: &str, given: &[String]) -> Result<Vec<GroupVersionKind>> {
    let mut seen = HashSet::new();
    let mut kinds = Vec::new();
    for text in given {
        let kind = kind(text).map_err(|what| UsageError(format!("{flag}={text}: {what}")))?;
        if !seen.insert(kind.clone()) {
            return usage(format!("{flag}={text}: given twice; leave one out"));
        }
        kinds.push(kind);
    }
    Ok(kinds)
}

/// Reads `Kind.version.group`.
fn kind(text: &str) -> std::result::Result<GroupVersionKind, String> {
    const FORM: &str = "write it Kind.version.group, as ConfigMap.v1.core";
    let mut parts = text.splitn(3, '.');
    let (Some(kind), Some(version), Some(group)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(format!("version or group is missing; {FORM}"));
    };
    if !kind.starts_with(|first: char| first.is_ascii_uppercase()) || !kind.chars().all(|c| c.is_ascii_alphanumeric()) {
        return Err(format!("{kind:?} is not a kind, which begins with a capital letter; {FORM}"));
    }
    if !is_version(version) {
        return Err(format!("{version:?} is not a version such as v1 or v1alpha1; {FORM}"));
    }
    if !is_dns_name(group) {
        return Err(format!("{group:?} is not an API group; {FORM}"));
    }
    let group = if group == "core" { "" } else { group };
    Ok(GroupVersionKind::gvk(group, version, kind))
}

/// `v1`, `v2beta3`, and whatever else may stand in a CRD: a DNS label that begins with a letter.
fn is_version(text: &str) -> bool {
    is_dns_label(text) && text.starts_with('v') && text[1..].starts_with(|c: char| c.is_ascii_digit())
}
