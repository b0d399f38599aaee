//! Peers that do it wrong: each gets the answer that the RFCs ask for, and the other plane notices nothing.

use anyhow::ensure;
use lab::Lab;
use lab::clab::Role;
use lab::daemons::frr::{self, Frr, Session};
use lab::rawpeer::{Heard, KEEPALIVE, OPEN, OpenMessage, RawPeer, UPDATE, message};

use lab::wait::{self, PATIENCE};

use crate::support::{Agent, WEB, WEB_V4, ip};

const IPV4: (u16, u8) = (1, 1);
const IPV6: (u16, u8) = (2, 1);
const CONNECTION_REJECTED: [u8; 2] = [6, 5];

/// `dual-tor` in which tor2 is a good switch, and tor1 is whatever the test makes of it.
struct Rack {
    lab: Lab,
    before: Session,
}

impl Rack {
    fn up() -> Self {
        let lab = Lab::builder("dual-tor")
            .without(Role::Twintor)
            .without(Role::Frr)
            .up()
            .unwrap();
        frr::start_node(&lab, "tor2", &lab.file().topology.nodes["tor2"]).unwrap();
        let manifests = Agent::new(&["10.1.1.1", "10.1.2.1"]).start(&lab);
        manifests.pod(&WEB).unwrap();
        Frr::of(&lab, "tor2")
            .wait_installed(WEB_V4, &["10.1.2.2"])
            .unwrap();
        let before = Frr::of(&lab, "tor2").session("10.1.2.2").unwrap();
        Self { lab, before }
    }

    fn connect(&self) -> RawPeer {
        RawPeer::connect(&self.lab.netns("tor1"), ip("10.1.1.2")).unwrap()
    }

    fn session(&self, open: &OpenMessage) -> RawPeer {
        RawPeer::session(&self.lab.netns("tor1"), ip("10.1.1.2"), open)
            .unwrap()
            .0
    }

    /// Connects, says this, and returns the NOTIFICATION that it earns. After an error the speaker refuses the peer for
    /// a while, and that is waited for.
    fn answer_to(&self, bytes: &[u8]) -> Vec<u8> {
        wait::until("the speaker hears this peer out", PATIENCE, || {
            let mut peer = self.connect();
            // A refusing speaker may be gone before everything is said.
            let _ = peer.send(bytes);
            let answer = peer.hear_notification()?;
            ensure!(peer.hear()? == Heard::Closed, "open after a NOTIFICATION");
            Ok((answer[..2] != CONNECTION_REJECTED).then_some(answer))
        })
        .unwrap()
    }

    fn assert_other_plane_undisturbed(&self) {
        let tor2 = Frr::of(&self.lab, "tor2");
        assert!(
            tor2.session("10.1.2.2").unwrap().is_still(&self.before),
            "the other plane was disturbed"
        );
        tor2.wait_installed(WEB_V4, &["10.1.2.2"]).unwrap();
    }
}

fn open() -> OpenMessage {
    OpenMessage {
        asn: 65030,
        hold: 9,
        id: [10, 255, 0, 1].into(),
        families: vec![IPV4],
    }
}

#[test]
fn a_bad_open_earns_its_notification() {
    let rack = Rack::up();
    let wrong_as = OpenMessage { asn: 65031, ..open() };
    assert_eq!(
        rack.answer_to(&wrong_as.encode().unwrap())[..2],
        [2, 2],
        "wrong AS"
    );
    let hold = OpenMessage { hold: 1, ..open() };
    assert_eq!(
        rack.answer_to(&hold.encode().unwrap())[..2],
        [2, 6],
        "hold time of one second"
    );
    let family = OpenMessage {
        families: vec![IPV6],
        ..open()
    };
    assert_eq!(
        rack.answer_to(&family.encode().unwrap())[..2],
        [2, 7],
        "no common family"
    );
    let id = OpenMessage {
        id: [0, 0, 0, 0].into(),
        ..open()
    };
    assert_eq!(
        rack.answer_to(&id.encode().unwrap())[..2],
        [2, 3],
        "identifier zero"
    );
    let mut version = open().encode().unwrap();
    version[19] = 3;
    assert_eq!(rack.answer_to(&version), [2, 1, 0, 4], "version three");
    rack.assert_other_plane_undisturbed();
}

#[test]
fn garbage_on_the_port_earns_its_notification() {
    let rack = Rack::up();
    let noise = b"GET / HTTP/1.1\r\nHost: node1\r\n\r\n";
    assert_eq!(rack.answer_to(noise)[..2], [1, 1], "no marker");
    let mut short = message(OPEN, &[]).unwrap();
    short[16..18].copy_from_slice(&[0, 18]);
    assert_eq!(
        rack.answer_to(&short),
        [1, 2, 0, 18],
        "a length below the header's"
    );
    let unknown = message(9, &[]).unwrap();
    assert_eq!(rack.answer_to(&unknown), [1, 3, 9], "an unknown type");
    rack.assert_other_plane_undisturbed();
}

#[test]
fn a_peer_that_falls_silent_is_told_so() {
    let rack = Rack::up();
    let mut peer = rack.session(&OpenMessage { hold: 3, ..open() });
    assert_eq!(peer.hear_notification().unwrap(), [4, 0], "hold timer expired");
    assert_eq!(peer.hear().unwrap(), Heard::Closed);
    rack.assert_other_plane_undisturbed();
}

#[test]
fn an_update_that_cannot_be_read_ends_only_its_own_session() {
    let rack = Rack::up();
    let mut peer = rack.session(&open());
    // Withdrawn routes of 255 bytes in a message that has none.
    peer.send_message(UPDATE, &[0, 255, 0, 0]).unwrap();
    assert_eq!(
        peer.hear_notification().unwrap()[..2],
        [3, 1],
        "malformed attribute list"
    );
    rack.assert_other_plane_undisturbed();
}

#[test]
fn an_established_peer_gets_the_routes_and_the_end_of_rib() {
    let rack = Rack::up();
    let mut peer = rack.session(&open());
    let mut updates = Vec::new();
    while updates.last() != Some(&vec![0; 4]) {
        match peer.hear().unwrap() {
            Heard::Message(UPDATE, body) => updates.push(body),
            Heard::Message(KEEPALIVE, _) => {}
            other @ (Heard::Message(..) | Heard::Closed) => panic!("instead of an UPDATE: {other:02x?}"),
        }
    }
    assert_eq!(updates.len(), 2, "one UPDATE and the End-of-RIB: {updates:02x?}");
    assert!(
        updates[0].ends_with(&[32, 10, 16, 0, 10]),
        "the prefix: {:02x?}",
        updates[0]
    );
    let next_hop = [0x40, 3, 4, 10, 1, 1, 2];
    assert!(
        updates[0].windows(7).any(|bytes| bytes == next_hop),
        "the next hop: {:02x?}",
        updates[0]
    );
    rack.assert_other_plane_undisturbed();
}
