use super::*;

const MILLI: Duration = Duration::from_millis(1);

/// Reads `junk` packets in every millisecond of a second, and counts the pauses.
fn pauses(moderation: &mut Moderation, start: Instant, junk: u32) -> usize {
    let readings = (1..=1_000).map(|milli| start + milli * MILLI);
    readings
        .filter(|now| moderation.after_reading(junk, *now).is_some())
        .count()
}

#[test]
fn some_junk_is_read_as_it_comes() {
    let start = Instant::now();
    let mut moderation = Moderation::new(start);

    assert_eq!(pauses(&mut moderation, start, 0), 0);
    assert_eq!(pauses(&mut moderation, start + 1_000 * MILLI, 9), 0);
}

#[test]
fn flood_is_read_with_pauses_without_interruption() {
    let start = Instant::now();
    let mut moderation = Moderation::new(start);

    let pauses = pauses(&mut moderation, start, 100);

    assert!(pauses >= 989, "{pauses}");
    let now = start + 1_001 * MILLI;
    assert_eq!(moderation.after_reading(100, now), Some(now + PAUSE));
}

#[test]
fn end_of_a_flood_is_noticed() {
    let start = Instant::now();
    let mut moderation = Moderation::new(start);
    pauses(&mut moderation, start, 100);

    assert!(pauses(&mut moderation, start + 1_000 * MILLI, 1) <= 200);
    let much_later = start + Duration::from_secs(100);
    assert_eq!(moderation.after_reading(1, much_later), None);
}
