//! What the rack thread tells its operator.

use crate::config::NeighborConfig;
use crate::rack::SessionId;
use bgp::{DownReason, Event};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How often the same complaint about a session is repeated.
const REPEAT: Duration = Duration::from_secs(60);

/// Remembers the last complaint of each session, so that a switch that is away for an hour is not an hour of lines.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    last: BTreeMap<SessionId, (String, Instant)>,
}

impl Complaints {
    /// Whether this one is to be logged: it is new, or the last one is a while ago.
    pub(super) fn is_news(&mut self, session: SessionId, text: &str, now: Instant) -> bool {
        if let Some((last, at)) = self.last.get(&session)
            && last == text
            && now.saturating_duration_since(*at) < REPEAT
        {
            return false;
        }
        self.last.insert(session, (text.to_owned(), now));
        true
    }

    pub(super) fn forget(&mut self, session: SessionId) {
        self.last.remove(&session);
    }
}

pub(super) fn event(
    complaints: &mut Complaints,
    id: SessionId,
    neighbor: &NeighborConfig,
    event: &Event,
    now: Instant,
) {
    let (plane, peer) = (neighbor.plane, neighbor.address);
    match event {
        Event::Established { negotiated, .. } => {
            complaints.forget(id);
            tracing::info!(
                %plane, %peer, asn = negotiated.remote_as, hold = negotiated.hold_time,
                families = %negotiated.families.iter().map(|f| f.to_string()).collect::<Vec<_>>().join(","),
                "session established"
            );
        }
        Event::Down(reason @ DownReason::Stopped(_)) => {
            tracing::info!(%plane, %peer, %reason, "session closed")
        }
        Event::Down(reason) => tracing::warn!(%plane, %peer, %reason, "session down"),
        Event::OpenFailed(reason) => {
            if complaints.is_news(id, &reason.to_string(), now) {
                tracing::warn!(%plane, %peer, %reason, "session could not be opened; trying again");
            }
        }
        Event::RefreshRequested(family) => {
            tracing::info!(%plane, %peer, %family, "switch asked for a route refresh")
        }
        Event::EndOfRib(family) => tracing::debug!(%plane, %peer, %family, "end of rib received"),
        Event::MalformedUpdate(what) => {
            if complaints.is_news(id, what, now) {
                tracing::warn!(%plane, %peer, what, "malformed UPDATE, handled by RFC 7606");
            }
        }
        Event::PrefixLimit => {
            tracing::warn!(%plane, %peer, "switch announces more prefixes than are counted; none is imported anyway");
        }
        Event::Dial | Event::CancelDial | Event::Close { .. } => {}
    }
}
