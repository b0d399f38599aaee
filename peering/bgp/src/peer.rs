//! The state machine of one peer (RFC 4271 section 8).

#[cfg(test)]
mod tests;

use crate::config::jitter;
use crate::connection::{Connection, Phase};
use crate::negotiate::open;
use crate::{
    AdjRibIn, AdjRibOut, ConnectionId, Direction, DownReason, Event, Input, Negotiated, PeerConfig,
    RestartState, StopReason,
};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use wire::{HEADER_LEN, Notification, code, encode_keepalive, encode_notification, encode_open, subcode};

/// Hold time before it is negotiated (RFC 4271 section 8.2.2: "a large value", 4 minutes suggested).
const INITIAL_HOLD: Duration = Duration::from_secs(240);
/// After a failure, even a peer that dials us has to wait this long.
const LEAST_PAUSE: Duration = Duration::from_millis(500);
/// Least send hold time (RFC 9687 section 4.4).
const MIN_SEND_HOLD: Duration = Duration::from_secs(480);

/// The state of a peer (RFC 4271 section 8.2.2): that of its most advanced connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Not trying: stopped, or holding back after a failure.
    Idle,
    /// Dialling.
    Connect,
    /// Waiting for the next dial, or for the peer to dial.
    Active,
    /// Our OPEN is sent.
    OpenSent,
    /// The peer's OPEN was accepted.
    OpenConfirm,
    /// The session is up.
    Established,
}

/// Messages by type code since the peer was made; index 0 counts all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Handed to the driver.
    pub sent: [u64; 6],
    /// Received and decoded.
    pub received: [u64; 6],
    /// UPDATEs with RFC 7606 defects.
    pub malformed_updates: u64,
    /// How often the session came up.
    pub established: u64,
}

/// One BGP peer. See the crate documentation for how to drive it.
#[derive(Debug)]
pub struct Peer {
    pub(crate) config: PeerConfig,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) connections: Vec<Connection>,
    pub(crate) adj_out: AdjRibOut,
    pub(crate) adj_in: AdjRibIn,
    pub(crate) counters: Counters,
    pub(crate) events: VecDeque<Event>,
    rng: fastrand::Rng,
    dialing: bool,
    connect_retry_at: Option<Instant>,
    pub(crate) idle_hold_at: Option<Instant>,
    pub(crate) connect_failures: u32,
    /// Failures after TCP was up, without a session that lasted in between.
    strikes: u32,
    /// Whether BFD allows the session to be established.
    pub(crate) bfd_ready: bool,
    established_at: Option<Instant>,
    last_down: Option<(Instant, DownReason)>,
    restart: RestartState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifecycle {
    Stopped,
    IdleHold,
    Running,
}

impl Peer {
    /// A stopped peer. `seed` makes its jitter reproducible.
    pub fn new(config: PeerConfig, seed: u64) -> Self {
        let adj_in = AdjRibIn::new(config.max_prefixes);
        let bfd_ready = config.bfd_strict.is_none();
        Self {
            config,
            lifecycle: Lifecycle::Stopped,
            connections: Vec::with_capacity(2),
            adj_out: AdjRibOut::new(),
            adj_in,
            counters: Counters::default(),
            events: VecDeque::new(),
            rng: fastrand::Rng::with_seed(seed),
            dialing: false,
            connect_retry_at: None,
            idle_hold_at: None,
            connect_failures: 0,
            strikes: 0,
            bfd_ready,
            established_at: None,
            last_down: None,
            restart: RestartState::default(),
        }
    }

    /// Takes what happened. May change the answers of every `poll_…` function.
    pub fn handle(&mut self, input: Input<'_>, now: Instant) {
        match input {
            Input::Start => self.start(now),
            Input::Stop(reason) => self.stop(reason, now),
            Input::Connected {
                connection,
                local,
                remote,
            } => self.connected(connection, local, remote, now),
            Input::ConnectFailed => self.connect_failed(now),
            Input::Accepted {
                connection,
                local,
                remote,
            } => self.accepted(connection, local, remote, now),
            Input::Received { connection, data } => self.received(connection, data, now),
            Input::Closed { connection, reason } => self.closed(connection, reason, now),
            Input::Bfd { ready } => self.bfd(ready, now),
        }
    }

    /// Acts on every timer that is due. Calling it early is harmless. May change the answers of every `poll_…`
    /// function.
    pub fn handle_timeout(&mut self, now: Instant) {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if due(self.idle_hold_at) {
            self.idle_hold_at = None;
            self.run(now);
        }
        if due(self.connect_retry_at) {
            self.connect_retry_at = None;
            if self.dialing {
                // The attempt may hang on a SYN that was lost while the switch was away: begin anew.
                self.cancel_dial();
                self.connect_failures = self.connect_failures.saturating_add(1);
            }
            self.dial(now);
        }
        let ids: Vec<ConnectionId> = self.connections.iter().map(|connection| connection.id).collect();
        for id in ids {
            self.connection_timeout(id, now);
        }
    }

    /// When to call [`Self::handle_timeout`] next. May change after every other call but the getters.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let connections = self.connections.iter().filter_map(Connection::next_timeout);
        connections
            .chain(self.connect_retry_at)
            .chain(self.idle_hold_at)
            .min()
    }

    /// The next thing to do or to know. May change after `handle` and `handle_timeout`.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Appends what is to be written on a connection to `out`, whole messages, until `out` holds about `budget`
    /// octets. Returns whether anything was appended. Call it when the connection is writable and everything taken
    /// before was written: what is not taken yet can still be superseded.
    ///
    /// May have more to say after `handle`, `handle_timeout`, and changes of [`Self::adj_out_mut`].
    pub fn poll_transmit(&mut self, connection: ConnectionId, budget: usize, out: &mut Vec<u8>) -> bool {
        let before = out.len();
        let Some(found) = self.connections.iter_mut().find(|c| c.id == connection) else {
            return false;
        };
        out.append(&mut found.control);
        if found.is_established() {
            self.adj_out.fill(out, budget);
            if self.adj_out.is_told() {
                self.restart = RestartState::default();
            }
        }
        count(&out[before..], &mut self.counters.sent);
        out.len() > before
    }

    /// Reports that a write was tried: how many octets taken by `poll_transmit` are still not written, and whether
    /// any was. Drives the send hold timer (RFC 9687).
    pub fn written(&mut self, connection: ConnectionId, pending: usize, progress: bool, now: Instant) {
        let send_hold = self.send_hold();
        let Some(found) = self.connections.iter_mut().find(|c| c.id == connection) else {
            return;
        };
        if pending == 0 {
            found.send_hold_at = None;
        } else if progress || found.send_hold_at.is_none() {
            found.send_hold_at = Some(now + send_hold);
        }
    }

    /// The state of the peer.
    pub fn state(&self) -> State {
        let connection = self.connections.iter().map(|connection| match connection.phase {
            Phase::DelayOpen => State::Connect,
            Phase::OpenSent | Phase::AwaitsBfd { .. } => State::OpenSent,
            Phase::OpenConfirm(_) => State::OpenConfirm,
            Phase::Established(_) => State::Established,
        });
        let idle = match self.lifecycle {
            Lifecycle::Stopped | Lifecycle::IdleHold => State::Idle,
            Lifecycle::Running if self.dialing => State::Connect,
            Lifecycle::Running => State::Active,
        };
        connection.max().unwrap_or(idle)
    }

    /// What the session agreed on, while it is up.
    pub fn negotiated(&self) -> Option<&Negotiated> {
        self.established().and_then(Connection::negotiated)
    }

    /// Our and the peer's address on the session, while it is up.
    pub fn addresses(&self) -> Option<(SocketAddr, SocketAddr)> {
        self.established()
            .map(|connection| (connection.local, connection.remote))
    }

    /// Since when the session is up.
    pub fn established_at(&self) -> Option<Instant> {
        self.established_at
    }

    /// When and why the last session or attempt ended.
    pub fn last_down(&self) -> Option<&(Instant, DownReason)> {
        self.last_down.as_ref()
    }

    /// Message counters.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What the peer is told.
    pub fn adj_out(&self) -> &AdjRibOut {
        &self.adj_out
    }

    /// What the peer is told, to change it. [`Self::poll_transmit`] may have more to say afterwards.
    pub fn adj_out_mut(&mut self) -> &mut AdjRibOut {
        &mut self.adj_out
    }

    /// What the peer has announced.
    pub fn adj_in(&self) -> &AdjRibIn {
        &self.adj_in
    }

    /// What the peer is told of our last run, if graceful restart is configured. It is forgotten when the peer has
    /// been sent End-of-RIB; set it to the default when the restart time is over.
    pub fn set_restart(&mut self, state: RestartState) {
        self.restart = state;
    }

    /// How it is configured.
    pub fn config(&self) -> &PeerConfig {
        &self.config
    }

    /// Takes another configuration. A session that is up, or coming up, is not touched: the new values count from
    /// the next OPEN on, `passive` at once. Stop the peer before and start it afterwards to have all of them now. May
    /// change the answers of every `poll_…` function.
    pub fn reconfigure(&mut self, config: PeerConfig, now: Instant) {
        self.adj_in.set_limit(config.max_prefixes);
        let former = std::mem::replace(&mut self.config, config);
        if former.passive == self.config.passive || self.lifecycle != Lifecycle::Running {
            return;
        }
        if self.config.passive {
            self.cancel_dial();
        } else {
            self.dial(now);
        }
    }

    fn start(&mut self, now: Instant) {
        if self.lifecycle != Lifecycle::Stopped {
            return;
        }
        self.strikes = 0;
        self.run(now);
    }

    pub(crate) fn run(&mut self, now: Instant) {
        self.lifecycle = Lifecycle::Running;
        self.connect_failures = 0;
        self.dial(now);
    }

    pub(crate) fn dial(&mut self, now: Instant) {
        if self.config.passive || self.dialing || !self.connections.is_empty() {
            return;
        }
        self.dialing = true;
        self.connect_retry_at = Some(
            now + self
                .config
                .connect_retry
                .delay(self.connect_failures, &mut self.rng),
        );
        self.events.push_back(Event::Dial);
    }

    pub(crate) fn cancel_dial(&mut self) {
        if std::mem::take(&mut self.dialing) {
            self.events.push_back(Event::CancelDial);
        }
        self.connect_retry_at = None;
    }

    fn connect_failed(&mut self, now: Instant) {
        if !std::mem::take(&mut self.dialing) {
            return;
        }
        self.retry_later(now);
    }

    fn retry_later(&mut self, now: Instant) {
        let delay = self
            .config
            .connect_retry
            .delay(self.connect_failures, &mut self.rng);
        self.connect_failures = self.connect_failures.saturating_add(1);
        self.connect_retry_at = (!self.config.passive).then(|| now + delay);
    }

    fn connected(&mut self, id: ConnectionId, local: SocketAddr, remote: SocketAddr, now: Instant) {
        if !std::mem::take(&mut self.dialing) {
            self.events.push_back(Event::Close {
                connection: id,
                last: Vec::new(),
            });
            return;
        }
        self.connect_retry_at = None;
        self.add(Connection::new(id, Direction::Dialed, local, remote), now);
    }

    fn accepted(&mut self, id: ConnectionId, local: SocketAddr, remote: SocketAddr, now: Instant) {
        if !self.welcomes(now) {
            return self.refuse(id);
        }
        if let Some(session) = self
            .connections
            .iter_mut()
            .find(|connection| connection.is_established())
        {
            let restarts = session
                .negotiated()
                .is_some_and(|negotiated| negotiated.graceful_restart.is_some());
            if !restarts {
                // A peer that has rebooted answers this with a reset, and the session need not wait for its timer.
                encode_keepalive(&mut session.control);
                return self.refuse(id);
            }
        }
        let older = self
            .connections
            .iter()
            .find(|c| c.direction == Direction::Accepted && !c.is_established());
        if let Some(older) = older.map(|connection| connection.id) {
            self.close(older, Some(Notification::new(code::CEASE, subcode::COLLISION)));
        }
        self.lifecycle = Lifecycle::Running;
        self.idle_hold_at = None;
        self.connect_retry_at = None;
        self.add(Connection::new(id, Direction::Accepted, local, remote), now);
    }

    /// Whether a connection of the peer is taken now.
    ///
    /// RFC 4271 section 8.2.2 refuses all in Idle. While holding back we refuse only for a moment: two speakers
    /// that hold back at the same time and refuse each other would never meet.
    fn welcomes(&self, now: Instant) -> bool {
        match self.lifecycle {
            Lifecycle::Stopped => false,
            Lifecycle::Running => true,
            Lifecycle::IdleHold => self
                .last_down
                .as_ref()
                .is_none_or(|(at, _)| now.saturating_duration_since(*at) >= LEAST_PAUSE),
        }
    }

    fn refuse(&mut self, id: ConnectionId) {
        let mut last = Vec::new();
        encode_notification(
            &Notification::new(code::CEASE, subcode::CONNECTION_REJECTED),
            &mut last,
        );
        count(&last, &mut self.counters.sent);
        self.events.push_back(Event::Close { connection: id, last });
    }

    fn add(&mut self, mut connection: Connection, now: Instant) {
        match self.config.delay_open {
            Some(delay) => connection.delay_open_at = Some(now + jitter(delay, &mut self.rng)),
            None => self.send_open(&mut connection, now),
        }
        self.connections.push(connection);
    }

    pub(crate) fn send_open(&self, connection: &mut Connection, now: Instant) {
        connection.delay_open_at = None;
        connection.hold_at = Some(now + INITIAL_HOLD);
        connection.phase = Phase::OpenSent;
        encode_open(&open(&self.config, self.restart), &mut connection.control);
    }

    fn stop(&mut self, reason: StopReason, now: Instant) {
        self.cancel_dial();
        self.idle_hold_at = None;
        self.lifecycle = Lifecycle::Stopped;
        let ids: Vec<ConnectionId> = self.connections.iter().map(|connection| connection.id).collect();
        for id in ids {
            let negotiated = self
                .connections
                .iter()
                .find(|c| c.id == id)
                .and_then(Connection::negotiated);
            let notification = reason.notification(negotiated);
            let Some(gone) = self.close(id, notification) else {
                continue;
            };
            self.gone(&gone, DownReason::Stopped(reason.clone()), now);
        }
    }

    fn closed(&mut self, id: ConnectionId, reason: String, now: Instant) {
        let Some(index) = self.connections.iter().position(|connection| connection.id == id) else {
            return;
        };
        let gone = self.connections.remove(index);
        self.gone(&gone, DownReason::ConnectionLost(reason), now);
        if !self.connections.is_empty() || self.lifecycle != Lifecycle::Running {
            return;
        }
        match gone.phase {
            // RFC 4271 section 8.2.2, event 18: Active, with the connect retry timer restarted.
            Phase::DelayOpen | Phase::OpenSent | Phase::AwaitsBfd { .. } if !self.dialing => {
                self.retry_later(now);
            }
            Phase::DelayOpen | Phase::OpenSent | Phase::AwaitsBfd { .. } => {}
            Phase::OpenConfirm(_) | Phase::Established(_) => self.hold_back(now),
        }
    }

    fn connection_timeout(&mut self, id: ConnectionId, now: Instant) {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let Some(index) = self.connections.iter().position(|connection| connection.id == id) else {
            return;
        };
        if due(self.connections[index].delay_open_at) {
            let mut connection = self.connections.remove(index);
            self.send_open(&mut connection, now);
            self.connections.insert(index, connection);
        }
        if due(self.connections[index].hold_at) {
            return self.fail(id, Notification::new(code::HOLD_TIMER_EXPIRED, 0), now);
        }
        if due(self.connections[index].bfd_hold_at) {
            // draft-ietf-idr-bgp-bfd-strict-mode section 8.5.3
            return self.fail(id, Notification::new(code::CEASE, subcode::BFD_DOWN), now);
        }
        if due(self.connections[index].send_hold_at) {
            // RFC 9687 section 4.3
            return self.fail(id, Notification::new(code::SEND_HOLD_TIMER_EXPIRED, 0), now);
        }
        if due(self.connections[index].keepalive_at) {
            self.keepalive(index, now);
        }
    }

    /// Queues a KEEPALIVE and restarts its timer.
    pub(crate) fn keepalive(&mut self, index: usize, now: Instant) {
        let connection = &mut self.connections[index];
        let Some(hold) = connection.negotiated().map(|negotiated| negotiated.hold_time) else {
            return;
        };
        // One waiting is enough: a peer that does not read gets no queue of them.
        let mut keepalive = Vec::with_capacity(HEADER_LEN);
        encode_keepalive(&mut keepalive);
        if !connection.control.ends_with(&keepalive) {
            connection.control.append(&mut keepalive);
        }
        let third = Duration::from_secs(u64::from(hold)) / 3;
        connection.keepalive_at = (hold > 0).then(|| now + jitter(third, &mut self.rng));
    }

    /// Ends a connection for a fault: sends the NOTIFICATION and holds back, unless another connection is left.
    pub(crate) fn fail(&mut self, id: ConnectionId, notification: Notification, now: Instant) {
        let Some(gone) = self.close(id, Some(notification.clone())) else {
            return;
        };
        self.gone(&gone, DownReason::Sent(notification), now);
        if self.connections.is_empty() {
            self.hold_back(now);
        }
    }

    /// Ends a connection on which the peer has said why it ends.
    pub(crate) fn notified(&mut self, id: ConnectionId, notification: Notification, now: Instant) {
        let Some(gone) = self.close(id, None) else { return };
        self.gone(&gone, DownReason::Received(notification), now);
        if self.connections.is_empty() {
            self.hold_back(now);
        }
    }

    /// Forgets a connection and has the driver close it.
    pub(crate) fn close(
        &mut self,
        id: ConnectionId,
        notification: Option<Notification>,
    ) -> Option<Connection> {
        let index = self
            .connections
            .iter()
            .position(|connection| connection.id == id)?;
        let mut gone = self.connections.remove(index);
        let mut last = std::mem::take(&mut gone.control);
        if let Some(notification) = notification
            && !matches!(gone.phase, Phase::DelayOpen)
        {
            encode_notification(&notification, &mut last);
        }
        count(&last, &mut self.counters.sent);
        self.events.push_back(Event::Close { connection: id, last });
        Some(gone)
    }

    /// Books the end of a connection.
    pub(crate) fn gone(&mut self, connection: &Connection, reason: DownReason, now: Instant) {
        self.last_down = Some((now, reason.clone()));
        if !connection.is_established() {
            self.events.push_back(Event::OpenFailed(reason));
            return;
        }
        let lasted = self
            .established_at
            .take()
            .map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        if lasted >= self.config.idle_hold.max {
            self.strikes = 0;
        }
        self.adj_out.session_down();
        self.adj_in.clear();
        self.events.push_back(Event::Down(reason));
    }

    /// Waits in Idle before the next try.
    fn hold_back(&mut self, now: Instant) {
        if self.lifecycle != Lifecycle::Running {
            return;
        }
        self.cancel_dial();
        self.lifecycle = Lifecycle::IdleHold;
        self.idle_hold_at = Some(now + self.config.idle_hold.delay(self.strikes, &mut self.rng));
        self.strikes = self.strikes.saturating_add(1);
    }

    /// Makes the connection the session.
    pub(crate) fn establish(&mut self, id: ConnectionId, now: Instant) {
        let others: Vec<ConnectionId> = self
            .connections
            .iter()
            .map(|c| c.id)
            .filter(|other| *other != id)
            .collect();
        for other in others {
            self.close(other, Some(Notification::new(code::CEASE, subcode::COLLISION)));
        }
        self.cancel_dial();
        let Some(connection) = self.connections.first_mut() else {
            return;
        };
        let Phase::OpenConfirm(negotiated) = std::mem::replace(&mut connection.phase, Phase::OpenSent) else {
            return;
        };
        self.adj_out
            .session_up(&negotiated, self.config.is_ebgp(), self.config.local_as);
        self.events.push_back(Event::Established {
            connection: id,
            negotiated: negotiated.clone(),
        });
        connection.phase = Phase::Established(negotiated);
        self.established_at = Some(now);
        self.connect_failures = 0;
        self.counters.established += 1;
    }

    fn established(&self) -> Option<&Connection> {
        self.connections
            .iter()
            .find(|connection| connection.is_established())
    }

    fn send_hold(&self) -> Duration {
        let twice = Duration::from_secs(2 * u64::from(self.config.hold_time));
        self.config.send_hold.unwrap_or_else(|| twice.max(MIN_SEND_HOLD))
    }
}

impl StopReason {
    /// What to say on a connection that has agreed on this much.
    fn notification(&self, negotiated: Option<&Negotiated>) -> Option<Notification> {
        let plain = match self {
            Self::Restart(_) if negotiated.is_some_and(|both| both.graceful_restart.is_some()) => {
                return None;
            }
            Self::Shutdown(text) | Self::Restart(text) => Notification::cease(subcode::ADMIN_SHUTDOWN, text),
            Self::Reset(text) => return Some(Notification::cease(subcode::ADMIN_RESET, text)),
            Self::Deconfigured => Notification::new(code::CEASE, subcode::PEER_DECONFIGURED),
            Self::ConfigChange => Notification::new(code::CEASE, subcode::OTHER_CONFIG_CHANGE),
            Self::BfdDown => Notification::new(code::CEASE, subcode::BFD_DOWN),
        };
        let hard = negotiated.is_some_and(Negotiated::notification_restarts);
        Some(if hard { plain.into_hard_reset() } else { plain })
    }
}

/// Counts the whole messages in `octets`, which we wrote ourselves.
fn count(mut octets: &[u8], counters: &mut [u64; 6]) {
    while let Some(header) = octets.first_chunk::<HEADER_LEN>() {
        let len = usize::from(u16::from_be_bytes([header[16], header[17]])).max(HEADER_LEN);
        counters[0] += 1;
        if let Some(counter) = counters.get_mut(usize::from(header[18])) {
            *counter += 1;
        }
        octets = octets.get(len..).unwrap_or_default();
    }
}
