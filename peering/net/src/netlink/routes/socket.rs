//! A netlink socket that asks and waits for the answer.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use netlink_packet_route::RouteNetlinkMessage;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rtnetlink::packet_core::{NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer, NetlinkMessage, NlasIterator};
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{Socket, SocketAddr};

use super::error::{Refusal, RouteError};

/// The kernel answers before `send` returns. This is for one that does not.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// More than a piece of a list ever has.
const RECEIVE: usize = 64 * 1024;

/// A list that changed under our hands is read again, but not for ever.
const LISTS: usize = 8;

const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_ACK_TLVS: u16 = 0x200;
/// Octets of `struct nlmsghdr`.
const MESSAGE_HEADER: usize = 16;
const ERROR_CODE: usize = 4;
const NLMSGERR_ATTR_MSG: u16 = 1;

/// The socket.
#[derive(Debug)]
pub(super) struct Requests {
    socket: Socket,
    port: u32,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Requests {
    /// Opens it in the network namespace of this thread.
    pub(super) fn open() -> Result<Self, RouteError> {
        let open = || -> io::Result<(Socket, u32)> {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            let port = socket.bind_auto()?.port_number();
            socket.connect(&SocketAddr::new(0, 0))?;
            // What an older kernel cannot do is left out of the answers, or comes unfiltered.
            let _ = socket.set_ext_ack(true);
            let _ = socket.set_cap_ack(true);
            let _ = socket.set_netlink_get_strict_chk(true);
            Ok((socket, port))
        };
        let (socket, port) = open().map_err(RouteError::Open)?;
        Ok(Self {
            socket,
            port,
            sequence: 0,
            buffer: Vec::with_capacity(RECEIVE),
        })
    }

    /// What the kernel calls us in the notifications of what we did.
    pub(super) fn port(&self) -> u32 {
        self.port
    }

    /// Asks for a change and waits for the acknowledgement.
    ///
    /// # Errors
    ///
    /// The kernel refuses, or does not answer within 5 s.
    pub(super) fn change(&mut self, request: NetlinkMessage<RouteNetlinkMessage>) -> Result<(), Refusal> {
        self.ask(request, &mut |_| {}).map(drop)
    }

    /// Asks for a list and hands on the payload of each message of it. A list that changed meanwhile is asked for
    /// again: `start` is called before each.
    ///
    /// # Errors
    ///
    /// The kernel refuses, does not answer within 5 s, or the list keeps changing.
    pub(super) fn list<S>(
        &mut self,
        request: &NetlinkMessage<RouteNetlinkMessage>,
        start: impl Fn() -> S,
        mut each: impl FnMut(&mut S, &[u8]),
    ) -> Result<S, Refusal> {
        for _ in 0..LISTS {
            let mut state = start();
            if self.ask(request.clone(), &mut |payload| each(&mut state, payload))? == Answer::Complete {
                return Ok(state);
            }
        }
        Err(io::Error::other("the list changes faster than it can be read").into())
    }

    fn ask(
        &mut self,
        mut request: NetlinkMessage<RouteNetlinkMessage>,
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<Answer, Refusal> {
        self.sequence = self.sequence.wrapping_add(1);
        request.header.sequence_number = self.sequence;
        request.finalize();
        let mut octets = vec![0; request.buffer_len()];
        request.serialize(&mut octets);
        self.socket.send(&octets, 0)?;

        let deadline = Instant::now() + ANSWER_WITHIN;
        let mut interrupted = false;
        loop {
            self.await_answer(deadline)?;
            self.buffer.clear();
            let length = self.socket.recv(&mut self.buffer, libc::MSG_TRUNC)?;
            if length > self.buffer.len() {
                return Err(cut_off().into());
            }
            match digest(&self.buffer, self.sequence, &mut interrupted, each)? {
                Some(()) if interrupted => return Ok(Answer::Interrupted),
                Some(()) => return Ok(Answer::Complete),
                None => {}
            }
        }
    }

    fn await_answer(&self, deadline: Instant) -> io::Result<()> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut descriptors = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            match poll(&mut descriptors, timeout) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Complete,
    Interrupted,
}

/// Reads one datagram. `Some` when the answer to request `sequence` is over; what belongs to an earlier one is
/// skipped.
fn digest(
    mut octets: &[u8],
    sequence: u32,
    interrupted: &mut bool,
    each: &mut dyn FnMut(&[u8]),
) -> Result<Option<()>, Refusal> {
    while !octets.is_empty() {
        let message = NetlinkBuffer::new_checked(octets).map_err(|_| cut_off())?;
        let length = usize::try_from(message.length()).map_err(|_| cut_off())?;
        octets = octets.get(length.next_multiple_of(4)..).unwrap_or_default();
        if message.sequence_number() != sequence {
            continue;
        }
        *interrupted |= message.flags() & NLM_F_DUMP_INTR != 0;
        match message.message_type() {
            NLMSG_ERROR | NLMSG_DONE => {
                let code = message.payload().first_chunk::<ERROR_CODE>();
                let code = match (code, message.message_type()) {
                    (Some(code), _) => i32::from_ne_bytes(*code),
                    (None, NLMSG_DONE) => 0,
                    (None, _) => return Err(cut_off().into()),
                };
                if code == 0 {
                    return Ok(Some(()));
                }
                return Err(Refusal {
                    cause: io::Error::from_raw_os_error(code.saturating_abs()),
                    said: said(&message),
                });
            }
            _ => each(message.payload()),
        }
    }
    Ok(None)
}

/// The kernel's own words in an error message.
fn said(message: &NetlinkBuffer<&[u8]>) -> Option<String> {
    if message.flags() & NLM_F_ACK_TLVS == 0 || message.message_type() != NLMSG_ERROR {
        return None;
    }
    let attributes = message.payload().get(ERROR_CODE + MESSAGE_HEADER..)?;
    let text = NlasIterator::new(attributes)
        .map_while(Result::ok)
        .find(|attribute| attribute.kind() == NLMSGERR_ATTR_MSG)?;
    let text = text.value().split(|octet| *octet == 0).next()?;
    Some(String::from_utf8_lossy(text).into_owned())
}

fn cut_off() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the answer of the kernel is cut off or malformed",
    )
}

#[cfg(test)]
#[path = "socket_tests.rs"]
mod tests;
