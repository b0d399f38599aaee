use super::*;
use crate::report::ProblemReport;
use fabric::{Gate, PairState, RackStatus};
use std::net::Ipv4Addr;

fn session(neighbor: &str, uptime_seconds: Option<u64>) -> SessionStatus {
    SessionStatus {
        neighbor: neighbor.parse().expect("an address"),
        remote_as: 65030,
        remote_id: None,
        state: if uptime_seconds.is_some() {
            "Established"
        } else {
            "Active"
        }
        .to_owned(),
        uptime_seconds,
        hold_time: None,
        local_address: None,
        interface: None,
        pending: None,
        blocked: None,
        last_error: Some("we: Cease/BFD Down\u{1b}]0;x\u{7}".to_owned()),
        established_count: 1,
        messages_sent: 0,
        messages_received: 0,
        families: vec![FamilyStatus {
            family: "ipv4-unicast".to_owned(),
            next_hop: "10.1.1.2".parse().ok(),
            desired: 10,
            sent: 7,
            received: 3,
            end_of_rib: true,
        }],
    }
}

fn report(sessions: Vec<SessionStatus>, pair: PairState) -> StatusReport {
    let bfd = serde_json::json!({"peers": [super::super::bfd::tests::peer()], "thread": null});
    let plane = |(name, session): (&str, SessionStatus)| PlaneStatus {
        name: name.to_owned(),
        gate: Gate::Open,
        usable: session.uptime_seconds.is_some(),
        sessions: vec![session],
    };
    StatusReport {
        version: "1.2.3".to_owned(),
        node: Some("node1".to_owned()),
        rack: RackStatus {
            return_path: None,
            local_as: 65000,
            router_id: Ipv4Addr::new(10, 1, 1, 2),
            pair,
            complete: true,
            planes: ["a", "b"].into_iter().zip(sessions).map(plane).collect(),
        },
        config: None,
        bfd: serde_json::from_value(bfd).ok(),
        problems: ProblemsReport::default(),
    }
}

#[test]
fn one_line_for_each_session() {
    let mut never = session("fd00:1::1", None);
    never.established_count = 0;
    never.blocked = Some("strict mode".to_owned());
    never.families[0].next_hop = None;
    let report = report(
        vec![session("10.1.1.1", Some(93_784)), never],
        PairState::Degraded,
    );
    assert_eq!(
        text(&report),
        "\
node1, AS 65000, router ID 10.1.1.2, twintor 1.2.3
Pair: degraded, desired set: complete

Plane  Neighbor   AS     State        Up/Down   BFD  Next hop  Desired  Sent  Rcvd  Reason
a      10.1.1.1   65030  Established  1d02h03m  up   10.1.1.2  10       7     3     -
b      fd00:1::1  65030  Active       never     -    -         10       7     3     strict mode

Not healthy:
- the pair is degraded
- plane b: the session with fd00:1::1 is Active
"
    );
}

#[test]
fn what_a_switch_says_cannot_move_the_cursor() {
    let report = report(vec![session("10.1.1.1", None)], PairState::Isolated);
    let text = text(&report);
    assert!(text.contains("  down  "), "{text}");
    assert!(
        text.contains("we: Cease/BFD Down\u{fffd}]0;x\u{fffd}\n"),
        "{text}"
    );
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
}

#[test]
fn health_needs_all_of_it() {
    let up = || session("10.1.1.1", Some(1));
    let mut all = report(vec![up()], PairState::Both);
    assert_eq!(all.complaints(), Vec::<String>::new());
    assert!(!text(&all).contains("Not healthy"));
    all.rack.complete = false;
    assert_eq!(all.complaints(), ["the desired set is not complete yet"]);
    assert!(text(&all).contains("desired set: waiting for the first full sync"));
    all.rack.complete = true;
    all.bfd = None;
    assert_eq!(all.complaints(), ["the BFD thread does not answer"]);
}

#[test]
fn durations_are_those_of_frr() {
    for (seconds, text) in [
        (0, "00:00:00"),
        (86_399, "23:59:59"),
        (86_400, "1d00h00m"),
        (604_799, "6d23h59m"),
        (604_800, "01w0d00h"),
    ] {
        assert_eq!(uptime(seconds), text);
    }
}

#[test]
fn the_first_problems_are_shown_and_all_are_counted() {
    let mut report = report(vec![session("10.1.1.1", Some(1))], PairState::Both);
    let problem = |number| ProblemReport {
        severity: "warning".to_owned(),
        subject: format!("Pod web/p{number}"),
        field: Some("ovn.kubernetes.io/bgp".to_owned()),
        message: "means \u{1b}nothing".to_owned(),
        remedy: Some("use true".to_owned()),
    };
    report.problems = ProblemsReport {
        warnings: 7,
        notes: 1,
        listed: (0..6).map(problem).collect(),
    };
    let text = text(&report);
    assert!(
        text.contains("\nProblems: 7, notes: 1\n- Pod web/p0: ovn.kubernetes.io/bgp: means "),
        "{text}"
    );
    assert!(
        text.contains("Pod web/p4: ") && !text.contains("Pod web/p5: "),
        "{text}"
    );
    assert!(
        text.contains("- and 3 more: see twintor status -o json\n"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn the_routes_of_the_return_path_and_what_is_wrong_with_them() {
    let route = |prefix: &str, planes: &[&str], gateways: &[&str]| fabric::ReturnRouteStatus {
        prefix: prefix.to_owned(),
        planes: planes.iter().map(|plane| (*plane).to_owned()).collect(),
        gateways: gateways
            .iter()
            .filter_map(|gateway| gateway.parse().ok())
            .collect(),
        installed: !planes.is_empty() && !gateways.is_empty(),
        error: None,
    };
    let mut taken = route("::/0", &["a"], &[]);
    taken.error = Some("belongs to somebody else".to_owned());
    let mut all = report(vec![session("10.1.1.1", Some(1))], PairState::Both);
    all.rack.return_path = Some(ReturnPathStatus {
        table: 254,
        metric: 50,
        protocol: 179,
        trouble: None,
        routes: vec![
            route("0.0.0.0/0", &["a", "b"], &["10.1.1.1", "10.1.2.1"]),
            taken,
            route("10.0.0.0/8", &[], &[]),
            route("10.0.0.0/9", &[], &["10.1.1.1"]),
        ],
        moves: 1,
        restored: 0,
        last_move_micros: Some(900),
        slowest_move_micros: Some(900),
        advice: vec!["set this".to_owned()],
    });
    let shown = text(&all);
    assert!(
        shown.contains(
            "
Return path: table 254, metric 50, proto 179
- 0.0.0.0/0: planes a b, via 10.1.1.1 10.1.2.1
- ::/0: planes a, not installed
- 10.0.0.0/8: no plane yet
- 10.0.0.0/9: via 10.1.1.1, as an earlier agent left it
- all flows between two addresses share a plane: set this

Not healthy:
- return path: belongs to somebody else
"
        ),
        "{shown}"
    );
}
