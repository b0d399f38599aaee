//! The routes of interest in the kernel: what is known of them, and how they are changed.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};

use super::error::RouteError;
use super::events::Happened;
use super::message::{self, Key, Seen};
use super::socket::Requests;
use super::{PROTOCOL, Route, RouteHop, RouteKeeperConfig};

/// What the kernel has at a destination, with our table and metric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// The hops of our route, if there is one.
    pub(super) own: Option<Vec<RouteHop>>,
    /// The protocol of somebody else's.
    pub(super) foreign: Option<u8>,
}

/// How a change went.
#[derive(Debug)]
pub(super) enum Put {
    /// As wanted.
    Whole,
    /// Without some hops, which the kernel refuses for the reason given.
    Partly {
        /// Those in force.
        accepted: Vec<RouteHop>,
        /// Why not the others.
        error: RouteError,
    },
}

/// The routes of interest.
#[derive(Debug)]
pub(super) struct RouteTable {
    requests: Requests,
    table: u32,
    metric: u32,
    known: BTreeMap<IpNet, Known>,
    /// Routes of ours with another destination, table or metric: left by an earlier process.
    strays: Vec<Seen>,
}

impl RouteTable {
    /// Opens the socket and looks at everything there is.
    pub(super) fn open(config: &RouteKeeperConfig) -> Result<Self, RouteError> {
        let known = config
            .destinations
            .iter()
            .map(|destination| (destination.trunc(), Known::default()))
            .collect();
        let mut table = Self {
            requests: Requests::open()?,
            table: config.table,
            metric: config.metric.get(),
            known,
            strays: Vec::new(),
        };
        table.look()?;
        let mut strays = table.list_own()?;
        strays.retain(|seen| !table.is_kept(&seen.key));
        table.strays = strays;
        Ok(table)
    }

    pub(super) fn port(&self) -> u32 {
        self.requests.port()
    }

    pub(super) fn known(&self, destination: &IpNet) -> Option<&Known> {
        self.known.get(destination)
    }

    /// Whether what has happened puts in doubt what is known.
    pub(super) fn concerns(&self, happened: &Happened) -> bool {
        happened.lost
            || happened
                .routes
                .iter()
                .any(|seen| seen.protocol == PROTOCOL || self.is_kept(&seen.key))
    }

    /// Reads every route of the table, to know of each destination whose routes there are.
    pub(super) fn look(&mut self) -> Result<(), RouteError> {
        let mut fresh: BTreeMap<IpNet, Known> = self
            .known
            .keys()
            .map(|destination| (*destination, Known::default()))
            .collect();
        for v6 in self.families() {
            for seen in self.list(v6, Some(self.table), None)? {
                let Some(known) = fresh
                    .get_mut(&seen.key.destination)
                    .filter(|_| self.is_kept(&seen.key))
                else {
                    continue;
                };
                match seen.protocol {
                    PROTOCOL => known.own = Some(seen.hops),
                    protocol => known.foreign = Some(protocol),
                }
            }
        }
        self.known = fresh;
        Ok(())
    }

    /// Reads our routes only, which costs little however many there are of others.
    pub(super) fn verify(&mut self) -> Result<(), RouteError> {
        let mut own: BTreeMap<IpNet, Vec<RouteHop>> = BTreeMap::new();
        for v6 in self.families() {
            for seen in self.list(v6, Some(self.table), Some(PROTOCOL))? {
                if seen.protocol == PROTOCOL && self.is_kept(&seen.key) {
                    own.insert(seen.key.destination, seen.hops);
                }
            }
        }
        for (destination, known) in &mut self.known {
            known.own = own.remove(destination);
        }
        Ok(())
    }

    /// Makes the hops of a destination those that are wanted, with one message. Where the kernel refuses some of
    /// them, the others are used alone: one switch whose link is down must not cost the way over the other one.
    /// `is_partly` says that this is so already; then they are not tried one by one again.
    pub(super) fn put(&mut self, route: &Route, is_partly: bool) -> Result<Put, RouteError> {
        let destination = route.destination;
        let other = |hop: &&RouteHop| destination.addr().is_ipv6() && hop.gateway.is_ipv4();
        if let Some(RouteHop { gateway, .. }) = route.hops.iter().find(other) {
            return Err(RouteError::Family {
                destination,
                gateway: *gateway,
            });
        }

        let error = match self.replace(destination, &route.hops) {
            Ok(()) => return Ok(Put::Whole),
            Err(error @ RouteError::Install { .. }) => error,
            Err(error) => return Err(error),
        };
        let is_still_there = self
            .known
            .get(&destination)
            .is_some_and(|known| known.own.is_some());
        if route.hops.len() < 2 || (is_partly && is_still_there) {
            return Err(error);
        }
        let mut accepted = Vec::new();
        for hop in &route.hops {
            if self.replace(destination, std::slice::from_ref(hop)).is_ok() {
                accepted.push(*hop);
            }
        }
        match accepted.len() {
            0 => return Err(error),
            // It is in force: it was the only one that was accepted.
            1 => {}
            _ => self.replace(destination, &accepted)?,
        }
        Ok(Put::Partly { accepted, error })
    }

    /// Removes our routes that nobody wants any more: those with another table or metric, and those to
    /// destinations that are no longer configured. Returns how many.
    pub(super) fn remove_strays(&mut self) -> Result<usize, RouteError> {
        let strays = std::mem::take(&mut self.strays);
        let count = strays.len();
        for stray in strays {
            self.remove(&stray)?;
        }
        Ok(count)
    }

    /// Removes every route of ours, in every table. Returns how many there were.
    pub(super) fn remove_all(&mut self) -> Result<usize, RouteError> {
        let own = self.list_own()?;
        for seen in &own {
            self.remove(seen)?;
        }
        Ok(own.len())
    }

    fn replace(&mut self, destination: IpNet, hops: &[RouteHop]) -> Result<(), RouteError> {
        let key = self.key(destination);
        let mut known = self.known.get(&destination).cloned().unwrap_or_default();
        // Replaced is only what is there, created only what is not: neither can hit somebody else's route.
        for _ in 0..3 {
            if let Some(protocol) = known.foreign {
                return Err(self.taken(destination, protocol));
            }
            let (flags, doubted) = match known.own {
                Some(_) => (NLM_F_REPLACE, [libc::ENOENT, libc::ESRCH]),
                None => (NLM_F_CREATE | NLM_F_EXCL, [libc::EEXIST, libc::EEXIST]),
            };
            let refusal = match self.requests.change(message::install(&key, hops, flags)) {
                Ok(()) => {
                    if let Some(known) = self.known.get_mut(&destination) {
                        known.own = Some(hops.to_vec());
                    }
                    return Ok(());
                }
                Err(refusal) => refusal,
            };
            let is_doubted = doubted.iter().any(|errno| refusal.is(*errno));
            if known.own.is_some() {
                // The IPv6 code takes the old hops away first: after an error they may be gone.
                self.verify()?;
            } else if is_doubted {
                self.look()?;
            }
            let found = self.known.get(&destination).cloned().unwrap_or_default();
            if !is_doubted || found == known {
                return Err(RouteError::Install {
                    destination,
                    cause: refusal,
                });
            }
            known = found;
        }
        Err(RouteError::Install {
            destination,
            cause: std::io::Error::other("it comes and goes faster than it can be followed").into(),
        })
    }

    fn taken(&self, destination: IpNet, protocol: u8) -> RouteError {
        RouteError::Taken {
            destination,
            table: self.table,
            metric: self.metric,
            protocol,
        }
    }

    /// That the route is gone already is as good.
    fn remove(&mut self, seen: &Seen) -> Result<(), RouteError> {
        match self.requests.change(message::remove(&seen.key, &seen.hops)) {
            Ok(()) => Ok(()),
            Err(refusal) if refusal.is(libc::ESRCH) || refusal.is(libc::ENOENT) => Ok(()),
            Err(cause) => Err(RouteError::Remove {
                destination: seen.key.destination,
                cause,
            }),
        }
    }

    fn list_own(&mut self) -> Result<Vec<Seen>, RouteError> {
        let mut all = Vec::new();
        for v6 in [false, true] {
            all.extend(self.list(v6, None, Some(PROTOCOL))?);
        }
        all.retain(|seen| seen.protocol == PROTOCOL);
        Ok(all)
    }

    fn list(&mut self, v6: bool, table: Option<u32>, protocol: Option<u8>) -> Result<Vec<Seen>, RouteError> {
        let request = message::list(v6, table, protocol);
        let listed = self.requests.list(&request, Vec::new, |all, payload| {
            all.extend(message::seen(payload));
        });
        match listed {
            // The kernel makes a table with its first route; and it may lack IPv6.
            Err(refusal) if refusal.is(libc::ENOENT) || refusal.is(libc::EOPNOTSUPP) => Ok(Vec::new()),
            listed => listed.map_err(RouteError::List),
        }
    }

    fn families(&self) -> Vec<bool> {
        let any = |v6: bool| {
            self.known
                .keys()
                .any(|destination| matches!(destination.addr(), IpAddr::V6(_)) == v6)
        };
        [false, true].into_iter().filter(|v6| any(*v6)).collect()
    }

    fn key(&self, destination: IpNet) -> Key {
        Key {
            destination,
            table: self.table,
            metric: self.metric,
        }
    }

    /// Whether a route, of whomever, is where one of ours may be.
    fn is_kept(&self, key: &Key) -> bool {
        key.table == self.table && key.metric == self.metric && self.known.contains_key(&key.destination)
    }
}
