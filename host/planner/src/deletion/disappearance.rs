//! Objects that are gone without having been deleted: most of a consumer's at once are not believed to be.

/// So many objects of one kind may be gone at once and be believed.
const FEW: usize = 20;

/// Why nothing is taken down where `gone` of the `all` recorded objects of a kind in a consumer cluster are not there; `None`
/// where they are believed to be gone.
///
/// Objects leave through their finalizer. Where more than half are gone without, this is more likely another cluster, or one
/// that was restored from before their time.
pub fn doubt(kind: &str, gone: usize, all: usize) -> Option<String> {
    (gone > FEW && gone * 2 > all).then(|| {
        format!(
            "{gone} of {all} recorded {kind} objects are not there although none was deleted: is this still the same cluster? \
             If they are gone for good, delete their Assignments"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::doubt;

    #[test]
    fn most_of_many_are_not_believed_to_be_gone() {
        for (gone, all, is_doubted) in [
            (0, 0, false),
            (20, 20, false),
            (21, 21, true),
            (21, 41, true),
            (21, 42, false),
            (500, 1000, false),
            (501, 1000, true),
        ] {
            assert_eq!(doubt("Widget", gone, all).is_some(), is_doubted, "{gone} of {all}");
        }
        let why = doubt("Widget", 30, 40).unwrap_or_default();
        assert!(why.starts_with("30 of 40 recorded Widget objects are not there"), "{why}");
    }
}
