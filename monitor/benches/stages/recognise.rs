//! Files to credentials, beside a SHA-256 of the same bytes: the least that a fingerprint costs.

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::{Bencher, Criterion};
use monitor::credential::{FingerprintKey, SecretBytes, recognise};
use sha2::{Digest, Sha256};
use ssh_key::private::{Ed25519Keypair, Ed25519PrivateKey, KeypairData, PrivateKey};
use ssh_key::public::Ed25519PublicKey;

use super::ratio::pair;

pub(super) fn bench(criterion: &mut Criterion) {
    let key = match FingerprintKey::generate() {
        Ok(key) => key,
        Err(error) => panic!("no random numbers: {error}"),
    };
    let mut group = criterion.benchmark_group("recognise");
    for (name, path, content, credentials) in files() {
        let path = Path::new(path);
        let secret = SecretBytes::from_vec(content.clone());
        assert_eq!(recognise(path, &secret, &key).len(), credentials, "{name}");
        let subject = |bencher: &mut Bencher<'_>| {
            bencher.iter(|| recognise(black_box(path), black_box(&secret), &key));
        };
        let baseline = |bencher: &mut Bencher<'_>| {
            bencher.iter(|| Sha256::digest(black_box(&content)));
        };
        pair(
            &mut group,
            "recognise",
            name,
            1,
            subject,
            ("SHA-256", baseline),
        );
    }
    group.finish();
}

/// Name, path, content, and how many credentials it holds. All values are made up.
fn files() -> Vec<(&'static str, &'static str, Vec<u8>, usize)> {
    let (certificate, private) = pair_of_pem();
    let aws = "[default]\naws_access_key_id = AKIAQ3XK5TMDN7WZV2HB\n\
               aws_secret_access_key = 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\n";
    let mut prose = String::new();
    let mut number = 0_u32;
    while prose.len() < 64 << 10 {
        number += 1;
        let _ = writeln!(prose, "option_{number} = \"a value of no secret at all\"");
    }
    vec![
        ("SSH private key", "/home/a/.ssh/id_ed25519", ssh_key(), 1),
        ("AWS credentials", "/home/a/.aws/credentials", aws.into(), 1),
        ("JWT", "/run/token", token(), 1),
        (
            "PEM certificate",
            "/etc/tls/server.crt",
            certificate.into(),
            1,
        ),
        ("PEM private key", "/etc/tls/server.key", private.into(), 1),
        ("64 KiB without any", "/etc/app/app.conf", prose.into(), 0),
    ]
}

fn ssh_key() -> Vec<u8> {
    let signing = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let pair = Ed25519Keypair {
        public: Ed25519PublicKey(signing.verifying_key().to_bytes()),
        private: Ed25519PrivateKey::from_bytes(&signing.to_bytes()),
    };
    PrivateKey::new(KeypairData::Ed25519(pair), "deploy@host")
        .and_then(|key| key.to_openssh(ssh_key::LineEnding::LF))
        .map(|text| text.as_bytes().to_vec())
        .unwrap_or_default()
}

fn token() -> Vec<u8> {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let claims = r#"{"iss":"https://issuer.example","sub":"api","jti":"1","exp":1777644200}"#;
    let header = part(r#"{"alg":"RS256","kid":"k"}"#);
    format!(
        "{header}.{}.{}",
        part(claims),
        part("not-a-real-signature-at-all")
    )
    .into_bytes()
}

fn pair_of_pem() -> (String, String) {
    rcgen::generate_simple_self_signed(vec!["server.example".to_owned()])
        .map(|made| (made.cert.pem(), made.signing_key.serialize_pem()))
        .unwrap_or_default()
}
