use std::num::{NonZeroU8, NonZeroU32};

use proptest::prelude::*;

use super::*;

const PLAIN: [u8; 24] = [
    0x20, 0x40, 3, 24, 0, 0, 0, 7, 0, 0, 0, 9, 0, 15, 66, 64, 0, 0, 195, 80, 0, 0, 0, 0,
];

fn any_diag() -> impl Strategy<Value = Diag> {
    (0_u8..32).prop_map(Diag::from_bits)
}

fn any_control() -> impl Strategy<Value = ControlPacket> {
    let words = (any::<u32>(), any::<u32>(), any::<u32>(), any::<u32>());
    (any_diag(), 0_u8..4, any::<[bool; 4]>(), 1_u8.., 1_u32.., words).prop_map(
        |(
            diag,
            state,
            [poll, is_final, control_plane_independent, demand],
            mult,
            mine,
            (yours, tx, rx, echo),
        )| {
            let state = State::from_bits(state);
            // Zero is not decodable in the upper states.
            let yours = if state > State::Down { yours.max(1) } else { yours };
            ControlPacket {
                diag,
                state,
                poll,
                is_final,
                control_plane_independent,
                demand,
                detect_mult: NonZeroU8::new(mult).unwrap(),
                my_discriminator: NonZeroU32::new(mine).unwrap(),
                your_discriminator: NonZeroU32::new(yours),
                desired_min_tx: tx,
                required_min_rx: rx,
                required_min_echo_rx: echo,
            }
        },
    )
}

/// A section without its secret: which one, key ID, sequence number and 20 octets to cut a secret from.
fn encode_with(
    control: &ControlPacket,
    kind: u8,
    key_id: u8,
    sequence: u32,
    octets: &[u8; 20],
) -> (usize, [u8; MAX_PACKET_LEN]) {
    let mut buf = [0xee; MAX_PACKET_LEN];
    let section = match kind {
        0 => None,
        1 => Some(AuthSection::Password {
            key_id,
            password: &octets[..1 + usize::from(octets[0] % 16)],
        }),
        2 | 3 => {
            let digest = octets[..16].try_into().unwrap();
            Some(AuthSection::Md5 {
                meticulous: kind == 3,
                key_id,
                sequence,
                digest,
            })
        }
        _ => Some(AuthSection::Sha1 {
            meticulous: kind == 5,
            key_id,
            sequence,
            digest: *octets,
        }),
    };
    (control.encode(section, &mut buf).unwrap(), buf)
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        control in any_control(), kind in 0_u8..6, key_id: u8, sequence: u32, octets: [u8; 20],
    ) {
        let (len, buf) = encode_with(&control, kind, key_id, sequence, &octets);

        let packet = Packet::decode(&buf[..len]).unwrap();

        prop_assert_eq!(packet.control, control);
        prop_assert_eq!(packet.bytes.len(), len);
        match packet.auth {
            None => prop_assert_eq!(kind, 0),
            Some(raw) => {
                prop_assert_eq!(raw.auth_type, kind);
                prop_assert_eq!(raw.key_id(), Some(key_id));
                let mut again = [0; MAX_PACKET_LEN];
                prop_assert_eq!(control.encode(Some(raw.parse().unwrap()), &mut again), Some(len));
                prop_assert_eq!(&again[..len], &buf[..len]);
            }
        }
    }

    #[test]
    fn octets_after_length_are_ignored(control in any_control(), tail in prop::collection::vec(any::<u8>(), 0..40)) {
        let (len, buf) = encode_with(&control, 0, 0, 0, &[0; 20]);
        let payload = [&buf[..len], &tail].concat();

        prop_assert_eq!(Packet::decode(&payload), Packet::decode(&buf[..len]));
    }

    #[test]
    fn any_octets_are_decoded_or_refused(payload in prop::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(packet) = Packet::decode(&payload) {
            prop_assert!(packet.bytes.len() >= MIN_PACKET_LEN);
            let _ = packet.auth.map(|raw| raw.parse());
        }
    }
}

/// Every packet that is one or two octets away from a good one: each is decoded, or refused for a reason, and what is
/// decoded encodes to what was read.
#[test]
fn mutated_packets_are_decoded_or_refused() {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut refused = std::collections::BTreeSet::new();
    for kind in 0..6 {
        let control = ControlPacket {
            state: State::Up,
            ..Packet::decode(&PLAIN).unwrap().control
        };
        let (len, good) = encode_with(&control, kind, 1, 2, &[5; 20]);
        for position in 0..len {
            for value in 0..=u8::MAX {
                let mut bad = good;
                bad[position] = value;
                if rng.bool() {
                    bad[rng.usize(..len)] = rng.u8(..);
                }
                let cut = if rng.u8(..8) == 0 { rng.usize(..=len) } else { len };
                match Packet::decode(&bad[..cut]) {
                    Err(reason) => {
                        refused.insert(reason);
                    }
                    Ok(packet) => {
                        let mut again = [0; MAX_PACKET_LEN];
                        packet.control.encode(None, &mut again).unwrap();
                        assert_eq!(Packet::decode(&again[..24]).unwrap().control, packet.control);
                        if let Some(Err(reason)) = packet.auth.map(|raw| raw.parse()) {
                            refused.insert(reason);
                        }
                    }
                }
            }
        }
    }
    let expected = [
        Discard::Truncated,
        Discard::Version,
        Discard::LengthTooSmall,
        Discard::LengthExceedsPayload,
        Discard::ZeroDetectMult,
        Discard::Multipoint,
        Discard::ZeroMyDiscriminator,
        Discard::ZeroYourDiscriminator,
        Discard::AuthType,
        Discard::AuthLength,
    ];
    assert_eq!(refused.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn known_octets_are_read() {
    let control = Packet::decode(&PLAIN).unwrap().control;

    assert_eq!(control.state, State::Down);
    assert_eq!(control.detect_mult.get(), 3);
    assert_eq!(control.my_discriminator.get(), 7);
    assert_eq!(control.your_discriminator, NonZeroU32::new(9));
    assert_eq!(control.desired_min_tx, 1_000_000);
    assert_eq!(control.required_min_rx, 50_000);
    assert_eq!(control.required_min_echo_rx, 0);
}

#[test]
fn each_rule_has_its_reason() {
    let refused = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut payload = PLAIN.to_vec();
        change(&mut payload);
        Packet::decode(&payload).unwrap_err()
    };

    assert_eq!(refused(&|p| p.truncate(23)), Discard::Truncated);
    assert_eq!(refused(&|p| p.clear()), Discard::Truncated);
    assert_eq!(refused(&|p| p[0] = 0x00), Discard::Version);
    assert_eq!(refused(&|p| p[0] = 0x40), Discard::Version);
    assert_eq!(refused(&|p| p[3] = 23), Discard::LengthTooSmall);
    assert_eq!(refused(&|p| p[1] |= AUTH_PRESENT), Discard::LengthTooSmall);
    assert_eq!(refused(&|p| p[3] = 25), Discard::LengthExceedsPayload);
    assert_eq!(refused(&|p| p[2] = 0), Discard::ZeroDetectMult);
    assert_eq!(refused(&|p| p[1] |= MULTIPOINT), Discard::Multipoint);
    assert_eq!(refused(&|p| p[7] = 0), Discard::ZeroMyDiscriminator);
    for state in [State::Init, State::Up] {
        let reason = refused(&|p| {
            p[1] = state.to_bits() << 6;
            p[11] = 0;
        });
        assert_eq!(reason, Discard::ZeroYourDiscriminator);
    }
    for state in [State::Down, State::AdminDown] {
        let mut payload = PLAIN;
        payload[1] = state.to_bits() << 6;
        payload[11] = 0;
        assert_eq!(Packet::decode(&payload).unwrap().control.your_discriminator, None);
    }
}

#[test]
fn the_first_broken_rule_counts() {
    let mut payload = [0_u8; 24];
    assert_eq!(Packet::decode(&payload).unwrap_err(), Discard::Version);
    payload[0] = 0x20;
    assert_eq!(Packet::decode(&payload).unwrap_err(), Discard::LengthTooSmall);
    payload[3] = 200;
    assert_eq!(
        Packet::decode(&payload).unwrap_err(),
        Discard::LengthExceedsPayload
    );
    payload[3] = 24;
    assert_eq!(Packet::decode(&payload).unwrap_err(), Discard::ZeroDetectMult);
    payload[2] = 1;
    payload[1] = 0xc1;
    assert_eq!(Packet::decode(&payload).unwrap_err(), Discard::Multipoint);
    payload[1] = 0xc0;
    assert_eq!(
        Packet::decode(&payload).unwrap_err(),
        Discard::ZeroMyDiscriminator
    );
    payload[7] = 1;
    assert_eq!(
        Packet::decode(&payload).unwrap_err(),
        Discard::ZeroYourDiscriminator
    );
}

#[test]
fn a_password_is_never_shown() {
    let section = AuthSection::Password {
        key_id: 1,
        password: b"hunter2",
    };

    let shown = format!("{section:?}");

    assert_eq!(shown, "Password { key_id: 1, .. }");
}

#[test]
fn a_password_has_1_to_16_octets() {
    let control = Packet::decode(&PLAIN).unwrap().control;
    let mut buf = [0; MAX_PACKET_LEN];
    for len in 0..20 {
        let password = vec![7; len];
        let section = AuthSection::Password {
            key_id: 1,
            password: &password,
        };
        assert_eq!(
            control.encode(Some(section), &mut buf).is_some(),
            (1..=16).contains(&len),
            "{len}"
        );
    }
}

#[test]
fn values_survive_the_wire() {
    for state in State::ALL {
        assert_eq!(State::from_bits(state.to_bits()), state);
    }
    for bits in 0..32 {
        assert_eq!(Diag::from_bits(bits).to_bits(), bits);
    }
    assert_eq!(Diag::Unassigned(0xff).to_bits(), 31);
}
