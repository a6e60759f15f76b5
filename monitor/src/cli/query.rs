//! Asks the daemon, or the database where no daemon runs.

use std::path::Path;

use anyhow::anyhow;

use super::CommandError;
use super::exit::note;
use crate::control::{Client, ControlError, Request, Response};
use crate::storage::{self, Mode, Store};

/// Asks the daemon; where none runs, reads the database and says so on stderr.
pub(super) fn ask_or_read<T>(
    state_dir: &Path,
    request: &Request,
    answer: impl FnOnce(Response) -> Option<T>,
    read: impl FnOnce(&Store) -> storage::Result<T>,
) -> Result<T, CommandError> {
    match Client::connect(state_dir) {
        Ok(mut client) => ask(&mut client, request, answer),
        Err(ControlError::NotRunning { path }) => {
            let store = Store::open(state_dir, Mode::ReadOnly)?;
            note(&format!(
                "no daemon answers at {}; this is what {} holds",
                path.display(),
                store.path().display()
            ));
            Ok(read(&store)?)
        }
        Err(error) => Err(error.into()),
    }
}

/// Asks, and takes the answer of the kind that belongs to the request.
pub(super) fn ask<T>(
    client: &mut Client,
    request: &Request,
    answer: impl FnOnce(Response) -> Option<T>,
) -> Result<T, CommandError> {
    match client.call(request)? {
        Response::Error { message } => Err(anyhow!(message).into()),
        response => answer(response).ok_or_else(|| {
            anyhow!(
                "the daemon answered something else than was asked: are both of the same version?"
            )
            .into()
        }),
    }
}
