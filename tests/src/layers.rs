//! The direction of the data, kept in the source: a stage imports only earlier stages.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};

/// The stages of `monitor`, each with those it may import. All of them stand before it.
const STAGES: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("telemetry", &[]),
    ("config", &["model"]),
    ("credential", &["model"]),
    ("decode", &["model"]),
    ("sensor", &["decode", "model"]),
    ("attribution", &["model"]),
    ("registry", &["model"]),
    ("baseline", &["model"]),
    (
        "detection",
        &["attribution", "baseline", "config", "model", "registry"],
    ),
    // To replay is to detect.
    ("recording", &["config", "detection", "model", "registry"]),
    ("evaluation", &["config", "detection", "model", "recording"]),
    ("sinks", &["config", "model"]),
    ("storage", &["model"]),
    // What clients are shown is views of the registry.
    ("control", &["baseline", "model", "registry"]),
    (
        "cli",
        &["control", "evaluation", "model", "registry", "storage"],
    ),
    // The one place that knows everybody.
    (
        "daemon",
        &[
            "attribution",
            "cli",
            "config",
            "control",
            "credential",
            "decode",
            "detection",
            "model",
            "recording",
            "registry",
            "sensor",
            "sinks",
            "storage",
            "telemetry",
        ],
    ),
];

/// Crates and words that one stage only may name.
const OWNED: &[(&str, &str)] = &[
    ("aya", "sensor"),
    ("aya_log", "sensor"),
    ("btf_rs", "sensor"),
    ("fanotify", "sensor"),
    ("nix", "sensor"),
    ("unsafe", "sensor"),
    ("syslog_fmt", "sinks"),
    ("rusqlite", "storage"),
    ("zeroize", "credential"),
    ("inotify", "credential"),
    ("clap", "cli"),
    ("kube", "daemon"),
    ("k8s_openapi", "daemon"),
];

/// A word of the source that matters here.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// `crate::STAGE`, or `super::…::STAGE` up to the root.
    Stage(String),
    /// One of [`OWNED`].
    Word(String),
}

/// One source file of `monitor` that is no test.
struct Source {
    file: PathBuf,
    /// `["sensor", "ring"]` of `sensor/ring.rs`.
    module: Vec<String>,
    /// How many modules within the file stand around what is being read.
    inner: usize,
    found: Vec<(usize, Found)>,
    /// Modules that exist for tests only.
    tests: Vec<String>,
}

impl Source {
    fn parse(file: &Path, root: &Path) -> Self {
        let text = fs::read_to_string(file).unwrap();
        Self::of(&text, file, root)
    }

    fn of(text: &str, file: &Path, root: &Path) -> Self {
        let below = file.strip_prefix(root).unwrap().with_extension("");
        let mut module: Vec<_> = below
            .iter()
            .map(|part| part.to_str().unwrap().to_owned())
            .collect();
        if module.last().is_some_and(|last| last == "mod") {
            module.pop();
        }
        let mut source = Self {
            file: file.to_owned(),
            module,
            inner: 0,
            found: Vec::new(),
            tests: Vec::new(),
        };
        let tokens: TokenStream = text
            .parse()
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        source.walk(tokens);
        source
    }

    fn stage(&self) -> &str {
        &self.module[0]
    }

    fn walk(&mut self, tokens: TokenStream) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            if is_test_attribute(&tokens[at..]) {
                at = self.skip_item(&tokens, at + 2);
                continue;
            }
            match &tokens[at] {
                TokenTree::Group(group) => {
                    let is_module = at >= 2 && is_ident(tokens.get(at - 2), "mod");
                    self.inner += usize::from(is_module);
                    self.walk(group.stream());
                    self.inner -= usize::from(is_module);
                }
                TokenTree::Ident(ident) => self.word(ident, &tokens, at),
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
            at += 1;
        }
    }

    fn word(&mut self, ident: &Ident, tokens: &[TokenTree], at: usize) {
        let word = ident.to_string();
        if OWNED.iter().any(|(owned, _)| *owned == word) {
            self.found.push((line(ident), Found::Word(word)));
            return;
        }
        // `super::super::x` in `a/b.rs` is `crate::x`.
        let is_continued = at >= 2 && is_colon(&tokens[at - 1]);
        let behind = match word.as_str() {
            "crate" => at + 1,
            "super" if !is_continued => {
                let mut end = at + 1;
                let mut steps = 1;
                while is_path_separator(tokens, end) && is_ident(tokens.get(end + 2), "super") {
                    end += 3;
                    steps += 1;
                }
                if steps < self.module.len() + self.inner {
                    return;
                }
                end
            }
            _ => return,
        };
        if !is_path_separator(tokens, behind) {
            return;
        }
        match tokens.get(behind + 2) {
            Some(TokenTree::Ident(stage)) => {
                let stage_name = Found::Stage(stage.to_string());
                self.found.push((line(stage), stage_name));
            }
            Some(TokenTree::Group(group)) => {
                // `crate::{a::x, b::y}`: the first of each part.
                let mut first = true;
                for token in group.stream() {
                    match token {
                        TokenTree::Ident(stage) if first => {
                            let name = Found::Stage(stage.to_string());
                            self.found.push((line(&stage), name));
                            first = false;
                        }
                        TokenTree::Punct(punct) if punct.as_char() == ',' => first = true,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }

    /// The place behind the item at `at`; notes a test module in a file of its own.
    fn skip_item(&mut self, tokens: &[TokenTree], mut at: usize) -> usize {
        while let Some(token) = tokens.get(at) {
            match token {
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => break,
                TokenTree::Punct(punct) if punct.as_char() == ';' => {
                    if let [.., TokenTree::Ident(keyword), TokenTree::Ident(name)] = &tokens[..at]
                        && keyword == "mod"
                    {
                        self.tests.push(name.to_string());
                    }
                    break;
                }
                _ => at += 1,
            }
        }
        at + 1
    }
}

/// `#[cfg(test)]`
fn is_test_attribute(tokens: &[TokenTree]) -> bool {
    match tokens {
        [TokenTree::Punct(hash), TokenTree::Group(attribute), ..] if hash.as_char() == '#' => {
            attribute.stream().to_string().replace(' ', "") == "cfg(test)"
        }
        _ => false,
    }
}

fn is_colon(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == ':')
}

fn is_path_separator(tokens: &[TokenTree], at: usize) -> bool {
    tokens
        .get(at..at + 2)
        .is_some_and(|two| two.iter().all(is_colon))
}

fn is_ident(token: Option<&TokenTree>, word: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(ident)) if ident == word)
}

fn line(ident: &Ident) -> usize {
    ident.span().start().line
}

fn rust_files(directory: &Path, to: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, to);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            to.push(path);
        }
    }
}

/// All sources of the library's stages, without those for tests.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../monitor/src");
    let root = root.canonicalize().unwrap();
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    files.sort();
    let joins = [root.join("lib.rs"), root.join("main.rs")];
    let mut sources: Vec<_> = files
        .iter()
        .filter(|file| !joins.contains(file))
        .map(|file| Source::parse(file, &root))
        .collect();
    let tests: Vec<Vec<String>> = sources
        .iter()
        .flat_map(|source| {
            let below = |name: &String| [&*source.module, std::slice::from_ref(name)].concat();
            source.tests.iter().map(below).collect::<Vec<_>>()
        })
        .collect();
    sources.retain(|source| !tests.iter().any(|test| source.module.starts_with(test)));
    sources
}

fn violations(sources: &[Source]) -> Vec<String> {
    let allowed: BTreeMap<_, _> = STAGES.iter().copied().collect();
    let mut violations = Vec::new();
    for source in sources {
        let stage = source.stage();
        let Some(allowed) = allowed.get(stage) else {
            let file = source.file.display();
            violations.push(format!("{file}: `{stage}` is no stage of the table"));
            continue;
        };
        for (line, found) in &source.found {
            let place = format!("{}:{line}", source.file.display());
            match found {
                Found::Stage(other) if other != stage && !allowed.contains(&other.as_str()) => {
                    violations.push(format!("{place}: {stage} imports {other}"));
                }
                Found::Word(word) => {
                    let owner = OWNED.iter().find(|(owned, _)| owned == word).unwrap().1;
                    if owner != stage {
                        violations.push(format!("{place}: only {owner} may name `{word}`"));
                    }
                }
                Found::Stage(_) => {}
            }
        }
    }
    violations
}

#[test]
fn a_stage_imports_only_earlier_stages() {
    let violations = violations(&sources());
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

#[test]
fn the_table_is_in_order_and_allows_nothing_that_is_not_needed() {
    let sources = sources();
    for (position, (stage, allowed)) in STAGES.iter().enumerate() {
        for other in *allowed {
            let earlier = STAGES[..position].iter().any(|(name, _)| name == other);
            assert!(
                earlier,
                "{stage} is allowed {other}, which stands behind it"
            );
        }
        let used: BTreeSet<_> = sources
            .iter()
            .filter(|source| source.stage() == *stage)
            .flat_map(|source| &source.found)
            .filter_map(|(_, found)| match found {
                Found::Stage(other) if other != stage => Some(other.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(used, allowed.iter().copied().collect(), "{stage}");
    }
    for (word, owner) in OWNED {
        let named = sources
            .iter()
            .flat_map(|source| &source.found)
            .any(|(_, found)| *found == Found::Word((*word).to_owned()));
        assert!(named, "nothing names `{word}` any more, not even {owner}");
    }
}

/// The check itself must be able to fail.
#[test]
fn violations_are_found_wherever_they_stand() {
    let root = Path::new("/src");
    let in_file = |file: &str, text: &str| {
        let source = Source::of(text, &root.join(file), root);
        violations(&[source]).join("\n")
    };
    let cases = [
        (
            "decode/x.rs",
            "use crate::sensor::Ring;",
            "/src/decode/x.rs:1: decode imports sensor",
        ),
        (
            "decode/x.rs",
            "\nuse crate::{model, sinks::Sinks};",
            "x.rs:2: decode imports sinks",
        ),
        (
            "decode/x.rs",
            "fn f() { crate::storage::open() }",
            "decode imports storage",
        ),
        (
            "decode/x.rs",
            "fn f() { m!(a, crate::storage::X) }",
            "decode imports storage",
        ),
        (
            "decode/x.rs",
            "use super::super::sensor;",
            "decode imports sensor",
        ),
        (
            "decode/mod.rs",
            "use super::sensor;",
            "decode imports sensor",
        ),
        (
            "decode/mod.rs",
            "fn f() { unsafe { g() } }",
            "only sensor may name `unsafe`",
        ),
        (
            "daemon/x.rs",
            "use aya::Ebpf;",
            "only sensor may name `aya`",
        ),
        ("novel/x.rs", "", "`novel` is no stage"),
        ("decode/x.rs", "use super::sensor;", ""),
        ("decode/mod.rs", "mod a { use super::sensor; }", ""),
        (
            "decode/x.rs",
            "use crate::model::Fact; use crate::decode::y;",
            "",
        ),
        (
            "decode/x.rs",
            "// use crate::sensor\nconst A: &str = \"crate::sensor unsafe\";",
            "",
        ),
        (
            "decode/x.rs",
            "#[cfg(test)]\nmod tests { use crate::sensor; }\nuse crate::model;",
            "",
        ),
        (
            "decode/x.rs",
            "#[cfg(test)] use crate::sensor; use crate::model;",
            "",
        ),
    ];
    for (file, text, expected) in cases {
        let found = in_file(file, text);
        if expected.is_empty() {
            assert_eq!(found, "", "{text}");
        } else {
            assert!(found.contains(expected), "{text}: {found:?}");
        }
    }
}
