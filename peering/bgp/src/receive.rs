//! What a peer does with each message, by the phase of the connection it came on.

use crate::connection::{Connection, Phase};
use crate::negotiate::initial_decode_context;
use crate::{ConnectionId, Direction, DownReason, Event, Negotiated, Peer, PeerConfig};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};
use wire::{
    DecodeContext, Disposition, Family, HEADER_LEN, Message, Notification, Open, Prefix, RefreshKind,
    RouteRefresh, Update, code, decode, frame_len, subcode,
};

impl Peer {
    pub(crate) fn received(&mut self, id: ConnectionId, data: &[u8], now: Instant) {
        let Some(index) = self.index(id) else { return };
        let mut buffer = std::mem::take(&mut self.connections[index].received);
        buffer.extend_from_slice(data);
        let mut rest = buffer.as_slice();
        // A message may end the connection; what follows it is then nobody's.
        while let Some(index) = self.index(id) {
            let context = self.decode_context(&self.connections[index]);
            let len = match frame_len(rest, context.max_message) {
                Ok(Some(len)) if len <= rest.len() => len,
                Ok(_) => {
                    self.connections[index].received = rest.to_vec();
                    return;
                }
                Err(notification) => return self.fail(id, notification, now),
            };
            let (frame, tail) = rest.split_at(len);
            rest = tail;
            match decode(frame, &context) {
                Ok(message) => self.message(id, frame[HEADER_LEN - 1], message, now),
                Err(notification) => return self.fail(id, notification, now),
            }
        }
    }

    fn message(&mut self, id: ConnectionId, kind: u8, message: Message, now: Instant) {
        self.counters.received[0] += 1;
        if let Some(counter) = self.counters.received.get_mut(usize::from(kind)) {
            *counter += 1;
        }
        let Some(index) = self.index(id) else { return };
        match (&self.connections[index].phase, message) {
            (_, Message::Notification(notification)) => self.notified(id, notification, now),
            (Phase::DelayOpen | Phase::OpenSent, Message::Open(open)) => self.opened(index, open, now),
            (Phase::AwaitsBfd { .. }, Message::Keepalive) => self.confirmed_early(index, now),
            (Phase::OpenConfirm(_), Message::Keepalive) => {
                self.restart_hold(index, now);
                self.establish(id, now);
            }
            (Phase::Established(_), Message::Keepalive) => self.restart_hold(index, now),
            (Phase::Established(_), Message::Update(update)) => {
                self.restart_hold(index, now);
                self.updated(*update);
            }
            (Phase::Established(_), Message::RouteRefresh(refresh)) => {
                self.restart_hold(index, now);
                self.refreshed(refresh);
            }
            // RFC 6608: which state the message was not expected in
            (Phase::DelayOpen, _) => self.fail(id, Notification::new(code::FSM, 0), now),
            (Phase::OpenSent | Phase::AwaitsBfd { .. }, _) => {
                self.fail_unexpected(id, subcode::UNEXPECTED_IN_OPEN_SENT, kind, now);
            }
            (Phase::OpenConfirm(_), _) => {
                self.fail_unexpected(id, subcode::UNEXPECTED_IN_OPEN_CONFIRM, kind, now)
            }
            (Phase::Established(_), Message::Open(_)) => {
                self.fail_unexpected(id, subcode::UNEXPECTED_IN_ESTABLISHED, kind, now);
            }
        }
    }

    /// RFC 6608 section 3: the data is the type of the unexpected message.
    fn fail_unexpected(&mut self, id: ConnectionId, subcode: u8, kind: u8, now: Instant) {
        self.fail(id, Notification::with_data(code::FSM, subcode, vec![kind]), now);
    }

    /// The peer's OPEN has come (RFC 4271 section 8.2.2, events 19 and 20).
    fn opened(&mut self, index: usize, open: Open, now: Instant) {
        let id = self.connections[index].id;
        let negotiated = match Negotiated::new(&self.config, open) {
            Ok(negotiated) => negotiated,
            Err(notification) => return self.fail(id, notification, now),
        };
        let collision = Notification::new(code::CEASE, subcode::COLLISION);
        match self.resolve_collision(index, &negotiated) {
            Collision::None => {}
            Collision::CloseThis => {
                self.close(id, Some(collision));
                return;
            }
            Collision::CloseOther(other) => {
                self.close(other, Some(collision));
            }
            Collision::Restarted(old) => {
                // RFC 4724 section 4.2: no NOTIFICATION for the connection that the peer has lost
                if let Some(gone) = self.close(old, None) {
                    self.gone(&gone, DownReason::PeerRestarted, now);
                }
            }
        }
        let Some(index) = self.index(id) else { return };
        if matches!(self.connections[index].phase, Phase::DelayOpen) {
            let mut connection = self.connections.remove(index);
            self.send_open(&mut connection, now);
            self.connections.insert(index, connection);
        }
        if self.must_await_bfd() {
            return self.await_bfd(index, negotiated, now);
        }
        self.connections[index].phase = Phase::OpenConfirm(Box::new(negotiated));
        self.restart_hold(index, now);
        self.keepalive(index, now);
    }

    /// Whether the connection that brought an OPEN collides with the other one, and which of them stays.
    fn resolve_collision(&self, index: usize, negotiated: &Negotiated) -> Collision {
        let this = &self.connections[index];
        let Some(other) = self
            .connections
            .iter()
            .find(|connection| connection.id != this.id)
        else {
            return Collision::None;
        };
        match other.phase {
            // RFC 4271 section 6.8: only a connection in OpenConfirm or beyond collides.
            Phase::DelayOpen | Phase::OpenSent => Collision::None,
            Phase::Established(_) => Collision::Restarted(other.id),
            // What waits for BFD would be in OpenConfirm without it, and knows the peer's identifier.
            Phase::AwaitsBfd { .. } | Phase::OpenConfirm(_)
                if survivor(&self.config, negotiated) == this.direction =>
            {
                Collision::CloseOther(other.id)
            }
            Phase::AwaitsBfd { .. } | Phase::OpenConfirm(_) => Collision::CloseThis,
        }
    }

    fn updated(&mut self, update: Update) {
        if let Some(defect) = update.defects.first() {
            self.counters.malformed_updates += 1;
            self.events.push_back(Event::MalformedUpdate(defect.what));
        }
        if let Some(family) = update.end_of_rib.and_then(Family::from_afi_safi) {
            self.events.push_back(Event::EndOfRib(family));
        }
        for prefix in &update.withdrawn {
            self.adj_in.withdraw(prefix);
        }
        let withdrawn_by_defect = update
            .defects
            .iter()
            .any(|defect| defect.disposition == Disposition::TreatAsWithdraw);
        let acceptable = !withdrawn_by_defect && self.acceptable(&update);
        for prefix in update.announced {
            self.note_announced(prefix, acceptable);
        }
    }

    fn note_announced(&mut self, prefix: Prefix, acceptable: bool) {
        if !acceptable {
            self.adj_in.reject(&prefix);
        } else if self.adj_in.announce(prefix) {
            self.events.push_back(Event::PrefixLimit);
        }
    }

    /// RFC 4271 section 6.3 (the first AS of an eBGP path is the peer's) and section 9.1.2 (no loop).
    fn acceptable(&self, update: &Update) -> bool {
        let Some(path) = &update.attributes.as_path else {
            return true;
        };
        let first_as = !self.config.is_ebgp() || path.first() == Some(self.config.remote_as);
        first_as && path.asns().all(|asn| asn != self.config.local_as)
    }

    fn refreshed(&mut self, refresh: RouteRefresh) {
        let Some(family) = Family::from_afi_safi(refresh.family) else {
            return;
        };
        match refresh.kind {
            RefreshKind::Request => {
                self.adj_out.refresh(family);
                self.events.push_back(Event::RefreshRequested(family));
            }
            // Nothing of the peer's is imported, so there is nothing to mark or purge.
            RefreshKind::Begin | RefreshKind::End | RefreshKind::Other(_) => {}
        }
    }

    pub(crate) fn restart_hold(&mut self, index: usize, now: Instant) {
        let connection = &mut self.connections[index];
        let Some(hold) = connection.negotiated().map(|negotiated| negotiated.hold_time) else {
            return;
        };
        connection.hold_at = (hold > 0).then(|| now + Duration::from_secs(u64::from(hold)));
    }

    fn index(&self, id: ConnectionId) -> Option<usize> {
        self.connections.iter().position(|connection| connection.id == id)
    }

    fn decode_context(&self, connection: &Connection) -> DecodeContext {
        match connection.negotiated() {
            Some(negotiated) => negotiated.decode_context(&self.config),
            None => initial_decode_context(&self.config),
        }
    }
}

enum Collision {
    None,
    CloseThis,
    CloseOther(ConnectionId),
    Restarted(ConnectionId),
}

/// Which of two colliding connections stays: the one that the speaker with the higher BGP identifier has opened
/// (RFC 4271 section 6.8); with equal identifiers, the one of the higher AS number (RFC 6286 section 2.3).
fn survivor(config: &PeerConfig, negotiated: &Negotiated) -> Direction {
    let ours: (Ipv4Addr, u32) = (config.local_id, config.local_as);
    if ours > (negotiated.remote_id, negotiated.remote_as) {
        Direction::Dialed
    } else {
        Direction::Accepted
    }
}
