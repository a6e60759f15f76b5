//! PEM (RFC 7468 and the older RFC 1421), read leniently and without leaving copies: blocks may
//! stand in other text, be indented, or have their line ends escaped as in JSON and .env files.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use memchr::memmem;
use zeroize::Zeroizing;

/// At most so many blocks are read of one file; the largest bundles of authorities have 150.
const MAX_BLOCKS: usize = 512;
const BEGIN: &[u8] = b"-----BEGIN ";
const DASHES: &[u8] = b"-----";

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// One decoded block.
pub(super) struct Block<'a> {
    /// `RSA PRIVATE KEY`
    pub(super) label: &'a str,
    /// What the base64 says.
    pub(super) der: Zeroizing<Vec<u8>>,
    /// Whether a header says that the content is encrypted.
    pub(super) encrypted: bool,
}

/// The well-formed blocks of a file.
pub(super) fn blocks(bytes: &[u8]) -> Vec<Block<'_>> {
    let mut found = Vec::new();
    let mut rest = bytes;
    while found.len() < MAX_BLOCKS
        && let Some(start) = memmem::find(rest, BEGIN)
    {
        rest = &rest[start + BEGIN.len()..];
        let Some(end) = memmem::find(rest, DASHES) else {
            break;
        };
        let Some(label) = std::str::from_utf8(&rest[..end]).ok().filter(|label| {
            label.len() <= 64
                && label
                    .bytes()
                    .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b' ')
        }) else {
            continue;
        };
        let body = &rest[end + DASHES.len()..];
        // The end line must be of the same label: it is the next line of dashes.
        let Some(close) = memmem::find(body, DASHES) else {
            break;
        };
        let same = body[close + DASHES.len()..]
            .strip_prefix(b"END ")
            .and_then(|tail| tail.strip_prefix(label.as_bytes()))
            .is_some_and(|tail| tail.starts_with(DASHES));
        if same && let Some((der, encrypted)) = decode(&body[..close]) {
            found.push(Block {
                label,
                der,
                encrypted,
            });
        }
        rest = &body[close..];
    }
    found
}

/// The body without headers and line ends, decoded.
fn decode(body: &[u8]) -> Option<(Zeroizing<Vec<u8>>, bool)> {
    let encrypted = memmem::find(body, b"4,ENCRYPTED").is_some();
    // Headers end with an empty line; only they have a colon, which base64 has not.
    let body = match memchr::memrchr(b':', body) {
        Some(colon) => &body[colon + memchr::memchr(b'\n', &body[colon..])?..],
        None => body,
    };
    let mut digits = Zeroizing::new(Vec::with_capacity(body.len()));
    let mut bytes = body.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                if !matches!(bytes.next(), Some(b'n' | b'r' | b't' | b'\n' | b'/')) {
                    return None;
                }
            }
            byte if byte.is_ascii_whitespace() => {}
            byte => digits.push(byte),
        }
    }
    decode_base64(&digits).map(|der| (der, encrypted))
}

/// Standard base64, padded or not, into a buffer that is wiped.
pub(super) fn decode_base64(digits: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    if digits.is_empty() {
        return None;
    }
    let mut out = Zeroizing::new(vec![0; base64::decoded_len_estimate(digits.len())]);
    let len = BASE64.decode_slice(digits, &mut out).ok()?;
    out.truncate(len);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_blocks_in_any_surroundings() {
        for text in [
            "-----BEGIN A KEY-----\nAQID\nBA==\n-----END A KEY-----\n",
            "x = 1\r\n  -----BEGIN A KEY-----\r\n  AQIDBA==\r\n  -----END A KEY-----",
            r#"{"k":"-----BEGIN A KEY-----\nAQIDBA==\n-----END A KEY-----\n"}"#,
            "-----BEGIN A KEY-----\nX-Y: 1\n\nAQIDBA\n-----END A KEY-----",
        ] {
            let blocks = blocks(text.as_bytes());
            assert_eq!(blocks.len(), 1, "{text}");
            assert_eq!(blocks[0].label, "A KEY");
            assert_eq!(*blocks[0].der, [1, 2, 3, 4]);
            assert!(!blocks[0].encrypted);
        }
    }

    #[test]
    fn passes_over_what_is_no_block() {
        for text in [
            "-----BEGIN A KEY-----",
            "-----BEGIN A KEY-----\n...\n-----END A KEY-----",
            "-----BEGIN A KEY-----\nAQID\n-----END B KEY-----",
            "-----BEGIN A KEY-----\n-----END A KEY-----",
            "-----BEGIN -----BEGIN -----",
        ] {
            assert!(blocks(text.as_bytes()).is_empty(), "{text}");
        }
        let two = "-----BEGIN A-----\nAQI\n-----BEGIN A-----\nAQID\n-----END A-----";
        assert_eq!(blocks(two.as_bytes()).len(), 1);
    }
}
