use super::*;
use crate::RestartState;
use crate::{Event, Input, PeerConfig, State, StopReason};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use wire::{Capability, Family, FamilySet, HEADER_LEN, Open, encode_keepalive, encode_open};

const PATIENCE: Duration = Duration::from_secs(7);
const ID: ConnectionId = ConnectionId(1);

struct Strict {
    peer: Peer,
    now: Instant,
    written: Vec<u8>,
}

impl Strict {
    /// A peer whose OPEN is on the wire.
    fn new(hold_time: u16) -> Self {
        let config = PeerConfig {
            hold_time,
            bfd_strict: Some(PATIENCE),
            ..PeerConfig::new(
                65000,
                Ipv4Addr::new(10, 0, 0, 2),
                65030,
                FamilySet::only(Family::Ipv4Unicast),
            )
        };
        let mut strict = Self {
            peer: Peer::new(config, 7),
            now: Instant::now(),
            written: Vec::new(),
        };
        strict.input(Input::Start);
        strict.input(Input::Connected {
            connection: ID,
            local: SocketAddr::from(([10, 1, 1, 2], 40000)),
            remote: SocketAddr::from(([10, 1, 1, 1], 179)),
        });
        assert_eq!(strict.said(), [1], "an OPEN");
        strict
    }

    fn input(&mut self, input: Input<'_>) {
        self.peer.handle(input, self.now);
    }

    fn open(&mut self, strict: bool) {
        let mut capabilities = vec![
            Capability::Multiprotocol(Family::Ipv4Unicast.afi_safi()),
            Capability::FourOctetAs(65030),
        ];
        capabilities.extend(strict.then_some(Capability::BfdStrictMode));
        let open = Open {
            asn: 65030,
            hold_time: 90,
            bgp_id: Ipv4Addr::new(10, 0, 0, 1),
            capabilities,
        };
        let mut octets = Vec::new();
        encode_open(&open, &mut octets);
        self.receive(&octets);
    }

    fn receive(&mut self, data: &[u8]) {
        self.input(Input::Received { connection: ID, data });
    }

    fn keepalive(&mut self) {
        let mut octets = Vec::new();
        encode_keepalive(&mut octets);
        self.receive(&octets);
    }

    fn ready(&mut self, ready: bool) {
        self.input(Input::Bfd { ready });
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.peer.handle_timeout(self.now);
    }

    /// The types of the messages written since the last call, and code and subcode of a NOTIFICATION.
    fn said(&mut self) -> Vec<u8> {
        self.peer.poll_transmit(ID, 65536, &mut self.written);
        while let Some(event) = self.peer.poll_event() {
            if let Event::Close { last, .. } = event {
                self.written.extend(last);
            }
        }
        let octets = std::mem::take(&mut self.written);
        let mut rest = octets.as_slice();
        let mut said = Vec::new();
        while rest.len() >= HEADER_LEN {
            let len = usize::from(u16::from_be_bytes([rest[16], rest[17]]));
            said.push(rest[18]);
            if rest[18] == 3 {
                said.extend(&rest[HEADER_LEN..HEADER_LEN + 2]);
            }
            rest = &rest[len..];
        }
        said
    }
}

#[test]
fn the_capability_is_offered_and_negotiated() {
    let mut strict = Strict::new(9);
    let offered = crate::negotiate::open(strict.peer.config(), RestartState::default());
    assert!(offered.has(&Capability::BfdStrictMode));
    strict.ready(true);
    strict.open(true);
    assert_eq!(
        strict.said(),
        [4],
        "BFD is up already: nothing is withheld (section 8.5.5)"
    );
    strict.keepalive();
    assert!(strict.peer.negotiated().unwrap().bfd_strict);
    let mut lenient = Strict::new(9);
    lenient.ready(true);
    lenient.open(false);
    lenient.keepalive();
    assert!(!lenient.peer.negotiated().unwrap().bfd_strict);
}

#[test]
fn no_keepalive_leaves_before_bfd_is_up_whether_or_not_the_peer_is_strict() {
    for both in [true, false] {
        let mut strict = Strict::new(9);
        strict.open(both);
        assert_eq!((strict.said(), strict.peer.state()), (vec![], State::OpenSent));
        assert!(strict.peer.awaits_bfd());
        strict.ready(true);
        assert_eq!(
            (strict.said(), strict.peer.state()),
            (vec![4], State::OpenConfirm)
        );
        assert!(!strict.peer.awaits_bfd());
        strict.keepalive();
        assert_eq!(strict.peer.state(), State::Established);
    }
}

#[test]
fn a_peer_whose_bfd_came_up_first_is_not_asked_for_a_second_keepalive() {
    let mut strict = Strict::new(9);
    strict.open(true);
    strict.keepalive();
    strict.keepalive();
    assert_eq!(strict.peer.state(), State::OpenSent);
    strict.ready(true);
    assert_eq!(strict.said(), [4]);
    assert_eq!(strict.peer.state(), State::Established);
}

#[test]
fn the_hold_timer_bounds_the_waiting_and_the_bfd_hold_timer_does_where_there_is_none() {
    let mut strict = Strict::new(9);
    strict.open(true);
    strict.pass(PATIENCE);
    assert!(
        strict.peer.awaits_bfd(),
        "only without a hold time (section 3, 19)"
    );
    strict.pass(Duration::from_secs(2));
    assert_eq!(strict.said(), [3, 4, 0]);

    let mut without = Strict::new(0);
    without.open(true);
    without.pass(PATIENCE - Duration::from_millis(1));
    assert!(without.peer.awaits_bfd());
    without.pass(Duration::from_millis(1));
    assert_eq!(without.said(), [3, 6, 10], "Cease/BFD Down (section 8.5.3)");
    assert_eq!(without.peer.state(), State::Idle);
}

#[test]
fn bfd_that_came_up_ends_the_bfd_hold_timer() {
    let mut strict = Strict::new(0);
    strict.open(true);
    strict.ready(true);
    strict.keepalive();
    strict.pass(10 * PATIENCE);
    assert_eq!(strict.peer.state(), State::Established);
}

#[test]
fn a_second_open_while_waiting_is_an_error_of_the_state_machine() {
    let mut strict = Strict::new(9);
    strict.open(true);
    strict.open(true);
    assert_eq!(strict.said(), [3, 5, 1]);
}

#[test]
fn a_failure_of_bfd_while_waiting_or_in_open_confirm_is_told_as_such() {
    let mut strict = Strict::new(9);
    strict.open(true);
    strict.input(Input::Stop(StopReason::BfdDown));
    assert_eq!(strict.said(), [3, 6, 10]);

    let mut strict = Strict::new(9);
    strict.ready(true);
    strict.open(true);
    strict.said();
    strict.input(Input::Stop(StopReason::BfdDown));
    assert_eq!(strict.said(), [3, 6, 10]);
}

#[test]
fn bfd_that_comes_up_ends_the_pause_after_a_failed_attempt() {
    let mut strict = Strict::new(9);
    strict.open(true);
    strict.pass(Duration::from_secs(9));
    assert_eq!(strict.peer.state(), State::Idle);
    strict.said();
    strict.ready(true);
    assert_eq!(strict.peer.state(), State::Connect);
}
