use crate::test_support::{EBGP, message};
use crate::{
    AfiSafi, DecodeContext, Family, FamilySet, MAX_EXTENDED_MESSAGE, MAX_MESSAGE, Message, Notification,
    RefreshKind, RouteRefresh, decode, frame_len,
};

fn header(len: u16, kind: u8) -> Vec<u8> {
    let mut out = vec![0xff; 16];
    out.extend(len.to_be_bytes());
    out.push(kind);
    out
}

#[test]
fn the_default_is_a_session_without_capabilities() {
    let context = DecodeContext::default();

    assert!(!context.four_octet_as);
    assert_eq!(context.families, FamilySet::only(Family::Ipv4Unicast));
    assert_eq!(context.max_message, MAX_MESSAGE);
}

#[test]
fn more_octets_are_asked_for_until_the_header_is_there() {
    let keepalive = header(19, 4);
    for len in 0..19 {
        assert_eq!(frame_len(&keepalive[..len], MAX_MESSAGE), Ok(None));
    }
    assert_eq!(frame_len(&keepalive, MAX_MESSAGE), Ok(Some(19)));
}

#[test]
fn the_length_is_known_before_the_body_is_there() {
    assert_eq!(frame_len(&header(4096, 2), MAX_MESSAGE), Ok(Some(4096)));
}

#[test]
fn a_wrong_marker_is_not_synchronized() {
    for at in 0..16 {
        let mut octets = header(19, 4);
        octets[at] = 0xfe;
        let expected = Err(Notification::new(1, 1));
        assert_eq!(frame_len(&octets, MAX_MESSAGE), expected);
        // Known as soon as the octet is there.
        assert_eq!(frame_len(&octets[..=at], MAX_MESSAGE), expected);
    }
}

#[test]
fn lengths_by_type() {
    // RFC 4271 section 6.1, RFC 8654 section 4: (type, largest message, shortest, longest).
    let table = [
        (1, MAX_MESSAGE, 29, 4096),
        (1, MAX_EXTENDED_MESSAGE, 29, 4096),
        (2, MAX_MESSAGE, 23, 4096),
        (2, MAX_EXTENDED_MESSAGE, 23, 65535),
        (3, MAX_MESSAGE, 21, 4096),
        (3, MAX_EXTENDED_MESSAGE, 21, 65535),
        (4, MAX_MESSAGE, 19, 19),
        (4, MAX_EXTENDED_MESSAGE, 19, 19),
        (5, MAX_MESSAGE, 19, 4096),
        (5, MAX_EXTENDED_MESSAGE, 19, 65535),
    ];
    for (kind, max, shortest, longest) in table {
        for len in [
            0, 18, 19, 20, 21, 22, 23, 24, 28, 29, 30, 4095, 4096, 4097, 65534, 65535,
        ] {
            let octets = header(len, kind);
            let expected = if (shortest..=longest).contains(&usize::from(len)) {
                Ok(Some(usize::from(len)))
            } else {
                Err(Notification::with_data(1, 2, len.to_be_bytes().to_vec()))
            };
            assert_eq!(frame_len(&octets, max), expected, "type {kind}, length {len}");
        }
    }
}

#[test]
fn an_unknown_type_is_named() {
    for kind in (6..=255).chain([0]) {
        let expected = Err(Notification::with_data(1, 3, vec![kind]));
        assert_eq!(frame_len(&header(19, kind), MAX_MESSAGE), expected);
    }
}

#[test]
fn a_frame_of_another_length_than_it_says_is_refused() {
    let mut frame = message(4, &[]);
    assert_eq!(decode(&frame, &EBGP), Ok(Message::Keepalive));

    frame.push(0);
    assert_eq!(
        decode(&frame, &EBGP),
        Err(Notification::with_data(1, 2, vec![0, 19]))
    );
    assert_eq!(
        decode(&frame[..18], &EBGP),
        Err(Notification::with_data(1, 2, vec![0, 19]))
    );
    assert_eq!(decode(&[], &EBGP), Err(Notification::new(1, 2)));
}

#[test]
fn a_keepalive_with_a_body_is_a_bad_length() {
    let frame = message(4, &[0]);
    assert_eq!(
        decode(&frame, &EBGP),
        Err(Notification::with_data(1, 2, vec![0, 20]))
    );
}

#[test]
fn notifications_keep_their_data() {
    assert_eq!(
        decode(&message(3, &[6, 4]), &EBGP),
        Ok(Message::Notification(Notification::new(6, 4)))
    );
    assert_eq!(
        decode(&message(3, &[6, 2, 2, b'h', b'i']), &EBGP),
        Ok(Message::Notification(Notification::with_data(
            6,
            2,
            vec![2, b'h', b'i']
        )))
    );
    assert_eq!(
        decode(&message(3, &[6]), &EBGP),
        Err(Notification::with_data(1, 2, vec![0, 20]))
    );
}

#[test]
fn route_refresh_and_its_markers() {
    let kinds = [
        (0, RefreshKind::Request),
        (1, RefreshKind::Begin),
        (2, RefreshKind::End),
        (3, RefreshKind::Other(3)),
        (255, RefreshKind::Other(255)),
    ];
    for (subtype, kind) in kinds {
        let expected = RouteRefresh {
            family: AfiSafi { afi: 25, safi: 70 },
            kind,
        };
        assert_eq!(
            decode(&message(5, &[0, 25, subtype, 70]), &EBGP),
            Ok(Message::RouteRefresh(expected))
        );
    }
}

#[test]
fn a_route_refresh_of_a_wrong_length_is_returned_whole() {
    for body in [
        &[][..],
        &[0, 1, 0],
        &[0, 1, 0, 1, 9],
        &[0, 1, 1, 1, 9],
        &[0, 1, 2, 1, 9],
    ] {
        let frame = message(5, body);
        // RFC 7313 section 5
        let expected = Notification::with_data(7, 1, frame.clone());
        assert_eq!(decode(&frame, &EBGP), Err(expected));
    }
    // An unknown subtype is to be ignored, so its length says nothing.
    assert!(decode(&message(5, &[0, 1, 7, 1, 9]), &EBGP).is_ok());
}
