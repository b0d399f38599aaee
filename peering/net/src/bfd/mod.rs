//! BFD on a thread of its own (RFC 5880, 5881, 5883).
//!
//! [`spawn`] starts the thread; [`BfdHandle::set`] says which sessions there should be, and
//! [`BfdHandle::drain_events`] tells what became of them. The protocol itself is the crate `bfd-rs`; here are the
//! sockets, the clock and the loop:
//!
//! ```text
//!   BfdHandle ──list, questions──> mailbox ──> Driver ──> Table ──> bfd::Session
//!       ^                                        │ ^         (pure: demux, deadlines, grace)
//!       └────────── events, answers ─────────────┘ ├── Receiver   one per family and port 3784, 4784
//!                                                  └── Transmitter one per session, own source port
//! ```
//!
//! # What makes it reliable
//!
//! - The thread waits for nobody: it takes no lock that somebody else could be holding (it *tries*, and comes back),
//!   it does not log, and while the list of sessions stays the same it neither allocates nor frees memory.
//! - It reads what waits in the sockets before it judges a deadline, and believes the kernel's timestamp rather than
//!   its own eyes. A flood cannot keep it from sending, because reading is bounded in each turn; nor from judging
//!   rightly, because a session is not judged while older packets may be unread.
//! - It measures how late it is. If this process, or the machine, stood still for so long that sessions may suffer,
//!   it says so ([`BfdEvent::LocalStall`]), sends at once, and forgives silence once. The same if the kernel had to
//!   drop packets. A dead peer is then noticed at most one Detection Time later.
//! - It runs in `SCHED_FIFO` if the system permits it.
//! - A session that cannot receive does not send, so that it disturbs no other BFD daemon of this host.
//!
//! # Limits
//!
//! GAP(VRF): the receiving sockets belong to the default VRF, or to all with `net.ipv4.udp_l3mdev_accept`.

mod clock;
mod datagram;
mod error;
mod event;
mod handle;
mod lateness;
mod mailbox;
mod pcapng;
mod receiver;
mod recorder;
mod slot;
mod spec;
mod status;
mod sys;
mod table;
mod thread;
mod transmitter;

pub use bfd::{
    Auth, AuthError, AuthType, Cause, ConfigError, Counters, Diag, Discard, Hop, Key, Reaction, Remote,
    State, StateChange,
};

pub use error::{BfdAttempt, BfdSocketError};
pub use event::{BfdDown, BfdEvent};
pub use handle::{BfdHandle, BfdSpawnError, BfdThread, spawn};
pub use lateness::Lateness;
pub use recorder::{RECORDED_OCTETS, RECORDING_LEN, Recorded, RecordedPacket, RecordedWhat, Recording};
pub use spec::{BfdLimits, BfdSpec, InterfaceName, Refusal};
pub use status::{BfdListenerStatus, BfdSessionStatus, BfdSnapshot, BfdThreadStatus, Discards, LastDown};
