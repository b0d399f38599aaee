//! One process per network namespace keeps routes.

use std::io;
use std::os::fd::AsFd;

use nix::sys::socket::{getsockopt, sockopt};
use socket2::{Domain, SockAddr, Socket, Type};

use super::RouteError;

/// Abstract names belong to a network namespace, and a name is free again when its process has ended, however.
const NAME: &str = "\0twintor/return-path";

/// Held while it lives.
#[derive(Debug)]
pub(super) struct Lock(#[allow(dead_code, reason = "what counts is that it is open")] Socket);

impl Lock {
    /// Takes the lock of the network namespace of this thread.
    ///
    /// # Errors
    ///
    /// [`RouteError::Held`] while a process that lives has it.
    pub(super) fn take() -> Result<Self, RouteError> {
        let address = SockAddr::unix(NAME).map_err(RouteError::Lock)?;
        let socket = open().map_err(RouteError::Lock)?;
        match socket.bind(&address) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Err(RouteError::Held {
                    holder: holder(&address),
                });
            }
            Err(error) => return Err(RouteError::Lock(error)),
        }
        // Whoever connects learns who we are; nobody is ever accepted.
        socket.listen(1).map_err(RouteError::Lock)?;
        Ok(Self(socket))
    }
}

fn open() -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn holder(address: &SockAddr) -> Option<i32> {
    let socket = open().ok()?;
    socket.connect(address).ok()?;
    let credentials = getsockopt(&socket.as_fd(), sockopt::PeerCredentials).ok()?;
    // 0: a process of another PID namespace.
    Some(credentials.pid()).filter(|pid| *pid > 0)
}
