//! What the switches are told of a restart, and what they are told before everything is known.

use super::*;
use crate::config::GracefulRestart;

fn restarted() -> (Rack, Instant) {
    let neighbors = [(0, "10.1.1.1"), (1, "10.1.2.1")].map(|(plane, address)| NeighborConfig {
        graceful_restart: Some(GracefulRestart { restart_time: 60 }),
        ..neighbor(plane, address)
    });
    let (mut rack, now) = rack(neighbors.into());
    let state = RestartState {
        restarting: true,
        forwarding: false,
    };
    rack.set_restart(state, now);
    (rack, now)
}

/// R and F of the OPEN that the session would send on a new connection.
fn bits(rack: &mut Rack, session: usize, connection: u64, now: Instant) -> (bool, bool) {
    let connection = ConnectionId(connection);
    let (local, remote) = ("10.1.1.2:50000".parse().unwrap(), "10.1.1.1:179".parse().unwrap());
    rack.handle(
        SessionId(session),
        Input::Accepted {
            connection,
            local,
            remote,
        },
        now,
    );
    let mut out = Vec::new();
    rack.poll_transmit(SessionId(session), connection, 65536, &mut out);
    let Ok(wire::Message::Open(open)) = wire::decode(&out, &wire::DecodeContext::default()) else {
        panic!("no OPEN: {out:02x?}");
    };
    let restart = open.graceful_restart().unwrap();
    assert_eq!(restart.restart_time, 60);
    (restart.restarting, restart.families[0].forwarding)
}

#[test]
fn a_restart_is_told_to_each_switch_until_the_restart_time_is_over() {
    let (mut rack, now) = restarted();
    assert_eq!(bits(&mut rack, 0, 11, now), (true, false));
    let later = now + Duration::from_secs(59);
    rack.handle_timeout(later);
    assert_eq!(bits(&mut rack, 1, 12, later), (true, false));
    let at_last = now + Duration::from_secs(60);
    assert!(rack.poll_timeout().is_some_and(|at| at <= at_last));
    rack.handle_timeout(at_last);
    assert_eq!(bits(&mut rack, 0, 13, at_last), (false, true));
}

#[test]
fn what_is_known_from_before_is_announced_without_end_of_rib() {
    let (mut rack, now) = restarted();
    rack.set_path(&to("10.1.1.1"), &path("10.1.1.2", "eth1"), now);
    establish(&mut rack, 0, now);
    let route = RouteChange {
        prefix: "10.16.0.5".parse().unwrap(),
        announced: true,
    };
    rack.apply(&[route]);
    assert_eq!(announcements(&mut rack, 0).len(), 0, "the gate is closed");
    let told = |rack: &Rack| rack.status(now).planes[0].sessions[0].families[0].end_of_rib;
    assert!(!told(&rack));

    rack.open_early();
    assert_eq!(announcements(&mut rack, 0).len(), 1);
    let status = rack.status(now);
    assert_eq!((status.complete, status.planes[0].gate), (false, Gate::Open));
    assert!(!told(&rack), "a switch would purge what is not known yet");

    // The truth is the same: nothing is said twice.
    rack.apply(&[route]);
    rack.set_complete();
    assert_eq!(announcements(&mut rack, 0).len(), 0);
    assert!(told(&rack));
}
