//! The Adj-RIB-Out: for each prefix what the peer should have and what it has.
//!
//! There is no queue of messages. The table holds state, a short list remembers which prefixes differ, and messages
//! are made when the connection can take them; a change that is superseded before that is never sent. Where the
//! list would grow long, it is dropped and the table is walked instead, so that a slow peer costs no memory.

mod attributes;
mod pack;

#[cfg(test)]
mod tests;

pub use attributes::{ClassId, DefineError, ExportAttributes};

use crate::Negotiated;
use attributes::{AttributeTable, NEVER_SENT, STALE};
use std::collections::VecDeque;
use wire::{EncodeContext, Family, FamilySet, Prefix, PrefixMap};

/// Longest list of prefixes that differ before the table is walked instead.
const QUEUE_LIMIT: usize = 8192;

/// How far an announcement has come on this session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It is to be announced, but the peer does not have it (yet): the session is down, the gate closed, the family
    /// not negotiated, no next hop, or it waits for its turn.
    Desired,
    /// It was handed to the connection as it is desired now.
    Sent,
    /// The peer has it, and it is about to be withdrawn.
    Withdrawing,
}

/// What the peer should have and has, packed into two octets: at a million prefixes each octet is a megabyte.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Class to announce with, 0 for none; the top bit marks a place in the queue.
    desired: u8,
    /// Attribute set last sent, [`NEVER_SENT`] or [`STALE`].
    sent: u8,
}

const QUEUED: u8 = 0x80;

impl Slot {
    fn class(self) -> u8 {
        self.desired & !QUEUED
    }

    fn is_queued(self) -> bool {
        self.desired & QUEUED != 0
    }

    fn is_vacant(self) -> bool {
        self.desired == 0 && self.sent == NEVER_SENT
    }
}

/// What a peer is to be told. See the module documentation.
#[derive(Debug)]
pub struct AdjRibOut {
    table: PrefixMap<Slot>,
    attributes: AttributeTable,
    open: bool,
    complete: bool,
    session: Option<Session>,
    queue: VecDeque<Prefix>,
    desired: [usize; 2],
    sent: [usize; 2],
}

/// What exists only while the session is up.
#[derive(Debug)]
struct Session {
    families: FamilySet,
    context: EncodeContext,
    enhanced_refresh: bool,
    progress: [Progress; 2],
}

#[derive(Debug, Default)]
struct Progress {
    walk: Option<Walk>,
    end_of_rib_sent: bool,
    refresh: Refresh,
}

/// A pass over the table of one family: all prefixes after `cursor` may differ.
#[derive(Debug, Default)]
struct Walk {
    cursor: Option<Prefix>,
    /// The group that is packed in this pass; other groups met on the way ask for another pass.
    group: Option<Group>,
    again: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Refresh {
    #[default]
    None,
    /// To be begun as soon as the present walk is over.
    Asked,
    Running,
}

/// What is done with a prefix: all prefixes of one UPDATE share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Withdraw,
    Announce(u8),
}

impl Default for AdjRibOut {
    fn default() -> Self {
        Self::new()
    }
}

impl AdjRibOut {
    /// An empty table, gate closed.
    pub fn new() -> Self {
        Self {
            table: PrefixMap::new(),
            attributes: AttributeTable::default(),
            open: false,
            complete: false,
            session: None,
            queue: VecDeque::new(),
            desired: [0; 2],
            sent: [0; 2],
        }
    }

    /// Says that a prefix is to be announced with the attributes of a class, or not at all.
    pub fn set(&mut self, prefix: Prefix, class: Option<ClassId>) {
        let wanted = class.map_or(0, ClassId::get);
        if wanted == 0 && self.table.get(&prefix).is_none() {
            return;
        }
        let queueing = self.session.is_some();
        let family = prefix.family();
        let slot = self.table.get_or_insert_with(&prefix, Slot::default);
        let former = slot.class();
        if former == wanted {
            return;
        }
        slot.desired = wanted | (slot.desired & QUEUED);
        let desired = &mut self.desired[family as usize];
        match (former, wanted) {
            (0, _) => *desired += 1,
            (_, 0) => *desired -= 1,
            _ => {}
        }
        if slot.is_vacant() {
            self.table.remove(&prefix);
        } else if queueing {
            self.enqueue(prefix);
        }
    }

    /// Sets the attributes of a class. Where they differ from the former ones, every prefix of the class is
    /// announced again with the new ones; a family whose next hop becomes `None` is withdrawn.
    ///
    /// # Errors
    /// The attributes do not leave room for a prefix in a message; the former ones stay.
    pub fn define(&mut self, class: ClassId, attributes: ExportAttributes) -> Result<(), DefineError> {
        let changed = self
            .attributes
            .define(class, attributes, self.session.as_ref().map(|s| s.context))?;
        if !changed {
            return Ok(());
        }
        self.encode_attributes();
        self.walk_all();
        Ok(())
    }

    /// Opens or closes the gate: behind a closed gate nothing is announced, and what was sent is withdrawn.
    pub fn set_open(&mut self, open: bool) {
        if self.open != open {
            self.open = open;
            self.walk_all();
        }
    }

    /// Whether the gate is open.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Says that the desired set is complete: from now on End-of-RIB may be sent.
    pub fn set_complete(&mut self) {
        self.complete = true;
    }

    /// How far a prefix has come; `None` if it is neither desired nor known to the peer.
    pub fn stage(&self, prefix: &Prefix) -> Option<Stage> {
        let slot = self.table.get(prefix)?;
        if slot.class() == 0 {
            return Some(Stage::Withdrawing);
        }
        let current = self.target(prefix.family(), *slot);
        Some(if slot.sent != NEVER_SENT && current == slot.sent {
            Stage::Sent
        } else {
            Stage::Desired
        })
    }

    /// The prefixes of one family that are to be announced, in order, with their class.
    pub fn desired(&self, family: Family) -> impl Iterator<Item = (Prefix, ClassId)> {
        self.table
            .after(family, None)
            .filter_map(|(prefix, slot)| ClassId::new(slot.class()).map(|class| (prefix, class)))
    }

    /// Announces nothing of a family any more, as [`Self::set`] does for one prefix.
    pub fn clear(&mut self, family: Family) {
        let prefixes: Vec<Prefix> = self.desired(family).map(|(prefix, _)| prefix).collect();
        for prefix in prefixes {
            self.set(prefix, None);
        }
    }

    /// How many prefixes of the family are to be announced.
    pub fn desired_len(&self, family: Family) -> usize {
        self.desired[family as usize]
    }

    /// How many prefixes of the family the peer was told of and not told to forget.
    pub fn sent_len(&self, family: Family) -> usize {
        self.sent[family as usize]
    }

    /// Whether the End-of-RIB of the family was sent on this session.
    pub fn end_of_rib_sent(&self, family: Family) -> bool {
        self.session
            .as_ref()
            .is_some_and(|s| s.progress[family as usize].end_of_rib_sent)
    }

    /// Whether the End-of-RIB of every family of this session was sent.
    pub(crate) fn is_told(&self) -> bool {
        self.session.as_ref().is_some_and(|session| {
            let mut families = session.families.iter();
            families.all(|family| session.progress[family as usize].end_of_rib_sent)
        })
    }

    /// The prefixes of one family after `cursor`, in order, with their stage.
    pub fn iter_after(
        &self,
        family: Family,
        cursor: Option<Prefix>,
    ) -> impl Iterator<Item = (Prefix, Stage)> {
        self.table
            .after(family, cursor)
            .filter_map(|(prefix, _)| self.stage(&prefix).map(|stage| (prefix, stage)))
    }

    /// The attributes with which a class of prefixes is announced.
    pub fn class_attributes(&self, class: ClassId) -> Option<&ExportAttributes> {
        self.attributes.class(class)
    }

    pub(crate) fn session_up(&mut self, negotiated: &Negotiated, ebgp: bool, local_as: u32) {
        self.session = Some(Session {
            families: negotiated.families,
            context: negotiated.encode_context(),
            enhanced_refresh: negotiated.enhanced_refresh,
            progress: Default::default(),
        });
        self.attributes.session_up(negotiated, ebgp, local_as);
        self.encode_attributes();
        self.walk_all();
    }

    pub(crate) fn session_down(&mut self) {
        if self.session.take().is_none() {
            return;
        }
        self.queue.clear();
        self.attributes.session_down();
        self.sent = [0; 2];
        self.table.retain(|_, slot| {
            *slot = Slot {
                desired: slot.class(),
                sent: NEVER_SENT,
            };
            !slot.is_vacant()
        });
    }

    /// The peer asks for everything again. A request during a refresh is answered by one more refresh, however many
    /// there are.
    pub(crate) fn refresh(&mut self, family: Family) {
        let Some(session) = &mut self.session else { return };
        if !session.families.contains(family) {
            return;
        }
        let progress = &mut session.progress[family as usize];
        match progress.refresh {
            Refresh::None => progress.refresh = Refresh::Asked,
            Refresh::Asked => {}
            Refresh::Running => {
                progress.walk.get_or_insert_default().again = true;
                self.mark_stale(family);
            }
        }
    }

    fn mark_stale(&mut self, family: Family) {
        self.attributes.forget_sent(family);
        self.table.visit_mut(family, None, |_, slot| {
            if slot.sent != NEVER_SENT {
                slot.sent = STALE;
            }
            true
        });
    }

    /// The attribute set that the peer should have for this slot, [`NEVER_SENT`] for none.
    fn target(&self, family: Family, slot: Slot) -> u8 {
        if !self.open {
            NEVER_SENT
        } else {
            self.attributes.current(slot.class(), family)
        }
    }

    fn encode_attributes(&mut self) {
        let Some(session) = &self.session else { return };
        if self.attributes.encode(session.families, &session.context) {
            return;
        }
        // All identifiers are in use by prefixes on their way: forget which one each prefix has.
        let (families, context) = (session.families, session.context);
        for family in families.iter() {
            self.mark_stale(family);
        }
        let encoded = self.attributes.encode(families, &context);
        debug_assert!(encoded, "a cleared table has room");
    }

    fn walk_all(&mut self) {
        let Some(session) = &mut self.session else { return };
        for family in session.families.iter() {
            session.progress[family as usize].walk = Some(Walk::default());
        }
        self.drop_queue();
    }

    fn enqueue(&mut self, prefix: Prefix) {
        let walk = self
            .session
            .as_ref()
            .and_then(|s| s.progress[prefix.family() as usize].walk.as_ref());
        if walk.is_some_and(|walk| walk.cursor.is_none_or(|cursor| cursor < prefix)) {
            // The walk will come by.
            return;
        }
        let Some(slot) = self.table.get_mut(&prefix) else {
            return;
        };
        if slot.is_queued() {
            return;
        }
        if self.queue.len() >= QUEUE_LIMIT {
            self.walk_all();
            return;
        }
        slot.desired |= QUEUED;
        self.queue.push_back(prefix);
    }

    fn drop_queue(&mut self) {
        for prefix in self.queue.drain(..) {
            if let Some(slot) = self.table.get_mut(&prefix) {
                slot.desired &= !QUEUED;
            }
        }
    }
}
