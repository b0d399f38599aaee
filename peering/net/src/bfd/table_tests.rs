use super::*;
use crate::bfd::spec::BfdSpec;
use bfd::{Hop, Reaction};
use std::num::NonZeroU8;

const PORTS: usize = Port::ALL.len();
const HERE: &str = "10.0.0.1";
const THERE: &str = "10.0.0.2";
const STEP: Duration = Duration::from_millis(1);
const DETECTION: Duration = Duration::from_millis(150);

/// Two tables and a wire without delay. `here` is the one under test.
struct Lab {
    now: Instant,
    here: End,
    there: End,
    /// Packets get through, from here to there and back.
    open: (bool, bool),
}

struct End {
    table: Table,
    address: &'static str,
    interface: u32,
    bound: Vec<u64>,
    events: Vec<BfdEvent>,
    sent: u64,
}

impl End {
    fn new(address: &'static str) -> Self {
        let mut table = Table::new(4, 7);
        for port in Port::ALL {
            table.set_open(port, true);
        }
        Self {
            table,
            address,
            interface: 5,
            bound: Vec::new(),
            events: Vec::new(),
            sent: 0,
        }
    }

    fn set(&mut self, specs: &[BfdSpec], now: Instant) {
        let mut list: Vec<Wanted> = specs.iter().map(wanted).collect();
        self.table.apply(&mut list, now);
        self.bind(now);
    }

    /// Does what the owner of the sockets does.
    fn bind(&mut self, now: Instant) {
        if !self.table.take_changed() {
            return;
        }
        for index in 0..self.table.len() {
            let Some(id) = self.table.slot(index).map(|slot| slot.id) else {
                continue;
            };
            if self.bound.contains(&id) {
                continue;
            }
            self.bound.push(id);
            self.table.set_binding(index, self.binding(), now);
        }
    }

    fn binding(&self) -> Binding {
        Binding {
            local: self.address.parse().unwrap(),
            source_port: 50_000,
            interface: NonZeroU32::new(self.interface),
        }
    }

    fn receive(&mut self, payload: &[u8], from: &str, received_at: Instant, now: Instant) {
        let datagram = Datagram {
            payload,
            source: (from.parse::<IpAddr>().unwrap(), 50_000).into(),
            destination: Some(self.address.parse().unwrap()),
            interface: NonZeroU32::new(self.interface),
            ttl: Some(255),
            stamp: None,
            dropped: None,
        };
        self.table.receive(Port::SingleV4, &datagram, received_at, now);
    }

    fn transmit(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        self.table.transmit(now, |_, packet| {
            packets.push(packet.to_vec());
            Sending::Taken
        });
        self.sent += packets.len() as u64;
        packets
    }

    fn fetch(&mut self) {
        let events = &mut self.events;
        self.table.news().drain_to(|event| events.push(event));
    }

    fn state(&self, key: u64) -> Option<State> {
        Some(self.table.find(key)?.session.state())
    }

    fn downs(&mut self) -> Vec<BfdDown> {
        self.fetch();
        let down = |event: &BfdEvent| match event {
            BfdEvent::Down(down) => Some(*down),
            BfdEvent::Up { .. }
            | BfdEvent::RemoteAdminDown { .. }
            | BfdEvent::RemoteEnabled { .. }
            | BfdEvent::Removed { .. }
            | BfdEvent::Refused { .. }
            | BfdEvent::SendFailed { .. }
            | BfdEvent::SendRecovered { .. }
            | BfdEvent::ListenFailed { .. }
            | BfdEvent::Listening { .. }
            | BfdEvent::LocalStall { .. } => None,
        };
        self.events.iter().filter_map(down).collect()
    }

    fn heard(&mut self, event: BfdEvent) -> bool {
        self.fetch();
        self.events.contains(&event)
    }
}

impl Lab {
    fn new() -> Self {
        let now = Instant::now();
        let mut lab = Self {
            now,
            here: End::new(HERE),
            there: End::new(THERE),
            open: (true, true),
        };
        lab.here.set(&[spec(1, THERE)], now);
        lab.there.set(&[spec(1, HERE)], now);
        lab
    }

    fn up() -> Self {
        let mut lab = Self::new();
        lab.run_until(|lab| lab.here.state(1) == Some(State::Up) && lab.there.state(1) == Some(State::Up));
        lab.run(Duration::from_secs(2));
        lab.here.events.clear();
        lab.there.events.clear();
        lab
    }

    /// Up, and the other end bears long stalls of ours.
    fn up_patient() -> Self {
        let mut lab = Self::up();
        lab.here.set(&[patient(1, THERE)], lab.now);
        lab.run(Duration::from_secs(1));
        lab
    }

    /// A turn of both ends without any delay.
    fn turn(&mut self) {
        let now = self.now;
        for _ in 0..4 {
            for packet in self.here.transmit(now) {
                if self.open.0 {
                    self.there.receive(&packet, HERE, now, now);
                }
            }
            for packet in self.there.transmit(now) {
                if self.open.1 {
                    self.here.receive(&packet, THERE, now, now);
                }
            }
        }
        for end in [&mut self.here, &mut self.there] {
            end.table.judge(now, &[now; PORTS]);
            end.bind(now);
            end.fetch();
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += STEP;
            self.turn();
        }
    }

    fn run_until(&mut self, done: impl Fn(&Self) -> bool) {
        for _ in 0..10_000 {
            if done(self) {
                return;
            }
            self.run(STEP);
        }
        panic!("not within 10 s: {:#?}", self.here.events);
    }

    /// Time passes for the wire and the other end only; packets to us wait in our socket.
    fn stall(&mut self, time: Duration) -> Vec<(Instant, Vec<u8>)> {
        let end = self.now + time;
        let mut waiting = Vec::new();
        while self.now < end {
            self.now += STEP;
            let packets = self.there.transmit(self.now);
            waiting.extend(packets.into_iter().map(|packet| (self.now, packet)));
            self.there.table.judge(self.now, &[self.now; PORTS]);
        }
        waiting
    }
}

fn spec(key: u64, peer: &str) -> BfdSpec {
    BfdSpec {
        key,
        peer: peer.parse().unwrap(),
        local: None,
        device: None,
        desired_min_tx: Duration::from_millis(50),
        required_min_rx: Duration::from_millis(50),
        detect_mult: NonZeroU8::new(3).unwrap(),
        hop: Hop::Single,
        passive: false,
        auth: None,
        control_plane_independent: false,
    }
}

/// One that gives up late, so that it forgives our stalls.
fn patient(key: u64, peer: &str) -> BfdSpec {
    BfdSpec {
        detect_mult: NonZeroU8::new(100).unwrap(),
        ..spec(key, peer)
    }
}

fn wanted(spec: &BfdSpec) -> Wanted {
    Wanted {
        spec: spec.clone(),
        device: None,
        enabled: true,
    }
}

#[test]
fn silence_is_judged_at_the_deadline_and_not_before() {
    let mut lab = Lab::up();
    lab.open = (true, false);
    let deadline = lab.here.table.find(1).unwrap().session.detection_deadline();
    let deadline = deadline.unwrap();

    lab.run(deadline - lab.now - STEP);
    assert_eq!(lab.here.downs(), []);
    lab.run(2 * STEP);

    let [down] = lab.here.downs()[..] else {
        panic!("{:#?}", lab.here.events)
    };
    assert_eq!(down.cause, Cause::DetectionExpired);
    assert_eq!(
        down.reaction,
        Reaction::TearDown {
            abort_graceful_restart: false
        }
    );
    assert_eq!(down.detection_time, Some(DETECTION));
    let silent = down.silent_for.unwrap();
    assert!(silent >= DETECTION && silent <= DETECTION + STEP, "{silent:?}");
    assert!(!down.local_stall);
}

#[test]
fn session_is_not_judged_while_its_socket_may_hold_an_older_packet() {
    let mut lab = Lab::up_patient();
    let waiting = lab.stall(Duration::from_millis(400));
    let now = lab.now;
    let deadline = lab.here.table.find(1).unwrap().session.detection_deadline();
    let early = deadline.unwrap() - STEP;
    assert!(deadline.unwrap() < now);

    let mut drained = [now; PORTS];
    drained[Port::SingleV4 as usize] = early;
    assert_eq!(
        lab.here.table.undrained(now, &drained),
        [true, false, false, false]
    );
    lab.here.table.judge(now, &drained);
    assert_eq!(lab.here.downs(), []);
    assert!(lab.here.table.deadline().unwrap() <= now, "no sleep until judged");

    for (received_at, packet) in waiting {
        lab.here.receive(&packet, THERE, received_at, now);
    }
    lab.here.table.judge(now, &[now; PORTS]);
    assert_eq!(lab.here.downs(), []);
    assert_eq!(lab.here.state(1), Some(State::Up));
}

#[test]
fn packet_that_came_too_late_does_not_save_the_session() {
    let mut lab = Lab::up_patient();
    let waiting = lab.stall(Duration::from_millis(400));
    let (received_at, packet) = waiting.last().unwrap();

    lab.here.receive(packet, THERE, *received_at, lab.now);

    let [down] = lab.here.downs()[..] else {
        panic!("{:#?}", lab.here.events)
    };
    assert_eq!(down.cause, Cause::DetectionExpired);
}

#[test]
fn stall_of_the_machine_is_told_and_forgiven_once() {
    let mut lab = Lab::up_patient();

    // Nothing was received meanwhile: the whole machine stood still.
    let stalled = Duration::from_millis(400);
    lab.now += stalled;
    assert!(lab.here.table.stalled(stalled, lab.now));
    let at = lab.now;
    assert!(lab.here.heard(BfdEvent::LocalStall { stalled, at }));
    lab.open = (true, false);
    lab.run(DETECTION - 2 * STEP);
    assert_eq!(lab.here.downs(), []);

    lab.run(4 * STEP);
    let [down] = lab.here.downs()[..] else {
        panic!("{:#?}", lab.here.events)
    };
    assert_eq!(down.cause, Cause::DetectionExpired);
    assert!(down.local_stall, "what led to it was our stall");
}

#[test]
fn session_goes_on_after_a_stall() {
    let mut lab = Lab::up_patient();
    let received = lab.here.table.find(1).unwrap().session.counters().received;

    lab.now += Duration::from_millis(400);
    lab.here.table.stalled(Duration::from_millis(400), lab.now);
    lab.run(Duration::from_secs(5));

    assert_eq!(lab.here.downs(), []);
    assert!(lab.here.table.find(1).unwrap().session.counters().received > received + 50);
}

#[test]
fn other_end_that_gave_us_up_in_our_stall_is_not_blamed() {
    let mut lab = Lab::up();
    let stalled = Duration::from_millis(400);
    let waiting = lab.stall(stalled);
    assert_eq!(lab.there.downs().len(), 1);

    assert!(lab.here.table.stalled(stalled, lab.now));
    for (received_at, packet) in waiting {
        lab.here.receive(&packet, THERE, received_at, lab.now);
    }

    let [down] = lab.here.downs()[..] else {
        panic!("{:#?}", lab.here.events)
    };
    assert_eq!((down.cause, down.local_stall), (Cause::RemoteDown, true));
    let mut status = BfdThreadStatus::default();
    lab.here.table.write_status(&mut status);
    assert_eq!((status.local_stalls, status.longest_stall), (1, stalled));
}

#[test]
fn failure_long_after_a_stall_is_the_fault_of_the_other_end() {
    let mut lab = Lab::up();
    lab.now += DETECTION;
    assert!(lab.here.table.stalled(DETECTION, lab.now));
    lab.run(Duration::from_secs(10));
    lab.here.events.clear();

    lab.open = (true, false);
    lab.run(Duration::from_secs(1));

    let [down] = lab.here.downs()[..] else {
        panic!("{:#?}", lab.here.events)
    };
    assert!(!down.local_stall);
}

#[test]
fn lateness_that_hurts_nobody_is_not_told() {
    let mut lab = Lab::up();

    assert!(!lab.here.table.stalled(Duration::from_micros(900), lab.now));
    assert!(!lab.here.table.stalled(Duration::from_millis(60), lab.now));

    assert_eq!(lab.here.table.find(1).unwrap().session.counters().graces, 0);
    lab.here.fetch();
    assert_eq!(lab.here.events, []);
}

#[test]
fn packets_that_the_kernel_dropped_are_forgiven_once() {
    let mut lab = Lab::up();
    lab.open = (true, false);
    lab.run(Duration::from_millis(20));
    lab.here.table.overflowed(Port::SingleV4, lab.now);

    lab.run(DETECTION);
    assert_eq!(lab.here.downs(), []);
    lab.run(DETECTION);
    assert_eq!(lab.here.downs().len(), 1);
}

#[test]
fn packets_that_were_dropped_before_or_elsewhere_are_no_excuse() {
    let mut lab = Lab::up();
    lab.here.table.overflowed(Port::SingleV4, lab.now);
    lab.run(Duration::from_millis(200));
    lab.open = (true, false);
    lab.run(Duration::from_millis(20));
    lab.here.table.overflowed(Port::MultiV4, lab.now);

    lab.run(DETECTION);

    assert_eq!(lab.here.downs().len(), 1);
}

#[test]
fn session_whose_spec_did_not_change_is_not_touched() {
    let mut lab = Lab::up();
    let before = format!("{:?}", lab.here.table.find(1).unwrap().session);
    let due = lab.here.table.deadline();

    lab.here.set(&[spec(1, THERE)], lab.now);

    assert_eq!(format!("{:?}", lab.here.table.find(1).unwrap().session), before);
    assert_eq!(lab.here.table.deadline(), due);
}

#[test]
fn new_intervals_are_taken_over_without_a_flap() {
    let mut lab = Lab::up();
    let discriminator = lab.here.table.find(1).unwrap().session.config().clone();
    let slow = Duration::from_millis(200);

    lab.here.set(
        &[BfdSpec {
            desired_min_tx: slow,
            required_min_rx: slow,
            detect_mult: NonZeroU8::new(5).unwrap(),
            ..spec(1, THERE)
        }],
        lab.now,
    );
    lab.run(Duration::from_secs(3));

    let session = &lab.here.table.find(1).unwrap().session;
    assert_eq!(
        session.config().local_discriminator(),
        discriminator.local_discriminator()
    );
    assert_eq!(session.transmit_interval(), Some(slow));
    assert_eq!(session.detection_time(), Some(3 * slow));
    let remote = &lab.there.table.find(1).unwrap().session;
    assert_eq!(remote.detection_time(), Some(5 * slow));
    assert_eq!(lab.here.downs(), []);
    assert_eq!(lab.there.downs(), []);
}

#[test]
fn removed_session_tells_the_other_end_and_goes() {
    let mut lab = Lab::up();

    lab.here.set(&[], lab.now);
    assert!(!lab.here.table.is_empty(), "it has to say good-bye");
    lab.run(DETECTION);

    assert!(lab.here.table.is_empty());
    assert!(lab.here.heard(BfdEvent::Removed { key: 1 }));
    let [down] = lab.there.downs()[..] else {
        panic!("{:#?}", lab.there.events)
    };
    assert_eq!(
        (down.cause, down.reaction),
        (Cause::RemoteAdminDown, Reaction::Ignore)
    );
    assert_eq!(lab.here.table.deadline(), None);
}

#[test]
fn session_that_nobody_answers_leaves_after_a_detection_time_at_the_latest() {
    let mut lab = Lab::up();
    lab.open = (true, false);
    lab.here.set(&[], lab.now);

    lab.run(DETECTION / 2);
    assert!(!lab.here.table.is_empty());
    lab.run(DETECTION / 2 + STEP);
    assert!(lab.here.table.is_empty());
}

#[test]
fn replaced_session_makes_room_for_its_successor() {
    let mut lab = Lab::up();
    let old = lab.here.table.find(1).unwrap().id;

    let passive = BfdSpec {
        control_plane_independent: true,
        ..spec(1, THERE)
    };
    lab.here.set(&[passive], lab.now);
    assert_eq!(lab.here.table.slots.iter().flatten().count(), 2);
    lab.run_until(|lab| {
        let new = lab.here.table.find(1).unwrap();
        new.id != old
            && new.session.state() == State::Up
            && lab.here.table.slots.iter().flatten().count() == 1
    });

    assert!(!lab.here.heard(BfdEvent::Removed { key: 1 }), "the key lives on");
    let reactions: Vec<_> = lab.there.downs().iter().map(|down| down.reaction).collect();
    assert_eq!(reactions, [Reaction::Ignore], "nobody takes that for a failure");
}

#[test]
fn index_is_used_again_with_another_id() {
    let mut lab = Lab::up();
    let old = lab.here.table.slot(0).unwrap().id;
    lab.here.set(&[], lab.now);
    lab.run(DETECTION);

    lab.here.set(&[spec(2, THERE)], lab.now);

    assert_eq!(lab.here.table.len(), 1);
    assert_ne!(lab.here.table.slot(0).unwrap().id, old);
}

#[test]
fn two_sessions_with_one_peer_wait_for_each_other() {
    let mut lab = Lab::up();
    lab.here.set(&[spec(1, THERE), spec(2, THERE)], lab.now);
    lab.run(Duration::from_secs(3));

    assert_eq!(lab.here.state(1), Some(State::Up));
    assert_eq!(lab.here.state(2), Some(State::Down));
    assert_eq!(lab.here.table.find(2).unwrap().session.counters().transmitted, 0);

    lab.here.set(&[spec(2, THERE)], lab.now);
    lab.run_until(|lab| lab.here.state(2) == Some(State::Up));
}

#[test]
fn more_sessions_than_reserved_are_refused() {
    let mut end = End::new(HERE);
    let peers = ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"];
    let specs: Vec<_> = (1..).zip(peers).map(|(key, peer)| spec(key, peer)).collect();

    end.set(&specs, Instant::now());

    assert!(end.heard(BfdEvent::Refused {
        key: 5,
        refusal: Refusal::Limit(4)
    }));
    assert_eq!(end.table.len(), 4);
    let mut sessions = Vec::with_capacity(2);
    let room = sessions.capacity();
    end.table.write_sessions(&mut sessions, Instant::now());
    assert_eq!(sessions.capacity(), room, "no allocation, whatever was asked");
}

#[test]
fn session_is_at_rest_while_its_port_is_closed() {
    let mut lab = Lab::new();
    lab.here.table.set_open(Port::SingleV4, false);

    lab.run(Duration::from_secs(3));
    assert_eq!(lab.here.sent, 0, "it would disturb the owner of the port");
    assert_eq!(lab.here.table.deadline(), None);

    lab.here.table.set_open(Port::SingleV4, true);
    lab.run_until(|lab| lab.here.state(1) == Some(State::Up));
}

#[test]
fn session_that_never_could_send_leaves_at_once() {
    let mut table = Table::new(4, 7);
    let now = Instant::now();
    table.apply(&mut [wanted(&spec(1, THERE))], now);

    table.apply(&mut [], now);

    assert!(table.is_empty());
}

#[test]
fn interface_with_a_new_index_is_followed() {
    let mut lab = Lab::up();
    lab.there.set(&[], lab.now);
    lab.run(Duration::from_secs(1));

    lab.here.interface = 6;
    let binding = lab.here.binding();
    lab.here.table.set_binding(0, binding, lab.now);
    lab.there.set(&[spec(1, HERE)], lab.now);

    lab.run_until(|lab| lab.here.state(1) == Some(State::Up));
}

#[test]
fn junk_and_strangers_are_counted() {
    let mut lab = Lab::up();
    let now = lab.now;
    lab.there.set(&[], now);
    let good = lab.there.transmit(now).pop().unwrap();
    let mut stranger = good.clone();
    stranger[8..12].fill(0);
    let mut unknown = good.clone();
    unknown[8..12].copy_from_slice(&[1, 2, 3, 4]);
    let mut version = good.clone();
    version[0] = 0;

    lab.here.receive(b"junk", THERE, now, now);
    lab.here.receive(&stranger, "10.0.0.9", now, now);
    lab.here.receive(&unknown, THERE, now, now);
    lab.here.receive(&version, THERE, now, now);

    let mut status = BfdThreadStatus::default();
    lab.here.table.write_status(&mut status);
    for reason in [
        Discard::Truncated,
        Discard::NoSession,
        Discard::UnknownYourDiscriminator,
        Discard::Version,
    ] {
        assert_eq!(status.unattributed.of(reason), 1, "{reason:?}");
    }
    assert_eq!(status.unattributed.total(), 4);
    assert_eq!(
        status.last_unknown,
        Some(("10.0.0.9:50000".parse().unwrap(), NonZeroU32::new(5)))
    );
    assert_eq!(lab.here.state(1), Some(State::Up));
}

#[test]
fn packet_without_a_ttl_is_not_from_the_link() {
    let mut lab = Lab::up();
    lab.run_until(|lab| {
        lab.there
            .table
            .deadline()
            .is_some_and(|due| due <= lab.now + STEP)
    });
    lab.now += STEP;
    let packet = lab.there.transmit(lab.now).pop().unwrap();
    let datagram = Datagram {
        payload: &packet,
        source: (THERE.parse::<IpAddr>().unwrap(), 50_000).into(),
        destination: None,
        interface: None,
        ttl: None,
        stamp: None,
        dropped: None,
    };

    lab.here
        .table
        .receive(Port::SingleV4, &datagram, lab.now, lab.now);

    let counters = *lab.here.table.find(1).unwrap().session.counters();
    assert_eq!(counters.discarded(Discard::Ttl), 1);
}

#[test]
fn failure_freezes_the_recorder() {
    let mut lab = Lab::up();
    lab.open = (true, false);
    lab.run(Duration::from_secs(3));
    lab.open = (true, true);
    lab.run_until(|lab| lab.here.state(1) == Some(State::Up));

    let mut recording = crate::bfd::Recording::reserve(1);
    lab.here.table.find(1).unwrap().write_recording(&mut recording);

    let last = recording.failure.last().unwrap().what;
    assert!(
        matches!(last, RecordedWhat::State(change) if change.cause == Cause::DetectionExpired),
        "{last:?}"
    );
    let received = |entries: &[crate::bfd::Recorded]| {
        let received = entries
            .iter()
            .filter(|entry| matches!(entry.what, RecordedWhat::Received { .. }));
        received.count()
    };
    assert!(received(&recording.failure) > 10);
    assert!(recording.latest.len() > received(&recording.latest));
}

#[test]
fn send_errors_are_told_when_they_change() {
    let mut lab = Lab::up();
    let error = BfdSocketError {
        attempt: BfdAttempt::Send,
        errno: libc::ENETUNREACH,
    };
    for _ in 0..3 {
        lab.run(Duration::from_millis(60));
        lab.now += Duration::from_millis(60);
        lab.here.table.transmit(lab.now, |_, _| Sending::Broken(error));
    }
    lab.run(Duration::from_millis(60));

    lab.here.fetch();
    let told: Vec<_> = lab
        .here
        .events
        .iter()
        .filter(|event| event.key() == Some(1))
        .collect();
    assert!(told.len() >= 2 && told.len() <= 6, "{told:#?}");
    assert_eq!(
        told[..2],
        [
            &BfdEvent::SendFailed { key: 1, error },
            &BfdEvent::SendRecovered { key: 1 }
        ]
    );
    assert!(lab.here.table.find(1).unwrap().send_failures >= 1);
}
