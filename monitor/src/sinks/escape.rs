//! Makes text from the monitored host harmless: a path may hold a newline, a terminal's escape
//! sequence, or marks that turn the reading direction around.

use std::borrow::Cow;

/// Writes what cannot be seen, or changes how other text is seen, as an escape such as `\n` or
/// `\u{1b}`. All else, backslashes included, is left as it is.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(hides) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if hides(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// Control characters; Unicode's line and paragraph separators; its marks of direction
/// (UAX #9), as in CVE-2021-42574; invisible characters of no width; the byte order mark.
fn hides(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{2028}' | '\u{2029}'
            | '\u{061c}' | '\u{200e}' | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{200b}'..='\u{200d}'
            | '\u{feff}')
}

/// At most `limit` bytes of a text, cut between characters, with `…` where something was cut.
pub(super) fn clipped(text: &str, limit: usize) -> Cow<'_, str> {
    const MARK: &str = "…";
    if text.len() <= limit {
        return Cow::Borrowed(text);
    }
    let mut end = limit.saturating_sub(MARK.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Cow::Owned(text.get(..end).unwrap_or_default().to_owned() + MARK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_hides_is_escaped() {
        assert_eq!(visible("/srv/ключ \\ \"ü\""), "/srv/ключ \\ \"ü\"");
        assert_eq!(visible("a\nb\x1b[31m\0"), "a\\nb\\u{1b}[31m\\u{0}");
        assert_eq!(visible("\u{9b}2J\u{202e}gpj"), "\\u{9b}2J\\u{202e}gpj");
    }

    #[test]
    fn clipping_keeps_characters_whole() {
        assert_eq!(clipped("äöü", 6), "äöü");
        assert_eq!(clipped("äöüäöü", 6), "ä…");
        assert_eq!(clipped("äöü", 0), "…");
    }
}
