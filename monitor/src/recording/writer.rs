//! Writes recordings.

use std::io::{self, BufWriter, Write};

use super::{Head, VERSION};
use crate::model::Record;

/// Writes a recording, buffered.
pub struct Writer<W: Write> {
    to: BufWriter<W>,
    line: Vec<u8>,
    records: u64,
}

impl<W: Write> Writer<W> {
    /// Writes the head.
    ///
    /// # Errors
    /// Those of the file.
    pub fn new(to: W, kernel: &str) -> io::Result<Self> {
        let mut to = BufWriter::new(to);
        let head = Head {
            credwatch_recording: VERSION,
            program: concat!("credwatch ", env!("CARGO_PKG_VERSION")).to_owned(),
            kernel: kernel.to_owned(),
        };
        serde_json::to_writer(&mut to, &head)?;
        to.write_all(b"\n")?;
        Ok(Self {
            to,
            line: Vec::new(),
            records: 0,
        })
    }

    /// Writes one fact.
    ///
    /// # Errors
    /// Those of the file.
    pub fn write(&mut self, record: &Record) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, record)?;
        write!(self.to, "{:08x} ", crc32fast::hash(&self.line))?;
        self.to.write_all(&self.line)?;
        self.to.write_all(b"\n")?;
        self.records += 1;
        Ok(())
    }

    /// Hands what is buffered to the file.
    ///
    /// # Errors
    /// Those of the file.
    pub fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }

    /// How many facts were written.
    pub fn records(&self) -> u64 {
        self.records
    }
}
