//! One session with what surrounds it.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use bfd::{Diag, Hop, MULTI_HOP_PORT, PeerKey, SINGLE_HOP_PORT, Session, State};

use super::error::BfdSocketError;
use super::event::{BfdEvent, News};
use super::recorder::{RecordedWhat, Recorder, Recording};
use super::spec::Wanted;
use super::status::{BfdSessionStatus, LastDown};

/// How long a session may take to leave, however slow the other end is.
const LEAVE_AT_MOST: Duration = Duration::from_secs(10);

/// A way in: one socket for each family and number of hops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Port {
    SingleV4,
    SingleV6,
    MultiV4,
    MultiV6,
}

impl Port {
    pub(super) const ALL: [Self; 4] = [Self::SingleV4, Self::SingleV6, Self::MultiV4, Self::MultiV6];

    pub(super) fn of(peer: IpAddr, hop: Hop) -> Self {
        match (hop, peer.to_canonical()) {
            (Hop::Single, IpAddr::V4(_)) => Self::SingleV4,
            (Hop::Single, IpAddr::V6(_)) => Self::SingleV6,
            (Hop::Multi { .. }, IpAddr::V4(_)) => Self::MultiV4,
            (Hop::Multi { .. }, IpAddr::V6(_)) => Self::MultiV6,
        }
    }

    pub(super) fn is_v6(self) -> bool {
        matches!(self, Self::SingleV6 | Self::MultiV6)
    }

    pub(super) fn is_single_hop(self) -> bool {
        matches!(self, Self::SingleV4 | Self::SingleV6)
    }

    /// The UDP port (RFC 5881 §4, RFC 5883 §5).
    pub(super) fn number(self) -> u16 {
        if self.is_single_hop() {
            SINGLE_HOP_PORT
        } else {
            MULTI_HOP_PORT
        }
    }
}

/// How a session sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Binding {
    pub(super) local: IpAddr,
    pub(super) source_port: u16,
    /// Only if the session is bound to an interface.
    pub(super) interface: Option<NonZeroU32>,
}

/// After how much silence each end gives up, as long as the session was Up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Patience {
    pub(super) ours: Option<Duration>,
    pub(super) theirs: Option<Duration>,
}

impl Patience {
    pub(super) fn sum(self) -> Duration {
        self.ours.unwrap_or_default() + self.theirs.unwrap_or_default()
    }
}

#[derive(Debug)]
pub(super) struct Slot {
    /// Distinguishes the sessions that have lived at one index.
    pub(super) id: u64,
    pub(super) wanted: Wanted,
    pub(super) session: Session,
    pub(super) port: Port,
    pub(super) binding: Option<Binding>,
    /// Packets find it.
    pub(super) registered: bool,
    /// It goes then at the latest.
    pub(super) leave_at: Option<Instant>,
    pub(super) state_since: Instant,
    pub(super) last_received: Option<Instant>,
    pub(super) last_sent: Option<Instant>,
    /// When a stall of ours ended that the session may not survive.
    pub(super) stalled_at: Option<Instant>,
    pub(super) patience: Patience,
    pub(super) last_down: Option<(LastDown, Instant)>,
    pub(super) recorder: Recorder,
    pub(super) send_failures: u64,
    pub(super) refusals: u64,
    pub(super) send_error: Option<BfdSocketError>,
}

impl Slot {
    pub(super) fn new(id: u64, wanted: Wanted, session: Session, now: Instant) -> Self {
        Self {
            id,
            port: Port::of(wanted.spec.peer, wanted.spec.hop),
            wanted,
            session,
            binding: None,
            registered: false,
            leave_at: None,
            state_since: now,
            last_received: None,
            last_sent: None,
            stalled_at: None,
            patience: Patience::default(),
            last_down: None,
            recorder: Recorder::new(),
            send_failures: 0,
            refusals: 0,
            send_error: None,
        }
    }

    pub(super) fn key(&self) -> u64 {
        self.wanted.spec.key
    }

    /// What identifies the session to a packet that does not name it.
    pub(super) fn peer_key(&self) -> Option<PeerKey> {
        let binding = self.binding?;
        let remote = self.wanted.spec.peer;
        Some(match self.wanted.spec.hop {
            Hop::Single => PeerKey::SingleHop {
                remote,
                interface: binding.interface,
            },
            Hop::Multi { .. } => PeerKey::MultiHop {
                remote,
                local: binding.local,
            },
        })
    }

    /// Takes over what can change in a session that runs.
    pub(super) fn update(&mut self, wanted: &mut Wanted, now: Instant) {
        let (old, new) = (&self.wanted.spec, &wanted.spec);
        if (old.desired_min_tx, old.required_min_rx) != (new.desired_min_tx, new.required_min_rx) {
            let taken = self
                .session
                .set_intervals(new.desired_min_tx, new.required_min_rx, now);
            debug_assert!(taken.is_ok(), "checked when the list was handed in");
        }
        self.session.set_detect_mult(new.detect_mult, now);
        self.session.set_auth(new.auth.clone());
        match wanted.enabled {
            true => self.session.enable(now),
            false => self.session.admin_down(Diag::AdministrativelyDown, now),
        }
        std::mem::swap(&mut self.wanted, wanted);
    }

    /// Says good-bye (RFC 5880 §6.8.16).
    pub(super) fn leave(&mut self, now: Instant) {
        if self.leave_at.is_some() {
            return;
        }
        let interval = self
            .session
            .transmit_interval()
            .unwrap_or(self.wanted.spec.desired_min_tx);
        let detection = interval.saturating_mul(self.wanted.spec.detect_mult.get().into());
        self.leave_at = Some(now + detection.min(LEAVE_AT_MOST));
        self.session.admin_down(Diag::AdministrativelyDown, now);
    }

    pub(super) fn may_go(&self, now: Instant) -> bool {
        self.leave_at
            .is_some_and(|at| at <= now || self.session.is_safe_to_remove(now))
    }

    /// To be called before anything that may take the session down.
    pub(super) fn note_patience(&mut self) {
        if self.session.state() != State::Up {
            return;
        }
        let mult = u32::from(self.wanted.spec.detect_mult.get());
        self.patience = Patience {
            ours: self.session.detection_time(),
            theirs: self.session.transmit_interval().map(|i| i.saturating_mul(mult)),
        };
    }

    /// Whether we were so late that this session may go down for it: the other end has heard nothing for nearly its
    /// Detection Time, or we have done nothing for ours.
    pub(super) fn suffers_from(&self, late: Duration, now: Instant) -> bool {
        if self.session.state() != State::Up {
            return false;
        }
        let Patience { ours, theirs } = self.patience;
        let unheard = self.last_sent.map(|sent| now.saturating_duration_since(sent));
        let gives_up = |(unheard, theirs): (Duration, Duration)| unheard >= theirs - theirs / 10;
        ours.is_some_and(|ours| late >= ours) || unheard.zip(theirs).is_some_and(gives_up)
    }

    /// Tells what is new only.
    pub(super) fn set_send_error(&mut self, error: Option<BfdSocketError>, news: &mut News) {
        if self.send_error == error {
            return;
        }
        self.send_error = error;
        let key = self.key();
        news.push(match error {
            Some(error) => BfdEvent::SendFailed { key, error },
            None => BfdEvent::SendRecovered { key },
        });
    }

    /// Forgives silence once, see [`Session::grant_grace`].
    pub(super) fn forgive(&mut self, now: Instant) {
        if self.session.grant_grace(now) {
            self.recorder.record(now, RecordedWhat::Grace);
        }
    }

    /// Fills in what the flight recorder holds.
    pub(super) fn write_recording(&self, recording: &mut Recording) {
        recording.peer = self.wanted.spec.peer;
        recording.local = self.binding.map(|binding| binding.local);
        recording.source_port = self.binding.map(|binding| binding.source_port);
        recording.port = self.port.number();
        self.recorder.write_to(recording);
    }

    pub(super) fn status(&self, running: bool, now: Instant) -> BfdSessionStatus {
        let (spec, session) = (&self.wanted.spec, &self.session);
        let since = |at: Instant| now.saturating_duration_since(at);
        BfdSessionStatus {
            key: spec.key,
            peer: spec.peer,
            local: self.binding.map(|binding| binding.local),
            source_port: self.binding.map(|binding| binding.source_port),
            device: self.wanted.device,
            hop: spec.hop,
            passive: spec.passive,
            enabled: self.wanted.enabled,
            leaving: self.leave_at.is_some(),
            running,
            local_discriminator: session.config().local_discriminator(),
            state: session.state(),
            state_for: since(self.state_since),
            diag: session.diagnostic(),
            remote: session.remote(),
            remote_disabled: session.is_remote_disabled(),
            desired_min_tx: spec.desired_min_tx,
            required_min_rx: spec.required_min_rx,
            detect_mult: spec.detect_mult,
            transmit_interval: session.transmit_interval(),
            detection_time: session.detection_time(),
            poll_pending: session.is_poll_pending(),
            silent_for: self.last_received.map(since),
            counters: *session.counters(),
            send_failures: self.send_failures,
            refusals: self.refusals,
            send_error: self.send_error,
            last_down: self.last_down.map(|(down, at)| LastDown {
                ago: since(at),
                ..down
            }),
        }
    }
}
