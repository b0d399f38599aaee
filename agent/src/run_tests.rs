use super::*;
use crate::cli::{self, Command};
use crate::config;
use std::ffi::OsString;
use std::sync::{Arc, Mutex, PoisonError};

/// Writes down what it is told, in order.
#[derive(Clone, Default)]
pub(crate) struct Notebook(Arc<Mutex<Vec<String>>>);

impl Notebook {
    fn note(&self, line: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was announced and not withdrawn since, in order of the addresses' text.
    pub(crate) fn announced(&self) -> Vec<String> {
        let mut announced = std::collections::BTreeSet::new();
        for line in self.lines() {
            if let Some(prefix) = line.strip_prefix('+') {
                assert!(announced.insert(prefix.to_owned()), "announced twice: {line}");
            } else if let Some(prefix) = line.strip_prefix('-') {
                assert!(announced.remove(prefix), "withdrawn without need: {line}");
            }
        }
        announced.into_iter().collect()
    }

    pub(crate) async fn wait_for(&self, lines: &[&str]) {
        self.wait_until(|seen| seen == lines).await;
    }

    async fn wait_until(&self, done: impl Fn(&[String]) -> bool) {
        let seen = async {
            while !done(&self.lines()) {
                tokio::task::yield_now().await;
            }
        };
        let seen = tokio::time::timeout(Duration::from_secs(20), seen).await;
        assert!(seen.is_ok(), "{:?}", self.lines());
    }
}

impl Announcer for Notebook {
    async fn apply(&mut self, changes: Vec<Change>) {
        for change in changes {
            let sign = if change.announced { '+' } else { '-' };
            self.note(format!("{sign}{}", change.prefix));
        }
    }

    async fn sync_complete(&mut self) {
        self.note("complete".to_owned());
    }

    async fn open_early(&mut self) {
        self.note("early".to_owned());
    }

    async fn shut_down(&mut self, farewell: Farewell) {
        self.note(format!("shut down: {farewell:?}"));
    }
}

impl Consumer {
    /// Until the source ends.
    pub(crate) async fn consume(
        &mut self,
        mut batches: mpsc::Receiver<Batch>,
        announcer: &mut impl Announcer,
    ) {
        while let Some(batch) = batches.recv().await {
            self.take(batch, announcer).await;
        }
    }
}

const POD: &str = "apiVersion: kubeovn.io/v1
kind: Subnet
metadata: {name: ovn-default}
spec: {cidrBlock: 10.16.0.0/16}
---
apiVersion: v1
kind: Pod
metadata:
  name: web
  annotations:
    ovn.kubernetes.io/bgp: yes
    ovn.kubernetes.io/ip_address: 10.16.0.10
    ovn.kubernetes.io/logical_switch: ovn-default
spec: {nodeName: n}
";

fn settings(dir: &std::path::Path) -> Settings {
    let args = [
        "twintor",
        "run",
        "--neighbor-address=10.0.0.1",
        "--neighbor-as=1",
        "--cluster-as=2",
        "--node-name=Worker",
        "--announce-cluster-ip",
        "--manifests",
    ];
    let args = args.iter().map(OsString::from).chain([dir.into()]);
    let Command::Run(settings) = cli::parse(args, |_| None).expect("complete") else {
        panic!("not twintor run");
    };
    *settings
}

fn index_of(settings: &Settings) -> IndexConfig {
    let resolved = config::resolve(None, settings, &config::NodeFacts::default());
    index_config(settings, &resolved.expect("flags"))
}

fn service(ip: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: s, annotations: {{ovn.kubernetes.io/bgp: yes}}}}\nspec: {{clusterIP: {ip}}}\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_file_to_announcer_until_the_signal() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("s.yaml");
    std::fs::write(&file, service("10.96.0.1")).expect("writable");
    let settings = settings(dir.path());
    let notebook = Notebook::default();
    let (changes, index) = watch::channel(index_of(&settings));
    let served = {
        let notebook = notebook.clone();
        tokio::spawn(async move { serve(&settings, index, notebook, Board::default()).await })
    };
    notebook.wait_for(&["+10.96.0.1/32", "complete"]).await;

    std::fs::write(&file, service("10.96.0.2")).expect("writable");
    notebook
        .wait_for(&["+10.96.0.1/32", "complete", "+10.96.0.2/32", "-10.96.0.1/32"])
        .await;

    // Another policy takes over: what is no longer meant goes, and what stays is not touched.
    std::fs::write(dir.path().join("pod.yaml"), POD).expect("writable");
    let last =
        |line: &'static str| notebook.wait_until(move |lines| lines.last().is_some_and(|seen| seen == line));
    last("+10.16.0.10/32").await;
    let mut policy = changes.borrow().clone();
    policy.policy.services.cluster_ips = false;
    changes.send_replace(policy.clone());
    last("-10.96.0.2/32").await;
    policy.policy.services.cluster_ips = true;
    changes.send_replace(policy);
    last("+10.96.0.2/32").await;
    // The new source is followed as the old one was.
    std::fs::remove_file(&file).expect("there");
    last("-10.96.0.2/32").await;
    assert_eq!(notebook.announced(), ["10.16.0.10/32"]);
    assert_eq!(notebook.lines().len(), 8, "{:?}", notebook.lines());

    nix::sys::signal::raise(nix::sys::signal::Signal::SIGTERM).expect("a signal");
    let ended = tokio::time::timeout(Duration::from_secs(20), served).await;
    assert!(ended.expect("in time").expect("no panic").is_ok());
    assert_eq!(
        notebook.lines().last().map(String::as_str),
        Some("shut down: Restarts")
    );
}

#[test]
fn the_index_is_told_what_the_settings_say() {
    let config = index_of(&settings(std::path::Path::new("/m")));
    assert_eq!(config.node_name.as_deref(), Some("worker"));
    assert!(config.families.contains(wire::Family::Ipv4Unicast));
    assert!(!config.families.contains(wire::Family::Ipv6Unicast));
    assert!(config.policy.services.cluster_ips && config.missing_status_is_ready);
    assert_eq!(config.mode, Mode::Node);
}
