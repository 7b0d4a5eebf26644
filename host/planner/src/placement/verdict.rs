//! What a verdict says to people.

use resource_broker_plugin_types::Violation;

/// What one offer's reasons may have together, in bytes. There may be many offers, and one message has the reasons of all.
const MAX_REASONS: usize = 4 << 10;

/// Why an offer refuses, as one line: as many reasons as people can read, at least the first.
pub(crate) fn reasons(violations: &[Violation]) -> String {
    let mut size = 0;
    let fits = |violation: &&Violation| {
        size += violation.message.len();
        size <= MAX_REASONS
    };
    let shown = violations.iter().take_while(fits).count().max(1);
    let mut reasons: Vec<&str> = violations.iter().take(shown).map(|violation| violation.message.as_str()).collect();
    let more = violations.len().saturating_sub(shown);
    let rest = format!("and {more} more reasons");
    if more > 0 {
        reasons.push(&rest);
    }
    reasons.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_bounded_and_the_first_is_always_there() {
        let of = |count: usize, size: usize| reasons(&vec![Violation::new("key", "rule", "x".repeat(size)); count]);
        assert_eq!(of(3, 2), "xx; xx; xx");
        assert_eq!(of(1, 9 << 10).len(), 9 << 10);
        let many = of(1000, 1000);
        assert!(many.len() < 5 << 10 && many.ends_with("xxx; and 996 more reasons"), "{many}");
    }
}
