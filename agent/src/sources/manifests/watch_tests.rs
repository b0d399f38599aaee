//! With a real directory and a real inotify. Each waits for what it expects, with a deadline.

use super::*;
use crate::index::{Index, IndexConfig, Mode, Policy};
use crate::sources::{Batch, ReportChange};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::mpsc::{self, error::TryRecvError};
use wire::FamilySet;

const DEADLINE: Duration = Duration::from_secs(20);

/// A followed directory, and the index that results.
struct Rig {
    _temp: TempDir,
    dir: PathBuf,
    batches: mpsc::Receiver<Batch>,
    source: Option<ManifestSource>,
    index: Index,
    complete: usize,
    reports: Vec<String>,
    /// Every change of the desired set there ever was.
    changes: Vec<String>,
}

impl Rig {
    /// Fills a directory, starts to follow it, and waits until all of it is known.
    fn start(fill: impl FnOnce(&Path)) -> Self {
        let temp = tempfile::tempdir().expect("a directory");
        let dir = temp.path().join("manifests");
        fs::create_dir(&dir).expect("a directory");
        fill(&dir);
        let (sender, batches) = mpsc::channel(4);
        let source = spawn(dir.clone(), sender).expect("the source starts");
        let index = Index::new(IndexConfig {
            node_name: None,
            families: FamilySet::ALL,
            policy: Policy::from_flag(true),
            mode: Mode::Node,
            missing_status_is_ready: true,
        });
        let mut rig = Self {
            _temp: temp,
            dir,
            batches,
            source: Some(source),
            index,
            complete: 0,
            reports: Vec::new(),
            changes: Vec::new(),
        };
        rig.wait_for("the first sync", |rig| rig.complete == 1);
        rig
    }

    fn wait_for(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !condition(self) {
            match self.batches.try_recv() {
                Ok(batch) => self.take(batch),
                Err(TryRecvError::Empty) => std::thread::yield_now(),
                Err(TryRecvError::Disconnected) => panic!("the source ended"),
            }
            assert!(
                Instant::now() < deadline,
                "no {what}; announced {:?}, reports {:?}",
                self.announced(),
                self.reports
            );
        }
    }

    fn wait_for_announced(&mut self, expected: &[&str]) {
        self.wait_for(&format!("{expected:?}"), |rig| rig.announced() == expected);
    }

    fn wait_for_report(&mut self, part: &str) {
        self.wait_for(part, |rig| rig.reports.iter().any(|report| report.contains(part)));
    }

    fn take(&mut self, batch: Batch) {
        self.complete += usize::from(batch.complete);
        for report in batch.reports {
            self.reports.push(match report {
                ReportChange::New(report) => format!("new {report}"),
                ReportChange::Cleared(report) => format!("cleared {report}"),
            });
        }
        for change in self.index.apply_all(batch.events) {
            let sign = if change.announced { '+' } else { '-' };
            self.changes.push(format!("{sign}{}", change.prefix));
        }
    }

    fn announced(&self) -> Vec<String> {
        self.index.announced().map(|prefix| prefix.to_string()).collect()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.dir.join(name), text).expect("writable");
    }
}

fn service(name: &str, ip: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\n  annotations: {{ovn.kubernetes.io/bgp: true}}\nspec: {{clusterIP: {ip}}}\n"
    )
}

fn write(dir: &Path, name: &str, text: &str) {
    fs::write(dir.join(name), text).expect("writable");
}

#[test]
fn reads_what_is_there_and_follows_changes() {
    let mut rig = Rig::start(|dir| {
        write(dir, "a.yaml", &service("a", "10.0.0.1"));
        write(
            dir,
            "b.json",
            r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"b","annotations":{"ovn.kubernetes.io/bgp":"true"}},"spec":{"clusterIP":"10.0.0.2"}}"#,
        );
        write(dir, "notes.txt", "no manifest");
        write(dir, ".hidden.yaml", &service("h", "10.0.0.66"));
        fs::create_dir(dir.join("sub.yaml")).expect("a directory");
    });
    assert_eq!(rig.announced(), ["10.0.0.1/32", "10.0.0.2/32"]);
    assert_eq!(rig.reports, [""; 0]);

    rig.write("c.yml", &service("c", "10.0.0.3"));
    rig.wait_for_announced(&["10.0.0.1/32", "10.0.0.2/32", "10.0.0.3/32"]);
    rig.write("a.yaml", &(service("a", "10.0.0.1") + &service("d", "10.0.0.4")));
    rig.wait_for_announced(&["10.0.0.1/32", "10.0.0.2/32", "10.0.0.3/32", "10.0.0.4/32"]);
    fs::remove_file(rig.dir.join("a.yaml")).expect("removable");
    rig.wait_for_announced(&["10.0.0.2/32", "10.0.0.3/32"]);
    fs::rename(rig.dir.join("c.yml"), rig.dir.join("c.off")).expect("renamable");
    rig.wait_for_announced(&["10.0.0.2/32"]);
    assert_eq!(rig.complete, 1);
}

#[test]
fn a_file_that_is_replaced_does_not_flap() {
    let mut rig = Rig::start(|dir| write(dir, "a.yaml", &service("a", "10.0.0.1")));
    for round in 2..30_u8 {
        let text = service("a", "10.0.0.1") + &service("b", &format!("10.0.0.{round}"));
        rig.write("a.tmp", &text);
        fs::rename(rig.dir.join("a.tmp"), rig.dir.join("a.yaml")).expect("renamable");
        rig.wait_for_announced(&["10.0.0.1/32", &format!("10.0.0.{round}/32")]);
    }
    assert!(
        !rig.changes.contains(&"-10.0.0.1/32".to_owned()),
        "{:?}",
        rig.changes
    );
}

#[test]
fn a_file_is_not_read_before_its_writer_closes_it() {
    let mut rig = Rig::start(|_| {});
    let mut file = File::create(rig.dir.join("a.yaml")).expect("creatable");
    file.write_all(service("a", "10.0.0.1").as_bytes())
        .expect("writable");
    rig.write("b.yaml", &service("b", "10.0.0.2"));
    rig.wait_for_announced(&["10.0.0.2/32"]);
    drop(file);
    rig.wait_for_announced(&["10.0.0.1/32", "10.0.0.2/32"]);
    assert_eq!(rig.reports, [""; 0]);
}

#[test]
fn a_broken_file_keeps_its_last_good_content() {
    let mut rig = Rig::start(|dir| {
        write(
            dir,
            "a.yaml",
            &(service("a", "10.0.0.1") + &service("b", "10.0.0.2")),
        )
    });
    rig.write("a.yaml", &(service("a", "10.0.0.9") + "---\nkind: [\n"));
    rig.wait_for_announced(&["10.0.0.2/32", "10.0.0.9/32"]);
    rig.wait_for_report("new a.yaml document 2 line ");
    rig.write("a.yaml", &service("a", "10.0.0.9"));
    rig.wait_for_announced(&["10.0.0.9/32"]);
    rig.wait_for_report("cleared a.yaml document 2 line ");
    assert_eq!(rig.reports.len(), 2, "{:?}", rig.reports);
}

/// kubelet's atomic writer: the files are links into a directory behind a link that is swapped.
#[test]
fn the_swap_of_a_mounted_config_map() {
    let fill = |dir: &Path, version: &str, files: &[(&str, &str)]| {
        let data = dir.join(version);
        fs::create_dir(&data).expect("a directory");
        for (name, ip) in files {
            write(&data, name, &service(name.trim_end_matches(".yaml"), ip));
        }
        symlink(version, dir.join("..data_tmp")).expect("a link");
        fs::rename(dir.join("..data_tmp"), dir.join("..data")).expect("renamable");
        for (name, _) in files {
            let link = dir.join(name);
            if !link.is_symlink() {
                symlink(Path::new("..data").join(name), link).expect("a link");
            }
        }
    };
    let mut rig = Rig::start(|dir| fill(dir, "..v1", &[("a.yaml", "10.0.0.1"), ("b.yaml", "10.0.0.2")]));
    assert_eq!(rig.announced(), ["10.0.0.1/32", "10.0.0.2/32"]);

    fill(
        &rig.dir,
        "..v2",
        &[
            ("a.yaml", "10.0.0.1"),
            ("b.yaml", "10.0.0.3"),
            ("c.yaml", "10.0.0.4"),
        ],
    );
    fs::remove_dir_all(rig.dir.join("..v1")).expect("removable");
    rig.wait_for_announced(&["10.0.0.1/32", "10.0.0.3/32", "10.0.0.4/32"]);

    fill(&rig.dir, "..v3", &[("a.yaml", "10.0.0.1")]);
    fs::remove_file(rig.dir.join("b.yaml")).expect("removable");
    fs::remove_file(rig.dir.join("c.yaml")).expect("removable");
    rig.wait_for_announced(&["10.0.0.1/32"]);
    assert!(
        !rig.changes.contains(&"-10.0.0.1/32".to_owned()),
        "{:?}",
        rig.changes
    );
}

#[test]
fn a_directory_that_goes_and_comes_back() {
    let mut rig = Rig::start(|dir| {
        write(dir, "a.yaml", &service("a", "10.0.0.1"));
        write(dir, "b.yaml", &service("b", "10.0.0.2"));
    });
    fs::rename(&rig.dir, rig.dir.with_extension("old")).expect("renamable");
    rig.wait_for_report("the directory cannot be read");
    assert_eq!(rig.announced(), ["10.0.0.1/32", "10.0.0.2/32"]);

    fs::create_dir(&rig.dir).expect("a directory");
    rig.write("a.yaml", &service("a", "10.0.0.3"));
    rig.wait_for_announced(&["10.0.0.2/32", "10.0.0.3/32"]);
    rig.wait_for_report("cleared ");
    rig.wait_for_announced(&["10.0.0.3/32"]);
    rig.write("c.yaml", &service("c", "10.0.0.4"));
    rig.wait_for_announced(&["10.0.0.3/32", "10.0.0.4/32"]);
    fs::remove_file(rig.dir.join("a.yaml")).expect("removable");
    rig.wait_for_announced(&["10.0.0.4/32"]);
}

#[test]
fn a_directory_that_comes_back_empty_is_not_believed() {
    let mut rig = Rig::start(|dir| write(dir, "a.yaml", &service("a", "10.0.0.1")));
    fs::rename(&rig.dir, rig.dir.with_extension("old")).expect("renamable");
    rig.wait_for_report("the directory cannot be read");
    fs::create_dir(&rig.dir).expect("a directory");
    rig.wait_for_report("the directory came back empty");
    assert_eq!(rig.announced(), ["10.0.0.1/32"]);
    rig.write("b.yaml", &service("b", "10.0.0.2"));
    rig.wait_for_announced(&["10.0.0.2/32"]);
}

#[test]
fn two_files_with_one_object() {
    let mut rig = Rig::start(|dir| {
        write(dir, "a.yaml", &service("s", "10.0.0.1"));
        write(dir, "b.yaml", &service("s", "10.0.0.2"));
    });
    assert_eq!(rig.announced(), ["10.0.0.1/32"]);
    rig.wait_for_report("new b.yaml: Service default/s is also in a.yaml");
    fs::remove_file(rig.dir.join("a.yaml")).expect("removable");
    rig.wait_for_announced(&["10.0.0.2/32"]);
}

#[test]
fn what_is_no_text_file_is_reported_not_waited_for() {
    let mut rig = Rig::start(|dir| {
        write(dir, "z.yaml", &service("z", "10.0.0.1"));
        nix::unistd::mkfifo(&dir.join("fifo.yaml"), nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        fs::write(dir.join("binary.yaml"), [0xff, 0xfe, 0x00]).expect("writable");
        symlink("nowhere", dir.join("dangling.yaml")).expect("a link");
    });
    assert_eq!(rig.announced(), ["10.0.0.1/32"]);
    rig.wait_for_report("new fifo.yaml: is no regular file");
    rig.wait_for_report("new binary.yaml: is not UTF-8 text");
    rig.wait_for_report("new dangling.yaml: cannot be read");
}

#[test]
fn a_missing_directory_is_refused_at_the_start() {
    let (sender, _receiver) = mpsc::channel(1);
    let error = spawn(PathBuf::from("/nonexistent/manifests"), sender).expect_err("must be refused");
    let text = error.to_string();
    assert!(
        text.starts_with("--manifests=/nonexistent/manifests: cannot read the directory"),
        "{text}"
    );
}

#[test]
fn it_ends_with_its_handle_and_with_its_receiver() {
    let mut rig = Rig::start(|_| {});
    rig.source.take().expect("running").stop();
    assert!(matches!(rig.batches.try_recv(), Err(TryRecvError::Disconnected)));

    let mut rig = Rig::start(|_| {});
    rig.batches.close();
    rig.write("a.yaml", &service("a", "10.0.0.1"));
    rig.source.take().expect("running").stop();
}
