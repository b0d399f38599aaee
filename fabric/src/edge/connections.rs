//! The TCP connections of all sessions: octets in and out, and nothing about BGP.

use crate::rack::SessionId;
use bgp::ConnectionId;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

/// How long a closing connection may take to deliver its NOTIFICATION and to be closed by the peer.
const LINGER: Duration = Duration::from_secs(2);
/// Reads of a closing connection in one turn.
const LAST_READS: usize = 16;

/// One TCP connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) session: SessionId,
    pub(super) id: ConnectionId,
    pub(super) stream: TcpStream,
    pub(super) remote: SocketAddr,
    pub(super) stage: Stage,
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// Octets taken from the peer and not yet written; those before `written` are.
    out: Vec<u8>,
    written: usize,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// We are dialling.
    Connecting,
    /// In use.
    Open,
    /// Until then, at most, it waits for the peer to take the last message and to close.
    Closing(Instant),
}

/// What a write came to.
#[derive(Debug)]
pub(super) struct Written {
    /// Whether any octet was taken by the kernel.
    pub(super) progress: bool,
    /// Octets that still wait.
    pub(super) pending: usize,
    /// The connection is broken.
    pub(super) error: Option<std::io::Error>,
}

impl Connection {
    pub(super) fn pending(&self) -> usize {
        self.out.len() - self.written
    }

    /// The buffer for more octets; only to be used when nothing is pending.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Writes what the kernel takes.
    pub(super) fn flush(&mut self) -> Written {
        let before = self.written;
        let mut error = None;
        while self.writable && self.pending() > 0 {
            match self.stream.write(&self.out[self.written..]) {
                Ok(count) => self.written += count,
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => {
                    error = Some(e);
                    break;
                }
            }
        }
        let progress = self.written > before;
        if self.pending() == 0 {
            self.out.clear();
            self.written = 0;
        }
        Written {
            progress,
            pending: self.pending(),
            error,
        }
    }

    /// Reads once into `scratch`. `Ok(None)`: nothing there at present; `Ok(Some(0))`: the peer has closed.
    pub(super) fn read(&mut self, scratch: &mut [u8]) -> std::io::Result<Option<usize>> {
        loop {
            match self.stream.read(scratch) {
                Ok(count) => return Ok(Some(count)),
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.readable = false;
                    return Ok(None);
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}

/// All connections, by poll token.
#[derive(Debug, Default)]
pub(super) struct Connections {
    by_token: BTreeMap<usize, Connection>,
    last: u64,
}

impl Connections {
    /// Adds a connection and registers it. Tokens below `first_token` are left to others.
    pub(super) fn add(
        &mut self,
        registry: &Registry,
        first_token: usize,
        session: SessionId,
        mut stream: TcpStream,
        remote: SocketAddr,
        stage: Stage,
    ) -> std::io::Result<usize> {
        self.last += 1;
        let token = first_token + usize::try_from(self.last).unwrap_or(usize::MAX - first_token);
        registry.register(&mut stream, Token(token), Interest::READABLE | Interest::WRITABLE)?;
        let id = ConnectionId(self.last);
        let open = stage == Stage::Open;
        self.by_token.insert(
            token,
            Connection {
                session,
                id,
                stream,
                remote,
                stage,
                readable: open,
                writable: open,
                out: Vec::new(),
                written: 0,
            },
        );
        Ok(token)
    }

    pub(super) fn get_mut(&mut self, token: usize) -> Option<&mut Connection> {
        self.by_token.get_mut(&token)
    }

    /// Drops a connection, which closes it.
    pub(super) fn remove(&mut self, registry: &Registry, token: usize) {
        if let Some(mut connection) = self.by_token.remove(&token)
            && let Err(error) = registry.deregister(&mut connection.stream)
        {
            tracing::debug!(%error, "deregister");
        }
    }

    pub(super) fn tokens(&self) -> Vec<usize> {
        self.by_token.keys().copied().collect()
    }

    /// The token of a connection of a session.
    pub(super) fn find(&self, session: SessionId, id: ConnectionId) -> Option<usize> {
        let mut all = self.by_token.iter();
        all.find(|(_, c)| c.session == session && c.id == id)
            .map(|(token, _)| *token)
    }

    /// The token of the connection that a session is dialling.
    pub(super) fn find_dialing(&self, session: SessionId) -> Option<usize> {
        let mut all = self.by_token.iter();
        all.find(|(_, c)| c.session == session && c.stage == Stage::Connecting)
            .map(|(token, _)| *token)
    }

    /// The connections of a session that are in use.
    pub(super) fn open_streams(&self, session: SessionId) -> impl Iterator<Item = &TcpStream> {
        let open = move |c: &&Connection| c.session == session && c.stage == Stage::Open;
        self.by_token.values().filter(open).map(|c| &c.stream)
    }

    /// Whether a connection is there in any stage.
    pub(super) fn is_empty(&self) -> bool {
        self.by_token.is_empty()
    }

    /// Appends the last octets and lets the connection linger until the peer has taken them.
    pub(super) fn close(
        &mut self,
        registry: &Registry,
        token: usize,
        last: &[u8],
        scratch: &mut [u8],
        now: Instant,
    ) {
        let Some(connection) = self.by_token.get_mut(&token) else {
            return;
        };
        if last.is_empty() && connection.pending() == 0 {
            return self.remove(registry, token);
        }
        connection.out.extend_from_slice(last);
        connection.stage = Stage::Closing(now + LINGER);
        self.finish(registry, token, scratch);
    }

    /// Goes on with a closing connection. The kernel would throw away a NOTIFICATION that the peer has not read if we
    /// closed with anything of the peer's unread; so only our direction is closed, and the rest read until the peer
    /// closes as well: then it has taken the NOTIFICATION.
    pub(super) fn finish(&mut self, registry: &Registry, token: usize, scratch: &mut [u8]) {
        let Some(connection) = self.by_token.get_mut(&token) else {
            return;
        };
        let written = connection.flush();
        let shut = written.pending == 0 && connection.stream.shutdown(Shutdown::Write).is_err();
        if written.error.is_some() || shut {
            return self.remove(registry, token);
        }
        for _ in 0..LAST_READS {
            match connection.read(scratch) {
                Ok(None) => return,
                Ok(Some(0)) | Err(_) => return self.remove(registry, token),
                Ok(Some(_)) => {}
            }
        }
    }

    /// When the next lingering connection is given up.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let closing = |connection: &Connection| match connection.stage {
            Stage::Closing(until) => Some(until),
            Stage::Connecting | Stage::Open => None,
        };
        self.by_token.values().filter_map(closing).min()
    }

    /// Gives up lingering connections whose time is over.
    pub(super) fn expire(&mut self, registry: &Registry, now: Instant) {
        for token in self.tokens() {
            if let Some(Connection {
                stage: Stage::Closing(until),
                ..
            }) = self.by_token.get(&token)
                && *until <= now
            {
                self.remove(registry, token);
            }
        }
    }
}
