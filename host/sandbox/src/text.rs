//! Words of a stranger made fit to be shown.

/// `text` on one line without control characters, and at most `limit` characters long.
pub(crate) fn clean(text: &str, limit: usize) -> String {
    let mut cleaned = String::with_capacity(text.len().min(limit));
    for (count, character) in text.trim_end().chars().enumerate() {
        if count == limit {
            cleaned.push('…');
            break;
        }
        cleaned.push(match character {
            '\n' | '\r' | '\t' => ' ',
            character if is_deceptive(character) => '\u{fffd}',
            character => character,
        });
    }
    cleaned
}

/// Control characters, among them those of terminals, and the invisible ones that reorder or break lines.
fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_the_cursor_or_hides() {
        let hostile = "a\u{1b}[2Jb\nc\u{0}d\u{202e}e\u{9b}f\u{2028}g\u{200b}h";
        assert_eq!(clean(hostile, 100), "a\u{fffd}[2Jb c\u{fffd}d\u{fffd}e\u{fffd}f\u{fffd}g\u{fffd}h");
        for hidden in ['\u{ad}', '\u{61c}', '\u{180e}', '\u{feff}', '\u{fffa}', '\u{e0041}'] {
            assert_eq!(clean(&format!("a{hidden}b"), 100), "a\u{fffd}b", "{hidden:?}");
        }
    }

    #[test]
    fn characters_are_counted_not_bytes() {
        assert_eq!(clean("üüü", 3), "üüü");
        assert_eq!(clean("üüüü", 3), "üüü…");
        assert_eq!(clean("line\n", 10), "line");
        assert_eq!(clean("", 0), "");
    }
}
