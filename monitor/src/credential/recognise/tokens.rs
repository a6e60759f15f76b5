//! Tokens that say by their first characters whose they are. A prefix alone is a word in a text:
//! the length, the alphabet and, where the issuer made one, the checksum decide.

use super::{Found, Input};
use crate::model::{Credential, CredentialKind};

/// Most tokens of one shape that are looked for in one file.
const MAX_TOKENS: usize = 64;
/// Digits of a checksum: CRC-32 in base 62.
const CHECKSUM: usize = 6;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// As many neighbours of the alphabet in a row are no chance: somebody wrote an example.
const SEQUENCE: usize = 8;

/// What stands behind a prefix.
#[derive(Clone, Copy)]
enum Body {
    /// This many of base 62, the last six of which are the checksum of those before, as GitHub and
    /// npm make them.
    Checked(usize, usize),
    /// Between so many and so many characters of an alphabet.
    Of(Alphabet, usize, usize),
    /// Parts of these lengths, with a separator between each two.
    Parts(Alphabet, u8, &'static [usize]),
}

#[derive(Clone, Copy)]
enum Alphabet {
    /// Digits and letters.
    Base62,
    /// The same with `-` and `_`.
    Url,
    /// The same with `.`, for tokens that name their issuer's cell.
    Dotted,
    /// Digits and small letters of hexadecimal numbers.
    Hex,
}

struct Shape {
    prefix: &'static str,
    kind: CredentialKind,
    label: &'static str,
    body: Body,
}

const fn shape(
    prefix: &'static str,
    kind: CredentialKind,
    label: &'static str,
    body: Body,
) -> Shape {
    Shape {
        prefix,
        kind,
        label,
        body,
    }
}

use Alphabet::{Base62, Dotted, Hex, Url};
use CredentialKind::{
    ApiToken, CargoToken, ContainerRegistryAuth, GitCredential, NpmToken, PypiToken, VaultToken,
};

/// By the issuers' own documentation.
const SHAPES: &[Shape] = &[
    shape(
        "ghp_",
        GitCredential,
        "GitHub personal access token",
        Body::Checked(36, 251),
    ),
    shape(
        "gho_",
        GitCredential,
        "GitHub OAuth token",
        Body::Checked(36, 251),
    ),
    shape(
        "ghu_",
        GitCredential,
        "GitHub user token",
        Body::Checked(36, 251),
    ),
    shape(
        "ghs_",
        GitCredential,
        "GitHub app token",
        Body::Checked(36, 251),
    ),
    shape(
        "ghr_",
        GitCredential,
        "GitHub refresh token",
        Body::Checked(36, 251),
    ),
    shape(
        "github_pat_",
        GitCredential,
        "GitHub fine-grained token",
        Body::Parts(Base62, b'_', &[22, 59]),
    ),
    shape(
        "glpat-",
        GitCredential,
        "GitLab personal access token",
        Body::Of(Dotted, 20, 300),
    ),
    shape(
        "gldt-",
        GitCredential,
        "GitLab deploy token",
        Body::Of(Url, 20, 64),
    ),
    shape(
        "glrt-",
        GitCredential,
        "GitLab runner token",
        Body::Of(Dotted, 20, 300),
    ),
    shape(
        "glcbt-",
        GitCredential,
        "GitLab job token",
        Body::Of(Url, 20, 128),
    ),
    shape(
        "glptt-",
        GitCredential,
        "GitLab trigger token",
        Body::Of(Url, 20, 64),
    ),
    shape(
        "glsoat-",
        GitCredential,
        "GitLab SCIM token",
        Body::Of(Url, 20, 64),
    ),
    shape("npm_", NpmToken, "npm access token", Body::Checked(36, 36)),
    shape(
        "pypi-AgEIcHlwaS5vcmc",
        PypiToken,
        "PyPI token",
        Body::Of(Url, 50, 1024),
    ),
    shape(
        "pypi-AgENdGVzdC5weXBpLm9yZw",
        PypiToken,
        "TestPyPI token",
        Body::Of(Url, 50, 1024),
    ),
    shape(
        "cio",
        CargoToken,
        "crates.io token",
        Body::Of(Base62, 32, 32),
    ),
    shape(
        "hvs.",
        VaultToken,
        "Vault service token",
        Body::Of(Url, 24, 512),
    ),
    shape(
        "hvb.",
        VaultToken,
        "Vault batch token",
        Body::Of(Url, 100, 512),
    ),
    shape(
        "hvr.",
        VaultToken,
        "Vault recovery token",
        Body::Of(Url, 24, 512),
    ),
    shape(
        "dckr_pat_",
        ContainerRegistryAuth,
        "Docker Hub token",
        Body::Of(Url, 27, 27),
    ),
    shape(
        "dckr_oat_",
        ContainerRegistryAuth,
        "Docker Hub token",
        Body::Of(Url, 32, 32),
    ),
    shape("xoxb-", ApiToken, "Slack bot token", Body::Of(Url, 40, 255)),
    shape(
        "xoxp-",
        ApiToken,
        "Slack user token",
        Body::Of(Url, 40, 255),
    ),
    shape(
        "xoxe-",
        ApiToken,
        "Slack refresh token",
        Body::Of(Url, 40, 255),
    ),
    shape("xapp-", ApiToken, "Slack app token", Body::Of(Url, 40, 255)),
    shape(
        "sk_live_",
        ApiToken,
        "Stripe secret key",
        Body::Of(Base62, 24, 247),
    ),
    shape(
        "rk_live_",
        ApiToken,
        "Stripe restricted key",
        Body::Of(Base62, 24, 247),
    ),
    shape(
        "sk_test_",
        ApiToken,
        "Stripe test key",
        Body::Of(Base62, 24, 247),
    ),
    shape(
        "rk_test_",
        ApiToken,
        "Stripe test key",
        Body::Of(Base62, 24, 247),
    ),
    shape(
        "SG.",
        ApiToken,
        "SendGrid key",
        Body::Parts(Url, b'.', &[22, 43]),
    ),
    shape(
        "dop_v1_",
        ApiToken,
        "DigitalOcean token",
        Body::Of(Hex, 64, 64),
    ),
    shape(
        "doo_v1_",
        ApiToken,
        "DigitalOcean token",
        Body::Of(Hex, 64, 64),
    ),
    shape("shpat_", ApiToken, "Shopify token", Body::Of(Hex, 32, 32)),
    shape(
        "hf_",
        ApiToken,
        "Hugging Face token",
        Body::Of(Base62, 34, 34),
    ),
    shape(
        "glsa_",
        ApiToken,
        "Grafana service account token",
        Body::Parts(Base62, b'_', &[32, 8]),
    ),
    shape("sk-ant-", ApiToken, "Anthropic key", Body::Of(Url, 80, 255)),
    shape("sk-proj-", ApiToken, "OpenAI key", Body::Of(Url, 40, 255)),
    shape("tskey-", ApiToken, "Tailscale key", Body::Of(Url, 30, 128)),
];

/// Tokens in a file of any format. Named by their value, as the formats of these issuers name
/// theirs: a token that moves from a file to an environment keeps its name.
pub(super) fn recognise_anywhere(input: Input<'_>, found: &mut Vec<Credential>) {
    for shape in SHAPES {
        let starts = memchr::memmem::find_iter(input.text.as_bytes(), shape.prefix);
        let tokens = starts.filter_map(|at| shape.token(input.text, at));
        found.extend(tokens.take(MAX_TOKENS).map(|token| {
            Found::new(shape.kind, input.key.value(token.as_bytes()))
                .label(shape.label)
                .done()
        }));
    }
}

impl Shape {
    /// The token that starts at a place where the prefix stands.
    fn token<'a>(&self, text: &'a str, at: usize) -> Option<&'a str> {
        let joins = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let bytes = text.as_bytes();
        if at
            .checked_sub(1)
            .and_then(|before| bytes.get(before))
            .is_some_and(joins)
        {
            return None;
        }
        let behind = &text[at + self.prefix.len()..];
        let len = self.body.len(behind)?;
        let body = &behind[..len];
        (!is_example(body)).then(|| &text[at..at + self.prefix.len() + len])
    }
}

impl Body {
    /// How long the body is that a text begins with; `None` when it begins with none.
    fn len(self, text: &str) -> Option<usize> {
        match self {
            Self::Checked(from, to) => {
                let len = Base62.run(text);
                let (secret, sum) = text[..len].split_at_checked(len.checked_sub(CHECKSUM)?)?;
                ((from..=to).contains(&len) && checksum(secret.as_bytes()) == sum.as_bytes())
                    .then_some(len)
            }
            Self::Of(alphabet, from, to) => {
                // A sentence may end behind a token.
                let run = &text[..alphabet.run(text)];
                let len = run.trim_end_matches('.').len();
                (from..=to).contains(&len).then_some(len)
            }
            Self::Parts(alphabet, separator, parts) => {
                let mut at = 0;
                for (index, &part) in parts.iter().enumerate() {
                    if index > 0 {
                        (text.as_bytes().get(at) == Some(&separator)).then_some(())?;
                        at += 1;
                    }
                    (alphabet.run(&text[at..]) == part).then_some(())?;
                    at += part;
                }
                Some(at)
            }
        }
    }
}

impl Alphabet {
    /// How many characters at the start of a text are of this alphabet.
    fn run(self, text: &str) -> usize {
        let holds = |byte: &u8| match self {
            Self::Base62 => byte.is_ascii_alphanumeric(),
            Self::Url => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'),
            Self::Dotted => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'),
            Self::Hex => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        };
        text.bytes().take_while(|byte| holds(byte)).count()
    }
}

/// The checksum that GitHub and npm put behind their tokens: the CRC-32 of what stands between it
/// and the prefix, in base 62, with zeros before it.
fn checksum(of: &[u8]) -> [u8; CHECKSUM] {
    let mut rest = crc32fast::hash(of);
    let mut digits = [b'0'; CHECKSUM];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[rest as usize % BASE62.len()];
        rest /= 62;
    }
    digits
}

/// Whether somebody typed it to show what a token looks like: it says so, has the alphabet in its
/// order, or lacks what chance would have given it.
fn is_example(body: &str) -> bool {
    let bytes = body.as_bytes();
    let mut run = 1;
    let is_sequence = bytes.windows(2).any(|pair| {
        let follows = pair[1] == pair[0].wrapping_add(1);
        run = if follows { run + 1 } else { 1 };
        run >= SEQUENCE
    });
    let has_digit = bytes.iter().any(u8::is_ascii_digit);
    let has_letter = bytes.iter().any(u8::is_ascii_alphabetic);
    is_sequence || !has_digit || !has_letter || is_shown(body)
}

/// Whether a token's text says that it is none, or has few different characters: of twenty random ones
/// more than eight differ, but once in millions.
pub(super) fn is_shown(body: &str) -> bool {
    let mut seen = [false; 128];
    for byte in body.bytes().filter(u8::is_ascii) {
        seen[usize::from(byte)] = true;
    }
    let distinct = seen.iter().filter(|seen| **seen).count();
    let lower = body.to_ascii_lowercase();
    let says_so = ["example", "placeholder", "your", "xxxx", "redacted"]
        .iter()
        .any(|word| lower.contains(word));
    distinct <= 8 || says_so
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_issuers() {
        // Of a token that was revoked and is shown where the format is explained.
        assert_eq!(&checksum(b"zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ"), b"0mLq17");
        assert_eq!(&checksum(b""), b"000000");
    }

    #[test]
    fn a_token_stands_alone_and_no_digit_may_be_wrong() {
        let shape = &SHAPES[0];
        let token = concat!("ghp_", "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ", "0mLq17");
        let text = format!("https://x:{token}@git.example.org, again {token}.");
        let at = |nth| text.match_indices("ghp_").nth(nth).unwrap().0;
        assert_eq!(shape.token(&text, at(0)), Some(token));
        assert_eq!(shape.token(&text, at(1)), Some(token));
        for wrong in [
            format!("x{token}"),
            format!("{token}7"),
            token.replace('z', "y"),
            token[..39].to_owned(),
            "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx".to_owned(),
        ] {
            let at = wrong.find("ghp_").unwrap();
            assert_eq!(shape.token(&wrong, at), None, "{wrong}");
        }
    }

    #[test]
    fn examples_are_told_from_tokens() {
        for example in [
            "xxxxxxxxxxxxxxxxxxxxxxxx",
            "1234567890123-1234567890123-abcdefghijklmnop",
            "AbCdAbCdAbCdAbCdAbCdAbCd",
            "YOUR-TOKEN-HERE-0123-kfjeQZTpLw",
            "nodigitsatallinhereQWERTZ",
        ] {
            assert!(is_example(example), "{example}");
        }
        assert!(!is_example("kP3x9QmZt7LwV2sYd8Rf4Hb"));
    }
}
