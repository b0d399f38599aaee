//! The loop of the rack thread.

use super::bfd::BfdEdge;
use super::connections::{Connections, Stage};
use super::handle::Command;
use super::listeners::Listeners;
use super::log::{self, Complaints};
use super::return_path::ReturnPathEdge;
use crate::config::RackConfig;
use crate::plan::Verdict;
use crate::rack::{Action, Rack, SessionId};
use crate::status::RackStatus;
use bgp::{Event, Input, RestartState};
use mio::{Events, Poll, Token, Waker};
use net::bfd::BfdHandle;
use net::netlink::Target;
use net::{TcpOptions, adopt, connect, finish_connect, set_user_timeout};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, watch};

const WAKER: Token = Token(0);
const FIRST_LISTENER: usize = 1;
/// Listeners have the tokens from 1 on; there are never as many as this.
const FIRST_CONNECTION: usize = 1000;

/// Octets asked of a session at a time: enough to fill a socket buffer, little enough for a KEEPALIVE to pass.
const TRANSMIT_BUDGET: usize = 64 * 1024;
/// Writes and reads of one connection before the others get their turn.
const TURNS: usize = 16;
/// Commands taken before the sockets get their turn.
const COMMAND_TURNS: usize = 16;

/// Everything the rack thread owns.
pub(super) struct Driver {
    poll: Poll,
    commands: mpsc::Receiver<Command>,
    status: watch::Sender<RackStatus>,
    rack: Rack,
    bfd: Option<BfdEdge>,
    return_path: Option<ReturnPathEdge>,
    connections: Connections,
    listeners: Listeners,
    /// What the observation of routes is to look at.
    targets: watch::Sender<Vec<Target>>,
    waker: Arc<Waker>,
    bfd_handle: Arc<OnceLock<BfdHandle>>,
    complaints: Complaints,
    actions: Vec<Action>,
    scratch: Vec<u8>,
    state_changed: bool,
    settings_changed: bool,
    stopping: bool,
}

/// What others hold of the driver.
pub(super) struct DriverLinks {
    pub(super) waker: Arc<Waker>,
    pub(super) status: watch::Receiver<RackStatus>,
    pub(super) targets: watch::Receiver<Vec<Target>>,
    /// Empty until a session wants BFD.
    pub(super) bfd: Arc<OnceLock<BfdHandle>>,
}

impl Driver {
    pub(super) fn new(
        config: RackConfig,
        restart: RestartState,
        commands: mpsc::Receiver<Command>,
    ) -> std::io::Result<(Self, DriverLinks)> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let now = Instant::now();
        let mut rack = Rack::new(config, fastrand::u64(..), now);
        rack.set_restart(restart, now);
        let bfd = BfdEdge::start(&rack, Arc::clone(&waker))?;
        let bfd_handle = Arc::new(OnceLock::new());
        if let Some(bfd) = &bfd {
            // It is still empty.
            let _ = bfd_handle.set(bfd.handle());
        }
        let (status, status_watch) = watch::channel(rack.status(now));
        let (targets, targets_watch) = watch::channel(rack.targets());
        let mut listeners = Listeners::new(FIRST_LISTENER..FIRST_CONNECTION);
        listeners.follow(&rack, now);
        let links = DriverLinks {
            waker: Arc::clone(&waker),
            status: status_watch,
            targets: targets_watch,
            bfd: Arc::clone(&bfd_handle),
        };
        let driver = Self {
            poll,
            commands,
            status,
            rack,
            bfd,
            return_path: None,
            connections: Connections::default(),
            listeners,
            targets,
            waker,
            bfd_handle,
            complaints: Complaints::default(),
            actions: Vec::new(),
            scratch: vec![0; 64 * 1024],
            state_changed: true,
            settings_changed: false,
            stopping: false,
        };
        Ok((driver, links))
    }

    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(64);
        let mut busy = false;
        self.set_return_path();
        loop {
            let timeout = if busy {
                Some(Duration::ZERO)
            } else {
                self.timeout()
            };
            if let Err(error) = self.poll.poll(&mut events, timeout)
                && error.kind() != ErrorKind::Interrupted
            {
                tracing::error!(%error, "the event queue of the rack thread failed");
                return;
            }
            for event in &events {
                self.note_readiness(event);
            }
            // A failure that BFD has found comes before everything else.
            self.take_bfd_news();
            busy = self.take_commands();
            let now = Instant::now();
            self.listen(now);
            self.connections.expire(self.poll.registry(), now);
            self.rack.handle_timeout(now);
            self.act(now);
            busy |= self.turn_connections(now);
            self.follow_return_path(now);
            self.publish(now);
            if self.stopping && self.connections.is_empty() {
                break;
            }
        }
        if let Some(return_path) = self.return_path {
            return_path.stop(self.rack.hands_over());
        }
        // After the switches have taken the Cease, or had their time for it: FRR takes AdminDown for a failure and would
        // end the session for that.
        if let Some(bfd) = self.bfd {
            bfd.stop();
        }
    }

    fn take_bfd_news(&mut self) {
        let now = Instant::now();
        let Some(bfd) = &mut self.bfd else { return };
        if let Some(since) = bfd.deliver(&mut self.rack, now) {
            self.state_changed = true;
            // Traffic moves before BGP has its say.
            self.move_return_path(since);
            self.act(now);
        }
    }

    fn timeout(&self) -> Option<Duration> {
        let next = [
            self.rack.poll_timeout(),
            self.connections.poll_timeout(),
            self.listeners.poll_timeout(),
        ];
        let now = Instant::now();
        next.into_iter()
            .flatten()
            .min()
            .map(|at| round_up(at.saturating_duration_since(now)))
    }

    fn note_readiness(&mut self, event: &mio::event::Event) {
        let Token(token) = event.token();
        if token < FIRST_CONNECTION {
            if token >= FIRST_LISTENER {
                self.accept(token);
            }
            return;
        }
        if let Some(connection) = self.connections.get_mut(token) {
            connection.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
            connection.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
        }
    }

    /// Returns whether there may be more.
    fn take_commands(&mut self) -> bool {
        for _ in 0..COMMAND_TURNS {
            match self.commands.try_recv() {
                Ok(command) => self.command(command),
                Err(TryRecvError::Empty) => return false,
                Err(TryRecvError::Disconnected) => {
                    self.stop(|rack, now| rack.stop("the agent has ended", now));
                    return false;
                }
            }
        }
        true
    }

    fn command(&mut self, command: Command) {
        let now = Instant::now();
        match command {
            Command::Routes(changes) => self.rack.apply(&changes),
            Command::Complete => {
                self.rack.set_complete();
                self.state_changed = true;
            }
            Command::Path(target, path) => {
                self.rack.set_path(&target, &path, now);
                self.state_changed = true;
                if let Some(bfd) = &self.bfd {
                    bfd.set_sessions(&self.rack);
                }
            }
            // A receiver that has gone away does not need the answer.
            Command::Status(reply) => drop(reply.send(self.rack_status(now))),
            Command::Route(prefix, reply) => drop(reply.send(self.rack.route(&prefix))),
            Command::Plan(new, reply) => drop(reply.send(self.rack.plan(&new))),
            Command::Reconfigure { new, forced, reply } => {
                let plan = self.rack.reconfigure(&new, forced, now);
                self.settings_changed = true;
                self.act(now);
                drop(reply.send(plan));
            }
            Command::OpenEarly => {
                self.rack.open_early();
                self.state_changed = true;
            }
            Command::Stop(text) => self.stop(|rack, now| rack.stop(&text, now)),
            Command::Restart(text) => self.stop(|rack, now| rack.restart(&text, now)),
        }
    }

    fn stop(&mut self, end_sessions: impl FnOnce(&mut Rack, Instant)) {
        if self.stopping {
            return;
        }
        self.stopping = true;
        self.state_changed = true;
        self.listeners.clear();
        end_sessions(&mut self.rack, Instant::now());
    }

    fn accept(&mut self, token: usize) {
        let now = Instant::now();
        while let Some((stream, remote)) = self.listeners.accept(token, now) {
            self.accepted(stream, remote, now);
        }
    }

    /// Binds what is not bound yet, and accepts what could not be accepted.
    fn listen(&mut self, now: Instant) {
        let Self {
            listeners,
            rack,
            complaints,
            poll,
            ..
        } = self;
        for token in listeners.retry(poll.registry(), rack, complaints, now) {
            self.accept(token);
        }
    }

    /// Sockets, BFD and the observation of routes follow the settings of the sessions.
    fn follow_settings(&mut self, now: Instant) {
        if !std::mem::take(&mut self.settings_changed) {
            return;
        }
        self.state_changed = true;
        self.listeners.follow(&self.rack, now);
        let targets = self.rack.targets();
        self.targets.send_if_modified(|former| {
            let differ = *former != targets;
            *former = targets;
            differ
        });
        self.set_return_path();
        self.start_bfd();
        if let Some(bfd) = &self.bfd {
            bfd.set_sessions(&self.rack);
        }
    }

    /// Starts the BFD thread with the first session that wants it.
    fn start_bfd(&mut self) {
        if self.bfd.is_some() {
            return;
        }
        match BfdEdge::start(&self.rack, Arc::clone(&self.waker)) {
            Ok(None) => {}
            Ok(Some(bfd)) => {
                // There is no other thread to set it.
                let _ = self.bfd_handle.set(bfd.handle());
                self.bfd = Some(bfd);
            }
            Err(error) => tracing::error!(%error, "cannot start BFD; the sessions go on without it"),
        }
    }

    fn accepted(&mut self, stream: mio::net::TcpStream, remote: SocketAddr, now: Instant) {
        let Some(session) = self.rack.session_of(remote.ip()) else {
            tracing::debug!(%remote, "refused a connection from an address that is no neighbour");
            return;
        };
        let Some(options) = self.rack.tcp_options(session) else {
            return;
        };
        if let Err(error) = adopt(&stream, &options) {
            tracing::warn!(%remote, %error, "refused a connection");
            return;
        }
        let Ok(local) = stream.local_addr() else { return };
        if let Some(source) = self.rack.neighbor(session).and_then(|neighbor| neighbor.source)
            && source != local.ip().to_canonical()
        {
            tracing::debug!(%remote, %local, %source, "refused a connection to another address than the session's");
            return;
        }
        let registry = self.poll.registry();
        let Ok(token) =
            self.connections
                .add(registry, FIRST_CONNECTION, session, stream, remote, Stage::Open)
        else {
            return;
        };
        let Some(connection) = self.connections.get_mut(token).map(|connection| connection.id) else {
            return;
        };
        self.rack.handle(
            session,
            Input::Accepted {
                connection,
                local,
                remote,
            },
            now,
        );
    }

    /// Does what the rack asks for.
    fn act(&mut self, now: Instant) {
        let mut actions = std::mem::take(&mut self.actions);
        loop {
            self.rack.poll_actions(&mut actions, now);
            if actions.is_empty() {
                break;
            }
            for action in actions.drain(..) {
                self.perform(action, now);
            }
            self.follow_settings(now);
        }
        self.actions = actions;
        self.follow_settings(now);
    }

    fn perform(&mut self, action: Action, now: Instant) {
        match action {
            Action::Dial {
                session,
                peer,
                options,
            } => self.dial(session, peer, &options, now),
            Action::Peer { session, event } => self.peer_event(session, event, now),
            Action::Blocked { session, reason } => {
                self.state_changed = true;
                let Some(neighbor) = self.rack.neighbor(session) else {
                    return;
                };
                let (plane, peer) = (neighbor.plane, neighbor.address);
                match reason {
                    Some(reason) => tracing::warn!(%plane, %peer, reason, "session held back"),
                    None => tracing::info!(%plane, %peer, "session no longer held back"),
                }
            }
            Action::Reconfigured { session, verdict } => {
                self.settings_changed = true;
                self.reconfigured(session, verdict);
            }
            Action::Removed { session, neighbor } => {
                self.settings_changed = true;
                self.complaints.forget(session);
                tracing::info!(
                    plane = %neighbor.plane, peer = %neighbor.address, reason = "not configured any more",
                    "session removed"
                );
            }
            Action::Pending { session, reason } => {
                self.state_changed = true;
                let Some(neighbor) = self.rack.neighbor(session) else {
                    return;
                };
                tracing::warn!(
                    plane = %neighbor.plane, peer = %neighbor.address, reason,
                    "reload pending: the session keeps its former settings"
                );
            }
            Action::NextHops { session, next_hops } => {
                self.state_changed = true;
                let Some(neighbor) = self.rack.neighbor(session) else {
                    return;
                };
                let show =
                    |hop: Option<wire::NextHop>| hop.map(|hop| hop.addr().to_string()).unwrap_or_default();
                tracing::info!(
                    plane = %neighbor.plane, peer = %neighbor.address,
                    v4 = show(next_hops.v4), v6 = show(next_hops.v6), "next hop"
                );
            }
        }
    }

    fn reconfigured(&self, session: SessionId, verdict: Verdict) {
        let Some(neighbor) = self.rack.neighbor(session) else {
            return;
        };
        let (plane, peer) = (neighbor.plane, neighbor.address);
        tracing::info!(%plane, %peer, reason = "new configuration", "session settings: {verdict}");
        for stream in self.connections.open_streams(session) {
            if let Err(error) = set_user_timeout(stream, neighbor.user_timeout) {
                // The connection is gone, and will say so itself.
                tracing::debug!(%plane, %peer, %error, "cannot set the user timeout");
            }
        }
    }

    fn peer_event(&mut self, session: SessionId, event: Event, now: Instant) {
        if let Some(neighbor) = self.rack.neighbor(session) {
            log::event(&mut self.complaints, session, neighbor, &event, now);
        }
        match event {
            Event::CancelDial => {
                if let Some(token) = self.connections.find_dialing(session) {
                    self.connections.remove(self.poll.registry(), token);
                }
            }
            Event::Close { connection, last } => {
                if let Some(token) = self.connections.find(session, connection) {
                    self.connections
                        .close(self.poll.registry(), token, &last, &mut self.scratch, now);
                }
            }
            Event::Established { .. } | Event::Down(_) | Event::OpenFailed(_) | Event::EndOfRib(_) => {
                self.state_changed = true;
            }
            Event::Dial | Event::RefreshRequested(_) | Event::MalformedUpdate(_) | Event::PrefixLimit => {}
        }
    }

    fn dial(&mut self, session: SessionId, peer: SocketAddr, options: &TcpOptions, now: Instant) {
        let started = connect(peer, options)
            .map_err(|error| error.to_string())
            .and_then(|stream| {
                let registry = self.poll.registry();
                self.connections
                    .add(
                        registry,
                        FIRST_CONNECTION,
                        session,
                        stream,
                        peer,
                        Stage::Connecting,
                    )
                    .map_err(|error| error.to_string())
            });
        if let Err(error) = started {
            self.connect_failed(session, &error, now);
        }
    }

    fn connect_failed(&mut self, session: SessionId, error: &str, now: Instant) {
        if let Some(neighbor) = self.rack.neighbor(session)
            && self.complaints.is_news(session, error, now)
        {
            tracing::warn!(plane = %neighbor.plane, peer = %neighbor.address, error, "cannot connect; trying again");
        }
        self.rack.handle(session, Input::ConnectFailed, now);
    }

    /// Gives each connection some turns of reading and writing. Returns whether any could use more.
    fn turn_connections(&mut self, now: Instant) -> bool {
        let mut busy = false;
        for token in self.connections.tokens() {
            busy |= self.turn(token, now);
            self.act(now);
        }
        busy
    }

    fn turn(&mut self, token: usize, now: Instant) -> bool {
        let Some(connection) = self.connections.get_mut(token) else {
            return false;
        };
        match connection.stage {
            Stage::Connecting => {
                if !connection.writable {
                    return false;
                }
                if !self.finish_dial(token, now) {
                    return false;
                }
            }
            Stage::Closing(_) => {
                self.connections
                    .finish(self.poll.registry(), token, &mut self.scratch);
                return false;
            }
            Stage::Open => {}
        }
        let more_to_read = self.read(token, now);
        // What was read may ask for an answer, or may have ended the connection.
        self.act(now);
        let more_to_write = self.write(token, now);
        more_to_read || more_to_write
    }

    /// Returns whether the connection is in use now.
    fn finish_dial(&mut self, token: usize, now: Instant) -> bool {
        let Some(connection) = self.connections.get_mut(token) else {
            return false;
        };
        let (session, id, remote) = (connection.session, connection.id, connection.remote);
        let local = match finish_connect(&connection.stream) {
            Ok(false) => {
                connection.writable = false;
                return false;
            }
            Ok(true) => connection.stream.local_addr(),
            Err(error) => Err(error),
        };
        match local {
            Ok(local) => {
                connection.stage = Stage::Open;
                connection.readable = true;
                self.rack.handle(
                    session,
                    Input::Connected {
                        connection: id,
                        local,
                        remote,
                    },
                    now,
                );
                self.act(now);
                true
            }
            Err(error) => {
                self.connections.remove(self.poll.registry(), token);
                self.connect_failed(session, &error.to_string(), now);
                false
            }
        }
    }

    /// Returns whether there may be more to read.
    fn read(&mut self, token: usize, now: Instant) -> bool {
        for _ in 0..TURNS {
            let Some(connection) = self.connections.get_mut(token) else {
                return false;
            };
            if connection.stage != Stage::Open || !connection.readable {
                return false;
            }
            let (session, id) = (connection.session, connection.id);
            let reason = match connection.read(&mut self.scratch) {
                Ok(None) => return false,
                Ok(Some(0)) => "closed by the peer".to_owned(),
                Ok(Some(count)) => {
                    let data = &self.scratch[..count];
                    self.rack
                        .handle(session, Input::Received { connection: id, data }, now);
                    self.act(now);
                    continue;
                }
                Err(error) => error.to_string(),
            };
            self.lost(token, reason, now);
            return false;
        }
        true
    }

    /// Returns whether there is more to write that the kernel would take.
    fn write(&mut self, token: usize, now: Instant) -> bool {
        for _ in 0..TURNS {
            let Some(connection) = self.connections.get_mut(token) else {
                return false;
            };
            if connection.stage != Stage::Open || !connection.writable {
                return false;
            }
            let (session, id) = (connection.session, connection.id);
            if connection.pending() == 0
                && !self
                    .rack
                    .poll_transmit(session, id, TRANSMIT_BUDGET, connection.buffer())
            {
                return false;
            }
            let written = connection.flush();
            self.rack
                .written(session, id, written.pending, written.progress, now);
            if let Some(error) = written.error {
                self.lost(token, error.to_string(), now);
                return false;
            }
        }
        true
    }

    fn lost(&mut self, token: usize, reason: String, now: Instant) {
        let Some(connection) = self.connections.get_mut(token) else {
            return;
        };
        let (session, connection) = (connection.session, connection.id);
        self.connections.remove(self.poll.registry(), token);
        self.rack
            .handle(session, Input::Closed { connection, reason }, now);
    }

    fn publish(&mut self, now: Instant) {
        if std::mem::take(&mut self.state_changed) {
            let status = self.rack_status(now);
            self.status.send_replace(status);
        }
    }

    fn rack_status(&self, now: Instant) -> RackStatus {
        RackStatus {
            return_path: self.return_path.as_ref().map(ReturnPathEdge::status),
            ..self.rack.status(now)
        }
    }

    /// The return path uses the planes that are usable after all that has happened.
    fn follow_return_path(&mut self, now: Instant) {
        if self.state_changed {
            self.move_return_path(now);
        }
        let news = self.return_path.as_ref().is_some_and(ReturnPathEdge::take_news);
        self.state_changed |= news;
    }

    /// On the way out it stays as it is: the sessions go one by one, but the planes do not.
    fn move_return_path(&mut self, cause: Instant) {
        if let Some(return_path) = &mut self.return_path
            && !self.stopping
        {
            return_path.update(&self.rack, cause);
        }
    }

    /// Starts, ends or replaces the return path as the settings have it now. Its routes stay while it is replaced.
    fn set_return_path(&mut self) {
        let wanted = self.rack.return_path();
        if self.stopping || self.return_path.as_ref().map(ReturnPathEdge::config) == wanted {
            return;
        }
        let Some(wanted) = wanted.cloned() else {
            if let Some(former) = self.return_path.take() {
                former.remove();
            }
            return;
        };
        drop(self.return_path.take());
        match ReturnPathEdge::start(wanted, Arc::clone(&self.waker)) {
            Ok(started) => self.return_path = Some(started),
            Err(error) => tracing::error!(%error, "cannot start the return path"),
        }
    }
}

/// The poll waits in whole milliseconds and would wake a little early, to find nothing due.
fn round_up(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX))
}
