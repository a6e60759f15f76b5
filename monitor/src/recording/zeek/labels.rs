//! What data sets say of each connection in columns of their own. Read apart from the connections
//! themselves, so that nothing that looks at these can see it.

use std::io::BufRead;

use super::conn::{FIELDS, Networks, connection};
use super::connection::Connection;
use super::log::{ZeekError, rows};

/// A connection and the words about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labelled {
    /// The connection.
    pub connection: Connection,
    /// `Malicious`, `benign`, `Malicious   C&C`.
    pub label: Option<String>,
    /// `C&C-FileDownload`
    pub detailed: Option<String>,
}

const LABEL: &str = "label";
const DETAILED: &str = "detailed-label";
/// [`FIELDS`] and the two.
const LABELLED: &[&str; FIELDS.len() + 2] = &{
    let mut all = [LABEL; FIELDS.len() + 2];
    let mut at = 0;
    while at < FIELDS.len() {
        all[at] = FIELDS[at];
        at += 1;
    }
    all[FIELDS.len() + 1] = DETAILED;
    all
};

/// Hands on the connections of devices with their labels, in the order of the log. Lines that are no
/// connections are left out: whoever reads the connections tells of them.
///
/// # Errors
/// Where it is no conn log.
pub fn labelled(
    from: impl BufRead,
    networks: &Networks,
    mut each: impl FnMut(Labelled),
) -> Result<(), ZeekError> {
    rows(from, LABELLED, |_, row| {
        let Ok(row) = row else {
            return Ok(());
        };
        if let Ok(Some(connection)) = connection(&row, networks) {
            each(Labelled {
                connection,
                label: row.text(LABEL).map(str::to_owned),
                detailed: row.text(DETAILED).map(str::to_owned),
            });
        }
        Ok(())
    })
}
