#![no_main]

use libfuzzer_sys::fuzz_target;
use twintor_wire_fuzz::decode_body;
use wire::{MAX_MESSAGE, Message, encode_notification};

// A NOTIFICATION can be shown and written.
fuzz_target!(|data: &[u8]| {
    let Some((_, Ok(Message::Notification(notification)))) = decode_body(3, data) else {
        return;
    };
    let text = notification.to_string();
    assert!(!text.chars().any(char::is_control));
    let mut out = Vec::new();
    encode_notification(&notification, &mut out);
    assert!(out.len() <= MAX_MESSAGE);
});
