//! What the lab needs from the machine, and how it gets it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::unistd::Uid;

/// A package, and a file that it brings.
const PACKAGES: [(&str, &str); 11] = [
    ("iproute2", "/sbin/ip"),
    ("frr", "/usr/lib/frr/bgpd"),
    ("bird2", "/usr/sbin/bird"),
    ("gobgpd", "/usr/bin/gobgpd"),
    ("openbgpd", "/usr/sbin/bgpctl"),
    ("exabgp", "/usr/sbin/exabgp"),
    ("tshark", "/usr/bin/tshark"),
    ("iptables", "/usr/sbin/iptables"),
    ("nftables", "/usr/sbin/nft"),
    ("libcap2-bin", "/sbin/capsh"),
    ("systemd", "/usr/bin/systemd-analyze"),
];

const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Makes sure that the machine can run labs, installing the routing daemons where they are missing.
pub fn machine(say: &mut dyn FnMut(&str)) -> Result<()> {
    ensure!(
        Uid::effective().is_root(),
        "the lab makes network namespaces and therefore runs as root: sudo -E env PATH=\"$PATH\" cargo lab …"
    );
    packages(
        &PACKAGES,
        "install FRR, BIRD 2, GoBGP (daemon and CLI), OpenBGPD, ExaBGP, tshark, iptables, nftables, libcap's tools, \
         systemd-analyze and iproute2 with your package manager",
        say,
    )
}

/// Makes sure that these packages' files are there, installing what is missing; elsewhere than on Debian and Ubuntu the
/// user is told what to do instead.
pub(crate) fn packages(
    list: &[(&'static str, &str)],
    elsewhere: &str,
    say: &mut dyn FnMut(&str),
) -> Result<()> {
    let missing = missing(list);
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!(
            "these are missing: {names}. The lab installs them itself on Debian and Ubuntu; elsewhere {elsewhere}"
        );
    }
    say(&format!("installing {names} (once)"));
    install(&missing)?;
    let still = self::missing(list);
    ensure!(
        still.is_empty(),
        "apt-get installed them, yet these are not there: {}",
        still.join(" ")
    );
    Ok(())
}

fn missing(list: &[(&'static str, &str)]) -> Vec<&'static str> {
    let missing = list.iter().filter(|(_, file)| !Path::new(file).exists());
    missing.map(|(package, _)| *package).collect()
}

fn install(packages: &[&str]) -> Result<()> {
    let guard = NoServices::raise()?;
    apt(&["update"])?;
    let mut args = vec!["install", "--yes", "--no-install-recommends"];
    args.extend(packages);
    let first = apt(&args);
    // Without a running init a daemon's own start-up can fail the configuration step; a second pass completes it.
    if first.is_err() {
        let _ = Command::new("dpkg")
            .args(["--configure", "--pending"])
            .stdin(Stdio::null())
            .status();
        apt(&args)?;
    }
    drop(guard);
    Ok(())
}

fn apt(args: &[&str]) -> Result<()> {
    let output = Command::new("apt-get")
        .args(["-qq", "-o", "Dpkg::Use-Pty=0"])
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .context("run apt-get")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("apt-get {}: {}\n{}", args.join(" "), output.status, said.trim());
    }
    Ok(())
}

/// While it lives, packages do not start their services: the lab starts daemons itself, in its own namespaces, and a
/// freshly installed bgpd would otherwise sit on port 179 of the machine.
struct NoServices {
    raised: bool,
}

impl NoServices {
    fn raise() -> Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self { raised: false });
        }
        fs::write(POLICY, "#!/bin/sh\nexit 101\n").with_context(|| format!("write {POLICY}"))?;
        fs::set_permissions(POLICY, Permissions::from_mode(0o755))?;
        Ok(Self { raised: true })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.raised {
            let _ = fs::remove_file(POLICY);
        }
    }
}
