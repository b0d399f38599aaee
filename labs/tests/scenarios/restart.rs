//! A restart of the agent that the rack does not see: traffic goes on, and what went away meanwhile is purged.

use std::time::{Duration, Instant};

use anyhow::Result;
use lab::Lab;
use lab::clab::Role;
use lab::daemons::frr::Frr;
use lab::daemons::twintor::DAEMON;
use lab::manifests::{Manifests, Pod};
use lab::probe::{Echo, Probe, Report};
use lab::wait::{self, PATIENCE};
use nix::sys::signal::Signal;

use crate::support::{Agent, WEB, WEB_V4, ip};

/// The switches of `dual-tor`, and node1's address on each link.
const PLANES: [(&str, &str); 2] = [("tor1", "10.1.1.2"), ("tor2", "10.1.2.2")];
const SWITCHES: [&str; 2] = ["10.1.1.1", "10.1.2.1"];

const GONE: Pod<'static> = Pod {
    name: "gone",
    addresses: "10.16.0.66",
    node: "node1",
    policy: Some("true"),
};
const GONE_V4: &str = "10.16.0.66/32";

/// A rack whose only speaker is that of node1, with traffic to its pod.
struct Rack {
    lab: Lab,
    manifests: Manifests,
    agent: Agent,
    _echo: Echo,
}

impl Rack {
    fn new(extra: &[&str]) -> Self {
        let lab = Lab::builder("dual-tor").without(Role::Twintor).up().unwrap();
        Self::of(lab, extra)
    }

    fn of(lab: Lab, extra: &[&str]) -> Self {
        let agent = Agent::new(&SWITCHES).extra(extra);
        let manifests = agent.start(&lab);
        manifests.pod(&WEB).unwrap();
        manifests.pod(&GONE).unwrap();
        let echo = Echo::start(&lab.netns("pod1"), ip("10.16.0.10")).unwrap();
        let rack = Self {
            lab,
            manifests,
            agent,
            _echo: echo,
        };
        for (switch, node) in PLANES {
            let frr = rack.frr(switch);
            frr.wait_installed(WEB_V4, &[node]).unwrap();
            frr.wait_installed(GONE_V4, &[node]).unwrap();
        }
        rack
    }

    fn frr(&self, switch: &str) -> Frr<'_> {
        Frr::of(&self.lab, switch)
    }

    fn probe(&self) -> Probe {
        let probe = Probe::start(&self.lab.netns("client"), ip("10.99.0.1"), ip("10.16.0.10")).unwrap();
        more_traffic(&probe, 50);
        probe
    }

    /// Whether a switch lists a prefix, used or stale.
    fn lists(&self, switch: &str, prefix: &str) -> Result<bool> {
        Ok(!self.frr(switch).bgp_paths(prefix)?.is_empty())
    }

    fn wait_back(&self, switch: &str, node: &str, prefixes: u64) {
        wait::until_true(&format!("{switch} has the session again"), PATIENCE, || {
            let session = self.frr(switch).session(node)?;
            Ok(session.state == "Established" && session.prefixes == prefixes)
        })
        .unwrap();
    }

    fn wait_down(&self, switch: &str, node: &str) {
        wait::until_true(&format!("{switch} has lost the session"), PATIENCE, || {
            Ok(self.frr(switch).session(node)?.state != "Established")
        })
        .unwrap();
    }
}

fn more_traffic(probe: &Probe, packets: usize) {
    let goal = probe.sent() + packets;
    wait::until_true("more traffic", PATIENCE, || Ok(probe.sent() >= goal)).unwrap();
}

#[expect(clippy::print_stderr, reason = "the figures are what the scenario is for")]
fn tell(what: &str, report: &Report, back: Duration) {
    eprintln!(
        "{what}: {} of {} packets lost; sessions back after {} ms",
        report.lost(),
        report.sent(),
        back.as_millis()
    );
}

/// Ends the agent, deletes a pod, starts a new agent, and waits until all is as it should be.
fn restart(what: &str, rack: &Rack, signal: Signal) -> Report {
    let probe = rack.probe();
    rack.lab.stop("node1", DAEMON, signal).unwrap();
    for (switch, node) in PLANES {
        rack.wait_down(switch, node);
    }
    rack.manifests.remove("gone").unwrap();
    more_traffic(&probe, 250);
    let began = Instant::now();
    rack.lab.start_again("node1", DAEMON).unwrap();
    for (switch, node) in PLANES {
        rack.wait_back(switch, node, 1);
    }
    let back = began.elapsed();
    for (switch, _) in PLANES {
        wait::until_true(&format!("{switch} has purged what is gone"), PATIENCE, || {
            Ok(!rack.lists(switch, GONE_V4)?)
        })
        .unwrap();
    }
    more_traffic(&probe, 250);
    let report = probe.finish().unwrap();
    tell(what, &report, back);
    report
}

#[test]
fn without_graceful_restart_a_restart_is_felt() {
    let rack = Rack::new(&[]);
    let report = restart("SIGTERM without graceful restart", &rack, Signal::SIGTERM);
    assert!(
        report.lost() > 100,
        "the scenario would not notice a loss: {}",
        report.lost()
    );
}

#[test]
fn with_graceful_restart_no_packet_is_lost_and_what_is_gone_is_purged() {
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let rack = Rack::new(&["--graceful-restart"]);
        let report = restart(&format!("{signal} with graceful restart"), &rack, signal);
        assert_eq!(report.lost(), 0, "{signal}");
    }
}

#[test]
fn sigint_leaves_for_good() {
    let rack = Rack::new(&["--graceful-restart"]);
    rack.lab.stop("node1", DAEMON, Signal::SIGINT).unwrap();
    for (switch, _) in PLANES {
        wait::until_true(&format!("{switch} has dropped the routes"), PATIENCE, || {
            Ok(!rack.lists(switch, WEB_V4)? && !rack.lists(switch, GONE_V4)?)
        })
        .unwrap();
    }
}

#[test]
fn a_dead_switch_does_not_delay_the_other_at_a_restart() {
    let rack = Rack::new(&["--graceful-restart"]);
    rack.frr("tor1").kill_bgpd().unwrap();
    rack.lab.stop("node1", DAEMON, Signal::SIGTERM).unwrap();
    rack.wait_down("tor2", PLANES[1].1);
    rack.manifests.remove("gone").unwrap();
    let began = Instant::now();
    rack.lab.start_again("node1", DAEMON).unwrap();
    wait::until_true("tor2 has purged what is gone", PATIENCE, || {
        Ok(!rack.lists("tor2", GONE_V4)?)
    })
    .unwrap();
    let back = began.elapsed();
    rack.frr("tor2").wait_installed(WEB_V4, &[PLANES[1].1]).unwrap();
    assert!(
        back < Duration::from_secs(30),
        "it waited for the other switch: {back:?}"
    );
}

/// The same agent, but its API server cannot be reached.
fn without_api(rack: &Rack, extra: &[&str]) {
    let kubeconfig = rack.lab.dir().join("kubeconfig");
    let text = "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\n\
                users: [{name: u, user: {token: t}}]\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n";
    std::fs::write(&kubeconfig, text).unwrap();
    let mut args = vec![format!("--kubeconfig={}", kubeconfig.display())];
    args.extend(extra.iter().map(|arg| (*arg).to_owned()));
    rack.agent.start_without_manifests(&rack.lab, &args);
}

#[test]
fn without_the_api_server_the_state_file_stands_in_until_the_truth_is_known() {
    let lab = Lab::builder("dual-tor").without(Role::Twintor).up().unwrap();
    let file = format!("--state-file={}", lab.dir().join("state").display());
    // Without graceful restart: whatever a switch has after the restart came from the file.
    let rack = Rack::of(lab, &[&file]);
    rack.lab.stop("node1", DAEMON, Signal::SIGTERM).unwrap();
    for (switch, _) in PLANES {
        wait::until_true(&format!("{switch} has dropped the routes"), PATIENCE, || {
            Ok(!rack.lists(switch, WEB_V4)?)
        })
        .unwrap();
    }
    without_api(&rack, &["--state-file-wait=1s"]);
    for (switch, node) in PLANES {
        rack.frr(switch).wait_installed(WEB_V4, &[node]).unwrap();
        rack.frr(switch).wait_installed(GONE_V4, &[node]).unwrap();
    }

    // The truth is known again: only what is gone is taken back.
    rack.lab.stop("node1", DAEMON, Signal::SIGKILL).unwrap();
    rack.manifests.remove("gone").unwrap();
    rack.agent.start_with(&rack.lab, &rack.manifests, &[]);
    for (switch, node) in PLANES {
        rack.wait_back(switch, node, 1);
    }
}

#[test]
fn with_both_an_outage_of_the_api_server_over_a_restart_costs_no_packet() {
    let lab = Lab::builder("dual-tor").without(Role::Twintor).up().unwrap();
    let file = format!("--state-file={}", lab.dir().join("state").display());
    let rack = Rack::of(lab, &[&file, "--graceful-restart"]);
    let probe = rack.probe();
    rack.lab.stop("node1", DAEMON, Signal::SIGTERM).unwrap();
    for (switch, node) in PLANES {
        rack.wait_down(switch, node);
    }
    let began = Instant::now();
    without_api(&rack, &["--state-file-wait=1s"]);
    for (switch, node) in PLANES {
        rack.wait_back(switch, node, 2);
    }
    let back = began.elapsed();
    more_traffic(&probe, 250);

    rack.lab.stop("node1", DAEMON, Signal::SIGTERM).unwrap();
    rack.manifests.remove("gone").unwrap();
    rack.agent.start_with(&rack.lab, &rack.manifests, &[]);
    for (switch, node) in PLANES {
        rack.wait_back(switch, node, 1);
        wait::until_true(&format!("{switch} has purged what is gone"), PATIENCE, || {
            Ok(!rack.lists(switch, GONE_V4)?)
        })
        .unwrap();
    }
    more_traffic(&probe, 250);
    let report = probe.finish().unwrap();
    tell("API server away over a restart", &report, back);
    assert_eq!(report.lost(), 0);
}

/// Has both switches run BFD with node1 at 50 ms x 3, and restarts an agent that does.
fn restart_with_bfd(what: &str, signal: Signal, setting: Option<&str>) -> Report {
    let lab = Lab::builder("dual-tor").without(Role::Twintor).up().unwrap();
    for (switch, node) in PLANES {
        let neighbor = [
            format!("neighbor {node} bfd"),
            format!("neighbor {node} bfd profile fast"),
        ];
        let mut commands = vec!["configure", "bfd", "profile fast", "detect-multiplier 3"];
        commands.extend(["receive-interval 50", "transmit-interval 50", "exit", "exit"]);
        commands.push("router bgp 65030");
        commands.extend(neighbor.iter().map(String::as_str));
        let setting = setting.map(|setting| format!("neighbor {node} {setting}"));
        commands.extend(setting.as_deref());
        Frr::of(&lab, switch).vtysh_all(&commands).unwrap();
    }
    let bfd = ["--enable-bfd", "--bfd-min-tx=50", "--bfd-min-rx=50"];
    let rack = Rack::of(lab, &[&["--graceful-restart"], &bfd[..]].concat());
    for (switch, node) in PLANES {
        wait::until_true(&format!("BFD of {switch} is up"), PATIENCE, || {
            Ok(rack.frr(switch).json(&format!("show bfd peer {node} json"))?["status"] == "up")
        })
        .unwrap();
    }
    restart(what, &rack, signal)
}

#[test]
fn with_bfd_on_both_ends_a_graceful_restart_costs_no_packet_either() {
    for setting in [None, Some("bfd check-control-plane-failure")] {
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            let what = format!("{signal} with BFD, {setting:?}");
            let report = restart_with_bfd(&what, signal, setting);
            assert_eq!(report.lost(), 0, "{what}");
        }
    }
}
