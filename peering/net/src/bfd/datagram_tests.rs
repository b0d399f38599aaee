use super::*;

/// A control message as the kernel lays it out.
fn message(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    message.extend((16 + data.len()).to_ne_bytes());
    message.extend(level.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(data);
    message.resize(message.len().next_multiple_of(8), 0);
    message
}

fn name_v4() -> Vec<u8> {
    let mut name = vec![0; 16];
    name[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
    name[2..4].copy_from_slice(&50_000_u16.to_be_bytes());
    name[4..8].copy_from_slice(&[10, 0, 0, 7]);
    name
}

fn name_v6() -> Vec<u8> {
    let mut name = vec![0; 28];
    name[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
    name[2..4].copy_from_slice(&50_000_u16.to_be_bytes());
    name[8..24].copy_from_slice(&"fd00::7".parse::<Ipv6Addr>().unwrap().octets());
    name
}

fn read<'a>(name: &'a [u8], control: &'a [u8]) -> Option<Datagram<'a>> {
    Datagram::read(RawDatagram {
        payload: b"bfd",
        name,
        control,
    })
}

#[test]
fn ipv4_is_read() {
    let mut control = message(libc::IPPROTO_IP, libc::IP_TTL, &254_i32.to_ne_bytes());
    let info = [&3_i32.to_ne_bytes()[..], &[10, 0, 0, 1], &[10, 0, 0, 2]].concat();
    control.extend(message(libc::IPPROTO_IP, libc::IP_PKTINFO, &info));
    let stamp = [1_700_000_000_i64.to_ne_bytes(), 5_i64.to_ne_bytes()].concat();
    control.extend(message(libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS, &stamp));
    control.extend(message(libc::SOL_SOCKET, libc::SO_RXQ_OVFL, &9_u32.to_ne_bytes()));

    assert_eq!(
        read(&name_v4(), &control),
        Some(Datagram {
            payload: b"bfd",
            source: "10.0.0.7:50000".parse().unwrap(),
            destination: Some("10.0.0.2".parse().unwrap()),
            interface: NonZeroU32::new(3),
            ttl: Some(254),
            stamp: Some(Duration::new(1_700_000_000, 5)),
            dropped: Some(9),
        })
    );
}

#[test]
fn ipv6_is_read() {
    let mut control = message(libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT, &255_i32.to_ne_bytes());
    let address: Ipv6Addr = "fd00::2".parse().unwrap();
    let info = [&address.octets()[..], &4_i32.to_ne_bytes()].concat();
    control.extend(message(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info));

    let name = name_v6();
    let datagram = read(&name, &control).unwrap();

    assert_eq!(datagram.source, "[fd00::7]:50000".parse().unwrap());
    assert_eq!(datagram.destination, Some(address.into()));
    assert_eq!(datagram.interface, NonZeroU32::new(4));
    assert_eq!(datagram.ttl, Some(255));
    assert_eq!((datagram.stamp, datagram.dropped), (None, None));
}

#[test]
fn nothing_cut_short_or_unreasonable_is_believed() {
    let whole = message(libc::IPPROTO_IP, libc::IP_TTL, &255_i32.to_ne_bytes());
    for len in 0..20 {
        let name = name_v4();
        assert_eq!(read(&name, &whole[..len]).unwrap().ttl, None, "{len}");
    }
    for ttl in [-1_i32, 256, i32::MAX] {
        let control = message(libc::IPPROTO_IP, libc::IP_TTL, &ttl.to_ne_bytes());
        assert_eq!(read(&name_v4(), &control).unwrap().ttl, None);
    }
    for stamp in [[-1, 0], [0, -1], [0, 1_000_000_000]] {
        let data = stamp.map(i64::to_ne_bytes).concat();
        let control = message(libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS, &data);
        assert_eq!(read(&name_v4(), &control).unwrap().stamp, None);
    }
}

#[test]
fn message_that_lies_about_its_length_ends_the_reading() {
    for length in [0_usize, 1, 15, 100, usize::MAX] {
        let mut control = message(libc::IPPROTO_IP, libc::IP_TTL, &255_i32.to_ne_bytes());
        control[..8].copy_from_slice(&length.to_ne_bytes());
        assert_eq!(read(&name_v4(), &control).unwrap().ttl, None);
    }
}

#[test]
fn source_of_another_family_is_nobody() {
    assert_eq!(read(&[], &[]), None);
    assert_eq!(read(&name_v4()[..7], &[]), None);
    assert_eq!(read(&name_v6()[..23], &[]), None);
    let mut unix = name_v4();
    unix[..2].copy_from_slice(&(libc::AF_UNIX as u16).to_ne_bytes());
    assert_eq!(read(&unix, &[]), None);
}
