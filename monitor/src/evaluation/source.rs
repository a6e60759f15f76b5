//! Recordings and conn logs of one host, as facts in the order of time.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::episodes::Episodes;
use super::label::{self, Label, LabelError};
use crate::model::Record;
use crate::recording::zeek::{self, Networks, ZeekError};
use crate::recording::{Format, Reader, RecordingError};

/// What stands behind the name of a host in the name of its file.
const ENDINGS: [&str; 7] = [".gz", ".rec", ".csv", ".labeled", ".log", ".conn", ".json"];
/// Where the labels of a recording lie: in the place of its extension.
const LABELS: &str = "labels.jsonl";

/// A file.
#[derive(Debug, Clone)]
pub struct Source {
    /// Where it lies.
    pub path: PathBuf,
    /// What its host is called.
    pub name: String,
    format: Format,
    networks: Networks,
}

/// Why it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A recording that is damaged.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// No conn log.
    #[error(transparent)]
    Zeek(#[from] ZeekError),
    /// A conn log with lines that are no connections: figures without them would be others.
    #[error("{rejected} lines are no connections, the first is line {line}: {why}")]
    Rejected {
        /// How many.
        rejected: u64,
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The labels.
    #[error("{}: {error}", path.display())]
    Labels {
        /// Their file.
        path: PathBuf,
        /// What is wrong with it.
        error: LabelError,
    },
    /// A conn log without labels of its own.
    #[error("it has no column `label`: name a file of labels with --labels")]
    Unlabelled,
}

impl Source {
    /// A file whose form it tells itself, unless it is given.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn open(path: &Path, format: Option<Format>, networks: &Networks) -> io::Result<Self> {
        let format = match format {
            Some(format) => format,
            None => Format::of(&mut BufReader::new(File::open(path)?))?,
        };
        Ok(Self {
            path: path.to_owned(),
            name: name(path),
            format,
            networks: networks.clone(),
        })
    }

    fn plain(&self) -> Result<Box<dyn BufRead>, SourceError> {
        let file = BufReader::with_capacity(1 << 18, File::open(&self.path)?);
        Ok(match self.format {
            Format::Credwatch => Box::new(file),
            Format::ZeekConn => zeek::plain(file)?,
        })
    }

    /// Its facts.
    ///
    /// # Errors
    /// Where it is none of its form; of a recording that is damaged later, the last item is the error.
    pub fn records(
        &self,
    ) -> Result<Box<dyn Iterator<Item = Result<Record, SourceError>>>, SourceError> {
        let from = self.plain()?;
        if self.format == Format::Credwatch {
            let records = Reader::new(from)?;
            return Ok(Box::new(records.map(|of| of.map_err(SourceError::from))));
        }
        let log = zeek::read(from, &self.networks)?;
        if let Some(first) = log.told.first() {
            return Err(SourceError::Rejected {
                rejected: log.rejected,
                line: first.line,
                why: first.why.clone(),
            });
        }
        Ok(Box::new(zeek::records(log, Vec::new()).map(Ok)))
    }

    /// What is known to have happened there: from this file, or else from the one beside it, or the
    /// columns of a conn log.
    ///
    /// # Errors
    /// Where there is none, or it is wrong.
    pub fn labels(&self, file: Option<&Path>) -> Result<Vec<Label>, SourceError> {
        let beside = self.path.with_extension(LABELS);
        let file = match (file, self.format) {
            (Some(file), _) => file,
            (None, Format::Credwatch) => &beside,
            (None, Format::ZeekConn) => {
                let mut episodes = Episodes::default();
                zeek::labelled(self.plain()?, &self.networks, |of| episodes.add(of))?;
                if episodes.labelled() == 0 {
                    return Err(SourceError::Unlabelled);
                }
                return Ok(episodes.finish());
            }
        };
        let opened = File::open(file).map_err(LabelError::from);
        let labels = opened.and_then(|of| label::read(BufReader::new(of)));
        labels.map_err(|error| SourceError::Labels {
            path: file.to_owned(),
            error,
        })
    }
}

/// `capture-34-1` of `/data/capture-34-1.conn.log.labeled.gz`.
fn name(path: &Path) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let mut name = &*file;
    while let Some(shorter) = ENDINGS.iter().find_map(|of| name.strip_suffix(of))
        && !shorter.is_empty()
    {
        name = shorter;
    }
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_called_by_its_file() {
        for (path, expected) in [
            ("/data/host-1.rec", "host-1"),
            ("CTU-34-1.conn.log.labeled.csv.gz", "CTU-34-1"),
            ("conn.log", "conn"),
            (".rec", ".rec"),
            ("a.b", "a.b"),
        ] {
            assert_eq!(name(Path::new(path)), expected);
        }
    }
}
