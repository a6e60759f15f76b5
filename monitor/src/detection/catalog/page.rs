//! The pages about detections in `docs/`, from what the catalog says.

use std::fmt::Write as _;

use super::entry;
use crate::model::DetectionId;

/// The OWASP Non-Human Identities Top 10 (2025): id, name, and why nothing detects it where that is so.
const NHI: [(&str, &str, &str); 10] = [
    ("NHI1", "Improper offboarding", ""),
    ("NHI2", "Secret leakage", ""),
    ("NHI3", "Vulnerable third-party NHI", ""),
    (
        "NHI4",
        "Insecure authentication",
        "Not yet: a credential in the clear is seen on the wire only (CW-212), which this version does not read.",
    ),
    ("NHI5", "Overprivileged NHI", ""),
    ("NHI6", "Insecure cloud deployment configurations", ""),
    ("NHI7", "Long-lived secrets", ""),
    ("NHI8", "Environment isolation", ""),
    ("NHI9", "NHI reuse", ""),
    ("NHI10", "Human use of NHI", ""),
];

/// The page of one detection, in Markdown.
pub fn page(id: DetectionId) -> String {
    let of = entry(id);
    let mut page = format!(
        "# {id}: {}\n\nMade from the code by `CREDWATCH_WRITE_DOCS=1 cargo xtask test documents`. Do not edit it by hand.\n\n",
        of.title
    );
    let frameworks = |of: &[&str]| match of {
        [] => "–".to_owned(),
        of => of.join(", "),
    };
    // Writing to a string does not fail.
    let _ = write!(
        page,
        "| severity | maturity | OWASP NHI | MITRE ATT&CK |\n|---|---|---|---|\n| {} | {} | {} | {} |\n\n> {}\n\n## What it \
         means\n\n{}\n\n## What explains it without an attack\n\n{}\n\n## What to do\n\n{}\n",
        of.severity.as_str(),
        of.maturity.as_str(),
        frameworks(of.owasp),
        frameworks(of.attack),
        of.sentence,
        of.meaning,
        of.innocent,
        of.next,
    );
    page.push_str("\n## Tests on the live kernel\n\n");
    for (what, tests) in [
        ("performs it", of.proof),
        ("ordinary use is quiet", of.quiet),
    ] {
        for test in tests {
            let _ = writeln!(page, "- {what}: `{test}`");
        }
    }
    page
}

/// The page of the OWASP Non-Human Identities Top 10, in Markdown.
pub fn nhi_page() -> String {
    let mut page = "# OWASP Non-Human Identities Top 10 (2025)\n\nMade from the code by `CREDWATCH_WRITE_DOCS=1 cargo xtask \
                    test documents`. Do not edit it by hand.\n\n| risk | detections | live tests |\n|---|---|---|\n"
        .to_owned();
    for (risk, name, reason) in NHI {
        let detections: Vec<_> = DetectionId::ALL
            .iter()
            .filter(|&&id| entry(id).owasp.contains(&risk))
            .collect();
        let titles: Vec<_> = detections
            .iter()
            .map(|&&id| format!("[{id}](detections/{id}.md) {}", entry(id).title))
            .collect();
        let tests: Vec<_> = detections
            .iter()
            .filter_map(|&&id| entry(id).proof.first())
            .map(|test| format!("`{test}`"))
            .collect();
        let (titles, tests) = match detections.is_empty() {
            true => (reason.to_owned(), "–".to_owned()),
            false => (titles.join("<br>"), tests.join("<br>")),
        };
        let _ = writeln!(page, "| {risk} {name} | {titles} | {tests} |");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_risk_has_a_detection_or_a_reason_and_no_detection_another_risk() {
        for (risk, name, reason) in NHI {
            let detected = DetectionId::ALL
                .iter()
                .any(|&id| entry(id).owasp.contains(&risk));
            assert!(detected == reason.is_empty(), "{risk} {name}: {reason}");
        }
        for &id in DetectionId::ALL {
            for risk in entry(id).owasp {
                assert!(NHI.iter().any(|(known, ..)| known == risk), "{id}: {risk}");
            }
        }
    }
}
