//! What a protocol that relies on BFD should do with what it hears (RFC 5882).

use crate::{Cause, Session, State, StateChange};

/// What a client (BGP, a static route) should do after a [`StateChange`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reaction {
    /// The path works: establish the adjacency, or use the route.
    Establish,
    /// The path is broken: take the adjacency down at once. For BGP: Cease, BFD Down (RFC 9384).
    TearDown {
        /// Whether routes kept by a graceful restart must go, too.
        ///
        /// True if BFD at both ends is independent of the control plane (RFC 5882 §4.3.1): then the forwarding path
        /// itself is broken. False if it shares fate with it (§4.3.2): then the loss of BFD may be the restart, and
        /// what was negotiated for restarts decides.
        abort_graceful_restart: bool,
    },
    /// Leave everything as it is: nothing was learnt about the path.
    Ignore,
}

/// The reaction that RFC 5882 wants.
///
/// An AdminDown, at either end, takes nothing down (§3.2, §4.2): an administrator who turns BFD off does not say
/// that the path is broken. Neither does a change between Down and Init.
#[must_use]
pub fn reaction(change: &StateChange) -> Reaction {
    if change.to == State::Up {
        return Reaction::Establish;
    }
    if change.from != State::Up {
        return Reaction::Ignore;
    }
    match change.cause {
        Cause::DetectionExpired | Cause::RemoteDown => Reaction::TearDown {
            abort_graceful_restart: change.control_plane_independent,
        },
        Cause::RemoteAdminDown | Cause::LocalAdminDown | Cause::LocalEnabled | Cause::Handshake => {
            Reaction::Ignore
        }
    }
}

/// Whether a client may establish an adjacency now (RFC 5882 §4.1).
///
/// A lenient client never waits for BFD. A strict one waits for Up, but not for a session that an administrator has
/// turned off at either end, because that would make turning BFD off a way to break the path.
#[must_use]
pub fn may_establish(session: &Session, strict: bool) -> bool {
    !strict || matches!(session.state(), State::Up | State::AdminDown) || session.is_remote_disabled()
}

#[cfg(test)]
mod tests;
