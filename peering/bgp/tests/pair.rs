//! Two peers and the network between them, with a clock of their own: no sockets, no sleeping.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop at that line"
)]

use bgp::{
    ClassId, ConnectionId, DownReason, Event, ExportAttributes, GracefulRestartConfig, Input, Peer,
    PeerConfig, State, StopReason,
};
use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use wire::{Family, FamilySet, NextHop, Prefix};

const LATENCY: Duration = Duration::from_millis(2);

/// Something on its way to one of the two ends.
#[derive(Debug)]
enum Packet {
    Syn {
        connection: ConnectionId,
    },
    SynAck {
        connection: ConnectionId,
    },
    Refused,
    Data {
        connection: ConnectionId,
        octets: Vec<u8>,
    },
    Fin {
        connection: ConnectionId,
    },
}

/// Two peers, `0` and `1`. A connection has the same number at both ends.
struct Pair {
    now: Instant,
    start: Instant,
    peers: [Peer; 2],
    /// Whether the end has a listener.
    listening: [bool; 2],
    /// While cut, everything that is sent is lost.
    cut: bool,
    wire: VecDeque<(Instant, usize, Packet)>,
    open: [BTreeMap<ConnectionId, ()>; 2],
    next_connection: u64,
    events: [Vec<Event>; 2],
    /// Octets that an end may write per round; a slow reader on the other side.
    budget: usize,
    largest_gap: [Duration; 2],
    last_data: [Option<Instant>; 2],
}

impl Pair {
    fn new(configs: [PeerConfig; 2]) -> Self {
        let now = Instant::now();
        let [a, b] = configs;
        Self {
            now,
            start: now,
            peers: [Peer::new(a, 1), Peer::new(b, 2)],
            listening: [true, true],
            cut: false,
            wire: VecDeque::new(),
            open: [BTreeMap::new(), BTreeMap::new()],
            next_connection: 0,
            events: [Vec::new(), Vec::new()],
            budget: 65536,
            largest_gap: [Duration::ZERO; 2],
            last_data: [None; 2],
        }
    }

    fn start(&mut self) {
        for end in 0..2 {
            self.peers[end].handle(Input::Start, self.now);
        }
    }

    fn address(end: usize) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::new(10, 1, 1, end as u8 + 1), 179))
    }

    fn send(&mut self, to: usize, packet: Packet) {
        if !self.cut {
            self.wire.push_back((self.now + LATENCY, to, packet));
        }
    }

    /// Moves everything that can move now; then jumps to the next moment. Returns `false` at rest.
    fn step(&mut self) -> bool {
        self.settle();
        let arrival = self.wire.iter().map(|(at, _, _)| *at).min();
        let timers = self.peers.iter().filter_map(Peer::poll_timeout);
        let Some(next) = timers.chain(arrival).min() else {
            return false;
        };
        self.now = self.now.max(next);
        while let Some(index) = self.wire.iter().position(|(at, _, _)| *at <= self.now) {
            let (_, to, packet) = self.wire.remove(index).unwrap();
            self.deliver(to, packet);
        }
        for peer in &mut self.peers {
            peer.handle_timeout(self.now);
        }
        true
    }

    fn settle(&mut self) {
        for end in 0..2 {
            loop {
                let mut moved = false;
                while let Some(event) = self.peers[end].poll_event() {
                    moved = true;
                    self.event(end, event);
                }
                let connections: Vec<ConnectionId> = self.open[end].keys().copied().collect();
                for connection in connections {
                    let mut octets = Vec::new();
                    if self.peers[end].poll_transmit(connection, self.budget, &mut octets) {
                        self.peers[end].written(connection, 0, true, self.now);
                        self.send(1 - end, Packet::Data { connection, octets });
                        moved = self.budget > 60000;
                    }
                }
                if !moved {
                    break;
                }
            }
        }
    }

    fn event(&mut self, end: usize, event: Event) {
        match event {
            Event::Dial => {
                self.next_connection += 1;
                let connection = ConnectionId(self.next_connection);
                self.send(1 - end, Packet::Syn { connection });
            }
            Event::Close { connection, last } => {
                if self.open[end].remove(&connection).is_some() {
                    if !last.is_empty() {
                        self.send(
                            1 - end,
                            Packet::Data {
                                connection,
                                octets: last,
                            },
                        );
                    }
                    self.send(1 - end, Packet::Fin { connection });
                }
            }
            Event::CancelDial => {}
            event @ (Event::Established { .. }
            | Event::Down(_)
            | Event::OpenFailed(_)
            | Event::RefreshRequested(_)
            | Event::EndOfRib(_)
            | Event::MalformedUpdate(_)
            | Event::PrefixLimit) => self.events[end].push(event),
        }
    }

    fn deliver(&mut self, to: usize, packet: Packet) {
        let (local, remote) = (Self::address(to), Self::address(1 - to));
        let now = self.now;
        match packet {
            Packet::Syn { .. } if !self.listening[to] => self.send(1 - to, Packet::Refused),
            Packet::Syn { connection } => {
                self.open[to].insert(connection, ());
                self.send(1 - to, Packet::SynAck { connection });
                self.peers[to].handle(
                    Input::Accepted {
                        connection,
                        local,
                        remote,
                    },
                    now,
                );
            }
            Packet::SynAck { connection } => {
                self.open[to].insert(connection, ());
                self.peers[to].handle(
                    Input::Connected {
                        connection,
                        local,
                        remote,
                    },
                    now,
                );
            }
            Packet::Refused => self.peers[to].handle(Input::ConnectFailed, now),
            Packet::Data { connection, octets } => {
                if let Some(last) = self.last_data[to].replace(now) {
                    self.largest_gap[to] = self.largest_gap[to].max(now - last);
                }
                if self.open[to].contains_key(&connection) {
                    self.peers[to].handle(
                        Input::Received {
                            connection,
                            data: &octets,
                        },
                        now,
                    );
                } else {
                    self.send(1 - to, Packet::Fin { connection });
                }
            }
            Packet::Fin { connection } => {
                if self.open[to].remove(&connection).is_some() {
                    self.peers[to].handle(
                        Input::Closed {
                            connection,
                            reason: "closed".to_owned(),
                        },
                        now,
                    );
                }
            }
        }
    }

    fn run_until(&mut self, seconds: u64, done: impl Fn(&Self) -> bool) -> Duration {
        let end = self.now + Duration::from_secs(seconds);
        let mut steps = 0;
        loop {
            self.settle();
            if done(self) {
                return self.now - self.start;
            }
            steps += 1;
            assert!(steps < 200_000, "the two never come to rest");
            assert!(
                self.step() && self.now <= end,
                "not within {seconds} s: {:?}",
                self.states()
            );
        }
    }

    fn run_for(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while self.now < end && self.step() {}
    }

    fn states(&self) -> [State; 2] {
        [self.peers[0].state(), self.peers[1].state()]
    }

    fn is_up(&self) -> bool {
        self.states() == [State::Established; 2]
    }

    /// The end forgets everything without a word to the other, as after a power cut.
    fn reboot(&mut self, end: usize) {
        let config = self.peers[end].config().clone();
        self.peers[end] = Peer::new(config, 99);
        self.open[end].clear();
        self.peers[end].handle(Input::Start, self.now);
    }
}

fn configs() -> [PeerConfig; 2] {
    let families = FamilySet::ALL;
    [
        PeerConfig {
            hold_time: 9,
            ..PeerConfig::new(65000, Ipv4Addr::new(10, 0, 0, 1), 65030, families)
        },
        PeerConfig {
            hold_time: 30,
            ..PeerConfig::new(65030, Ipv4Addr::new(10, 0, 0, 2), 65000, families)
        },
    ]
}

fn announce(peer: &mut Peer, count: u32) {
    let next_hop_v4 = Some(NextHop::V4(Ipv4Addr::new(10, 1, 1, 1)));
    let adj_out = peer.adj_out_mut();
    adj_out
        .define(
            ClassId::DEFAULT,
            ExportAttributes {
                next_hop_v4,
                ..Default::default()
            },
        )
        .unwrap();
    for number in 0..count {
        adj_out.set(
            Prefix::host(Ipv4Addr::from_bits(0x0a10_0000 + number).into()),
            Some(ClassId::DEFAULT),
        );
    }
    adj_out.set_open(true);
    adj_out.set_complete();
}

#[test]
fn both_dial_at_once_and_one_connection_is_left() {
    for seed in 0..20 {
        let mut pair = Pair::new(configs());
        pair.peers[1] = Peer::new(configs()[1].clone(), seed);
        pair.start();
        pair.run_until(5, Pair::is_up);
        pair.run_for(60);
        assert!(pair.is_up());
        assert_eq!((pair.open[0].len(), pair.open[1].len()), (1, 1));
        let hold = pair.peers[1].negotiated().unwrap().hold_time;
        assert_eq!(hold, 9, "the smaller of the two");
        assert!(
            pair.events
                .iter()
                .all(|events| !events.iter().any(|event| matches!(event, Event::Down(_))))
        );
    }
}

#[test]
fn one_side_alone_may_dial() {
    for passive in 0..2 {
        let mut configs = configs();
        configs[passive].passive = true;
        let mut pair = Pair::new(configs);
        pair.listening[1 - passive] = false;
        pair.start();
        pair.run_until(3, Pair::is_up);
    }
}

#[test]
fn a_silent_cut_is_found_by_the_hold_timer_and_healed() {
    let mut pair = Pair::new(configs());
    pair.start();
    pair.run_until(5, Pair::is_up);
    pair.cut = true;
    let cut_at = pair.now;
    pair.run_until(20, |pair| {
        pair.states().iter().all(|state| *state != State::Established)
    });
    let waited = pair.now - cut_at;
    assert!(
        waited >= Duration::from_secs(6) && waited <= Duration::from_secs(10),
        "{waited:?}"
    );
    pair.run_for(120);
    pair.cut = false;
    let healed_at = pair.now;
    pair.run_until(5, Pair::is_up);
    assert!(pair.now - healed_at <= Duration::from_secs(5));
}

#[test]
fn a_peer_that_reboots_is_met_again_at_once() {
    let mut pair = Pair::new(configs());
    pair.start();
    pair.run_until(5, Pair::is_up);
    pair.run_for(30);
    pair.reboot(1);
    let back_at = pair.now;
    pair.run_until(5, |pair| {
        pair.is_up() && pair.events[0].iter().any(|event| matches!(event, Event::Down(_)))
    });
    assert!(pair.now - back_at <= Duration::from_secs(5));
}

#[test]
fn with_graceful_restart_the_new_connection_replaces_the_old_without_a_notification() {
    let mut configs = configs();
    for config in &mut configs {
        config.graceful_restart = Some(GracefulRestartConfig { restart_time: 60 });
        config.families = FamilySet::only(Family::Ipv4Unicast);
    }
    let mut pair = Pair::new(configs);
    pair.start();
    pair.run_until(5, Pair::is_up);
    pair.run_for(30);
    // The old connection is silent for ever; only the new one speaks.
    let old: Vec<ConnectionId> = pair.open[1].keys().copied().collect();
    pair.reboot(1);
    pair.events[0].clear();
    pair.run_until(5, |pair| {
        pair.events[0]
            .iter()
            .any(|event| matches!(event, Event::Established { .. }))
    });
    let reasons: Vec<&Event> = pair.events[0]
        .iter()
        .filter(|event| matches!(event, Event::Down(_)))
        .collect();
    assert!(
        matches!(
            reasons[..],
            [Event::Down(
                DownReason::PeerRestarted | DownReason::ConnectionLost(_)
            )]
        ),
        "{reasons:?}"
    );
    assert!(
        old.iter()
            .all(|connection| !pair.open[0].contains_key(connection))
    );
}

#[test]
fn a_large_table_arrives_whole_and_keepalives_pass_it() {
    let mut configs = configs();
    configs[1].max_prefixes = 200_000;
    let mut pair = Pair::new(configs);
    announce(&mut pair.peers[0], 100_000);
    // A reader that takes about one message in each round trip.
    pair.budget = 1;
    pair.start();
    pair.run_until(120, |pair| {
        pair.peers[1].adj_in().len_of(Family::Ipv4Unicast) == 100_000
    });
    pair.run_until(30, |pair| {
        pair.events[1].contains(&Event::EndOfRib(Family::Ipv4Unicast))
    });
    assert!(
        pair.largest_gap[1] <= Duration::from_secs(3),
        "{:?}",
        pair.largest_gap[1]
    );
    assert_eq!(pair.peers[0].adj_out().sent_len(Family::Ipv4Unicast), 100_000);
}

#[test]
fn a_shutdown_reaches_the_other_side_with_its_text() {
    let mut pair = Pair::new(configs());
    pair.start();
    pair.run_until(5, Pair::is_up);
    let now = pair.now;
    pair.peers[0].handle(
        Input::Stop(StopReason::Shutdown("rack 7 is moved".to_owned())),
        now,
    );
    pair.run_until(5, |pair| pair.peers[1].state() != State::Established);
    let Some((_, DownReason::Received(notification))) = pair.peers[1].last_down() else {
        panic!()
    };
    assert_eq!(
        notification.to_string(),
        "Cease/Administrative Shutdown (\"rack 7 is moved\")"
    );
    pair.run_for(300);
    assert_eq!(pair.peers[0].state(), State::Idle);
    pair.peers[0].handle(Input::Start, pair.now);
    pair.run_until(20, Pair::is_up);
}

#[test]
fn a_wrong_as_is_refused_with_back_off_and_a_corrected_one_is_met() {
    let mut configs = configs();
    configs[0].remote_as = 64999;
    let mut pair = Pair::new(configs);
    pair.start();
    pair.run_for(300);
    let attempts = pair.events[0].len() + pair.events[1].len();
    assert!(attempts < 400, "{attempts} attempts in five minutes");
    assert!(pair.events[0].iter().any(|event| {
        matches!(event, Event::OpenFailed(DownReason::Sent(n)) if (n.code, n.subcode) == (2, 2))
    }));
}

/// Random cuts, reboots and stops: afterwards the two always find each other, and the table is whole.
#[test]
fn after_any_trouble_the_session_and_the_table_are_back() {
    for seed in 0..60 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut pair = Pair::new(configs());
        announce(&mut pair.peers[0], 50);
        pair.start();
        for _ in 0..12 {
            let now = pair.now;
            match rng.u8(..6) {
                0 => pair.cut = true,
                1 => pair.cut = false,
                2 => pair.reboot(1),
                3 => pair.peers[0].handle(Input::Stop(StopReason::Reset(String::new())), now),
                4 => pair.peers[0].handle(Input::Start, now),
                _ => pair.listening[1] = rng.bool(),
            }
            for _ in 0..rng.usize(..200) {
                pair.step();
            }
        }
        pair.cut = false;
        pair.listening = [true, true];
        let now = pair.now;
        pair.peers[0].handle(Input::Start, now);
        pair.run_until(60, |pair| {
            pair.is_up() && pair.peers[1].adj_in().len_of(Family::Ipv4Unicast) == 50
        });
        pair.run_for(30);
        assert!(pair.is_up(), "seed {seed}: {:?}", pair.states());
    }
}
