use super::*;
use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL, NetlinkBuffer};

fn key(destination: &str, table: u32) -> Key {
    Key {
        destination: destination.parse().unwrap(),
        table,
        metric: 150,
    }
}

fn hop(gateway: &str, if_index: u32, weight: u8) -> RouteHop {
    RouteHop {
        gateway: gateway.parse().unwrap(),
        if_index,
        weight: NonZeroU8::new(weight).unwrap(),
        on_link: false,
    }
}

fn octets(mut message: NetlinkMessage<RouteNetlinkMessage>) -> Vec<u8> {
    message.finalize();
    let mut octets = vec![0; message.buffer_len()];
    message.serialize(&mut octets);
    octets
}

#[test]
fn what_is_asked_for_reads_the_same_back() {
    let cases = [
        (
            "0.0.0.0/0",
            254,
            vec![hop("10.1.1.1", 7, 1), hop("10.1.2.1", 8, 255)],
        ),
        ("10.0.0.0/8", 70_000, vec![hop("10.1.1.1", 7, 1)]),
        (
            "192.0.2.0/24",
            1,
            vec![hop("fe80::1", 7, 2), hop("10.1.2.1", 8, 1)],
        ),
        ("::/0", 254, vec![hop("fe80::1", 7, 1), hop("fd01::1", 0, 3)]),
        ("2001:db8::/32", 4_000_000_000, vec![hop("fe80::1", 7, 1)]),
    ];
    for (destination, table, hops) in cases {
        let key = key(destination, table);
        let octets = octets(install(&key, &hops, NLM_F_CREATE | NLM_F_EXCL));
        let message = NetlinkBuffer::new_checked(octets.as_slice()).unwrap();

        let seen = seen(message.payload()).unwrap();

        assert_eq!(
            seen,
            Seen {
                key,
                protocol: PROTOCOL,
                hops: hops.clone()
            },
            "{destination}"
        );
        assert_eq!(
            message.flags(),
            NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL
        );
    }
}

#[test]
fn only_the_hops_of_an_ipv6_route_are_named_to_remove_it() {
    for (destination, named) in [("0.0.0.0/0", false), ("::/0", true)] {
        let hops = match named {
            false => [hop("10.1.1.1", 7, 1)],
            true => [hop("fd01::1", 7, 1)],
        };
        let octets = octets(remove(&key(destination, 254), &hops));
        let message = NetlinkBuffer::new_checked(octets.as_slice()).unwrap();

        let seen = seen(message.payload()).unwrap();

        assert_eq!(seen.protocol, PROTOCOL, "never without: it would be anybody's");
        assert_eq!(seen.key.metric, 150);
        assert_eq!(seen.hops.is_empty(), !named);
    }
}

#[test]
fn what_is_cut_off_or_odd_is_no_route() {
    let whole = octets(install(
        &key("10.0.0.0/8", 254),
        &[hop("10.1.1.1", 7, 1), hop("10.1.2.1", 8, 1)],
        0,
    ));
    let payload = &whole[16..];
    let wanted = seen(payload).unwrap();
    for length in 0..payload.len() {
        // Cut between two attributes it reads like a route, but never like this one with its hops.
        assert_ne!(seen(&payload[..length]), Some(wanted.clone()), "{length}");
    }
    for index in 0..payload.len() {
        for value in [0, 1, 3, 0x7f, 0xff] {
            let mut odd = payload.to_vec();
            odd[index] = value;
            let _ = seen(&odd);
        }
    }
    // By source, by type of service, cached, of another family.
    for (index, value) in [(2, 8), (3, 4), (9, 2), (0, 28)] {
        let mut other = payload.to_vec();
        other[index] = value;
        assert_eq!(seen(&other), None, "octet {index}");
    }
}

#[test]
fn hops_are_compared_as_the_kernel_tells_them() {
    let (a, b) = (hop("10.1.1.1", 7, 1), hop("10.1.2.1", 8, 2));
    assert!(is_same(&[a, b], &[a, b]));
    assert!(is_same(&[b, a], &[a, b]), "IPv6 has an order of its own");
    assert!(is_same(&[a], &[hop("10.1.1.1", 0, 1)]), "the kernel chooses");
    assert!(
        is_same(&[hop("10.1.1.1", 7, 1)], &[hop("10.1.1.1", 7, 9)]),
        "a single hop has no weight"
    );
    for (found, wanted) in [
        (vec![a], vec![a, b]),
        (vec![a, b], vec![a]),
        (vec![], vec![a]),
        (vec![a, a], vec![a, b]),
        (vec![hop("10.1.1.1", 9, 1)], vec![a]),
        (vec![hop("10.1.1.9", 7, 1)], vec![a]),
        (vec![a, hop("10.1.2.1", 8, 3)], vec![a, b]),
    ] {
        assert!(!is_same(&found, &wanted), "{found:?} {wanted:?}");
    }
}
