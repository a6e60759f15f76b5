//! Watches the API: a task for each kind of object, which lists, watches, and begins again where that
//! was lost; and what is told of an API server that is away.

use std::error::Error;
use std::fmt::Debug;
use std::time::Duration;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::ListParams;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, DefaultBackoff, Event, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::News;
use super::client::Reach;
use super::objects::{Changes, Heard, Kind, Object, Objects};
use crate::control::protocol::KubernetesStatus;
use crate::model::{ClusterUid, Fact, Selector, Timestamp};
use crate::registry::Cluster;

/// What may wait to be taken in. A server that is faster waits too: nothing of it is lost.
const WAITING: usize = 256;
/// How long an answer to a list may take.
const ANSWER: Duration = Duration::from_secs(60);
/// A watch that was put in place again and brings no error for so long works.
const SETTLED: Duration = Duration::from_secs(2);
/// How long the API may be away before that is an alert: a server that is started anew is not.
const AWAY: Duration = Duration::from_secs(30);
/// How many errors follow one another before all is listed anew: what was heard last may be of no
/// use to a server whose storage was brought back from a copy.
const ERRORS: u32 = 5;
/// Longest reason, in characters.
const REASON: usize = 240;

/// What a task has heard.
enum Said {
    Of(Heard),
    /// It gets no answer, or another than is asked for.
    Fails(String),
    Works,
}

/// The tasks, and what they have heard so far.
pub(in crate::daemon) struct Watch {
    said: mpsc::Receiver<(Kind, Said)>,
    tasks: [JoinHandle<()>; 2],
    accounts: Objects,
    pods: Objects,
    node: String,
    /// Why each of the two fails.
    failing: [Option<String>; 2],
    since: Timestamp,
    /// When it is told, unless it works by then; `None` where nothing fails, or that was told.
    tell_at: Option<Instant>,
    is_told: bool,
}

impl Watch {
    pub(super) fn start(reach: Reach, known: &[(ClusterUid, Selector)]) -> Self {
        let (to, said) = mpsc::channel(WAITING);
        let Reach { client, node } = reach;
        let of_node = watcher::Config::default().fields(&format!("spec.nodeName={node}"));
        let tasks = [
            tokio::spawn(watch::<ServiceAccount>(
                Api::all(client.clone()),
                watcher::Config::default(),
                Kind::Account,
                to.clone(),
            )),
            tokio::spawn(watch::<Pod>(Api::all(client), of_node, Kind::Pod, to)),
        ];
        let stored = |are_pods: bool| {
            let known = known.iter();
            let known = known.filter(move |(_, selector)| Cluster::is_pod(selector) == are_pods);
            known.map(|(uid, selector)| Object {
                uid: uid.clone(),
                selector: selector.clone(),
            })
        };
        Self {
            said,
            tasks,
            accounts: Objects::new(Kind::Account, stored(false)),
            pods: Objects::new(Kind::Pod, stored(true)),
            node,
            failing: [None, None],
            since: Timestamp::now(),
            tell_at: None,
            is_told: false,
        }
    }

    /// What follows from what is heard next.
    pub(super) async fn next(&mut self) -> Option<News> {
        let due = self.tell_at;
        let never = Instant::now() + Duration::from_secs(86_400);
        let said = tokio::select! {
            said = self.said.recv() => said?,
            () = sleep_until(due.unwrap_or(never)) => {
                let away = due.and_then(|_| self.away());
                self.tell_at = None;
                self.is_told = away.is_some();
                let facts = away.map(|away| Fact::ClusterApi { away: Some(away) });
                return Some(self.news(Changes {
                    facts: facts.into_iter().collect(),
                    ..Changes::default()
                }));
            }
        };
        let changes = self.take(said);
        Some(self.news(changes))
    }

    fn news(&self, changes: Changes) -> News {
        if changes.another_cluster {
            tracing::warn!(
                "none of the service accounts that were known is in the cluster: it is taken for \
                 another one, and none of them for deleted"
            );
        }
        News {
            facts: changes.facts,
            keep: changes.keep,
            status: KubernetesStatus {
                node: self.node.clone(),
                accounts: self.accounts.len() as u64,
                pods: self.pods.len() as u64,
                left_out: self.accounts.left_out() + self.pods.left_out(),
                away: self.away(),
                since: self.since,
            },
        }
    }

    fn away(&self) -> Option<String> {
        self.failing.iter().flatten().next().cloned()
    }

    fn take(&mut self, (kind, said): (Kind, Said)) -> Changes {
        let failing = &mut self.failing[usize::from(kind == Kind::Pod)];
        match said {
            Said::Of(heard) => match kind {
                Kind::Account => self.accounts.take(heard),
                Kind::Pod => self.pods.take(heard),
            },
            Said::Fails(reason) => {
                *failing = Some(format!("{} are not watched: {reason}", kind.plural()));
                if !self.is_told && self.tell_at.is_none() {
                    self.since = Timestamp::now();
                    self.tell_at = Some(Instant::now() + AWAY);
                }
                Changes::default()
            }
            Said::Works => {
                *failing = None;
                let mut changes = Changes::default();
                if self.failing.iter().all(Option::is_none) {
                    self.since = Timestamp::now();
                    self.tell_at = None;
                    if std::mem::take(&mut self.is_told) {
                        changes.facts.push(Fact::ClusterApi { away: None });
                    }
                }
                changes
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Lists and watches one kind of object, for as long as somebody listens.
async fn watch<K>(
    api: Api<PartialObjectMeta<K>>,
    config: watcher::Config,
    kind: Kind,
    to: mpsc::Sender<(Kind, Said)>,
) where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let begin = || Box::pin(watcher(api.clone(), config.clone()));
    let mut stream = begin();
    let mut backoff = DefaultBackoff::default();
    let (mut is_listing, mut is_failing, mut errors) = (true, false, 0);
    loop {
        // A watch is silent where nothing happens; one that has failed is said to work again when
        // it is so for a moment.
        let patience = match (is_listing, is_failing) {
            (true, _) => ANSWER,
            (false, true) => SETTLED,
            (false, false) => Duration::from_secs(86_400),
        };
        let said = match timeout(patience, stream.next()).await {
            Ok(None) => return,
            Err(_) if is_listing => {
                is_failing = true;
                Said::Fails(no_answer())
            }
            Err(_) => {
                (is_failing, errors) = (false, 0);
                backoff = DefaultBackoff::default();
                Said::Works
            }
            Ok(Some(Ok(event))) => {
                let answered = !matches!(event, Event::Init);
                if answered && is_failing {
                    (is_failing, errors) = (false, 0);
                    backoff = DefaultBackoff::default();
                    if to.send((kind, Said::Works)).await.is_err() {
                        return;
                    }
                }
                match event {
                    Event::Init => is_listing = true,
                    Event::InitDone => is_listing = false,
                    _ => {}
                }
                Said::Of(heard(kind, event))
            }
            // What was heard last is too long ago: all is listed anew.
            Ok(Some(Err(watcher::Error::WatchError(status)))) if status.code == 410 => {
                sleep(pause(&mut backoff)).await;
                continue;
            }
            Ok(Some(Err(error))) => {
                (is_failing, is_listing) = (true, false);
                errors += 1;
                let mut reason = shown(&error);
                loop {
                    if to.send((kind, Said::Fails(reason))).await.is_err() {
                        return;
                    }
                    sleep(pause(&mut backoff)).await;
                    let one = ListParams {
                        limit: Some(1),
                        field_selector: config.field_selector.clone(),
                        ..ListParams::default()
                    };
                    reason = match timeout(ANSWER, api.list(&one)).await {
                        Ok(Ok(_)) => break,
                        Ok(Err(error)) => shown(&error),
                        Err(_) => no_answer(),
                    };
                }
                if errors >= ERRORS {
                    errors = 0;
                    stream = begin();
                }
                continue;
            }
        };
        if to.send((kind, said)).await.is_err() {
            return;
        }
    }
}

/// How long to wait before it is tried again, longer each time and never the same for two nodes.
fn pause(backoff: &mut DefaultBackoff) -> Duration {
    backoff.next().unwrap_or(Duration::from_secs(30))
}

fn heard<K>(kind: Kind, event: Event<PartialObjectMeta<K>>) -> Heard {
    let (of, heard): (_, fn(Object) -> Heard) = match event {
        Event::Init => return Heard::Listing,
        Event::InitDone => return Heard::Listed,
        Event::InitApply(of) | Event::Apply(of) => (of, Heard::There),
        Event::Delete(of) => (of, Heard::Gone),
    };
    let text = |of: &Option<String>| of.clone().unwrap_or_default();
    let (namespace, name) = (text(&of.metadata.namespace), text(&of.metadata.name));
    Object::new(kind, &namespace, &name, &text(&of.metadata.uid)).map_or(Heard::Odd, heard)
}

fn no_answer() -> String {
    format!("the API server has not answered for {} s", ANSWER.as_secs())
}

/// An error with its causes, in one line that is not too long: parts of it are the server's words.
fn shown(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(of) = source {
        let more = of.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = of.source();
    }
    let plain = text.chars().map(|c| {
        let is_strange = c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
        if is_strange { ' ' } else { c }
    });
    plain.take(REASON).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Of(&'static str, Option<Box<Of>>);

    impl std::fmt::Display for Of {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Of {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|of| of as _)
        }
    }

    #[test]
    fn errors_are_one_short_line_with_their_causes() {
        let cause = Some(Box::new(Of("refused", Some(Box::new(Of("refused", None))))));
        assert_eq!(shown(&Of("no list", cause)), "no list: refused");
        let long: &'static str = "x\n\u{1b}[2J".repeat(400).leak();
        let text = shown(&Of(long, None));
        assert!(text.chars().count() == REASON && !text.contains(char::is_control));
    }
}
