//! How well content is recognised: samples of every kind, made here with the real tools where there
//! are some, and files that hold none, among them those of this machine.
//!
//! `CREDWATCH_WRITE_DOCS=1` writes what was measured to docs/recognition.md.

mod negatives;
mod positives;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::*;

/// One file.
pub(super) struct Sample {
    path: String,
    content: Vec<u8>,
    /// What it is: the kind of the one credential in it, or nothing.
    holds: Option<CredentialKind>,
}

/// Numbers that look random and are the same in every run.
pub(super) struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        // xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators").
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % limit
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    fn text(&mut self, alphabet: &str, len: usize) -> String {
        let alphabet = alphabet.as_bytes();
        (0..len)
            .map(|_| char::from(alphabet[self.below(alphabet.len())]))
            .collect()
    }

    fn base62(&mut self, len: usize) -> String {
        self.text(
            "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
            len,
        )
    }

    fn base64(&mut self, len: usize) -> String {
        self.text(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
            len,
        )
    }

    fn url64(&mut self, len: usize) -> String {
        self.text(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
            len,
        )
    }

    fn hex(&mut self, len: usize) -> String {
        self.text("0123456789abcdef", len)
    }
}

#[derive(Default)]
struct Score {
    samples: usize,
    hit: usize,
    missed: Vec<String>,
    wrong: Vec<String>,
}

impl Score {
    fn precision(&self) -> f64 {
        ratio(self.hit, self.hit + self.wrong.len())
    }

    fn recall(&self) -> f64 {
        ratio(self.hit, self.samples)
    }
}

fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        1.0
    } else {
        part as f64 / whole as f64
    }
}

/// Kinds by what was expected and found.
fn measure(samples: &[Sample]) -> BTreeMap<CredentialKind, Score> {
    let key = key();
    let mut scores: BTreeMap<CredentialKind, Score> = BTreeMap::new();
    for sample in samples {
        let found = of(&sample.path, &sample.content, &key);
        if let Some(kind) = sample.holds {
            let score = scores.entry(kind).or_default();
            score.samples += 1;
            if found.iter().any(|of| of.kind == kind) {
                score.hit += 1;
            } else {
                score.missed.push(sample.path.clone());
            }
        }
        for kind in kinds(&found)
            .into_iter()
            .filter(|kind| Some(*kind) != sample.holds)
        {
            let score = scores.entry(kind).or_default();
            score.wrong.push(sample.path.clone());
        }
    }
    scores
}

fn table(scores: &BTreeMap<CredentialKind, Score>) -> String {
    let mut text = "| kind | samples | found | missed | wrong | precision | recall |\n|---|---:|---:|---:|---:|---:|---:|\n".to_owned();
    let mut row = |name: &str, samples, hit, wrong, precision: f64, recall: f64| {
        let missed = samples - hit;
        writeln!(
            text,
            "| {name} | {samples} | {hit} | {missed} | {wrong} | {precision:.3} | {recall:.3} |"
        )
        .unwrap();
    };
    for (kind, of) in scores {
        row(
            kind.label(),
            of.samples,
            of.hit,
            of.wrong.len(),
            of.precision(),
            of.recall(),
        );
    }
    let sum = |of: fn(&Score) -> usize| scores.values().map(of).sum::<usize>();
    let (samples, hit, wrong) = (
        sum(|of| of.samples),
        sum(|of| of.hit),
        sum(|of| of.wrong.len()),
    );
    row(
        "**all**",
        samples,
        hit,
        wrong,
        ratio(hit, hit + wrong),
        ratio(hit, samples),
    );
    text
}

#[test]
fn recognition_is_measured() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let positives = positives::all(&mut dice);
    let made = negatives::made(&mut dice);
    let files = negatives::of_this_machine(2_000);
    assert!(positives.len() >= 300, "{}", positives.len());
    assert!(
        made.len() + files.len() >= 2_000,
        "{} and {}",
        made.len(),
        files.len()
    );
    let counts = (positives.len(), made.len(), files.len());
    let unknown = positives::of_no_known_shape(&mut dice);

    let mut samples = positives;
    samples.extend(made);
    samples.extend(files);
    let scores = measure(&samples);
    let table = table(&scores);
    let key = key();
    let mut others = BTreeMap::new();
    for (name, sample) in &unknown {
        let of: &mut (usize, usize) = others.entry(*name).or_default();
        of.0 += 1;
        of.1 += usize::from(!super::of(&sample.path, &sample.content, &key).is_empty());
    }
    let others: String = others
        .iter()
        .map(|(name, (samples, found))| format!("| {name} | {samples} | {found} |\n"))
        .collect();
    println!("{table}\n{others}");
    for (kind, score) in &scores {
        assert!(
            score.missed.is_empty(),
            "{kind:?} missed: {:#?}",
            score.missed
        );
        assert!(score.wrong.is_empty(), "{kind:?} wrong: {:#?}", score.wrong);
        assert!(score.samples >= 8, "{kind:?}: {}", score.samples);
    }
    if std::env::var_os("CREDWATCH_WRITE_DOCS").is_some() {
        write_docs(counts, &table, &others);
    }
}

fn write_docs((positives, made, files): (usize, usize, usize), table: &str, others: &str) {
    let page = format!(
        "# How well credentials are recognised\n\n\
         Written by `CREDWATCH_WRITE_DOCS=1 cargo test -p monitor --lib recognition_is_measured`, which fails when a \
         sample is missed or anything is taken for what it is not.\n\n\
         Measured on {positives} files with one credential each and {} with none. Keys and certificates are made by \
         `ssh-keygen`, OpenSSL and the `rcgen` library at the time of the test; tokens and files by the issuers' published formats, \
         with random values and, where there is one, the right checksum. Nothing in the corpus is anybody's.\n\n\
         The {made} files that were made to mislead are: public keys, certificates of authorities and requests, tokens with \
         a wrong checksum, length or alphabet, documentation's own examples (`AKIAIOSFODNN7EXAMPLE`, the token of jwt.io), \
         placeholders, truncated keys, logins without a password, locked accounts, random base64, base64url and \
         hexadecimal digits, UUIDs, minified code and prose. The other {files} are files of /etc and /usr/share that every account \
         can read, without those that OpenSSL takes for a private key (packages bring keys of their examples) and without certificates, which are public.\n\n\
         {table}\n\
         `found` and `missed` count samples; `wrong` counts credentials that were reported of a file that holds none \
         of that kind. A recall of 1 says that every format is read that is meant to be read, and not that every \
         secret has one of them:\n\n\
         ## Not recognised\n\n\
         What has no shape of its own is found only where it is declared (`registry.d`, `credwatch retire PATH`), or lies in a \
         place for secrets alone (`/run/credentials`, `/run/secrets`, `/etc/credstore`).\n\n\
         | secret | samples | found |\n|---|---:|---:|\n{others}",
        made + files,
    );
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/recognition.md");
    std::fs::write(path, page).unwrap();
}
