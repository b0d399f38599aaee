use super::*;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn bfd_that_never_came_up_blocks_nothing_unless_strict() {
    let now = Instant::now();
    assert_eq!(Coupling::new(false).permit(false, now), Permit::Granted);
    assert_eq!(Coupling::new(true).permit(false, now), Permit::AwaitsFirstUp);
    assert_eq!(
        Coupling::new(true).permit(true, now),
        Permit::AwaitsFirstUp,
        "strict is strict"
    );
}

#[test]
fn a_failure_closes_and_recovery_opens_at_once() {
    let now = Instant::now();
    let mut coupling = Coupling::new(false);
    assert!(!coupling.take(BfdNews::Up, now));
    assert!(coupling.take(BfdNews::Failed, now));
    assert_eq!(coupling.permit(false, now), Permit::AwaitsRecovery);
    assert!(!coupling.take(BfdNews::Up, now + seconds(3)));
    assert_eq!(coupling.permit(false, now + seconds(3)), Permit::Granted);
}

#[test]
fn admin_down_of_the_switch_takes_nothing_down_and_releases_what_waits() {
    let now = Instant::now();
    let mut coupling = Coupling::new(true);
    coupling.take(BfdNews::Up, now);
    assert!(!coupling.take(BfdNews::RemoteAdminDown, now));
    assert_eq!(coupling.permit(false, now), Permit::Granted);
    coupling.take(BfdNews::Failed, now);
    coupling.take(BfdNews::RemoteAdminDown, now);
    assert_eq!(coupling.permit(false, now), Permit::Granted);
}

#[test]
fn bfd_that_does_not_come_back_is_not_awaited_for_ever() {
    let now = Instant::now();
    let mut coupling = Coupling::new(false);
    coupling.take(BfdNews::Failed, now);
    assert_eq!(coupling.poll_timeout(now), Some(now + PATIENCE));
    assert_eq!(coupling.permit(false, now + PATIENCE), Permit::Granted);
    let mut strict = Coupling::new(true);
    strict.take(BfdNews::Failed, now);
    assert_eq!(strict.permit(false, now + PATIENCE), Permit::AwaitsRecovery);
    assert_eq!(strict.poll_timeout(now), None);
}

#[test]
fn a_session_that_begins_anew_closes_bgp_but_is_no_flap_unless_it_does_so_all_the_time() {
    let now = Instant::now();
    let mut coupling = Coupling::new(false);
    assert!(coupling.take(BfdNews::Restarted, now));
    assert_eq!(coupling.permit(false, now), Permit::AwaitsRecovery);
    coupling.take(BfdNews::Up, now);
    for _ in 0..FREE_FAILURES {
        coupling.take(BfdNews::Failed, now);
        coupling.take(BfdNews::Up, now);
        assert_eq!(coupling.permit(false, now), Permit::Granted);
    }
    coupling.take(BfdNews::Restarted, now);
    coupling.take(BfdNews::Up, now);
    assert!(
        matches!(coupling.permit(false, now), Permit::HeldDown(_)),
        "the second within the time of calm counts"
    );
}

#[test]
fn flapping_is_held_down_longer_each_time_but_never_on_the_last_plane() {
    let mut now = Instant::now();
    let mut coupling = Coupling::new(false);
    let mut delays = Vec::new();
    for _ in 0..10 {
        coupling.take(BfdNews::Failed, now);
        coupling.take(BfdNews::Up, now);
        delays.push(match coupling.permit(false, now) {
            Permit::HeldDown(until) => (until - now).as_secs(),
            Permit::Granted | Permit::AwaitsFirstUp | Permit::AwaitsRecovery => 0,
        });
        assert_eq!(coupling.permit(true, now), Permit::Granted);
        now += seconds(1);
    }
    assert_eq!(delays, [0, 0, 1, 2, 4, 8, 16, 32, 60, 60]);
    now += CALM + seconds(1);
    coupling.take(BfdNews::Failed, now);
    coupling.take(BfdNews::Up, now);
    assert_eq!(coupling.permit(false, now), Permit::Granted, "calm forgives");
}
