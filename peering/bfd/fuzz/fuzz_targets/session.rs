//! A session that is told anything at any time: no panic, no babbling, no wake-up that changes nothing.

#![no_main]

use std::num::{NonZeroU8, NonZeroU32};
use std::time::{Duration, Instant};

use bfd::{MAX_PACKET_LEN, PacketMeta, Role, Session, SessionConfig};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let interval = Duration::from_millis(50);
    let local = NonZeroU32::new(0x0101_0101).expect("not zero");
    let config = SessionConfig::new(local, interval, interval, NonZeroU8::MIN).expect("valid");
    let passive = data.first().is_some_and(|first| first & 1 != 0);
    let mut now = Instant::now();
    let mut session = Session::new(
        config.with_role(if passive { Role::Passive } else { Role::Active }),
        now,
        1,
    );
    for step in data.chunks(28) {
        let [wait, what, early, ttl, payload @ ..] = step else {
            return;
        };
        now += Duration::from_millis(u64::from(*wait) * 8);
        let received_at = now - Duration::from_millis(u64::from(*early));
        match what {
            0 => session.admin_down(bfd::Diag::AdministrativelyDown, now),
            1 => session.enable(now),
            2 => {
                let _ = session.set_intervals(interval * u32::from(*ttl), interval, now);
            }
            3 => {
                session.grant_grace(now);
            }
            _ => {
                let _ = session.handle_packet(
                    payload,
                    PacketMeta {
                        ttl: ttl | 0xf0,
                        received_at,
                    },
                    now,
                );
            }
        }
        session.handle_timeout(now);
        let mut buf = [0; MAX_PACKET_LEN];
        let sent = std::iter::from_fn(|| session.poll_transmit(now, &mut buf))
            .take(4)
            .count();
        assert!(sent <= 2);
        assert!(session.poll_timeout().is_none_or(|wake| wake > now));
        while session.poll_event().is_some() {}
    }
});
