use super::*;

const MS: Duration = Duration::from_millis(1);

#[test]
fn first_event_acts_at_once_and_the_next_one_waits() {
    let start = Instant::now();
    let mut pace = Pace::new(Pacing::default(), start);
    assert_eq!((pace.near_at, pace.routes_at), (start, start));

    pace.asked(Cause::Near, true, start + 5 * MS);

    assert_eq!(pace.near_at, start + 25 * MS);
    assert_eq!(pace.routes_at, start + 25 * MS);
}

#[test]
fn a_flood_of_strange_routes_slows_down_routes_only() {
    let mut now = Instant::now();
    let mut pace = Pace::new(Pacing::default(), now);

    let mut asked = 0;
    let end = now + 1000 * MS;
    while now < end {
        pace.asked(Cause::Routes, false, now);
        assert_eq!(pace.near_at, now + 20 * MS);
        now = pace.routes_at;
        asked += 1;
    }

    assert_eq!(pace.routes_pace, 320 * MS);
    assert!(asked <= 7, "{asked} recomputations in a second");
}

#[test]
fn a_route_that_matters_brings_the_pace_back() {
    let now = Instant::now();
    let mut pace = Pace::new(Pacing::default(), now);
    for _ in 0..10 {
        pace.asked(Cause::Routes, false, now);
    }

    pace.asked(Cause::Routes, true, now);

    assert_eq!(pace.routes_at, now + 20 * MS);
}

#[test]
fn quiet_brings_the_pace_back() {
    let now = Instant::now();
    let mut pace = Pace::new(Pacing::default(), now);
    for _ in 0..10 {
        pace.asked(Cause::Routes, false, now);
    }

    pace.asked(Cause::Settle, false, now + 40 * MS);
    pace.asked(Cause::Settle, false, now + 400 * MS);

    assert_eq!(pace.routes_pace, 20 * MS);
}

#[test]
fn asks_twice_more_after_the_last_event_and_then_rests() {
    let now = Instant::now();
    let mut pace = Pace::new(Pacing::default(), now);
    pace.asked(Cause::Near, true, now);
    assert_eq!(pace.settle_at(), Some(now + 40 * MS));

    pace.asked(Cause::Settle, false, now + 40 * MS);
    assert_eq!(pace.settle_at(), Some(now + 400 * MS));

    pace.asked(Cause::Settle, true, now + 400 * MS);
    assert_eq!(pace.settle_at(), None);

    pace.asked(Cause::Near, false, now + 500 * MS);
    assert_eq!(pace.settle_at(), Some(now + 540 * MS));
}
