//! Without the key, nothing that is not a recorded packet gets through.

#![no_main]

use std::num::{NonZeroU8, NonZeroU32};
use std::time::{Duration, Instant};

use bfd::{Auth, AuthType, Key, PacketMeta, Session, SessionConfig};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let interval = Duration::from_millis(50);
    for auth_type in AuthType::ALL.into_iter().skip(1) {
        let auth = Auth::new(auth_type, Key::new(1, b"not in any corpus"))
            .or_else(|_| Auth::new(auth_type, Key::new(1, b"not in corpora")));
        let config = SessionConfig::new(NonZeroU32::MIN, interval, interval, NonZeroU8::MIN).expect("valid");
        let now = Instant::now();
        let mut session = Session::new(config.with_auth(auth.expect("valid")), now, 1);
        let meta = PacketMeta {
            ttl: 255,
            received_at: now,
        };
        assert!(session.handle_packet(data, meta, now).is_err());
    }
});
