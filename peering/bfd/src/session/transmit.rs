//! Transmission of Control packets (RFC 5880 §6.8.7).

use std::time::{Duration, Instant};

use super::Session;
use super::timers::{after, jittered, shortest};
use crate::{ControlPacket, MAX_PACKET_LEN};

/// When which packet leaves.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Schedule {
    /// An answer to a Poll is due since then.
    final_due: Option<Instant>,
    /// The contents have changed since the last packet, at that instant.
    urgent: Option<Instant>,
    /// The next periodic packet.
    periodic: Option<Instant>,
    /// The interval that `periodic` was computed with.
    interval: Option<Duration>,
    /// The last packet without the Final bit.
    last_sent: Option<Instant>,
    /// The last packet, without its Poll and Final bits.
    last_contents: Option<ControlPacket>,
}

impl Schedule {
    pub(super) fn make_final(&mut self, now: Instant) {
        self.final_due = self.final_due.or(Some(now));
    }

    pub(super) fn make_urgent(&mut self, now: Instant) {
        self.urgent = self.urgent.or(Some(now));
    }

    pub(super) fn has_urgent(&self) -> bool {
        self.urgent.is_some()
    }

    pub(super) fn due(&self) -> Option<Instant> {
        [self.final_due, self.urgent, self.periodic]
            .into_iter()
            .flatten()
            .min()
    }
}

impl Session {
    /// See [`Session::transmit_interval`].
    pub(super) fn periodic_interval(&self) -> Option<Duration> {
        if self.is_mute() || self.remote.required_min_rx.is_zero() {
            return None;
        }
        // RFC 5880 §6.5, §6.8.7: in Demand mode, periodic packets flow only for a Poll Sequence.
        if self.remote_demand_active() && !self.poll.is_transmitting() {
            return None;
        }
        let ours = Duration::from_micros(self.intervals.tx_in_force.into());
        Some(ours.max(self.remote.required_min_rx))
    }

    /// Brings the schedule in line after anything has changed.
    pub(super) fn reschedule(&mut self, now: Instant) {
        if self.is_mute() {
            self.transmit.final_due = None;
            self.transmit.urgent = None;
        }
        let interval = self.periodic_interval();
        if interval == self.transmit.interval {
            return;
        }
        self.transmit.interval = interval;
        // RFC 5880 §6.8.3: the new interval counts from the last packet, so a shorter one is honoured at once.
        self.transmit.periodic = interval.map(|interval| match self.transmit.last_sent {
            Some(last) => after(last, jittered(interval, self.config.detect_mult, &mut self.rng)).max(now),
            None => now,
        });
    }

    pub(super) fn transmit_due(&mut self, now: Instant, buf: &mut [u8; MAX_PACKET_LEN]) -> Option<usize> {
        if self.transmit.final_due.is_some_and(|due| due <= now) {
            return Some(self.send_final(buf));
        }
        let periodic = self.transmit.periodic.filter(|due| *due <= now);
        let urgent = self.transmit.urgent.filter(|due| *due <= now);
        if periodic.is_none() && urgent.is_none() {
            return None;
        }
        let poll = self.poll.on_transmit(now);
        self.transmit.urgent = None;
        self.transmit.last_sent = Some(now);
        self.transmit.periodic = self.transmit.interval.map(|interval| {
            // Counted from when the packet was due, so that lateness does not add up, but never sooner than jitter
            // may bring it (RFC 5880 §6.8.7).
            let due = periodic.unwrap_or(now);
            let jittered = after(due, jittered(interval, self.config.detect_mult, &mut self.rng));
            jittered.max(after(now, shortest(interval)))
        });
        let len = self.encode(self.compose(poll, false), buf);
        // A Poll that has just been sent may be the only reason for packets.
        self.reschedule(now);
        Some(len)
    }

    /// RFC 5880 §6.8.7: at once, whatever else forbids packets, and outside of the periodic schedule.
    fn send_final(&mut self, buf: &mut [u8; MAX_PACKET_LEN]) -> usize {
        self.transmit.final_due = None;
        // It carries the news, too; unless a Poll waits that no periodic packet would carry.
        if self.transmit.interval.is_some() || !self.poll.is_transmitting() {
            self.transmit.urgent = None;
        }
        self.counters.finals_transmitted = self.counters.finals_transmitted.wrapping_add(1);
        self.encode(self.compose(false, true), buf)
    }

    fn encode(&mut self, control: ControlPacket, buf: &mut [u8; MAX_PACKET_LEN]) -> usize {
        self.counters.transmitted = self.counters.transmitted.wrapping_add(1);
        let contents = ControlPacket {
            poll: false,
            is_final: false,
            ..control
        };
        let changed = self.transmit.last_contents != Some(contents);
        self.transmit.last_contents = Some(contents);
        let Some(auth) = &self.config.auth else {
            return control.encode_mandatory(0, buf);
        };
        self.auth_sequence.transmit = auth.next_sequence(self.auth_sequence.transmit, changed);
        auth.sign(&control, self.auth_sequence.transmit, buf)
    }
}
