use super::driver::Driver;
use crate::config::RackConfig;
use crate::plan::ReloadPlan;
use crate::rack::RouteChange;
use crate::status::{RackStatus, RouteStatus};
use bgp::RestartState;
use mio::Waker;
use net::bfd::BfdHandle;
use net::netlink::{PathToPeer, PathWatch, Target};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot, watch};
use wire::Prefix;

/// Commands that wait for the rack thread. Each carries at most a batch of changes, so this bounds the memory;
/// a sender that is faster waits.
const COMMANDS: usize = 64;

/// What the rack thread is told.
#[derive(Debug)]
pub(super) enum Command {
    Routes(Vec<RouteChange>),
    Complete,
    OpenEarly,
    Path(Target, PathToPeer),
    Status(oneshot::Sender<RackStatus>),
    Route(Prefix, oneshot::Sender<Vec<RouteStatus>>),
    Plan(Box<RackConfig>, oneshot::Sender<ReloadPlan>),
    Reconfigure {
        new: Box<RackConfig>,
        forced: bool,
        reply: oneshot::Sender<ReloadPlan>,
    },
    Stop(String),
    Restart(String),
}

/// Talks to the rack thread. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RackHandle {
    commands: mpsc::Sender<Command>,
    waker: Arc<Waker>,
    status: watch::Receiver<RackStatus>,
    bfd: Arc<OnceLock<BfdHandle>>,
}

/// The rack thread itself.
#[derive(Debug)]
pub struct RackThread(JoinHandle<()>);

/// The rack thread could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the rack thread while {attempt}: {source}")]
pub struct SpawnError {
    attempt: &'static str,
    source: std::io::Error,
}

/// Starts the rack thread and the observation of the ways to the switches. Must be called inside a tokio runtime,
/// which runs the observation; the sessions themselves do not depend on it. `restart` is what the switches are told of
/// the last run of this process, where graceful restart is configured.
///
/// # Errors
/// The operating system has no event queue or thread to give.
pub fn spawn(config: RackConfig, restart: RestartState) -> Result<(RackHandle, RackThread), SpawnError> {
    let at = |attempt| move |source| SpawnError { attempt, source };
    let (sender, commands) = mpsc::channel(COMMANDS);
    let (driver, links) = Driver::new(config, restart, commands).map_err(at("opening its event queue"))?;
    let thread = std::thread::Builder::new()
        .name("rack".to_owned())
        .spawn(move || driver.run())
        .map_err(at("creating the thread"))?;
    let handle = RackHandle {
        commands: sender,
        waker: links.waker,
        status: links.status,
        bfd: links.bfd,
    };
    tokio::spawn(observe(handle.clone(), links.targets));
    Ok((handle, RackThread(thread)))
}

/// Tells the rack thread the ways to the switches, whichever these are at the time, until the thread has ended.
async fn observe(rack: RackHandle, mut targets: watch::Receiver<Vec<Target>>) {
    loop {
        let present = targets.borrow_and_update().clone();
        let (mut paths, _) = PathWatch::spawn(present);
        loop {
            tokio::select! {
                changed = targets.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
                path = paths.recv() => {
                    let Some((target, path)) = path else { return };
                    if !rack.send(Command::Path(target, path)).await {
                        return;
                    }
                }
            }
        }
    }
}

impl RackHandle {
    /// Applies changes of the desired set; waits while the rack thread is busy. Keep a batch at a few thousand.
    pub async fn apply(&self, changes: Vec<RouteChange>) {
        self.send(Command::Routes(changes)).await;
    }

    /// Says that the desired set is complete for the first time.
    pub async fn set_complete(&self) {
        self.send(Command::Complete).await;
    }

    /// The rack at this moment, with counters; `None` if the thread has ended.
    pub async fn status(&self) -> Option<RackStatus> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Status(reply)).await;
        answer.await.ok()
    }

    /// What a configuration would change, compared to what the sessions have now. Nothing is done. `None` if the
    /// thread has ended.
    pub async fn plan(&self, new: RackConfig) -> Option<ReloadPlan> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Plan(Box::new(new), reply)).await;
        answer.await.ok()
    }

    /// Makes the rack that of another configuration, and tells what that means for each session. `None` if the
    /// thread has ended.
    ///
    /// Sessions whose settings do not change are not touched. Where sessions have to be reset or removed, that is done
    /// plane by plane, each only while another plane carries everything; what waits is told by
    /// [`SessionStatus::pending`](crate::SessionStatus::pending). `forced` waits for nothing. What is refused stays as
    /// it is. A later call replaces what is still pending.
    pub async fn reconfigure(&self, new: RackConfig, forced: bool) -> Option<ReloadPlan> {
        let (reply, answer) = oneshot::channel();
        let new = Box::new(new);
        self.send(Command::Reconfigure { new, forced, reply }).await;
        answer.await.ok()
    }

    /// The BFD thread, for its snapshot and recordings; `None` as long as no neighbour has wanted BFD.
    pub fn bfd(&self) -> Option<&BfdHandle> {
        self.bfd.get()
    }

    /// The rack after its last change of state. Counters in it are of that moment.
    pub fn watch(&self) -> watch::Receiver<RackStatus> {
        self.status.clone()
    }

    /// How far a prefix has come on each session.
    pub async fn route(&self, prefix: Prefix) -> Vec<RouteStatus> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Route(prefix, reply)).await;
        answer.await.unwrap_or_default()
    }

    /// Opens the gates before the desired set is complete, for one that is known from before; End-of-RIB waits.
    pub async fn open_early(&self) {
        self.send(Command::OpenEarly).await;
    }

    /// Closes all sessions so that the switches keep the routes, where graceful restart was agreed on, else as
    /// [`Self::stop`]; then ends the thread.
    pub async fn restart(&self, text: &str) {
        self.send(Command::Restart(text.to_owned())).await;
    }

    /// Closes all sessions with Cease/Administrative Shutdown and this text, then ends the thread.
    pub async fn stop(&self, text: &str) {
        self.send(Command::Stop(text.to_owned())).await;
    }

    async fn send(&self, command: Command) -> bool {
        let sent = self.commands.send(command).await.is_ok();
        if let Err(error) = self.waker.wake() {
            tracing::error!(%error, "cannot wake the rack thread");
        }
        sent
    }
}

impl RackThread {
    /// Waits until the thread has ended, which it does after [`RackHandle::stop`] or when all handles are gone.
    pub fn join(self) {
        if self.0.join().is_err() {
            tracing::error!("the rack thread has panicked");
        }
    }
}
