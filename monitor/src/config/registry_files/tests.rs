use std::fs;

use proptest::prelude::*;

use super::*;

fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

fn errors(files: &[(&str, &str)]) -> String {
    let directory = directory(files);
    let error = load_registry(directory.path()).unwrap_err().to_string();
    error.replace(&directory.path().display().to_string(), "registry.d")
}

#[test]
fn files_are_taken_in_order() {
    let directory = directory(&[
        (
            "20-late.toml",
            r#"
            [[identity]]
            selector = "unix:user:svc-legacy"
            state = "retired"
            "#,
        ),
        (
            "10-early.toml",
            r#"
            [[identity]]
            selector = "unix:user:b"
            state = "active"
            since = 2026-05-01T14:00:00+02:00
            [[credential]]
            path = "/srv/id"
            state = "retired"
            since = 2026-05-01
            reason = "moved to OIDC"
            owner = "unix:user:deploy"
            [[credential]]
            fingerprint = "SHA256:abc"
            state = "decoy"
            "#,
        ),
        (".hidden.toml", "nonsense"),
        ("notes.txt", "nonsense"),
    ]);
    let changes = load_registry(directory.path()).unwrap();
    let targets: Vec<_> = changes.iter().map(|(_, c)| c.target.clone()).collect();
    assert_eq!(
        targets,
        [
            Target::Identity("unix:user:b".parse().unwrap()),
            Target::Path("/srv/id".into()),
            Target::Credential(Fingerprint::new("SHA256:abc")),
            Target::Identity("unix:user:svc-legacy".parse().unwrap()),
        ]
    );
    let time = |text: &str| {
        let at: jiff::Timestamp = text.parse().unwrap();
        Some(Timestamp(i64::try_from(at.as_nanosecond()).unwrap()))
    };
    assert_eq!(changes[0].1.since, time("2026-05-01T12:00:00Z"));
    assert_eq!(
        changes[1],
        (
            directory.path().join("10-early.toml"),
            RegistryChange {
                target: Target::Path("/srv/id".into()),
                state: CredentialState::Retired,
                since: time("2026-05-01T00:00:00Z"),
                by: "10-early.toml".into(),
                reason: Some("moved to OIDC".into()),
                owner: Some("unix:user:deploy".parse().unwrap()),
            }
        )
    );
}

#[test]
fn an_absent_directory_holds_nothing() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(load_registry(&directory.path().join("absent")), Ok(vec![]));
    assert_eq!(load_registry(directory.path()), Ok(vec![]));
}

#[test]
fn contradictions_name_both_places() {
    let retired = "[[credential]]\npath = \"/a\"\nstate = \"retired\"\n";
    let active = "# a comment\n[[credential]]\npath = \"/a\"\nstate = \"active\"\n";
    insta::assert_snapshot!(errors(&[("a.toml", retired), ("b.toml", active)]));
    let twice = directory(&[("a.toml", retired), ("b.toml", retired)]);
    assert_eq!(load_registry(twice.path()).unwrap().len(), 2);
}

#[test]
fn all_mistakes_of_all_files_are_told() {
    insta::assert_snapshot!(errors(&[
        (
            "a.toml",
            r#"
[[identity]]
selector = "deploy"
state = "gone"
since = "yesterday"
[[identity]]
state = "retired"
[[identities]]
selector = "unix:user:a"
"#
        ),
        (
            "b.toml",
            r#"
[[credential]]
fingerprint = "ghp_0123456789abcdef"
state = "retired"
[[credential]]
fingerprint = "/srv/id"
path = "srv/id"
since = 2026-05-01T14:00:00
[[credential]]
fingerprint = "SHA256:x"
path = "/srv/id"
state = "retired"
[[credential]]
path = "/srv/id"
[[credential]]
state = "retired"
resaon = "x"
[[credential]]
state = "retired"
[identity]
selector = "unix:user:a"
"#
        ),
    ]));
}

#[test]
fn a_pasted_secret_is_not_repeated() {
    let secret = "ghp_0123456789abcdef0123";
    let text = format!("[[credential]]\nfingerprint = \"{secret}\"\nstate = \"retired\"\n");
    assert!(!errors(&[("a.toml", &text)]).contains(secret));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(\\[\\[(identity|credential)\\]\\]\n((state|since|path|fingerprint|selector|owner) = [\"0-9a-z:/TZ.-]{0,24}\n){0,4}){0,3}") {
        let mut problems = Vec::new();
        let _ = parse(Path::new("f"), &text, &mut Declared::new(), &mut problems);
    }
}
