#![no_main]

use libfuzzer_sys::fuzz_target;
use twintor_wire_fuzz::context;
use wire::{decode, frame_len};

// A stream of octets, framed and decoded until it ends or is refused.
fuzz_target!(|data: &[u8]| {
    let Some((bits, mut stream)) = data.split_first() else {
        return;
    };
    let context = context(*bits);
    while let Ok(Some(len)) = frame_len(stream, context.max_message) {
        assert!((19..=context.max_message).contains(&len));
        let Some((frame, rest)) = stream.split_at_checked(len) else {
            return;
        };
        if decode(frame, &context).is_err() {
            return;
        }
        stream = rest;
    }
});
