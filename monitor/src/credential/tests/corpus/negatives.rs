//! Files without a credential: those made to mislead, and those of this machine.

use std::os::unix::fs::MetadataExt;

use super::*;

fn none(path: impl Into<String>, content: impl Into<Vec<u8>>) -> Sample {
    Sample {
        path: path.into(),
        content: content.into(),
        holds: None,
    }
}

pub(super) fn made(dice: &mut Dice) -> Vec<Sample> {
    let mut samples = Vec::new();
    for index in 0..60 {
        samples.extend(noise(dice, index));
        samples.extend(near_tokens(dice));
        samples.extend(empty_files(dice, index));
    }
    samples.extend(public_halves());
    samples.extend(documentation());
    samples
}

/// What is random and nobody's.
fn noise(dice: &mut Dice, index: usize) -> Vec<Sample> {
    let lines = |dice: &mut Dice, of: &dyn Fn(&mut Dice) -> String| {
        (0..40).map(|_| of(dice)).collect::<Vec<_>>().join("\n")
    };
    let base64 = lines(dice, &|dice| dice.base64(76));
    let url64 = lines(dice, &|dice| dice.url64(80));
    let hex = lines(dice, &|dice| dice.hex(64));
    let uuids = lines(dice, &|dice| {
        [8, 4, 4, 4, 12].map(|len| dice.hex(len)).join("-")
    });
    let words = [
        "ipsum",
        "token",
        "secret",
        "key",
        "private",
        "password",
        "aws_secret_access_key",
        "the",
        "BEGIN",
    ];
    let prose = lines(dice, &|dice| {
        (0..12)
            .map(|_| dice.pick(&words))
            .collect::<Vec<_>>()
            .join(" ")
    });
    let minified = (0..60)
        .map(|_| {
            format!(
                "function {}(e,t){{return e.{}[\"{}\"]||t}};",
                dice.base62(3),
                dice.base62(8),
                dice.base62(20)
            )
        })
        .collect::<String>();
    vec![
        none(format!("/srv/{index}.b64"), base64),
        none(format!("/srv/{index}.txt"), url64),
        none(format!("/srv/{index}.sums"), hex),
        none(format!("/srv/{index}.ids"), uuids),
        none(format!("/srv/{index}.md"), prose),
        none(format!("/srv/{index}.min.js"), minified),
    ]
}

/// The right beginning, and something wrong behind it.
fn near_tokens(dice: &mut Dice) -> Vec<Sample> {
    let wrong = [
        format!("ghp_{}", dice.base62(36)),
        format!("npm_{}", dice.base62(36)),
        format!("ghp_{}", dice.base62(30)),
        format!("glpat-{}", dice.base62(12)),
        format!("hf_{}", dice.base62(20)),
        format!("sk_live_{}", dice.base62(10)),
        format!("SG.{}", dice.url64(30)),
        format!("dop_v1_{}", dice.base62(64)),
        format!("sdk_{}xoxb-{}", dice.base62(4), dice.base62(8)),
        format!("hvs.{}", dice.base62(10)),
        format!("x{}cio{}", dice.base62(4), dice.base62(32)),
        format!("AKIA{}", dice.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)),
        format!("eyJhbGciOiJub25lIn0.{}.{}", dice.url64(40), dice.url64(40)),
        format!(
            "eyJ{}.{}.{}",
            dice.url64(20),
            dice.url64(40),
            dice.url64(43)
        ),
    ];
    let texts = wrong
        .iter()
        .map(|token| none("/srv/config.yaml", format!("token: {token}\n")));
    texts.collect()
}

/// The formats of credentials, without one.
fn empty_files(dice: &mut Dice, index: usize) -> Vec<Sample> {
    let cut = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let cut = &cut[..cut.len() / 2 + index % 20];
    vec![
        none(
            "/root/.npmrc",
            format!("registry=https://r{index}\n//r/:_authToken=${{NPM_TOKEN}}\n"),
        ),
        none(
            "/root/.docker/config.json",
            "{\"auths\":{\"r.example\":{}},\"credsStore\":\"pass\"}",
        ),
        none("/root/.netrc", format!("machine host{index} login bob\n")),
        none(
            "/etc/shadow",
            format!("root:*:19000:0:99999:7:::\nsvc{index}:!:19000::::::\n"),
        ),
        none(
            "/root/.git-credentials",
            format!("https://bob@git{index}.example\n"),
        ),
        none(
            "/root/.kube/config",
            "clusters: []\nusers:\n- name: a\n  user:\n    exec:\n      command: aws\n",
        ),
        none(format!("/srv/{index}.pem"), cut),
        none(
            "/etc/wireguard/peers.conf",
            format!(
                "[Interface]\nAddress = 10.0.0.{index}/24\n[Peer]\nPublicKey = {}=\n",
                dice.base64(43)
            ),
        ),
        none(
            "/etc/wpa_supplicant.conf",
            format!("network={{\n ssid=\"open{index}\"\n key_mgmt=NONE\n}}\n"),
        ),
        none(
            "/etc/hostapd/hostapd.conf",
            format!("interface=wlan0\nssid=open{index}\n#wpa_passphrase=secret passphrase\n"),
        ),
        none(
            "/etc/mosquitto/mosquitto.conf",
            format!("connection c{index}\n#remote_password\npassword_file /etc/mosquitto/passwd\n"),
        ),
        none(
            "/etc/nginx/htpasswd",
            format!("bob:$6${}${}\n", dice.base62(16), dice.base62(86)),
        ),
        none(
            "/srv/configuration.yaml",
            "mqtt:\n  server: mqtt://a\n  user: b\n  password: !secret mqtt_password\n",
        ),
        none(
            "/etc/openvpn/ta.key",
            format!(
                "-----BEGIN OpenVPN Static key V1-----\n{}\n-----END OpenVPN Static key V1-----\n",
                dice.hex(32)
            ),
        ),
        none(
            "/root/.aws/config",
            format!("[profile a]\nrole_arn = arn:aws:iam::1:role/r{index}\n"),
        ),
        none(
            "/root/.pypirc",
            "[distutils]\nindex-servers = pypi\n[pypi]\nrepository = https://x\n",
        ),
        none(
            "/srv/.env",
            format!(
                "API_KEY=<your key>\nTOKEN=xxxxxxxxxxxxxxxxxxxx\nN={}\n",
                dice.below(9)
            ),
        ),
    ]
}

/// Public keys, requests, and certificates of authorities.
fn public_halves() -> Vec<Sample> {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let mut samples = Vec::new();
    for index in 0..10 {
        let key = at(&format!("k{index}"));
        run(
            "ssh-keygen",
            &["-q", "-t", "ed25519", "-N", "", "-C", "c", "-f", &key],
        );
        let public = std::fs::read(format!("{key}.pub")).unwrap();
        samples.push(none("/home/a/.ssh/id_ed25519.pub", public.clone()));
        samples.push(none("/srv/keys.txt", public));
        let tls = at(&format!("t{index}"));
        run(
            "openssl",
            &["genpkey", "-algorithm", "ED25519", "-out", &tls],
        );
        samples.push(none(
            "/srv/public.pem",
            run("openssl", &["pkey", "-in", &tls, "-pubout"]),
        ));
        samples.push(none(
            "/srv/a.csr",
            run("openssl", &["req", "-new", "-key", &tls, "-subj", "/CN=a"]),
        ));
        let pair = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
        samples.push(none(
            "/srv/ca.crt",
            params.self_signed(&pair).unwrap().pem(),
        ));
    }
    samples
}

/// What documentation shows.
fn documentation() -> Vec<Sample> {
    let texts = [
        "aws_access_key_id=AKIAIOSFODNN7EXAMPLE\naws_secret_access_key=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n",
        "export AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c",
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----\n",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nyour key here\n-----END OPENSSH PRIVATE KEY-----\n",
        "Use ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx or glpat-xxxxxxxxxxxxxxxxxxxx.",
        "SLACK_TOKEN=xoxb-000000000000-0000000000000-xxxxxxxxxxxxxxxxxxxxxxxx",
        "STRIPE=sk_test_xxxxxxxxxxxxxxxxxxxxxxxx",
        "hvs.EXAMPLEEXAMPLEEXAMPLEEXAMPLE",
        "xoxb-123456789012-1234567890123-abcdefghijklmnopqrstuvwx",
        "https://user:password@example.org/ is how to write it",
        "npm_000000000000000000000000000000000000",
    ];
    let places = ["/srv/README.md", "/root/.bash_history", "/srv/docs.txt"];
    let mut samples = Vec::new();
    for text in texts {
        samples.extend(places.map(|place| none(place, text)));
    }
    samples
}

/// Whether OpenSSL takes a file for a private key: packages come with keys of their examples and
/// tests, which are real.
fn is_a_key(path: &Path, content: &[u8]) -> bool {
    let parses = || {
        let mut openssl = std::process::Command::new("openssl");
        let output = openssl.args(["asn1parse", "-in"]).arg(path).output();
        output.is_ok_and(|output| output.status.success())
    };
    memchr::memmem::find(content, b"PRIVATE KEY-----").is_some() && parses()
}

/// Files that every account can read: they can be no secret of anybody, unless somebody made a
/// mistake, which would show here by its path. Every so many of them, the same at each run.
pub(super) fn of_this_machine(count: usize) -> Vec<Sample> {
    let mut paths = Vec::new();
    for root in ["/etc", "/usr/share"] {
        let walk = walkdir::WalkDir::new(root).sort_by_file_name().into_iter();
        let files = walk.filter_map(Result::ok).filter(|entry| {
            entry.file_type().is_file()
                && entry.metadata().is_ok_and(|metadata| {
                    metadata.mode() & 0o004 != 0 && (1..=64 << 10).contains(&metadata.len())
                })
        });
        let files: Vec<_> = files.map(walkdir::DirEntry::into_path).collect();
        let step = (files.len() * 2 / count).max(1);
        paths.extend(files.into_iter().step_by(step));
    }
    let read = |path: &std::path::PathBuf| {
        let content = std::fs::read(path).ok()?;
        (!is_a_key(path, &content)).then_some(none(path.to_str()?, content))
    };
    // The host's own certificate is one, and public.
    let mut samples: Vec<_> = paths.iter().filter_map(read).collect();
    let key = key();
    samples.retain(|sample| {
        let found = of(&sample.path, &sample.content, &key);
        found.is_empty() || found.iter().any(|of| of.kind.is_secret())
    });
    samples
}
