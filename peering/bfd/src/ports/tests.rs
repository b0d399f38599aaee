use std::collections::HashSet;

use super::*;

#[test]
fn ports_are_unique_and_in_range() {
    let mut ports = SourcePorts::new(1);

    let all: HashSet<u16> = std::iter::from_fn(|| ports.allocate()).collect();

    assert_eq!(all.len(), 16_384);
    assert!(all.iter().all(|port| *port >= 49_152));
    assert_eq!(ports.allocate(), None);
}

#[test]
fn a_released_port_comes_back() {
    let mut ports = SourcePorts::new(2);
    while ports.allocate().is_some() {}

    ports.release(50_000);
    ports.release(49_151);
    ports.release(0);

    assert_eq!(ports.allocate(), Some(50_000));
    assert_eq!(ports.allocate(), None);
}

#[test]
fn a_released_port_is_not_reused_at_once() {
    let mut ports = SourcePorts::new(3);
    let first = ports.allocate().unwrap();
    ports.release(first);

    assert_ne!(ports.allocate(), Some(first));
}
