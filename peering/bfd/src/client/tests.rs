use std::time::Instant;

use super::*;
use crate::Diag;

const CAUSES: [Cause; 6] = [
    Cause::Handshake,
    Cause::DetectionExpired,
    Cause::RemoteDown,
    Cause::RemoteAdminDown,
    Cause::LocalAdminDown,
    Cause::LocalEnabled,
];

fn change(from: State, to: State, cause: Cause, control_plane_independent: bool) -> StateChange {
    StateChange {
        from,
        to,
        cause,
        local_diag: Diag::None,
        remote_diag: Diag::None,
        control_plane_independent,
        at: Instant::now(),
    }
}

#[test]
fn only_a_failure_takes_anything_down() {
    for from in State::ALL {
        for to in State::ALL {
            for cause in CAUSES {
                let change = change(from, to, cause, false);
                let failure =
                    from == State::Up && matches!(cause, Cause::DetectionExpired | Cause::RemoteDown);
                let expected = match (to, failure) {
                    (State::Up, _) => Reaction::Establish,
                    (_, true) => Reaction::TearDown {
                        abort_graceful_restart: false,
                    },
                    (_, false) => Reaction::Ignore,
                };
                assert_eq!(reaction(&change), expected, "{change:?}");
            }
        }
    }
}

#[test]
fn the_c_bit_decides_about_graceful_restart() {
    for independent in [false, true] {
        let failed = change(State::Up, State::Down, Cause::DetectionExpired, independent);
        assert_eq!(
            reaction(&failed),
            Reaction::TearDown {
                abort_graceful_restart: independent
            }
        );
    }
}
