use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;
use crate::State;

const LINK_LOCAL: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));

fn v4(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))
}

fn on(remote: IpAddr, interface: u32) -> PeerKey {
    PeerKey::SingleHop {
        remote,
        interface: NonZeroU32::new(interface),
    }
}

fn payload(state: State, yours: u32) -> [u8; 24] {
    let mut payload = [0; 24];
    payload[..4].copy_from_slice(&[0x20, state.to_bits() << 6, 3, 24]);
    payload[7] = 1;
    payload[8..12].copy_from_slice(&yours.to_be_bytes());
    payload
}

fn discr(value: u32) -> NonZeroU32 {
    NonZeroU32::new(value).unwrap()
}

#[test]
fn your_discriminator_decides_alone() {
    let mut demux = Demux::new(0);
    demux.insert(discr(10), on(v4(1), 2), 'a').unwrap();
    demux.insert(discr(11), on(v4(2), 2), 'b').unwrap();

    // From anywhere, even from the address of another session.
    assert_eq!(demux.select(&payload(State::Up, 10), on(v4(2), 2)), Ok('a'));
    assert_eq!(demux.select(&payload(State::Down, 11), on(v4(9), 7)), Ok('b'));
    // An unknown one is never replaced by the address.
    assert_eq!(
        demux.select(&payload(State::Up, 12), on(v4(1), 2)),
        Err(Discard::UnknownYourDiscriminator)
    );
}

#[test]
fn zero_is_for_down_and_admin_down_only() {
    let mut demux = Demux::new(0);
    demux.insert(discr(10), on(v4(1), 2), 'a').unwrap();

    for state in [State::Down, State::AdminDown] {
        assert_eq!(demux.select(&payload(state, 0), on(v4(1), 2)), Ok('a'));
        assert_eq!(
            demux.select(&payload(state, 0), on(v4(3), 2)),
            Err(Discard::NoSession)
        );
    }
    for state in [State::Init, State::Up] {
        assert_eq!(
            demux.select(&payload(state, 0), on(v4(1), 2)),
            Err(Discard::ZeroYourDiscriminator)
        );
    }
}

#[test]
fn link_local_addresses_are_told_apart_by_interface() {
    let mut demux = Demux::new(0);
    demux.insert(discr(10), on(LINK_LOCAL, 2), 'a').unwrap();
    demux.insert(discr(11), on(LINK_LOCAL, 3), 'b').unwrap();

    assert_eq!(demux.select(&payload(State::Down, 0), on(LINK_LOCAL, 2)), Ok('a'));
    assert_eq!(demux.select(&payload(State::Down, 0), on(LINK_LOCAL, 3)), Ok('b'));
    assert_eq!(
        demux.select(&payload(State::Down, 0), on(LINK_LOCAL, 4)),
        Err(Discard::NoSession)
    );
}

#[test]
fn a_session_on_any_interface_yields_to_an_exact_one() {
    let mut demux = Demux::new(0);
    demux.insert(discr(10), on(v4(1), 0), 'a').unwrap();
    demux.insert(discr(11), on(v4(1), 3), 'b').unwrap();

    assert_eq!(demux.select(&payload(State::Down, 0), on(v4(1), 2)), Ok('a'));
    assert_eq!(demux.select(&payload(State::Down, 0), on(v4(1), 3)), Ok('b'));
}

#[test]
fn multihop_looks_at_both_addresses_and_the_port() {
    let mut demux = Demux::new(0);
    let multi = |local| PeerKey::MultiHop { remote: v4(1), local };
    demux.insert(discr(10), multi(v4(8)), 'a').unwrap();
    demux.insert(discr(11), multi(v4(9)), 'b').unwrap();
    demux.insert(discr(12), on(v4(1), 2), 'c').unwrap();

    assert_eq!(demux.select(&payload(State::Down, 0), multi(v4(8))), Ok('a'));
    assert_eq!(demux.select(&payload(State::Down, 0), multi(v4(9))), Ok('b'));
    assert_eq!(
        demux.select(&payload(State::Down, 0), multi(v4(7))),
        Err(Discard::NoSession)
    );
    assert_eq!(
        demux.select(&payload(State::Up, 10), on(v4(1), 2)),
        Err(Discard::UnknownYourDiscriminator)
    );
    assert_eq!(
        demux.select(&payload(State::Up, 12), multi(v4(8))),
        Err(Discard::UnknownYourDiscriminator)
    );
}

#[test]
fn a_mapped_address_is_the_ipv4_address() {
    let mut demux = Demux::new(0);
    demux.insert(discr(10), on(v4(1), 2), 'a').unwrap();
    let mapped = IpAddr::V6(Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped());

    assert_eq!(demux.select(&payload(State::Down, 0), on(mapped, 2)), Ok('a'));
}

#[test]
fn a_taken_place_is_refused_and_a_removed_one_is_free() {
    let mut demux = Demux::new(0);
    demux.insert(discr(10), on(v4(1), 2), 'a').unwrap();

    assert_eq!(
        demux.insert(discr(10), on(v4(2), 2), 'b'),
        Err(DemuxError::Discriminator(discr(10)))
    );
    assert_eq!(
        demux.insert(discr(11), on(v4(1), 2), 'b'),
        Err(DemuxError::Peer(on(v4(1), 2)))
    );
    assert_eq!(demux.len(), 1);
    assert_eq!(demux.remove(discr(10)), Some('a'));
    assert_eq!(demux.remove(discr(10)), None);
    assert!(demux.is_empty());
    demux.insert(discr(11), on(v4(1), 2), 'b').unwrap();
}

#[test]
fn free_discriminators_are_free_and_differ_by_seed() {
    let mut demux = Demux::new(4);
    for session in 0..1_000 {
        let discriminator = demux.free_discriminator();
        let peer = PeerKey::MultiHop {
            remote: v4(1),
            local: IpAddr::V4(session.into()),
        };
        demux.insert(discriminator, peer, session).unwrap();
    }
    assert_eq!(demux.len(), 1_000);
    assert_ne!(
        Demux::<()>::new(1).free_discriminator(),
        Demux::<()>::new(2).free_discriminator()
    );
}
