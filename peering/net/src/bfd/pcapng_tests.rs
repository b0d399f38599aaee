use super::*;
use crate::bfd::recorder::RecordedPacket;
use bfd::{Cause, Diag, Discard, State, StateChange};
use std::time::{Duration, Instant};

fn recording(peer: &str, local: Option<&str>) -> Recording {
    Recording {
        peer: peer.parse().unwrap(),
        local: local.map(|local| local.parse().unwrap()),
        source_port: Some(50_001),
        port: 3784,
        ..Recording::reserve(7)
    }
}

fn received(recording: &Recording, payload: &[u8], discard: Option<Discard>) -> Recorded {
    Recorded {
        at: recording.clocks.0,
        what: RecordedWhat::Received {
            packet: RecordedPacket::new(payload),
            from: (recording.peer, 49_999).into(),
            ttl: 254,
            discard,
            repeated: 3,
        },
    }
}

fn sent(recording: &Recording, payload: &[u8]) -> Recorded {
    Recorded {
        at: recording.clocks.0,
        what: RecordedWhat::Sent {
            packet: RecordedPacket::new(payload),
            taken: true,
        },
    }
}

fn failed(recording: &Recording) -> Recorded {
    let at = recording.clocks.0;
    Recorded {
        at,
        what: RecordedWhat::State(StateChange {
            from: State::Up,
            to: State::Down,
            cause: Cause::DetectionExpired,
            local_diag: Diag::ControlDetectionTimeExpired,
            remote_diag: Diag::None,
            control_plane_independent: false,
            at,
        }),
    }
}

/// Type and body of each block, with the framing checked.
fn blocks(mut file: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let word = |at: &[u8]| u32::from_le_bytes(at[..4].try_into().unwrap());
    let mut blocks = Vec::new();
    while !file.is_empty() {
        let length = word(&file[4..]) as usize;
        assert_eq!(length % 4, 0);
        assert_eq!(word(&file[length - 4..]) as usize, length);
        blocks.push((word(file), file[8..length - 4].to_vec()));
        file = &file[length..];
    }
    blocks
}

fn write(recording: &Recording) -> Vec<(u32, Vec<u8>)> {
    let mut file = Vec::new();
    recording.write_pcapng(&mut file).unwrap();
    blocks(&file)
}

fn contains(body: &[u8], text: &str) -> bool {
    body.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn packets_become_blocks_and_events_become_comments() {
    let mut recording = recording("10.0.0.2", Some("10.0.0.1"));
    recording.latest = vec![
        Recorded {
            at: Instant::now(),
            what: RecordedWhat::PollCompleted,
        },
        sent(&recording, &[1; 24]),
        received(&recording, &[2; 24], Some(Discard::Ttl)),
        failed(&recording),
        Recorded {
            at: Instant::now(),
            what: RecordedWhat::LocalStall {
                stalled: Duration::from_millis(200),
            },
        },
        sent(&recording, &[3; 24]),
    ];

    let blocks = write(&recording);

    let kinds: Vec<u32> = blocks.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(
        kinds,
        [
            SECTION_HEADER,
            INTERFACE,
            ENHANCED_PACKET,
            ENHANCED_PACKET,
            ENHANCED_PACKET
        ]
    );
    assert!(contains(&blocks[0].1, "BFD session 7 with 10.0.0.2"));
    assert!(contains(&blocks[0].1, "the other end knows the new intervals"));
    let told = &blocks[3].1;
    assert!(contains(
        told,
        "dropped: TTL or hop limit below the required value; 3 more"
    ));
    assert!(contains(told, "state up -> down: detection_expired"));
    assert!(contains(
        told,
        "local stall: this process did not run for 200.0ms"
    ));
    assert!(!contains(&blocks[4].1, "state"));
}

#[test]
fn frames_have_true_headers() {
    let payload = [0x5a; 24];
    for (peer, local, header) in [("10.0.0.2", "10.0.0.1", 20), ("fd00::2", "fd00::1", 40)] {
        let mut recording = recording(peer, Some(local));
        recording.latest = vec![received(&recording, &payload, None), sent(&recording, &payload)];
        let blocks = write(&recording);

        let frame = |index: usize| blocks[index].1[20..20 + header + 8 + 24].to_vec();
        let (inbound, outbound) = (frame(2), frame(3));
        let (ttl, from) = if header == 20 { (8, 12..16) } else { (7, 8..24) };
        assert_eq!((inbound[ttl], outbound[ttl]), (254, 255));
        let octets = |address: &str| match address.parse().unwrap() {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        assert_eq!(inbound[from.clone()], octets(peer));
        assert_eq!(outbound[from], octets(local));
        assert_eq!(inbound[header..header + 4], [0xc3, 0x4f, 0x0e, 0xc8]);
        assert_eq!(outbound[header..header + 4], [0xc3, 0x51, 0x0e, 0xc8]);
        assert_eq!(inbound[header + 8..], payload);
    }
}

#[test]
fn checksums_are_right() {
    // RFC 1071 §3.
    assert_eq!(
        checksum([&[0x00, 0x01, 0xf2, 0x03], &[0xf4, 0xf5, 0xf6, 0xf7]]),
        !0xddf2
    );
    let frame = datagram(
        "10.0.0.1:1".parse().unwrap(),
        "10.0.0.2:2".parse().unwrap(),
        255,
        0,
        b"odd",
    );
    assert_eq!(checksum([&frame[..20]]), 0);
    assert_eq!(checksum([&frame[12..20], &[0, UDP, 0, 11], &frame[20..]]), 0);
}

#[test]
fn unknown_local_address_and_foreign_family_do_not_matter() {
    let mut recording = recording("fd00::2", None);
    let mut foreign = received(&recording, &[1; 24], None);
    if let RecordedWhat::Received { from, .. } = &mut foreign.what {
        *from = "10.0.0.9:5".parse().unwrap();
    }
    recording.source_port = None;
    recording.latest = vec![foreign, sent(&recording, &[])];

    assert_eq!(write(&recording).len(), 4);
}

#[test]
fn story_tells_nothing_twice() {
    let mut recording = recording("10.0.0.2", None);
    let [a, b, c, d] = [[1], [2], [3], [4]].map(|octet| sent(&recording, &octet));
    recording.failure = vec![a, b, c];
    recording.latest = vec![b, c, d];

    assert_eq!(recording.story(), [a, b, c, d]);
}

#[test]
fn empty_recording_is_a_file_too() {
    assert_eq!(write(&recording("10.0.0.2", None)).len(), 2);
}

#[test]
fn long_comments_are_cut_between_characters() {
    let mut body = Vec::new();
    text_option(&mut body, &"ü".repeat(40_000));

    assert_eq!(body.len(), 4 + 65_536);
    assert_eq!(body[2..4], 65_534_u16.to_le_bytes());
}
