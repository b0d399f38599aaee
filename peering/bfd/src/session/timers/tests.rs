use proptest::prelude::*;

use super::*;

fn mult(value: u8) -> NonZeroU8 {
    NonZeroU8::new(value).unwrap()
}

proptest! {
    #[test]
    fn jitter_stays_within_the_rfc(micros in 1_u32.., detect_mult in 1_u8.., seed: u64) {
        let interval = Duration::from_micros(micros.into());
        let mut rng = fastrand::Rng::with_seed(seed);

        let jittered = jittered(interval, mult(detect_mult), &mut rng);

        prop_assert!(jittered >= shortest(interval));
        prop_assert!(jittered * 4 >= interval * 3);
        let most = if detect_mult == 1 { interval * 9 / 10 } else { interval * 19 / 20 };
        prop_assert!(jittered <= most, "{jittered:?} of {interval:?}");
    }

    #[test]
    fn in_up_only_the_safe_direction_is_immediate(
        old_tx in 1_u32.., old_rx in 1_u32.., new_tx in 1_u32.., new_rx in 1_u32..,
    ) {
        let mut intervals = Intervals::new(old_tx, old_rx);
        intervals.apply(State::Up, old_tx, old_rx);
        intervals.settle();

        let changed = intervals.apply(State::Up, new_tx, new_rx);

        prop_assert_eq!(changed, (old_tx, old_rx) != (new_tx, new_rx));
        prop_assert_eq!((intervals.desired_min_tx, intervals.required_min_rx), (new_tx, new_rx));
        prop_assert_eq!(intervals.tx_in_force, old_tx.min(new_tx));
        prop_assert_eq!(intervals.rx_in_force, old_rx.max(new_rx));
        intervals.settle();
        prop_assert_eq!((intervals.tx_in_force, intervals.rx_in_force), (new_tx, new_rx));
    }

    #[test]
    fn outside_of_up_everything_is_slow_and_immediate(state in 0_u8..3, tx in 1_u32.., rx in 1_u32..) {
        let mut intervals = Intervals::new(50_000, 50_000);

        intervals.apply(State::from_bits(state), tx, rx);

        prop_assert_eq!(intervals.desired_min_tx, tx.max(SLOW_TX));
        prop_assert_eq!(intervals.tx_in_force, tx.max(SLOW_TX));
        prop_assert_eq!(intervals.rx_in_force, rx);
    }
}

/// Uniform over the whole range: the mean of many draws is in its middle, and both ends are reached.
#[test]
fn jitter_is_spread_evenly() {
    let interval = Duration::from_millis(100);
    for (detect_mult, least, most) in [(3, 75.0, 95.0), (1, 75.0, 90.0)] {
        let mut rng = fastrand::Rng::with_seed(11);
        let draws: Vec<f64> = (0..20_000)
            .map(|_| jittered(interval, mult(detect_mult), &mut rng).as_secs_f64() * 1e3)
            .collect();

        let mean = draws.iter().sum::<f64>() / 20_000.0;
        let min = draws.iter().copied().fold(f64::MAX, f64::min);
        let max = draws.iter().copied().fold(f64::MIN, f64::max);

        assert!((mean - f64::midpoint(least, most)).abs() < 0.2, "{mean}");
        assert!(min < least + 0.1 && max > most - 0.1, "{min} {max}");
    }
}
