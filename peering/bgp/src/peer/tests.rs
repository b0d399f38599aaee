//! The state machine, cell by cell.

use super::*;
use crate::{GracefulRestartConfig, RetryPolicy};
use std::net::Ipv4Addr;
use wire::{Capability, Family, FamilySet, Message, Open, decode};

const LOCAL: &str = "10.1.1.2:40000";
const REMOTE: &str = "10.1.1.1:179";
const ID: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

fn config() -> PeerConfig {
    PeerConfig {
        hold_time: 9,
        ..PeerConfig::new(65000, ID, 65030, FamilySet::only(Family::Ipv4Unicast))
    }
}

fn their_open() -> Open {
    Open {
        asn: 65030,
        hold_time: 90,
        bgp_id: Ipv4Addr::new(10, 0, 0, 1),
        capabilities: vec![
            Capability::Multiprotocol(Family::Ipv4Unicast.afi_safi()),
            Capability::FourOctetAs(65030),
            Capability::RouteRefresh,
        ],
    }
}

fn open_octets(open: &Open) -> Vec<u8> {
    let mut out = Vec::new();
    encode_open(open, &mut out);
    out
}

fn keepalive_octets() -> Vec<u8> {
    let mut out = Vec::new();
    encode_keepalive(&mut out);
    out
}

fn notification_octets() -> Vec<u8> {
    let mut out = Vec::new();
    encode_notification(&Notification::new(code::CEASE, subcode::ADMIN_RESET), &mut out);
    out
}

fn end_of_rib_octets() -> Vec<u8> {
    let mut out = Vec::new();
    wire::encode_end_of_rib(Family::Ipv4Unicast, &mut out);
    out
}

fn refresh_octets() -> Vec<u8> {
    let mut out = Vec::new();
    let family = Family::Ipv4Unicast.afi_safi();
    wire::encode_route_refresh(
        &wire::RouteRefresh {
            family,
            kind: wire::RefreshKind::Request,
        },
        &mut out,
    );
    out
}

/// A peer with its clock, and what it has asked for since last looked at.
struct Bench {
    peer: Peer,
    now: Instant,
    connection: ConnectionId,
}

impl Bench {
    fn new(config: PeerConfig) -> Self {
        Self {
            peer: Peer::new(config, 7),
            now: Instant::now(),
            connection: ConnectionId(0),
        }
    }

    fn input(&mut self, input: Input<'_>) {
        self.peer.handle(input, self.now);
    }

    fn connected(&mut self) {
        self.connection = ConnectionId(self.connection.0 + 1);
        let (local, remote) = (LOCAL.parse().unwrap(), REMOTE.parse().unwrap());
        self.input(Input::Connected {
            connection: self.connection,
            local,
            remote,
        });
    }

    fn accepted(&mut self) {
        self.connection = ConnectionId(self.connection.0 + 1);
        let (local, remote) = (LOCAL.parse().unwrap(), REMOTE.parse().unwrap());
        self.input(Input::Accepted {
            connection: self.connection,
            local,
            remote,
        });
    }

    fn receive(&mut self, data: &[u8]) {
        self.peer.handle(
            Input::Received {
                connection: self.connection,
                data,
            },
            self.now,
        );
    }

    fn closed(&mut self) {
        let connection = self.connection;
        self.input(Input::Closed {
            connection,
            reason: "reset".to_owned(),
        });
    }

    /// Lets time pass until the peer's next timer.
    fn timeout(&mut self) {
        if let Some(at) = self.peer.poll_timeout() {
            self.now = at;
        }
        self.peer.handle_timeout(self.now);
    }

    /// Lets `seconds` pass with all timers on the way.
    fn pass(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(at) = self.peer.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.peer.handle_timeout(self.now);
        }
        self.now = end;
    }

    /// Everything the peer has asked for and written, as short words.
    fn outcome(&mut self) -> String {
        let mut words = Vec::new();
        let connections: Vec<ConnectionId> = self.peer.connections.iter().map(|c| c.id).collect();
        let mut written = Vec::new();
        for connection in connections {
            self.peer.poll_transmit(connection, 4096, &mut written);
        }
        while let Some(event) = self.peer.poll_event() {
            match event {
                Event::Dial => words.push("dial".to_owned()),
                Event::CancelDial => words.push("cancel".to_owned()),
                Event::Close { last, .. } => {
                    words.push("close".to_owned());
                    words.extend(messages(&last));
                }
                Event::Established { .. } => words.push("up".to_owned()),
                Event::Down(_) => words.push("down".to_owned()),
                Event::OpenFailed(_) => words.push("failed".to_owned()),
                Event::RefreshRequested(_) => words.push("refresh".to_owned()),
                Event::EndOfRib(_) => words.push("eor".to_owned()),
                Event::MalformedUpdate(_) => words.push("malformed".to_owned()),
                Event::PrefixLimit => words.push("limit".to_owned()),
            }
        }
        words.extend(messages(&written));
        words.join(" ")
    }
}

fn messages(mut octets: &[u8]) -> Vec<String> {
    let context = wire::DecodeContext {
        four_octet_as: true,
        families: FamilySet::ALL,
        extended_next_hop: FamilySet::ALL,
        ebgp: true,
        max_message: wire::MAX_EXTENDED_MESSAGE,
    };
    let mut words = Vec::new();
    while let Some(len) = wire::frame_len(octets, context.max_message).unwrap() {
        words.push(match decode(&octets[..len], &context).unwrap() {
            Message::Open(_) => "OPEN".to_owned(),
            Message::Update(_) => "UPDATE".to_owned(),
            Message::Notification(n) => format!("{}/{}", n.code, n.subcode),
            Message::Keepalive => "KEEPALIVE".to_owned(),
            Message::RouteRefresh(_) => "REFRESH".to_owned(),
        });
        octets = &octets[len..];
    }
    words
}

/// How to bring a new peer into each state of the table.
fn in_state(name: &str) -> Bench {
    let delay_open = name.starts_with("DelayOpen").then_some(Duration::from_secs(5));
    let mut bench = Bench::new(PeerConfig {
        delay_open,
        ..config()
    });
    if name == "Stopped" {
        return bench;
    }
    bench.input(Input::Start);
    match name {
        "Connect" => {}
        "Active" => bench.input(Input::ConnectFailed),
        "IdleHold" => {
            bench.connected();
            bench.receive(&notification_octets());
        }
        "DelayOpen" | "OpenSent" => bench.connected(),
        "OpenConfirm" => {
            bench.connected();
            bench.receive(&open_octets(&their_open()));
        }
        "Established" => {
            bench.connected();
            bench.receive(&open_octets(&their_open()));
            bench.receive(&keepalive_octets());
        }
        other => panic!("no state {other}"),
    }
    bench.outcome();
    bench
}

fn apply(bench: &mut Bench, event: &str) {
    match event {
        "Start" => bench.input(Input::Start),
        "Stop" => bench.input(Input::Stop(StopReason::Shutdown("maintenance".to_owned()))),
        "Connected" => bench.connected(),
        "ConnectFailed" => bench.input(Input::ConnectFailed),
        "Accepted" => bench.accepted(),
        "Closed" => bench.closed(),
        "Timeout" => bench.timeout(),
        "HoldExpires" => bench.pass(300),
        "Open" => bench.receive(&open_octets(&their_open())),
        "WrongAs" => bench.receive(&open_octets(&Open {
            asn: 65031,
            capabilities: Vec::new(),
            ..their_open()
        })),
        "Keepalive" => bench.receive(&keepalive_octets()),
        "Update" => bench.receive(&end_of_rib_octets()),
        "Refresh" => bench.receive(&refresh_octets()),
        "Notification" => bench.receive(&notification_octets()),
        "Garbage" => bench.receive(&[0x16; 40]),
        other => panic!("no event {other}"),
    }
}

const EVENTS: [&str; 15] = [
    "Start",
    "Stop",
    "Connected",
    "ConnectFailed",
    "Accepted",
    "Closed",
    "Timeout",
    "HoldExpires",
    "Open",
    "WrongAs",
    "Keepalive",
    "Update",
    "Refresh",
    "Notification",
    "Garbage",
];

/// State, then for each event: the state after it, and what the peer asked for and wrote.
///
/// A message or a close in a state without a connection has none to come from, and changes nothing.
const TABLE: &[(&str, [&str; 15])] = &[
    (
        "Stopped",
        [
            "Connect: dial",
            "Idle:",
            "Idle: close",
            "Idle:",
            "Idle: close 6/5",
            "Idle:",
            "Idle:",
            "Idle:",
            "Idle:",
            "Idle:",
            "Idle:",
            "Idle:",
            "Idle:",
            "Idle:",
            "Idle:",
        ],
    ),
    (
        "IdleHold",
        [
            "Idle:",
            "Idle:",
            "Idle: close",
            "Idle:",
            "Idle: close 6/5",
            "Idle:",
            "Connect: dial",
            "Connect: *",
            "Idle:",
            "Idle:",
            "Idle:",
            "Idle:",
            "Idle:",
            "Idle:",
            "Idle:",
        ],
    ),
    (
        "Connect",
        [
            "Connect:",
            "Idle: cancel",
            "OpenSent: OPEN",
            "Active:",
            "OpenSent: OPEN",
            "Connect:",
            "Connect: cancel dial",
            "Connect: *",
            "Connect:",
            "Connect:",
            "Connect:",
            "Connect:",
            "Connect:",
            "Connect:",
            "Connect:",
        ],
    ),
    (
        "Active",
        [
            "Active:",
            "Idle:",
            "Active: close",
            "Active:",
            "OpenSent: OPEN",
            "Active:",
            "Connect: dial",
            "Connect: *",
            "Active:",
            "Active:",
            "Active:",
            "Active:",
            "Active:",
            "Active:",
            "Active:",
        ],
    ),
    (
        "DelayOpen",
        [
            "Connect:",
            "Idle: close failed",
            "Connect: close",
            "Connect:",
            "Connect:",
            "Active: failed",
            "OpenSent: OPEN",
            "Connect: *",
            "OpenConfirm: OPEN KEEPALIVE",
            "Idle: close failed",
            "Idle: close failed",
            "Idle: close failed",
            "Idle: close failed",
            "Idle: close failed",
            "Idle: close failed",
        ],
    ),
    (
        "OpenSent",
        [
            "OpenSent:",
            "Idle: close 6/2 failed",
            "OpenSent: close",
            "OpenSent:",
            "OpenSent: OPEN",
            "Active: failed",
            "Idle: close 4/0 failed",
            "Connect: *",
            "OpenConfirm: KEEPALIVE",
            "Idle: close 2/2 failed",
            "Idle: close 5/1 failed",
            "Idle: close 5/1 failed",
            "Idle: close 5/1 failed",
            "Idle: close failed",
            "Idle: close 1/1 failed",
        ],
    ),
    (
        "OpenConfirm",
        [
            "OpenConfirm:",
            "Idle: close 6/2 failed",
            "OpenConfirm: close",
            "OpenConfirm:",
            "OpenConfirm: OPEN",
            "Idle: failed",
            "OpenConfirm: KEEPALIVE",
            "Connect: *",
            "Idle: close 5/2 failed",
            "Idle: close 5/2 failed",
            "Established: up",
            "Idle: close 5/2 failed",
            "Idle: close 5/2 failed",
            "Idle: close failed",
            "Idle: close 1/1 failed",
        ],
    ),
    (
        "Established",
        [
            "Established:",
            "Idle: close 6/2 down",
            "Established: close",
            "Established:",
            "Established: close 6/5 KEEPALIVE",
            "Idle: down",
            "Established: KEEPALIVE",
            "Connect: *",
            "Idle: close 5/3 down",
            "Idle: close 5/3 down",
            "Established:",
            "Established: eor",
            "Established: refresh",
            "Idle: close down",
            "Idle: close 1/1 down",
        ],
    ),
];

#[test]
fn every_event_in_every_state_does_what_the_rfc_says() {
    let mut wrong = Vec::new();
    for (state, row) in TABLE {
        for (event, expected) in EVENTS.iter().zip(row) {
            let mut bench = in_state(state);
            apply(&mut bench, event);
            let outcome = bench.outcome();
            let found = format!("{:?}: {outcome}", bench.peer.state());
            let matches = match expected.strip_suffix('*') {
                Some(prefix) => found.starts_with(prefix),
                None => found.trim_end() == expected.trim_end(),
            };
            if !matches {
                wrong.push(format!(
                    "{state} x {event}: expected {expected:?}, found {:?}",
                    found.trim_end()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_first_retry_is_within_two_seconds_and_none_is_later_than_three() {
    let mut bench = Bench::new(config());
    bench.input(Input::Start);
    for attempt in 0..50 {
        assert_eq!(bench.outcome(), "dial");
        let failed_at = bench.now;
        bench.input(Input::ConnectFailed);
        bench.timeout();
        let waited = bench.now - failed_at;
        let most = if attempt == 0 { 2 } else { 3 };
        assert!(
            waited <= Duration::from_secs(most),
            "attempt {attempt} waited {waited:?}"
        );
        assert!(
            waited >= Duration::from_millis(500),
            "attempt {attempt} waited {waited:?}"
        );
    }
}

#[test]
fn a_peer_that_rejects_every_open_is_not_hammered() {
    let mut bench = Bench::new(config());
    let end = bench.now + Duration::from_secs(600);
    bench.input(Input::Start);
    let mut dials = 0;
    while bench.now < end {
        dials += bench.outcome().split(' ').filter(|word| *word == "dial").count();
        if bench.peer.state() == State::Connect {
            bench.connected();
            bench.receive(&notification_octets());
        }
        bench.timeout();
    }
    assert!((40..=70).contains(&dials), "{dials} attempts in ten minutes");
}

#[test]
fn hold_time_zero_means_no_timers() {
    let mut bench = Bench::new(PeerConfig {
        hold_time: 0,
        ..config()
    });
    bench.input(Input::Start);
    bench.connected();
    bench.receive(&open_octets(&their_open()));
    bench.receive(&keepalive_octets());
    bench.outcome();
    assert_eq!(bench.peer.state(), State::Established);
    assert_eq!(bench.peer.poll_timeout(), None);
}

#[test]
fn keepalives_leave_three_times_per_hold_time() {
    let mut bench = in_state("Established");
    let end = bench.now + Duration::from_secs(60);
    let mut keepalives = 0;
    let mut gap_from = bench.now;
    while bench.now < end {
        bench.timeout();
        if bench.outcome().contains("KEEPALIVE") {
            assert!(bench.now - gap_from <= Duration::from_secs(3));
            gap_from = bench.now;
            keepalives += 1;
        }
        bench.receive(&keepalive_octets());
    }
    assert!(keepalives >= 20, "{keepalives} in a minute");
}

#[test]
fn keepalives_do_not_pile_up_behind_a_peer_that_does_not_read() {
    let mut bench = in_state("Established");
    for _ in 0..50 {
        bench.timeout();
        bench.receive(&keepalive_octets());
    }
    assert_eq!(bench.outcome(), "KEEPALIVE");
}

#[test]
fn the_send_hold_timer_ends_a_session_that_cannot_be_written_to() {
    let send_hold = Some(Duration::from_secs(20));
    let mut bench = Bench::new(PeerConfig {
        send_hold,
        ..config()
    });
    bench.input(Input::Start);
    bench.connected();
    bench.receive(&open_octets(&their_open()));
    bench.receive(&keepalive_octets());
    bench.outcome();
    let blocked_at = bench.now;
    bench.peer.written(bench.connection, 100, false, bench.now);
    let mut said = String::new();
    while bench.peer.state() == State::Established {
        bench.timeout();
        bench.receive(&keepalive_octets());
        said = bench.outcome();
    }
    assert_eq!(bench.now - blocked_at, Duration::from_secs(20));
    assert!(said.contains("8/0"), "{said}");
}

#[test]
fn an_open_without_common_family_is_answered_with_what_we_want() {
    let mut bench = in_state("OpenSent");
    let mut open = their_open();
    open.capabilities = vec![Capability::Multiprotocol(Family::Ipv6Unicast.afi_safi())];
    open.asn = 65030;
    bench.receive(&open_octets(&open));
    let event =
        std::iter::from_fn(|| bench.peer.poll_event()).find(|event| matches!(event, Event::OpenFailed(_)));
    let Some(Event::OpenFailed(DownReason::Sent(notification))) = event else {
        panic!("{event:?}")
    };
    assert_eq!((notification.code, notification.subcode), (2, 7));
    assert_eq!(notification.data, [1, 4, 0, 1, 0, 1]);
}

#[test]
fn equal_identifiers_are_legal_between_ases_and_illegal_inside_one() {
    let mut bench = in_state("OpenSent");
    bench.receive(&open_octets(&Open {
        bgp_id: ID,
        ..their_open()
    }));
    assert_eq!(bench.peer.state(), State::OpenConfirm);

    let mut bench = Bench::new(PeerConfig {
        remote_as: 65000,
        ..config()
    });
    bench.input(Input::Start);
    bench.connected();
    bench.outcome();
    let capabilities = vec![Capability::FourOctetAs(65000)];
    bench.receive(&open_octets(&Open {
        asn: 65000,
        bgp_id: ID,
        capabilities,
        ..their_open()
    }));
    assert_eq!(bench.outcome(), "close 2/3 failed");
}

/// RFC 4271 section 6.8: the connection of the higher identifier stays, in either order of events.
#[test]
fn collisions_are_decided_by_the_identifier() {
    for (their_id, dialed_stays) in [
        (Ipv4Addr::new(10, 0, 0, 1), true),
        (Ipv4Addr::new(10, 0, 0, 3), false),
    ] {
        for dialed_first in [true, false] {
            let open = open_octets(&Open {
                bgp_id: their_id,
                ..their_open()
            });
            let mut bench = in_state("Connect");
            bench.connected();
            let dialed = bench.connection;
            bench.accepted();
            let accepted = bench.connection;
            let order = if dialed_first {
                [dialed, accepted]
            } else {
                [accepted, dialed]
            };
            for connection in order {
                bench.connection = connection;
                bench.receive(&open);
            }
            let left: Vec<ConnectionId> = bench.peer.connections.iter().map(|c| c.id).collect();
            assert_eq!(
                left,
                [if dialed_stays { dialed } else { accepted }],
                "{their_id} {dialed_first}"
            );
            assert!(bench.outcome().contains("close"), "the other one is closed");
            assert_eq!(bench.peer.state(), State::OpenConfirm);
        }
    }
}

#[test]
fn an_idle_hold_grows_and_is_forgotten_after_a_session_that_lasted() {
    let policy = RetryPolicy::IDLE_HOLD;
    let mut rng = fastrand::Rng::with_seed(1);
    let delays: Vec<Duration> = (0..8).map(|failures| policy.delay(failures, &mut rng)).collect();
    assert!(delays[0] <= Duration::from_secs(1) && delays[0] >= Duration::from_millis(750));
    assert!(delays[7] <= policy.max && delays[7] >= policy.max.mul_f64(0.75));

    let mut bench = in_state("Established");
    bench.pass(1);
    for _ in 0..8 {
        bench.receive(&keepalive_octets());
        bench.pass(2);
    }
    bench.receive(&keepalive_octets());
    let lost_at = bench.now;
    bench.closed();
    bench.timeout();
    assert!(bench.now - lost_at <= Duration::from_secs(1));
    assert_eq!(bench.peer.state(), State::Connect);
}

#[test]
fn received_prefixes_are_counted_capped_and_checked() {
    let mut bench = Bench::new(PeerConfig {
        max_prefixes: 3,
        ..config()
    });
    bench.input(Input::Start);
    bench.connected();
    bench.receive(&open_octets(&their_open()));
    bench.receive(&keepalive_octets());
    bench.outcome();
    let update = |asns: Vec<u32>, prefixes: &[&str]| {
        let update = wire::Update {
            announced: prefixes.iter().map(|p| p.parse().unwrap()).collect(),
            attributes: wire::PathAttributes {
                origin: Some(wire::Origin::Igp),
                as_path: Some(wire::AsPath::sequence(asns)),
                next_hop: Some(wire::NextHop::V4(Ipv4Addr::new(10, 1, 1, 1))),
                ..Default::default()
            },
            ..Default::default()
        };
        let mut out = Vec::new();
        let context = wire::EncodeContext {
            four_octet_as: true,
            max_message: wire::MAX_MESSAGE,
        };
        assert!(wire::encode_update(&update, &context, &mut out));
        out
    };
    bench.receive(&update(vec![65030], &["192.0.2.0/24", "198.51.100.0/24"]));
    assert_eq!(bench.peer.adj_in().len_of(Family::Ipv4Unicast), 2);
    bench.receive(&update(vec![65030, 65000], &["192.0.2.0/24"]));
    bench.receive(&update(vec![64512], &["203.0.113.0/24"]));
    assert_eq!(
        (
            bench.peer.adj_in().len_of(Family::Ipv4Unicast),
            bench.peer.adj_in().rejected()
        ),
        (1, 2)
    );
    bench.receive(&update(
        vec![65030],
        &["10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"],
    ));
    assert_eq!(bench.outcome(), "limit");
    assert_eq!(
        (
            bench.peer.adj_in().len_of(Family::Ipv4Unicast),
            bench.peer.adj_in().over_limit()
        ),
        (3, 2)
    );
    assert_eq!(bench.peer.state(), State::Established);
}

/// A session that is up, of peers that both offer graceful restart; theirs with or without the N bit.
fn restartable(notification: bool) -> Bench {
    let mut bench = Bench::new(PeerConfig {
        graceful_restart: Some(GracefulRestartConfig { restart_time: 60 }),
        ..config()
    });
    establish_with_restart(&mut bench, notification);
    bench
}

fn establish_with_restart(bench: &mut Bench, notification: bool) {
    let mut open = their_open();
    open.capabilities
        .push(Capability::GracefulRestart(wire::GracefulRestart {
            restarting: false,
            notification,
            restart_time: 120,
            families: Vec::new(),
        }));
    bench.input(Input::Start);
    bench.connected();
    bench.receive(&open_octets(&open));
    bench.receive(&keepalive_octets());
    assert_eq!(bench.peer.state(), State::Established);
    let mut taken = Vec::new();
    bench.peer.poll_transmit(bench.connection, 65536, &mut taken);
}

/// The last NOTIFICATION that was to be written, as an operator reads it.
fn last_word(bench: &mut Bench) -> Option<String> {
    let mut word = None;
    while let Some(event) = bench.peer.poll_event() {
        if let Event::Close { last, .. } = event
            && !last.is_empty()
        {
            let context = crate::negotiate::initial_decode_context(&config());
            let Ok(Message::Notification(notification)) = decode(&last, &context) else {
                panic!("the last word is no NOTIFICATION: {last:02x?}");
            };
            word = Some(notification.to_string());
        }
    }
    word
}

#[test]
fn a_stop_for_restart_sends_no_notification_where_the_routes_are_kept() {
    for notification in [false, true] {
        let mut bench = restartable(notification);
        bench.input(Input::Stop(StopReason::Restart("upgrade".to_owned())));
        assert_eq!(last_word(&mut bench), None);
        assert_eq!(bench.peer.state(), State::Idle);
        assert_eq!(bench.peer.poll_timeout(), None);
    }
    let mut bench = in_state("Established");
    bench.input(Input::Stop(StopReason::Restart("upgrade".to_owned())));
    let told = last_word(&mut bench);
    assert_eq!(
        told.as_deref(),
        Some("Cease/Administrative Shutdown (\"upgrade\")")
    );
}

#[test]
fn what_must_withdraw_is_a_hard_reset_where_a_cease_would_not() {
    let shutdown = || StopReason::Shutdown("drain".to_owned());
    let cases = [
        (shutdown(), "Cease/Administrative Shutdown (\"drain\")"),
        (StopReason::Deconfigured, "Cease/Peer De-configured"),
        (StopReason::ConfigChange, "Cease/Other Configuration Change"),
        (StopReason::BfdDown, "Cease/BFD Down"),
    ];
    for (reason, word) in cases {
        let mut without = restartable(false);
        without.input(Input::Stop(reason.clone()));
        assert_eq!(last_word(&mut without).as_deref(), Some(word));
        let mut with = restartable(true);
        with.input(Input::Stop(reason));
        assert_eq!(last_word(&mut with), Some(format!("Cease/Hard Reset: {word}")));
    }
    let mut reset = restartable(true);
    reset.input(Input::Stop(StopReason::Reset("again".to_owned())));
    let told = last_word(&mut reset);
    assert_eq!(told.as_deref(), Some("Cease/Administrative Reset (\"again\")"));
}

/// R and F of the OPEN that a new connection brings.
fn restart_bits(bench: &mut Bench) -> (bool, bool) {
    bench.input(Input::Start);
    bench.connected();
    let mut out = Vec::new();
    bench.peer.poll_transmit(bench.connection, 65536, &mut out);
    let context = crate::negotiate::initial_decode_context(&config());
    let Ok(Message::Open(open)) = decode(&out, &context) else {
        panic!("no OPEN");
    };
    let restart = open.graceful_restart().unwrap();
    assert!(restart.notification && restart.restart_time == 60);
    (restart.restarting, restart.families[0].forwarding)
}

#[test]
fn the_restart_is_told_until_end_of_rib_was_sent() {
    let mut bench = Bench::new(PeerConfig {
        graceful_restart: Some(GracefulRestartConfig { restart_time: 60 }),
        ..config()
    });
    bench.peer.set_restart(RestartState {
        restarting: true,
        forwarding: false,
    });
    assert_eq!(restart_bits(&mut bench), (true, false));
    bench.input(Input::Stop(StopReason::Reset(String::new())));
    establish_with_restart(&mut bench, true);
    let mut out = Vec::new();
    bench.peer.adj_out_mut().set_open(true);
    bench.peer.poll_transmit(bench.connection, 65536, &mut out);
    bench.input(Input::Stop(StopReason::Reset(String::new())));
    assert_eq!(restart_bits(&mut bench), (true, false), "nothing is complete yet");

    bench.input(Input::Stop(StopReason::Reset(String::new())));
    establish_with_restart(&mut bench, true);
    bench.peer.adj_out_mut().set_complete();
    bench.peer.poll_transmit(bench.connection, 65536, &mut out);
    bench.input(Input::Stop(StopReason::Reset(String::new())));
    assert_eq!(restart_bits(&mut bench), (false, true));
}

#[test]
fn messages_may_arrive_octet_by_octet_or_all_at_once() {
    let mut octets = open_octets(&their_open());
    octets.extend(keepalive_octets());
    octets.extend(end_of_rib_octets());
    let mut bench = in_state("OpenSent");
    for octet in &octets {
        bench.receive(&[*octet]);
    }
    assert_eq!(bench.outcome(), "up eor KEEPALIVE");
    let mut bench = in_state("OpenSent");
    bench.receive(&octets);
    assert_eq!(bench.outcome(), "up eor KEEPALIVE");
}

#[test]
fn another_configuration_leaves_a_session_alone_and_counts_from_the_next_open_on() {
    let mut bench = in_state("Established");
    let slower = PeerConfig {
        hold_time: 30,
        passive: true,
        ..config()
    };
    bench.peer.reconfigure(slower.clone(), bench.now);
    assert_eq!(bench.peer.poll_event(), None);
    assert_eq!(bench.peer.state(), State::Established);
    assert_eq!(bench.peer.negotiated().unwrap().hold_time, 9);
    bench
        .peer
        .handle(Input::Stop(StopReason::ConfigChange), bench.now);
    bench.peer.handle(Input::Start, bench.now);
    assert_eq!(bench.peer.state(), State::Active, "passive");

    let active = PeerConfig {
        passive: false,
        ..slower
    };
    bench.peer.reconfigure(active.clone(), bench.now);
    assert_eq!(bench.peer.state(), State::Connect);
    let passive = PeerConfig {
        passive: true,
        ..active
    };
    bench.peer.reconfigure(passive, bench.now);
    assert_eq!(bench.peer.state(), State::Active);
    assert_eq!(open(bench.peer.config(), RestartState::default()).hold_time, 30);
}
