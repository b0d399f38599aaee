//! The one capability that the agent asks for.

use caps::{CapSet, Capability};

/// Makes `CAP_NET_BIND_SERVICE` effective where it is only permitted, as it is for the file in the image: so that port
/// 179 can be bound. Without it nothing changes, and the listener says what it lacks.
///
/// Capabilities belong to threads, and a new thread inherits them: call it before there is a second one.
pub fn raise_bind_service() {
    let bind = Capability::CAP_NET_BIND_SERVICE;
    let has = |set| caps::has_cap(None, set, bind).unwrap_or(false);
    if has(CapSet::Permitted) && !has(CapSet::Effective) {
        // What is permitted may be raised; a filter of system calls may still refuse it, and then the listener says so.
        let _ = caps::raise(None, CapSet::Effective, bind);
    }
}
