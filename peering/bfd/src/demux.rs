//! Which session a received packet belongs to (RFC 5880 §6.8.6, RFC 5881 §3, RFC 5883 §4).

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;

use thiserror::Error;

use crate::{Discard, Packet};

/// What identifies a session before the remote system knows our discriminator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerKey {
    /// One hop (RFC 5881 §3): the source address and the interface. Arrived on port 3784.
    SingleHop {
        /// Source address of the packet.
        remote: IpAddr,
        /// Index of the interface it arrived on. `None`, in a registration, accepts any; a link-local address
        /// needs one, because it means nothing without.
        interface: Option<NonZeroU32>,
    },
    /// Several hops (RFC 5883 §4): both addresses. Arrived on port 4784.
    MultiHop {
        /// Source address of the packet.
        remote: IpAddr,
        /// Destination address of the packet.
        local: IpAddr,
    },
}

impl PeerKey {
    /// An IPv4 address that came through an IPv6 socket is the IPv4 address.
    fn canonical(self) -> Self {
        match self {
            Self::SingleHop { remote, interface } => Self::SingleHop {
                remote: remote.to_canonical(),
                interface,
            },
            Self::MultiHop { remote, local } => Self::MultiHop {
                remote: remote.to_canonical(),
                local: local.to_canonical(),
            },
        }
    }

    fn is_multi_hop(self) -> bool {
        match self {
            Self::SingleHop { .. } => false,
            Self::MultiHop { .. } => true,
        }
    }

    fn on_any_interface(self) -> Self {
        match self {
            Self::SingleHop { remote, .. } => Self::SingleHop {
                remote,
                interface: None,
            },
            Self::MultiHop { .. } => self,
        }
    }
}

/// Why a session could not be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DemuxError {
    /// The discriminator is in use.
    #[error("discriminator {0} is in use: let free_discriminator choose one")]
    Discriminator(NonZeroU32),
    /// There is a session with this peer.
    #[error("there is already a session for {0:?}: two systems share one session on a path (RFC 5881 §3)")]
    Peer(PeerKey),
}

/// Finds the session for a packet. `T` is the owner's handle of a session, an index for example.
#[derive(Clone, Debug)]
pub struct Demux<T> {
    by_discriminator: HashMap<NonZeroU32, (T, PeerKey)>,
    by_peer: HashMap<PeerKey, T>,
    rng: fastrand::Rng,
}

impl<T: Copy> Demux<T> {
    /// No sessions. `seed` decides which discriminators are handed out; take it from the system's random source.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            by_discriminator: HashMap::new(),
            by_peer: HashMap::new(),
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    /// A discriminator that no session here has (RFC 5880 §6.3). Random, because one that can be guessed lets a
    /// stranger on the link speak to the session (§9).
    pub fn free_discriminator(&mut self) -> NonZeroU32 {
        loop {
            let candidate = NonZeroU32::new(self.rng.u32(1..)).unwrap_or(NonZeroU32::MIN);
            if !self.by_discriminator.contains_key(&candidate) {
                return candidate;
            }
        }
    }

    /// Adds a session.
    ///
    /// # Errors
    ///
    /// [`DemuxError`] if the discriminator or the peer is taken; nothing is changed then.
    pub fn insert(&mut self, discriminator: NonZeroU32, peer: PeerKey, session: T) -> Result<(), DemuxError> {
        let peer = peer.canonical();
        if self.by_discriminator.contains_key(&discriminator) {
            return Err(DemuxError::Discriminator(discriminator));
        }
        if self.by_peer.contains_key(&peer) {
            return Err(DemuxError::Peer(peer));
        }
        self.by_discriminator.insert(discriminator, (session, peer));
        self.by_peer.insert(peer, session);
        Ok(())
    }

    /// Takes a session out, and gives its handle back.
    pub fn remove(&mut self, discriminator: NonZeroU32) -> Option<T> {
        let (session, peer) = self.by_discriminator.remove(&discriminator)?;
        self.by_peer.remove(&peer);
        Some(session)
    }

    /// The session for a payload that came from `from`.
    ///
    /// A Your Discriminator that is not zero decides alone, and an unknown one is never replaced by a look at the
    /// addresses; zero is accepted only in Down and AdminDown, and then the addresses decide (RFC 5880 §6.8.6).
    /// Does not allocate.
    ///
    /// # Errors
    ///
    /// The rule that the packet breaks: those of [`Packet::decode`], [`Discard::UnknownYourDiscriminator`] or
    /// [`Discard::NoSession`].
    pub fn select(&self, payload: &[u8], from: PeerKey) -> Result<T, Discard> {
        let packet = Packet::decode(payload)?;
        if let Some(discriminator) = packet.control.your_discriminator {
            let found = self.by_discriminator.get(&discriminator);
            // A packet for a session of the other port is not for it: it would be held to the wrong TTL rule.
            let found = found.filter(|(_, peer)| peer.is_multi_hop() == from.is_multi_hop());
            return found
                .map(|(session, _)| *session)
                .ok_or(Discard::UnknownYourDiscriminator);
        }
        let from = from.canonical();
        let found = self
            .by_peer
            .get(&from)
            .or_else(|| self.by_peer.get(&from.on_any_interface()));
        found.copied().ok_or(Discard::NoSession)
    }

    /// How many sessions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_discriminator.len()
    }

    /// Whether there is no session.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_discriminator.is_empty()
    }
}

#[cfg(test)]
mod tests;
