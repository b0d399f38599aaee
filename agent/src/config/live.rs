//! The configuration of a running agent: what is in force, and what becomes of a new file.

use super::labels::Labels;
use super::watch::FileWatch;
use super::{ConfigError, ConfigText, Document, NodeFacts, Resolved, resolve, wants_labels};
use crate::cli::Settings;
use crate::index::{IndexConfig, Policy};

use crate::report::{ConfigReport, PlanReport};
use fabric::{RackConfig, RackHandle, ReloadPlan, SessionPlan, SettingChange, Verdict};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// How many seconds pass until labels that nobody knows are asked for again, at the start.
const LABELS_RETRY: std::time::Duration = std::time::Duration::from_secs(1);

/// Makes configurations of files: everything beside the file that counts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Resolver {
    flags: Arc<Settings>,
    labels: Option<Labels>,
}

impl Resolver {
    /// With these flags, and labels where the node has a name.
    pub fn new(flags: Arc<Settings>, labels: Option<Labels>) -> Self {
        Self { flags, labels }
    }

    /// Reads the file that the flags name, if they name one, and resolves it. Waits for the labels of the node where they
    /// count: with those of no node, the sessions would have AS numbers of another rack.
    ///
    /// # Errors
    /// [`ConfigError`]
    pub async fn start(&self) -> Result<(Option<ConfigText>, Resolved), ConfigError> {
        let text = self.read().await?;
        let mut warned = false;
        loop {
            let error = match self.resolve(text.as_ref().map(ConfigText::document)).await {
                Ok(resolved) => return Ok((text, resolved)),
                Err(error) => error,
            };
            let waits = error.field.ends_with(".match.labels") && self.labels.is_some();
            if !waits {
                return Err(error);
            }
            if !std::mem::replace(&mut warned, true) {
                tracing::warn!("no session is started before the labels of the node are known: {error}");
            }
            tokio::time::sleep(LABELS_RETRY).await;
        }
    }

    /// The file that the flags name.
    async fn read(&self) -> Result<Option<ConfigText>, ConfigError> {
        let Some(path) = self.flags.config.clone() else {
            return Ok(None);
        };
        blocking(move || ConfigText::read(&path).map(Some)).await
    }

    /// Resolves a document for this node.
    ///
    /// # Errors
    /// [`ConfigError`]
    pub async fn resolve(&self, document: Option<Document<'_>>) -> Result<Resolved, ConfigError> {
        let labels = match &self.labels {
            Some(labels) if document.is_some_and(wants_labels) => labels.now().await,
            _ => None,
        };
        let node = NodeFacts {
            name: self.flags.node_name.clone(),
            labels,
        };
        let flags = Arc::clone(&self.flags);
        let owned = document.map(
            |Document {
                 name,
                 text,
                 directory,
             }| { (name.to_owned(), text.to_owned(), directory.to_owned()) },
        );
        blocking(move || {
            let document = owned.as_ref().map(|(name, text, directory)| Document {
                name,
                text,
                directory,
            });
            resolve(document, &flags, &node)
        })
        .await
    }

    /// The rack of a new configuration. A router id that is not set stays what it is.
    fn rack(&self, resolved: &Resolved, rack: &RackHandle) -> RackConfig {
        let router_id = resolved
            .router_id
            .unwrap_or_else(|| rack.watch().borrow().router_id);
        resolved.rack(router_id, self.flags.node_name.clone())
    }
}

/// Tells what a new file would do. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Planner {
    resolver: Resolver,
    rack: RackHandle,
    index: watch::Receiver<IndexConfig>,
}

impl Planner {
    /// Of an agent with that rack and index.
    pub fn new(resolver: Resolver, rack: RackHandle, index: watch::Receiver<IndexConfig>) -> Self {
        Self {
            resolver,
            rack,
            index,
        }
    }

    /// Compares a text to what is in force. Relative paths begin where they do in the file that the agent runs with; if
    /// it runs without one, in `directory`. `None`: the rack has ended.
    ///
    /// # Errors
    /// The text is no usable configuration.
    pub async fn plan(
        &self,
        name: &str,
        text: &str,
        directory: &Path,
    ) -> Result<Option<PlanReport>, ConfigError> {
        let own = self.resolver.flags.config.as_deref().map(super::directory_of);
        let document = Document {
            name,
            text,
            directory: own.as_deref().unwrap_or(directory),
        };
        let resolved = self.resolver.resolve(Some(document)).await?;
        let rack = self.resolver.rack(&resolved, &self.rack);
        let Some(ReloadPlan { sessions, mut rack }) = self.rack.plan(rack).await else {
            return Ok(None);
        };
        rack.extend(announce_change(&self.index.borrow().policy, &resolved.announce));
        Ok(Some(PlanReport {
            file: name.to_owned(),
            sessions,
            rack,
            warnings: resolved.warnings,
        }))
    }
}

fn announce_change(from: &Policy, to: &Policy) -> Option<SettingChange> {
    // Plain data can be written.
    let shown = |policy: &Policy| serde_json::to_string(policy).ok();
    (from != to).then(|| SettingChange {
        setting: "announce".to_owned(),
        from: shown(from),
        to: shown(to),
        resets: false,
    })
}

/// Takes over what changes in the file, the password files, and the labels of the node.
#[derive(Debug)]
pub struct Reloader {
    resolver: Resolver,
    rack: RackHandle,
    path: PathBuf,
    files: FileWatch,
    hangup: Signal,
    index: watch::Sender<IndexConfig>,
    in_force: Resolved,
    /// The text that is in force.
    text: String,
    status: watch::Sender<ConfigReport>,
}

impl Reloader {
    /// Of an agent that runs with `text`, resolved. What the index has to know of a new file is told to `index`.
    ///
    /// # Errors
    /// The process has no inotify instance or signal handler left.
    pub fn new(
        resolver: Resolver,
        rack: RackHandle,
        index: watch::Sender<IndexConfig>,
        text: ConfigText,
        resolved: Resolved,
    ) -> std::io::Result<Self> {
        let status = ConfigReport::loaded(&text.path, &text.text, &resolved.warnings, jiff::Timestamp::now());
        Ok(Self {
            resolver,
            rack,
            path: text.path,
            files: FileWatch::new()?,
            hangup: signal(SignalKind::hangup())?,
            index,
            in_force: resolved,
            text: text.text,
            status: watch::Sender::new(status),
        })
    }

    /// What it tells.
    pub fn status(&self) -> watch::Receiver<ConfigReport> {
        self.status.subscribe()
    }

    /// As long as it is polled.
    pub async fn run(mut self) {
        let mut labels = self.resolver.labels.as_ref().map(Labels::watch);
        if let Some(labels) = &mut labels {
            labels.mark_unchanged();
        }
        self.follow(None);
        loop {
            let new_labels = async {
                let changed = match &mut labels {
                    Some(labels) => labels.changed().await.is_ok(),
                    None => false,
                };
                if !changed {
                    std::future::pending::<()>().await;
                }
            };
            let cause = tokio::select! {
                () = self.files.changed() => "a file changed",
                _ = self.hangup.recv() => "SIGHUP",
                () = new_labels => "the labels of the node changed",
            };
            self.reload(cause).await;
        }
    }

    /// Follows what the configuration in force is made of, and the file for want of which one was refused.
    fn follow(&mut self, missing: Option<&Path>) {
        let passwords = self.in_force.password_files.iter().map(PathBuf::as_path);
        let files = passwords.chain(missing).chain([self.path.as_path()]);
        let manifests = self.resolver.flags.manifests.as_deref();
        let document = Document {
            name: "",
            text: &self.text,
            directory: Path::new(""),
        };
        let nodes = manifests.filter(|_| wants_labels(document));
        self.files.follow(files, nodes);
    }

    async fn reload(&mut self, cause: &'static str) {
        let path = self.path.clone();
        let read = match blocking(move || ConfigText::read(&path)).await {
            Ok(text) => {
                let resolved = self.resolver.resolve(Some(text.document())).await;
                resolved.map(|resolved| (text, resolved))
            }
            Err(error) => Err(error),
        };
        match read {
            Ok((text, resolved)) => self.take(cause, &text, resolved).await,
            Err(error) => self.refuse(&error),
        }
    }

    fn refuse(&mut self, refusal: &ConfigError) {
        let error = refusal.to_string();
        let changed = self.status.send_if_modified(|status| {
            let changed = status.error.as_ref() != Some(&error);
            if changed {
                status.error = Some(error.clone());
                status.failed_at = Some(jiff::Timestamp::now());
            }
            changed
        });
        if changed {
            tracing::warn!(
                error,
                "the new configuration cannot be used; everything stays as it is"
            );
        }
        self.follow(refusal.other_file.as_deref());
    }

    async fn take(&mut self, cause: &'static str, text: &ConfigText, resolved: Resolved) {
        let former = self.in_force.clone();
        let recovered = self.status.borrow().error.is_some();
        let same = former == resolved;
        if same && self.text == text.text && !recovered {
            tracing::debug!(cause, "the configuration is the same");
            return;
        }
        let mut refused = self.status.borrow().refused.clone();
        if !same {
            let config = self.resolver.rack(&resolved, &self.rack);
            let Some(plan) = self.rack.reconfigure(config, false).await else {
                // The rack has ended, and the process is about to.
                return;
            };
            log(cause, &plan);
            let sessions = plan
                .sessions
                .iter()
                .filter(|session| session.verdict == Verdict::Refused);
            refused = sessions.map(ToString::to_string).collect();
        }
        for warning in resolved
            .warnings
            .iter()
            .filter(|warning| !former.warnings.contains(warning))
        {
            tracing::warn!("{warning}");
        }
        if recovered {
            tracing::info!(cause, "the configuration can be used again");
        } else if same {
            tracing::info!(cause, "the configuration was read again and changes nothing");
        }
        // After the sessions: a family that is new has somebody to be announced to.
        self.index.send_if_modified(|index| {
            let families = resolved.families();
            let changed = index.policy != resolved.announce || index.families != families;
            (index.policy, index.families) = (resolved.announce, families);
            changed
        });
        let mut status =
            ConfigReport::loaded(&text.path, &text.text, &resolved.warnings, jiff::Timestamp::now());
        status.refused = refused;
        self.text.clone_from(&text.text);
        self.in_force = resolved;
        self.status.send_replace(status);
        self.follow(None);
    }
}

fn log(cause: &'static str, plan: &ReloadPlan) {
    for session in &plan.sessions {
        let SessionPlan {
            plane,
            neighbor,
            verdict,
            ..
        } = session;
        match verdict {
            Verdict::Unchanged => tracing::debug!(cause, plane, %neighbor, "{session}"),
            Verdict::Refused => tracing::warn!(cause, plane, %neighbor, "{session}"),
            Verdict::Soft | Verdict::Reset | Verdict::Added | Verdict::Removed => {
                tracing::info!(cause, plane, %neighbor, "{session}");
            }
        }
    }
    for change in &plan.rack {
        tracing::info!(cause, "{change}");
    }
}

/// Runs what waits for the disk. A panic in there is one here.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
