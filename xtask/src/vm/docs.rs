//! `docs/kernels.md`: what the matrix found, for operators.

use std::{collections::BTreeSet, fmt::Write as _};

use super::{doctor::Doctor, lanes, matrix::Row};

const HEAD: &str = "\
# Kernels

Made by `cargo xtask vm --write-docs`, which boots stock kernels of Debian and Ubuntu in emulated machines, runs the
live tests there, and writes down what `credwatch doctor` says. Do not edit it by hand.

Every host decides for itself, by trial: `credwatch doctor` tells what it took there, and why.
";

/// The page.
pub(super) fn page(rows: &[Row]) -> String {
    let mut page = HEAD.to_owned();
    page.push_str("\n## Tests\n\n| Linux | lane | tests | hooks by backend |\n|---|---|---|---|\n");
    for row in rows {
        let rungs = row.doctor.as_ref().map_or("–".to_owned(), Doctor::rungs);
        // Writing to a string does not fail.
        let _ = writeln!(
            page,
            "| {} | {} | {} | {rungs} |",
            row.release,
            row.lane.name,
            row.summary()
        );
    }
    page.push_str("\nThe lanes:\n\n");
    let mut seen = BTreeSet::new();
    for row in rows.iter().filter(|row| seen.insert(row.lane.name)) {
        let how = match row.lane {
            lanes::DEFAULT => "as the distribution boots it".to_owned(),
            lane => format!("with `{}`", lane.parameters),
        };
        let _ = writeln!(page, "- `{}`: {how}", row.lane.name);
    }
    backends(&mut page, rows);
    gaps(&mut page, rows);
    page
}

/// A table of hooks for each lane, a column for each kernel.
fn backends(page: &mut String, rows: &[Row]) {
    let mut lanes: Vec<&str> = Vec::new();
    for row in rows.iter().filter(|row| row.doctor.is_some()) {
        if !lanes.contains(&row.lane.name) {
            lanes.push(row.lane.name);
        }
    }
    for lane in lanes {
        let columns: Vec<(&str, &Doctor)> = rows
            .iter()
            .filter(|row| row.lane.name == lane)
            .filter_map(|row| Some((row.series, row.doctor.as_ref()?)))
            .collect();
        let _ = write!(page, "\n## Backends: `{lane}`\n\n| capability | hook |");
        for (series, _) in &columns {
            let _ = write!(page, " {series} |");
        }
        page.push_str("\n|---|---|");
        page.push_str(&"---|".repeat(columns.len()));
        page.push('\n');
        let mut hooks: Vec<(&str, &str)> = Vec::new();
        for hook in columns.iter().flat_map(|(_, doctor)| &doctor.hooks) {
            let name = (hook.capability.as_str(), hook.hook.as_str());
            if !hooks.contains(&name) {
                hooks.push(name);
            }
        }
        for (capability, name) in hooks {
            let _ = write!(page, "| {} | `{name}` |", cell(capability));
            for (_, doctor) in &columns {
                let hook = doctor.hooks.iter().find(|hook| hook.hook == name);
                let rung = hook.and_then(|hook| hook.rung());
                let _ = write!(page, " {} |", rung.map_or("–".to_owned(), cell));
            }
            page.push('\n');
        }
    }
}

/// What is not seen, and the backends that were tried first.
fn gaps(page: &mut String, rows: &[Row]) {
    page.push_str("\n## What is not covered, and what failed\n");
    for row in rows {
        let mut lines = Vec::new();
        if let Some(refusal) = &row.refusal {
            lines.push(format!("Credwatch does not start: {}", cell(refusal)));
        }
        for hook in row.doctor.iter().flat_map(|doctor| &doctor.hooks) {
            if let Some(gap) = &hook.gap {
                lines.push(format!("`{}`: not covered: {}", hook.hook, cell(gap)));
            }
            for tried in &hook.tried {
                let why = tried.failure.as_deref().unwrap_or("not said");
                lines.push(format!(
                    "`{}`: {} failed: {}",
                    hook.hook,
                    tried.backend,
                    cell(why)
                ));
            }
        }
        if lines.is_empty() {
            continue;
        }
        let _ = write!(page, "\n### Linux {}, `{}`\n\n", row.series, row.lane.name);
        for line in lines {
            let _ = writeln!(page, "- {line}");
        }
    }
}

/// On one line, and no end of a table's cell.
fn cell(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::{super::kernels::KERNELS, *};

    #[test]
    fn the_page_tells_backends_and_gaps() {
        let text = r#"{"hooks":[
            {"capability":"file","hook":"file_read","backend":"kprobe filemap_read","kind":"kprobe","attached":true,"fired":true,
             "tried":[{"backend":"fentry","failure":"EPERM | no\ntrampolines"}]},
            {"capability":"socket","hook":"unix_send","backend":"lsm x","kind":"lsm","attached":true,
             "fired":false,"gap":"use of agents"}]}"#;
        let rows = [Row::of_doctor(&KERNELS[1], Doctor::read(text).unwrap())];
        let page = page(&rows);
        for line in [
            "| 5.10 | default | 0 passed, 0 failed | kprobe 1, none 1 |",
            "| capability | hook | 5.10 |",
            "| file | `file_read` | kprobe filemap_read |",
            "| socket | `unix_send` | – |",
            "- `unix_send`: not covered: use of agents",
            "- `file_read`: fentry failed: EPERM \\| no trampolines",
        ] {
            assert!(page.lines().any(|of| of == line), "{line}\n{page}");
        }
    }
}
