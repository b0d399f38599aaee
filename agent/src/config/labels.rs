//! The labels of the own Node object, for `match.labels`. Nothing is asked for as long as no file matches by labels.

use crate::sources::manifests;
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Node;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// How long a first answer of the API server is waited for before it is said that there is none.
const FIRST_ANSWER: Duration = Duration::from_secs(5);

/// The labels of a node.
pub type LabelMap = BTreeMap<String, String>;

/// Where Node objects are.
#[derive(Clone)]
pub enum NodeSource {
    /// In the directory of manifests.
    Manifests(PathBuf),
    /// At an API server.
    Kubernetes(Client),
}

/// Knows the labels of one node. Cheap to clone; clones share what is known.
#[derive(Clone)]
pub struct Labels {
    node: Arc<str>,
    source: NodeSource,
    known: watch::Sender<Option<LabelMap>>,
    started: Arc<Mutex<bool>>,
}

impl std::fmt::Debug for Labels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Labels")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

impl Labels {
    /// Of that node. Asks nobody yet.
    pub fn new(node: &str, source: NodeSource) -> Self {
        Self {
            node: node.into(),
            source,
            known: watch::Sender::new(None),
            started: Arc::default(),
        }
    }

    /// The labels as they were known last; asks for them if that is the first call. `None` where they were never known.
    pub async fn now(&self) -> Option<LabelMap> {
        match &self.source {
            NodeSource::Manifests(dir) => {
                let (dir, node) = (dir.clone(), Arc::clone(&self.node));
                let found = tokio::task::spawn_blocking(move || manifests::node_labels(&dir, &node)).await;
                if let Ok(Some(labels)) = found {
                    self.learn(labels);
                } else if self.known.borrow().is_some() {
                    tracing::warn!(node = %self.node, "its Node is no longer in --manifests; its last labels stay");
                }
            }
            NodeSource::Kubernetes(client) => {
                let is_first = !std::mem::replace(
                    &mut *self.started.lock().unwrap_or_else(PoisonError::into_inner),
                    true,
                );
                if is_first {
                    tokio::spawn(self.clone().follow(client.clone()));
                    let mut known = self.known.subscribe();
                    // Later answers come as changes.
                    let _ = tokio::time::timeout(FIRST_ANSWER, known.wait_for(Option::is_some)).await;
                }
            }
        }
        self.known.borrow().clone()
    }

    /// Tells of changes.
    pub fn watch(&self) -> watch::Receiver<Option<LabelMap>> {
        self.known.subscribe()
    }

    fn learn(&self, labels: LabelMap) {
        self.known.send_if_modified(|known| {
            let changed = known.as_ref() != Some(&labels);
            *known = Some(labels);
            changed
        });
    }

    /// Until the process ends. Trouble takes nothing away.
    async fn follow(self, client: Client) {
        let api: Api<PartialObjectMeta<Node>> = Api::all(client);
        let only = watcher::Config::default().fields(&format!("metadata.name={}", self.node));
        let mut events = pin!(watcher(api, only).default_backoff());
        let mut trouble = None;
        let mut seen = false;
        while let Some(event) = events.next().await {
            let complaint = match event {
                Ok(Event::Init) => {
                    seen = false;
                    continue;
                }
                Ok(Event::Apply(node) | Event::InitApply(node)) => {
                    seen = true;
                    self.learn(node.metadata.labels.unwrap_or_default());
                    None
                }
                Ok(Event::InitDone) if seen => None,
                Ok(Event::InitDone | Event::Delete(_)) => {
                    Some(format!("there is no Node {}; check --node-name", self.node))
                }
                Err(error) => Some(format!("{error}; the speaker needs get, list and watch on nodes")),
            };
            if complaint == trouble {
                continue;
            }
            match &complaint {
                Some(reason) => tracing::warn!(
                    node = %self.node, reason,
                    "cannot read the labels of the node; the last ones stay"
                ),
                None => tracing::info!(node = %self.node, "the labels of the node are known"),
            }
            trouble = complaint;
        }
    }
}
