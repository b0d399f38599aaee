use super::*;

fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

#[test]
fn nothing_counted_is_zero() {
    let lateness = Lateness::default();

    assert_eq!((lateness.count(), lateness.max()), (0, Duration::ZERO));
    assert_eq!(lateness.percentile(99.0), Duration::ZERO);
    assert_eq!(lateness.buckets().count(), 0);
}

#[test]
fn percentiles_are_bounds_of_buckets() {
    let mut lateness = Lateness::default();
    for _ in 0..99 {
        lateness.record(micros(50));
    }
    lateness.record(micros(7_000));

    let median = lateness.percentile(50.0);
    assert!(median >= micros(50) && median <= micros(60), "{median:?}");
    assert_eq!(lateness.percentile(99.0), median);
    assert_eq!(lateness.percentile(100.0), micros(7_000));
    assert_eq!((lateness.count(), lateness.max()), (100, micros(7_000)));
}

#[test]
fn every_duration_falls_below_the_bound_of_its_bucket() {
    let mut durations = vec![Duration::ZERO, Duration::from_nanos(1)];
    durations.extend((0..26).flat_map(|shift| {
        let edge = micros(1 << shift);
        [
            edge - Duration::from_nanos(1),
            edge,
            edge + Duration::from_nanos(1),
        ]
    }));
    for late in durations {
        let index = bucket(late);
        assert!(upper_bound(index) >= late, "{late:?}");
        assert!(index == 0 || upper_bound(index - 1) < late, "{late:?}");
    }
}

#[test]
fn what_is_off_the_scale_is_counted_in_the_last_bucket() {
    let mut lateness = Lateness::default();
    lateness.record(Duration::MAX);

    assert_eq!(lateness.count(), 1);
    assert_eq!(lateness.max(), Duration::MAX);
    assert_eq!(lateness.buckets().count(), 1);
}
