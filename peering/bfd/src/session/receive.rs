//! Reception of Control packets (RFC 5880 §6.8.6), in the order of the RFC.

use std::time::{Duration, Instant};

use super::timers::after;
use super::{Detection, PacketMeta, Remote, Session};
use crate::{Cause, Diag, Discard, Event, Packet, State};

impl Session {
    pub(super) fn receive(&mut self, payload: &[u8], meta: PacketMeta, now: Instant) -> Result<(), Discard> {
        let packet = Packet::decode(payload)?;
        if packet
            .control
            .your_discriminator
            .is_some_and(|yours| yours != self.config.local_discriminator)
        {
            return Err(Discard::UnknownYourDiscriminator);
        }
        // RFC 5881 §5 and RFC 5883 §5: after demultiplexing, with authentication as well as without.
        if !self.config.hop.accepts(meta.ttl) {
            return Err(Discard::Ttl);
        }
        let received_at = meta.received_at.min(now);
        let sequence = self.authenticate(&packet, received_at)?;

        // The packet came too late to save the session: what it says is said to a session that is down.
        if self
            .detection_deadline()
            .is_some_and(|deadline| deadline < received_at)
        {
            self.remote_fell_silent(now);
        }
        self.take_over(&packet);
        self.end_poll(packet.control.is_final);
        self.heard(received_at, sequence);
        self.change_state(packet.control.state, now)?;
        if packet.control.poll {
            self.transmit.make_final(now);
        }
        Ok(())
    }

    /// The rules on the A bit, and RFC 5880 §6.7. The answer is the new bfd.RcvAuthSeq.
    fn authenticate(&self, packet: &Packet<'_>, received_at: Instant) -> Result<Option<u32>, Discard> {
        match (&self.config.auth, packet.auth) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(Discard::AuthUnexpected),
            (Some(_), None) => Err(Discard::AuthMissing),
            (Some(auth), Some(raw)) => {
                let known = self.auth_sequence.received;
                let known = known.filter(|(_, forget_at)| received_at < *forget_at);
                auth.verify(packet, raw, known.map(|(sequence, _)| sequence))
            }
        }
    }

    /// Sets the variables that describe the remote system.
    fn take_over(&mut self, packet: &Packet<'_>) {
        let control = packet.control;
        self.remote = Remote {
            discriminator: Some(control.my_discriminator),
            state: control.state,
            diag: control.diag,
            required_min_rx: Duration::from_micros(control.required_min_rx.into()),
            desired_min_tx: Duration::from_micros(control.desired_min_tx.into()),
            detect_mult: Some(control.detect_mult),
            demand: control.demand,
            control_plane_independent: control.control_plane_independent,
        };
        let disabled = control.state == State::AdminDown;
        if disabled != self.remote_disabled {
            self.remote_disabled = disabled;
            self.emit(if disabled {
                Event::RemoteDisabled
            } else {
                Event::RemoteEnabled
            });
        }
    }

    /// A Final ends the Poll Sequence; what it made known comes into force (RFC 5880 §6.8.3).
    fn end_poll(&mut self, is_final: bool) {
        if !self.poll.on_receive(is_final) {
            return;
        }
        self.intervals.settle();
        self.counters.polls_completed = self.counters.polls_completed.wrapping_add(1);
        self.emit(Event::PollCompleted);
    }

    /// Starts the Detection Time anew (RFC 5880 §6.8.4).
    fn heard(&mut self, received_at: Instant, sequence: Option<u32>) {
        // Packets can be handed in out of order; the session is as alive as the youngest says.
        let last = self
            .detection
            .last_received
            .map_or(received_at, |last| last.max(received_at));
        // A packet from before the stall must not take back what the stall was forgiven.
        let grace = self
            .detection
            .grace
            .filter(|grace| received_at <= grace.granted_at);
        self.detection = Detection {
            last_received: Some(last),
            grace,
        };
        let Some(sequence) = sequence else {
            return;
        };
        // RFC 5880 §6.8.1: bfd.AuthSeqKnown is cleared after twice the Detection Time in silence.
        let silence = self.detection_time().unwrap_or_default().saturating_mul(2);
        self.auth_sequence.received = Some((sequence, after(last, silence)));
    }

    fn change_state(&mut self, received: State, now: Instant) -> Result<(), Discard> {
        let next = match (self.state, received) {
            (State::AdminDown, _) => return Err(Discard::LocalAdminDown),
            (State::Init | State::Up, State::AdminDown) => (State::Down, Cause::RemoteAdminDown),
            (State::Up, State::Down) => (State::Down, Cause::RemoteDown),
            (State::Down, State::Down) => (State::Init, Cause::Handshake),
            (State::Down, State::Init) | (State::Init, State::Init | State::Up) => {
                (State::Up, Cause::Handshake)
            }
            (State::Down, State::AdminDown | State::Up)
            | (State::Init, State::Down)
            | (State::Up, State::Init | State::Up) => return Ok(()),
        };
        let (to, cause) = next;
        let diag = match to {
            State::Down => Diag::NeighborSignaledSessionDown,
            State::Up => Diag::None,
            // The reason of the last failure stays readable until the session is Up again.
            State::Init | State::AdminDown => self.diag,
        };
        self.transition(to, diag, cause, now);
        Ok(())
    }
}
