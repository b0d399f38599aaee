use super::*;

fn sent(number: u8) -> RecordedWhat {
    RecordedWhat::Sent {
        packet: RecordedPacket::new(&[number]),
        taken: true,
    }
}

fn dropped(reason: Discard) -> RecordedWhat {
    RecordedWhat::Received {
        packet: RecordedPacket::new(b"junk"),
        from: "10.0.0.7:5".parse().unwrap(),
        ttl: 254,
        discard: Some(reason),
        repeated: 0,
    }
}

fn contents(recorder: &Recorder) -> (Vec<RecordedWhat>, Vec<RecordedWhat>) {
    let mut recording = Recording::reserve(1);
    recorder.write_to(&mut recording);
    let what = |entries: Vec<Recorded>| entries.into_iter().map(|entry| entry.what).collect();
    (what(recording.failure), what(recording.latest))
}

#[test]
fn last_entries_are_kept_in_order() {
    let mut recorder = Recorder::new();
    for number in 0..=255 {
        recorder.record(Instant::now(), sent(number));
    }

    let (failure, latest) = contents(&recorder);

    assert!(failure.is_empty());
    assert_eq!(latest, (128..=255).map(sent).collect::<Vec<_>>());
}

#[test]
fn failure_stays_while_the_recorder_goes_on() {
    let mut recorder = Recorder::new();
    for number in 0..200 {
        recorder.record(Instant::now(), sent(number));
    }
    recorder.freeze();
    recorder.record(Instant::now(), sent(200));

    let (failure, latest) = contents(&recorder);

    assert_eq!(failure, (72..200).map(sent).collect::<Vec<_>>());
    assert_eq!(latest, (73..=200).map(sent).collect::<Vec<_>>());
}

#[test]
fn junk_is_counted_and_pushes_nothing_out() {
    for already in [0, 5, 127, 128, 200] {
        let mut recorder = Recorder::new();
        for number in 0..already {
            recorder.record(Instant::now(), sent(number));
        }
        for _ in 0..1_000 {
            recorder.record(Instant::now(), dropped(Discard::Ttl));
        }
        recorder.record(Instant::now(), dropped(Discard::AuthDigest));

        let (_, latest) = contents(&recorder);

        assert_eq!(latest.len(), RECORDING_LEN.min(usize::from(already) + 2));
        let [.., ttl, digest] = latest[..] else {
            panic!("two entries")
        };
        assert!(
            matches!(
                ttl,
                RecordedWhat::Received {
                    discard: Some(Discard::Ttl),
                    repeated: 999,
                    ..
                }
            ),
            "{ttl:?}"
        );
        assert_eq!(digest, dropped(Discard::AuthDigest));
    }
}

#[test]
fn long_packets_are_cut_off() {
    let packet = RecordedPacket::new(&[7; 200]);

    assert_eq!(packet.octets(), [7; RECORDED_OCTETS]);
    assert_eq!(RecordedPacket::new(&[1, 2]).octets(), [1, 2]);
    assert_eq!(format!("{:?}", RecordedPacket::new(&[1, 0xab])), "01ab");
}

#[test]
fn nothing_is_allocated_while_it_runs() {
    let mut recorder = Recorder::new();
    let before = recorder.ring.entries.capacity();
    for number in 0..=255 {
        recorder.record(Instant::now(), sent(number));
        recorder.freeze();
    }

    assert_eq!(recorder.ring.entries.capacity(), before);
    assert_eq!(recorder.failure.entries.capacity(), before);
}

#[test]
fn instants_become_times_of_day() {
    let recording = Recording::reserve(1);
    let (instant, time) = recording.clocks;
    let second = Duration::from_secs(1);

    assert_eq!(recording.time_of(instant - second), time - second);
    assert_eq!(recording.time_of(instant + second), time + second);
}
