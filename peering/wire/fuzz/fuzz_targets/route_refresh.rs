#![no_main]

use libfuzzer_sys::fuzz_target;
use twintor_wire_fuzz::decode_body;
use wire::{Message, decode, encode_route_refresh};

// A ROUTE-REFRESH that is accepted is the same once written.
fuzz_target!(|data: &[u8]| {
    let Some((context, Ok(Message::RouteRefresh(refresh)))) = decode_body(5, data) else {
        return;
    };
    let mut out = Vec::new();
    encode_route_refresh(&refresh, &mut out);
    assert_eq!(decode(&out, &context), Ok(Message::RouteRefresh(refresh)));
});
