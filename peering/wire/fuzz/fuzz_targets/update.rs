#![no_main]

use libfuzzer_sys::fuzz_target;
use twintor_wire_fuzz::decode_body;
use wire::{EncodeContext, MAX_EXTENDED_MESSAGE, Message, decode, encode_update};

// An UPDATE that is accepted holds no more prefixes than octets, can be written, and is accepted again.
fuzz_target!(|data: &[u8]| {
    let Some((mut context, Ok(Message::Update(update)))) = decode_body(2, data) else {
        return;
    };
    assert!(update.announced.len() + update.withdrawn.len() <= data.len());
    assert!(update.defects.len() <= data.len());
    context.max_message = MAX_EXTENDED_MESSAGE;
    let encode_context = EncodeContext {
        four_octet_as: context.four_octet_as,
        max_message: MAX_EXTENDED_MESSAGE,
    };
    let mut out = Vec::new();
    if encode_update(&update, &encode_context, &mut out) {
        assert!(decode(&out, &context).is_ok());
    }
});
