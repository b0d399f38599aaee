//! The BFD thread, as the rack thread sees it.

use crate::coupling::BfdNews;
use crate::rack::{Rack, SessionId};
use mio::Waker;
use net::bfd::{BfdDown, BfdEvent, BfdHandle, BfdLimits, BfdThread, Cause, Diag, Reaction, spawn};
use std::sync::Arc;
use std::time::Instant;

/// Owns the BFD thread and carries its news to the rack.
#[derive(Debug)]
pub(super) struct BfdEdge {
    handle: BfdHandle,
    thread: BfdThread,
    events: Vec<BfdEvent>,
}

impl BfdEdge {
    /// Starts the thread if any neighbour wants BFD.
    pub(super) fn start(rack: &Rack, waker: Arc<Waker>) -> std::io::Result<Option<Self>> {
        if rack.neighbors().all(|neighbor| neighbor.bfd.is_none()) {
            return Ok(None);
        }
        let wake = move || {
            // The rack thread looks again after its next timer at the latest.
            let _ = waker.wake();
        };
        let (handle, thread) = spawn(wake, BfdLimits::default()).map_err(std::io::Error::other)?;
        Ok(Some(Self {
            handle,
            thread,
            events: Vec::new(),
        }))
    }

    pub(super) fn handle(&self) -> BfdHandle {
        self.handle.clone()
    }

    /// Makes the sessions those that the rack wants now. What did not change is not touched.
    pub(super) fn set_sessions(&self, rack: &Rack) {
        self.handle.set(rack.bfd_specs());
    }

    /// Hands on what has happened. Returns since when that has been so; `None` if nothing has.
    pub(super) fn deliver(&mut self, rack: &mut Rack, now: Instant) -> Option<Instant> {
        self.handle.drain_events(&mut self.events);
        let happened = |event: &BfdEvent| {
            let BfdEvent::Down(down) = event else { return now };
            down.at
        };
        let since = self.events.iter().map(happened).min();
        for event in self.events.drain(..) {
            let session = event
                .key()
                .and_then(|key| usize::try_from(key).ok())
                .map(SessionId);
            log(rack, session, &event);
            let news = match &event {
                BfdEvent::Up { .. } => BfdNews::Up,
                BfdEvent::Down(down) if matches!(down.reaction, Reaction::TearDown { .. }) => failure(down),
                BfdEvent::RemoteAdminDown { .. } => BfdNews::RemoteAdminDown,
                BfdEvent::Down(_)
                | BfdEvent::RemoteEnabled { .. }
                | BfdEvent::Removed { .. }
                | BfdEvent::Refused { .. }
                | BfdEvent::SendFailed { .. }
                | BfdEvent::SendRecovered { .. }
                | BfdEvent::ListenFailed { .. }
                | BfdEvent::Listening { .. }
                | BfdEvent::LocalStall { .. } => continue,
            };
            if let Some(session) = session {
                rack.bfd_news(session, news, now);
            }
        }
        since
    }

    /// Tells the switches AdminDown, so that the end of the sessions is no failure (RFC 5882 section 3.2), and waits
    /// until they had one detection time to take notice.
    pub(super) fn stop(self) {
        self.handle.stop();
        self.thread.join();
    }
}

/// A switch that has lost us says so by its diagnostic (RFC 5880 section 6.8.17); "neighbor signaled session down" is
/// not true of us, who were up.
fn failure(down: &BfdDown) -> BfdNews {
    let began_anew = down.cause == Cause::RemoteDown
        && matches!(down.remote_diag, Diag::None | Diag::NeighborSignaledSessionDown);
    match began_anew {
        true => BfdNews::Restarted,
        false => BfdNews::Failed,
    }
}

fn log(rack: &Rack, session: Option<SessionId>, event: &BfdEvent) {
    let Some(neighbor) = session.and_then(|session| rack.neighbor(session)) else {
        if event.is_warning() {
            tracing::warn!("BFD: {event}");
        } else {
            tracing::info!("BFD: {event}");
        }
        return;
    };
    let (plane, peer) = (neighbor.plane, neighbor.address);
    if event.is_warning() {
        tracing::warn!(%plane, %peer, "BFD: {event}");
    } else {
        tracing::info!(%plane, %peer, "BFD: {event}");
    }
}
