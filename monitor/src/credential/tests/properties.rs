//! What holds for any content: no panic, no secret in what leaves.

use std::fs;

use proptest::prelude::*;

use super::*;

/// Paths of every family.
const PATHS: &[&str] = &[
    "/x",
    "/etc/shadow",
    "/etc/krb5.keytab",
    "/root/.ssh/id_rsa",
    "/root/.ssh/authorized_keys",
    "/root/.netrc",
    "/root/.npmrc",
    "/root/.pypirc",
    "/root/.dockercfg",
    "/root/.vault-token",
    "/root/.kube/config",
    "/root/.aws/credentials",
    "/run/credentials/a.service/b",
    "/x.der",
];

/// Pieces of every format, so that random joins get past the first checks.
const PIECES: &[&str] = &[
    "-----BEGIN OPENSSH PRIVATE KEY-----\n",
    "-----END OPENSSH PRIVATE KEY-----\n",
    "-----BEGIN PRIVATE KEY-----\n",
    "-----END PRIVATE KEY-----",
    "-----BEGIN CERTIFICATE-----",
    "-----END CERTIFICATE-----",
    "Proc-Type: 4,ENCRYPTED\n",
    "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU",
    "MC4CAQAwBQYDK2VwBCIEIA==",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI",
    "AKIAFAKEFAKEFAKE0001",
    "aws_access_key_id = ",
    "aws_secret_access_key=Fake/SecretKeyForTests+0123456789abcdefG\n",
    "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJpIn0.",
    "{\"auths\":{\"h\":{\"auth\":\"",
    "\"}}}",
    "{\"type\":\"service_account\",\"private_key_id\":\"",
    "users:\n- name: a\n  user:\n    token: ",
    "clusters:\n",
    "machine a login b password c\n",
    "https://a:b@c\n",
    "//h/:_authToken=",
    "[registry]\ntoken = \"",
    "[pypi]\npassword=",
    "root:$6$aaaa$bbbbbbbbbbbb:1:::::9223372036854775807:\n",
    "[a]\ntenancy=\nfingerprint=",
    "é\u{202e}\u{feff}\\n\"'",
    ": ",
    "\n",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let key = key();
        for path in PATHS {
            of(path, &bytes, &key);
        }
        for start in [&b"\x05\x02"[..], b"\x30\x82\x01\x00\x02\x01\x00", b"\x30\x2e\x02\x01"] {
            let mut content = start.to_vec();
            content.extend(&bytes);
            of("/x", &content, &key);
        }
        let armoured = pem_of("OPENSSH PRIVATE KEY", &[b"openssh-key-v1\0", &bytes[..]].concat());
        of("/x", armoured, &key);
        for label in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "CERTIFICATE"] {
            of("/x", pem_of(label, &bytes), &key);
        }
    }

    #[test]
    fn any_pieces_are_survived(
        pieces in proptest::collection::vec((0..PIECES.len(), "[ -~]{0,8}"), 0..12),
    ) {
        let text: String = pieces
            .iter()
            .flat_map(|(piece, noise)| [PIECES[*piece], noise.as_str()])
            .collect();
        let key = key();
        for path in PATHS {
            for credential in of(path, &text, &key) {
                let label = credential.label.unwrap_or_default();
                prop_assert!(!label.chars().any(char::is_control));
            }
        }
    }

    #[test]
    fn a_real_key_with_a_changed_byte_is_survived(at in 0usize..500, to in any::<u8>()) {
        let pair = rcgen::KeyPair::generate().unwrap();
        let key = key();
        let mut der = pair.serialize_der();
        let index = at % der.len();
        der[index] = to;
        of("/x.der", &der, &key);
        let params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        let mut cert = params.self_signed(&pair).unwrap().der().to_vec();
        let index = at % cert.len();
        cert[index] = to;
        of("/x.crt", &cert, &key);
        of("/x.crt", pem_of("CERTIFICATE", &cert), &key);
    }
}

fn pem_of(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

#[test]
fn no_planted_secret_leaves() {
    const PLANTED: &str = "PLANTEDsecretVALUE0123456789abcdefABCDEF"; // 40 characters
    let dir = tempfile::tempdir().unwrap();
    let key = key();
    let auth = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(format!("bob:{PLANTED}"))
    };
    let jwt = token(r#"{"iss":"i","sub":"s","x":"PLANTED"}"#);
    let signature = jwt.rsplit('.').next().unwrap().to_owned();
    let files = [
        (
            ".aws/credentials",
            format!(
                "[a]\naws_access_key_id=AKIAFAKEFAKEFAKE0001\naws_secret_access_key={PLANTED}\n"
            ),
        ),
        ("stray.py", format!("'AKIAFAKEFAKEFAKE0001', '{PLANTED}'")),
        (
            "sa.json",
            format!(
                r#"{{"type":"service_account","private_key_id":"a","private_key":"{PLANTED}","client_email":"e"}}"#
            ),
        ),
        (
            "adc.json",
            format!(
                r#"{{"type":"authorized_user","client_id":"c","client_secret":"{PLANTED}","refresh_token":"{PLANTED}"}}"#
            ),
        ),
        (
            "msal_token_cache.json",
            format!(r#"{{"RefreshToken":{{"r":{{"secret":"{PLANTED}","client_id":"c"}}}}}}"#),
        ),
        (
            "sp.json",
            format!(r#"{{"clientId":"a","clientSecret":"{PLANTED}","tenantId":"t"}}"#),
        ),
        (
            ".kube/config",
            format!("clusters: []\nusers:\n- name: u\n  user:\n    token: {PLANTED}\n"),
        ),
        (
            "kubeconfig2",
            format!("clusters: []\nusers:\n- name: u\n  user:\n    client-key-data: {PLANTED}\n"),
        ),
        (
            ".docker/config.json",
            format!(r#"{{"auths":{{"h":{{"auth":"{auth}"}}}}}}"#),
        ),
        (
            ".git-credentials",
            format!("https://{PLANTED}:x-oauth-basic@h\nhttps://u:{PLANTED}@h\n"),
        ),
        (
            ".netrc",
            format!("machine h login {PLANTED} password {PLANTED}\n"),
        ),
        (".npmrc", format!("//h/:_authToken={PLANTED}\n")),
        (
            ".pypirc",
            format!("[pypi]\nusername={PLANTED}\npassword={PLANTED}\n"),
        ),
        (
            "credentials.toml",
            format!("[registry]\ntoken=\"{PLANTED}\"\n"),
        ),
        (".vault-token", PLANTED.to_owned()),
        ("shadow", format!("u:$6${PLANTED}:1::::::\n")),
        ("jwt", jwt),
        ("opaque", PLANTED.to_owned()),
    ];
    for (name, content) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        let located = inspect_any(&path, &key).unwrap();
        assert!(!located.credentials.is_empty());
        let said = format!("{located:?} {}", serde_json::to_string(&located).unwrap());
        for secret in [PLANTED, &auth, &signature, "PLANTEDsecret", "QTEFOVEVE"] {
            assert!(!said.contains(secret), "{name}: {said}");
        }
        // The one that is known by nothing but its name is opaque, all others are not.
        let kind = located.credentials[0].kind;
        assert_eq!(kind == CredentialKind::Opaque, name == "opaque", "{name}");
    }
}
