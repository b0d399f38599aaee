use super::*;
use crate::cli::{self, Command};
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

    async fn wait_for(&self, lines: &[&str]) {
        let seen = async {
            while self.lines() != lines {
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

    async fn shut_down(&mut self) {
        self.note("shut down".to_owned());
    }
}

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
    index_config(settings, &resolve(settings).expect("flags"))
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
    let served = {
        let notebook = notebook.clone();
        tokio::spawn(async move { serve(&settings, index_of(&settings), notebook, Board::default()).await })
    };
    notebook.wait_for(&["+10.96.0.1/32", "complete"]).await;

    std::fs::write(&file, service("10.96.0.2")).expect("writable");
    notebook
        .wait_for(&["+10.96.0.1/32", "complete", "+10.96.0.2/32", "-10.96.0.1/32"])
        .await;

    nix::sys::signal::raise(nix::sys::signal::Signal::SIGTERM).expect("a signal");
    let ended = tokio::time::timeout(Duration::from_secs(20), served).await;
    assert!(ended.expect("in time").expect("no panic").is_ok());
    assert_eq!(notebook.lines().last().map(String::as_str), Some("shut down"));
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
