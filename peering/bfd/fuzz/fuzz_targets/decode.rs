//! Whatever is decoded encodes to the same packet.

#![no_main]

use bfd::{MAX_PACKET_LEN, Packet};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|payload: &[u8]| {
    let Ok(packet) = Packet::decode(payload) else {
        return;
    };
    let auth = packet.auth.and_then(|raw| raw.parse().ok());
    let mut buf = [0; MAX_PACKET_LEN];
    let len = packet
        .control
        .encode(auth, &mut buf)
        .expect("a decoded password has a valid length");
    let again = Packet::decode(&buf[..len]).expect("what was encoded can be decoded");
    assert_eq!(again.control, packet.control);
    assert_eq!(again.auth.and_then(|raw| raw.parse().ok()), auth);
});
