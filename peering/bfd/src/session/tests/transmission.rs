//! When packets leave, and what a Poll Sequence defers.

use super::*;
use crate::Role;

#[test]
fn advertises_and_sends_slowly_while_not_up() {
    for state in [State::AdminDown, State::Down, State::Init] {
        let mut bench = Bench::in_state(config(), state);
        let log = bench.run(2_900 * MS);
        assert!((2..=4).contains(&log.len()), "{state:?} {}", log.len());
        assert!(
            log.iter()
                .all(|(_, sent)| sent.desired_min_tx == 1_000_000 && sent.required_min_rx == 50_000)
        );
    }
}

#[test]
fn a_first_packet_is_ready_at_once_unless_passive() {
    assert_eq!(Bench::new(config()).sent().len(), 1);
    let mut passive = Bench::new(config().with_role(Role::Passive));
    assert_eq!(passive.session.poll_timeout(), None);
    assert!(passive.run(100 * S).is_empty());
}

#[test]
fn a_passive_session_speaks_when_spoken_to_and_falls_mute_again() {
    let mut bench = Bench::new(config().with_role(Role::Passive));
    bench.hear(packet(State::Down)).unwrap();
    assert_eq!(bench.sent()[0].state, State::Init);

    bench.pass(150 * MS);

    assert_eq!(bench.session.state(), State::Down);
    assert!(bench.run(100 * S).is_empty());
    assert_eq!(bench.session.poll_timeout(), None);
}

#[test]
fn remote_min_rx_zero_silences_us_except_for_news_and_finals() {
    let mut bench = Bench::in_state(config(), State::Up);
    let silent = ControlPacket {
        required_min_rx: 0,
        ..packet(State::Up)
    };
    bench.hear(silent).unwrap();
    assert_eq!(bench.session.transmit_interval(), None);
    for _ in 0..20 {
        assert!(bench.run(40 * MS).is_empty());
        bench.hear(silent).unwrap();
    }
    bench.hear(ControlPacket { poll: true, ..silent }).unwrap();
    assert!(bench.sent()[0].is_final);

    bench.session.admin_down(Diag::AdministrativelyDown, bench.now);
    assert_eq!(bench.sent()[0].state, State::AdminDown);

    bench.session.enable(bench.now);
    bench.sent();
    bench.hear(packet(State::Down)).unwrap();
    assert!(bench.run(S).len() > 1);
}

#[test]
fn remote_demand_stops_periodic_packets_but_not_a_poll() {
    let mut bench = Bench::in_state(config(), State::Up);
    let demand = ControlPacket {
        demand: true,
        ..packet(State::Up)
    };
    bench.hear(demand).unwrap();
    for _ in 0..20 {
        assert!(bench.run(40 * MS).is_empty());
        bench.hear(demand).unwrap();
    }
    // The remote system polls: answered.
    bench.hear(ControlPacket { poll: true, ..demand }).unwrap();
    assert!(bench.sent()[0].is_final);
    // We poll: packets flow until the Final.
    bench.session.set_intervals(100 * MS, 50 * MS, bench.now).unwrap();
    let log = bench.run(120 * MS);
    assert!(log.len() >= 2 && log.iter().all(|(_, sent)| sent.poll), "{log:?}");
    bench
        .hear(ControlPacket {
            is_final: true,
            ..demand
        })
        .unwrap();
    assert!(bench.run(100 * MS).is_empty());
    assert!(!bench.session.is_poll_pending());
    // RFC 5880 §6.6: in Demand mode, any change of contents takes a Poll Sequence.
    bench.hear(demand).unwrap();
    bench
        .session
        .set_detect_mult(NonZeroU8::new(5).unwrap(), bench.now);
    assert!(bench.sent()[0].poll);
    // The remote system leaves Demand mode: periodic packets resume.
    bench.hear(packet(State::Up)).unwrap();
    assert!(!bench.run(140 * MS).is_empty());
}

#[test]
fn demand_counts_only_when_both_ends_are_up() {
    let mut bench = Bench::in_state(config(), State::Init);
    bench
        .hear(ControlPacket {
            demand: true,
            ..packet(State::Init)
        })
        .unwrap();
    assert_eq!(bench.session.state(), State::Up);
    // We are Up, the remote system is not yet.
    assert!(bench.session.transmit_interval().is_some());
}

#[test]
fn a_longer_transmit_interval_waits_for_the_final() {
    let mut bench = Bench::in_state(config(), State::Up);
    bench.session.set_intervals(200 * MS, 50 * MS, bench.now).unwrap();
    for _ in 0..4 {
        let log = bench.run(60 * MS);
        assert!(
            !log.is_empty()
                && log
                    .iter()
                    .all(|(_, sent)| sent.poll && sent.desired_min_tx == 200_000)
        );
        bench.hear(packet(State::Up)).unwrap();
    }
    assert_eq!(bench.session.transmit_interval(), Some(50 * MS));

    bench
        .hear(ControlPacket {
            is_final: true,
            ..packet(State::Up)
        })
        .unwrap();

    assert_eq!(bench.session.transmit_interval(), Some(200 * MS));
    assert_eq!(bench.events(), [Event::PollCompleted]);
    let log = bench.run(149 * MS);
    assert!(log.len() <= 1 && log.iter().all(|(_, sent)| !sent.poll));
}

#[test]
fn a_shorter_detection_time_waits_for_the_final() {
    let mut bench = Bench::in_state(config(), State::Up);
    let fast = ControlPacket {
        desired_min_tx: 10_000,
        ..packet(State::Up)
    };
    bench.hear(fast).unwrap();
    bench.session.set_intervals(50 * MS, 20 * MS, bench.now).unwrap();
    assert_eq!(bench.session.detection_time(), Some(150 * MS));
    bench.run(60 * MS);
    bench.hear(fast).unwrap();
    assert_eq!(bench.session.detection_time(), Some(150 * MS));

    bench
        .hear(ControlPacket {
            is_final: true,
            ..fast
        })
        .unwrap();

    assert_eq!(bench.session.detection_time(), Some(60 * MS));
}

#[test]
fn the_safe_direction_is_immediate() {
    let mut bench = Bench::in_state(config(), State::Up);
    let fast = ControlPacket {
        required_min_rx: 10_000,
        ..packet(State::Up)
    };
    bench.hear(fast).unwrap();

    bench.session.set_intervals(20 * MS, 100 * MS, bench.now).unwrap();

    assert_eq!(bench.session.transmit_interval(), Some(20 * MS));
    assert_eq!(bench.session.detection_time(), Some(300 * MS));
    assert!(bench.run(20 * MS)[0].1.poll);
}

#[test]
fn a_change_during_a_poll_takes_a_second_one_and_the_first_final_proves_nothing() {
    let mut bench = Bench::in_state(config(), State::Up);
    let final_packet = ControlPacket {
        is_final: true,
        ..packet(State::Up)
    };
    bench.session.set_intervals(100 * MS, 50 * MS, bench.now).unwrap();
    assert!(bench.run(50 * MS)[0].1.poll);
    bench.session.set_intervals(200 * MS, 50 * MS, bench.now).unwrap();

    bench.hear(final_packet).unwrap();
    assert_eq!(bench.session.transmit_interval(), Some(50 * MS));
    assert!(bench.session.is_poll_pending());
    // Not before a packet without the Final bit: a late Final could still answer the first Poll.
    assert!(bench.run(50 * MS).iter().all(|(_, sent)| !sent.poll));
    bench.hear(final_packet).unwrap();
    assert!(bench.session.is_poll_pending());
    bench.hear(packet(State::Up)).unwrap();
    assert!(bench.run(50 * MS)[0].1.poll);
    bench.hear(final_packet).unwrap();

    assert_eq!(bench.session.transmit_interval(), Some(200 * MS));
    assert_eq!(bench.session.counters().polls_completed, 2);
}

#[test]
fn a_final_before_the_poll_has_left_proves_nothing() {
    let mut bench = Bench::in_state(config(), State::Up);
    bench.session.set_intervals(200 * MS, 50 * MS, bench.now).unwrap();

    bench
        .hear(ControlPacket {
            is_final: true,
            ..packet(State::Up)
        })
        .unwrap();

    assert_eq!(bench.session.transmit_interval(), Some(50 * MS));
    assert!(bench.session.is_poll_pending());
}

#[test]
fn a_poll_rides_on_scheduled_packets_only() {
    let mut bench = Bench::in_state(config(), State::Up);

    bench.session.set_intervals(60 * MS, 60 * MS, bench.now).unwrap();

    assert!(bench.sent().is_empty());
}

#[test]
fn a_shorter_remote_min_rx_is_honoured_at_once() {
    let mut bench = Bench::in_state(config(), State::Up);
    bench
        .hear(ControlPacket {
            required_min_rx: 2_000_000,
            ..packet(State::Up)
        })
        .unwrap();
    assert!(bench.run(100 * MS).is_empty());

    bench.hear(packet(State::Up)).unwrap();

    assert_eq!(bench.sent().len(), 1);
}

#[test]
fn news_is_told_before_the_next_periodic_packet() {
    let mut bench = Bench::in_state(config(), State::Up);
    assert!(bench.sent().is_empty());
    bench
        .session
        .set_detect_mult(NonZeroU8::new(4).unwrap(), bench.now);
    assert_eq!(bench.sent()[0].detect_mult.get(), 4);
    bench
        .session
        .set_diagnostic(Diag::ConcatenatedPathDown, bench.now);
    assert_eq!(bench.sent()[0].diag, Diag::ConcatenatedPathDown);
    bench.hear(packet(State::Down)).unwrap();
    assert_eq!(bench.sent()[0].state, State::Down);
}

/// An owner that is always late shifts no packet by more than its lateness, and sends none too soon.
#[test]
fn lateness_does_not_add_up() {
    let mut bench = Bench::in_state(config(), State::Up);
    let mut sent_at = Vec::new();
    for _ in 0..400 {
        // Kept alive by hand, so that the only wake-ups are those for packets.
        bench.hear(packet(State::Up)).unwrap();
        bench.now = bench.session.poll_timeout().unwrap() + 6 * MS;
        assert_eq!(bench.sent().len(), 1);
        sent_at.push(bench.now);
    }
    let gaps: Vec<Duration> = sent_at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| *gap * 4 >= 150 * MS));
    assert!(gaps.iter().all(|gap| *gap <= 56 * MS));
    let mean = gaps.iter().sum::<Duration>() / 399;
    assert!(
        mean < 47 * MS,
        "{mean:?}: 43.75 ms plus what the floor of 37.5 ms costs"
    );
}

/// With no periodic packets to carry it, a Poll must not be lost behind a Final.
#[test]
fn a_final_does_not_swallow_a_poll() {
    let mut bench = Bench::in_state(config(), State::Up);
    let silent = ControlPacket {
        required_min_rx: 0,
        ..packet(State::Up)
    };
    bench.hear(silent).unwrap();
    bench.session.set_intervals(100 * MS, 50 * MS, bench.now).unwrap();
    assert!(bench.sent().is_empty());
    bench
        .session
        .set_detect_mult(NonZeroU8::new(9).unwrap(), bench.now);
    bench.hear(ControlPacket { poll: true, ..silent }).unwrap();

    let sent = bench.sent();

    assert_eq!(
        sent.iter()
            .map(|sent| (sent.is_final, sent.poll))
            .collect::<Vec<_>>(),
        [(true, false), (false, true)]
    );
}

/// What was being told when the remote system fell silent is told anew, and one Final is enough for all of it.
#[test]
fn silence_starts_the_poll_anew() {
    let mut bench = Bench::in_state(config(), State::Up);
    bench.session.set_intervals(100 * MS, 50 * MS, bench.now).unwrap();
    assert!(bench.run(50 * MS)[0].1.poll);
    bench.session.set_intervals(200 * MS, 50 * MS, bench.now).unwrap();
    bench.pass(S);
    assert_eq!(bench.session.state(), State::Down);
    assert!(bench.sent()[0].poll);
    bench.events();

    bench
        .hear(ControlPacket {
            is_final: true,
            ..packet(State::AdminDown)
        })
        .unwrap();

    assert!(!bench.session.is_poll_pending());
    assert!(bench.events().contains(&Event::PollCompleted));
}
