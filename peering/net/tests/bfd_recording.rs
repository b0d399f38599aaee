//! The flight recorder after a real failure, read back with tshark.

mod bfd_support;

use std::process::Command;

use bfd_support::{LEFT, LEFT6, RIGHT, RIGHT6, Speaker, Wire, spec, wait_for};
use net::bfd::{Cause, RecordedWhat, Recording};

#[test]
fn tshark_reads_the_story_of_a_failure() {
    let wire = Wire::new();
    let mut left = Speaker::start(&wire.left, &[spec(1, RIGHT), spec(2, RIGHT6)]);
    let mut right = Speaker::start(&wire.right, &[spec(1, LEFT), spec(2, LEFT6)]);
    for speaker in [&mut left, &mut right] {
        wait_for("both sessions", || {
            (speaker.is_up(1) && speaker.is_up(2)).then_some(())
        });
    }
    left.wait_packets(1, 20);

    wire.cut();
    wait_for("both failures", || {
        (!left.is_up(1) && !left.is_up(2)).then_some(())
    });

    for (key, address, ttl, protocol) in [(1, RIGHT, "ip.ttl", "ip"), (2, RIGHT6, "ipv6.hlim", "ipv6")] {
        let recording = left.handle().recording(key).expect("recording");
        let failure = recording.failure.last().expect("failure");
        assert!(
            matches!(failure.what, RecordedWhat::State(change) if change.cause == Cause::DetectionExpired),
            "{failure:?}"
        );
        let lines = tshark(&recording, key, ttl);
        let received = lines
            .iter()
            .filter(|line| line.contains(address) && line.contains("|0x00000001|"));
        assert!(received.count() > 10, "{lines:#?}");
        assert!(
            lines
                .iter()
                .all(|line| line.contains("|255|") && line.ends_with(&format!("|1|raw:{protocol}:udp:bfd"))),
            "{lines:#?}"
        );
        assert!(
            lines
                .iter()
                .any(|line| line.contains("state up -> down: detection_expired")),
            "{lines:#?}"
        );
    }
    assert!(left.handle().recording(99).is_none());
}

/// A line for each frame; checksums are verified.
fn tshark(recording: &Recording, key: u64, ttl: &str) -> Vec<String> {
    let directory = std::env::temp_dir();
    let path = directory.join(format!("twintor-bfd-{}-{key}.pcapng", std::process::id()));
    let mut file = std::fs::File::create(&path).expect("create");
    recording.write_pcapng(&mut file).expect("write");
    let output = Command::new("tshark")
        .args(["-n", "-r"])
        .arg(&path)
        .args(["-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"])
        .args(["-T", "fields", "-E", "separator=|", "-E", "occurrence=f"])
        .args([
            "-e",
            "ip.src",
            "-e",
            "ipv6.src",
            "-e",
            "frame.packet_flags_direction",
        ])
        .args([
            "-e",
            ttl,
            "-e",
            "bfd.sta",
            "-e",
            "frame.comment",
            "-e",
            "_ws.malformed",
        ])
        .args(["-e", "udp.checksum.status", "-e", "frame.protocols"])
        .output()
        .expect("tshark");
    std::fs::remove_file(&path).expect("remove");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let frames = recording.story();
    let frames = frames.iter().filter(|entry| {
        matches!(
            entry.what,
            RecordedWhat::Received { .. } | RecordedWhat::Sent { .. }
        )
    });
    assert_eq!(text.lines().count(), frames.count(), "{text}");
    text.lines().map(str::to_owned).collect()
}
