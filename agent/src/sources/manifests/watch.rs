//! The edge: one thread that owns the inotify descriptor and reads the files.

use super::documents::parse;
use super::store::{FileRead, Outcome, Store};
use crate::sources::{Batch, Report, ReportChange};
use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll, ppoll};
use nix::sys::time::TimeSpec;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How long a removal waits for the rest of what it is part of. Editors and `git checkout` remove or rename a file
/// and create the new one a few hundred microseconds later; this must not become a withdrawal.
const REMOVAL_SETTLE: Duration = Duration::from_micros(500);

/// How long removals may keep coming until they are acted on anyway.
const REMOVAL_SETTLE_MAX: Duration = Duration::from_millis(10);

/// How often a directory that went away is looked for. Only while it is away.
const LOST_RETRY: Duration = Duration::from_millis(100);

/// How long a directory that came back must be quiet until files that did not come back with it count as removed.
const RETURN_SETTLE: Duration = Duration::from_secs(1);

/// The largest file that is read. A million pods in one list are about this much.
const MAX_FILE: u64 = 512 << 20;

/// Inotify merges equal unread events; this holds some two hundred names at once.
const EVENT_BUFFER: usize = 64 << 10;

/// Why a directory of manifests cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It cannot be watched or listed.
    #[error("--manifests={}: cannot read the directory: {error}; create it or correct the path", dir.display())]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// What the kernel says.
        error: io::Error,
    },
    /// The process has no inotify instance, pipe or thread left.
    #[error(
        "--manifests: cannot start watching: {0}; see fs.inotify.max_user_instances and the process limits"
    )]
    Start(#[from] io::Error),
}

/// The running thread. Dropping it stops the thread without waiting.
#[derive(Debug)]
pub struct ManifestSource {
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl ManifestSource {
    /// Stops the thread and waits for it. Drop the receiver first, or keep receiving: the thread may be waiting for
    /// room in the channel.
    pub fn stop(mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that follows --manifests had panicked");
        }
    }
}

/// Starts to follow a directory. The first batches deliver what is there now, the last of them with
/// [`complete`](Batch::complete); later ones what changes. The thread ends with the source or with the receiver.
///
/// # Errors
///
/// [`ManifestError`] if the directory is not there at the start or nothing can be watched. Later trouble is
/// reported in the batches and heals by itself.
pub fn spawn(dir: PathBuf, batches: mpsc::Sender<Batch>) -> Result<ManifestSource, ManifestError> {
    let (stopped, stop) = io::pipe()?;
    let mut watcher = Watcher {
        inotify: Inotify::init()?,
        watch: None,
        dir,
        store: Store::default(),
        batches,
        stopped,
        lost: None,
        orphans: None,
    };
    let start = watcher.watch().and_then(|()| watcher.list());
    let names = start.map_err(|error| ManifestError::Directory {
        dir: watcher.dir.clone(),
        error,
    })?;
    let thread = thread::Builder::new()
        .name("manifests".to_owned())
        .spawn(move || watcher.run(&names))?;
    Ok(ManifestSource {
        stop: Some(stop),
        thread: Some(thread),
    })
}

struct Watcher {
    inotify: Inotify,
    watch: Option<WatchDescriptor>,
    dir: PathBuf,
    store: Store,
    batches: mpsc::Sender<Batch>,
    stopped: PipeReader,
    /// The report about the directory, while it is away or came back empty.
    lost: Option<Report>,
    /// After a return of the directory: until when files may stay away.
    orphans: Option<Instant>,
}

/// What the kernel said since it was last asked.
#[derive(Default)]
struct News {
    /// The last that was said of each file.
    files: BTreeMap<Arc<str>, Said>,
    /// Everything may have changed.
    everything: bool,
    /// The directory is away.
    lost: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    /// There is a new file that its writer has not closed, or a complete one that was linked.
    Created,
    /// It is complete.
    Written,
    /// It is gone.
    Removed,
}

/// The consumer is gone, so there is nothing left to do.
struct Ended;

impl Watcher {
    fn run(mut self, names: &BTreeSet<Arc<str>>) {
        // Ended means that the consumer does not want to know more.
        let _ = self.follow(names);
    }

    fn follow(&mut self, names: &BTreeSet<Arc<str>>) -> Result<(), Ended> {
        for name in names {
            let read = self.read(name);
            self.take(read.into_iter().collect())?;
        }
        self.send(Batch {
            complete: true,
            ..Batch::default()
        })?;
        loop {
            if self.wait(self.timeout()) {
                return Ok(());
            }
            let mut news = self.drain();
            if news.has_removals() {
                self.let_settle(&mut news);
            }
            self.act(news)?;
        }
    }

    fn timeout(&self) -> Option<Duration> {
        if self.watch.is_none() {
            return Some(LOST_RETRY);
        }
        let orphans = self.orphans?;
        Some(orphans.saturating_duration_since(Instant::now()))
    }

    /// Waits for news; true if the thread is to end.
    fn wait(&self, timeout: Option<Duration>) -> bool {
        let mut fds = [
            PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.stopped.as_fd(), PollFlags::POLLIN),
        ];
        // A millisecond more, because a timeout that is cut off would make the loop spin.
        let timeout = timeout.map_or(PollTimeout::NONE, |timeout| {
            PollTimeout::try_from(timeout.as_millis() + 1).unwrap_or(PollTimeout::MAX)
        });
        if poll(&mut fds, timeout).is_err() {
            return false;
        }
        fds[1].any().unwrap_or(false)
    }

    fn drain(&mut self) -> News {
        let mut news = News::default();
        let mut buffer = vec![0; EVENT_BUFFER];
        loop {
            match self.inotify.read_events(&mut buffer) {
                Ok(events) => {
                    for event in events {
                        let name = event.name.map(|name| name.to_str());
                        news.hear(event.mask, name, Some(&event.wd) == self.watch.as_ref());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return news,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot read inotify events; reading all manifests again");
                    news.everything = true;
                    return news;
                }
            }
        }
    }

    fn let_settle(&mut self, news: &mut News) {
        let give_up = Instant::now() + REMOVAL_SETTLE_MAX;
        while Instant::now() < give_up {
            let mut fds = [PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN)];
            match ppoll(&mut fds, Some(TimeSpec::from_duration(REMOVAL_SETTLE)), None) {
                Ok(1..) => news.extend(self.drain()),
                Ok(_) => return,
                Err(_) => {}
            }
        }
    }

    fn act(&mut self, news: News) -> Result<(), Ended> {
        // The files of a directory that is removed go first, each with an event of its own.
        if news.lost || (news.has_removals() && !self.dir.is_dir()) {
            self.lose("it was removed or renamed")?;
        }
        if self.watch.is_none() {
            return self.find_again();
        }
        if news.everything {
            return self.read_all();
        }
        let mut reads = Vec::new();
        for (name, said) in news.files {
            let path = self.dir.join(&*name);
            match said {
                Said::Removed if !path.exists() => reads.push((name, FileRead::Gone)),
                // There is another one of that name already, and what became of it is yet to be said.
                Said::Removed => {}
                Said::Created if !is_complete_when_created(&path) => {}
                Said::Created | Said::Written => reads.extend(self.read(&name)),
            }
        }
        if !reads.is_empty() && self.orphans.is_some() {
            self.orphans = Some(Instant::now() + RETURN_SETTLE);
        }
        self.take(reads)?;
        let settled = self.orphans.is_some_and(|until| until <= Instant::now());
        if settled { self.drop_orphans() } else { Ok(()) }
    }

    fn read_all(&mut self) -> Result<(), Ended> {
        let names = match self.list() {
            Ok(names) => names,
            Err(error) => return self.lose(&error.to_string()),
        };
        let gone: Vec<_> = self
            .store
            .files()
            .filter(|file| !names.contains(*file))
            .cloned()
            .collect();
        let mut reads: Vec<_> = names.iter().filter_map(|name| self.read(name)).collect();
        if self.orphans.is_none() {
            reads.extend(gone.into_iter().map(|name| (name, FileRead::Gone)));
        }
        self.take(reads)
    }

    fn lose(&mut self, why: &str) -> Result<(), Ended> {
        if let Some(watch) = self.watch.take() {
            // It fails where the kernel has already removed the watch together with the directory.
            let _ = self.inotify.watches().remove(watch);
        }
        self.complain(&format!("the directory cannot be read: {why}"))
    }

    fn find_again(&mut self) -> Result<(), Ended> {
        if self.watch().is_err() {
            return Ok(());
        }
        self.orphans = Some(Instant::now() + RETURN_SETTLE);
        self.read_all()
    }

    /// Reports why the directory is of no use, unless that is already known.
    fn complain(&mut self, why: &str) -> Result<(), Ended> {
        let message = format!("{why}; its last content stays in use until there are files again");
        let report = Report::new(self.dir.display().to_string(), message);
        if self.lost.as_ref() == Some(&report) {
            return Ok(());
        }
        let former = self.lost.replace(report.clone());
        let mut reports: Vec<_> = former.into_iter().map(ReportChange::Cleared).collect();
        reports.push(ReportChange::New(report));
        self.send(Batch {
            reports,
            ..Batch::default()
        })
    }

    /// Removes what did not come back with the directory. If nothing did, that is not believed: the directory is
    /// being filled, or was mounted empty by mistake.
    fn drop_orphans(&mut self) -> Result<(), Ended> {
        let names = match self.list() {
            Ok(names) => names,
            Err(error) => return self.lose(&error.to_string()),
        };
        if names.is_empty() {
            self.orphans = Some(Instant::now() + RETURN_SETTLE);
            return self.complain("the directory came back empty");
        }
        self.orphans = None;
        let gone = self.store.files().filter(|file| !names.contains(*file)).cloned();
        let reads = gone.map(|name| (name, FileRead::Gone)).collect();
        self.take(reads)
    }

    /// Takes in what was read, and what has to be read again because of it.
    fn take(&mut self, reads: Vec<(Arc<str>, FileRead)>) -> Result<(), Ended> {
        let mut batch = Batch::default();
        if !reads.is_empty() && self.watch.is_some() {
            batch.reports.extend(self.lost.take().map(ReportChange::Cleared));
        }
        let mut outcome = self.store.apply(reads);
        loop {
            let Outcome {
                events,
                reports,
                reread,
            } = outcome;
            batch.events.extend(events);
            batch.reports.extend(reports);
            if reread.is_empty() {
                break;
            }
            let reads = reread.iter().filter_map(|name| self.read(name)).collect();
            outcome = self.store.apply(reads);
        }
        if batch.events.is_empty() && batch.reports.is_empty() {
            return Ok(());
        }
        self.send(batch)
    }

    fn send(&self, batch: Batch) -> Result<(), Ended> {
        self.batches.blocking_send(batch).map_err(|_| Ended)
    }

    fn watch(&mut self) -> io::Result<()> {
        let mask = WatchMask::CLOSE_WRITE
            | WatchMask::CREATE
            | WatchMask::MOVED_TO
            | WatchMask::MOVED_FROM
            | WatchMask::DELETE
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        self.watch = Some(self.inotify.watches().add(&self.dir, mask)?);
        Ok(())
    }

    fn list(&self) -> io::Result<BTreeSet<Arc<str>>> {
        let mut names = BTreeSet::new();
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            names.extend(name.to_str().filter(|name| is_manifest(name)).map(Arc::from));
        }
        Ok(names)
    }

    /// Reads a file; `None` if there is none of that name. That is not taken as a removal: if it is one, an event
    /// says so, and if the whole directory is on its way out, nothing is to be withdrawn.
    fn read(&self, name: &Arc<str>) -> Option<(Arc<str>, FileRead)> {
        let read = match read_text(&self.dir.join(&**name)) {
            Ok(text) => FileRead::Content(parse(name, &text?)),
            Err(message) => FileRead::Unreadable(message),
        };
        Some((Arc::clone(name), read))
    }
}

impl News {
    fn hear(&mut self, mask: EventMask, name: Option<Option<&str>>, current: bool) {
        if mask.contains(EventMask::Q_OVERFLOW) {
            self.everything = true;
            return;
        }
        // What an earlier watch still had to say is about a directory that is no longer ours.
        if !current {
            return;
        }
        if mask.intersects(
            EventMask::DELETE_SELF | EventMask::MOVE_SELF | EventMask::IGNORED | EventMask::UNMOUNT,
        ) {
            self.lost = true;
            return;
        }
        let Some(Some(name)) = name else { return };
        if name == "..data" {
            self.everything |= mask.intersects(EventMask::MOVED_TO | EventMask::CREATE);
            return;
        }
        if !is_manifest(name) {
            return;
        }
        let said = if mask.intersects(EventMask::CLOSE_WRITE | EventMask::MOVED_TO) {
            Said::Written
        } else if mask.contains(EventMask::CREATE) {
            Said::Created
        } else {
            Said::Removed
        };
        self.files.insert(name.into(), said);
    }

    fn extend(&mut self, later: Self) {
        self.files.extend(later.files);
        self.everything |= later.everything;
        self.lost |= later.lost;
    }

    fn has_removals(&self) -> bool {
        self.files.values().any(|said| *said == Said::Removed)
    }
}

pub(super) fn is_manifest(name: &str) -> bool {
    let ends = [".yaml", ".yml", ".json"];
    !name.starts_with('.') && ends.iter().any(|end| name.ends_with(end))
}

/// A link needs no writer. Everything else will be closed by its own.
fn is_complete_when_created(path: &Path) -> bool {
    let is_link = |meta: Metadata| meta.is_symlink() || meta.nlink() > 1;
    fs::symlink_metadata(path).is_ok_and(is_link)
}

/// The text of a file; `None` if there is none of that name.
fn read_text(path: &Path) -> Result<Option<String>, String> {
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == ErrorKind::NotFound && !path.is_symlink() => return Ok(None),
        Err(error) => return Err(format!("cannot be read: {error}")),
    };
    if meta.is_dir() {
        return Ok(None);
    }
    if !meta.is_file() {
        return Err("is no regular file".to_owned());
    }
    if meta.len() > MAX_FILE {
        return Err(format!("is larger than {} MiB; split it", MAX_FILE >> 20));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or_default());
    let read = File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes));
    match read {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot be read: {error}")),
    }
    let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8 text".to_owned())?;
    Ok(Some(text))
}
