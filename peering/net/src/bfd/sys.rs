//! System calls of the BFD thread that no library offers in the form needed here.

#![allow(
    unsafe_code,
    reason = "recvmmsg with fresh control buffers and sched_setscheduler have no safe wrapper"
)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Datagrams that one call can take.
pub(super) const BATCH: usize = 32;

/// The Length field of a Control packet is one octet (RFC 5880 §4.1); what follows is never looked at.
const PAYLOAD: usize = 256;
/// Timestamp 32, destination and interface 40, TTL 24, drop counter 24 octets, headers and padding included.
const CONTROL: usize = 160;
const NAME: usize = size_of::<libc::sockaddr_storage>();

// Control messages are read as the 64-bit ABI lays them out.
const _: () = assert!(size_of::<usize>() == 8, "64-bit targets only");

/// Room for a batch of datagrams. Made once, filled again and again.
pub(super) struct Batch {
    rooms: Box<[Room; BATCH]>,
}

/// Aligned like the structures that the kernel writes into `control` and `name`.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Room {
    control: [u8; CONTROL],
    name: [u8; NAME],
    payload: [u8; PAYLOAD],
    control_len: usize,
    name_len: usize,
    payload_len: usize,
}

const EMPTY: Room = Room {
    control: [0; CONTROL],
    name: [0; NAME],
    payload: [0; PAYLOAD],
    control_len: 0,
    name_len: 0,
    payload_len: 0,
};

/// One datagram as the kernel handed it out.
#[derive(Clone, Copy)]
pub(super) struct RawDatagram<'a> {
    /// The payload; cut off at 256 octets.
    pub(super) payload: &'a [u8],
    /// A `sockaddr_in` or `sockaddr_in6`.
    pub(super) name: &'a [u8],
    /// Control messages, each with its `cmsghdr`.
    pub(super) control: &'a [u8],
}

impl Batch {
    pub(super) fn new() -> Self {
        Self {
            rooms: Box::new([EMPTY; BATCH]),
        }
    }

    /// Takes the datagrams that wait in the socket, at most [`BATCH`], and says how many; never blocks. Fewer than
    /// [`BATCH`] means that the socket is empty.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is none; otherwise what the kernel says.
    pub(super) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let mut vectors = [libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: PAYLOAD,
        }; BATCH];
        // SAFETY: `mmsghdr` is a plain C structure for which all zeros is a valid value.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
        for ((header, vector), room) in headers.iter_mut().zip(&mut vectors).zip(self.rooms.iter_mut()) {
            vector.iov_base = room.payload.as_mut_ptr().cast();
            let header = &mut header.msg_hdr;
            header.msg_name = room.name.as_mut_ptr().cast();
            header.msg_namelen = NAME as libc::socklen_t;
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            header.msg_control = room.control.as_mut_ptr().cast();
            header.msg_controllen = CONTROL as _;
        }
        // SAFETY: the descriptor is open for the lifetime of the borrow. Every pointer in `headers` leads into
        // `vectors` or into `self.rooms`, both of which live until the end of this function and are not touched
        // otherwise meanwhile, and each length is that of the array it belongs to.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for (header, room) in headers.iter().zip(self.rooms.iter_mut()).take(count) {
            room.payload_len = header.msg_len as usize;
            room.name_len = header.msg_hdr.msg_namelen as usize;
            #[allow(clippy::unnecessary_cast, reason = "another type in musl")]
            let control_len = header.msg_hdr.msg_controllen as usize;
            room.control_len = control_len;
        }
        Ok(count)
    }

    /// The datagram at `index` of the last batch; empty if there is none.
    pub(super) fn get(&self, index: usize) -> RawDatagram<'_> {
        let room = self.rooms.get(index).unwrap_or(&EMPTY);
        RawDatagram {
            payload: room.payload.get(..room.payload_len).unwrap_or(&room.payload),
            name: room.name.get(..room.name_len).unwrap_or(&room.name),
            control: room.control.get(..room.control_len).unwrap_or(&room.control),
        }
    }
}

/// How many datagrams a socket has dropped since it was made, because its buffer was full or its filter said so.
///
/// # Errors
///
/// What `getsockopt` says.
pub(super) fn drops(socket: BorrowedFd<'_>) -> io::Result<u32> {
    /// `SK_MEMINFO_DROPS` of `linux/sock_diag.h`, and how many values there are.
    const DROPS: usize = 8;
    const VALUES: usize = DROPS + 1;

    let mut values = [0_u32; VALUES];
    let mut length = size_of_val(&values) as libc::socklen_t;
    // SAFETY: the descriptor is open for the lifetime of the borrow; the kernel writes at most `length` octets
    // behind the pointer, which is the size of `values`, and the actual length into `length`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            values.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(values[DROPS])
}

/// Whether a socket that was bound to an interface still is bound to the one of this name: false if it was renamed
/// or has gone, even if another one has its name now.
pub(super) fn is_bound_to(socket: BorrowedFd<'_>, name: &str) -> bool {
    let mut bound = [0_u8; libc::IFNAMSIZ];
    let mut length = bound.len() as libc::socklen_t;
    // SAFETY: the descriptor is open for the lifetime of the borrow; the kernel writes at most `length` octets
    // behind the pointer, which is the size of `bound`, and the actual length into `length`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_BINDTODEVICE,
            bound.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    result == 0 && bound.split(|octet| *octet == 0).next() == Some(name.as_bytes())
}

/// Puts the calling thread into the class `SCHED_FIFO`, 1 (lowest) to 99. Its children start in the normal class.
///
/// # Errors
///
/// `EPERM` without `CAP_SYS_NICE` or a sufficient `RLIMIT_RTPRIO`, and in a control group without real-time budget.
pub(super) fn set_fifo(priority: u8) -> io::Result<()> {
    // SAFETY: `sched_param` is a plain C structure for which all zeros is a valid value.
    let mut param: libc::sched_param = unsafe { std::mem::zeroed() };
    param.sched_priority = priority.into();
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: the kernel reads one `sched_param` behind the pointer, which is alive. The call is made directly,
    // because the wrapper of musl always fails.
    let result = unsafe {
        libc::syscall(
            libc::SYS_sched_setscheduler,
            0,
            policy,
            std::ptr::from_ref(&param),
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
