//! SSH and X.509, against what ssh-keygen and OpenSSL say.

use std::fs;

use super::*;

fn ssh_keygen(dir: &Path, name: &str, args: &[&str]) -> String {
    let path = dir.join(name).to_str().unwrap().to_owned();
    let mut all = vec!["-q", "-f", &path, "-C", "robot@example"];
    all.extend(args);
    run("ssh-keygen", &all);
    path
}

/// `3072 SHA256:… comment (RSA)`
fn listed(path: &str) -> String {
    let line = run("ssh-keygen", &["-lf", path]);
    line.split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn openssh_keys_are_named_as_ssh_keygen_names_them() {
    let dir = tempfile::tempdir().unwrap();
    let key = key();
    for (name, args, algorithm) in [
        ("ed", &["-t", "ed25519", "-N", ""][..], "ssh-ed25519"),
        ("rsa", &["-t", "rsa", "-b", "2048", "-N", ""], "ssh-rsa"),
        (
            "ec",
            &["-t", "ecdsa", "-b", "384", "-N", ""],
            "ecdsa-sha2-nistp384",
        ),
        (
            "locked",
            &["-t", "ed25519", "-N", "open sesame"],
            "ssh-ed25519",
        ),
    ] {
        let path = ssh_keygen(dir.path(), name, args);
        let found = one("/srv/x", fs::read(&path).unwrap(), &key);
        assert_eq!(found.kind, CredentialKind::SshPrivateKey);
        assert_eq!(found.fingerprint.as_str(), listed(&path), "{name}");
        let label = found.label.unwrap();
        assert!(label.contains(algorithm), "{label}");
        let locked = name == "locked";
        assert_eq!(label.contains("passphrase-protected"), locked, "{label}");
        assert_eq!(label.contains("robot@example"), !locked, "{label}");

        // The public half alone is no credential; where it is let in, it is another one.
        let public = fs::read(format!("{path}.pub")).unwrap();
        assert!(of("/home/a/.ssh/key.pub", &public, &key).is_empty());
        let entry = one("/home/a/.ssh/authorized_keys", &public, &key);
        assert_eq!(entry.kind, CredentialKind::SshAuthorizedKey);
        assert_eq!(
            entry.fingerprint.as_str(),
            format!("authorized:{}", listed(&path))
        );
    }
}

#[test]
fn authorized_keys_are_read_line_by_line() {
    let dir = tempfile::tempdir().unwrap();
    let key = key();
    let public: Vec<String> = ["a", "b"]
        .iter()
        .map(|name| {
            let path = ssh_keygen(dir.path(), name, &["-t", "ed25519", "-N", ""]);
            fs::read_to_string(format!("{path}.pub")).unwrap()
        })
        .collect();
    let text = format!(
        "# who\n\n{}ssh-ed25519 damaged x\nfrom=\"10.0.0.0/8\",command=\"echo a b\" {}",
        public[0], public[1]
    );
    let found = of("/root/.ssh/authorized_keys2", &text, &key);
    assert_eq!(kinds(&found), [CredentialKind::SshAuthorizedKey; 2]);
    assert!(of("/root/notes", &text, &key).is_empty());
}

#[test]
fn pem_keys_have_one_name_in_every_format_and_place() {
    let dir = tempfile::tempdir().unwrap();
    let key = key();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    for (name, generate) in [
        (
            "rsa",
            &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"][..],
        ),
        (
            "p256",
            &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        ),
        (
            "p384",
            &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
        ),
        ("ed", &["-algorithm", "ED25519"]),
    ] {
        let pem = at(name);
        let mut args = vec!["genpkey", "-out", &pem];
        args.extend(generate);
        run("openssl", &args);

        // What OpenSSL says the public half is.
        let spki = at("spki");
        run(
            "openssl",
            &[
                "pkey", "-in", &pem, "-pubout", "-outform", "DER", "-out", &spki,
            ],
        );
        let digest = run("openssl", &["dgst", "-sha256", "-r", &spki]);
        let expected = format!("x509:spki-sha256:{}", digest.split(' ').next().unwrap());

        let found = one("/etc/x.key", fs::read(&pem).unwrap(), &key);
        assert_eq!(found.kind, CredentialKind::X509PrivateKey);
        assert_eq!(found.fingerprint.as_str(), expected, "{name}");

        let (der, old) = (at("der"), at("old"));
        run(
            "openssl",
            &["pkey", "-in", &pem, "-outform", "DER", "-out", &der],
        );
        let mut formats = vec![fs::read(&der).unwrap()];
        if name != "ed" {
            run(
                "openssl",
                &["pkey", "-in", &pem, "-traditional", "-out", &old],
            );
            formats.push(fs::read(&old).unwrap());
        }
        if name.starts_with('p') {
            // Without the public half, as Java writes them.
            let bare = at("bare");
            run("openssl", &["ec", "-in", &pem, "-no_public", "-out", &bare]);
            assert!(fs::read(&bare).unwrap().len() < fs::read(&old).unwrap().len());
            formats.push(fs::read(&bare).unwrap());
        }
        for content in formats {
            let other = one("/tmp/y", &content, &key);
            assert_eq!(other.fingerprint, found.fingerprint, "{name}");
        }
        let mut windows = String::from("  \n");
        windows.push_str(&fs::read_to_string(&pem).unwrap().replace('\n', "\r\n"));
        assert_eq!(one("/tmp/y", windows, &key).fingerprint, found.fingerprint);
    }
}

#[test]
fn a_pem_key_where_ssh_looks_says_its_ssh_name_too() {
    let dir = tempfile::tempdir().unwrap();
    let key = key();
    let args = ["-t", "rsa", "-b", "2048", "-m", "PEM", "-N", ""];
    let path = ssh_keygen(dir.path(), "old", &args);
    let content = fs::read(&path).unwrap();
    assert!(content.starts_with(b"-----BEGIN RSA PRIVATE KEY"));
    let here = one("/home/a/.ssh/old", &content, &key);
    assert_eq!(here.kind, CredentialKind::SshPrivateKey);
    assert!(here.label.as_ref().unwrap().contains(&listed(&path)));
    assert!(here.label.as_ref().unwrap().starts_with("RSA 2048"));
    // Elsewhere it looks like a server's key, and is still the same credential.
    let there = one("/tmp/old", &content, &key);
    assert_eq!(there.kind, CredentialKind::X509PrivateKey);
    assert_eq!(there.fingerprint, here.fingerprint);
}

#[test]
fn encrypted_keys_are_named_by_their_encrypted_form() {
    let dir = tempfile::tempdir().unwrap();
    let key = key();
    for (name, format) in [("a", "PEM"), ("b", "PKCS8")] {
        let args = ["-t", "rsa", "-b", "2048", "-m", format, "-N", "open sesame"];
        let content = fs::read(ssh_keygen(dir.path(), name, &args)).unwrap();
        let found = one("/home/a/.ssh/k", &content, &key);
        assert!(found.fingerprint.as_str().starts_with("hmac:"), "{found:?}");
        assert_eq!(found.label.as_deref(), Some("passphrase-protected"));
    }
}

fn issued(common_name: &str, authority: bool) -> (rcgen::Certificate, rcgen::KeyPair) {
    let pair = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec![common_name.to_owned()]).unwrap();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, common_name);
    params.not_before = rcgen::date_time_ymd(2026, 1, 2);
    params.not_after = rcgen::date_time_ymd(2027, 3, 4);
    if authority {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    }
    (params.self_signed(&pair).unwrap(), pair)
}

#[test]
fn leaves_are_credentials_and_authorities_are_not() {
    let key = key();
    let (leaf, pair) = issued("api.example", false);
    let (authority, _) = issued("Example Root", true);
    let found = one("/etc/x.crt", leaf.pem(), &key);
    assert_eq!(found.kind, CredentialKind::X509Certificate);
    assert_eq!(
        found.issued.unwrap().to_string(),
        "2026-01-02T00:00:00.000000Z"
    );
    assert_eq!(
        found.expires.unwrap().to_string(),
        "2027-03-04T00:00:00.000000Z"
    );
    assert!(found.label.as_ref().unwrap().contains("CN=api.example"));
    assert_eq!(one("/etc/x.der", leaf.der(), &key), found);
    assert!(of("/etc/ca.crt", authority.pem(), &key).is_empty());
    assert!(of("/etc/ca.der", authority.der(), &key).is_empty());

    // A server's file: key, leaf, chain. The key and its certificate share the SPKI hash.
    let all = format!("{}{}{}", pair.serialize_pem(), leaf.pem(), authority.pem());
    let found = of("/etc/server.pem", all, &key);
    assert_eq!(
        kinds(&found),
        [
            CredentialKind::X509PrivateKey,
            CredentialKind::X509Certificate
        ]
    );
    let spki = found[0].fingerprint.as_str().strip_prefix("x509:").unwrap();
    assert!(found[1].fingerprint.as_str().ends_with(spki), "{found:?}");

    let store: String = (0..12)
        .map(|n| issued(&format!("{n}.example"), false).0.pem())
        .collect();
    assert!(of("/etc/peers.pem", store, &key).is_empty());
}

#[test]
fn the_bundle_of_authorities_holds_nothing() {
    let bundle = Path::new("/etc/ssl/certs/ca-certificates.crt");
    let key = key();
    if bundle.exists() {
        assert_eq!(inspect(bundle, &key).unwrap(), None);
    }
    let bundle: String = (0..150)
        .map(|n| issued(&format!("Root {n}"), true).0.pem())
        .collect();
    assert!(of("/etc/ssl/cert.pem", bundle, &key).is_empty());
}

#[test]
fn an_openssh_certificate_says_for_whom_and_until_when() {
    let dir = tempfile::tempdir().unwrap();
    let key = key();
    let ca = ssh_keygen(dir.path(), "ca", &["-t", "ed25519", "-N", ""]);
    let path = ssh_keygen(dir.path(), "id_rsa", &["-t", "rsa", "-b", "2048", "-N", ""]);
    let public = format!("{path}.pub");
    let sign = |validity: &str| {
        let sign = [
            "-q",
            "-s",
            &ca,
            "-I",
            "deploy@ci",
            "-n",
            "deploy,root",
            "-V",
            validity,
        ];
        run("ssh-keygen", &[&sign[..], &[&*public]].concat());
        let certificate = format!("{path}-cert.pub");
        one(&certificate, fs::read(&certificate).unwrap(), &key)
    };
    let found = sign("20260501000000Z:20260502000000Z");
    assert_eq!(found.kind, CredentialKind::SshCertificate);
    let label = found.label.unwrap();
    assert!(
        label.starts_with("deploy@ci, for deploy,root, ssh-rsa"),
        "{label}"
    );
    let text = |at: Option<crate::model::Timestamp>| at.map(|at| at.to_string());
    assert_eq!(
        text(found.issued).as_deref(),
        Some("2026-05-01T00:00:00.000000Z")
    );
    assert_eq!(
        text(found.expires).as_deref(),
        Some("2026-05-02T00:00:00.000000Z")
    );
    let renewed = sign("20260502000000Z:20260503000000Z");
    assert_ne!(renewed.fingerprint, found.fingerprint, "of the same key");
    let from_ever = sign("always:20260503000000Z");
    assert_eq!(from_ever.issued, None);
}

#[test]
fn a_runners_key_has_the_name_that_it_has_in_pem() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    let dir = tempfile::tempdir().unwrap();
    let key = key();
    let path = dir.path().join("k").to_str().unwrap().to_owned();
    run("openssl", &["genrsa", "-out", &path, "2048"]);
    let line = run("openssl", &["rsa", "-in", &path, "-noout", "-modulus"]);
    let hex = line.trim().strip_prefix("Modulus=").unwrap();
    let bytes: Vec<u8> = (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect();
    let modulus = STANDARD.encode(bytes);
    let file = |d: &str, modulus: &str| {
        format!(r#"{{"d":{d},"dp":"AQ==","exponent":"AQAB","modulus":"{modulus}","p":"AQ=="}}"#)
    };
    let place = "/opt/actions-runner/.credentials_rsaparams";
    let found = one(place, file(r#""c2VjcmV0""#, &modulus), &key);
    let in_pem = one("/srv/k.pem", fs::read(&path).unwrap(), &key);
    assert_eq!(found.fingerprint, in_pem.fingerprint);
    assert_eq!(found.kind, in_pem.kind);
    let label = found.label.unwrap();
    assert_eq!(label, "runner's registration, RSA 2048");
    for (d, modulus) in [
        ("null", &*modulus),
        (r#""c2VjcmV0""#, ""),
        (r#""c2VjcmV0""#, "%"),
    ] {
        assert!(
            of(place, file(d, modulus), &key).is_empty(),
            "{d} {modulus}"
        );
    }
}
