use super::*;

fn config(tx: Duration, rx: Duration) -> Result<SessionConfig, ConfigError> {
    SessionConfig::new(NonZeroU32::MIN, tx, rx, NonZeroU8::MIN)
}

#[test]
fn intervals_fit_the_packet() {
    let good = Duration::from_millis(50);
    let longest = Duration::from_micros(u32::MAX.into());

    assert!(config(Duration::from_micros(1), longest).is_ok());
    assert!(config(longest, Duration::from_micros(1)).is_ok());
    let short = config(Duration::ZERO, good).unwrap_err();
    assert_eq!(
        short,
        ConfigError::TooShort {
            field: Field::DesiredMinTx,
            given: Duration::ZERO
        }
    );
    assert!(short.to_string().contains("use at least 1 µs"));
    let long = config(good, longest + Duration::from_nanos(1)).unwrap_err();
    assert!(matches!(
        long,
        ConfigError::TooLong {
            field: Field::RequiredMinRx,
            ..
        }
    ));
    assert!(config(Duration::MAX, good).is_err());
}

#[test]
fn a_fraction_of_a_microsecond_is_rounded_up() {
    let config = config(Duration::from_nanos(1_001), Duration::from_nanos(2_000)).unwrap();

    assert_eq!(config.desired_min_tx(), Duration::from_micros(2));
    assert_eq!(config.required_min_rx(), Duration::from_micros(2));
}

#[test]
fn common_intervals_are_the_next_longer_ones() {
    let ms = Duration::from_millis;
    for (wanted, common) in [
        (ms(1), Duration::from_micros(3_300)),
        (ms(4), ms(10)),
        (ms(50), ms(50)),
    ] {
        assert_eq!(common_interval(wanted), common);
    }
    assert_eq!(common_interval(ms(51)), ms(100));
    assert_eq!(common_interval(ms(300)), ms(1_000));
    assert_eq!(common_interval(ms(1_500)), ms(1_500));
    let config = config(ms(30), ms(300)).unwrap().with_common_intervals();
    assert_eq!(
        (config.desired_min_tx(), config.required_min_rx()),
        (ms(50), ms(1_000))
    );
}

#[test]
fn the_ttl_rule_depends_on_the_distance() {
    for ttl in 0..=u8::MAX {
        assert_eq!(Hop::Single.accepts(ttl), ttl == 255);
        assert_eq!(Hop::Multi { min_ttl: 250 }.accepts(ttl), ttl >= 250);
        assert!(Hop::Multi { min_ttl: 0 }.accepts(ttl));
    }
}
