//! The loop of a running daemon, with what happens beside it: the self-test and re-reading.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, interval, timeout, timeout_at};

use super::cluster::Cluster;
use super::control::{Asked, Context, answer};
use super::core::Core;
use super::guard::{Guard, Noticed, Received, RunMark, Signals, Wish};
use super::heartbeat::{Beat, Heartbeat};
use super::kept::HostChanges;
use super::offboard;
use super::output::{Stored, say};
use super::parts::Parts;
use super::reload::reload;
use super::startup::ticks;
use crate::credential::Found;

/// How long the name of who stops the daemon may take.
const NAMED: Duration = Duration::from_millis(300);

/// How long an answer may wait for what happened before it was asked for. A client waits longer.
const CAUGHT_UP: Duration = Duration::from_secs(10);
/// Events lie in the ring for at most `sensor.wakeup_interval`, which is far less.
const NOTHING_COMES: Duration = Duration::from_millis(500);

/// What the daemon has to watch itself.
pub(super) struct Own<'a> {
    pub(super) signals: &'a mut Signals,
    pub(super) mark: &'a mut RunMark,
    pub(super) guard: &'a mut Guard,
    pub(super) host: &'a mut HostChanges,
    pub(super) cluster: &'a mut Cluster,
}

/// The loop: one task owns all state, and everything comes to it by queues. Ends when a signal has
/// asked for it, and that was said.
pub(super) async fn serve(
    core: &mut Core<Stored>,
    parts: &mut Parts,
    own: Own<'_>,
    mut asked: mpsc::Receiver<Asked>,
    mut context: Context,
) {
    let mut tick = ticks();
    let mut slow = interval(Duration::from_secs(10));
    let every = context.in_force.config.sensor.heartbeat;
    let mut heart = Heartbeat::start(&core.sensor, &context.state_dir, every);
    let (mut scanned, mut proven) = (false, false);
    loop {
        tokio::select! {
            Some(batch) = parts.batches.recv() => core.batch(batch).await,
            Some(found) = parts.found.recv() => {
                let is_done = matches!(found, Found::ScanDone(_));
                core.found(found).await;
                if is_done {
                    scanned = true;
                    core.retire_with_owners().await;
                }
            }
            Some(fact) = parts.held.recv() => core.fact(fact).await,
            Some((request, peer, reply)) = asked.recv() => {
                let is_about_all = request.is_about_all_until_now();
                let is_behind = is_about_all && !catch_up(core, parts).await;
                let mut response = answer(request, &peer, core, &context).await;
                if is_behind {
                    offboard::say_behind(&mut response);
                }
                // A client that has gone away wants no answer.
                let _ = reply.send(response);
            }
            Some(beat) = heart.beats.recv() => match beat {
                Beat::Fact(fact) => core.fact(*fact).await,
                Beat::Proven => proven = true,
            },
            _ = tick.tick() => core.tick().await,
            Some(looked) = own.host.next() => core.accounts(looked).await,
            Some(news) = own.cluster.next() => {
                let (facts, keep, status) = news.split();
                context.kubernetes = Some(status);
                core.cluster(facts, keep).await;
            }
            Some(noticed) = own.guard.facts.recv() => match noticed {
                Noticed::Fact(fact) => core.fact(*fact).await,
                Noticed::Declared => {
                    reload(core, parts, &mut context.in_force).await;
                    own.guard.goes_by(&context.in_force);
                }
            },
            _ = slow.tick() => {
                core.output.store_seen(own.mark.beat());
                own.host.look_at_units(core).await;
                core.keep();
                core.keep_baselines();
                let sensor = Arc::clone(&core.sensor);
                tokio::task::spawn_blocking(move || sensor.watch_control_sockets());
            }
            received = own.signals.next() => match received.wish {
                Wish::Stop => break say_stopping(core, parts, received).await,
                Wish::Reload => {
                    reload(core, parts, &mut context.in_force).await;
                    own.guard.goes_by(&context.in_force);
                }
            },
        }
        if !context.ready && scanned && proven {
            context.ready = true;
            let (credentials, _) = core.detector.state.registry.counts();
            say(&format!(
                "ready: {}, {} watched",
                counted(credentials, "credential"),
                counted(core.sensor.watched_files(), "file")
            ));
        }
    }
    // It may be in the middle of a beat, which needs the sensor's thread to go on.
    let end = heart.end();
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => break,
            Some(batch) = parts.batches.recv() => core.batch(batch).await,
        }
    }
}

/// Takes in what has happened until now, for who asks what did not happen: on a busy host events wait
/// for seconds. All that came before has come when something later has, or when nothing comes. Says
/// whether it has come.
async fn catch_up(core: &mut Core<Stored>, parts: &mut Parts) -> bool {
    let now = core.sensor.now();
    let deadline = Instant::now() + CAUGHT_UP;
    loop {
        match timeout(NOTHING_COMES, parts.batches.recv()).await {
            Err(_) | Ok(None) => return true,
            Ok(Some(batch)) => {
                let is_later = batch.last().is_some_and(|last| last.time() > now);
                core.batch(batch).await;
                if is_later {
                    return true;
                }
            }
        }
        if Instant::now() >= deadline {
            return false;
        }
    }
}

/// Says who stops the daemon, before anything else is done for the end. The sender's own start may
/// still be on its way: it has arrived when something later has.
async fn say_stopping(core: &mut Core<Stored>, parts: &mut Parts, received: Received) {
    let deadline = Instant::now() + NAMED;
    while let Ok(Some(batch)) = timeout_at(deadline, parts.batches.recv()).await {
        let later = batch.last().is_some_and(|last| last.time() > received.time);
        core.batch(batch).await;
        if later {
            break;
        }
    }
    core.take(received.stopping()).await;
}

fn counted(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
