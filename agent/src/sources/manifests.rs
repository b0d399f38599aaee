//! Objects from a directory of manifests, followed by inotify.
//!
//! ```text
//! inotify ──▶ watch ──names──▶ read ──text──▶ documents ──objects──▶ store ──▶ Batch
//! ```
//!
//! - Files that end in `.yaml`, `.yml` or `.json` and do not begin with a dot; no subdirectories. A swapped
//!   `..data` link (the way ConfigMaps are mounted) makes all of them be read again.
//! - A file is read when its writer closes it, when it is moved in, or when a link to it is made; at once, without
//!   waiting for more. Only a removal waits half a millisecond, because editors replace a file by removing it first.
//! - What cannot be read does not withdraw anything: the last good content stays, and a report says why.
//! - The same object in two files: the file whose name sorts first wins.
//! - A `v1` Node says nothing about announcements; its labels are for `match.labels` of the configuration
//!   ([`node_labels`]).

mod documents;
mod nodes;
mod store;
mod watch;

#[cfg(test)]
mod document_tests;
#[cfg(test)]
mod store_tests;
#[cfg(test)]
mod watch_tests;

pub use nodes::node_labels;
pub use watch::{ManifestError, ManifestSource, spawn};
