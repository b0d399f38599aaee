//! How the image's binary comes to port 179 as nobody: with the file capability of the image, started as container
//! runtimes start it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lab::daemons::twintor;
use lab::image::USER;
use lab::netns::{self, Netns};
use lab::process::{Daemon, Recipe, read_lossy};
use lab::wait::{self, PATIENCE};
use nix::sys::signal::Signal;

const BIND_SERVICE: u8 = 10;

/// What a container may do.
struct Container {
    /// The bounding set.
    bounds: &'static [u8],
    /// What the runtime leaves permitted until it executes the program.
    permitted: bool,
    /// `allowPrivilegeEscalation: false`.
    no_new_privileges: bool,
}

/// What Docker and containerd give by default.
const DEFAULT: &[u8] = &[0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31];

/// A place for one agent: a namespace and a directory that nobody may enter, on a disk that knows file capabilities.
struct Place {
    netns: Netns,
    dir: PathBuf,
    daemon: Option<Daemon>,
}

impl Place {
    fn make(file_capability: Option<&str>) -> Self {
        let name = std::iter::repeat_with(fastrand::lowercase)
            .take(5)
            .collect::<String>();
        let netns = Netns::named(format!("tl{name}-caps"));
        netns.create().unwrap();
        let dir = Path::new("/var/tmp").join(format!("twintor-lab-{name}"));
        fs::create_dir_all(dir.join("manifests")).unwrap();
        fs::copy(twintor::binary().unwrap(), dir.join("twintor")).unwrap();
        if let Some(capability) = file_capability {
            netns::run(Command::new("setcap").arg(capability).arg(dir.join("twintor"))).unwrap();
        }
        Self {
            netns,
            dir,
            daemon: None,
        }
    }

    fn start(&mut self, container: &Container) {
        let last = fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap();
        let dropped = (0..=last.trim().parse::<u8>().unwrap())
            .filter(|capability| !container.bounds.contains(capability))
            .map(|capability| capability.to_string());
        let mut args = vec![
            format!("--drop={}", dropped.collect::<Vec<_>>().join(",")),
            "--inh=".to_owned(),
            "--keep=1".to_owned(),
            format!("--gid={USER}"),
            format!("--uid={USER}"),
        ];
        args.push(format!(
            "--caps={}",
            if container.permitted {
                "cap_net_bind_service=p"
            } else {
                "="
            }
        ));
        if container.no_new_privileges {
            args.push("--no-new-privs".to_owned());
        }
        args.push(format!("--shell={}", self.dir.join("twintor").display()));
        args.push("--".to_owned());
        let agent = [
            "run",
            "--node-name=node1",
            "--cluster-as=65000",
            "--neighbor-as=65030",
            "--router-id=10.0.0.1",
            "--neighbor-address=127.0.0.2",
        ];
        args.extend(agent.map(str::to_owned));
        args.push(format!("--manifests={}", self.dir.join("manifests").display()));
        let recipe = Recipe {
            netns: self.netns.clone(),
            program: "capsh".to_owned(),
            args,
            env: Vec::new(),
            log: self.log(),
        };
        self.daemon = Some(recipe.start().unwrap());
    }

    fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// Whether it listens on port 179, once it has tried.
    fn listens(&self) -> bool {
        let listening = || -> anyhow::Result<bool> {
            let sockets = netns::run(self.netns.command("ss").args(["-Hltn", "sport = :179"]))?;
            Ok(!sockets.trim().is_empty())
        };
        let refused = || read_lossy(&self.log()).contains("CAP_NET_BIND_SERVICE");
        let tried = || Ok(listening()? || refused());
        wait::until_true("it has tried to listen", PATIENCE, tried)
            .unwrap_or_else(|error| panic!("{error:#}: {}", read_lossy(&self.log())));
        listening().unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            let _ = daemon.stop(Signal::SIGKILL);
        }
        let _ = self.netns.delete();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn listens(file_capability: Option<&str>, container: &Container) -> bool {
    let mut place = Place::make(file_capability);
    place.start(container);
    place.listens()
}

/// The Dockerfile's.
const IMAGE: Option<&str> = Some("cap_net_bind_service=p");

#[test]
fn nobody_listens_on_port_179_in_the_daemonset_and_in_a_gateway() {
    let daemonset = Container {
        bounds: &[BIND_SERVICE],
        permitted: true,
        no_new_privileges: true,
    };
    let gateway = Container {
        bounds: DEFAULT,
        permitted: false,
        no_new_privileges: false,
    };
    assert!(listens(IMAGE, &daemonset), "the DaemonSet");
    assert!(listens(IMAGE, &gateway), "the gateway");
    assert!(
        !listens(None, &gateway),
        "it is the file that gives the capability"
    );
}

#[test]
fn where_nothing_is_granted_it_still_starts_and_says_what_it_lacks() {
    let nothing = Container {
        bounds: &[],
        permitted: false,
        no_new_privileges: true,
    };
    assert!(!listens(IMAGE, &nothing));
}

/// Why the image's capability is not effective by itself: the kernel refuses to start such a file where it is not granted.
#[test]
fn a_file_with_the_effective_bit_does_not_start_where_nothing_is_granted() {
    let mut place = Place::make(Some("cap_net_bind_service=ep"));
    place.start(&Container {
        bounds: &[],
        permitted: false,
        no_new_privileges: true,
    });
    let refused = || Ok(read_lossy(&place.log()).contains("execve"));
    wait::until_true("the kernel refuses", PATIENCE, refused).unwrap();
}
