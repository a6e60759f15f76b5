//! No secret leaves the module that fingerprints it: planted ones are looked for in all that the
//! daemon wrote.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use monitor::control::protocol::CredentialView;
use monitor::model::{DetectionId, HeldIn};

use super::daemon::{Daemon, Place, patiently};
use super::host::{Partner, SshKey, command, python, run};
use super::leaking::token;
use super::turn::shared;

/// A file, and the secrets in it.
struct Planted {
    name: &'static str,
    content: String,
    secrets: Vec<String>,
}

/// Text that exists nowhere else, of the alphabet that tokens have.
fn secret(seed: &str, len: usize) -> String {
    let mut state = seed.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    }) ^ u64::from(std::process::id());
    (0..len)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
            char::from(alphabet[usize::try_from(state >> 33).unwrap() % alphabet.len()])
        })
        .collect()
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    bytes
        .chunks(3)
        .flat_map(|chunk| {
            let word = chunk
                .iter()
                .fold(0u32, |word, byte| word << 8 | u32::from(*byte))
                << (8 * (3 - chunk.len()));
            (0..=chunk.len()).map(move |at| {
                char::from(ALPHABET[usize::try_from(word >> (18 - 6 * at) & 63).unwrap()])
            })
        })
        .collect()
}

fn plant() -> Vec<Planted> {
    let one = |name, seed: &str, len, content: &dyn Fn(&str) -> String| {
        let value = secret(seed, len);
        Planted {
            name,
            content: content(&value),
            secrets: vec![value],
        }
    };
    let jwt = {
        let part = |text: &str| base64(text.as_bytes()).replace('+', "-").replace('/', "_");
        let signature = secret("jwt", 43);
        let header = part(r#"{"alg":"HS256","typ":"JWT"}"#);
        let body = part(r#"{"iss":"https://issuer.example","sub":"deploy","exp":4102444800}"#);
        Planted {
            name: "app.jwt",
            content: format!("{header}.{body}.{signature}\n"),
            secrets: vec![signature],
        }
    };
    vec![
        one(".aws/credentials", "aws", 40, &|value| {
            format!(
                "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPL3\naws_secret_access_key = {value}\n"
            )
        }),
        one(".netrc", "netrc", 24, &|value| {
            format!("machine api.example.org login deploy password {value}\n")
        }),
        one(".npmrc", "npm", 36, &|value| {
            format!("//registry.npmjs.org/:_authToken=npm_{value}\n")
        }),
        one(".pypirc", "pypi", 60, &|value| {
            format!("[pypi]\nusername = __token__\npassword = pypi-AgEIcHlwaS5vcmc{value}\n")
        }),
        one(".vault-token", "vault", 90, &|value| {
            format!("hvs.{value}\n")
        }),
        one(".git-credentials", "git", 30, &|value| {
            format!("https://deploy:{value}@git.example.org\n")
        }),
        one(".docker/config.json", "docker", 20, &|value| {
            let auth = base64(format!("deploy:{value}").as_bytes());
            format!("{{\"auths\":{{\"registry.example\":{{\"auth\":\"{auth}==\"}}}}}}\n")
        }),
        one("credentials.toml", "cargo", 32, &|value| {
            format!("[registry]\ntoken = \"cio{value}\"\n")
        }),
        one("shadow", "shadow", 86, &|value| {
            format!("svc:$6$saltsaltsalt$./{value}:19000:0:99999:7:::\n")
        }),
        // Retired by path, because it looks like nothing.
        one("legacy.conf", "opaque", 48, &|value| format!("{value}\n")),
        jwt,
    ]
}

/// How a value could hide: as it is, encoded, or in the encodings of its parts.
fn forms(value: &str) -> Vec<Vec<u8>> {
    let bytes = value.as_bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![
        bytes.to_vec(),
        bytes[..bytes.len() * 2 / 3].to_vec(),
        hex.to_uppercase().into_bytes(),
        hex.into_bytes(),
        bytes.iter().rev().copied().collect(),
    ];
    // base64 of a longer text that holds it, at each of three alignments.
    for skip in 0..3 {
        let text = base64(&bytes[skip..skip + (bytes.len() - skip) / 3 * 3]);
        forms.push(text.clone().into_bytes());
        forms.push(text.replace('+', "-").replace('/', "_").into_bytes());
    }
    // And what Rust's Debug would make of the bytes.
    let list: Vec<_> = bytes.iter().take(8).map(u8::to_string).collect();
    forms.push(list.join(", ").into_bytes());
    forms
}

fn files_below(directory: &Path, to: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            files_below(&entry.path(), to);
        } else if entry.file_type().unwrap().is_file() {
            to.push(entry.path());
        }
    }
}

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(haystack, needle).is_some()
}

/// Fails where any of the files holds any form of a secret.
fn assert_clean(files: &[PathBuf], secrets: &[String]) {
    for file in files {
        let content = fs::read(file).unwrap();
        for value in secrets {
            for form in forms(value) {
                assert!(
                    !holds(&content, &form),
                    "{} holds a secret as {:?}",
                    file.display(),
                    String::from_utf8_lossy(&form)
                );
            }
        }
    }
}

/// The middle lines of a PEM file: what must not be found.
fn body_of(pem: &Path) -> Vec<String> {
    let text = fs::read_to_string(pem).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| !line.contains("---")).collect();
    // The head of an OpenSSH key is its public half.
    let private = &lines[lines.len() / 2..];
    private.iter().map(|line| (*line).to_owned()).collect()
}

#[test]
fn the_search_finds_what_it_looks_for() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    let value = secret("x", 40);
    let padded = base64(format!("user:{value}").as_bytes());
    for leak in [value.clone(), padded, format!("{:?}", value.as_bytes())] {
        fs::write(&file, format!("before {leak} after")).unwrap();
        let (file, value) = (file.clone(), value.clone());
        let found = std::panic::catch_unwind(move || assert_clean(&[file], &[value]));
        assert!(found.is_err(), "{leak}");
    }
    fs::write(&file, "nothing").unwrap();
    assert_clean(&[file], &[value]);
}

#[test]
fn planted_secrets_are_found_nowhere() {
    let _host = shared();
    let place = Place::with("[detection]\nfold_quiet = \"1s\"");
    let root = place.root();
    let planted = plant();
    for file in &planted {
        let path = root.join(file.name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &file.content).unwrap();
    }
    let mut secrets: Vec<_> = planted.iter().flat_map(|of| of.secrets.clone()).collect();
    let key = SshKey::new(root.join("id_rsa"), "rsa");
    secrets.extend(body_of(&key.path));
    let pem = root.join("tls.key");
    let algorithm = ["genpkey", "-algorithm", "RSA", "-out"].map(|arg| arg.to_owned());
    let mut openssl = command("openssl", &[]);
    run(openssl.args(algorithm).arg(&pem));
    secrets.extend(body_of(&pem));

    // Where no file is, and where none should be.
    let logs = place.at("logs");
    fs::create_dir(&logs).unwrap();
    let config = place.at("credwatch.toml");
    let text = fs::read_to_string(&config).unwrap();
    let with_logs = format!("logs = [{logs:?}]\nroots = [");
    fs::write(&config, text.replacen("roots = [", &with_logs, 1)).unwrap();
    let held = ["environment", "arguments", "history", "log"].map(token);
    secrets.extend(held.iter().map(|token| token[4..].to_owned()));

    let daemon = Daemon::start_with(&place, |command| {
        command.env("CREDWATCH_LOG", "trace");
    });
    let [in_environment, in_arguments, in_history, in_log] = &held;
    let wait = "import sys; print('here', flush=True); sys.stdin.readline()";
    let holder = Partner::start(python(wait, &[in_arguments]).env("DEPLOY_TOKEN", in_environment));
    std::thread::sleep(patiently(Duration::from_secs(1)));
    fs::write(logs.join("app.log"), format!("Bearer {in_log}\n")).unwrap();
    fs::write(root.join(".bash_history"), format!("curl {in_history}\n")).unwrap();
    place.until("each place is known", || {
        let known = place.credentials();
        let any = |is: &dyn Fn(&CredentialView) -> bool| known.iter().any(is);
        any(&|of| of.held.iter().any(|at| at.place == HeldIn::Arguments))
            && any(&|of| of.held.iter().any(|at| at.place != HeldIn::Arguments))
            && any(&|of| of.logs.contains(&logs.join("app.log")))
            && any(&|of| of.paths.contains(&root.join(".bash_history")))
    });
    let mut paths: Vec<_> = planted.iter().map(|of| root.join(of.name)).collect();
    paths.extend([key.path.clone(), pem.clone()]);
    for path in &paths {
        // Active, then retired, then by another program: every branch sees the content.
        run(&mut command("cat", &[path]));
        let changed = place.retire(path);
        assert!(!changed.is_empty());
        let done = run(&mut command("cat", &[path]));
        let what = format!("{} is a credential", path.display());
        place.wait(&what, done.is(DetectionId::RetiredCredentialRead));
        let copy = path.with_file_name("copied");
        run(&mut command("cp", &[path, &copy]));
        run(&mut command("md5sum", &[&copy]));
    }
    // What is written wrongly is inspected too, and errors must not quote it.
    for (name, value) in [("bad.pem", &secrets[0]), ("kubeconfig", &secrets[1])] {
        let text = format!("-----BEGIN PRIVATE KEY-----\n{value}\n-----END PRIVATE KEY-----\n");
        fs::write(root.join(name), text).unwrap();
        let _ = place
            .client(&["retire", root.join(name).to_str().unwrap()])
            .output();
    }
    fs::write(
        root.join("auth.json"),
        format!("{{\"auths\": {{{:?}", secrets[2]),
    )
    .unwrap();
    let mut printed = Vec::new();
    for args in [
        &["credentials"][..],
        &["credentials", "--output", "json"],
        &["alerts"],
        &["usage"],
        &["identities"],
        &["status"],
        &["report", "inventory"],
        &["report", "inventory", "--output", "csv"],
        &["report", "inventory", "--output", "json"],
    ] {
        let output = place.client(args).output().unwrap();
        assert!(output.status.success());
        printed.extend(output.stdout);
        printed.extend(output.stderr);
    }
    fs::write(place.at("printed"), printed).unwrap();
    let recording = place.at("a.rec");
    let mut record = place.client(&["record", recording.to_str().unwrap(), "--duration", "2s"]);
    record.env("CREDWATCH_LOG", "trace");
    let recorder = std::thread::spawn(move || record.output().unwrap());
    std::thread::sleep(Duration::from_millis(1_200));
    for path in &paths {
        run(&mut command("head", &[path]));
    }
    let recorded = recorder.join().unwrap();
    assert!(recorded.status.success(), "{recorded:?}");
    fs::write(
        place.at("recorder"),
        [recorded.stdout, recorded.stderr].concat(),
    )
    .unwrap();

    drop(holder.finish());
    // While it runs its write-ahead log is there; then it is killed, so that the log stays.
    let mut files = Vec::new();
    let gather = |files: &mut Vec<PathBuf>| {
        files.clear();
        files_below(place.state(), files);
        files.extend(
            [
                "alerts.jsonl",
                "stdout",
                "stderr",
                "printed",
                "recorder",
                "a.rec",
            ]
            .map(|name| place.at(name)),
        );
    };
    gather(&mut files);
    assert!(files.iter().any(|file| file.ends_with("credwatch.db-wal")));
    assert!(
        fs::metadata(place.at("stderr")).unwrap().len() > 10_000,
        "trace says much"
    );
    assert!(fs::metadata(&recording).unwrap().len() > 10_000);
    assert_clean(&files, &secrets);
    daemon.kill();
    gather(&mut files);
    assert_clean(&files, &secrets);
}
