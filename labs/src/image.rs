//! The image without a container engine: the static binary, and a directory laid out as `deploy/Dockerfile` does it.

use std::fmt;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::netns::run;
use crate::{setup, state, testrun};

/// The target whose static binary can be built everywhere; the image itself is built for musl.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The user of the image: `nobody`, to whom Kube-OVN's chart gives its log directory.
pub const USER: u32 = 65534;

/// The limit for the binary, in octets.
pub const LIMIT: u64 = 20 * 1000 * 1000;

/// What was found.
#[derive(Debug)]
pub struct Findings {
    /// The size of the stripped binary, in octets.
    pub size: u64,
    /// The laid-out image.
    pub root: PathBuf,
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.size;
        write!(
            f,
            "static, {size} octets stripped, runs in {}",
            self.root.display()
        )
    }
}

/// Where [`build`] leaves the binary.
pub fn path() -> Result<PathBuf> {
    Ok(state::target_dir()?.join(TARGET).join("release/twintor"))
}

/// Builds the static release binary.
pub fn build(say: &mut dyn FnMut(&str)) -> Result<PathBuf> {
    setup::packages(
        &[("libcap2-bin", "/sbin/setcap")],
        "install setcap and capsh",
        say,
    )?;
    let status = testrun::cargo()
        .args(["build", "--release", "--target", TARGET, "--package", "twintor"])
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .status();
    ensure!(
        status.context("run cargo build")?.success(),
        "cargo build of the static binary failed"
    );
    path()
}

/// Checks a static binary: it needs no other file, is small enough, and runs alone in a directory as the image's user,
/// by both of its names.
pub fn check(binary: &Path) -> Result<Findings> {
    let headers = run(Command::new("readelf").args(["-ldW"]).arg(binary))?;
    for mark in ["INTERP", "(NEEDED)"] {
        ensure!(
            !headers.contains(mark),
            "{} is not static:\n{headers}",
            binary.display()
        );
    }
    let root = lay_out(binary)?;
    let size = fs::metadata(root.join("usr/local/bin/twintor"))?.len();
    ensure!(size < LIMIT, "{size} octets are too many, the limit is {LIMIT}");

    let help = inside(&root, "/usr/local/bin/twintor", &["run", "--help"])?;
    ensure!(help.contains("--neighbor-address"), "no help: {help}");
    let refused = inside(&root, "/kube-ovn/kube-ovn-speaker", &["--nat-gw-mode"])
        .err()
        .context("it must not run without switches")?;
    ensure!(
        format!("{refused:#}").contains("missing required flags"),
        "called kube-ovn-speaker it is something else: {refused:#}"
    );
    Ok(Findings { size, root })
}

fn lay_out(binary: &Path) -> Result<PathBuf> {
    let root = state::root()?.join("image");
    if root.exists() {
        fs::remove_dir_all(&root)?;
    }
    for dir in ["usr/local/bin", "kube-ovn"] {
        fs::create_dir_all(root.join(dir))?;
    }
    let inside = root.join("usr/local/bin/twintor");
    run(Command::new("strip")
        .arg("-o")
        .args([&inside, &binary.to_owned()]))?;
    run(Command::new("setcap").arg("cap_net_bind_service=p").arg(&inside))?;
    symlink("/usr/local/bin/twintor", root.join("kube-ovn/kube-ovn-speaker"))?;
    Ok(root)
}

fn inside(root: &Path, program: &str, args: &[&str]) -> Result<String> {
    let user = format!("--userspec={USER}:{USER}");
    run(Command::new("/usr/sbin/chroot")
        .args([&user, "--groups="])
        .arg(root)
        .arg(program)
        .args(args)
        .env_clear()
        .env("GATEWAY_NAME", "gw1"))
}
