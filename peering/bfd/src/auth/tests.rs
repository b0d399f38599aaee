use std::num::{NonZeroU8, NonZeroU32};

use proptest::prelude::*;

use super::*;
use crate::{Diag, State};

fn control(detect_mult: u8) -> ControlPacket {
    ControlPacket {
        diag: Diag::None,
        state: State::Up,
        poll: false,
        is_final: false,
        control_plane_independent: false,
        demand: false,
        detect_mult: NonZeroU8::new(detect_mult).unwrap(),
        my_discriminator: NonZeroU32::new(7).unwrap(),
        your_discriminator: NonZeroU32::new(9),
        desired_min_tx: 50_000,
        required_min_rx: 50_000,
        required_min_echo_rx: 0,
    }
}

fn auth(auth_type: AuthType) -> Auth {
    Auth::new(auth_type, Key::new(1, b"correct horse")).unwrap()
}

fn sign(auth: &Auth, sequence: u32) -> Vec<u8> {
    let mut buf = [0; MAX_PACKET_LEN];
    let len = auth.sign(&control(3), sequence, &mut buf);
    buf[..len].to_vec()
}

fn verify(auth: &Auth, payload: &[u8], known: Option<u32>) -> Result<Option<u32>, Discard> {
    let packet = Packet::decode(payload)?;
    auth.verify(&packet, packet.auth.unwrap(), known)
}

#[test]
fn lengths_are_those_of_the_rfc() {
    for (auth_type, len) in AuthType::ALL.into_iter().zip([24 + 3 + 13, 48, 48, 52, 52]) {
        let payload = sign(&auth(auth_type), 1);
        assert_eq!(payload.len(), len);
        assert_eq!(usize::from(payload[3]), len);
        assert_eq!(payload[24], auth_type.to_bits());
        assert_eq!(usize::from(payload[25]), len - 24);
    }
}

/// Digests made with another implementation: `md5sum` and `sha1sum` over the packet with the padded key in place.
#[test]
fn digests_match_another_implementation() {
    let md5 = sign(&auth(AuthType::KeyedMd5), 0x0102_0304);
    let sha1 = sign(&auth(AuthType::MeticulousKeyedSha1), 0x0102_0304);

    assert_eq!(hex(&md5[32..]), "5078eb14f15174fa355d64838e18c414");
    assert_eq!(hex(&sha1[32..]), "ae523299bb3b831dad030e2f378479364c72bfbb");
}

#[test]
fn a_key_never_leaves_except_as_a_password() {
    for auth_type in AuthType::ALL {
        let carried = sign(&auth(auth_type), 1)
            .windows(13)
            .any(|octets| octets == b"correct horse");
        assert_eq!(carried, auth_type == AuthType::SimplePassword);
    }
}

#[test]
fn a_secret_is_never_shown() {
    let auth = auth(AuthType::SimplePassword);

    let shown = format!("{auth:?}");

    assert!(shown.contains("Key { id: 1, .. }"), "{shown}");
    assert!(
        !shown.contains("correct") && !shown.contains("99, 111"),
        "{shown}"
    );
}

#[test]
fn every_changed_bit_is_noticed() {
    for auth_type in AuthType::ALL {
        let auth = auth(auth_type);
        let good = sign(&auth, 5);
        assert!(verify(&auth, &good, None).is_ok());
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let Ok(packet) = Packet::decode(&bad) else {
                continue;
            };
            let Some(raw) = packet.auth else {
                continue;
            };
            // A password protects nothing but itself.
            if auth_type != AuthType::SimplePassword || bit / 8 >= MIN_PACKET_LEN {
                assert!(
                    auth.verify(&packet, raw, None).is_err(),
                    "{auth_type:?} bit {bit}"
                );
            }
        }
    }
}

#[test]
fn each_rule_has_its_reason() {
    let md5 = auth(AuthType::KeyedMd5);
    let good = sign(&md5, 5);
    let with = |position: usize, value: u8| {
        let mut bad = good.clone();
        bad[position] = value;
        verify(&md5, &bad, None).unwrap_err()
    };

    assert_eq!(with(24, 3), Discard::AuthType);
    assert_eq!(with(26, 2), Discard::AuthKeyId);
    assert_eq!(with(25, 23), Discard::AuthLength);
    assert_eq!(with(47, good[47] ^ 1), Discard::AuthDigest);
    assert_eq!(verify(&md5, &good, Some(6)), Err(Discard::AuthSequence));
    let stranger = Auth::new(AuthType::KeyedMd5, Key::new(1, b"wrong")).unwrap();
    assert_eq!(verify(&stranger, &good, None), Err(Discard::AuthDigest));
    let mut short = good[..26].to_vec();
    short[3] = 26;
    short[25] = 2;
    assert_eq!(verify(&md5, &short, None), Err(Discard::AuthLength));
}

proptest! {
    /// RFC 5880 §6.7.3: the window is circular, 3 * Detect Mult wide, and excludes the last number if meticulous.
    #[test]
    fn the_window_is_that_of_the_rfc(known: u32, ahead in 0_u32..20, index in 1_usize..5) {
        let auth_type = AuthType::ALL[index];
        let auth = auth(auth_type);
        let sequence = known.wrapping_add(ahead);

        let outcome = verify(&auth, &sign(&auth, sequence), Some(known));

        let least = u32::from(auth_type.is_meticulous());
        if (least..=9).contains(&ahead) {
            prop_assert_eq!(outcome, Ok(Some(sequence)));
        } else {
            prop_assert_eq!(outcome, Err(Discard::AuthSequence));
        }
        let behind = verify(&auth, &sign(&auth, known.wrapping_sub(1 + ahead)), Some(known));
        prop_assert_eq!(behind, Err(Discard::AuthSequence));
    }
}

#[test]
fn numbering_depends_on_the_type() {
    for auth_type in AuthType::ALL {
        let auth = auth(auth_type);
        assert_eq!(auth.next_sequence(u32::MAX, true), 0);
        assert_eq!(
            auth.next_sequence(5, false),
            if auth_type.is_meticulous() { 6 } else { 5 }
        );
    }
}

#[test]
fn several_keys_are_accepted() {
    let old = auth(AuthType::MeticulousKeyedSha1);
    let new = Auth::new(AuthType::MeticulousKeyedSha1, Key::new(2, b"battery staple")).unwrap();
    let both = old.clone().accepting(Key::new(2, b"battery staple")).unwrap();

    assert!(verify(&both, &sign(&old, 1), None).is_ok());
    assert!(verify(&both, &sign(&new, 1), None).is_ok());
    assert_eq!(verify(&old, &sign(&new, 1), None), Err(Discard::AuthKeyId));
}

#[test]
fn settings_are_checked() {
    let max = |auth_type| {
        (0..30)
            .filter(|len| Auth::new(auth_type, Key::new(1, &vec![7; *len])).is_ok())
            .collect::<Vec<_>>()
    };
    assert_eq!(max(AuthType::SimplePassword), (1..=16).collect::<Vec<_>>());
    assert_eq!(max(AuthType::KeyedMd5), (1..=16).collect::<Vec<_>>());
    assert_eq!(max(AuthType::MeticulousKeyedSha1), (1..=20).collect::<Vec<_>>());
    let twice = auth(AuthType::KeyedSha1)
        .accepting(Key::new(1, b"x"))
        .unwrap_err();
    assert_eq!(twice, AuthError::DuplicateKeyId { id: 1 });
    let long = Auth::new(AuthType::KeyedMd5, Key::new(3, &[7; 17])).unwrap_err();
    assert_eq!(
        long.to_string(),
        "secret of key 3 has 17 octets: use 1 to 16 with this authentication type"
    );
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
