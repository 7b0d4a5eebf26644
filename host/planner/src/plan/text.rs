//! How long texts may be that people see, and how they are cut.

/// The longest message that a condition's schema takes (metav1.Condition).
pub(crate) const MAX_MESSAGE: usize = 32_768;

/// At most `max` bytes of a text, saying so where something is left out.
pub fn clip(text: &str, max: usize) -> String {
    const MORE: &str = " … (cut)";
    if text.len() <= max {
        return text.into();
    }
    let mut end = max - MORE.len();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{MORE}", &text[..end])
}

/// The longest message that an Event's schema takes.
pub(crate) const MAX_EVENT: usize = 1024;
