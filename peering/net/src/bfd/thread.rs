//! The loop of the BFD thread.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bfd::SourcePorts;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::SigSet;
use nix::sys::time::TimeSpec;

use super::event::BfdEvent;
use super::lateness::Lateness;
use super::mailbox::{Answer, Asked, Inbox, Mailbox, Question};
use super::receiver::Receiver;
use super::slot::Port;
use super::spec::{BfdLimits, Wanted};
use super::status::BfdThreadStatus;
use super::sys::{Batch, set_fifo};
use super::table::{Drained, Sending, Table};
use super::transmitter::Transmitter;

/// When to try again to take a mailbox that somebody else held.
const MAILBOX_RETRY: Duration = Duration::from_micros(500);

/// How often to look whether interfaces have been replaced.
const CHECK_DEVICES: Duration = Duration::from_secs(1);

/// Everything that the thread owns. Made by the thread itself.
pub(super) struct Driver<W> {
    mailbox: Arc<Mailbox>,
    waker: W,
    limits: BfdLimits,
    table: Table,
    receivers: [Receiver; Port::ALL.len()],
    /// By the index of the session.
    transmitters: Vec<Option<Transmitter>>,
    ports: SourcePorts,
    batch: Batch,
    lateness: Lateness,
    realtime: bool,
    /// The thread was woken for its inbox.
    called: bool,
    /// Somebody held a mailbox.
    mailbox_retry_at: Option<Instant>,
    /// The earliest moment at which a socket is to be opened again.
    open_at: Option<Instant>,
    check_devices_at: Instant,
    /// When the thread was last able to act on a deadline.
    acted_at: Instant,
    /// Taken from the inbox; its memory goes back there.
    list: Vec<Wanted>,
    questions: Vec<Question>,
    stopping: bool,
}

impl<W: Fn()> Driver<W> {
    pub(super) fn new(mailbox: Arc<Mailbox>, waker: W, limits: BfdLimits) -> Self {
        let now = Instant::now();
        Self {
            mailbox,
            waker,
            limits,
            table: Table::new(limits.sessions, fastrand::u64(..)),
            receivers: Port::ALL.map(Receiver::new),
            transmitters: Vec::with_capacity(limits.sessions),
            ports: SourcePorts::new(fastrand::u64(..)),
            batch: Batch::new(),
            lateness: Lateness::default(),
            realtime: false,
            called: false,
            mailbox_retry_at: None,
            open_at: None,
            check_devices_at: now,
            acted_at: now,
            list: Vec::new(),
            questions: Vec::new(),
            stopping: false,
        }
    }

    /// Runs until it is told to stop and the last session has gone.
    pub(super) fn run(mut self) {
        self.prepare();
        let mut busy = false;
        loop {
            let planned = self.table.deadline();
            let readable = self.sleep(planned, busy);
            self.mailbox_retry_at = None;
            self.note_lateness(planned);
            self.read_inbox();
            busy = self.drain(readable);
            self.judge();
            self.hand_out_news();
            self.transmit();
            self.open_sockets();
            self.hand_out_news();
            if self.stopping && self.table.is_empty() {
                return;
            }
        }
    }

    /// Sets the thread up. It may log: no session exists yet that could suffer from it.
    fn prepare(&mut self) {
        // Signals of the process are for other threads.
        if let Err(error) = SigSet::all().thread_block() {
            tracing::debug!(%error, "cannot block signals in the BFD thread");
        }
        // Otherwise the kernel may wake a thread of the normal class 50 µs late to save a wake-up.
        if let Err(error) = nix::sys::prctl::set_timerslack(1) {
            tracing::debug!(%error, "cannot set the timer slack of the BFD thread");
        }
        let Some(priority) = self.limits.realtime_priority else {
            return;
        };
        match set_fifo(priority.get()) {
            Ok(()) => self.realtime = true,
            Err(error) => tracing::info!(
                %error,
                "BFD runs without real-time priority; CAP_SYS_NICE would make it punctual on a loaded node"
            ),
        }
    }

    fn note_lateness(&mut self, planned: Option<Instant>) {
        let now = Instant::now();
        let Some(planned) = planned.filter(|planned| *planned <= now) else {
            return;
        };
        // A deadline that is not judged because packets are unread was late in an earlier turn already.
        let late = now.saturating_duration_since(planned.max(self.acted_at));
        self.lateness.record(late);
        if self.table.stalled(late, now) {
            self.transmit();
        }
    }

    /// Sleeps until something is to be done, and says which receivers can be read.
    fn sleep(&mut self, planned: Option<Instant>, busy: bool) -> [bool; Port::ALL.len()] {
        let until = [planned, self.open_at, self.mailbox_retry_at];
        let until = until.into_iter().flatten().min();
        let timeout = match (busy, until) {
            (true, _) => Some(TimeSpec::from(Duration::ZERO)),
            (false, Some(until)) => Some(TimeSpec::from(until.saturating_duration_since(Instant::now()))),
            (false, None) => None,
        };
        let wake = self.mailbox.wake.as_fd();
        let receiver = |index: usize| match self.receivers.get(index).and_then(Receiver::fd) {
            Some(fd) => PollFd::new(fd, PollFlags::POLLIN),
            None => PollFd::new(wake, PollFlags::empty()),
        };
        let mut fds = [
            receiver(0),
            receiver(1),
            receiver(2),
            receiver(3),
            PollFd::new(wake, PollFlags::POLLIN),
        ];
        // Interrupted, or out of memory: nothing is readable then, and the turn finds out what is due.
        let _ = ppoll(&mut fds, timeout, None);
        let [a, b, c, d, wake] = fds.map(|fd| fd.any().unwrap_or_default());
        if wake {
            let _ = self.mailbox.wake.read();
        }
        self.called |= wake;
        [a, b, c, d]
    }

    /// Reads the sockets. True if there may be more.
    fn drain(&mut self, which: [bool; Port::ALL.len()]) -> bool {
        let mut more = false;
        for (receiver, wanted) in self.receivers.iter_mut().zip(which) {
            if wanted {
                more |= receiver.drain(&mut self.batch, &mut self.table);
            }
        }
        more
    }

    /// Drains before it judges: a packet that has arrived in time saves its session, however late we are.
    fn judge(&mut self) {
        let now = Instant::now();
        self.acted_at = now;
        if self.table.deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        let undrained = self.table.undrained(now, &self.drained(now));
        if undrained.contains(&true) {
            self.drain(undrained);
        }
        let expiring = self.table.expiring(now);
        for (receiver, expiring) in self.receivers.iter_mut().zip(expiring) {
            if expiring {
                receiver.look_for_drops(&mut self.table, now);
            }
        }
        let drained = self.drained(now);
        self.table.judge(now, &drained);
    }

    fn drained(&self, now: Instant) -> Drained {
        self.receivers.each_ref().map(|receiver| receiver.drained(now))
    }

    fn transmit(&mut self) {
        let now = Instant::now();
        if self.table.deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        let (table, transmitters) = (&mut self.table, &mut self.transmitters);
        table.transmit(now, |index, packet| {
            let transmitter = transmitters.get_mut(index).and_then(Option::as_mut);
            transmitter.map_or(Sending::Failed, |transmitter| transmitter.send(packet, now))
        });
    }

    fn read_inbox(&mut self) {
        if !self.called {
            return;
        }
        let mailbox = Arc::clone(&self.mailbox);
        let Some(mut inbox) = mailbox.try_inbox() else {
            self.mailbox_retry_at = Some(Instant::now() + MAILBOX_RETRY);
            return;
        };
        self.called = false;
        let Inbox {
            wanted,
            questions,
            stop,
            spent,
        } = &mut *inbox;
        if spent.is_empty() {
            std::mem::swap(spent, &mut self.list);
        }
        let list = wanted.take();
        std::mem::swap(questions, &mut self.questions);
        let stop = std::mem::take(stop);
        drop(inbox);

        let now = Instant::now();
        if let Some(list) = list.filter(|_| !self.stopping) {
            self.list = list;
            self.table.apply(&mut self.list, now);
        }
        if stop {
            self.stopping = true;
            self.table.apply(&mut [], now);
        }
        while let Some(question) = self.questions.pop() {
            self.answer(question, now);
        }
    }

    fn answer(&self, question: Question, now: Instant) {
        let answer = match question.what {
            Asked::Snapshot(mut snapshot) => {
                self.table.write_sessions(&mut snapshot.sessions, now);
                self.write_status(&mut snapshot.thread);
                Answer::Snapshot(snapshot)
            }
            Asked::Recording(mut recording) => {
                let slot = self.table.find(recording.key);
                if let Some(slot) = slot {
                    slot.write_recording(&mut recording);
                }
                let found = slot.is_some();
                Answer::Recording { recording, found }
            }
        };
        question.reply.give(answer);
    }

    fn write_status(&self, status: &mut BfdThreadStatus) {
        self.table.write_status(status);
        status.realtime = self.realtime;
        status.lateness.clone_from(&self.lateness);
        status.kernel_drops = self.receivers.iter().map(Receiver::kernel_drops).sum();
        let listeners = self.receivers.iter().filter_map(Receiver::status);
        status.listeners.extend(listeners);
    }

    /// Passes events on and wakes who waits for them.
    fn hand_out_news(&mut self) {
        if self.table.news().is_empty() {
            return;
        }
        let mailbox = Arc::clone(&self.mailbox);
        let Some(mut outbox) = mailbox.try_outbox() else {
            self.mailbox_retry_at = Some(Instant::now() + MAILBOX_RETRY);
            return;
        };
        self.table.news().drain_to(|event| outbox.push(event));
        drop(outbox);
        (self.waker)();
    }

    /// Makes the sockets those that the sessions need, as far as it is time to try.
    fn open_sockets(&mut self) {
        let now = Instant::now();
        let changed = self.table.take_changed();
        if !changed && self.open_at.is_none_or(|at| at > now) {
            // A transmitter may have broken in this turn.
            self.open_at = self.next_opening();
            return;
        }
        if changed {
            self.follow_sessions(now);
        }
        if self.check_devices_at <= now {
            self.check_devices_at = now + CHECK_DEVICES;
            self.check_devices(now);
        }
        self.open_receivers(now);
        self.open_transmitters(now);
        self.open_at = self.next_opening();
    }

    fn next_opening(&self) -> Option<Instant> {
        let receivers = self.receivers.iter().filter_map(Receiver::retry_at);
        let transmitters = self.transmitters.iter().flatten();
        let check = self
            .transmitters
            .iter()
            .any(Option::is_some)
            .then_some(self.check_devices_at);
        receivers
            .chain(transmitters.filter_map(Transmitter::retry_at))
            .chain(check)
            .min()
    }

    fn follow_sessions(&mut self, now: Instant) {
        self.transmitters.resize_with(self.table.len(), || None);
        for (index, transmitter) in self.transmitters.iter_mut().enumerate() {
            let id = self.table.slot(index).map(|slot| slot.id);
            if transmitter.as_ref().map(|transmitter| transmitter.id) == id {
                continue;
            }
            if let Some(old) = transmitter {
                old.close(&mut self.ports);
            }
            *transmitter = id.map(|id| Transmitter::new(id, now));
        }
    }

    fn check_devices(&mut self, now: Instant) {
        for (index, transmitter) in self.transmitters.iter_mut().enumerate() {
            if let Some((transmitter, slot)) = transmitter.as_mut().zip(self.table.slot(index)) {
                transmitter.check_device(slot.wanted.device, now);
            }
        }
    }

    fn open_receivers(&mut self, now: Instant) {
        for receiver in &mut self.receivers {
            let port = receiver.port();
            if !self.table.needs(port) {
                receiver.close();
                self.table.set_open(port, false);
                continue;
            }
            let address = receiver.address();
            match receiver.open(self.limits.receive_buffer, now) {
                None => {}
                Some(Ok(())) => {
                    self.table.set_open(port, true);
                    self.table.news().push(BfdEvent::Listening { address });
                }
                Some(Err(error)) => self.table.news().push(BfdEvent::ListenFailed { address, error }),
            }
        }
    }

    fn open_transmitters(&mut self, now: Instant) {
        for (index, transmitter) in self.transmitters.iter_mut().enumerate() {
            let Some(transmitter) = transmitter else { continue };
            if transmitter.retry_at().is_none_or(|at| at > now) {
                continue;
            }
            let Some(slot) = self.table.slot(index) else {
                continue;
            };
            match transmitter.open(&slot.wanted, &mut self.ports, now) {
                Ok(binding) => self.table.set_binding(index, binding, now),
                Err(error) => self.table.set_send_error(index, error),
            }
        }
    }
}
