//! BFD strict mode (draft-ietf-idr-bgp-bfd-strict-mode section 8).

#[cfg(test)]
mod tests;

use crate::connection::Phase;
use crate::peer::Lifecycle;
use crate::{ConnectionId, Negotiated, Peer};
use std::time::Instant;

impl Peer {
    /// Whether the peer's OPEN was accepted and only BFD is missing (the sub-states of section 8.1, which section 11
    /// wants to be visible).
    pub fn awaits_bfd(&self) -> bool {
        let mut phases = self.connections.iter().map(|connection| &connection.phase);
        phases.any(|phase| matches!(phase, Phase::AwaitsBfd { .. }))
    }

    pub(crate) fn must_await_bfd(&self) -> bool {
        self.config.bfd_strict.is_some() && !self.bfd_ready
    }

    /// The peer's OPEN is good, but says nothing yet for our KEEPALIVE (section 8.5.5).
    pub(crate) fn await_bfd(&mut self, index: usize, negotiated: Negotiated, now: Instant) {
        let without_hold_timer = negotiated.hold_time == 0;
        self.connections[index].phase = Phase::AwaitsBfd {
            negotiated: Box::new(negotiated),
            confirmed: false,
        };
        self.restart_hold(index, now);
        let patience = self.config.bfd_strict.filter(|_| without_hold_timer);
        self.connections[index].bfd_hold_at = patience.map(|patience| now + patience);
    }

    /// BFD came up at the peer first (section 8.5.6).
    pub(crate) fn confirmed_early(&mut self, index: usize, now: Instant) {
        if let Phase::AwaitsBfd { confirmed, .. } = &mut self.connections[index].phase {
            *confirmed = true;
        }
        self.restart_hold(index, now);
    }

    pub(crate) fn bfd(&mut self, ready: bool, now: Instant) {
        let was_ready = std::mem::replace(&mut self.bfd_ready, ready);
        if self.config.bfd_strict.is_none() || was_ready || !ready {
            return;
        }
        let ids: Vec<ConnectionId> = self.connections.iter().map(|connection| connection.id).collect();
        for id in ids {
            self.release(id, now);
        }
        if !self.connections.is_empty() {
            return;
        }
        // The path works: what failed without it, or hangs on a SYN that was lost, is tried again at once.
        match self.lifecycle {
            Lifecycle::Stopped => {}
            Lifecycle::IdleHold => {
                self.idle_hold_at = None;
                self.run(now);
            }
            Lifecycle::Running => {
                self.cancel_dial();
                self.connect_failures = 0;
                self.dial(now);
            }
        }
    }

    /// Sends what was withheld on a connection (section 8.5.1).
    fn release(&mut self, id: ConnectionId, now: Instant) {
        let found = self.connections.iter().position(|connection| connection.id == id);
        let Some(index) =
            found.filter(|index| matches!(self.connections[*index].phase, Phase::AwaitsBfd { .. }))
        else {
            return;
        };
        let connection = &mut self.connections[index];
        connection.bfd_hold_at = None;
        let Phase::AwaitsBfd {
            negotiated,
            confirmed,
        } = std::mem::replace(&mut connection.phase, Phase::OpenSent)
        else {
            return;
        };
        connection.phase = Phase::OpenConfirm(negotiated);
        self.keepalive(index, now);
        if confirmed {
            self.restart_hold(index, now);
            self.establish(id, now);
        }
    }
}
