//! `cargo lab demo`: what twintor is for, shown on two real switches.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::daemons::frr::Frr;
use crate::daemons::twintor;
use crate::manifests::{Manifests, Pod};
use crate::probe::{Echo, Probe};
use crate::wait::PATIENCE;
use crate::watch::RouteWatch;
use crate::{Lab, setup, state, testrun};

const SWITCHES: [&str; 2] = ["tor1", "tor2"];
const WEB: &str = "10.16.0.10";
const DB: &str = "10.16.0.20";
/// The stand-in for "for good": long enough to see that nothing is lost any more.
const QUIET: Duration = Duration::from_millis(1500);

/// Runs the demonstration. The exit code says whether everything happened that should.
pub fn run(say: &mut dyn FnMut(&str)) -> Result<ExitCode> {
    setup::machine(say)?;
    state::sweep()?;
    say("building twintor");
    testrun::build_agent()?;
    let mut show = Show {
        say,
        start: Instant::now(),
        reasons: Vec::new(),
    };
    if let Err(error) = show.perform() {
        show.reasons.push(format!("{error:#}"));
    }
    Ok(show.verdict())
}

struct Show<'a> {
    say: &'a mut dyn FnMut(&str),
    start: Instant,
    reasons: Vec<String>,
}

/// What the demonstration works with.
struct Stage {
    lab: Lab,
    watches: [RouteWatch; 2],
    manifests: Manifests,
}

impl Show<'_> {
    fn perform(&mut self) -> Result<()> {
        self.title("two switches (FRR, AS 65030), two nodes (twintor, AS 65000), four routed links");
        let stage = self.raise()?;
        self.both_switches_have_both_nodes(&stage)?;
        self.an_annotation_comes_changes_and_goes(&stage)?;
        self.a_link_dies(&stage)
    }

    fn raise(&mut self) -> Result<Stage> {
        let lab = Lab::builder("dual-tor")
            .wires()
            .without(crate::clab::Role::Twintor)
            .up()?;
        self.note(&format!(
            "the rack is up (lab {}), the switches run, nothing is announced",
            lab.id()
        ));
        let watches = [
            RouteWatch::start(&lab.netns("tor1"))?,
            RouteWatch::start(&lab.netns("tor2"))?,
        ];
        for name in ["node1-speaker", "node2-speaker"] {
            let node = lab
                .file()
                .topology
                .nodes
                .get(name)
                .with_context(|| format!("no {name}"))?;
            twintor::start_node(&lab, name, node)?;
        }
        self.note("twintor started on node1 and node2, reading pods and subnets from a directory");
        let manifests = Manifests::at(twintor::manifests(&lab))?;
        Ok(Stage {
            lab,
            watches,
            manifests,
        })
    }

    fn both_switches_have_both_nodes(&mut self, stage: &Stage) -> Result<()> {
        self.title("pod web (10.16.0.10) is annotated ovn.kubernetes.io/bgp=true");
        for (index, switch) in SWITCHES.into_iter().enumerate() {
            Frr::of(&stage.lab, switch).wait_installed(&host(WEB), &both_nodes(index))?;
        }
        self.tables(stage)?;
        self.note("both switches reach the pod over both nodes, each by the addresses of its own links");
        Ok(())
    }

    fn an_annotation_comes_changes_and_goes(&mut self, stage: &Stage) -> Result<()> {
        self.title("pod db (10.16.0.20) on node1: annotate, change to local, remove");
        let db = |policy| Pod {
            name: "db",
            addresses: DB,
            node: "node1",
            policy,
        };
        stage.manifests.pod(&db(None))?;

        let asked = Instant::now();
        stage.manifests.pod(&db(Some("true")))?;
        self.follow(stage, asked, "bgp=true", |index, text| {
            both_nodes(index)
                .iter()
                .all(|hop| text.contains(&format!("via {hop} ")))
        })?;
        for (index, switch) in SWITCHES.into_iter().enumerate() {
            Frr::of(&stage.lab, switch).wait_installed(&host(DB), &both_nodes(index))?;
        }

        let asked = Instant::now();
        stage.manifests.pod(&db(Some("local")))?;
        self.follow(stage, asked, "bgp=local", |index, text| {
            !text.contains(both_nodes(index)[1])
        })?;
        for (index, switch) in SWITCHES.into_iter().enumerate() {
            Frr::of(&stage.lab, switch).wait_installed(&host(DB), &both_nodes(index)[..1])?;
        }

        let asked = Instant::now();
        stage.manifests.pod(&db(None))?;
        self.follow(stage, asked, "annotation removed", |_, text| {
            text.starts_with("Deleted")
        })?;
        for switch in SWITCHES {
            Frr::of(&stage.lab, switch).wait_installed(&host(DB), &[])?;
        }
        Ok(())
    }

    fn a_link_dies(&mut self, stage: &Stage) -> Result<()> {
        self.title(
            "the link node1 - tor1 is cut while a client talks to the pod (250 packets/s on 16 flows)",
        );
        let pod = WEB.parse()?;
        let _echo = Echo::start(&stage.lab.netns("pod1"), pod)?;
        let probe = Probe::start(&stage.lab.netns("client"), "10.99.0.1".parse()?, pod)?;
        let link = stage.lab.link("node1", "tor1")?;

        self.pass(QUIET);
        let cut = Instant::now();
        link.cut_loudly()?;
        self.follow_one(stage, 0, cut, "link cut", |text| !text.contains("10.1.1.2"))?;
        Frr::of(&stage.lab, "tor1").wait_installed(&host(WEB), &["10.2.1.2"])?;
        Frr::of(&stage.lab, "tor2").wait_installed(&host(WEB), &both_nodes(1))?;
        self.tables(stage)?;
        self.pass(QUIET);
        let healed = Instant::now();
        link.heal()?;
        Frr::of(&stage.lab, "tor1").wait_installed(&host(WEB), &both_nodes(0))?;
        self.note(&format!(
            "link restored; tor1 has both nodes again after {}",
            millis(healed.elapsed())
        ));
        let back = Instant::now();
        self.pass(QUIET);

        let report = probe.finish()?;
        let settled = report.lost_between(cut + QUIET, healed) + report.lost_since(back);
        let loss = match report.lost() {
            0 => "none lost".to_owned(),
            lost => format!("{lost} lost, all within {}", millis(report.disturbance())),
        };
        self.note(&format!("client to pod: {} packets sent, {loss}", report.sent()));
        if report.lost_between(self.start, cut) > 0 {
            self.reasons.push("packets were lost before the cut".into());
        }
        if settled > 0 {
            self.reasons.push(format!(
                "{settled} packets were still lost after the switches had settled"
            ));
        }
        ensure!(report.sent_since(back) > 0, "the probe did not run to the end");
        Ok(())
    }

    /// Reports when each switch's kernel followed, and which was the later one.
    fn follow(
        &mut self,
        stage: &Stage,
        asked: Instant,
        what: &str,
        wanted: impl Fn(usize, &str) -> bool,
    ) -> Result<()> {
        for index in 0..SWITCHES.len() {
            self.follow_prefix(stage, index, asked, DB, what, |text| wanted(index, text))?;
        }
        Ok(())
    }

    fn follow_one(
        &mut self,
        stage: &Stage,
        index: usize,
        asked: Instant,
        what: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<()> {
        self.follow_prefix(stage, index, asked, WEB, what, wanted)
    }

    fn follow_prefix(
        &mut self,
        stage: &Stage,
        index: usize,
        asked: Instant,
        prefix: &str,
        what: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<()> {
        let about =
            |text: &str| text.trim_start_matches("Deleted ").split_whitespace().next() == Some(prefix);
        let seen = stage.watches[index].wait(asked, PATIENCE, |text| about(text) && wanted(text));
        let seen = seen.with_context(|| format!("{} after {what}", SWITCHES[index]))?;
        let took = seen.at.duration_since(asked);
        self.note(&format!(
            "{what}: the kernel of {} followed after {}",
            SWITCHES[index],
            millis(took)
        ));
        Ok(())
    }

    fn tables(&mut self, stage: &Stage) -> Result<()> {
        for switch in SWITCHES {
            let frr = Frr::of(&stage.lab, switch);
            for path in frr.bgp_paths(&host(WEB))? {
                let state = if path.valid && path.multipath {
                    "valid, multipath"
                } else {
                    "NOT USED"
                };
                self.say_line(&format!(
                    "    {switch}  {WEB}/32 via {:10} AS {}  {state}",
                    path.next_hop, path.as_path
                ));
            }
            let installed = frr.installed(&host(WEB))?.join(" and ");
            self.say_line(&format!("    {switch}  forwards {WEB} to {installed}"));
        }
        Ok(())
    }

    fn pass(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn title(&mut self, text: &str) {
        self.say_line("");
        self.say_line(&format!("== {text}"));
    }

    fn note(&mut self, text: &str) {
        let at = self.start.elapsed().as_secs_f64();
        self.say_line(&format!("[{at:7.3} s] {text}"));
    }

    fn say_line(&mut self, line: &str) {
        (self.say)(line);
    }

    fn verdict(mut self) -> ExitCode {
        self.say_line("");
        let took = self.start.elapsed().as_secs_f64();
        if self.reasons.is_empty() {
            self.say_line(&format!("PASS in {took:.1} s"));
            return ExitCode::SUCCESS;
        }
        self.say_line(&format!("FAIL in {took:.1} s"));
        for reason in std::mem::take(&mut self.reasons) {
            self.say_line(&format!("  - {reason}"));
        }
        ExitCode::FAILURE
    }
}

/// The addresses of node1 and node2 on their links to a switch.
fn both_nodes(switch: usize) -> [&'static str; 2] {
    [["10.1.1.2", "10.2.1.2"], ["10.1.2.2", "10.2.2.2"]][switch]
}

fn host(address: &str) -> String {
    format!("{address}/32")
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}
