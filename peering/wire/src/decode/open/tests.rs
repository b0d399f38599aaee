use crate::test_support::{EBGP, message, open};
use crate::{
    AfiSafi, Capability, Family, FamilySet, GracefulRestart, GracefulRestartFamily, LongLivedFamily, Message,
    Notification, Open, decode,
};

const IPV4: AfiSafi = Family::Ipv4Unicast.afi_safi();
const IPV6: AfiSafi = Family::Ipv6Unicast.afi_safi();

fn decoded(frame: &[u8]) -> Result<Open, Notification> {
    let Message::Open(open) = decode(frame, &EBGP)? else {
        panic!("not an OPEN");
    };
    Ok(open)
}

/// The capabilities of an OPEN with one parameter of these octets.
fn capabilities(octets: &[u8]) -> Result<Vec<Capability>, Notification> {
    let len = octets.len() as u8;
    let parameters = [&[len + 2, 2, len], octets].concat();
    decoded(&open(&parameters)).map(|open| open.capabilities)
}

#[test]
fn the_fixed_fields() {
    let open = decoded(&open(&[0])).unwrap();

    assert_eq!(open.asn, 65001);
    assert_eq!(open.hold_time, 90);
    assert_eq!(open.bgp_id.to_string(), "192.0.2.1");
    assert_eq!(open.capabilities, []);
    // RFC 4760 section 8
    assert_eq!(open.families(), FamilySet::only(Family::Ipv4Unicast));
}

#[test]
fn another_version_is_told_ours() {
    for version in [0, 3, 5, 255] {
        let frame = message(1, &[version, 0xfd, 0xe9, 0, 90, 192, 0, 2, 1, 0]);
        assert_eq!(decoded(&frame), Err(Notification::with_data(2, 1, vec![0, 4])));
    }
}

#[test]
fn unacceptable_fixed_fields() {
    // RFC 7607, RFC 4271 section 6.2, RFC 6286
    let as_zero = message(1, &[4, 0, 0, 0, 90, 192, 0, 2, 1, 0]);
    assert_eq!(decoded(&as_zero), Err(Notification::new(2, 2)));
    for hold_time in [1, 2] {
        let frame = message(1, &[4, 0xfd, 0xe9, 0, hold_time, 192, 0, 2, 1, 0]);
        assert_eq!(decoded(&frame), Err(Notification::new(2, 6)));
    }
    let no_id = message(1, &[4, 0xfd, 0xe9, 0, 90, 0, 0, 0, 0, 0]);
    assert_eq!(decoded(&no_id), Err(Notification::new(2, 3)));
}

#[test]
fn hold_times_that_are_fine() {
    for (high, low, seconds) in [(0, 0, 0), (0, 3, 3), (0xff, 0xff, 65535)] {
        let frame = message(1, &[4, 0xfd, 0xe9, high, low, 192, 0, 2, 1, 0]);
        assert_eq!(decoded(&frame).unwrap().hold_time, seconds);
    }
}

#[test]
fn every_known_capability() {
    #[rustfmt::skip]
    let octets = [
        1, 4, 0, 2, 0, 1,
        2, 0,
        5, 6, 0, 1, 0, 1, 0, 2,
        6, 0,
        64, 10, 0xc0, 120, 0, 1, 1, 0x80, 0, 2, 1, 0,
        65, 4, 0, 1, 0, 2,
        70, 0,
        71, 7, 0, 1, 1, 0x80, 0, 0x0e, 0x10,
        73, 8, 4, b'n', b'o', b'd', b'e', 2, b'l', b'a',
        74, 0,
        9, 1, 3,
    ];
    let families = vec![
        GracefulRestartFamily {
            family: IPV4,
            forwarding: true,
        },
        GracefulRestartFamily {
            family: IPV6,
            forwarding: false,
        },
    ];
    let expected = vec![
        Capability::Multiprotocol(IPV6),
        Capability::RouteRefresh,
        Capability::ExtendedNextHop(vec![(IPV4, 2)]),
        Capability::ExtendedMessage,
        Capability::GracefulRestart(GracefulRestart {
            restarting: true,
            notification: true,
            restart_time: 120,
            families,
        }),
        Capability::FourOctetAs(65538),
        Capability::EnhancedRouteRefresh,
        Capability::LongLivedGracefulRestart(vec![LongLivedFamily {
            family: IPV4,
            forwarding: true,
            stale_time: 3600,
        }]),
        Capability::Fqdn {
            host: "node".to_owned(),
            domain: "la".to_owned(),
        },
        Capability::BfdStrictMode,
        Capability::Unknown {
            code: 9,
            value: vec![3],
        },
    ];

    assert_eq!(capabilities(&octets), Ok(expected));
}

#[test]
fn the_real_as_number_is_in_the_capability() {
    let frame = open(&[8, 2, 6, 65, 4, 0, 1, 0, 2]);
    let open = decoded(&frame).unwrap();
    assert_eq!(open.asn, 65538);
    assert!(open.four_octet_as());
}

#[test]
fn as_zero_in_the_capability_is_a_bad_peer_as() {
    assert_eq!(capabilities(&[65, 4, 0, 0, 0, 0]), Err(Notification::new(2, 2)));
}

#[test]
fn duplicates_and_several_parameters_are_fine() {
    // RFC 5492 section 4
    let frame = open(&[16, 2, 6, 1, 4, 0, 1, 0, 1, 2, 6, 1, 4, 0, 1, 0, 1]);
    let expected = [Capability::Multiprotocol(IPV4), Capability::Multiprotocol(IPV4)];
    assert_eq!(decoded(&frame).unwrap().capabilities, expected);
}

#[test]
fn the_last_graceful_restart_capability_counts() {
    // RFC 4724 section 3
    let frame = open(&[10, 2, 8, 64, 2, 0, 10, 64, 2, 0, 20]);
    let open = decoded(&frame).unwrap();
    assert_eq!(open.graceful_restart().unwrap().restart_time, 20);
}

#[test]
fn a_malformed_capability_is_ignored() {
    let malformed: [&[u8]; 12] = [
        &[1, 3, 0, 1, 0],
        &[1, 5, 0, 1, 0, 1, 0],
        &[2, 1, 0],
        &[5, 5, 0, 1, 0, 1, 0],
        &[6, 1, 0],
        &[64, 0],
        &[64, 3, 0, 0, 0],
        &[64, 5, 0, 0, 0, 1, 1],
        &[70, 1, 1],
        &[71, 6, 0, 1, 1, 0, 0, 0],
        &[73, 2, 4, b'n'],
        &[73, 0],
    ];
    for octets in malformed {
        let expected = Capability::Unknown {
            code: octets[0],
            value: octets[2..].to_vec(),
        };
        assert_eq!(capabilities(octets), Ok(vec![expected]));
    }
}

#[test]
fn a_malformed_as_capability_is_not_ignored() {
    for octets in [&[65, 0][..], &[65, 2, 0, 1], &[65, 5, 0, 0, 0, 1, 0]] {
        assert_eq!(capabilities(octets), Err(Notification::new(2, 0)));
    }
}

#[test]
fn a_name_that_is_not_utf8_is_replaced() {
    let expected = Capability::Fqdn {
        host: "a\u{fffd}b".to_owned(),
        domain: String::new(),
    };
    assert_eq!(capabilities(&[73, 5, 3, b'a', 0xff, b'b', 0]), Ok(vec![expected]));
}

#[test]
fn a_long_replaced_name_stays_within_255_octets() {
    let octets = [&[73, 242, 240][..], &[0xff; 240], &[0]].concat();
    let capabilities = capabilities(&octets).unwrap();
    let [Capability::Fqdn { host, .. }] = capabilities.as_slice() else {
        panic!("not a name: {capabilities:?}");
    };
    assert_eq!(host.len(), 255);
}

#[test]
fn an_unknown_parameter_is_refused() {
    for kind in [0, 1, 3, 254] {
        assert_eq!(decoded(&open(&[2, kind, 0])), Err(Notification::new(2, 4)));
    }
}

#[test]
fn parameter_lengths_that_do_not_add_up_are_malformed() {
    let malformed: [&[u8]; 9] = [
        &[1],
        &[0, 0],
        &[1, 2],
        &[2, 2, 1],
        &[3, 2, 1, 2],
        &[3, 2, 1, 2, 0],
        &[4, 2, 2, 2, 1],
        &[5, 2, 2, 2, 0],
        &[4, 2, 2, 2, 0, 0],
    ];
    for parameters in malformed {
        assert_eq!(
            decoded(&open(parameters)),
            Err(Notification::new(2, 0)),
            "{parameters:?}"
        );
    }
}

#[test]
fn extended_parameters() {
    // RFC 9072 section 2: the one-octet length is ignored unless it is zero.
    for ignored in [255, 1, 9] {
        let frame = open(&[ignored, 255, 0, 9, 2, 0, 6, 1, 4, 0, 1, 0, 1]);
        let expected = [Capability::Multiprotocol(IPV4)];
        assert_eq!(decoded(&frame).unwrap().capabilities, expected);
    }
    let empty = open(&[255, 255, 0, 0]);
    assert_eq!(decoded(&empty).unwrap().capabilities, []);
}

#[test]
fn malformed_extended_parameters() {
    let malformed: [&[u8]; 5] = [
        &[255, 255],
        &[255, 255, 0],
        &[255, 255, 0, 1],
        &[255, 255, 0, 3, 2, 0, 1],
        &[255, 255, 0, 0, 0],
    ];
    for parameters in malformed {
        assert_eq!(
            decoded(&open(parameters)),
            Err(Notification::new(2, 0)),
            "{parameters:?}"
        );
    }
    assert_eq!(
        decoded(&open(&[255, 255, 0, 3, 9, 0, 0])),
        Err(Notification::new(2, 4))
    );
}
