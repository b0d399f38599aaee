//! What is shipped beside the binary: the chart, the manifests, the image, the unit, and the migration page.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are tests: what cannot go on has failed"
)]

mod capabilities;
mod chart;
mod cluster;
mod dockerfile;
mod migration;
mod moving;
mod systemd;

use std::fs;

use lab::helm::Chart;
use lab::state;

/// A file of the repository.
fn file(path: &str) -> String {
    let path = state::workspace().unwrap().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn chart() -> Chart {
    Chart::shipped(&mut |_| ()).unwrap()
}
