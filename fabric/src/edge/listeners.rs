//! Where switches connect to.

use super::log::Complaints;
use crate::rack::{Rack, SessionId};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use net::{Listener, Md5Key};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::{Duration, Instant};

/// How often a listener that could not be bound is tried again.
const RETRY: Duration = Duration::from_secs(3);
/// How long to wait where the kernel had no descriptor to give.
const STARVED_RETRY: Duration = Duration::from_secs(1);

/// All listeners, by poll token. They have the addresses that the rack wants, and the keys of its sessions.
#[derive(Debug)]
pub(super) struct Listeners {
    by_token: BTreeMap<usize, Listening>,
    tokens: Range<usize>,
    retry_at: Option<Instant>,
}

#[derive(Debug)]
struct Listening {
    address: SocketAddr,
    /// The keys it should have: those of the switches of its family.
    keys: BTreeMap<IpAddr, Md5Key>,
    listener: Option<Listener>,
    /// The kernel had no descriptor to give: connections still wait.
    starved: bool,
}

impl Listeners {
    pub(super) fn new(tokens: Range<usize>) -> Self {
        Self {
            by_token: BTreeMap::new(),
            tokens,
            retry_at: None,
        }
    }

    /// Takes addresses and keys from the rack. What did not change is not touched.
    pub(super) fn follow(&mut self, rack: &Rack, now: Instant) {
        let wanted = rack.listen();
        self.by_token
            .retain(|_, listening| wanted.contains(&listening.address));
        for address in wanted {
            if self.by_token.values().any(|known| known.address == *address) {
                continue;
            }
            let Some(token) = self
                .tokens
                .clone()
                .find(|token| !self.by_token.contains_key(token))
            else {
                tracing::warn!(%address, "not listening: there are too many listeners");
                continue;
            };
            let listening = Listening {
                address: *address,
                keys: BTreeMap::new(),
                listener: None,
                starved: false,
            };
            self.by_token.insert(token, listening);
            self.retry_at = Some(now);
        }
        for listening in self.by_token.values_mut() {
            listening.take_keys(rack);
        }
    }

    /// Closes all.
    pub(super) fn clear(&mut self) {
        self.by_token.clear();
        self.retry_at = None;
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Binds what is not bound yet, once it is time. Returns the tokens of those that still have connections to
    /// accept.
    pub(super) fn retry(
        &mut self,
        registry: &Registry,
        rack: &Rack,
        complaints: &mut Complaints,
        now: Instant,
    ) -> Vec<usize> {
        if self.retry_at.is_none_or(|at| at > now) {
            return Vec::new();
        }
        self.retry_at = None;
        for (token, listening) in &mut self.by_token {
            if listening.listener.is_some() {
                continue;
            }
            listening.take_keys(rack);
            let address = listening.address;
            match listening.bind(registry, *token) {
                Ok(()) => tracing::info!(%address, "listening for switches"),
                Err(error) => {
                    let id = SessionId(usize::MAX - token);
                    if complaints.is_news(id, &error, now) {
                        tracing::warn!(%error, "not listening; sessions are still dialled");
                    }
                    self.retry_at = Some(now + RETRY);
                }
            }
        }
        let starved = self.by_token.iter().filter(|(_, listening)| listening.starved);
        starved.map(|(token, _)| *token).collect()
    }

    /// The next connection that waits.
    pub(super) fn accept(&mut self, token: usize, now: Instant) -> Option<(TcpStream, SocketAddr)> {
        let listening = self.by_token.get_mut(&token)?;
        let accepted = listening.listener.as_ref()?.accept();
        listening.starved = accepted.is_err();
        match accepted {
            Ok(connection) => connection,
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                self.retry_at = Some(now + STARVED_RETRY);
                None
            }
        }
    }
}

impl Listening {
    /// Installs the keys of new switches, replaces those that changed, and removes those of switches that have gone.
    fn take_keys(&mut self, rack: &Rack) {
        let of_family = rack
            .neighbors()
            .filter(|neighbor| neighbor.address.is_ipv4() == self.address.is_ipv4());
        let wanted: BTreeMap<IpAddr, Md5Key> = of_family
            .filter_map(|neighbor| neighbor.password.clone().map(|key| (neighbor.address, key)))
            .collect();
        let former = std::mem::replace(&mut self.keys, wanted);
        let Some(listener) = &self.listener else { return };
        let changed = self
            .keys
            .iter()
            .filter(|(peer, key)| former.get(*peer) != Some(*key))
            .map(|(peer, key)| (peer, Some(key)));
        let gone = former
            .keys()
            .filter(|peer| !self.keys.contains_key(*peer))
            .map(|peer| (peer, None));
        for (peer, key) in changed.chain(gone) {
            if let Err(error) = listener.set_md5(*peer, key) {
                tracing::warn!(%peer, %error, "the listener keeps the former key of the switch");
            }
        }
    }

    fn bind(&mut self, registry: &Registry, token: usize) -> Result<(), String> {
        let mut listener = Listener::bind(self.address, None).map_err(|error| error.to_string())?;
        for (peer, key) in &self.keys {
            listener
                .set_md5(*peer, Some(key))
                .map_err(|error| error.to_string())?;
        }
        registry
            .register(&mut listener, Token(token), Interest::READABLE)
            .map_err(|error| error.to_string())?;
        self.listener = Some(listener);
        Ok(())
    }
}
