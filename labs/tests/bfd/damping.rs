//! A link that flaps is held down, the last usable one never.

use lab::Lab;
use lab::clab::Role;
use lab::daemons::frr::Frr;
use lab::wait::{self, PATIENCE};

use crate::support::{WEB, agent_log, enable_bfd, start_agent, wait_logged, wait_lost, wait_up};

#[test]
fn a_flapping_plane_is_held_down_but_never_the_last_usable_one() {
    let lab = Lab::builder("dual-tor")
        .wires()
        .without(Role::Twintor)
        .up()
        .unwrap();
    let (tor1, tor2) = (Frr::of(&lab, "tor1"), Frr::of(&lab, "tor2"));
    enable_bfd(&tor1, &["10.1.1.2"]);
    enable_bfd(&tor2, &["10.1.2.2"]);
    start_agent(&lab, &["10.1.1.1", "10.1.2.1"], &[]);
    wait_up(&tor1, &["10.1.1.2"]);
    wait_up(&tor2, &["10.1.2.2"]);
    let steady = tor2.session("10.1.2.2").unwrap();
    let link = lab.link("tor1", "node1").unwrap();
    let held = || agent_log(&lab).matches("failed too often lately").count();

    let mut flaps = 0;
    while held() < 3 {
        flaps += 1;
        assert!(flaps < 10, "never held down: {}", agent_log(&lab));
        let then = tor1.session("10.1.1.2").unwrap();
        link.cut_silently().unwrap();
        wait_lost(&tor1, "10.1.1.2", &then);
        link.heal().unwrap();
        if held() < 3 {
            wait::until_true("the plane is back or held down", PATIENCE, || {
                Ok(tor1.session("10.1.1.2")?.state == "Established" || held() >= 3)
            })
            .unwrap();
        }
    }
    assert!(flaps > 3, "the first failures cost nothing: held after {flaps}");
    assert!(
        tor2.session("10.1.2.2").unwrap().is_still(&steady),
        "the other plane is untouched"
    );

    // The other plane goes: what is held down is let through.
    let then = tor2.session("10.1.2.2").unwrap();
    lab.link("tor2", "node1").unwrap().cut_silently().unwrap();
    wait_lost(&tor2, "10.1.2.2", &then);
    wait_logged(&lab, &["BFD is down", "10.1.2.1"]);
    tor1.wait_installed(WEB, &["10.1.1.2"]).unwrap();
}
