//! One BFD session (RFC 5880 §6).

mod poll;
mod receive;
mod timers;
mod transmit;

use std::num::{NonZeroU8, NonZeroU32};
use std::time::{Duration, Instant};

use crate::config::{Field, micros};
use crate::event::EventQueue;
use crate::{
    Auth, Cause, ConfigError, ControlPacket, Counters, Diag, Discard, Event, SessionConfig, State,
    StateChange,
};
use poll::Poll;
use timers::{Intervals, after};

/// What the caller knows about a received packet besides its octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketMeta {
    /// TTL or hop limit with which it arrived, from ancillary data (`IP_RECVTTL`, `IPV6_RECVHOPLIMIT`). The socket
    /// options `IP_MINTTL` and `IPV6_MINHOPCOUNT` do nothing on UDP sockets of Linux.
    pub ttl: u8,
    /// When it arrived, best by the kernel's receive timestamp. The Detection Time counts from here. A value later
    /// than `now` is taken as `now`.
    pub received_at: Instant,
}

/// What is known of the remote system (RFC 5880 §6.8.1). After a Detection Time of silence it is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote {
    /// bfd.RemoteDiscr; `None` if nothing was heard for a Detection Time.
    pub discriminator: Option<NonZeroU32>,
    /// bfd.RemoteSessionState.
    pub state: State,
    /// The diagnostic last received.
    pub diag: Diag,
    /// bfd.RemoteMinRxInterval. Zero: the remote system wants no periodic packets.
    pub required_min_rx: Duration,
    /// The Desired Min TX Interval last received.
    pub desired_min_tx: Duration,
    /// The Detect Mult last received; `None` if nothing was heard.
    pub detect_mult: Option<NonZeroU8>,
    /// bfd.RemoteDemandMode.
    pub demand: bool,
    /// The C bit last received.
    pub control_plane_independent: bool,
}

/// The initial values of RFC 5880 §6.8.1; bfd.RemoteMinRxInterval is 1 (microsecond), not 0, because 0 would silence
/// us before the remote system has said anything.
const UNKNOWN_REMOTE: Remote = Remote {
    discriminator: None,
    state: State::Down,
    diag: Diag::None,
    required_min_rx: Duration::from_micros(1),
    desired_min_tx: Duration::ZERO,
    detect_mult: None,
    demand: false,
    control_plane_independent: false,
};

/// One BFD session in asynchronous mode, without sockets and without a clock.
///
/// The owner calls, in this order, whenever a packet arrived, [`Self::poll_timeout`] has passed, or it changed
/// something:
///
/// 1. [`Self::handle_packet`] for every packet that waits in the socket, *before* any deadline is judged;
/// 2. [`Self::handle_timeout`];
/// 3. [`Self::poll_transmit`] until it returns `None`, sending what it wrote;
/// 4. [`Self::poll_event`] until it returns `None`;
/// 5. [`Self::poll_timeout`], and sleep until then.
///
/// Spurious calls are harmless. `now` must not go backwards. Nothing is allocated after [`Self::new`], except by
/// [`Self::set_auth`]'s caller.
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    state: State,
    diag: Diag,
    remote: Remote,
    /// The remote system's last word was AdminDown. Unlike `remote`, silence does not clear it.
    remote_disabled: bool,
    intervals: Intervals,
    poll: Poll,
    rng: fastrand::Rng,
    transmit: transmit::Schedule,
    detection: Detection,
    auth_sequence: AuthSequence,
    /// When the session went AdminDown, plus the time after which the remote system has noticed in any case.
    admin_down_known_at: Option<Instant>,
    events: EventQueue,
    counters: Counters,
}

/// When the remote system was heard, and how much silence is forgiven.
#[derive(Clone, Copy, Debug, Default)]
struct Detection {
    /// Arrival of the last packet that was valid. `None` once a Detection Time of silence was noticed.
    last_received: Option<Instant>,
    grace: Option<Grace>,
}

/// Silence that is forgiven until an instant. There is no other one before a packet has arrived.
#[derive(Clone, Copy, Debug)]
struct Grace {
    granted_at: Instant,
    until: Instant,
}

/// bfd.XmitAuthSeq, bfd.RcvAuthSeq and bfd.AuthSeqKnown.
#[derive(Clone, Copy, Debug)]
struct AuthSequence {
    transmit: u32,
    /// bfd.RcvAuthSeq, and the instant at which it is not known any more (RFC 5880 §6.8.1).
    received: Option<(u32, Instant)>,
}

impl Session {
    /// A session in the Down state. `seed` drives the jitter and the first authentication sequence number; take it
    /// from the system's random source.
    ///
    /// An active session has a packet to send at once; see [`Self::poll_transmit`].
    #[must_use]
    pub fn new(config: SessionConfig, now: Instant, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        // RFC 5880 §6.8.1: bfd.XmitAuthSeq starts at a random value.
        let auth_sequence = AuthSequence {
            transmit: rng.u32(..),
            received: None,
        };
        let mut session = Self {
            intervals: Intervals::new(config.desired_min_tx, config.required_min_rx),
            config,
            state: State::Down,
            diag: Diag::None,
            remote: UNKNOWN_REMOTE,
            remote_disabled: false,
            poll: Poll::default(),
            rng,
            transmit: transmit::Schedule::default(),
            detection: Detection::default(),
            auth_sequence,
            admin_down_known_at: None,
            events: EventQueue::new(),
            counters: Counters::default(),
        };
        session.reschedule(now);
        session
    }

    /// Takes in the payload of a datagram, by the procedure of RFC 5880 §6.8.6.
    ///
    /// May change the answers of every `poll_` method. A packet whose [`PacketMeta::received_at`] lies before the
    /// detection deadline saves the session although `now` is past it; one that arrived after the deadline finds the
    /// session already Down.
    ///
    /// # Errors
    ///
    /// Why the packet was dropped. It is also counted, see [`Self::counters`].
    pub fn handle_packet(&mut self, payload: &[u8], meta: PacketMeta, now: Instant) -> Result<(), Discard> {
        let outcome = self.receive(payload, meta, now);
        match outcome {
            Ok(()) => self.counters.received = self.counters.received.wrapping_add(1),
            Err(reason) => self.counters.count_discard(reason),
        }
        self.reschedule(now);
        outcome
    }

    /// Notices what time has brought: the Detection Time has expired (RFC 5880 §6.8.4), or a Poll Sequence may
    /// start.
    ///
    /// May change the answers of every `poll_` method. Call it after all waiting packets were handed to
    /// [`Self::handle_packet`]; before, it would blame the remote system for a delay of our own.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.poll.on_timeout(now);
        if self.detection_deadline().is_some_and(|deadline| deadline <= now) {
            self.remote_fell_silent(now);
        }
        self.reschedule(now);
    }

    /// When to call [`Self::handle_timeout`] and [`Self::poll_transmit`] next, at the latest. `None`: only a packet
    /// or the owner can change anything.
    ///
    /// May change after every `&mut self` method except [`Self::poll_event`]. An instant in the past means at once.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        [
            self.detection_deadline(),
            self.transmit.due(),
            self.poll.timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Writes the next packet that is due into `buf` and returns its length in octets; `None` if nothing is due.
    ///
    /// Call until it returns `None`: an answer to a Poll and a periodic packet can be due together. What it returns
    /// counts as sent at `now`. To be called after every other `&mut self` method, and when [`Self::poll_timeout`]
    /// has passed. Changes the answer of [`Self::poll_timeout`].
    pub fn poll_transmit(&mut self, now: Instant, buf: &mut [u8; crate::MAX_PACKET_LEN]) -> Option<usize> {
        self.transmit_due(now, buf)
    }

    /// The next event, oldest first. To be called after every other `&mut self` method; changes no other answer.
    ///
    /// At most 32 events wait; when nobody fetches, the oldest are lost (and counted), never the newest.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// Holds the session down (RFC 5880 §6.8.16). `diag` is usually [`Diag::AdministrativelyDown`], or
    /// [`Diag::PathDown`] if something else reported the path down.
    ///
    /// The remote system is told at once, and again at the slow rate as long as the owner keeps the session:
    /// see [`Self::is_safe_to_remove`]. May change the answers of every `poll_` method.
    pub fn admin_down(&mut self, diag: Diag, now: Instant) {
        if self.state == State::AdminDown {
            self.set_diagnostic(diag, now);
            return;
        }
        // The remote system's Detection Time, with the interval that it knows us to keep until now.
        let interval = self
            .remote
            .required_min_rx
            .max(Duration::from_micros(self.intervals.tx_in_force.into()));
        let detection = interval.saturating_mul(u32::from(self.config.detect_mult.get()));
        self.transition(State::AdminDown, diag, Cause::LocalAdminDown, now);
        self.admin_down_known_at = Some(after(now, detection));
        self.reschedule(now);
    }

    /// Ends [`Self::admin_down`]: the session is Down and may come up (RFC 5880 §6.8.16). Does nothing in another
    /// state. May change the answers of every `poll_` method.
    pub fn enable(&mut self, now: Instant) {
        if self.state != State::AdminDown {
            return;
        }
        self.admin_down_known_at = None;
        self.transition(State::Down, Diag::None, Cause::LocalEnabled, now);
        self.reschedule(now);
    }

    /// Whether a session that is AdminDown can be dropped without the remote system taking that for a failure: it
    /// has been told, and has left Up or had a Detection Time to notice (RFC 5880 §6.8.16).
    #[must_use]
    pub fn is_safe_to_remove(&self, now: Instant) -> bool {
        if self.state != State::AdminDown || self.transmit.has_urgent() {
            return false;
        }
        let remote_knows = self.remote.discriminator.is_none()
            || matches!(self.remote.state, State::Down | State::AdminDown);
        remote_knows || self.admin_down_known_at.is_none_or(|at| at <= now)
    }

    /// Changes the intervals while the session runs; it does not flap (RFC 5880 §6.8.3). See
    /// [`SessionConfig::new`] for units and ranges.
    ///
    /// The remote system is told by a Poll Sequence. In Up, a longer transmit interval, and the shorter Detection
    /// Time that comes from a shorter receive interval, wait for its end ([`Event::PollCompleted`]). May change the
    /// answers of [`Self::poll_timeout`] and [`Self::poll_transmit`].
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for an interval outside of the range; nothing is changed then.
    pub fn set_intervals(
        &mut self,
        desired_min_tx: Duration,
        required_min_rx: Duration,
        now: Instant,
    ) -> Result<(), ConfigError> {
        let tx = micros(Field::DesiredMinTx, desired_min_tx)?;
        let rx = micros(Field::RequiredMinRx, required_min_rx)?;
        self.config.desired_min_tx = tx;
        self.config.required_min_rx = rx;
        self.apply_intervals();
        self.reschedule(now);
        Ok(())
    }

    /// Changes the detect multiplier while the session runs (RFC 5880 §6.8.12). The remote system is told at once.
    /// May change the answers of [`Self::poll_timeout`] and [`Self::poll_transmit`].
    pub fn set_detect_mult(&mut self, detect_mult: NonZeroU8, now: Instant) {
        if detect_mult == self.config.detect_mult {
            return;
        }
        self.config.detect_mult = detect_mult;
        self.contents_changed(now);
    }

    /// Sets the diagnostic without a change of state, to report a concatenated path (RFC 5880 §6.8.17); clear it
    /// with [`Diag::None`]. The remote system is told at once. May change the answers of [`Self::poll_timeout`] and
    /// [`Self::poll_transmit`].
    pub fn set_diagnostic(&mut self, diag: Diag, now: Instant) {
        if diag == self.diag {
            return;
        }
        self.diag = diag;
        self.contents_changed(now);
    }

    /// Changes keys or the type of authentication in place (RFC 5880 §6.7.1). A session stays Up only if both ends
    /// accept what the other sends: see [`Auth`] for a rollover. Changes no answer of a `poll_` method; the next
    /// packet is made with it.
    pub fn set_auth(&mut self, auth: Option<Auth>) {
        // Another type has another numbering at the remote system; the same type goes on counting.
        if auth.as_ref().map(Auth::auth_type) != self.config.auth.as_ref().map(Auth::auth_type) {
            self.auth_sequence.received = None;
        }
        self.config.auth = auth;
    }

    /// Forgives silence until one Detection Time from `now`, for an owner that noticed that it, or its machine, was
    /// stalled: never blame the remote system for that. Granted once until a packet is received, so that a machine
    /// that stalls for ever still notices a dead peer. False if it was not granted.
    ///
    /// Call it before [`Self::handle_packet`] and [`Self::handle_timeout`]. A stall of the calling thread alone
    /// needs it only if packets carry no kernel timestamps, or if the socket's buffer may have overflowed. May change
    /// the answer of [`Self::poll_timeout`].
    pub fn grant_grace(&mut self, now: Instant) -> bool {
        let Some(detection_time) = self.detection_time() else {
            return false;
        };
        if self.detection.last_received.is_none() || self.detection.grace.is_some() {
            return false;
        }
        self.detection.grace = Some(Grace {
            granted_at: now,
            until: after(now, detection_time),
        });
        self.counters.graces = self.counters.graces.wrapping_add(1);
        true
    }

    /// bfd.SessionState.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// bfd.LocalDiag: why the session last left Up; [`Diag::None`] once it is Up again.
    #[must_use]
    pub fn diagnostic(&self) -> Diag {
        self.diag
    }

    /// What is known of the remote system.
    #[must_use]
    pub fn remote(&self) -> Remote {
        self.remote
    }

    /// Whether the last word of the remote system was AdminDown: it has been told not to run BFD, and its silence
    /// since then says nothing about the path (RFC 5882 §3.2). Follows [`Event::RemoteDisabled`] and
    /// [`Event::RemoteEnabled`].
    #[must_use]
    pub fn is_remote_disabled(&self) -> bool {
        self.remote_disabled
    }

    /// The settings, as changed since.
    #[must_use]
    pub fn config(&self) -> &SessionConfig {
        &self.config
    }

    /// What was counted.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The Detection Time in force (RFC 5880 §6.8.4): the remote multiplier times the greater of our Required Min RX
    /// Interval and the remote Desired Min TX Interval. `None` if the remote system was not heard.
    #[must_use]
    pub fn detection_time(&self) -> Option<Duration> {
        let multiplier = u32::from(self.remote.detect_mult?.get());
        let ours = Duration::from_micros(self.intervals.rx_in_force.into());
        Some(ours.max(self.remote.desired_min_tx).saturating_mul(multiplier))
    }

    /// When the session is declared down if nothing more is received. `None` if nothing was heard for that long
    /// already.
    #[must_use]
    pub fn detection_deadline(&self) -> Option<Instant> {
        let deadline = after(self.detection.last_received?, self.detection_time()?);
        Some(
            self.detection
                .grace
                .map_or(deadline, |grace| grace.until.max(deadline)),
        )
    }

    /// The interval of periodic packets, before jitter: the greater of our Desired Min TX Interval in force and the
    /// remote Required Min RX Interval (RFC 5880 §6.8.2). `None` while none are sent: the remote system asked for
    /// none, or is in Demand mode, or has not been heard by our passive role.
    #[must_use]
    pub fn transmit_interval(&self) -> Option<Duration> {
        self.periodic_interval()
    }

    /// Whether the remote system may not know our intervals yet (RFC 5880 §6.5).
    #[must_use]
    pub fn is_poll_pending(&self) -> bool {
        self.poll.is_pending()
    }

    /// RFC 5880 §6.8.7: the remote system asked us to cease periodic packets.
    fn remote_demand_active(&self) -> bool {
        self.remote.demand && self.state == State::Up && self.remote.state == State::Up
    }

    /// RFC 5880 §6.8.7: passive, and the remote system's discriminator is not known.
    fn is_mute(&self) -> bool {
        self.config.role == crate::Role::Passive && self.remote.discriminator.is_none()
    }

    /// Enters `to` and everything that follows from it.
    fn transition(&mut self, to: State, diag: Diag, cause: Cause, now: Instant) {
        let from = self.state;
        if from == to {
            return;
        }
        self.state = to;
        self.diag = diag;
        let change = StateChange {
            from,
            to,
            cause,
            local_diag: diag,
            remote_diag: self.remote.diag,
            control_plane_independent: self.config.control_plane_independent
                && self.remote.control_plane_independent,
            at: now,
        };
        self.count_change(&change);
        self.apply_intervals();
        self.emit(Event::StateChanged(change));
        self.contents_changed(now);
    }

    fn count_change(&mut self, change: &StateChange) {
        let counters = &mut self.counters;
        if change.to == State::Up {
            counters.ups = counters.ups.wrapping_add(1);
        }
        if change.from != State::Up {
            return;
        }
        if !change.is_failure() {
            counters.admin_downs = counters.admin_downs.wrapping_add(1);
            return;
        }
        counters.failures = counters.failures.wrapping_add(1);
        if change.cause == Cause::DetectionExpired {
            counters.detection_expirations = counters.detection_expirations.wrapping_add(1);
        }
    }

    /// A Detection Time has passed in silence.
    fn remote_fell_silent(&mut self, now: Instant) {
        self.detection = Detection::default();
        self.poll.remote_lost();
        // RFC 5880 §6.8.4: Init and Up go down; the other states have nothing to lose.
        if matches!(self.state, State::Init | State::Up) {
            self.transition(
                State::Down,
                Diag::ControlDetectionTimeExpired,
                Cause::DetectionExpired,
                now,
            );
        }
        // RFC 5880 §6.8.1: bfd.RemoteDiscr is cleared in every state. The rest goes with it: a Required Min RX
        // Interval of zero, for example, must not silence us towards a remote system that has been replaced.
        self.remote = UNKNOWN_REMOTE;
    }

    fn apply_intervals(&mut self) {
        let (tx, rx) = (self.config.desired_min_tx, self.config.required_min_rx);
        if self.intervals.apply(self.state, tx, rx) {
            self.poll.start();
        }
    }

    /// RFC 5880 §6.8.7: what differs from the previous packet should be told before the next periodic one; §6.6: in
    /// Demand mode it takes a Poll Sequence.
    fn contents_changed(&mut self, now: Instant) {
        if self.remote_demand_active() {
            self.poll.start();
        }
        self.transmit.make_urgent(now);
        self.reschedule(now);
    }

    fn emit(&mut self, event: Event) {
        if !self.events.push(event) {
            self.counters.events_lost = self.counters.events_lost.wrapping_add(1);
        }
    }

    /// The packet to send, without its authentication section (RFC 5880 §6.8.7).
    fn compose(&self, poll: bool, is_final: bool) -> ControlPacket {
        ControlPacket {
            diag: self.diag,
            state: self.state,
            poll,
            is_final,
            control_plane_independent: self.config.control_plane_independent,
            // GAP(RFC 5880 6.6): Demand mode is honoured, never requested.
            demand: false,
            detect_mult: self.config.detect_mult,
            my_discriminator: self.config.local_discriminator,
            your_discriminator: self.remote.discriminator,
            desired_min_tx: self.intervals.desired_min_tx,
            required_min_rx: self.intervals.required_min_rx,
            // GAP(RFC 5880 6.8.9): the Echo function is neither used nor offered.
            required_min_echo_rx: 0,
        }
    }
}

#[cfg(test)]
mod tests;
