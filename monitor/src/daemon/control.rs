//! What the daemon answers to its clients.

use tokio::sync::{mpsc, oneshot};

use super::allow;
use super::core::Core;
use super::doctor;
use super::learn;
use super::offboard;
use super::output::Stored;
use super::reload::InForce;
use super::restore::DeclaredIn;
use super::rights;
use super::rotation;
use super::target::{self, TargetError};
use super::words;
use crate::control::protocol::{
    Configuration, Delay, HookStatus, KubernetesStatus, SinkStatus, Status,
};
use crate::control::{PeerUser, Request, Response, life, views};
use crate::model::{CredentialState, Selector, Target, Timestamp, Usage};
use crate::registry::Registry;
use crate::storage::{Mode, Store};

/// A request with the way back.
pub(super) type Asked = (Request, PeerUser, oneshot::Sender<Response>);

/// Hands requests from the server's tasks to the one task that owns the state.
pub(super) async fn forward(request: Request, peer: PeerUser, to: mpsc::Sender<Asked>) -> Response {
    let (reply, answer) = oneshot::channel();
    let gone = || Response::Error {
        message: "the daemon is stopping".to_owned(),
    };
    if to.send((request, peer, reply)).await.is_err() {
        return gone();
    }
    answer.await.unwrap_or_else(|_| gone())
}

/// What the answers need beside the pipeline.
pub(super) struct Context {
    pub(super) started: Timestamp,
    pub(super) ready: bool,
    pub(super) kernel: String,
    pub(super) state_dir: std::path::PathBuf,
    pub(super) in_force: InForce,
    pub(super) kubernetes: Option<KubernetesStatus>,
}

/// Answers one request.
pub(super) async fn answer(
    request: Request,
    peer: &PeerUser,
    core: &mut Core<Stored>,
    context: &Context,
) -> Response {
    match request {
        Request::Status => Response::Status(Box::new(status(core, context))),
        Request::Doctor => {
            let report = doctor::report(core.sensor.hooks(), Some(std::process::id()));
            Response::Doctor(Box::new(report))
        }
        Request::Credentials => {
            let registry = &core.detector.state.registry;
            Response::Credentials(views::credentials(registry, core.sensor.now()))
        }
        Request::Identities => {
            let state = &core.detector.state;
            let account = |of: &Selector| state.host.account_of(of);
            let mut identities = views::identities(&state.registry, account);
            let name = |of| state.host.names(of).next().map(str::to_owned);
            let devices = identities.iter_mut().filter_map(|of| of.device.as_mut());
            devices.for_each(|of| of.name(name));
            Response::Identities(identities)
        }
        Request::Inventory => {
            let state = &core.detector.state;
            let account = |of: &Selector| state.host.account_of(of);
            let now = core.sensor.now();
            Response::Inventory(Box::new(views::inventory(&state.registry, account, now)))
        }
        Request::Alerts { limit } => alerts(limit, core, context).await,
        Request::Usage => {
            let state = &core.detector.state;
            let named = |row: &Usage| {
                let to = row.key.destination.parse::<std::net::SocketAddr>().ok();
                let name = to.and_then(|to| state.host.names(to.ip()).next());
                Usage {
                    name: name.map(str::to_owned),
                    ..row.clone()
                }
            };
            Response::Usage(state.registry.usage.rows().map(named).collect())
        }
        Request::History { target } => history(&target, core, context).await,
        Request::Baselines | Request::Habits { .. } | Request::BaselineDigest { .. } => {
            learn::answer(&request, &core.detector, core.sensor.now())
        }
        Request::BaselineWord {
            identity,
            word,
            reason,
        } => {
            let wish = words::Wish {
                identity: &identity,
                word,
                reason,
            };
            words::say(wish, peer, core).await
        }
        Request::Rotations { of } => {
            let window = core.detector.life().rotation_window;
            let (state, now) = (&core.detector.state, core.sensor.now());
            Response::Rotations(rotation::report(state, of.as_deref(), window, now))
        }
        Request::Retire { target, reason } => {
            change(
                &target,
                CredentialState::Retired,
                reason,
                peer,
                core,
                context,
            )
            .await
        }
        Request::Allow {
            alert,
            reason,
            seconds,
            force,
        } => {
            let wish = allow::Wish {
                alert: &alert,
                reason,
                seconds,
                force,
            };
            allow::allow(wish, peer, core, context).await
        }
        Request::Exceptions => Response::Exceptions(allow::all(core)),
        Request::Disallow { id } => allow::disallow(&id, core).await,
        Request::SafeToDelete { target } => offboard::safe_to_delete(target.as_deref(), core).await,
        Request::Overprivileged { identity } => rights::overprivileged(identity.as_deref(), core),
        Request::Offboard {
            identity,
            reason,
            include_shared,
            dry_run,
        } => offboard::offboard(&identity, reason, include_shared, dry_run, peer, core).await,
        Request::OffboardStatus { identity } => offboard::status(identity.as_deref(), core),
        Request::Restore { target } => {
            change(&target, CredentialState::Active, None, peer, core, context).await
        }
    }
}

async fn alerts(limit: u32, core: &Core<Stored>, context: &Context) -> Response {
    let failed = |error: &dyn std::fmt::Display| Response::Error {
        message: error.to_string(),
    };
    // What counted a repeat a moment ago is still on its way to the database.
    if let Err(error) = core.output.storage.flush().await {
        return failed(&error);
    }
    match Store::open(&context.state_dir, Mode::ReadOnly).and_then(|store| store.alerts(limit)) {
        Ok(alerts) => Response::Alerts(alerts),
        Err(error) => failed(&error),
    }
}

async fn history(target: &str, core: &Core<Stored>, context: &Context) -> Response {
    let told = async {
        core.output.storage.flush().await?;
        Store::open(&context.state_dir, Mode::ReadOnly).and_then(|store| store.load())
    };
    let snapshot = match told.await {
        Ok(snapshot) => snapshot,
        Err(error) => {
            return Response::Error {
                message: error.to_string(),
            };
        }
    };
    let registry = &core.detector.state.registry;
    let words = snapshot.words.iter().map(|of| (of.time, &of.said));
    let now = core.sensor.now();
    match life::history(&snapshot.changes, words, registry, target, now) {
        Ok(steps) => Response::History(steps),
        Err(message) => Response::Error { message },
    }
}

async fn change(
    given: &str,
    state: CredentialState,
    reason: Option<String>,
    peer: &PeerUser,
    core: &mut Core<Stored>,
    context: &Context,
) -> Response {
    match try_change(given, state, reason, peer, core, context).await {
        Ok(response) => response,
        Err(message) => Response::Error { message },
    }
}

async fn try_change(
    given: &str,
    state: CredentialState,
    reason: Option<String>,
    peer: &PeerUser,
    core: &mut Core<Stored>,
    context: &Context,
) -> Result<Response, String> {
    let registry = &core.detector.state.registry;
    let resolved = target::resolve(given, registry, &core.key)
        .map_err(|error: TargetError| error.to_string())?;
    for target in &resolved.targets {
        refuse_declared(target, state, registry, &context.in_force.declared_in)?;
    }
    if let Some(located) = resolved.located {
        let now = core.sensor.now();
        core.located(now, located).await;
    }
    let now = core.sensor.now();
    let registry = &core.detector.state.registry;
    let views = resolved.targets.iter();
    let views: Vec<_> = views
        .map(|of| target::view(of, state, registry, now))
        .collect();
    let changes = resolved.targets.into_iter();
    let changes: Vec<_> = changes
        .map(|of| target::change(of, state, &peer.name, reason.clone(), registry))
        .collect();
    let said = core.say(changes).await;
    said.map_err(|error| format!("nothing was changed: {error}"))?;
    Ok(Response::Changed(views))
}

/// A word of the registry's files would come back at the next start. One about a path holds for
/// every credential that lies there.
fn refuse_declared(
    target: &Target,
    state: CredentialState,
    registry: &Registry,
    declared_in: &DeclaredIn,
) -> Result<(), String> {
    let by_path = || match target {
        Target::Credential(fingerprint) => registry
            .credential(fingerprint)?
            .locations
            .iter()
            .find_map(|(path, _)| declared_in.get(&Target::Path(path.clone()))),
        _ => None,
    };
    match declared_in.get(target).or_else(by_path) {
        Some(declared) if state == CredentialState::Active => Err(format!(
            "its state is declared in {}: change it there, and the daemon takes it in",
            declared.file.display()
        )),
        _ => Ok(()),
    }
}

fn status(core: &Core<Stored>, context: &Context) -> Status {
    let hooks: Vec<_> = core
        .sensor
        .hooks()
        .into_iter()
        .map(|hook| HookStatus {
            name: hook.name.to_owned(),
            note: hook
                .failure()
                .map(|_| format!("not seen: {}; see `credwatch doctor`", hook.blind_to))
                .or_else(|| hook.remark.clone()),
            backend: hook.backend,
            attached: hook.attached,
            fired: hook.fired,
            lost: hook.lost,
            folded: hook.folded,
            capped: hook.capped,
        })
        .collect();
    let sinks = core.output.sinks.status().into_iter();
    let (credentials, identities) = core.detector.state.registry.counts();
    let in_force = &context.in_force;
    let wrong = [&in_force.wrong, &in_force.registry_wrong];
    Status {
        configuration: Configuration {
            file: in_force.file().to_owned(),
            since: in_force.since,
            waiting: in_force.waiting.iter().map(ToString::to_string).collect(),
            wrong: wrong.into_iter().flatten().cloned().collect(),
        },
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        started: context.started,
        ready: context.ready,
        kernel: context.kernel.clone(),
        lost: hooks.iter().map(|hook| hook.lost).sum::<u64>() + core.output.storage.stats().dropped,
        hooks,
        events: core.events,
        delay: Delay {
            p50_us: core.delays.quantile(0.5),
            p99_us: core.delays.quantile(0.99),
            max_us: core.delays.quantile(1.0),
        },
        credentials: credentials as u64,
        watched_files: core.sensor.watched_files() as u64,
        identities: identities as u64,
        alerts: core.raised,
        sinks: sinks
            .map(|sink| SinkStatus {
                name: sink.name,
                sent: sink.sent,
                failed: sink.failed,
                error: sink.error,
            })
            .collect(),
        kubernetes: context.kubernetes.clone(),
    }
}
