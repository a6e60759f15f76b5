//! Paths as the kernel half walks them: last component first.

use monitor_common::ReversedPath;

/// Turns the components round. A path whose walk was cut short starts with `…/`, so that nobody
/// takes it for a whole one.
pub(super) fn forward(path: &ReversedPath) -> String {
    let len = (path.len as usize).min(path.bytes.len());
    let mut components: Vec<_> = path.bytes[..len]
        .split(|byte| *byte == 0)
        .filter(|component| !component.is_empty())
        .map(String::from_utf8_lossy)
        .collect();
    components.reverse();
    let joined = components.join("/");
    match (path.complete, joined.is_empty()) {
        (0, true) => String::new(),
        (0, false) => format!("…/{joined}"),
        _ => format!("/{joined}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(components: &[u8], complete: u32) -> ReversedPath {
        let mut bytes = [0; 768];
        bytes[..components.len()].copy_from_slice(components);
        ReversedPath {
            len: components.len() as u32,
            complete,
            bytes,
        }
    }

    #[test]
    fn turns_components_round_and_marks_cut_ones() {
        assert_eq!(forward(&path(b"cat\0bin\0usr\0", 1)), "/usr/bin/cat");
        assert_eq!(forward(&path(b"deep\0er\0", 0)), "…/er/deep");
        assert_eq!(forward(&path(b"", 1)), "/");
        assert_eq!(forward(&path(b"", 0)), "");
        let mut wild = path(b"x\0", 1);
        wild.len = u32::MAX;
        assert_eq!(forward(&wild), "/x");
    }
}
