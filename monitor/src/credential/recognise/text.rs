//! Reading the small text formats without copying what they hold.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::model::Timestamp;

/// The longest label, in characters.
const MAX_LABEL: usize = 160;

/// Public words as a label: one line, no control or direction characters, not too long.
pub(super) fn label(words: &str) -> Option<String> {
    let clean: String = words
        .chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        // Format characters could reorder or hide text on a terminal.
        .filter(|c| !c.is_control() && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'))
        .collect();
    let clean = clean.trim();
    if clean.is_empty() {
        return None;
    }
    Some(match clean.char_indices().nth(MAX_LABEL) {
        Some((end, _)) => format!("{}…", &clean[..end]),
        None => clean.to_owned(),
    })
}

/// One `key = value` of an INI file, with the section that it stands in.
pub(super) struct Setting<'a> {
    pub(super) section: &'a str,
    pub(super) key: &'a str,
    pub(super) value: &'a str,
}

/// The settings of an INI file, as AWS, OCI, npm and Python write them. What is no setting is
/// passed over.
pub(super) fn ini(text: &str) -> impl Iterator<Item = Setting<'_>> {
    let mut section = "";
    text.lines().filter_map(move |line| {
        let line = line.trim();
        if line.starts_with(['#', ';']) {
            return None;
        }
        if let Some(rest) = line.strip_prefix('[') {
            section = rest.split(']').next().unwrap_or("").trim();
            return None;
        }
        let (key, value) = line.split_once('=')?;
        Some(Setting {
            section,
            key: key.trim(),
            value: unquote(value.trim()),
        })
    })
}

/// Without one pair of quotes around it.
pub(super) fn unquote(text: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inner) = text
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote))
        {
            return inner;
        }
    }
    text
}

/// Whether a value stands for a secret that lies elsewhere (`${TOKEN}`, `<your token>`), or is
/// none.
pub(super) fn is_placeholder(value: &str) -> bool {
    value.len() < 4
        || value.starts_with("${")
        || value.starts_with("$(")
        || value.starts_with("{{")
        || value.starts_with('<') && value.ends_with('>')
        || value.starts_with("%(")
        || value
            .bytes()
            .all(|b| matches!(b, b'*' | b'x' | b'X' | b'.'))
}

/// The text of a JSON string, as it stands between the quotes. Escapes are left as they are: to
/// undo them would copy the secret into the parser's buffers, and writers agree on them.
pub(super) fn json_secret(value: Option<&RawValue>) -> Option<&str> {
    let inner = value?.get().strip_prefix('"')?.strip_suffix('"')?;
    (!is_placeholder(inner)).then_some(inner)
}

/// Reads JSON into a type that borrows its secrets as [`RawValue`]; `None` for what does not fit.
pub(super) fn json<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    serde_json::from_str(text).ok()
}

/// A public word in JSON.
pub(super) type Word<'a> = Option<Cow<'a, str>>;

/// The word, or nothing.
pub(super) fn word<'a>(word: &'a Word<'_>) -> &'a str {
    word.as_deref().unwrap_or("")
}

/// A time as RFC 3339 text.
pub(super) fn rfc3339(text: &str) -> Option<Timestamp> {
    let at: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(at.as_nanosecond()).ok().map(Timestamp)
}

/// One `key: value` line of block YAML.
pub(super) struct YamlLine<'a> {
    /// Spaces before the key; a `- ` counts as two.
    pub(super) indent: usize,
    /// Whether the line starts an item of a list.
    pub(super) item: bool,
    pub(super) key: &'a str,
    /// The plain or quoted value on the line; empty when there is none.
    pub(super) value: &'a str,
}

/// The keys of YAML in block style with values on the key's line, which is how kubectl, cloud
/// tools and gh write theirs. Anything else is passed over.
pub(super) fn yaml(text: &str) -> impl Iterator<Item = YamlLine<'_>> {
    text.lines().filter_map(|line| {
        let mut rest = line.trim_start_matches(' ');
        let mut indent = line.len() - rest.len();
        let mut item = false;
        while let Some(inner) = rest.strip_prefix("- ") {
            let inner_trimmed = inner.trim_start_matches(' ');
            indent += rest.len() - inner_trimmed.len();
            rest = inner_trimmed;
            item = true;
        }
        if rest.starts_with('#') {
            return None;
        }
        let (key, value) = match rest.split_once(": ") {
            Some(pair) => pair,
            None => (rest.trim_end().strip_suffix(':')?, ""),
        };
        let value = value.trim();
        // A comment needs a blank before it; a secret in quotes may have both.
        let value = if value.starts_with(['"', '\'']) {
            value
        } else {
            value.split(" #").next().unwrap_or("").trim_end()
        };
        Some(YamlLine {
            indent,
            item,
            key: unquote(key.trim()),
            value: unquote(value),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_one_safe_line() {
        assert_eq!(
            label(" ana\n@\u{1b}[31m\u{202e}host "),
            Some("ana @[31mhost".into())
        );
        assert_eq!(label("\u{7}\n"), None);
        assert_eq!(
            label(&"é".repeat(400)).unwrap().chars().count(),
            MAX_LABEL + 1
        );
    }

    #[test]
    fn yaml_lines_have_depth_and_items() {
        let lines: Vec<_> =
            yaml("a:\n- name: 'x y' \n  u:\n    token: \"t#1\" \n# c: d\nb: v # c\n")
                .map(|l| (l.indent, l.item, l.key, l.value))
                .collect();
        assert_eq!(
            lines,
            [
                (0, false, "a", ""),
                (2, true, "name", "x y"),
                (2, false, "u", ""),
                (4, false, "token", "t#1"),
                (0, false, "b", "v"),
            ]
        );
    }

    #[test]
    fn ini_knows_sections_comments_and_quotes() {
        let settings: Vec<_> = ini("k=0\n; c=d\n[ a b ]\nk = \"v=1\"\nnothing\n")
            .map(|s| (s.section, s.key, s.value))
            .collect();
        assert_eq!(settings, [("", "k", "0"), ("a b", "k", "v=1")]);
    }
}
