//! Hears of changes to files, however they come: written in place, renamed over, or behind a swapped `..data` link, as
//! ConfigMaps and Secrets are mounted. The directories are watched, because a file may be replaced as a whole.

use futures_util::StreamExt;
use inotify::{EventMask, EventStream, Inotify, WatchDescriptor, WatchMask, Watches};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long it has to be quiet until a change is acted on: a mount is swapped, and a file saved, in several steps.
const SETTLE: Duration = Duration::from_millis(50);

/// How often a directory that is not there is looked for. Only while it is away.
const LOST_RETRY: Duration = Duration::from_secs(1);

const EVENT_BUFFER: usize = 16 << 10;

/// Follows some files.
pub(super) struct FileWatch {
    events: EventStream<Vec<u8>>,
    watches: Watches,
    /// What is watched, and which names count there; `None`: all.
    directories: HashMap<WatchDescriptor, PathBuf>,
    wanted: BTreeMap<PathBuf, Option<BTreeSet<OsString>>>,
}

impl std::fmt::Debug for FileWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileWatch")
            .field("wanted", &self.wanted)
            .finish_non_exhaustive()
    }
}

impl FileWatch {
    /// Follows nothing yet. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// The process has no inotify instance left.
    pub(super) fn new() -> io::Result<Self> {
        let inotify = Inotify::init()?;
        let watches = inotify.watches();
        Ok(Self {
            events: inotify.into_event_stream(vec![0; EVENT_BUFFER])?,
            watches,
            directories: HashMap::new(),
            wanted: BTreeMap::new(),
        })
    }

    /// Follows these files, and everything in these directories, and nothing else from now on.
    pub(super) fn follow<'a>(
        &mut self,
        files: impl IntoIterator<Item = &'a Path>,
        directories: impl IntoIterator<Item = &'a Path>,
    ) {
        let mut wanted: BTreeMap<PathBuf, Option<BTreeSet<OsString>>> = BTreeMap::new();
        for file in files {
            want(&mut wanted, file);
            // A link may lead elsewhere, and what is there may change under it.
            if let Ok(target) = file.canonicalize() {
                want(&mut wanted, &target);
            }
        }
        for directory in directories {
            wanted.insert(directory.to_owned(), None);
        }
        self.wanted = wanted;
        let gone = |directory: &PathBuf| !self.wanted.contains_key(directory);
        let removed: Vec<_> = self
            .directories
            .iter()
            .filter(|(_, directory)| gone(directory))
            .collect();
        let removed: Vec<_> = removed.into_iter().map(|(watch, _)| watch.clone()).collect();
        for watch in removed {
            self.directories.remove(&watch);
            // It fails where the kernel has already removed the watch together with the directory.
            let _ = self.watches.remove(watch);
        }
        self.watch_missing();
    }

    /// Waits until something may have changed, and it is quiet again.
    pub(super) async fn changed(&mut self) {
        loop {
            let heard = match self.is_complete() {
                true => self.hear().await,
                false => match timeout(LOST_RETRY, self.hear()).await {
                    Ok(heard) => heard,
                    // What is in a directory that came back is news.
                    Err(_) => self.watch_missing(),
                },
            };
            if heard {
                break;
            }
        }
        while let Ok(true) = timeout(SETTLE, self.hear()).await {}
    }

    fn is_complete(&self) -> bool {
        let watched: BTreeSet<_> = self.directories.values().collect();
        self.wanted.keys().all(|directory| watched.contains(directory))
    }

    /// Begins to watch what is not watched; whether there was any.
    fn watch_missing(&mut self) -> bool {
        let watched: BTreeSet<_> = self.directories.values().cloned().collect();
        let mut any = false;
        for directory in self
            .wanted
            .keys()
            .filter(|directory| !watched.contains(*directory))
        {
            let mask = WatchMask::CLOSE_WRITE
                | WatchMask::MOVED_TO
                | WatchMask::CREATE
                | WatchMask::DELETE
                | WatchMask::ATTRIB
                | WatchMask::DELETE_SELF
                | WatchMask::MOVE_SELF
                | WatchMask::ONLYDIR;
            if let Ok(watch) = self.watches.add(directory, mask) {
                self.directories.insert(watch, directory.clone());
                any = true;
            }
        }
        any
    }

    /// Waits for an event; whether it counts.
    async fn hear(&mut self) -> bool {
        match self.events.next().await {
            Some(Ok(event)) => self.take(&event.wd, event.mask, event.name),
            Some(Err(error)) => {
                tracing::warn!(%error, "cannot read inotify events; reading the configuration again");
                sleep(LOST_RETRY).await;
                true
            }
            // A stream of inotify has no end.
            None => std::future::pending().await,
        }
    }

    fn take(&mut self, watch: &WatchDescriptor, mask: EventMask, name: Option<OsString>) -> bool {
        if mask.contains(EventMask::Q_OVERFLOW) {
            return true;
        }
        let Some(directory) = self.directories.get(watch) else {
            return false;
        };
        if mask.intersects(
            EventMask::DELETE_SELF | EventMask::MOVE_SELF | EventMask::IGNORED | EventMask::UNMOUNT,
        ) {
            self.directories.remove(watch);
            // A directory that was renamed keeps its watch.
            let _ = self.watches.remove(watch.clone());
            return true;
        }
        match (self.wanted.get(directory), name) {
            (Some(Some(names)), Some(name)) => name == "..data" || names.contains(&name),
            (Some(None), Some(_)) => true,
            _ => false,
        }
    }
}

fn want(wanted: &mut BTreeMap<PathBuf, Option<BTreeSet<OsString>>>, file: &Path) {
    let Some(name) = file.file_name() else { return };
    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if let Some(names) = wanted
        .entry(directory.to_owned())
        .or_insert_with(|| Some(BTreeSet::new()))
    {
        names.insert(name.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    const PATIENCE: Duration = Duration::from_secs(20);

    async fn heard(watch: &mut FileWatch, what: &str) {
        assert!(
            timeout(PATIENCE, watch.changed()).await.is_ok(),
            "{what} was not heard"
        );
    }

    #[tokio::test]
    async fn every_way_to_change_a_file_is_heard() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("c.yaml");
        fs::write(&file, "1").expect("writable");
        let mut watch = FileWatch::new().expect("inotify");
        watch.follow([file.as_path()], []);

        fs::write(&file, "2").expect("writable");
        heard(&mut watch, "a write").await;
        let other = dir.path().join("other");
        fs::write(&other, "3").expect("writable");
        fs::rename(&other, &file).expect("writable");
        heard(&mut watch, "a rename").await;
        fs::remove_file(&file).expect("writable");
        heard(&mut watch, "a removal").await;
        // What is beside it does not count, or this would return at once.
        fs::write(dir.path().join("noise"), "4").expect("writable");
        assert!(
            timeout(Duration::from_millis(300), watch.changed())
                .await
                .is_err()
        );
    }

    #[tokio::test]
    async fn a_swapped_link_is_heard() {
        let dir = tempfile::tempdir().expect("a directory");
        for version in ["..1", "..2"] {
            fs::create_dir(dir.path().join(version)).expect("writable");
            fs::write(dir.path().join(version).join("c.yaml"), version).expect("writable");
        }
        symlink("..1", dir.path().join("..data")).expect("writable");
        symlink("..data/c.yaml", dir.path().join("c.yaml")).expect("writable");
        let file = dir.path().join("c.yaml");
        let mut watch = FileWatch::new().expect("inotify");
        watch.follow([file.as_path()], []);
        symlink("..2", dir.path().join("..tmp")).expect("writable");
        fs::rename(dir.path().join("..tmp"), dir.path().join("..data")).expect("writable");
        heard(&mut watch, "the swap").await;
        assert_eq!(fs::read_to_string(&file).expect("readable"), "..2");
    }

    #[tokio::test]
    async fn a_directory_that_comes_back_is_heard() {
        let dir = tempfile::tempdir().expect("a directory");
        let inner = dir.path().join("inner");
        fs::create_dir(&inner).expect("writable");
        let file = inner.join("c.yaml");
        let mut watch = FileWatch::new().expect("inotify");
        watch.follow([file.as_path()], []);
        fs::remove_dir(&inner).expect("writable");
        heard(&mut watch, "the loss").await;
        fs::create_dir(&inner).expect("writable");
        fs::write(&file, "1").expect("writable");
        heard(&mut watch, "the return").await;
        fs::write(&file, "2").expect("writable");
        heard(&mut watch, "a write after it").await;
    }
}
