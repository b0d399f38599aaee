use super::file::replace;
use super::format::{FormatError, Identity, Snapshot};
use super::*;
use crate::index::Change;
use crate::run::tests::Notebook;
use crate::run::{Announcer, Farewell};
use jiff::{SignedDuration, Timestamp};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use wire::{Family, Prefix, PrefixMap};

fn identity() -> Identity {
    Identity {
        node: Some("node1".to_owned()),
        gateway: None,
    }
}

fn boot() -> Boot {
    Boot {
        id: "b1".to_owned(),
        uptime: Duration::from_secs(86_400),
    }
}

fn set(prefixes: &[&str]) -> PrefixMap<()> {
    let mut set = PrefixMap::new();
    for prefix in prefixes {
        set.insert(prefix.parse().expect("a prefix"), ());
    }
    set
}

fn snapshot(prefixes: &[&str]) -> Snapshot {
    Snapshot {
        identity: identity(),
        boot_id: "b1".to_owned(),
        written_at: Timestamp::now(),
        prefixes: set(prefixes),
    }
}

fn file(dir: &Path) -> StateFile {
    StateFile {
        path: dir.join("state"),
        max_age: Duration::from_secs(3600),
        wait: Duration::from_secs(5),
    }
}

/// What a start makes of these octets.
fn found(octets: &[u8]) -> Found {
    let dir = tempfile::tempdir().expect("a directory");
    let file = file(dir.path());
    replace(&file.path, octets).expect("writable");
    file.read(&identity(), &boot(), Timestamp::now())
}

fn refusal(octets: &[u8]) -> String {
    match found(octets) {
        Found::Unusable(reason) => reason.to_string(),
        found @ (Found::Set(_) | Found::OtherBoot | Found::Nothing) => panic!("believed: {found:?}"),
    }
}

fn prefixes(set: &PrefixMap<()>) -> Vec<String> {
    let all = Family::ALL.map(|family| set.after(family, None));
    all.into_iter()
        .flatten()
        .map(|(prefix, ())| prefix.to_string())
        .collect()
}

#[test]
fn what_was_written_is_found_and_only_its_owner_may_read_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = file(dir.path());
    assert!(matches!(
        file.read(&identity(), &boot(), Timestamp::now()),
        Found::Nothing
    ));
    let all = ["10.16.0.10/32", "10.17.0.0/16", "fd00::1/128"];
    for round in [&all[..1], &all[..], &[]] {
        replace(&file.path, &snapshot(round).encode()).expect("writable");
        let Found::Set(set) = file.read(&identity(), &boot(), Timestamp::now()) else {
            panic!("not believed");
        };
        assert_eq!(prefixes(&set), round);
    }
    let mode = std::fs::metadata(&file.path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(dir.path()).expect("readable").count(), 1);
}

#[test]
fn a_write_that_was_cut_short_leaves_the_former_file_and_does_not_stop_the_next() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = file(dir.path());
    replace(&file.path, &snapshot(&["10.16.0.10/32"]).encode()).expect("writable");
    std::fs::write(dir.path().join("state.new"), b"half a fi").expect("writable");
    assert!(matches!(
        file.read(&identity(), &boot(), Timestamp::now()),
        Found::Set(_)
    ));
    replace(&file.path, &snapshot(&[]).encode()).expect("writable");
}

#[test]
fn a_file_cut_anywhere_or_changed_anywhere_is_not_believed() {
    let whole = snapshot(&["10.16.0.10/32", "10.16.0.11/32"]).encode();
    for end in 0..whole.len() {
        assert!(matches!(found(&whole[..end]), Found::Unusable(_)), "cut at {end}");
    }
    let body = whole.iter().position(|octet| *octet == b'\n').expect("a line");
    for at in body + 1..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        assert!(matches!(found(&changed), Found::Unusable(_)), "changed at {at}");
    }
    assert_eq!(
        refusal(&whole[..whole.len() - 1]),
        FormatError::Damaged.to_string()
    );
}

#[test]
fn each_refusal_says_what_is_wrong() {
    assert_eq!(refusal(b""), "it is not a state file of twintor");
    assert_eq!(refusal(b"\xff\xfe"), "it is not a state file of twintor");
    let later = br#"{"format":"twintor-state","version":2,"anything":[]}"#;
    assert_eq!(
        refusal(later),
        "it has version 2, and this release reads version 1"
    );
    let other = Snapshot {
        identity: Identity {
            node: Some("node2".to_owned()),
            gateway: None,
        },
        ..snapshot(&[])
    };
    assert_eq!(refusal(&other.encode()), "it belongs to node \"node2\"");
    let at = |hours| Snapshot {
        written_at: Timestamp::now() + SignedDuration::from_hours(hours),
        ..snapshot(&[])
    };
    assert!(refusal(&at(2).encode()).starts_with("it is from the future: "));
    let old = refusal(&at(-2).encode());
    assert!(
        old.starts_with("it is from ") && old.ends_with(", older than 3600 s"),
        "{old}"
    );
    let dir = tempfile::tempdir().expect("a directory");
    let file = StateFile {
        path: dir.path().to_owned(),
        ..file(dir.path())
    };
    let Found::Unusable(reason) = file.read(&identity(), &boot(), Timestamp::now()) else {
        panic!("a directory is no file");
    };
    assert!(reason.to_string().starts_with("it cannot be read: "), "{reason}");
}

#[test]
fn a_pipe_in_its_place_does_not_hang_the_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = file(dir.path());
    nix::unistd::mkfifo(&file.path, nix::sys::stat::Mode::S_IRUSR).expect("a pipe");
    assert!(matches!(
        file.read(&identity(), &boot(), Timestamp::now()),
        Found::Unusable(_)
    ));
}

#[test]
fn the_restart_is_told_as_far_as_it_is_known() {
    let other = Snapshot {
        boot_id: "b0".to_owned(),
        ..snapshot(&["10.16.0.10/32"])
    };
    let other = found(&other.encode());
    assert!(matches!(other, Found::OtherBoot));
    let young = Boot {
        uptime: Duration::from_secs(30),
        ..boot()
    };
    let same = found(&snapshot(&[]).encode());
    let torn = found(b"");
    let cases = [
        (Some(&same), boot(), (true, true)),
        (Some(&same), young.clone(), (true, true)),
        (Some(&other), boot(), (true, false)),
        (Some(&Found::Nothing), boot(), (false, true)),
        (Some(&Found::Nothing), young.clone(), (false, false)),
        (Some(&torn), boot(), (true, true)),
        (None, boot(), (true, true)),
        (None, young, (true, false)),
    ];
    for (found, boot, expected) in cases {
        let state = restart_state(found, &boot, Duration::from_secs(90));
        assert_eq!(
            (state.restarting, state.forwarding),
            expected,
            "{found:?}, up for {:?}",
            boot.uptime
        );
    }
}

fn change(prefix: &str, announced: bool) -> Change {
    let prefix: Prefix = prefix.parse().expect("a prefix");
    Change { prefix, announced }
}

struct Run {
    dir: tempfile::TempDir,
    notebook: Notebook,
    announcer: Remembering,
}

fn run(last: Option<&[&str]>, wait: Duration) -> Run {
    let dir = tempfile::tempdir().expect("a directory");
    let file = StateFile {
        wait,
        ..file(dir.path())
    };
    let notebook = Notebook::default();
    let announcer = Remembering::start(notebook.clone(), &file, identity(), &boot(), last.map(set));
    Run {
        dir,
        notebook,
        announcer,
    }
}

impl Run {
    /// What a next start would announce.
    fn kept(&self) -> Option<Vec<String>> {
        match file(self.dir.path()).read(&identity(), &boot(), Timestamp::now()) {
            Found::Set(set) => Some(prefixes(&set)),
            Found::Nothing => None,
            found @ (Found::OtherBoot | Found::Unusable(_)) => panic!("{found:?}"),
        }
    }
}

#[tokio::test]
async fn the_last_set_stands_in_and_only_the_difference_follows() {
    let mut run = run(
        Some(&["10.0.0.1/32", "10.0.0.2/32", "10.0.0.3/32"]),
        Duration::ZERO,
    );
    let early = ["+10.0.0.1/32", "+10.0.0.2/32", "+10.0.0.3/32", "early"];
    run.notebook.wait_for(&early).await;
    // One is seen and deleted while the rest is still being read; one is new.
    let seen = vec![change("10.0.0.1/32", true), change("10.0.0.4/32", true)];
    run.announcer.apply(seen).await;
    run.announcer.apply(vec![change("10.0.0.2/32", true)]).await;
    run.announcer.apply(vec![change("10.0.0.2/32", false)]).await;
    run.announcer.sync_complete().await;
    run.announcer.shut_down(Farewell::Restarts).await;
    let lines = run.notebook.lines();
    assert_eq!(
        lines[4..],
        [
            "+10.0.0.1/32",
            "+10.0.0.4/32",
            "+10.0.0.2/32",
            "-10.0.0.2/32",
            "-10.0.0.3/32",
            "complete",
            "shut down: Restarts"
        ]
    );
    assert_eq!(
        run.kept(),
        Some(vec!["10.0.0.1/32".to_owned(), "10.0.0.4/32".to_owned()])
    );
}

#[tokio::test]
async fn a_sync_in_time_needs_no_stand_in() {
    let mut run = run(Some(&["10.0.0.1/32"]), Duration::from_secs(3600));
    run.announcer.apply(vec![change("10.0.0.2/32", true)]).await;
    run.announcer.sync_complete().await;
    run.announcer.shut_down(Farewell::Leaves).await;
    assert_eq!(
        run.notebook.lines(),
        ["+10.0.0.2/32", "complete", "shut down: Leaves"]
    );
}

#[tokio::test]
async fn what_is_not_complete_is_not_kept() {
    let mut run = run(None, Duration::ZERO);
    run.announcer.apply(vec![change("10.0.0.2/32", true)]).await;
    run.announcer.shut_down(Farewell::Restarts).await;
    assert_eq!(run.kept(), None);
}
