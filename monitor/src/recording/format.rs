//! Which of the forms that can be replayed a file has.

use std::io::{self, BufRead};

use super::zeek;

/// A form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// What `credwatch record` writes.
    Credwatch,
    /// A conn log of Zeek, also in gzip.
    ZeekConn,
}

/// The name of a column that every conn log has.
const COLUMN: &[u8] = b"id.orig_h";

impl Format {
    /// By the first bytes of a file, which stay unread. What looks like nothing is taken for a recording,
    /// so that a damaged one is told as such.
    ///
    /// # Errors
    /// Those of the file.
    pub fn of(from: &mut impl BufRead) -> io::Result<Self> {
        let head = from.fill_buf()?;
        let is_comment = head.starts_with(b"#");
        let is_log = head.starts_with(&zeek::GZIP)
            || is_comment
            || head.windows(COLUMN.len()).any(|part| part == COLUMN);
        let is_recording = head.starts_with(br#"{"credwatch_recording""#);
        Ok(if is_log && !is_recording {
            Self::ZeekConn
        } else {
            Self::Credwatch
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::Writer;

    #[test]
    fn a_file_tells_its_form() {
        let mut recording = Vec::new();
        Writer::new(&mut recording, "id.orig_h")
            .unwrap()
            .flush()
            .unwrap();
        for (head, format) in [
            (&*recording, Format::Credwatch),
            (b"", Format::Credwatch),
            (b"hello\n", Format::Credwatch),
            (b"\x1f\x8b\x08", Format::ZeekConn),
            (b"#separator \\x09\n", Format::ZeekConn),
            (b"ts|uid|id.orig_h|id.orig_p\n", Format::ZeekConn),
            (br#"{"ts":1.5,"id.orig_h":"10.0.0.7"}"#, Format::ZeekConn),
        ] {
            let mut from = head;
            assert_eq!(Format::of(&mut from).unwrap(), format, "{head:?}");
            assert_eq!(from, head);
        }
    }
}
