//! Two sessions and the link between them.

use std::num::{NonZeroU8, NonZeroU32};
use std::time::{Duration, Instant};

use bfd::{
    ControlPacket, Event, MAX_PACKET_LEN, Packet, PacketMeta, Session, SessionConfig, State, StateChange,
};

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const S: Duration = Duration::from_secs(1);
pub(crate) const A: usize = 0;
pub(crate) const B: usize = 1;

/// An active single-hop session; each end needs a `discriminator` of its own.
pub(crate) fn config(discriminator: u32, tx: Duration, rx: Duration, mult: u8) -> SessionConfig {
    let discriminator = NonZeroU32::new(discriminator).unwrap();
    SessionConfig::new(discriminator, tx, rx, NonZeroU8::new(mult).unwrap()).unwrap()
}

/// What happens to packets in one direction.
#[derive(Clone, Copy)]
pub(crate) struct Link {
    pub(crate) latency: Duration,
    /// Up to this much is added per packet, which reorders them.
    pub(crate) spread: Duration,
    /// Packets out of 100 that vanish.
    pub(crate) loss: u8,
    pub(crate) cut: bool,
    pub(crate) ttl: u8,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            latency: MS,
            spread: Duration::ZERO,
            loss: 0,
            cut: false,
            ttl: 255,
        }
    }
}

/// A packet that left an end, and when.
pub(crate) struct Sent {
    pub(crate) at: Duration,
    pub(crate) from: usize,
    pub(crate) control: ControlPacket,
}

pub(crate) struct End {
    pub(crate) session: Session,
    pub(crate) events: Vec<(Duration, Event)>,
    epoch: Instant,
    /// Parts per million by which this clock is fast.
    ppm: i64,
    /// Runs nothing until then; packets wait in the socket.
    stalled_until: Duration,
    socket: Vec<(Instant, u8, Vec<u8>)>,
}

impl End {
    fn new(config: SessionConfig, epoch: Instant, ppm: i64, seed: u64) -> Self {
        let session = Session::new(config, epoch, seed);
        Self {
            session,
            events: Vec::new(),
            epoch,
            ppm,
            stalled_until: Duration::ZERO,
            socket: Vec::new(),
        }
    }

    /// This end's clock at the simulated time.
    pub(crate) fn clock(&self, time: Duration) -> Instant {
        let nanos = time.as_nanos() * self.rate() / 1_000_000;
        self.epoch + Duration::from_nanos(u64::try_from(nanos).unwrap())
    }

    /// The first simulated time at which this end's clock shows `instant`.
    fn time(&self, instant: Instant) -> Duration {
        let nanos = instant.saturating_duration_since(self.epoch).as_nanos() * 1_000_000;
        Duration::from_nanos(u64::try_from(nanos.div_ceil(self.rate())).unwrap())
    }

    fn rate(&self) -> u128 {
        u128::try_from(1_000_000 + self.ppm).unwrap()
    }

    pub(crate) fn changes(&self) -> Vec<(Duration, StateChange)> {
        let change = |(at, event): &(Duration, Event)| match event {
            Event::StateChanged(change) => Some((*at, *change)),
            Event::RemoteDisabled | Event::RemoteEnabled | Event::PollCompleted => None,
        };
        self.events.iter().filter_map(change).collect()
    }
}

pub(crate) struct Pair {
    pub(crate) now: Duration,
    pub(crate) ends: [End; 2],
    /// By sender.
    pub(crate) links: [Link; 2],
    pub(crate) sent: Vec<Sent>,
    /// Arrival, receiver, TTL, octets.
    in_flight: Vec<(Duration, usize, u8, Vec<u8>)>,
    rng: fastrand::Rng,
}

impl Pair {
    pub(crate) fn new(a: SessionConfig, b: SessionConfig, seed: u64) -> Self {
        Self::with_skew(a, b, [0, 0], seed)
    }

    /// Clocks that are fast by that many parts per million, and that show different times.
    pub(crate) fn with_skew(a: SessionConfig, b: SessionConfig, ppm: [i64; 2], seed: u64) -> Self {
        let epoch = Instant::now();
        Self {
            now: Duration::ZERO,
            ends: [
                End::new(a, epoch, ppm[A], seed),
                End::new(b, epoch + 1_000 * S, ppm[B], !seed),
            ],
            links: [Link::default(); 2],
            sent: Vec::new(),
            in_flight: Vec::new(),
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    /// A pair that has come up and finished its Poll Sequences.
    pub(crate) fn up(a: SessionConfig, b: SessionConfig, seed: u64) -> Self {
        let mut pair = Self::new(a, b, seed);
        assert!(pair.run_until(10 * S, Self::is_up), "did not come up");
        pair.run_for(3 * S);
        assert!(pair.is_up());
        pair.forget();
        pair
    }

    pub(crate) fn is_up(&self) -> bool {
        self.state(A) == State::Up && self.state(B) == State::Up
    }

    pub(crate) fn state(&self, end: usize) -> State {
        self.ends[end].session.state()
    }

    pub(crate) fn session(&mut self, end: usize) -> (&mut Session, Instant) {
        let clock = self.ends[end].clock(self.now);
        (&mut self.ends[end].session, clock)
    }

    /// Drops what was recorded.
    pub(crate) fn forget(&mut self) {
        self.sent.clear();
        self.ends.iter_mut().for_each(|end| end.events.clear());
    }

    pub(crate) fn cut(&mut self, from: usize, cut: bool) {
        self.links[from].cut = cut;
    }

    /// The end runs nothing for that long; what arrives waits.
    pub(crate) fn stall(&mut self, end: usize, time: Duration) {
        self.ends[end].stalled_until = self.now + time;
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    /// Runs until the condition holds (true) or the time is over (false).
    pub(crate) fn run_until(&mut self, time: Duration, condition: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + time;
        let mut spins = 0;
        self.drive();
        loop {
            if condition(self) {
                return true;
            }
            let Some(wake) = self.next_wake().filter(|wake| *wake <= end) else {
                self.now = end;
                return false;
            };
            spins = if wake > self.now { 0 } else { spins + 1 };
            assert!(spins < 100, "livelock at {:?}", self.now);
            self.now = self.now.max(wake);
            self.drive();
        }
    }

    /// Injects octets into an end as if they had just arrived.
    pub(crate) fn inject(&mut self, to: usize, payload: &[u8]) {
        self.in_flight.push((self.now, to, 255, payload.to_vec()));
        self.drive();
    }

    fn next_wake(&self) -> Option<Duration> {
        let arrivals = self.in_flight.iter().map(|(at, ..)| *at).min();
        let timeouts = self.ends.iter().filter_map(|end| {
            let due = end.session.poll_timeout().map(|instant| end.time(instant));
            let due = if end.socket.is_empty() {
                due
            } else {
                Some(Duration::ZERO)
            };
            due.map(|due| due.max(end.stalled_until))
        });
        timeouts.chain(arrivals).min()
    }

    fn drive(&mut self) {
        self.deliver();
        for from in [A, B] {
            let end = &mut self.ends[from];
            if self.now < end.stalled_until {
                continue;
            }
            let clock = end.clock(self.now);
            for (received_at, ttl, payload) in std::mem::take(&mut end.socket) {
                let _ = end
                    .session
                    .handle_packet(&payload, PacketMeta { ttl, received_at }, clock);
            }
            end.session.handle_timeout(clock);
            let mut buf = [0; MAX_PACKET_LEN];
            while let Some(len) = end.session.poll_transmit(clock, &mut buf) {
                let control = Packet::decode(&buf[..len]).unwrap().control;
                self.sent.push(Sent {
                    at: self.now,
                    from,
                    control,
                });
                let link = self.links[from];
                if link.cut || self.rng.u8(..100) < link.loss {
                    continue;
                }
                let spread = link.spread.mul_f64(self.rng.f64());
                self.in_flight.push((
                    self.now + link.latency + spread,
                    1 - from,
                    link.ttl,
                    buf[..len].to_vec(),
                ));
            }
            while let Some(event) = end.session.poll_event() {
                end.events.push((self.now, event));
            }
        }
    }

    fn deliver(&mut self) {
        let now = self.now;
        let (mut due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.in_flight)
            .into_iter()
            .partition(|(at, ..)| *at <= now);
        self.in_flight = later;
        due.sort_by_key(|(at, ..)| *at);
        for (at, to, ttl, payload) in due {
            let received_at = self.ends[to].clock(at);
            self.ends[to].socket.push((received_at, ttl, payload));
        }
    }
}
