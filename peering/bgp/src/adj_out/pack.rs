//! From table to messages.

use super::attributes::{AttributeTable, NEVER_SENT};
use super::{AdjRibOut, Group, QUEUED, Refresh, Slot, Walk};
use wire::{
    EncodeContext, Family, Prefix, RefreshKind, RouteRefresh, UpdatePacker, encode_end_of_rib,
    encode_route_refresh,
};

/// How many prefixes of the queue are sorted into messages at a time.
const QUEUE_BATCH: usize = 4096;

impl AdjRibOut {
    /// Appends whole messages to `out` until nothing is left to say or `out` holds `budget` octets. Returns whether
    /// anything was appended. The last message may exceed the budget, by less than 128 KiB in all.
    pub fn fill(&mut self, out: &mut Vec<u8>, budget: usize) -> bool {
        let before = out.len();
        while out.len() < budget {
            if !self.queue.is_empty() {
                self.fill_from_queue(out);
                continue;
            }
            if !self.fill_from_walk(out) && !self.fill_markers(out) {
                break;
            }
        }
        out.len() > before
    }

    /// Whether `fill` would append something.
    pub fn has_pending(&self) -> bool {
        let Some(session) = &self.session else {
            return false;
        };
        !self.queue.is_empty()
            || session.families.iter().any(|family| {
                let progress = &session.progress[family as usize];
                progress.walk.is_some()
                    || progress.refresh != Refresh::None
                    || (self.complete && self.open && !progress.end_of_rib_sent)
            })
    }

    fn fill_from_queue(&mut self, out: &mut Vec<u8>) {
        let take = self.queue.len().min(QUEUE_BATCH);
        let mut batch: Vec<(Family, Group, Prefix)> = Vec::with_capacity(take);
        let taken: Vec<Prefix> = self.queue.drain(..take).collect();
        for prefix in taken {
            let family = prefix.family();
            let Some(slot) = self.table.get_mut(&prefix) else {
                continue;
            };
            slot.desired &= !QUEUED;
            let slot = *slot;
            if slot.is_vacant() {
                self.table.remove(&prefix);
            } else if let Some(group) = self.group(family, slot) {
                batch.push((family, group, prefix));
            }
        }
        batch.sort_unstable();
        let mut rest = batch.as_slice();
        while let Some(&(family, group, _)) = rest.first() {
            let end = rest.partition_point(|item| (item.0, item.1) <= (family, group));
            let (run, tail) = rest.split_at(end);
            self.pack_run(family, group, run.iter().map(|item| item.2), out);
            rest = tail;
        }
    }

    /// One message from a walk; `false` if no walk is under way.
    fn fill_from_walk(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(session) = &mut self.session else {
            return false;
        };
        let Some(family) = session
            .families
            .iter()
            .find(|family| session.progress[*family as usize].walk.is_some())
        else {
            return false;
        };
        let Some(mut walk) = session.progress[family as usize].walk.take() else {
            return false;
        };
        let finished = self.walk_step(family, &mut walk, out);
        if let Some(session) = &mut self.session
            && !finished
        {
            session.progress[family as usize].walk = Some(walk);
        }
        true
    }

    /// Packs one message of the walk's group. Returns whether the walk is over.
    fn walk_step(&mut self, family: Family, walk: &mut Walk, out: &mut Vec<u8>) -> bool {
        let Self {
            table,
            attributes,
            open,
            session,
            sent,
            ..
        } = self;
        let Some(session) = session else { return true };
        let mut packer: Option<UpdatePacker<'_>> = None;
        let mut out = Some(out);
        let mut formers: Vec<(u8, usize)> = Vec::new();
        let mut vacant = Vec::new();
        let mut full = false;
        table.visit_mut(family, walk.cursor, |prefix, slot| {
            let Some(group) = group_of(*open, attributes, family, *slot) else {
                walk.cursor = Some(prefix);
                return true;
            };
            if group != *walk.group.get_or_insert(group) {
                walk.again = true;
                walk.cursor = Some(prefix);
                return true;
            }
            if let Some(out) = out.take() {
                packer = packer_for(group, family, attributes, &session.context, out);
            }
            if !packer.as_mut().is_some_and(|packer| packer.push(&prefix)) {
                full = true;
                return false;
            }
            match formers.iter_mut().find(|(former, _)| *former == slot.sent) {
                Some((_, count)) => *count += 1,
                None => formers.push((slot.sent, 1)),
            }
            slot.sent = group.sent();
            if slot.is_vacant() {
                vacant.push(prefix);
            }
            walk.cursor = Some(prefix);
            true
        });
        let packed = packer.map_or(0, UpdatePacker::finish);
        let now = walk.group.map_or(NEVER_SENT, Group::sent);
        for (former, count) in formers {
            attributes.moved(former, now, count);
            recount(&mut sent[family as usize], former, now, count);
        }
        for prefix in &vacant {
            table.remove(prefix);
        }
        if full {
            // `define` has made sure that every message has room for a prefix; without progress a walk never ends.
            debug_assert!(packed > 0, "an empty message has room for a prefix");
            return packed == 0;
        }
        if walk.again {
            *walk = Walk::default();
            return false;
        }
        true
    }

    /// End-of-RIB and the markers of an enhanced route refresh; `false` if there is none to send.
    fn fill_markers(&mut self, out: &mut Vec<u8>) -> bool {
        let (open, complete) = (self.open, self.complete);
        let Some(session) = &mut self.session else {
            return false;
        };
        let enhanced = session.enhanced_refresh;
        for family in session.families.iter() {
            let progress = &mut session.progress[family as usize];
            match progress.refresh {
                Refresh::Asked => {
                    progress.refresh = Refresh::Running;
                    progress.walk = Some(Walk::default());
                    if enhanced {
                        // RFC 7313 section 4.1
                        encode_route_refresh(&marker(family, RefreshKind::Begin), out);
                    }
                    self.mark_stale(family);
                    return true;
                }
                Refresh::Running => {
                    progress.refresh = Refresh::None;
                    if enhanced {
                        encode_route_refresh(&marker(family, RefreshKind::End), out);
                    }
                    return true;
                }
                Refresh::None => {}
            }
            if open && complete && !progress.end_of_rib_sent {
                progress.end_of_rib_sent = true;
                encode_end_of_rib(family, out);
                return true;
            }
        }
        false
    }

    fn pack_run(
        &mut self,
        family: Family,
        group: Group,
        run: impl Iterator<Item = Prefix>,
        out: &mut Vec<u8>,
    ) {
        let Self {
            table,
            attributes,
            session,
            sent,
            ..
        } = self;
        let Some(session) = session else { return };
        let mut prefixes = run.peekable();
        while prefixes.peek().is_some() {
            let Some(mut packer) = packer_for(group, family, attributes, &session.context, out) else {
                return;
            };
            let mut packed = Vec::new();
            while let Some(prefix) = prefixes.next_if(|prefix| packer.push(prefix)) {
                packed.push(prefix);
            }
            if packer.finish() == 0 {
                return;
            }
            for prefix in packed {
                let Some(slot) = table.get_mut(&prefix) else {
                    continue;
                };
                let former = std::mem::replace(&mut slot.sent, group.sent());
                if slot.is_vacant() {
                    table.remove(&prefix);
                }
                attributes.moved(former, group.sent(), 1);
                recount(&mut sent[family as usize], former, group.sent(), 1);
            }
        }
    }

    /// What is to be done with this slot; `None` if the peer has what it should have.
    fn group(&self, family: Family, slot: Slot) -> Option<Group> {
        let session = self.session.as_ref()?;
        session
            .families
            .contains(family)
            .then(|| group_of(self.open, &self.attributes, family, slot))?
    }
}

impl Group {
    /// What a slot remembers of it.
    fn sent(self) -> u8 {
        match self {
            Self::Withdraw => NEVER_SENT,
            Self::Announce(id) => id,
        }
    }
}

fn group_of(open: bool, attributes: &AttributeTable, family: Family, slot: Slot) -> Option<Group> {
    let target = if open {
        attributes.current(slot.class(), family)
    } else {
        NEVER_SENT
    };
    if target == slot.sent {
        return None;
    }
    Some(if target == NEVER_SENT {
        Group::Withdraw
    } else {
        Group::Announce(target)
    })
}

fn packer_for<'a>(
    group: Group,
    family: Family,
    attributes: &'a AttributeTable,
    context: &EncodeContext,
    out: &'a mut Vec<u8>,
) -> Option<UpdatePacker<'a>> {
    match group {
        Group::Withdraw => Some(UpdatePacker::withdraw(family, context, out)),
        Group::Announce(id) => attributes
            .encoded(id)
            .map(|encoded| UpdatePacker::announce(encoded, context, out)),
    }
}

fn recount(sent: &mut usize, former: u8, now: u8, count: usize) {
    match (former, now) {
        (NEVER_SENT, NEVER_SENT) => {}
        (NEVER_SENT, _) => *sent += count,
        (_, NEVER_SENT) => *sent = sent.saturating_sub(count),
        _ => {}
    }
}

fn marker(family: Family, kind: RefreshKind) -> RouteRefresh {
    RouteRefresh {
        family: family.afi_safi(),
        kind,
    }
}
