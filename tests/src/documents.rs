//! The pages of `docs/` that are made from the code: they are what the code says, and the tests that they
//! name are there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use monitor::detection::catalog;
use monitor::model::DetectionId;

/// Writes the pages instead of comparing them.
const WRITE: &str = "CREDWATCH_WRITE_DOCS";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn the_pages_of_detections_are_what_the_code_says() {
    let docs = root().join("docs");
    let mut pages = vec![(docs.join("owasp-nhi.md"), catalog::nhi_page())];
    let detections = DetectionId::ALL.iter();
    pages.extend(
        detections.map(|&id| (docs.join(format!("detections/{id}.md")), catalog::page(id))),
    );
    if std::env::var_os(WRITE).is_some() {
        fs::create_dir_all(docs.join("detections")).unwrap();
        for (path, page) in &pages {
            fs::write(path, page).unwrap();
        }
    }
    for (path, page) in &pages {
        let written = fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == *page,
            "{} is not what the code says: run `{WRITE}=1 cargo xtask test documents`",
            path.display()
        );
    }
    let known: BTreeSet<_> = pages.iter().map(|(path, _)| path.clone()).collect();
    for entry in fs::read_dir(docs.join("detections")).unwrap() {
        let path = entry.unwrap().path();
        assert!(
            known.contains(&path),
            "{} is of no detection",
            path.display()
        );
    }
}

#[test]
fn every_detection_names_live_tests_that_are_there() {
    let live = root().join("tests/src/live");
    for &id in DetectionId::ALL {
        let entry = catalog::entry(id);
        assert!(!entry.proof.is_empty() && !entry.quiet.is_empty(), "{id}");
        for test in entry.proof.iter().chain(entry.quiet) {
            let (module, name) = test.split_once("::").unwrap();
            let source = fs::read_to_string(live.join(format!("{module}.rs"))).unwrap();
            let head = format!("#[test]\nfn {name}() {{");
            assert!(source.contains(&head), "{id}: there is no live test {test}");
        }
    }
}
