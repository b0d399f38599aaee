use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A pair of clocks, and the same pair later: by the monotonic clock, and by the wall clock.
fn clocks(monotonic: Duration, wall: Duration) -> (StampClock, Clocks, Clocks) {
    let start = Clocks {
        monotonic: Instant::now() + HOUR,
        wall: 400_000 * HOUR,
    };
    let later = Clocks {
        monotonic: start.monotonic + monotonic,
        wall: start.wall + wall,
    };
    let mut stamps = StampClock::new(start);
    stamps.advance(later);
    (stamps, start, later)
}

#[test]
fn stamp_becomes_the_instant_of_arrival() {
    let (stamps, start, later) = clocks(millis(100), millis(100));

    let arrival = stamps.arrival(Some(later.wall - millis(30)), start.monotonic);

    assert_eq!(arrival, later.monotonic - millis(30));
}

#[test]
fn arrival_is_never_before_the_socket_was_empty_nor_after_now() {
    let (stamps, start, later) = clocks(millis(100), millis(100));

    assert_eq!(
        stamps.arrival(Some(start.wall - HOUR), start.monotonic),
        start.monotonic
    );
    assert_eq!(
        stamps.arrival(Some(later.wall + HOUR), start.monotonic),
        later.monotonic
    );
}

#[test]
fn packet_without_a_stamp_arrives_now() {
    let (stamps, start, later) = clocks(millis(100), millis(100));

    assert_eq!(stamps.arrival(None, start.monotonic), later.monotonic);
}

#[test]
fn slewed_clock_is_believed() {
    // 500 ppm is as fast as adjtimex may slew.
    let (stamps, start, later) = clocks(HOUR, HOUR + HOUR / 2_000);

    let arrival = stamps.arrival(Some(later.wall - millis(30)), start.monotonic);

    assert_eq!(arrival, later.monotonic - millis(30));
}

#[test]
fn clock_that_was_set_is_not_believed_until_the_next_reading() {
    for wall in [millis(50), HOUR, Duration::ZERO] {
        let (mut stamps, start, later) = clocks(millis(100), wall);
        for stamp in [start.wall, later.wall, later.wall + HOUR] {
            assert_eq!(stamps.arrival(Some(stamp), start.monotonic), later.monotonic);
        }

        let next = Clocks {
            monotonic: later.monotonic + millis(10),
            wall: later.wall + millis(10),
        };
        stamps.advance(next);
        let arrival = stamps.arrival(Some(next.wall - millis(5)), later.monotonic);
        assert_eq!(arrival, next.monotonic - millis(5));
    }
}

#[test]
fn clock_set_back_is_not_believed() {
    let start = Clocks {
        monotonic: Instant::now(),
        wall: 2 * HOUR,
    };
    let later = Clocks {
        monotonic: start.monotonic + millis(100),
        wall: HOUR,
    };
    let mut stamps = StampClock::new(start);

    stamps.advance(later);

    assert_eq!(
        stamps.arrival(Some(later.wall - millis(99)), start.monotonic),
        later.monotonic
    );
}
