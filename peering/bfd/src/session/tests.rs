mod transmission;

use proptest::prelude::*;

use super::*;
use crate::{Hop, Key, MAX_PACKET_LEN, Packet};

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);
const LOCAL: u32 = 0x0a0a;
const REMOTE: u32 = 0x0b0b;

/// A session with its clock, and a remote system that says whatever the test wants.
struct Bench {
    session: Session,
    now: Instant,
}

impl Bench {
    fn new(config: SessionConfig) -> Self {
        let now = Instant::now();
        Self {
            session: Session::new(config, now, 1),
            now,
        }
    }

    /// A session in `state`, with everything sent and all events fetched.
    fn in_state(config: SessionConfig, state: State) -> Self {
        let mut bench = Self::new(config);
        match state {
            State::AdminDown => bench.session.admin_down(Diag::AdministrativelyDown, bench.now),
            State::Down => {}
            State::Init => bench.hear(packet(State::Down)).unwrap(),
            State::Up => {
                bench.hear(packet(State::Down)).unwrap();
                bench.hear(packet(State::Up)).unwrap();
                bench.sent();
                bench
                    .hear(ControlPacket {
                        is_final: true,
                        ..packet(State::Up)
                    })
                    .unwrap();
                bench.hear(packet(State::Up)).unwrap();
            }
        }
        assert_eq!(bench.session.state(), state);
        bench.sent();
        bench.events();
        bench
    }

    fn hear(&mut self, control: ControlPacket) -> Result<(), Discard> {
        let received_at = self.now;
        self.hear_with(
            control,
            PacketMeta {
                ttl: 255,
                received_at,
            },
        )
    }

    fn hear_with(&mut self, control: ControlPacket, meta: PacketMeta) -> Result<(), Discard> {
        let mut buf = [0; MAX_PACKET_LEN];
        let len = control.encode(None, &mut buf).unwrap();
        self.session.handle_packet(&buf[..len], meta, self.now)
    }

    fn sent(&mut self) -> Vec<ControlPacket> {
        let mut sent = Vec::new();
        let mut buf = [0; MAX_PACKET_LEN];
        while let Some(len) = self.session.poll_transmit(self.now, &mut buf) {
            sent.push(Packet::decode(&buf[..len]).unwrap().control);
            assert!(sent.len() < 4, "a session must not babble");
        }
        sent
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.session.poll_event()).collect()
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.session.handle_timeout(self.now);
    }

    /// Lets time pass from one wake-up to the next; the packets sent, with when.
    fn run(&mut self, time: Duration) -> Vec<(Instant, ControlPacket)> {
        let end = self.now + time;
        let mut log = Vec::new();
        while let Some(wake) = self.session.poll_timeout().filter(|wake| *wake <= end) {
            self.now = self.now.max(wake);
            self.session.handle_timeout(self.now);
            log.extend(self.sent().into_iter().map(|control| (self.now, control)));
        }
        self.now = end;
        log
    }
}

fn config() -> SessionConfig {
    let local = NonZeroU32::new(LOCAL).unwrap();
    SessionConfig::new(local, 50 * MS, 50 * MS, NonZeroU8::new(3).unwrap()).unwrap()
}

fn packet(state: State) -> ControlPacket {
    ControlPacket {
        diag: Diag::None,
        state,
        poll: false,
        is_final: false,
        control_plane_independent: false,
        demand: false,
        detect_mult: NonZeroU8::new(3).unwrap(),
        my_discriminator: NonZeroU32::new(REMOTE).unwrap(),
        your_discriminator: NonZeroU32::new(LOCAL),
        desired_min_tx: 50_000,
        required_min_rx: 50_000,
        required_min_echo_rx: 0,
    }
}

/// RFC 5880 §6.8.6, as a table: local state, received state, what becomes of it, and with which diagnostic.
#[test]
fn every_received_state_in_every_local_state() {
    use State::{AdminDown, Down, Init, Up};
    let signalled = Diag::NeighborSignaledSessionDown;
    let table = [
        (AdminDown, AdminDown, AdminDown, Diag::AdministrativelyDown, None),
        (AdminDown, Down, AdminDown, Diag::AdministrativelyDown, None),
        (AdminDown, Init, AdminDown, Diag::AdministrativelyDown, None),
        (AdminDown, Up, AdminDown, Diag::AdministrativelyDown, None),
        (Down, AdminDown, Down, Diag::None, None),
        (Down, Down, Init, Diag::None, Some(Cause::Handshake)),
        (Down, Init, Up, Diag::None, Some(Cause::Handshake)),
        (Down, Up, Down, Diag::None, None),
        (Init, AdminDown, Down, signalled, Some(Cause::RemoteAdminDown)),
        (Init, Down, Init, Diag::None, None),
        (Init, Init, Up, Diag::None, Some(Cause::Handshake)),
        (Init, Up, Up, Diag::None, Some(Cause::Handshake)),
        (Up, AdminDown, Down, signalled, Some(Cause::RemoteAdminDown)),
        (Up, Down, Down, signalled, Some(Cause::RemoteDown)),
        (Up, Init, Up, Diag::None, None),
        (Up, Up, Up, Diag::None, None),
    ];
    assert_eq!(table.len(), State::ALL.len() * State::ALL.len());
    for (local, received, expected, diag, cause) in table {
        for bits in 0..16_u8 {
            let mut bench = Bench::in_state(config(), local);
            let [poll, is_final, demand, independent] = [1, 2, 4, 8].map(|bit| bits & bit != 0);
            let control_plane_independent = independent;
            let control = ControlPacket {
                poll,
                is_final,
                demand,
                control_plane_independent,
                ..packet(received)
            };

            let outcome = bench.hear(control);

            let discarded = (local == AdminDown).then_some(Discard::LocalAdminDown);
            assert_eq!(outcome.err(), discarded, "{local:?} {received:?}");
            assert_eq!(bench.session.state(), expected, "{local:?} {received:?}");
            assert_eq!(bench.session.diagnostic(), diag, "{local:?} {received:?}");
            assert_eq!(bench.session.remote().state, received);
            let changes: Vec<Cause> = bench.events().into_iter().filter_map(cause_of).collect();
            assert_eq!(
                changes,
                cause.into_iter().collect::<Vec<_>>(),
                "{local:?} {received:?}"
            );
            // RFC 5880 §6.8.7: a Poll is answered in every state in which the packet is not discarded.
            let finals = bench.sent().iter().filter(|sent| sent.is_final).count();
            assert_eq!(
                finals,
                usize::from(poll && local != AdminDown),
                "{local:?} {received:?}"
            );
        }
    }
}

/// The other two columns of the table: silence and the administrator.
#[test]
fn every_other_input_in_every_local_state() {
    use State::{AdminDown, Down, Init, Up};
    for local in State::ALL {
        let mut bench = Bench::in_state(config(), local);
        bench.pass(10 * S);
        let silent = if local == AdminDown { AdminDown } else { Down };
        assert_eq!(bench.session.state(), silent);
        let diag = match local {
            AdminDown => Diag::AdministrativelyDown,
            Down => Diag::None,
            Init | Up => Diag::ControlDetectionTimeExpired,
        };
        assert_eq!(bench.session.diagnostic(), diag);

        let mut bench = Bench::in_state(config(), local);
        bench.session.admin_down(Diag::PathDown, bench.now);
        assert_eq!(
            (bench.session.state(), bench.session.diagnostic()),
            (AdminDown, Diag::PathDown)
        );
        assert_eq!(
            bench.sent().last().map(|sent| (sent.state, sent.diag)),
            Some((AdminDown, Diag::PathDown))
        );

        let mut bench = Bench::in_state(config(), local);
        bench.session.enable(bench.now);
        assert_eq!(
            bench.session.state(),
            if local == AdminDown { Down } else { local }
        );
    }
}

#[test]
fn silence_in_init_is_noticed_and_the_remote_discriminator_cleared() {
    for local in State::ALL {
        let mut bench = Bench::in_state(config(), local);
        let _ = bench.hear(ControlPacket {
            desired_min_tx: 1_000_000,
            ..packet(State::AdminDown)
        });
        bench.session.enable(bench.now);
        let _ = bench.hear(ControlPacket {
            desired_min_tx: 1_000_000,
            ..packet(State::Down)
        });
        assert_eq!(bench.session.state(), State::Init);
        bench.events();

        bench.pass(3 * S - MS);
        assert_eq!(bench.session.state(), State::Init);
        assert!(bench.session.remote().discriminator.is_some());
        bench.pass(MS);

        assert_eq!(bench.session.state(), State::Down);
        assert_eq!(bench.session.remote().discriminator, None);
        assert_eq!(bench.sent()[0].your_discriminator, None);
        assert_eq!(
            bench
                .events()
                .into_iter()
                .filter_map(cause_of)
                .collect::<Vec<_>>(),
            [Cause::DetectionExpired]
        );
    }
}

proptest! {
    /// RFC 5880 §6.8.4.
    #[test]
    fn detection_time_is_remote_mult_times_the_greater_interval(rx in 1_u32.., tx: u32, mult in 1_u8..) {
        let rx_time = Duration::from_micros(rx.into());
        let local = NonZeroU32::new(LOCAL).unwrap();
        let own_mult = NonZeroU8::new(200).unwrap();
        let mut bench = Bench::new(SessionConfig::new(local, MS, rx_time, own_mult).unwrap());
        prop_assert_eq!(bench.session.detection_time(), None);

        let detect_mult = NonZeroU8::new(mult).unwrap();
        bench.hear(ControlPacket { desired_min_tx: tx, detect_mult, ..packet(State::Down) }).unwrap();

        let expected = Duration::from_micros(u64::from(rx.max(tx)) * u64::from(mult));
        prop_assert_eq!(bench.session.detection_time(), Some(expected));
        prop_assert_eq!(bench.session.detection_deadline(), Some(bench.now + expected));
    }

    /// RFC 5880 §6.8.2, §6.8.7: whatever the intervals, periodic packets keep 75 to 100 % of the greater one.
    #[test]
    fn periodic_packets_keep_the_interval(ours in 1_000_u32..5_000_000, theirs in 1_u32..5_000_000, mult in 1_u8..4) {
        let ours_time = Duration::from_micros(ours.into());
        let local = NonZeroU32::new(LOCAL).unwrap();
        let own_mult = NonZeroU8::new(mult).unwrap();
        let config = SessionConfig::new(local, ours_time, 3_000 * S, own_mult).unwrap();
        let mut bench = Bench::in_state(config, State::Up);
        bench.hear(ControlPacket { required_min_rx: theirs, ..packet(State::Up) }).unwrap();
        let interval = Duration::from_micros(ours.max(theirs).into());
        prop_assert_eq!(bench.session.transmit_interval(), Some(interval));

        let log = bench.run(interval * 20);

        prop_assert!(log.len() >= 20, "{}", log.len());
        let most = if mult == 1 { interval * 9 / 10 } else { interval };
        for pair in log.windows(2) {
            let gap = pair[1].0 - pair[0].0;
            prop_assert!(gap * 4 >= interval * 3 && gap <= most, "{gap:?} of {interval:?}");
        }
    }

    /// Nothing that can be received panics, leaves a state the RFC does not know, or draws more than one packet per
    /// packet out of us.
    #[test]
    fn any_packets_in_any_order(
        packets in prop::collection::vec((any::<[u8; 3]>(), any::<[u32; 3]>(), 0_u32..400, any::<bool>()), 1..60),
    ) {
        let mut bench = Bench::new(config());
        bench.sent();
        for ([head, flags, mult], [tx, rx, yours], ms, own) in packets {
            bench.pass(ms * MS);
            bench.sent();
            let mut payload = [0; 24];
            payload[..4].copy_from_slice(&[0x20 | (head & 0x1f), flags & 0xfa, mult, 24]);
            payload[4..8].copy_from_slice(&REMOTE.to_be_bytes());
            payload[8..12].copy_from_slice(&if own { LOCAL } else { yours & 1 }.to_be_bytes());
            payload[12..16].copy_from_slice(&tx.to_be_bytes());
            payload[16..20].copy_from_slice(&(rx % 100_000).to_be_bytes());
            let meta = PacketMeta { ttl: 255, received_at: bench.now };

            let _ = bench.session.handle_packet(&payload, meta, bench.now);

            let sent = bench.sent();
            let beyond_final = sent.iter().filter(|sent| !sent.is_final).count();
            prop_assert!(beyond_final <= 1 && sent.len() <= 2, "{sent:?}");
            prop_assert!(sent.iter().all(|sent| !(sent.poll && sent.is_final)));
            let slow = |sent: &ControlPacket| sent.state == State::Up || sent.desired_min_tx >= 1_000_000;
            prop_assert!(sent.iter().all(slow));
        }
    }
}

#[test]
fn the_arrival_decides_not_the_handling() {
    let mut bench = Bench::in_state(config(), State::Up);
    let start = bench.now;
    bench.now = start + 400 * MS;

    // Arrived 10 ms before the deadline, handled 250 ms after it.
    bench
        .hear_with(
            packet(State::Up),
            PacketMeta {
                ttl: 255,
                received_at: start + 140 * MS,
            },
        )
        .unwrap();
    assert_eq!(bench.session.state(), State::Up);
    bench
        .hear_with(
            packet(State::Up),
            PacketMeta {
                ttl: 255,
                received_at: start + 285 * MS,
            },
        )
        .unwrap();
    bench.session.handle_timeout(bench.now);
    assert_eq!(bench.session.state(), State::Up);

    // Arrived after the deadline: too late, however promptly it is handled.
    bench.now = start + 436 * MS;
    bench
        .hear_with(
            packet(State::Up),
            PacketMeta {
                ttl: 255,
                received_at: start + 436 * MS,
            },
        )
        .unwrap();
    assert_eq!(bench.session.state(), State::Down);
    assert_eq!(bench.session.counters().detection_expirations, 1);
}

#[test]
fn an_arrival_in_the_future_counts_as_now() {
    let mut bench = Bench::in_state(config(), State::Up);

    bench
        .hear_with(
            packet(State::Up),
            PacketMeta {
                ttl: 255,
                received_at: bench.now + 9 * S,
            },
        )
        .unwrap();

    assert_eq!(bench.session.detection_deadline(), Some(bench.now + 150 * MS));
}

#[test]
fn grace_is_granted_once_per_silence() {
    let mut bench = Bench::in_state(config(), State::Up);
    let start = bench.now;
    bench.now = start + S;
    assert!(bench.session.grant_grace(bench.now));
    // A packet from before the stall does not take it back.
    bench
        .hear_with(
            packet(State::Up),
            PacketMeta {
                ttl: 255,
                received_at: start + 100 * MS,
            },
        )
        .unwrap();
    bench.pass(149 * MS);
    assert_eq!(bench.session.state(), State::Up);
    assert!(!bench.session.grant_grace(bench.now));
    bench.pass(MS);
    assert_eq!(bench.session.state(), State::Down);
    assert!(!bench.session.grant_grace(bench.now));

    let mut bench = Bench::in_state(config(), State::Up);
    bench.pass(100 * MS);
    assert!(bench.session.grant_grace(bench.now));
    bench.now += MS;
    bench.hear(packet(State::Up)).unwrap();
    assert!(bench.session.grant_grace(bench.now));
    assert_eq!(bench.session.counters().graces, 2);
}

#[test]
fn an_admin_down_is_no_failure_at_either_end() {
    let mut bench = Bench::in_state(config(), State::Up);
    bench.hear(packet(State::AdminDown)).unwrap();
    let events = bench.events();
    assert_eq!(events[0], Event::RemoteDisabled);
    let Event::StateChanged(change) = events[1] else {
        panic!("{events:?}")
    };
    assert_eq!(
        (change.cause, change.is_failure()),
        (Cause::RemoteAdminDown, false)
    );
    // Silence afterwards is no news; speaking is.
    bench.pass(100 * S);
    assert!(bench.session.is_remote_disabled());
    assert!(crate::may_establish(&bench.session, true));
    bench.hear(packet(State::Down)).unwrap();
    assert_eq!(bench.events()[0], Event::RemoteEnabled);
    assert!(!crate::may_establish(&bench.session, true));
    assert!(crate::may_establish(&bench.session, false));

    let mut bench = Bench::in_state(config(), State::Up);
    bench.session.admin_down(Diag::AdministrativelyDown, bench.now);
    let events = bench.events();
    assert!(matches!(events[..], [Event::StateChanged(change)] if !change.is_failure()));
    assert_eq!(
        (
            bench.session.counters().failures,
            bench.session.counters().admin_downs
        ),
        (0, 1)
    );
}

#[test]
fn an_admin_down_session_is_kept_until_the_remote_system_knows() {
    let mut bench = Bench::in_state(config(), State::Up);
    assert!(!bench.session.is_safe_to_remove(bench.now));
    bench.session.admin_down(Diag::AdministrativelyDown, bench.now);
    bench.sent();
    assert!(!bench.session.is_safe_to_remove(bench.now + 149 * MS));
    assert!(bench.session.is_safe_to_remove(bench.now + 150 * MS));

    // A remote system that wants fewer packets notices later.
    let mut slow = Bench::in_state(config(), State::Up);
    slow.hear(ControlPacket {
        required_min_rx: 400_000,
        ..packet(State::Up)
    })
    .unwrap();
    slow.session.admin_down(Diag::AdministrativelyDown, slow.now);
    slow.sent();
    assert!(!slow.session.is_safe_to_remove(slow.now + 1_199 * MS));
    assert!(slow.session.is_safe_to_remove(slow.now + 1_200 * MS));

    assert_eq!(bench.hear(packet(State::Down)), Err(Discard::LocalAdminDown));
    assert!(bench.session.is_safe_to_remove(bench.now));
    bench.session.enable(bench.now);
    assert!(!bench.session.is_safe_to_remove(bench.now));
}

#[test]
fn the_ttl_is_checked_on_one_hop_and_floored_on_several() {
    let at = |bench: &Bench, ttl| PacketMeta {
        ttl,
        received_at: bench.now,
    };
    let mut single = Bench::new(config());
    let mut multi = Bench::new(config().with_hop(Hop::Multi { min_ttl: 254 }));

    assert_eq!(
        single.hear_with(packet(State::Down), at(&single, 254)),
        Err(Discard::Ttl)
    );
    assert_eq!(single.hear_with(packet(State::Down), at(&single, 255)), Ok(()));
    assert_eq!(
        multi.hear_with(packet(State::Down), at(&multi, 253)),
        Err(Discard::Ttl)
    );
    assert_eq!(multi.hear_with(packet(State::Down), at(&multi, 254)), Ok(()));
    assert_eq!(single.session.counters().discarded(Discard::Ttl), 1);
}

#[test]
fn a_discarded_packet_changes_nothing_and_is_counted() {
    let secret = Auth::new(crate::AuthType::KeyedSha1, Key::new(1, b"k")).unwrap();
    let mut bench = Bench::in_state(config(), State::Up);
    bench.pass(10 * MS);
    bench.sent();
    let deadline = bench.session.detection_deadline();
    let meta = PacketMeta {
        ttl: 255,
        received_at: bench.now,
    };
    let mut buf = [0; MAX_PACKET_LEN];
    let len = secret.sign(&packet(State::Down), 1, &mut buf);

    let stranger = ControlPacket {
        your_discriminator: NonZeroU32::new(1),
        ..packet(State::Down)
    };
    assert_eq!(bench.hear(stranger), Err(Discard::UnknownYourDiscriminator));
    let signed = bench.session.handle_packet(&buf[..len], meta, bench.now);
    assert_eq!(signed, Err(Discard::AuthUnexpected));
    assert_eq!(
        bench.session.handle_packet(&[], meta, bench.now),
        Err(Discard::Truncated)
    );
    assert_eq!(
        bench.session.handle_packet(&[0xff; 24], meta, bench.now),
        Err(Discard::Version)
    );

    assert_eq!(bench.session.state(), State::Up);
    assert_eq!(bench.session.detection_deadline(), deadline);
    assert_eq!(bench.session.counters().discarded_total(), 4);
    assert!(bench.events().is_empty() && bench.sent().is_empty());
    bench.session.set_auth(Some(secret));
    assert_eq!(bench.hear(packet(State::Down)), Err(Discard::AuthMissing));
}

#[test]
fn another_authentication_type_starts_another_numbering() {
    let auth = |auth_type| Auth::new(auth_type, Key::new(1, b"k")).unwrap();
    let (sha1, md5) = (auth(crate::AuthType::KeyedSha1), auth(crate::AuthType::KeyedMd5));
    let mut bench = Bench::new(config().with_auth(sha1.clone()));
    let meta = PacketMeta {
        ttl: 255,
        received_at: bench.now,
    };
    let mut hear = |auth: &Auth, sequence| {
        let mut buf = [0; MAX_PACKET_LEN];
        let len = auth.sign(&packet(State::Down), sequence, &mut buf);
        bench.session.set_auth(Some(auth.clone()));
        bench.session.handle_packet(&buf[..len], meta, bench.now)
    };

    assert_eq!(hear(&sha1, 1_000), Ok(()));
    assert_eq!(hear(&sha1, 5), Err(Discard::AuthSequence));
    assert_eq!(hear(&md5, 5), Ok(()));
}

#[test]
fn the_c_bit_is_sent_and_told() {
    let mut bench = Bench::in_state(config().with_control_plane_independent(true), State::Up);
    let independent = ControlPacket {
        control_plane_independent: true,
        ..packet(State::Up)
    };
    bench.hear(independent).unwrap();
    assert!(
        bench
            .run(60 * MS)
            .iter()
            .all(|(_, sent)| sent.control_plane_independent)
    );

    bench.pass(S);

    let events = bench.events();
    assert!(matches!(events[..], [Event::StateChanged(change)] if change.control_plane_independent));
}

#[test]
fn events_that_nobody_fetches_do_not_pile_up() {
    let mut bench = Bench::new(config());
    for _ in 0..1_000 {
        bench.session.admin_down(Diag::None, bench.now);
        bench.session.enable(bench.now);
    }

    let events = bench.events();

    assert_eq!(events.len(), 32);
    assert_eq!(bench.session.counters().events_lost, 2_000 - 32);
    assert!(matches!(events[31], Event::StateChanged(change) if change.to == State::Down));
}

/// A session lives on the owner's thread, wherever it was made.
#[test]
fn a_session_can_be_handed_to_a_thread() {
    let session = Session::new(config(), Instant::now(), 1);

    let state = std::thread::spawn(move || session.state()).join().unwrap();

    assert_eq!(state, State::Down);
}

#[test]
fn every_discard_has_a_slot_and_a_label() {
    let mut counters = Counters::default();
    for (index, reason) in Discard::ALL.into_iter().enumerate() {
        assert_eq!(reason as usize, index);
        counters.count_discard(reason);
        assert_eq!(counters.discarded(reason), 1);
    }
    let labels: std::collections::HashSet<_> = Discard::ALL.map(Discard::label).into();
    assert_eq!(labels.len(), Discard::ALL.len());
}

fn cause_of(event: Event) -> Option<Cause> {
    match event {
        Event::StateChanged(change) => Some(change.cause),
        Event::RemoteDisabled | Event::RemoteEnabled | Event::PollCompleted => None,
    }
}
