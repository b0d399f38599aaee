//! All sessions, without a socket and without a clock.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use bfd::{
    Cause, Demux, DemuxError, Diag, Discard, Event, MAX_PACKET_LEN, PacketMeta, PeerKey, Session, State,
    StateChange, reaction,
};

use super::datagram::Datagram;
use super::error::{BfdAttempt, BfdSocketError};
use super::event::{BfdDown, BfdEvent, News};
use super::recorder::{RecordedPacket, RecordedWhat};
use super::slot::{Binding, Port, Slot};
use super::spec::{Refusal, Wanted};
use super::status::{BfdSessionStatus, BfdThreadStatus, Discards, LastDown};

/// Lateness below this is not looked at: no interval is so short.
const LATENESS_THAT_MATTERS: Duration = Duration::from_millis(1);

/// What became of a packet that was to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sending {
    Taken,
    /// The kernel took it after it had told that the other host refuses packets, or cannot be resolved.
    TakenAfterRefusal,
    Failed,
    /// It failed, and the socket is of no use any more.
    Broken(BfdSocketError),
}

/// For each [`Port`], the instant up to which everything that arrived has been handed in.
pub(super) type Drained = [Instant; Port::ALL.len()];

/// All sessions.
///
/// A turn of the owner is: [`Table::stalled`], then [`Table::receive`] for what waits in the sockets, then
/// [`Table::judge`], then [`Table::transmit`]; then it fetches the news and sleeps until [`Table::deadline`].
pub(super) struct Table {
    slots: Vec<Option<Slot>>,
    /// When the session of the same index wants to be looked at.
    due: Vec<Option<Instant>>,
    limit: usize,
    demux: Demux<usize>,
    rng: fastrand::Rng,
    last_id: u64,
    /// Ports on which packets can be received.
    open: [bool; Port::ALL.len()],
    /// When the kernel was last seen to have dropped packets there.
    overflowed: [Option<Instant>; Port::ALL.len()],
    local_stalls: u64,
    longest_stall: Duration,
    unattributed: Discards,
    last_unknown: Option<(SocketAddr, Option<NonZeroU32>)>,
    changed: bool,
    news: News,
}

impl Table {
    /// Holds at most `limit` sessions; `seed` is to come from the system's random source.
    pub(super) fn new(limit: usize, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        Self {
            slots: Vec::with_capacity(limit),
            due: Vec::with_capacity(limit),
            limit,
            demux: Demux::new(rng.u64(..)),
            rng,
            last_id: 0,
            open: [false; Port::ALL.len()],
            overflowed: [None; Port::ALL.len()],
            local_stalls: 0,
            longest_stall: Duration::ZERO,
            unattributed: Discards::default(),
            last_unknown: None,
            changed: false,
            news: News::new(limit),
        }
    }

    /// Makes the sessions those of `list`. Sessions whose spec did not change are not touched. What is left in
    /// `list` afterwards is of no use.
    pub(super) fn apply(&mut self, list: &mut [Wanted], now: Instant) {
        for index in 0..self.slots.len() {
            let Some(slot) = self.staying(index) else { continue };
            let kept = list
                .iter()
                .any(|wanted| wanted.spec.is_same_session(&slot.wanted.spec));
            if !kept {
                slot.leave(now);
                self.settle(index, now);
            }
        }
        for wanted in list {
            let key = wanted.spec.key;
            let index = (0..self.slots.len())
                .find(|index| self.staying(*index).is_some_and(|slot| slot.key() == key));
            match index {
                Some(index) => {
                    if let Some(slot) = self.staying(index) {
                        slot.note_patience();
                        slot.update(wanted, now);
                    }
                    self.settle(index, now);
                }
                None => self.add(wanted, now),
            }
        }
        self.changed = true;
    }

    /// Whether sessions, or what they need, have changed since the last call: the owner's sockets are to follow.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// How many indices there are. A session keeps its index, and an index that became free is used again.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether the last session has gone.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.iter().all(Option::is_none)
    }

    pub(super) fn slot(&self, index: usize) -> Option<&Slot> {
        self.slots.get(index)?.as_ref()
    }

    /// Whether any session receives there.
    pub(super) fn needs(&self, port: Port) -> bool {
        self.slots.iter().flatten().any(|slot| slot.port == port)
    }

    /// Says whether packets can be received on a port. Sessions are at rest while they cannot: a session that sends
    /// without hearing would disturb whoever owns the port on this host.
    pub(super) fn set_open(&mut self, port: Port, open: bool) {
        if let Some(slot) = self.open.get_mut(port as usize) {
            *slot = open;
        }
        for index in 0..self.slots.len() {
            self.refresh(index);
        }
    }

    /// Says how a session sends.
    pub(super) fn set_binding(&mut self, index: usize, binding: Binding, now: Instant) {
        let Some(slot) = slot_at(&mut self.slots, index) else {
            return;
        };
        let before = slot.peer_key();
        slot.binding = Some(binding);
        if slot.registered && slot.peer_key() != before {
            self.demux.remove(slot.session.config().local_discriminator());
            slot.registered = false;
        }
        // Whether sending works is only known when something was sent.
        if slot
            .send_error
            .is_some_and(|error| error.attempt != BfdAttempt::Send)
        {
            slot.set_send_error(None, &mut self.news);
        }
        self.register(index, now);
    }

    /// Says that a session cannot send.
    pub(super) fn set_send_error(&mut self, index: usize, error: BfdSocketError) {
        if let Some(slot) = slot_at(&mut self.slots, index) {
            slot.set_send_error(Some(error), &mut self.news);
        }
    }

    /// Says that we acted `late`: granted once, silence in that time is forgiven. True if the stall was so long that
    /// a session, here or at the other end, may suffer; then the owner is to transmit at once.
    pub(super) fn stalled(&mut self, late: Duration, now: Instant) -> bool {
        if late < LATENESS_THAT_MATTERS {
            return false;
        }
        let mut suffers = false;
        for index in 0..self.slots.len() {
            if !self.is_running(index) {
                continue;
            }
            let Some(slot) = slot_at(&mut self.slots, index) else {
                continue;
            };
            slot.note_patience();
            // If the whole machine stood still, packets are lost that the kernel's timestamps cannot speak for.
            if slot.session.detection_time().is_some_and(|time| late >= time / 2) {
                slot.forgive(now);
            }
            if slot.suffers_from(late, now) {
                suffers = true;
                slot.stalled_at = Some(now);
                slot.recorder
                    .record(now, RecordedWhat::LocalStall { stalled: late });
            }
            self.refresh(index);
        }
        if suffers {
            self.local_stalls += 1;
            self.longest_stall = self.longest_stall.max(late);
            self.news.push(BfdEvent::LocalStall {
                stalled: late,
                at: now,
            });
        }
        suffers
    }

    /// Says that the kernel has dropped packets that came in on a port.
    pub(super) fn overflowed(&mut self, port: Port, now: Instant) {
        if let Some(at) = self.overflowed.get_mut(port as usize) {
            *at = Some(now);
        }
    }

    /// Takes in a datagram that arrived on `port`.
    pub(super) fn receive(
        &mut self,
        port: Port,
        datagram: &Datagram<'_>,
        received_at: Instant,
        now: Instant,
    ) {
        let remote = datagram.source.ip();
        let from = if port.is_single_hop() {
            PeerKey::SingleHop {
                remote,
                interface: datagram.interface,
            }
        } else {
            const UNKNOWN: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
            let local = datagram.destination.unwrap_or(UNKNOWN);
            PeerKey::MultiHop { remote, local }
        };
        let index = match self.demux.select(datagram.payload, from) {
            Ok(index) => index,
            Err(reason) => {
                self.unattributed.count(reason);
                if reason == Discard::NoSession {
                    self.last_unknown = Some((datagram.source, datagram.interface));
                }
                return;
            }
        };
        if !self.is_running(index) {
            return;
        }
        self.forgive_if_lossy(index, received_at, now);
        let Some(slot) = slot_at(&mut self.slots, index) else {
            return;
        };
        slot.note_patience();
        // Without ancillary data nothing proves that the packet comes from the link (RFC 5881 §5).
        let ttl = datagram.ttl.unwrap_or(0);
        let outcome = slot
            .session
            .handle_packet(datagram.payload, PacketMeta { ttl, received_at }, now);
        slot.recorder.record(
            received_at,
            RecordedWhat::Received {
                packet: RecordedPacket::new(datagram.payload),
                from: datagram.source,
                ttl,
                discard: outcome.err(),
                repeated: 0,
            },
        );
        self.collect(index, now);
        if let Some(slot) = slot_at(&mut self.slots, index)
            && outcome.is_ok()
        {
            slot.last_received = slot.last_received.max(Some(received_at.min(now)));
        }
        self.settle(index, now);
    }

    /// Ports that have to be drained before anything can be judged at `now`.
    pub(super) fn undrained(&self, now: Instant, drained: &Drained) -> [bool; Port::ALL.len()] {
        let mut ports = [false; Port::ALL.len()];
        for (slot, _) in self.due_slots(now) {
            if is_judged_too_early(slot, now, drained)
                && let Some(port) = ports.get_mut(slot.port as usize)
            {
                *port = true;
            }
        }
        ports
    }

    /// Ports on which a session is about to be declared down at `now`.
    pub(super) fn expiring(&self, now: Instant) -> [bool; Port::ALL.len()] {
        let mut ports = [false; Port::ALL.len()];
        for (slot, _) in self.due_slots(now) {
            let deadline = slot.session.detection_deadline();
            if deadline.is_some_and(|deadline| deadline <= now)
                && let Some(port) = ports.get_mut(slot.port as usize)
            {
                *port = true;
            }
        }
        ports
    }

    /// Notices what time has brought. A session is not declared down while its socket may hold an older packet.
    pub(super) fn judge(&mut self, now: Instant, drained: &Drained) {
        for index in 0..self.slots.len() {
            if !self.is_due(index, now) {
                continue;
            }
            if self.is_running(index) {
                if self
                    .slot(index)
                    .is_some_and(|slot| is_judged_too_early(slot, now, drained))
                {
                    continue;
                }
                self.forgive_if_lossy(index, now, now);
                if let Some(slot) = slot_at(&mut self.slots, index) {
                    slot.note_patience();
                    slot.session.handle_timeout(now);
                }
            }
            self.settle(index, now);
        }
    }

    /// Hands every packet that is due to `send`.
    pub(super) fn transmit(&mut self, now: Instant, mut send: impl FnMut(usize, &[u8]) -> Sending) {
        let mut buf = [0; MAX_PACKET_LEN];
        for index in 0..self.slots.len() {
            if !self.is_due(index, now) || !self.is_running(index) {
                continue;
            }
            let Some(slot) = slot_at(&mut self.slots, index) else {
                continue;
            };
            while let Some(len) = slot.session.poll_transmit(now, &mut buf) {
                let packet = buf.get(..len).unwrap_or_default();
                let sending = send(index, packet);
                let taken = matches!(sending, Sending::Taken | Sending::TakenAfterRefusal);
                if taken {
                    slot.last_sent = Some(now);
                }
                slot.send_failures += u64::from(!taken);
                slot.refusals += u64::from(sending == Sending::TakenAfterRefusal);
                match sending {
                    Sending::Broken(error) => slot.set_send_error(Some(error), &mut self.news),
                    Sending::Failed => {}
                    Sending::Taken | Sending::TakenAfterRefusal => slot.set_send_error(None, &mut self.news),
                }
                slot.recorder.record(
                    now,
                    RecordedWhat::Sent {
                        packet: RecordedPacket::new(packet),
                        taken,
                    },
                );
            }
            self.settle(index, now);
        }
    }

    /// When to come back at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.due.iter().flatten().min().copied()
    }

    /// What has happened, for somebody else.
    pub(super) fn news(&mut self) -> &mut News {
        &mut self.news
    }

    /// Appends the status of the sessions for which there is room; does not allocate.
    pub(super) fn write_sessions(&self, sessions: &mut Vec<BfdSessionStatus>, now: Instant) {
        for (index, slot) in self.slots.iter().enumerate() {
            if let Some(slot) = slot
                && sessions.len() < sessions.capacity()
            {
                sessions.push(slot.status(self.is_running(index), now));
            }
        }
    }

    /// Fills in what the table knows of the thread.
    pub(super) fn write_status(&self, status: &mut BfdThreadStatus) {
        status.local_stalls = self.local_stalls;
        status.longest_stall = self.longest_stall;
        status.unattributed = self.unattributed;
        status.last_unknown = self.last_unknown;
        status.events_lost = self.news.lost();
    }

    /// The session with this key that has not been told to leave, or else the one that has.
    pub(super) fn find(&self, key: u64) -> Option<&Slot> {
        let mut all = self.slots.iter().flatten().filter(|slot| slot.key() == key);
        let first = all.next()?;
        Some(
            all.chain([first])
                .find(|slot| slot.leave_at.is_none())
                .unwrap_or(first),
        )
    }

    fn add(&mut self, wanted: &Wanted, now: Instant) {
        let key = wanted.spec.key;
        let free = self.slots.iter().position(Option::is_none);
        if free.is_none() && self.slots.len() >= self.limit {
            let refusal = Refusal::Limit(self.limit);
            self.news.push(BfdEvent::Refused { key, refusal });
            return;
        }
        let mut session = match self.make_session(wanted, now) {
            Ok(session) => session,
            Err(refusal) => {
                self.news.push(BfdEvent::Refused { key, refusal });
                return;
            }
        };
        if !wanted.enabled {
            session.admin_down(Diag::AdministrativelyDown, now);
        }
        self.last_id += 1;
        let slot = Some(Slot::new(self.last_id, wanted.clone(), session, now));
        let index = match free {
            Some(index) => {
                self.slots[index] = slot;
                index
            }
            None => {
                self.slots.push(slot);
                self.due.push(None);
                self.slots.len() - 1
            }
        };
        self.settle(index, now);
    }

    fn make_session(&mut self, wanted: &Wanted, now: Instant) -> Result<Session, Refusal> {
        let mut discriminator = self.demux.free_discriminator();
        // Sessions that are not registered yet have one, too.
        while self.has_discriminator(discriminator) {
            discriminator = self.demux.free_discriminator();
        }
        let config = wanted.spec.config(discriminator)?;
        Ok(Session::new(config, now, self.rng.u64(..)))
    }

    fn has_discriminator(&self, discriminator: NonZeroU32) -> bool {
        let mut all = self.slots.iter().flatten();
        all.any(|slot| slot.session.config().local_discriminator() == discriminator)
    }

    /// Lets packets find the session, as soon as no other one with the same peer is in the way.
    fn register(&mut self, index: usize, now: Instant) {
        let Some(slot) = slot_at(&mut self.slots, index) else {
            return;
        };
        let Some(peer) = slot.peer_key().filter(|_| !slot.registered) else {
            return;
        };
        let discriminator = slot.session.config().local_discriminator();
        match self.demux.insert(discriminator, peer, index) {
            Ok(()) => slot.registered = true,
            Err(DemuxError::Peer(_) | DemuxError::Discriminator(_)) => return,
        }
        self.settle(index, now);
    }

    fn remove(&mut self, index: usize, now: Instant) {
        let Some(slot) = self.slots.get_mut(index).and_then(Option::take) else {
            return;
        };
        self.due[index] = None;
        self.changed = true;
        if slot.registered {
            self.demux.remove(slot.session.config().local_discriminator());
        }
        let key = slot.key();
        if self.find(key).is_none() {
            self.news.push(BfdEvent::Removed { key });
        }
        for other in 0..self.slots.len() {
            self.register(other, now);
        }
    }

    /// The packets that would have saved the session may be among those that the kernel had to drop.
    fn forgive_if_lossy(&mut self, index: usize, heard: Instant, now: Instant) {
        let Some(slot) = slot_at(&mut self.slots, index) else {
            return;
        };
        let expired = slot
            .session
            .detection_deadline()
            .is_some_and(|deadline| deadline <= heard);
        let overflowed = self.overflowed.get(slot.port as usize).copied().flatten();
        if expired && overflowed > slot.last_received {
            slot.forgive(now);
        }
    }

    /// To be called after every change of a session.
    fn settle(&mut self, index: usize, now: Instant) {
        self.collect(index, now);
        let running = self.is_running(index);
        let gone = self
            .slot(index)
            .is_some_and(|slot| slot.leave_at.is_some() && (!running || slot.may_go(now)));
        if gone {
            self.remove(index, now);
            return;
        }
        self.refresh(index);
    }

    fn refresh(&mut self, index: usize) {
        let running = self.is_running(index);
        let due = self.slot(index).and_then(|slot| {
            let session = slot.session.poll_timeout().filter(|_| running);
            session.into_iter().chain(slot.leave_at).min()
        });
        if let Some(slot) = self.due.get_mut(index) {
            *slot = due;
        }
    }

    /// Fetches the events of a session.
    fn collect(&mut self, index: usize, now: Instant) {
        let Some(slot) = slot_at(&mut self.slots, index) else {
            return;
        };
        let key = slot.key();
        while let Some(event) = slot.session.poll_event() {
            let news = match event {
                Event::StateChanged(change) => state_changed(slot, &change),
                Event::RemoteDisabled => Some(BfdEvent::RemoteAdminDown { key }),
                Event::RemoteEnabled => Some(BfdEvent::RemoteEnabled { key }),
                Event::PollCompleted => None,
            };
            let (at, what) = match event {
                Event::StateChanged(change) => (change.at, RecordedWhat::State(change)),
                Event::RemoteDisabled => (now, RecordedWhat::RemoteDisabled),
                Event::RemoteEnabled => (now, RecordedWhat::RemoteEnabled),
                Event::PollCompleted => (now, RecordedWhat::PollCompleted),
            };
            slot.recorder.record(at, what);
            if let Event::StateChanged(change) = event
                && change.is_failure()
            {
                slot.recorder.freeze();
            }
            if let Some(news) = news {
                self.news.push(news);
            }
        }
    }

    /// The session of an index, unless it is leaving.
    fn staying(&mut self, index: usize) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(index)?.as_mut()?;
        slot.leave_at.is_none().then_some(slot)
    }

    /// Whether a session can be reached.
    fn is_running(&self, index: usize) -> bool {
        self.slot(index).is_some_and(|slot| {
            slot.registered && self.open.get(slot.port as usize).copied().unwrap_or_default()
        })
    }

    fn is_due(&self, index: usize, now: Instant) -> bool {
        self.due
            .get(index)
            .copied()
            .flatten()
            .is_some_and(|due| due <= now)
    }

    fn due_slots(&self, now: Instant) -> impl Iterator<Item = (&Slot, usize)> + '_ {
        (0..self.slots.len())
            .filter(move |index| self.is_due(*index, now) && self.is_running(*index))
            .filter_map(|index| Some((self.slot(index)?, index)))
    }
}

/// Borrows nothing but the slots.
fn slot_at(slots: &mut [Option<Slot>], index: usize) -> Option<&mut Slot> {
    slots.get_mut(index)?.as_mut()
}

/// Whether the Detection Time seems to have expired, but a packet from before may still wait to be read.
fn is_judged_too_early(slot: &Slot, now: Instant, drained: &Drained) -> bool {
    let drained = drained.get(slot.port as usize).copied().unwrap_or(now);
    slot.session
        .detection_deadline()
        .is_some_and(|deadline| deadline <= now && drained < deadline)
}

fn state_changed(slot: &mut Slot, change: &StateChange) -> Option<BfdEvent> {
    let key = slot.key();
    let at = change.at;
    slot.state_since = at;
    if change.to == State::Up {
        return Some(BfdEvent::Up { key, at });
    }
    if change.from != State::Up {
        return None;
    }
    let patience = slot.patience;
    let local_stall = change.is_failure()
        && slot
            .stalled_at
            .is_some_and(|stalled_at| at.saturating_duration_since(stalled_at) <= patience.sum());
    let down = LastDown {
        cause: change.cause,
        diag: change.local_diag,
        local_stall,
        ago: Duration::ZERO,
    };
    slot.last_down = Some((down, at));
    let expired = change.cause == Cause::DetectionExpired;
    let last_received = slot.last_received.filter(|_| expired);
    Some(BfdEvent::Down(BfdDown {
        key,
        cause: change.cause,
        diag: change.local_diag,
        remote_diag: change.remote_diag,
        reaction: reaction(change),
        local_stall,
        silent_for: last_received.map(|last| at.saturating_duration_since(last)),
        detection_time: patience.ours,
        at,
    }))
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
