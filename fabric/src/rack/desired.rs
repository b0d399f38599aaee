//! The desired set, where sessions come and go.
//!
//! Each session's Adj-RIB-Out holds the desired set of its families; there is no further copy at the rack, which would
//! cost as much as a session. A session that is added copies from one that is there. Only what no session carries at
//! present is kept here.

use super::{Rack, RouteChange, SessionId};
use bgp::ClassId;
use wire::{Family, FamilySet, Prefix, PrefixMap};

/// The desired prefixes of the families that no session carries.
#[derive(Debug, Default)]
pub(super) struct Unheard(PrefixMap<()>);

impl Rack {
    /// Keeps what no session takes.
    pub(super) fn note_unheard(&mut self, changes: &[RouteChange]) {
        let unheard = Family::ALL.map(|family| self.carrier(family, None).is_none());
        for change in changes {
            if !unheard[change.prefix.family() as usize] {
                continue;
            }
            if change.announced {
                self.desired.0.insert(change.prefix, ());
            } else {
                self.desired.0.remove(&change.prefix);
            }
        }
    }

    /// Gives a session that has just been added, or changes its families to `families`, what it lacks of the desired
    /// set, and keeps for later what nobody else has. It is called while the session still has its former families,
    /// and none if it is new.
    pub(super) fn hand_over(&mut self, id: SessionId, families: FamilySet) {
        let Some(former) = self.session(id).map(|session| session.peer.config().families) else {
            return;
        };
        for family in Family::ALL {
            match (former.contains(family), families.contains(family)) {
                (true, false) => self.keep(id, family),
                (false, true) => self.fetch(id, family),
                (true, true) | (false, false) => {}
            }
        }
    }

    /// Fills the table of a session from another one.
    pub(super) fn fetch(&mut self, id: SessionId, family: Family) {
        let set: Vec<(Prefix, ClassId)> = match self.carrier(family, Some(id)) {
            Some(index) => self.sessions[index].peer.adj_out().desired(family).collect(),
            None => {
                let kept: Vec<Prefix> = self
                    .desired
                    .0
                    .after(family, None)
                    .map(|(prefix, ())| prefix)
                    .collect();
                for prefix in &kept {
                    self.desired.0.remove(prefix);
                }
                kept.into_iter()
                    .map(|prefix| (prefix, ClassId::DEFAULT))
                    .collect()
            }
        };
        let Some(session) = self.session_mut(id) else {
            return;
        };
        for (prefix, class) in set {
            session.peer.adj_out_mut().set(prefix, Some(class));
        }
    }

    /// Empties the table of a session, which is the last one of the family if no other is.
    fn keep(&mut self, id: SessionId, family: Family) {
        let last = self.carrier(family, Some(id)).is_none();
        let Some(session) = self.sessions.iter_mut().find(|session| session.id == id) else {
            return;
        };
        if last {
            for (prefix, _) in session.peer.adj_out().desired(family) {
                self.desired.0.insert(prefix, ());
            }
        }
        session.peer.adj_out_mut().clear(family);
    }

    /// A session, other than one, that holds the desired set of a family.
    fn carrier(&self, family: Family, other_than: Option<SessionId>) -> Option<usize> {
        self.sessions.iter().position(|session| {
            Some(session.id) != other_than && session.peer.config().families.contains(family)
        })
    }
}
