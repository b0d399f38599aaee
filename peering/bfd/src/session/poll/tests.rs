use super::*;

#[test]
fn silence_ends_what_waits_for_a_final_and_keeps_what_has_to_be_told() {
    let at = Instant::now();
    let told = [
        Poll::Idle,
        Poll::Settling {
            until: at,
            again: false,
        },
    ];
    let untold = [
        Poll::Scheduled,
        Poll::Sent { at, again: false },
        Poll::Sent { at, again: true },
        Poll::Settling {
            until: at,
            again: true,
        },
    ];
    for mut poll in told {
        poll.remote_lost();
        assert_eq!(poll, Poll::Idle);
    }
    for mut poll in untold {
        poll.remote_lost();
        assert_eq!(poll, Poll::Scheduled);
    }
}

#[test]
fn a_second_sequence_waits_for_a_clear_packet_or_a_round_trip() {
    let at = Instant::now();
    let mut poll = Poll::Sent { at, again: true };
    assert!(!poll.on_receive(true));
    let settling = poll;

    assert!(!poll.on_receive(true));
    assert_eq!(poll, settling);
    assert!(!poll.on_transmit(at));
    poll.on_receive(false);
    assert_eq!(poll, Poll::Scheduled);

    let mut poll = settling;
    assert_eq!(poll.timeout(), Some(at + ROUND_TRIP));
    poll.on_timeout(at + ROUND_TRIP - Duration::from_nanos(1));
    assert_eq!(poll, settling);
    poll.on_timeout(at + ROUND_TRIP);
    assert_eq!(poll, Poll::Scheduled);
}

#[test]
fn a_change_after_the_end_waits_too() {
    let at = Instant::now();
    let mut poll = Poll::Sent { at, again: false };
    assert!(poll.on_receive(true));
    assert!(!poll.is_pending());

    poll.start();

    assert!(poll.is_pending());
    assert!(!poll.on_transmit(at));
    poll.on_receive(false);
    assert!(poll.on_transmit(at));
}
