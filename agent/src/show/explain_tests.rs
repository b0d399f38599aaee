use super::super::story::Moment;
use super::*;

fn session() -> BfdPeer {
    serde_json::from_value(super::super::bfd::tests::peer()).expect("a session")
}

fn recording() -> RecordingReport {
    RecordingReport {
        peer: "10.1.1.1".parse().expect("an address"),
        plane: Some("a".to_owned()),
        local: None,
        source_port: None,
        port: 3784,
        entries: Vec::new(),
    }
}

#[test]
fn the_story_as_text() {
    let failed_at: Timestamp = "2026-11-23T12:00:00.25Z".parse().expect("a time");
    let moment = |offset_us, text: &str| Moment {
        offset_us,
        text: text.to_owned(),
    };
    let story = Story {
        peer: recording().peer,
        plane: None,
        failed_at,
        fired_first: FiredFirst::Local,
        cause: "detection_expired".to_owned(),
        diag: "control_detection_time_expired".to_owned(),
        remote_diag: "none".to_owned(),
        silence_us: Some(150_400),
        detection_time_us: Some(150_000),
        local_stall_us: None,
        dropped: 0,
        dropped_because: None,
        sent_before: 4,
        longest_pause_us: None,
        moments: vec![moment(-150_400, "last packet"), moment(0, "up -> down\u{1b}[2J")],
        verdict: "the link".to_owned(),
    };
    let now = "2026-11-23T12:01:02Z".parse().expect("a time");
    assert_eq!(
        text(&recording(), &session(), Some(&story), now),
        "\
BFD with 10.1.1.1 (plane a) is up for 00:01:05; it failed last at 2026-11-23T12:00:00.250Z, 00:01:01 ago.

      -150.4 ms  last packet
        +0.0 ms  up -> down\u{fffd}[2J

Fired first:  we: nothing arrived in time
Silence:      150.4 ms (detection time 150 ms); 0 packets dropped in it
Local stall:  none
Our packets:  4 before the failure, longest pause not recorded
Verdict:      the link
"
    );
}

#[test]
fn nothing_to_tell() {
    assert_eq!(
        text(&recording(), &session(), None, Timestamp::UNIX_EPOCH),
        "BFD with 10.1.1.1 (plane a) is up for 00:01:05.\nThe recorder has no failure: 0 entries, the last never.\n"
    );
}
