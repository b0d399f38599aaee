//! The rack without its sockets.

mod desired;
mod reload;
mod session;
#[cfg(test)]
mod tests;
mod ways;

use crate::config::{NeighborConfig, PlaneId, RackConfig};
use crate::coupling::{BfdNews, RECREATION};
use crate::next_hop::{NextHops, next_hops};
use crate::plan::{Settings, Verdict, settings_of};
use crate::status::{Gate, PairState, PlaneStatus, RackStatus, RouteStatus};
use bgp::{ClassId, ConnectionId, Event, Input, RestartState, Stage, State, StopReason};
use desired::Unheard;
use net::TcpOptions;
use net::bfd::BfdSpec;
use net::netlink::{PathToPeer, Target};
use reload::Reload;
use session::Session;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use wire::Prefix;

/// A session's number. It stays while the session is configured, and is never given to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub usize);

/// One change of the desired set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteChange {
    /// The prefix.
    pub prefix: Prefix,
    /// Whether it is to be announced from now on.
    pub announced: bool,
}

/// What the driver must do for a session, or may want to log.
#[derive(Debug)]
pub enum Action {
    /// Connect to the switch.
    Dial {
        /// The session.
        session: SessionId,
        /// The switch.
        peer: SocketAddr,
        /// How.
        options: TcpOptions,
    },
    /// Anything else that the peer asks for or reports.
    Peer {
        /// The session.
        session: SessionId,
        /// What.
        event: Event,
    },
    /// The session cannot be tried, for a reason given; or (`None`) it can be again.
    Blocked {
        /// The session.
        session: SessionId,
        /// Why.
        reason: Option<String>,
    },
    /// A reload has given the session its new settings, or has made it.
    Reconfigured {
        /// The session.
        session: SessionId,
        /// What was done with it.
        verdict: Verdict,
    },
    /// A reload has taken the session away; its last events came before.
    Removed {
        /// The session.
        session: SessionId,
        /// What it was.
        neighbor: Box<NeighborConfig>,
    },
    /// A reload is stuck, said once: it is not just the turn of another plane. The sessions concerned keep their
    /// former settings.
    Pending {
        /// The first of them.
        session: SessionId,
        /// What they wait for.
        reason: String,
    },
    /// The next hops announced on the session have changed.
    NextHops {
        /// The session.
        session: SessionId,
        /// Now.
        next_hops: NextHops,
    },
}

/// All planes of a node. Sans-IO: see [`bgp::Peer`] for the shape.
#[derive(Debug)]
pub struct Rack {
    config: RackConfig,
    sessions: Vec<Session>,
    /// Whether what is known of the desired set may be announced.
    open: bool,
    complete: bool,
    /// Until when the sessions tell of the restart of this process.
    restart_until: Option<Instant>,
    /// Whether the rack was stopped for a successor that goes on with what is there.
    hands_over: bool,
    stopped: bool,
    /// When BFD may permit a session by the mere passing of time.
    permits_change_at: Option<Instant>,
    actions: Vec<Action>,
    reload: Reload,
    desired: Unheard,
    rng: fastrand::Rng,
    last_id: usize,
}

impl Rack {
    /// A rack whose sessions start at once, gates closed until [`Self::set_complete`]. `seed` makes its jitter
    /// reproducible.
    pub fn new(config: RackConfig, seed: u64, now: Instant) -> Self {
        let wanted: Vec<Settings> = settings_of(&config).collect();
        let mut rack = Self {
            config,
            sessions: Vec::new(),
            open: false,
            complete: false,
            restart_until: None,
            hands_over: false,
            stopped: false,
            permits_change_at: None,
            actions: Vec::new(),
            reload: Reload::default(),
            desired: Unheard::default(),
            rng: fastrand::Rng::with_seed(seed),
            last_id: 0,
        };
        for settings in wanted {
            rack.add_session(settings);
        }
        rack.admit_all(now);
        rack
    }

    /// Takes changes of the desired set; every session whose families include the prefix gets its own delta.
    pub fn apply(&mut self, changes: &[RouteChange]) {
        self.note_unheard(changes);
        for session in &mut self.sessions {
            let families = session.peer.config().families;
            let adj_out = session.peer.adj_out_mut();
            for change in changes
                .iter()
                .filter(|change| families.contains(change.prefix.family()))
            {
                adj_out.set(change.prefix, change.announced.then_some(ClassId::DEFAULT));
            }
        }
    }

    /// What became of the last run of this process, as the switches are to be told until each was sent End-of-RIB, or
    /// the restart time is over (RFC 4724 section 4.1).
    pub fn set_restart(&mut self, state: RestartState, now: Instant) {
        let restarting = self.neighbors().filter_map(|neighbor| neighbor.graceful_restart);
        let seconds = restarting.map(|restart| restart.restart_time).max();
        self.restart_until = seconds.map(|seconds| now + Duration::from_secs(seconds.into()));
        for session in &mut self.sessions {
            session.peer.set_restart(state);
        }
    }

    /// The gates open before the desired set is complete, for one that is known from before. End-of-RIB has to wait:
    /// a switch that keeps routes of our last run would purge those that are not known yet.
    pub fn open_early(&mut self) {
        self.open = true;
        for session in &mut self.sessions {
            session.peer.adj_out_mut().set_open(true);
        }
    }

    /// The desired set is complete for the first time: the gates open, and End-of-RIB may follow.
    pub fn set_complete(&mut self) {
        self.open = true;
        self.complete = true;
        for session in &mut self.sessions {
            session.peer.adj_out_mut().set_complete();
            session.peer.adj_out_mut().set_open(true);
        }
    }

    /// The kernel's way to a switch has changed: next hops follow, sessions stay.
    pub fn set_path(&mut self, target: &Target, path: &PathToPeer, now: Instant) {
        for session in &mut self.sessions {
            if session.settings.neighbor.target() == *target {
                session.take_path(path);
            }
        }
        self.admit_all(now);
        self.derive_next_hops();
    }

    /// Takes news of a session's BFD: a failure closes BGP at once with Cease/BFD Down (RFC 9384); AdminDown of the
    /// switch closes nothing.
    pub fn bfd_news(&mut self, id: SessionId, news: BfdNews, now: Instant) {
        let Some(session) = self.session_mut(id) else {
            return;
        };
        let Some(coupling) = &mut session.coupling else {
            return;
        };
        let established_at = session.peer.established_at();
        let just_established =
            established_at.is_some_and(|since| now.saturating_duration_since(since) <= RECREATION);
        let news = if news == BfdNews::Restarted && !just_established {
            BfdNews::Failed
        } else {
            news
        };
        if coupling.take(news, now) {
            session.peer.handle(Input::Stop(StopReason::BfdDown), now);
        }
        self.admit_all(now);
    }

    /// Passes what happened to a session on to its peer.
    pub fn handle(&mut self, session: SessionId, input: Input<'_>, now: Instant) {
        if let Some(found) = self.session_mut(session) {
            found.peer.handle(input, now);
        }
    }

    /// Acts on all timers that are due.
    pub fn handle_timeout(&mut self, now: Instant) {
        for session in &mut self.sessions {
            session.peer.handle_timeout(now);
        }
        if self.restart_until.is_some_and(|at| at <= now) {
            self.restart_until = None;
            for session in &mut self.sessions {
                session.peer.set_restart(RestartState::default());
            }
        }
        if self.permits_change_at.is_some_and(|at| at <= now) {
            self.admit_all(now);
        }
        if self.reload.poll_timeout().is_some_and(|at| at <= now) {
            self.advance_reload(now);
        }
    }

    /// When to call [`Self::handle_timeout`] next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.sessions
            .iter()
            .filter_map(|session| session.peer.poll_timeout())
            .chain(self.permits_change_at)
            .chain(self.restart_until)
            .chain(self.reload.poll_timeout())
            .min()
    }

    /// Moves everything there is to do to `actions`. May change after every call but the getters.
    pub fn poll_actions(&mut self, actions: &mut Vec<Action>, now: Instant) {
        let (mut came_up, mut went_down) = (false, false);
        for session in &mut self.sessions {
            let id = session.id;
            while let Some(event) = session.peer.poll_event() {
                came_up |= matches!(event, Event::Established { .. });
                went_down |= matches!(event, Event::Down(_));
                actions.push(if event == Event::Dial {
                    Action::Dial {
                        session: id,
                        peer: SocketAddr::new(
                            session.settings.neighbor.address,
                            session.settings.neighbor.port,
                        ),
                        options: session.tcp_options(),
                    }
                } else {
                    Action::Peer { session: id, event }
                });
            }
        }
        if came_up {
            self.derive_next_hops();
        }
        if went_down {
            // It may have been the last usable plane: then nothing is held down any more.
            self.admit_all(now);
        }
        if came_up || went_down {
            self.advance_reload(now);
        }
        self.reload.say_farewell(actions);
        actions.append(&mut self.actions);
    }

    /// See [`Peer::poll_transmit`].
    pub fn poll_transmit(
        &mut self,
        id: SessionId,
        connection: ConnectionId,
        budget: usize,
        out: &mut Vec<u8>,
    ) -> bool {
        self.session_mut(id)
            .is_some_and(|session| session.peer.poll_transmit(connection, budget, out))
    }

    /// See [`Peer::written`].
    pub fn written(
        &mut self,
        id: SessionId,
        connection: ConnectionId,
        pending: usize,
        progress: bool,
        now: Instant,
    ) {
        if let Some(session) = self.session_mut(id) {
            session.peer.written(connection, pending, progress, now);
        }
        // An End-of-RIB may have been in it.
        self.advance_reload(now);
    }

    /// The session of a switch's address.
    pub fn session_of(&self, peer: IpAddr) -> Option<SessionId> {
        self.sessions
            .iter()
            .find(|session| session.settings.neighbor.address == peer)
            .map(|session| session.id)
    }

    /// How a session's neighbour is configured.
    pub fn neighbor(&self, session: SessionId) -> Option<&NeighborConfig> {
        self.session(session).map(|session| &session.settings.neighbor)
    }

    /// All neighbours.
    pub fn neighbors(&self) -> impl Iterator<Item = &NeighborConfig> {
        self.sessions.iter().map(|session| &session.settings.neighbor)
    }

    /// What to ask the kernel for the ways to the switches.
    pub fn targets(&self) -> Vec<Target> {
        self.neighbors().map(NeighborConfig::target).collect()
    }

    /// How connections of this session are to be set up.
    pub fn tcp_options(&self, session: SessionId) -> Option<TcpOptions> {
        self.session(session).map(Session::tcp_options)
    }

    /// The BFD sessions there should be. One whose link was never known is left out: it has no source yet.
    pub fn bfd_specs(&self) -> Vec<BfdSpec> {
        self.sessions
            .iter()
            .filter_map(|session| session.bfd_spec(session.id.0 as u64))
            .collect()
    }

    /// Ends all sessions with Cease/Administrative Shutdown and the text (RFC 9003).
    pub fn stop(&mut self, text: &str, now: Instant) {
        self.stopped = true;
        for session in &mut self.sessions {
            session
                .peer
                .handle(Input::Stop(StopReason::Shutdown(text.to_owned())), now);
        }
    }

    /// Ends all sessions because this process is about to restart: so that the switches keep the routes, where graceful
    /// restart was agreed on; else as [`Self::stop`].
    pub fn restart(&mut self, text: &str, now: Instant) {
        self.stopped = true;
        let mut neighbors = self.neighbors();
        let hands_over = neighbors.any(|neighbor| neighbor.graceful_restart.is_some());
        drop(neighbors);
        self.hands_over = hands_over;
        for session in &mut self.sessions {
            let reason = StopReason::Restart(text.to_owned());
            session.peer.handle(Input::Stop(reason), now);
        }
    }

    /// Whether the rack was stopped by [`Self::restart`] with graceful restart configured: then traffic is to go on.
    pub fn hands_over(&self) -> bool {
        self.hands_over
    }

    /// The rack at this moment.
    pub fn status(&self, now: Instant) -> RackStatus {
        let mut planes: Vec<PlaneStatus> = Vec::new();
        for id in self.plane_ids() {
            let of_plane = || self.sessions_of(id);
            planes.push(PlaneStatus {
                name: id.to_string(),
                gate: self.gate(id),
                usable: of_plane().any(|session| session.peer.state() == State::Established),
                sessions: of_plane().map(|session| session.status(now)).collect(),
            });
        }
        let usable = planes.iter().filter(|plane| plane.usable).count();
        let pair = match usable {
            0 => PairState::Isolated,
            _ if usable == planes.len() => PairState::Both,
            _ => PairState::Degraded,
        };
        RackStatus {
            local_as: self.config.local_as,
            router_id: self.config.router_id,
            pair,
            complete: self.complete,
            planes,
            return_path: None,
        }
    }

    /// How far a prefix has come on each session that may carry it.
    pub fn route(&self, prefix: &Prefix) -> Vec<RouteStatus> {
        let family = prefix.family();
        self.sessions
            .iter()
            .filter_map(|session| {
                let stage = session.peer.adj_out().stage(prefix)?;
                Some(RouteStatus {
                    plane: session.settings.neighbor.plane.to_string(),
                    neighbor: session.settings.neighbor.address,
                    stage: match stage {
                        Stage::Desired => "desired",
                        Stage::Sent => "sent",
                        Stage::Withdrawing => "withdrawing",
                    },
                    next_hop: session.next_hop(family),
                })
            })
            .collect()
    }

    fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.iter().find(|session| session.id == id)
    }

    fn session_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.sessions.iter_mut().find(|session| session.id == id)
    }

    /// The planes in order.
    fn plane_ids(&self) -> Vec<PlaneId> {
        let planes = self
            .sessions
            .iter()
            .map(|session| session.settings.neighbor.plane);
        let mut ids: Vec<PlaneId> = planes.collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    fn sessions_of(&self, plane: PlaneId) -> impl Iterator<Item = &Session> {
        self.sessions
            .iter()
            .filter(move |session| session.settings.neighbor.plane == plane)
    }

    fn gate(&self, plane: PlaneId) -> Gate {
        let blocked = self.sessions_of(plane).all(|session| session.blocked.is_some());
        match (self.open, blocked || self.stopped) {
            (_, true) => Gate::Closed,
            (false, false) => Gate::Warming,
            (true, false) => Gate::Open,
        }
    }

    /// Starts each session that may run, and stops each that may not.
    fn admit_all(&mut self, now: Instant) {
        for index in 0..self.sessions.len() {
            self.admit(index, now);
        }
        let couplings = self
            .sessions
            .iter()
            .filter_map(|session| session.coupling.as_ref());
        self.permits_change_at = couplings.filter_map(|coupling| coupling.poll_timeout(now)).min();
    }

    fn admit(&mut self, index: usize, now: Instant) {
        let alone = !self.is_other_plane_usable(index);
        let session = &mut self.sessions[index];
        let forbidden = session.forbidden();
        let held_back = session.held_back_by_bfd(alone, now);
        let blocked = forbidden.clone().or_else(|| held_back.clone());
        let id = session.id;
        if blocked != session.blocked {
            session.blocked.clone_from(&blocked);
            self.actions.push(Action::Blocked {
                session: id,
                reason: blocked.clone(),
            });
        }
        // In strict mode BFD may keep a session from being established, never a connection from being made
        // (draft-ietf-idr-bgp-bfd-strict-mode section 10).
        let stopping = if session.is_strict() {
            let ready = held_back.is_none();
            session.peer.handle(Input::Bfd { ready }, now);
            forbidden
        } else {
            blocked
        };
        match stopping {
            None if !self.stopped => session.peer.handle(Input::Start, now),
            None => {}
            Some(reason) => session
                .peer
                .handle(Input::Stop(StopReason::Shutdown(reason)), now),
        }
    }

    fn is_other_plane_usable(&self, index: usize) -> bool {
        let plane = self.sessions[index].settings.neighbor.plane;
        let mut others = self
            .sessions
            .iter()
            .filter(|session| session.settings.neighbor.plane != plane);
        others.any(|session| session.peer.state() == State::Established)
    }

    fn derive_next_hops(&mut self) {
        for index in 0..self.sessions.len() {
            let Some(own) = self.sessions[index].own_address() else {
                continue;
            };
            let others = self.addresses_of_other_family(index);
            let next_hops = next_hops(own, &others, &self.sessions[index].settings.node_ips);
            let session = &mut self.sessions[index];
            if session.next_hops == next_hops {
                continue;
            }
            session.next_hops = next_hops;
            session.announce_as_configured();
            self.actions.push(Action::NextHops {
                session: session.id,
                next_hops,
            });
        }
    }

    /// Our addresses of the other family on the plane of a session: those of its sister session first.
    fn addresses_of_other_family(&self, index: usize) -> Vec<IpAddr> {
        let session = &self.sessions[index];
        let of_other_family = |addr: &IpAddr| addr.is_ipv4() != session.settings.neighbor.address.is_ipv4();
        let sisters = self
            .sessions
            .iter()
            .filter(|sister| sister.settings.neighbor.plane == session.settings.neighbor.plane);
        let on_interface = session
            .path
            .iter()
            .flat_map(|path| path.if_addresses.iter().copied());
        sisters
            .filter_map(Session::own_address)
            .chain(on_interface)
            .filter(of_other_family)
            .collect()
    }
}
