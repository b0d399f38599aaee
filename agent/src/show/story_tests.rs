use super::*;
use std::net::Ipv4Addr;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 1, 1));

/// An entry so many milliseconds after some moment.
fn at(ms: i64, event: EventReport) -> Entry {
    Entry {
        at: Timestamp::from_millisecond(1_700_000_000_000 + ms).expect("in range"),
        event,
    }
}

fn packet(state: &str, diag: &str) -> PacketReport {
    PacketReport {
        state: state.to_owned(),
        diag: diag.to_owned(),
        poll: false,
        is_final: false,
        detect_multiplier: 3,
        my_discriminator: 7,
        your_discriminator: 9,
        desired_min_tx_us: 50_000,
        required_min_rx_us: 50_000,
    }
}

fn received(ms: i64, packet: PacketReport) -> Entry {
    at(
        ms,
        EventReport::Received {
            from: (PEER, 50_000).into(),
            ttl: 255,
            dropped: None,
            repeated: 0,
            packet: Some(packet),
        },
    )
}

fn dropped(ms: i64, reason: &str, repeated: u32) -> Entry {
    at(
        ms,
        EventReport::Received {
            from: (PEER, 50_000).into(),
            ttl: 254,
            dropped: Some(reason.to_owned()),
            repeated,
            packet: None,
        },
    )
}

fn sent(ms: i64) -> Entry {
    at(
        ms,
        EventReport::Sent {
            taken: true,
            packet: Some(packet("up", "none")),
        },
    )
}

fn failed(ms: i64, cause: &str, remote_diag: &str) -> Entry {
    at(
        ms,
        EventReport::State {
            from: "up".to_owned(),
            to: "down".to_owned(),
            cause: cause.to_owned(),
            failure: true,
            diag: "control_detection_time_expired".to_owned(),
            remote_diag: remote_diag.to_owned(),
        },
    )
}

fn recording(entries: Vec<Entry>) -> RecordingReport {
    RecordingReport {
        peer: PEER,
        plane: Some("a".to_owned()),
        local: None,
        source_port: None,
        port: 3784,
        entries,
    }
}

fn story(entries: Vec<Entry>) -> Story {
    Story::of(&recording(entries)).expect("a failure")
}

/// The switch is silent from 0 ms, we are not; detected after 150 ms.
fn silence(extra: Vec<Entry>) -> Vec<Entry> {
    let mut entries = vec![sent(-30), received(0, packet("up", "none"))];
    entries.extend([20, 60, 105, 148].map(sent));
    entries.push(failed(150, "detection_expired", "none"));
    entries.extend(extra);
    entries.sort_by_key(|entry| entry.at);
    entries
}

#[test]
fn without_a_failure_there_is_no_story() {
    assert_eq!(Story::of(&recording(Vec::new())), None);
    assert_eq!(
        Story::of(&recording(vec![sent(0), received(1, packet("up", "none"))])),
        None
    );
    let mut wanted = failed(5, "remote_admin_down", "administratively_down");
    if let EventReport::State { failure, .. } = &mut wanted.event {
        *failure = false;
    }
    assert_eq!(Story::of(&recording(vec![wanted])), None);
}

#[test]
fn a_silent_switch() {
    let story = story(silence(Vec::new()));
    assert_eq!(story.fired_first, FiredFirst::Local);
    assert_eq!(
        (story.silence_us, story.detection_time_us),
        (Some(150_000), Some(150_000))
    );
    assert_eq!((story.local_stall_us, story.dropped), (None, 0));
    assert_eq!((story.sent_before, story.longest_pause_us), (5, Some(50_000)));
    assert!(
        story.verdict.starts_with("the switch fell silent"),
        "{}",
        story.verdict
    );
    let texts: Vec<_> = story
        .moments
        .iter()
        .map(|moment| (moment.offset_us, moment.text.as_str()))
        .collect();
    assert_eq!(
        texts,
        [
            (
                -150_000,
                "last packet of the switch: up, diagnostic none, 50 ms x 3"
            ),
            (-2_000, "our last packet: up, diagnostic none, 50 ms x 3"),
            (
                0,
                "up -> down: detection_expired (diagnostic control_detection_time_expired, of the switch none)"
            ),
        ]
    );
}

#[test]
fn what_the_switch_says_afterwards_tells_which_way_was_broken() {
    let verdict = |diag: &str, discriminator: u32| {
        let back = PacketReport {
            my_discriminator: discriminator,
            ..packet("down", diag)
        };
        story(silence(vec![received(1_100, back)])).verdict
    };
    assert!(verdict("neighbor_signaled_session_down", 7).contains("only the way from it to us was broken"));
    assert!(verdict("control_detection_time_expired", 7).contains("in both directions"));
    assert!(verdict("administratively_down", 7).contains("turned BFD off"));
    assert!(verdict("none", 8).contains("was restarted"));
    assert!(verdict("none", 7).contains("came back"));
    let late = story(silence(vec![received(180, packet("up", "none"))]));
    assert!(
        late.verdict.contains("heard again 30 ms later"),
        "{}",
        late.verdict
    );
}

#[test]
fn what_was_recorded_much_later_proves_nothing() {
    let story = story(silence(vec![received(
        60_000,
        packet("up", "neighbor_signaled_session_down"),
    )]));
    assert!(
        story.verdict.starts_with("the switch fell silent"),
        "{}",
        story.verdict
    );
    assert_eq!(story.moments.len(), 3);
}

#[test]
fn packets_that_were_not_used_are_named() {
    let story = story(silence(vec![
        dropped(30, "TTL below", 2),
        dropped(100, "TTL below", 0),
    ]));
    assert_eq!(
        (story.dropped, story.dropped_because.as_deref()),
        (4, Some("TTL below"))
    );
    assert_eq!(
        story.verdict,
        "packets of the switch arrived, but were not used: TTL below"
    );
}

#[test]
fn a_stall_of_this_process_is_nobody_elses_fault() {
    let stall = |ms, stalled_us| at(ms, EventReport::LocalStall { stalled_us });
    for entries in [
        silence(vec![stall(140, 500_000)]),
        vec![
            sent(-700),
            stall(-1, 600_000),
            // They had waited in the kernel for longer than the stall is remembered.
            received(-500, packet("up", "none")),
            received(-450, packet("down", "control_detection_time_expired")),
            failed(0, "remote_down", "control_detection_time_expired"),
        ],
    ] {
        let story = story(entries);
        assert!(story.local_stall_us.is_some());
        assert!(
            story
                .moments
                .iter()
                .any(|moment| moment.text.starts_with("this process had not run"))
        );
        assert!(
            story.verdict.contains("the fault is on this node"),
            "{}",
            story.verdict
        );
    }
    // One of long ago has nothing to do with it.
    assert_eq!(story(silence(vec![stall(-5_000, 600_000)])).local_stall_us, None);
}

#[test]
fn a_switch_that_fires_first_says_why() {
    let told = |diag: &str, sent_at: &[i64]| {
        let mut entries = vec![received(-40, packet("up", "none"))];
        entries.extend(sent_at.iter().map(|ms| sent(*ms)));
        entries.push(received(0, packet("down", diag)));
        entries.push(failed(0, "remote_down", diag));
        entries.sort_by_key(|entry| entry.at);
        story(entries)
    };
    let on_time = [-200, -160, -120, -80, -30];
    let lost = told("control_detection_time_expired", &on_time);
    assert_eq!(
        (lost.fired_first, lost.silence_us),
        (FiredFirst::Remote, Some(40_000))
    );
    assert!(lost.verdict.contains("lost on the way to it"), "{}", lost.verdict);
    let end = "the packet that ended it: down, diagnostic control_detection_time_expired, 50 ms x 3";
    assert!(
        lost.moments.iter().any(|moment| moment.text == end),
        "{:?}",
        lost.moments
    );
    let starved = told("control_detection_time_expired", &[-400, -5]);
    assert_eq!(starved.longest_pause_us, Some(395_000));
    assert!(
        starved.verdict.contains("the fault is on this node"),
        "{}",
        starved.verdict
    );
    assert!(told("none", &on_time).verdict.contains("restarted"));
    assert!(told("path_down", &on_time).verdict.ends_with("path_down"));
}

#[test]
fn the_slow_packets_before_a_session_comes_up_are_no_pause() {
    let mut up = failed(-2, "handshake", "none");
    if let EventReport::State { to, failure, .. } = &mut up.event {
        *to = "up".to_owned();
        *failure = false;
    }
    let crossed = "neighbor_signaled_session_down";
    let story = story(vec![
        sent(-900),
        received(-2, packet("up", "none")),
        up,
        sent(-1),
        received(0, packet("down", crossed)),
        failed(0, "remote_down", crossed),
    ]);
    assert_eq!((story.sent_before, story.longest_pause_us), (1, Some(1_000)));
    assert!(
        story.verdict.contains("crossed while coming up"),
        "{}",
        story.verdict
    );
}
