//! "Something changed": multicast netlink sockets that are never decoded.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use rtnetlink::MulticastGroup;
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{AsyncSocket, SocketAddr, TokioSocket};

/// Receive buffer in octets, before the kernel doubles it: room for some dozens of messages.
///
/// Small on purpose. A message means no more than "ask again", so what does not fit may be lost, and it is the
/// kernel that throws it away, not us: ten thousand route changes cost as much to read as fifty.
const RECEIVE_BUFFER: i32 = 32 * 1024;

/// Messages read in a row before others get the thread; more than the buffer holds.
const DRAIN_MAX: usize = 1024;

/// A subscription to some kinds of change.
pub(crate) struct Events(TokioSocket);

impl Events {
    /// Subscribes in the network namespace of this thread; needs a tokio runtime.
    pub(crate) fn subscribe(groups: &[MulticastGroup]) -> io::Result<Self> {
        let mut events = TokioSocket::new(NETLINK_ROUTE)?;
        let socket = events.socket_mut();
        socket.set_rx_buf_sz(RECEIVE_BUFFER)?;
        socket.bind(&SocketAddr::new(0, 0))?;
        for group in groups {
            socket.add_membership(*group as u32)?;
        }
        Ok(Self(events))
    }

    /// Waits for a change and takes everything that is queued with it. An overrun (`ENOBUFS`) is a change.
    ///
    /// Cancel-safe: what is taken is reported by the same poll.
    pub(crate) async fn changed(&self) -> io::Result<()> {
        poll_fn(|context| self.poll_changed(context)).await
    }

    fn poll_changed(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut seen = false;
        for _ in 0..DRAIN_MAX {
            let mut octet = [0_u8; 1];
            match self.0.poll_recv(context, &mut &mut octet[..]) {
                Poll::Ready(Ok(())) => seen = true,
                Poll::Ready(Err(error)) if error.raw_os_error() == Some(libc::ENOBUFS) => seen = true,
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if seen => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }
}
