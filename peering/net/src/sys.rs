//! Socket options that no library offers as a type. The only `unsafe` of the house.

#![allow(
    unsafe_code,
    reason = "setsockopt for TCP_MD5SIG and the TTL options has no safe wrapper"
)]

use std::ffi::{c_int, c_void};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use secrecy::zeroize::Zeroize;

use crate::options::MD5_KEY_MAX;

/// Installs, replaces or (with an empty key) removes the TCP MD5 key for segments to and from `peer`.
///
/// `peer` must be of the family of the socket; its port and scope do not matter. Removing a key that is not
/// there is not an error.
///
/// # Errors
///
/// What `setsockopt` says: `ENOPROTOOPT` for a kernel without TCP MD5, `EINVAL` for an address of the other
/// family or a key of more than 80 octets, `ENOMEM` beyond `net.core.optmem_max`.
pub(crate) fn set_md5(socket: BorrowedFd<'_>, peer: SocketAddr, key: &[u8]) -> io::Result<()> {
    let mut option = TcpMd5Sig::new(peer, key)?;
    let result = set_option(socket, libc::IPPROTO_TCP, libc::TCP_MD5SIG, &option);
    option.key.zeroize();

    match result {
        Err(error) if key.is_empty() && error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        result => result,
    }
}

/// Sets the TTL or hop limit of what is sent, 1 to 255, or -1 for the default of the system.
///
/// # Errors
///
/// What `setsockopt` says.
pub(crate) fn set_outgoing_ttl(socket: BorrowedFd<'_>, v6: bool, ttl: i32) -> io::Result<()> {
    let (level, name) = match v6 {
        false => (libc::IPPROTO_IP, libc::IP_TTL),
        true => (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS),
    };
    set_option::<c_int>(socket, level, name, &ttl)
}

/// Sets the lowest TTL or hop limit that the socket accepts, RFC 5082 section 3; 0 accepts everything.
///
/// Works for TCP. UDP sockets take the option and ignore it.
///
/// # Errors
///
/// What `setsockopt` says.
pub(crate) fn set_minimum_ttl(socket: BorrowedFd<'_>, v6: bool, minimum: u8) -> io::Result<()> {
    let (level, name) = match v6 {
        false => (libc::IPPROTO_IP, libc::IP_MINTTL),
        true => (libc::IPPROTO_IPV6, libc::IPV6_MINHOPCOUNT),
    };
    set_option::<c_int>(socket, level, name, &c_int::from(minimum))
}

/// `struct tcp_md5sig` of `linux/tcp.h`.
#[repr(C)]
struct TcpMd5Sig {
    /// A `sockaddr_in` or `sockaddr_in6` at the start of a `sockaddr_storage`.
    address: [u8; 128],
    flags: u8,
    prefix_length: u8,
    key_length: u16,
    interface: c_int,
    key: [u8; MD5_KEY_MAX],
}

const _: () = assert!(size_of::<TcpMd5Sig>() == 216, "layout of struct tcp_md5sig");

impl TcpMd5Sig {
    fn new(peer: SocketAddr, key: &[u8]) -> io::Result<Self> {
        let too_long = || io::Error::from_raw_os_error(libc::EINVAL);
        let key_length = u16::try_from(key.len()).map_err(|_| too_long())?;

        let mut option = Self {
            address: sockaddr_storage(peer),
            flags: 0,
            prefix_length: 0,
            key_length,
            interface: 0,
            key: [0; MD5_KEY_MAX],
        };
        option
            .key
            .get_mut(..key.len())
            .ok_or_else(too_long)?
            .copy_from_slice(key);
        Ok(option)
    }
}

/// Family, port and address as the kernel reads them; flow label and scope stay zero.
fn sockaddr_storage(address: SocketAddr) -> [u8; 128] {
    let mut storage = [0; 128];
    storage[2..4].copy_from_slice(&address.port().to_be_bytes());
    match address {
        SocketAddr::V4(v4) => {
            storage[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
            storage[4..8].copy_from_slice(&v4.ip().octets());
        }
        SocketAddr::V6(v6) => {
            storage[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
            storage[8..24].copy_from_slice(&v6.ip().octets());
        }
    }
    storage
}

/// `T` is one of the two plain types of this module, without padding: `c_int` and [`TcpMd5Sig`].
fn set_option<T>(socket: BorrowedFd<'_>, level: c_int, name: c_int, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the descriptor is open for the lifetime of the borrow; `value` is a live reference, so `length`
    // octets are readable behind the pointer, and the kernel copies them before the call returns.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(value).cast::<c_void>(),
            length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
