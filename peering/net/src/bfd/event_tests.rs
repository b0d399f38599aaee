use super::*;
use std::net::Ipv4Addr;

const SESSIONS: usize = 3;

fn down(key: u64) -> BfdEvent {
    BfdEvent::Down(BfdDown {
        key,
        cause: Cause::DetectionExpired,
        diag: Diag::ControlDetectionTimeExpired,
        remote_diag: Diag::None,
        reaction: Reaction::TearDown {
            abort_graceful_restart: false,
        },
        local_stall: false,
        silent_for: Some(Duration::from_micros(150_400)),
        detection_time: Some(Duration::from_millis(150)),
        at: Instant::now(),
    })
}

fn up(key: u64) -> BfdEvent {
    let at = Instant::now();
    BfdEvent::Up { key, at }
}

fn drain(news: &mut News) -> Vec<BfdEvent> {
    let mut events = Vec::new();
    news.drain_to(|event| events.push(event));
    events
}

#[test]
fn events_come_in_order() {
    let mut news = News::new(SESSIONS);
    let told = [up(1), down(1), up(2), down(1)];
    for event in told {
        news.push(event);
    }

    assert!(!news.is_empty());
    assert_eq!(drain(&mut news), told);
    assert!(news.is_empty());
    assert_eq!(news.lost(), 0);
}

#[test]
fn storm_on_one_session_loses_no_other_ones_last_word() {
    let mut news = News::new(SESSIONS);
    let early = [down(1), BfdEvent::RemoteAdminDown { key: 2 }, up(2)];
    for event in early {
        news.push(event);
    }
    for _ in 0..10_000 {
        news.push(down(3));
        news.push(up(3));
    }
    let last = down(3);
    news.push(last);

    let capacity = news.capacity;
    let lost = news.lost();
    let events = drain(&mut news);
    assert!(events.len() <= capacity);
    assert_eq!(lost, 20_004 - events.len() as u64);
    assert_eq!(events[..3], early);
    assert_eq!(events.last(), Some(&last));
}

#[test]
fn every_topic_at_once_fits_with_room_to_spare() {
    let mut news = News::new(SESSIONS);
    for _ in 0..1_000 {
        let error = BfdSocketError {
            attempt: super::super::error::BfdAttempt::Send,
            errno: 1,
        };
        for key in 0..SESSIONS as u64 {
            news.push(down(key));
            news.push(BfdEvent::RemoteEnabled { key });
            news.push(BfdEvent::SendFailed { key, error });
        }
        for port in 1..=4 {
            let address = (Ipv4Addr::UNSPECIFIED, port).into();
            news.push(BfdEvent::Listening { address });
        }
        let stalled = Duration::from_secs(1);
        let at = Instant::now();
        news.push(BfdEvent::LocalStall { stalled, at });
    }

    let topics: std::collections::BTreeSet<_> = drain(&mut news).iter().map(BfdEvent::topic).collect();
    assert_eq!(topics.len(), 3 * SESSIONS + 5);
}

#[test]
fn more_keys_than_ever_at_a_time_lose_the_oldest() {
    let mut news = News::new(SESSIONS);
    for key in 0..1_000 {
        news.push(BfdEvent::Removed { key });
    }

    let events = drain(&mut news);
    assert_eq!(events.last(), Some(&BfdEvent::Removed { key: 999 }));
    assert_eq!(events.len() as u64, 1_000 - news.lost());
}

#[test]
fn capacity_is_reserved_once() {
    let mut news = News::new(SESSIONS);
    let before = (news.events.capacity(), news.topics.capacity());
    for key in 0..10_000 {
        news.push(up(key % 5));
    }

    assert_eq!((news.events.capacity(), news.topics.capacity()), before);
}

#[test]
fn texts_say_what_happened() {
    assert_eq!(
        down(1).to_string(),
        "BFD is down: silence for 150.4ms, detection time 150.0ms"
    );
    assert!(down(1).is_warning());
    assert!(!up(1).is_warning());
    let BfdEvent::Down(told) = down(1) else { return };
    let signalled = BfdDown {
        cause: Cause::RemoteDown,
        remote_diag: Diag::ControlDetectionTimeExpired,
        local_stall: true,
        ..told
    };
    assert_eq!(
        signalled.to_string(),
        "BFD is down: remote_down, the other end reports control_detection_time_expired, after a stall of this process"
    );
}
