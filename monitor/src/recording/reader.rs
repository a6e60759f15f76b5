//! Reads recordings, and says exactly where one is damaged.

use std::io::{self, BufRead};

use super::{Head, VERSION};
use crate::model::Record;

/// Longest line: a fact with many credentials is far below.
const LONGEST_LINE: u64 = 4 << 20;

/// Why a recording cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file.
    #[error("cannot read the recording: {0}")]
    Io(#[from] io::Error),
    /// Something else, or damaged from its first line.
    #[error("this is no credwatch recording: its first line is not the head of one")]
    NotARecording,
    /// Written by a newer program.
    #[error(
        "this recording is of form {found}, and this credwatch reads up to {VERSION}: replay it \
         with the version that wrote it ({program}) or a newer one"
    )]
    Newer {
        /// Its form.
        found: u32,
        /// What wrote it.
        program: String,
    },
    /// A line that is not what was written.
    #[error(
        "the recording is damaged in line {line}: {what}. What stands before was replayed; the \
         rest cannot be trusted"
    )]
    Damaged {
        /// Counted from 1, the head included.
        line: u64,
        /// How.
        what: &'static str,
    },
}

/// Reads a recording fact by fact. After an error there is nothing more.
pub struct Reader<R: BufRead> {
    from: R,
    head: Head,
    line: u64,
    over: bool,
}

impl<R: BufRead> Reader<R> {
    /// Reads the head.
    ///
    /// # Errors
    /// When this is no recording, or one of a newer form.
    pub fn new(mut from: R) -> Result<Self, RecordingError> {
        let mut line = Vec::new();
        read_line(&mut from, &mut line)?;
        /// What every version's head has.
        #[derive(serde::Deserialize)]
        struct Any {
            credwatch_recording: u32,
            program: Option<String>,
        }
        let any: Any = serde_json::from_slice(&line).map_err(|_| RecordingError::NotARecording)?;
        if any.credwatch_recording > VERSION {
            return Err(RecordingError::Newer {
                found: any.credwatch_recording,
                program: any.program.unwrap_or_else(|| "unnamed".to_owned()),
            });
        }
        let head = serde_json::from_slice(&line).map_err(|_| RecordingError::NotARecording)?;
        Ok(Self {
            from,
            head,
            line: 1,
            over: false,
        })
    }

    /// The head.
    pub fn head(&self) -> &Head {
        &self.head
    }

    fn read(&mut self) -> Result<Option<Record>, RecordingError> {
        let mut line = Vec::new();
        if read_line(&mut self.from, &mut line)? == 0 {
            return Ok(None);
        }
        self.line += 1;
        let damaged = |what| RecordingError::Damaged {
            line: self.line,
            what,
        };
        if line.pop() != Some(b'\n') {
            return Err(damaged("it is cut off"));
        }
        let (checksum, json) = line
            .split_at_checked(8)
            .and_then(|(checksum, rest)| Some((checksum, rest.strip_prefix(b" ")?)))
            .ok_or_else(|| damaged("it has no checksum"))?;
        let checksum = std::str::from_utf8(checksum)
            .ok()
            .and_then(|text| u32::from_str_radix(text, 16).ok())
            .ok_or_else(|| damaged("it has no checksum"))?;
        if checksum != crc32fast::hash(json) {
            return Err(damaged("its checksum does not match"));
        }
        serde_json::from_slice(json)
            .map(Some)
            .map_err(|_| damaged("it is whole, and no fact that this version knows"))
    }
}

/// Reads to a newline, the end, or the longest line that there can be.
fn read_line(from: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    let mut limited = io::Read::take(from, LONGEST_LINE);
    limited.read_until(b'\n', line)
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Record, RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = self.read().transpose();
        self.over = !matches!(next, Some(Ok(_)));
        next
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Fact, Timestamp};
    use crate::recording::Writer;

    fn recording() -> Vec<u8> {
        let mut file = Vec::new();
        let mut writer = Writer::new(&mut file, "6.18").unwrap();
        for (time, uid) in [(5, 0), (7, 1000)] {
            let name = Some("ana".to_owned());
            let fact = Fact::UserName {
                uid,
                name,
                account: None,
            };
            let time = Timestamp(time);
            writer.write(&Record { time, fact }).unwrap();
        }
        writer.flush().unwrap();
        drop(writer);
        file
    }

    fn error_of(bytes: &[u8]) -> String {
        match Reader::new(bytes) {
            Err(error) => error.to_string(),
            Ok(reader) => {
                let errors: Vec<_> = reader.filter_map(Result::err).collect();
                assert_eq!(errors.len(), 1, "one error ends it");
                errors[0].to_string()
            }
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let file = recording();
        let read: Vec<_> = Reader::new(&*file).unwrap().map(Result::unwrap).collect();
        assert_eq!(read.len(), 2);
        assert_eq!(read[1].time, Timestamp(7));
    }

    #[test]
    fn damage_is_told_with_its_line() {
        let file = recording();
        assert!(error_of(&file[..file.len() - 1]).contains("line 3: it is cut off"));
        let mut flipped = file.clone();
        let at = flipped.len() - 5;
        flipped[at] ^= 1;
        assert!(error_of(&flipped).contains("line 3: its checksum"));
        let newer = String::from_utf8(file)
            .unwrap()
            .replacen("recording\":1", "recording\":2", 1);
        assert!(error_of(newer.as_bytes()).contains("of form 2"));
        assert!(error_of(b"{}\n").contains("no credwatch recording"));
        assert!(error_of(b"").contains("no credwatch recording"));
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_facts_or_one_error(
            mut noise in proptest::collection::vec(any::<u8>(), 0..400),
            behind_head in any::<bool>(),
        ) {
            if behind_head {
                let mut file = recording();
                file.append(&mut noise);
                noise = file;
            }
            if let Ok(reader) = Reader::new(&*noise) {
                prop_assert!(reader.filter(Result::is_err).count() <= 1);
            }
        }
    }
}
