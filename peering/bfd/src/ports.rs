//! UDP ports of BFD.

/// Destination port of Control packets on one hop (RFC 5881 §4).
pub const SINGLE_HOP_PORT: u16 = 3784;

/// Destination port of Echo packets (RFC 5881 §4). This crate sends none and asks for none.
pub const ECHO_PORT: u16 = 3785;

/// Destination port of Control packets over several hops (RFC 5883 §5).
pub const MULTI_HOP_PORT: u16 = 4784;

/// The TTL or hop limit that every packet must be sent with (RFC 5881 §5).
pub const TRANSMIT_TTL: u8 = 255;

const FIRST: u16 = 49_152;
const COUNT: u16 = 16_384;
const WORDS: usize = COUNT as usize / 64;

/// Hands out source ports: from 49152 to 65535, the same for all packets of a session, and no two sessions share one
/// (RFC 5881 §4).
///
/// Starts at a place that depends on `seed`, so that a restarted speaker does not reuse the ports of its predecessor.
/// A port that the operating system refuses is simply not released; ask for the next one.
#[derive(Clone, Debug)]
pub struct SourcePorts {
    taken: Box<[u64; WORDS]>,
    next: u16,
}

impl SourcePorts {
    /// All ports are free.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            taken: Box::new([0; WORDS]),
            next: fastrand::Rng::with_seed(seed).u16(..COUNT),
        }
    }

    /// Takes a free port; `None` if all 16384 are taken.
    pub fn allocate(&mut self) -> Option<u16> {
        for step in 0..COUNT {
            let index = (self.next + step) % COUNT;
            let (slot, bit) = self.slot(index)?;
            if *slot & bit == 0 {
                *slot |= bit;
                self.next = (index + 1) % COUNT;
                return Some(FIRST + index);
            }
        }
        None
    }

    /// Gives a port back. A port outside of the range, or one that is free, changes nothing.
    pub fn release(&mut self, port: u16) {
        let Some(index) = port.checked_sub(FIRST) else {
            return;
        };
        if let Some((slot, bit)) = self.slot(index) {
            *slot &= !bit;
        }
    }

    fn slot(&mut self, index: u16) -> Option<(&mut u64, u64)> {
        Some((self.taken.get_mut(usize::from(index / 64))?, 1 << (index % 64)))
    }
}

#[cfg(test)]
mod tests;
