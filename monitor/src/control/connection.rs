//! One client's connection: lines in, lines out, whatever the client sends.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{PeerUser, Request, Response};

/// The longest request, its newline included.
pub(super) const MAX_REQUEST: usize = 64 * 1024;
/// A client that says nothing, or takes nothing, for so long makes room for another.
const IDLE: Duration = Duration::from_secs(60);

/// Answers requests until the client hangs up, is idle for too long, or loses the thread.
pub(super) async fn serve<H, F>(
    mut stream: UnixStream,
    user: &PeerUser,
    handler: &H,
) -> io::Result<()>
where
    H: Fn(Request, PeerUser) -> F,
    F: Future<Output = Response>,
{
    let (read, mut write) = stream.split();
    let mut read = BufReader::new(read);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut limited = (&mut read).take(MAX_REQUEST as u64);
        match timeout(IDLE, limited.read_until(b'\n', &mut line)).await {
            Err(_) => return Ok(()),
            Ok(Err(error)) => return Err(error),
            Ok(Ok(0)) => return Ok(()),
            Ok(Ok(_)) => {}
        }
        if line.len() == MAX_REQUEST && line.last() != Some(&b'\n') {
            // Where the next request starts is not known: hang up.
            let problem = format!("a request has at most {MAX_REQUEST} bytes");
            return say(&mut write, &error(problem)).await;
        }
        let response = match serde_json::from_slice::<Request>(&line) {
            Ok(request) => handler(request, user.clone()).await,
            Err(problem) => error(format!("this is no request: {problem}")),
        };
        say(&mut write, &response).await?;
    }
}

/// An answer that says what went wrong.
pub(super) fn error(message: impl Into<String>) -> Response {
    Response::Error {
        message: message.into(),
    }
}

/// Writes one answer as one line.
pub(super) async fn say(
    to: &mut (impl AsyncWriteExt + Unpin),
    response: &Response,
) -> io::Result<()> {
    let mut line = serde_json::to_vec(response)
        .or_else(|problem| serde_json::to_vec(&error(format!("the answer is not JSON: {problem}"))))
        .map_err(io::Error::other)?;
    line.push(b'\n');
    timeout(IDLE, to.write_all(&line))
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
