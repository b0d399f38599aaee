//! Why a route could not be kept.

use std::fmt;
use std::io;

use ipnet::IpNet;
use thiserror::Error;

/// Why a route could not be kept. The text names the route, what the kernel said, and what to do about it.
#[derive(Debug, Error)]
pub enum RouteError {
    /// No netlink socket.
    #[error("cannot open a netlink socket: {0}")]
    Open(#[source] io::Error),
    /// The lock could not be taken.
    #[error("cannot take the lock of the return path: {0}")]
    Lock(#[source] io::Error),
    /// Another process holds it.
    #[error(
        "another process{} keeps the return path of this network namespace; stop it, or turn the return path off \
         in one of the two",
        Pid(*holder)
    )]
    Held {
        /// Its number, if it is visible from here.
        holder: Option<i32>,
    },
    /// The routes could not be listed.
    #[error("cannot list the routes: {0}")]
    List(#[source] Refusal),
    /// A route could not be installed or changed.
    #[error("cannot install the route to {destination}: {cause}{}", Remedy(cause))]
    Install {
        /// Where to.
        destination: IpNet,
        /// What the kernel said.
        cause: Refusal,
    },
    /// A route could not be removed.
    #[error("cannot remove the route to {destination}: {cause}{}", Remedy(cause))]
    Remove {
        /// Where to.
        destination: IpNet,
        /// What the kernel said.
        cause: Refusal,
    },
    /// Somebody else's route is in the place of ours.
    #[error(
        "a route to {destination} with metric {metric} in table {table} belongs to somebody else (proto \
         {protocol}) and is left alone; remove it, or give the return path another metric or table"
    )]
    Taken {
        /// Where to.
        destination: IpNet,
        /// In which table.
        table: u32,
        /// With which metric.
        metric: u32,
        /// Whose, as `rtm_protocol`.
        protocol: u8,
    },
    /// An IPv6 route cannot have an IPv4 gateway.
    #[error("the route to {destination} cannot have the gateway {gateway}: it is of the other family")]
    Family {
        /// Where to.
        destination: IpNet,
        /// The gateway.
        gateway: std::net::IpAddr,
    },
}

/// A request that the kernel refused, or did not answer.
#[derive(Debug, Error)]
#[error("{cause}{}", Said(said.as_deref()))]
pub struct Refusal {
    /// The error number.
    pub cause: io::Error,
    /// Its own words (extended acknowledgement), where it had some.
    pub said: Option<String>,
}

impl Refusal {
    /// Whether it is this error of the operating system.
    pub(super) fn is(&self, errno: i32) -> bool {
        self.cause.raw_os_error() == Some(errno)
    }
}

impl From<io::Error> for Refusal {
    fn from(cause: io::Error) -> Self {
        Self { cause, said: None }
    }
}

struct Said<'a>(Option<&'a str>);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(said) => write!(f, " ({said})"),
            None => Ok(()),
        }
    }
}

struct Pid(Option<i32>);

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(pid) => write!(f, " (pid {pid})"),
            None => Ok(()),
        }
    }
}

struct Remedy<'a>(&'a Refusal);

impl fmt::Display for Remedy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.cause.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => f.write_str("; the process needs CAP_NET_ADMIN"),
            Some(libc::ENETDOWN) => f.write_str("; the interface is down"),
            Some(libc::ENODEV) => f.write_str("; the interface is gone"),
            Some(libc::ENETUNREACH | libc::EHOSTUNREACH) => {
                f.write_str("; the gateway is not on the link of that interface")
            }
            _ => Ok(()),
        }
    }
}
