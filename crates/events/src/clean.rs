use std::borrow::Cow;

/// Text taken from a request is cut to this many bytes before it enters an event.
pub const MAX_TEXT_BYTES: usize = 512;

/// Makes text from outside safe to log: control, bidirectional and line-breaking characters become
/// U+FFFD, and what is longer than [`MAX_TEXT_BYTES`] is cut at a character. JSON escapes the rest.
pub fn clean(text: &str) -> String {
    cleaned(text).into_owned()
}

/// The same, copied only if something has to change.
pub(crate) fn cleaned(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_TEXT_BYTES && text.bytes().all(|b| b.is_ascii() && !b.is_ascii_control()) {
        return text.into();
    }
    let mut end = text.len().min(MAX_TEXT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end]
        .chars()
        .map(|c| if is_deceptive(c) { '\u{fffd}' } else { c })
        .collect::<String>()
        .into()
}

/// Characters that change how a log line reads without being seen (CWE-117, CVE-2021-42574).
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{61c}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_breaks_and_bidi_overrides_do_not_survive() {
        assert_eq!(clean("a\r\nb\u{202e}c\u{2028}"), "a\u{fffd}\u{fffd}b\u{fffd}c\u{fffd}");
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        let cut = clean(&"é".repeat(MAX_TEXT_BYTES));
        assert_eq!(cut.len(), MAX_TEXT_BYTES);
    }
}
