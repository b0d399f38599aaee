#![no_main]

use libfuzzer_sys::fuzz_target;
use twintor_wire_fuzz::decode_body;
use wire::{Message, decode, encode_open};

// An OPEN that is accepted can be written, and is accepted again.
fuzz_target!(|data: &[u8]| {
    let Some((context, Ok(Message::Open(open)))) = decode_body(1, data) else {
        return;
    };
    let mut out = Vec::new();
    encode_open(&open, &mut out);
    let again = decode(&out, &context);
    assert!(
        matches!(again, Ok(Message::Open(again)) if again.asn == open.asn && again.bgp_id == open.bgp_id)
    );
});
