//! From one configuration to the next, one plane after the other.
//!
//! Whatever costs a session its connection waits until the other planes carry everything that it carries: so a reload
//! that breaks every session it touches breaks one plane and stops there.

use super::{Action, Rack, SessionId};
use crate::config::{PlaneId, RackConfig};
use crate::plan::{ReloadPlan, SessionPlan, Settings, Verdict, rack_changes, session_plans, settings_of};
use crate::rack::session::Session;
use crate::status::PendingStatus;
use bgp::{Input, StopReason};
use std::time::{Duration, Instant};
use wire::{Family, FamilySet};

/// How long a plane may take to come back before an operator should look.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is left to do of a reload.
#[derive(Debug, Default)]
pub(super) struct Reload {
    /// The sessions there should be; `None`: those that there are.
    wanted: Option<Vec<Settings>>,
    /// Waits for nothing.
    forced: bool,
    turn: Option<Turn>,
    /// A line says already that it is stuck.
    warned: bool,
    /// Sessions that were removed, until their last events are taken.
    leaving: Vec<Session>,
}

/// A plane that is being changed.
#[derive(Debug)]
struct Turn {
    plane: PlaneId,
    /// What it carried before.
    families: FamilySet,
    /// When it is overdue.
    until: Instant,
}

/// What keeps a session from being changed.
enum Obstacle {
    /// Another plane was changed and is not back.
    Turn(PlaneId),
    /// It carries what no other plane does.
    LastOne,
}

impl Reload {
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.turn
            .as_ref()
            .filter(|_| !self.warned && self.wanted.is_some())
            .map(|turn| turn.until)
    }

    /// Hands out the last events of the sessions that were removed.
    pub(super) fn say_farewell(&mut self, actions: &mut Vec<Action>) {
        for mut session in self.leaving.drain(..) {
            while let Some(event) = session.peer.poll_event() {
                actions.push(Action::Peer {
                    session: session.id,
                    event,
                });
            }
            actions.push(Action::Removed {
                session: session.id,
                neighbor: Box::new(session.settings.neighbor),
            });
        }
    }
}

impl Rack {
    /// What a configuration would change, compared to what the sessions have now.
    pub fn plan(&self, new: &RackConfig) -> ReloadPlan {
        let present = self
            .sessions
            .iter()
            .map(|session| (&session.settings, session.present_source()));
        ReloadPlan {
            sessions: session_plans(present, new),
            rack: rack_changes(&self.config, new),
        }
    }

    /// Makes the rack that of another configuration. Sessions whose settings do not change are not touched. Planes
    /// that carry something are changed one after the other, and the last usable one waits until another one is
    /// usable, unless `forced`. What is refused stays as it is. A later call replaces what is still pending.
    pub fn reconfigure(&mut self, new: &RackConfig, forced: bool, now: Instant) -> ReloadPlan {
        let plan = self.plan(new);
        let refused = |session: &SessionPlan| session.verdict == Verdict::Refused;
        if !plan.sessions.is_empty() && plan.sessions.iter().all(refused) {
            return plan;
        }
        let mut wanted: Vec<Settings> = Vec::new();
        // The plan begins with the sessions of the new configuration, in its order.
        for (settings, planned) in settings_of(new).zip(&plan.sessions) {
            let address = planned.neighbor;
            if wanted.iter().any(|known| known.neighbor.address == address) {
                continue;
            }
            if !refused(planned) {
                wanted.push(settings);
                continue;
            }
            let present = self
                .session_of(address)
                .and_then(|id| self.session(id))
                .map(|session| session.settings.clone());
            wanted.extend(present);
        }
        self.config = new.clone();
        self.reload.wanted = Some(wanted);
        self.reload.forced = forced;
        self.reload.warned = false;
        self.advance_reload(now);
        plan
    }

    /// Where to listen.
    pub fn listen(&self) -> &[std::net::SocketAddr] {
        &self.config.listen.addresses
    }

    /// Adds a session and gives it the desired set.
    pub(super) fn add_session(&mut self, settings: Settings) -> SessionId {
        let id = SessionId(self.last_id);
        self.last_id += 1;
        let families = settings.neighbor.families;
        let mut session = Session::new(id, settings, self.rng.u64(..));
        if self.complete {
            session.peer.adj_out_mut().set_complete();
        }
        session.peer.adj_out_mut().set_open(self.open);
        self.sessions.push(session);
        for family in families.iter() {
            self.fetch(id, family);
        }
        id
    }

    /// Does what can be done now of a reload. Cheap when there is none.
    pub(super) fn advance_reload(&mut self, now: Instant) {
        if self.stopped {
            return;
        }
        self.end_turn();
        let Some(wanted) = self.reload.wanted.take() else {
            return;
        };
        let mut changed = self.add_missing(&wanted);
        while self.adapt_all(&wanted, now) {
            changed = true;
            // A plane that has gone altogether is nothing to wait for.
            self.end_turn();
        }
        if changed {
            let place = |session: &Session| {
                let address = session.settings.neighbor.address;
                wanted
                    .iter()
                    .position(|settings| settings.neighbor.address == address)
            };
            self.sessions
                .sort_by_key(|session| place(session).unwrap_or(usize::MAX));
            self.derive_next_hops();
            self.admit_all(now);
        }
        let pending = self.sessions.iter().find(|session| session.pending.is_some());
        if let Some(pending) = pending {
            let (id, reason) = (pending.id, pending.pending.as_ref().map(|p| p.reason.clone()));
            self.tell_pending(id, reason.unwrap_or_default(), now);
            self.reload.wanted = Some(wanted);
        }
    }

    fn adapt_all(&mut self, wanted: &[Settings], now: Instant) -> bool {
        let ids: Vec<SessionId> = self.sessions.iter().map(|session| session.id).collect();
        let mut any = false;
        for id in ids {
            any |= self.adapt(id, wanted, now);
        }
        any
    }

    fn end_turn(&mut self) {
        if self.reload.turn.as_ref().is_some_and(|turn| self.is_over(turn)) {
            self.reload.turn = None;
        }
    }

    fn add_missing(&mut self, wanted: &[Settings]) -> bool {
        let mut any = false;
        for settings in wanted {
            if self.session_of(settings.neighbor.address).is_none() {
                let session = self.add_session(settings.clone());
                let verdict = Verdict::Added;
                self.actions.push(Action::Reconfigured { session, verdict });
                any = true;
            }
        }
        any
    }

    /// Brings one session to its wanted settings, if that may be done now. Returns whether anything was done.
    fn adapt(&mut self, id: SessionId, wanted: &[Settings], now: Instant) -> bool {
        let Some(session) = self.session(id) else {
            return false;
        };
        let address = session.settings.neighbor.address;
        let goal = wanted
            .iter()
            .find(|settings| settings.neighbor.address == address);
        let planned = match goal {
            Some(goal) => SessionPlan::of_change(&session.settings, goal, session.present_source()),
            None => SessionPlan::of_removal(&session.settings),
        };
        let disrupts = matches!(planned.verdict, Verdict::Reset | Verdict::Removed);
        if disrupts && let Some(obstacle) = self.obstacle(session) {
            let reason = self.explain(&obstacle);
            if let Some(session) = self.session_mut(id) {
                session.pending = Some(PendingStatus {
                    verdict: planned.verdict,
                    changes: planned.changes,
                    reason,
                });
            }
            return false;
        }
        if disrupts {
            self.begin_turn(id, now);
        }
        match (planned.verdict, goal) {
            (Verdict::Removed, _) => self.remove_session(id, now),
            (Verdict::Reset | Verdict::Soft, Some(goal)) => {
                self.hand_over(id, goal.neighbor.families);
                let Some(session) = self.session_mut(id) else {
                    return false;
                };
                if disrupts {
                    session.peer.handle(Input::Stop(StopReason::ConfigChange), now);
                }
                session.take_settings(goal.clone(), now);
                self.actions.push(Action::Reconfigured {
                    session: id,
                    verdict: planned.verdict,
                });
            }
            (Verdict::Unchanged | Verdict::Added | Verdict::Refused | Verdict::Reset | Verdict::Soft, _) => {
                if let (Some(session), Some(goal)) = (self.session_mut(id), goal) {
                    session.pending = None;
                    // The same to a switch, but perhaps in another order.
                    session.settings = goal.clone();
                }
                return false;
            }
        }
        true
    }

    fn remove_session(&mut self, id: SessionId, now: Instant) {
        self.hand_over(id, FamilySet::default());
        let Some(index) = self.sessions.iter().position(|session| session.id == id) else {
            return;
        };
        let mut session = self.sessions.remove(index);
        session.peer.handle(Input::Stop(StopReason::Deconfigured), now);
        self.reload.leaving.push(session);
    }

    fn begin_turn(&mut self, id: SessionId, now: Instant) {
        let Some(session) = self.session(id) else { return };
        let (plane, carried) = (session.settings.neighbor.plane, session.carried());
        if carried.is_empty() {
            return;
        }
        let until = now + PATIENCE;
        match &mut self.reload.turn {
            Some(turn) if turn.plane == plane => turn.families = turn.families.union(carried),
            turn => {
                *turn = Some(Turn {
                    plane,
                    families: carried,
                    until,
                });
            }
        }
    }

    /// Whether a plane that was changed carries again what it carried, as far as it still should.
    fn is_over(&self, turn: &Turn) -> bool {
        let of_plane = || {
            self.sessions
                .iter()
                .filter(|session| session.settings.neighbor.plane == turn.plane)
        };
        let back = |family: Family| {
            let mut should = of_plane().filter(|session| session.settings.neighbor.families.contains(family));
            let mut all = of_plane();
            should.next().is_none() || all.any(|session| session.serves(family, self.complete))
        };
        turn.families.iter().all(back)
    }

    /// What forbids that a session loses its connection now (invariant 10).
    fn obstacle(&self, session: &Session) -> Option<Obstacle> {
        let plane = session.settings.neighbor.plane;
        let carried = session.carried();
        if self.reload.forced || carried.is_empty() {
            return None;
        }
        if let Some(turn) = self.reload.turn.as_ref().filter(|turn| turn.plane != plane) {
            return Some(Obstacle::Turn(turn.plane));
        }
        let elsewhere = |family: Family| {
            self.sessions
                .iter()
                .any(|other| other.settings.neighbor.plane != plane && other.serves(family, self.complete))
        };
        (!carried.iter().all(elsewhere)).then_some(Obstacle::LastOne)
    }

    fn explain(&self, obstacle: &Obstacle) -> String {
        match obstacle {
            Obstacle::LastOne => {
                "this is the last usable plane: the change waits until another one is usable, or is forced"
                    .to_owned()
            }
            Obstacle::Turn(plane) => {
                let trouble = self
                    .sessions
                    .iter()
                    .filter(|session| session.settings.neighbor.plane == *plane)
                    .find_map(|session| session.blocked.clone())
                    .map(|reason| format!(" ({reason})"))
                    .unwrap_or_default();
                format!("plane {plane} was changed first and is not usable again yet{trouble}")
            }
        }
    }

    /// Says once that the reload is stuck.
    fn tell_pending(&mut self, session: SessionId, reason: String, now: Instant) {
        let waits_for_turn = self.reload.turn.as_ref().is_some_and(|turn| now < turn.until);
        if waits_for_turn || std::mem::replace(&mut self.reload.warned, true) {
            return;
        }
        self.actions.push(Action::Pending { session, reason });
    }
}
