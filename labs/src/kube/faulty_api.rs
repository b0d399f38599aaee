//! An API server that misbehaves on request.
//!
//! It speaks what clients of Kubernetes use to follow objects: lists with pages and selectors, watches with bookmarks and
//! versions that expire, and simple writes; without discovery, TLS and roles. It runs inside the test, which changes its
//! objects and its manners by calling methods. Without faults it behaves like the real server; a test in
//! `labs/tests/kube` runs both against one script.

mod fault;
mod serve;
mod store;
mod watching;

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::socket;
use serde_json::Value;

pub use fault::{Fault, Rule, Verb};

use super::client::ApiClient;
use super::kinds::Kind;
use super::users::{self, ADMIN, User};
use crate::netns::Netns;
use crate::wait;
use fault::Rules;
use store::{Entry, Store};

/// The server. Dropping it closes every connection.
#[derive(Debug)]
pub struct FaultyApi {
    address: SocketAddr,
    netns: Option<Netns>,
    shared: Arc<Shared>,
    listener: Mutex<Option<Listener>>,
}

/// A request that the server has seen.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The path with the query.
    pub path: String,
    /// What it asks for; nothing for paths that are no objects.
    pub verb: Option<Verb>,
    /// The name of the kind, empty for paths that are no objects.
    pub kind: &'static str,
    /// The token that was shown.
    pub token: Option<String>,
    /// The body, if it was JSON.
    pub body: Value,
    /// When its head had arrived.
    pub at: Instant,
}

#[derive(Debug)]
struct Listener {
    socket: TcpListener,
    thread: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    store: Store,
    rules: Rules,
    requests: Vec<Request>,
    /// The kinds that open watches are about.
    watches: Vec<usize>,
    connections: Vec<(u64, TcpStream)>,
    next_connection: u64,
    /// Grows when every connection is to end.
    era: u64,
    /// Grows when every watch is to end.
    watch_era: u64,
}

impl FaultyApi {
    /// Starts a server on the machine's loopback.
    pub fn start() -> Result<Self> {
        Self::open(None, SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// Starts a server in a namespace, on this address; port 0 takes a free one.
    pub fn start_in(netns: &Netns, address: SocketAddr) -> Result<Self> {
        Self::open(Some(netns.clone()), address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Writes a kubeconfig for it.
    pub fn kubeconfig(&self, path: &Path) -> Result<PathBuf> {
        users::write_kubeconfig(path, &self.url(), None, &User::named(ADMIN))
    }

    /// A client of it.
    pub fn client(&self) -> ApiClient {
        let client = ApiClient::plain(self.address);
        match &self.netns {
            Some(netns) => client.from(netns),
            None => client,
        }
    }

    /// Replaces all objects at once, as if the server had another history. Watches can continue from no older version.
    pub fn set_objects(&self, objects: impl IntoIterator<Item = Value>) -> Result<()> {
        self.change(|state| state.store.replace(objects))
    }

    /// Creates or replaces an object.
    pub fn put(&self, object: Value) -> Result<()> {
        self.change(|state| state.store.put(object).map(drop))
    }

    /// Deletes an object. The namespace is ignored where there is none.
    pub fn delete(&self, kind: &str, namespace: &str, name: &str) -> Result<()> {
        let key = store::key(store::place(Kind::named(kind)?), namespace, name);
        let deleted = self.change(|state| state.store.delete(&key))?;
        deleted
            .map(drop)
            .with_context(|| format!("there is no {kind} {name}"))
    }

    /// An object as it is now.
    pub fn object(&self, kind: &str, namespace: &str, name: &str) -> Result<Value> {
        let key = store::key(store::place(Kind::named(kind)?), namespace, name);
        let state = self.shared.lock();
        let text = state
            .store
            .get(&key)
            .with_context(|| format!("there is no {kind} {name}"))?;
        Ok(serde_json::from_str(text)?)
    }

    /// Forgets what happened: watches that are opened from an older version are told that it is gone.
    pub fn compact(&self) {
        self.shared.lock().store.forget();
        self.shared.changed.notify_all();
    }

    /// Sends a bookmark to every open watch that wants bookmarks.
    pub fn bookmark(&self) {
        self.shared.lock().store.record(Entry::Bookmark);
        self.shared.changed.notify_all();
    }

    /// Sends a line of any content to every open watch of a kind.
    pub fn send(&self, kind: &str, text: &str) -> Result<()> {
        let kind = store::place(Kind::named(kind)?);
        let text = text.into();
        self.shared.lock().store.record(Entry::Raw { kind, text });
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Lets a fault happen from now on.
    pub fn inject(&self, rule: impl Into<Rule>) {
        self.shared.lock().rules.add(rule.into());
        self.shared.changed.notify_all();
    }

    /// Ends all faults. What a black hole has swallowed stays swallowed.
    pub fn heal(&self) {
        self.shared.lock().rules.clear();
        self.shared.changed.notify_all();
    }

    /// Ends every open watch, politely.
    pub fn close_watches(&self) {
        self.shared.lock().watch_era += 1;
        self.shared.changed.notify_all();
    }

    /// Closes every connection and refuses new ones.
    pub fn stop(&self) -> Result<()> {
        let listener = self
            .listener
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(listener) = listener {
            // This wakes the thread that waits for connections.
            socket::shutdown(listener.socket.as_raw_fd(), socket::Shutdown::Both)?;
            let _ = listener.thread.join();
        }
        let mut state = self.shared.lock();
        state.era += 1;
        for (_, connection) in &state.connections {
            let _ = connection.shutdown(Shutdown::Both);
        }
        drop(state);
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Listens again after [`FaultyApi::stop`].
    pub fn start_again(&self) -> Result<()> {
        let fresh = listen(self.netns.as_ref(), self.address, &self.shared)?;
        *self.listener.lock().unwrap_or_else(PoisonError::into_inner) = Some(fresh);
        Ok(())
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.lock().requests.clone()
    }

    /// How many watches of a kind are open.
    pub fn watches(&self, kind: &str) -> Result<usize> {
        let kind = store::place(Kind::named(kind)?);
        let state = self.shared.lock();
        Ok(state.watches.iter().filter(|open| **open == kind).count())
    }

    /// Waits until somebody watches a kind.
    pub fn wait_watched(&self, kind: &str, patience: Duration) -> Result<()> {
        wait::until_true(&format!("somebody watches {kind}"), patience, || {
            Ok(self.watches(kind)? > 0)
        })
    }

    /// Waits for a request, among all that were seen so far, and returns the first.
    pub fn wait_request(
        &self,
        what: &str,
        patience: Duration,
        wanted: impl Fn(&Request) -> bool,
    ) -> Result<Request> {
        wait::until(what, patience, || {
            let state = self.shared.lock();
            Ok(state.requests.iter().find(|request| wanted(request)).cloned())
        })
    }

    fn open(netns: Option<Netns>, address: SocketAddr) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let listener = listen(netns.as_ref(), address, &shared)?;
        Ok(Self {
            address: listener.socket.local_addr()?,
            netns,
            shared,
            listener: Mutex::new(Some(listener)),
        })
    }

    fn change<T>(&self, work: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let done = work(&mut self.shared.lock());
        self.shared.changed.notify_all();
        done
    }
}

impl Drop for FaultyApi {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change of anything, or for this time.
    fn wait<'a>(&self, state: MutexGuard<'a, State>, patience: Duration) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_timeout(state, patience);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

fn listen(netns: Option<&Netns>, address: SocketAddr, shared: &Arc<Shared>) -> Result<Listener> {
    let bind = || TcpListener::bind(address).with_context(|| format!("listen on {address}"));
    let socket = match netns {
        Some(netns) => netns.enter(bind)?,
        None => bind()?,
    };
    let accepting = socket.try_clone()?;
    let shared = Arc::clone(shared);
    let thread = thread::spawn(move || {
        // An error means that the socket was shut down.
        while let Ok((connection, _)) = accepting.accept() {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                // What ends a connection early is the client's to notice.
                let _ = serve::connection(&shared, connection);
            });
        }
    });
    Ok(Listener { socket, thread })
}
