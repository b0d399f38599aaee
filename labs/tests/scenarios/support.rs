//! What the scenarios share.

use std::net::IpAddr;

use lab::Lab;
use lab::capture::Pcap;
use lab::daemons::twintor;
use lab::manifests::{Manifests, Pod};

/// The pod that most scenarios announce.
pub(crate) const WEB: Pod<'static> = Pod {
    name: "web",
    addresses: "10.16.0.10,fd00:10:16::10",
    node: "node1",
    policy: Some("true"),
};
pub(crate) const WEB_V4: &str = "10.16.0.10/32";
pub(crate) const WEB_V6: &str = "fd00:10:16::10/128";

/// The arguments of an agent.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    pub(crate) node: &'static str,
    pub(crate) asn: u32,
    pub(crate) peer_asn: u32,
    pub(crate) neighbors: Vec<&'static str>,
    pub(crate) router_id: &'static str,
    pub(crate) extra: Vec<String>,
}

impl Agent {
    /// An agent of AS 65000 with neighbours of AS 65030, on node1.
    pub(crate) fn new(neighbors: &[&'static str]) -> Self {
        Self {
            node: "node1",
            asn: 65000,
            peer_asn: 65030,
            neighbors: neighbors.to_vec(),
            router_id: "10.1.1.2",
            extra: Vec::new(),
        }
    }

    pub(crate) fn extra(mut self, args: &[&str]) -> Self {
        self.extra.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    /// Starts it in its node, reading a directory of its own that holds a subnet and nothing else.
    pub(crate) fn start(&self, lab: &Lab) -> Manifests {
        let manifests = manifests(lab);
        self.start_with(lab, &manifests, &[]);
        manifests
    }

    pub(crate) fn start_with(&self, lab: &Lab, manifests: &Manifests, env: &[(&str, &str)]) {
        let binary = twintor::binary().unwrap();
        let env = env
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        lab.start_with(
            self.node,
            twintor::DAEMON,
            &binary.to_string_lossy(),
            self.args(manifests),
            env,
        )
        .unwrap();
    }

    /// Starts it with these arguments in place of a manifests directory.
    pub(crate) fn start_without_manifests(&self, lab: &Lab, args: &[String]) {
        let binary = twintor::binary().unwrap();
        let mut all = vec!["run".to_owned()];
        all.extend(self.rack_args());
        all.extend(args.iter().cloned());
        lab.start(self.node, twintor::DAEMON, &binary.to_string_lossy(), all)
            .unwrap();
    }

    fn args(&self, manifests: &Manifests) -> Vec<String> {
        let mut args = vec![
            "run".to_owned(),
            format!("--manifests={}", manifests.dir().display()),
        ];
        args.extend(self.rack_args());
        args
    }

    fn rack_args(&self) -> Vec<String> {
        let family = |v6: bool| {
            let list = self
                .neighbors
                .iter()
                .copied()
                .filter(|neighbor| neighbor.contains(':') == v6);
            list.collect::<Vec<_>>().join(",")
        };
        let mut args = vec![
            format!("--node-name={}", self.node),
            format!("--cluster-as={}", self.asn),
            format!("--neighbor-as={}", self.peer_asn),
            format!("--router-id={}", self.router_id),
            "--holdtime=9s".to_owned(),
        ];
        for (flag, list) in [
            ("--neighbor-address", family(false)),
            ("--neighbor-ipv6-address", family(true)),
        ] {
            if !list.is_empty() {
                args.push(format!("{flag}={list}"));
            }
        }
        args.extend(self.extra.iter().cloned());
        args
    }
}

/// A directory with the default subnet in it.
pub(crate) fn manifests(lab: &Lab) -> Manifests {
    let manifests = Manifests::at(lab.dir().join("objects")).unwrap();
    manifests
        .subnet("ovn-default", "10.16.0.0/16,fd00:10:16::/112", None)
        .unwrap();
    manifests
}

/// Fails if tshark finds anything wrong with what a sender sent, or if there was nothing to find.
pub(crate) fn assert_well_formed(pcap: &Pcap, sender: &str) {
    let field = if sender.contains(':') {
        "ipv6.src"
    } else {
        "ip.src"
    };
    for (name, kind) in [("OPEN", 1), ("UPDATE", 2), ("KEEPALIVE", 4)] {
        let count = pcap
            .count(&format!("{field} == {sender} && bgp.type == {kind}"))
            .unwrap();
        assert!(count > 0, "the capture holds no {name} from {sender}");
    }
    let faults = pcap.faults(sender).unwrap();
    assert!(
        faults.is_empty(),
        "tshark objects to packets from {sender}: {faults:#?}"
    );
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}
