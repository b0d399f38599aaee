use super::*;
use crate::cli::{self, Command, Show};
use crate::config::{Document, NodeFacts, Resolver, resolve};
use crate::report::PlanReport;
use crate::run::index_config;
use crate::show;
use fabric::{RackThread, Verdict};
use std::ffi::OsString;
use std::net::Ipv4Addr;

const FILE: &str = "apiVersion: twintor.io/v1alpha1
kind: SpeakerConfig
localAs: 65000
routerId: 10.0.0.1
listen: {port: 0}
defaults: {as: 65030}
planes:
- {name: a, neighbors: [127.0.0.2], passwordFile: secret}
- {name: b, neighbors: [127.0.0.3]}
";

fn parse(args: &[&str]) -> Command {
    cli::parse(args.iter().map(OsString::from), |_| None).unwrap_or_else(|error| panic!("{args:?}: {error}"))
}

/// An agent that runs with [`FILE`] in `dir`, as far as its socket and its rack go.
fn agent(dir: &Path) -> (Control, RackThread) {
    let file = dir.join("c.yaml");
    fs::write(&file, FILE).expect("writable");
    fs::write(dir.join("secret"), "one").expect("writable");
    let config = format!("--config={}", file.display());
    let Command::Run(settings) = parse(&["twintor", "run", "--node-name=n1", "--manifests=/m", &config])
    else {
        panic!("not run");
    };
    let document = Document {
        name: "c.yaml",
        text: FILE,
        directory: dir,
    };
    let resolved = resolve(Some(document), &settings, &NodeFacts::default()).expect("good");
    let rack = resolved.rack(Ipv4Addr::new(10, 0, 0, 1), settings.node_name.clone());
    let (rack, thread) = fabric::spawn(rack, fabric::RestartState::default()).expect("a thread");
    let control = Control::default();
    let (_, index) = tokio::sync::watch::channel(index_config(&settings, &resolved));
    let resolver = Resolver::new(Arc::new(*settings), None);
    control.set_planner(Planner::new(resolver, rack, index));
    (control, thread)
}

/// What `twintor plan` says of a text.
async fn plan(socket: &Path, dir: &Path, text: &str) -> Result<(PlanReport, bool), String> {
    let new = dir.join("new.yaml");
    fs::write(&new, text).expect("writable");
    let (new, socket) = (new.display().to_string(), socket.display().to_string());
    let args = [
        "twintor",
        "plan",
        "--config",
        &new,
        "--control-socket",
        &socket,
        "-o",
        "json",
    ];
    let Command::Show(show @ Show::Plan(_)) = parse(&args) else {
        panic!("not plan");
    };
    let shown = tokio::task::spawn_blocking(move || show::shown(&show))
        .await
        .expect("no panic");
    let shown = shown.map_err(|error| error.to_string())?;
    Ok((
        serde_json::from_slice(&shown.octets).expect("JSON"),
        shown.healthy,
    ))
}

fn verdicts(report: &PlanReport) -> Vec<(String, Verdict)> {
    let sessions = report.sessions.iter();
    sessions
        .map(|session| (session.neighbor.to_string(), session.verdict))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plan_tells_what_a_file_would_do_and_does_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let elsewhere = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("s");
    let socket = ControlSocket::bind(&path).expect("free");
    let control = Control::default();
    let early = control.clone();
    let serving = tokio::spawn(async move { socket.serve(early).await });
    let error = plan(&path, elsewhere.path(), FILE)
        .await
        .expect_err("there is no rack");
    assert!(error.contains("answers 503: the rack is not started"), "{error}");
    serving.abort();
    let _ = serving.await;
    assert!(!path.exists(), "the socket went with its server");

    let (control, _thread) = agent(dir.path());
    let socket = ControlSocket::bind(&path).expect("free");
    tokio::spawn(async move { socket.serve(control).await });
    let both = |a, b| vec![("127.0.0.2".to_owned(), a), ("127.0.0.3".to_owned(), b)];
    // The relative path means the file beside the agent's own configuration.
    let (report, gentle) = plan(&path, elsewhere.path(), FILE).await.expect("good");
    assert_eq!(verdicts(&report), both(Verdict::Unchanged, Verdict::Unchanged));
    assert!(
        gentle && report.rack.is_empty() && report.warnings.len() == 1,
        "{report:?}"
    );

    let soft = FILE.replace("[127.0.0.3]", "[127.0.0.3], communities: [65000:1]");
    let (report, gentle) = plan(&path, elsewhere.path(), &soft).await.expect("good");
    assert_eq!(verdicts(&report), both(Verdict::Unchanged, Verdict::Soft));
    assert!(gentle);

    fs::write(dir.path().join("secret"), "two").expect("writable");
    let other = FILE.replace("[127.0.0.3]", "[127.0.0.4]");
    let (report, gentle) = plan(&path, elsewhere.path(), &other).await.expect("good");
    let mut expected = both(Verdict::Reset, Verdict::Removed);
    expected.insert(1, ("127.0.0.4".to_owned(), Verdict::Added));
    assert_eq!(verdicts(&report), expected);
    assert!(!gentle);
    let text = format!("{report:?}");
    assert!(!text.contains("\"two\"") && !text.contains("\"one\""), "{text}");

    fs::write(dir.path().join("secret"), "one").expect("writable");
    let announce = format!("{FILE}announce: {{services: {{clusterIPs: true}}}}\n");
    let (report, gentle) = plan(&path, elsewhere.path(), &announce).await.expect("good");
    assert_eq!((report.rack[0].setting.as_str(), gentle), ("announce", true));

    let error = plan(&path, elsewhere.path(), &FILE.replace("65030", "0")).await;
    let error = error.expect_err("AS 0");
    assert!(
        error.contains("answers 422: ") && error.contains("new.yaml:6:16: defaults.as: \"0\" is reserved"),
        "{error}"
    );
}

#[tokio::test]
async fn a_socket_has_one_owner() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("s");
    let socket = ControlSocket::bind(&path).expect("free");
    let mode = fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let error = ControlSocket::bind(&path).expect_err("in use").to_string();
    assert!(
        error.contains("another process answers there; give each speaker a path of its own"),
        "{error}"
    );
    drop(socket);
    assert!(!path.exists());

    // A process that is killed leaves its socket.
    drop(std::os::unix::net::UnixListener::bind(&path).expect("free"));
    assert!(path.exists());
    let socket = ControlSocket::bind(&path).expect("nobody answers");
    fs::remove_file(&path).expect("there");
    let successor = ControlSocket::bind(&path).expect("free");
    drop(socket);
    assert!(path.exists(), "it belongs to another by now");
    drop(successor);

    fs::write(&path, "precious").expect("writable");
    let error = ControlSocket::bind(&path).expect_err("a file").to_string();
    assert!(error.contains("there is a file that is no socket"), "{error}");
    let error = ControlSocket::bind(&dir.path().join("no/s"))
        .expect_err("no directory")
        .to_string();
    assert!(error.contains("cannot make it: No such file"), "{error}");
}

#[tokio::test]
async fn nobody_there_is_said_with_a_remedy() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("s");
    let here = dir.path().to_owned();
    let error = plan(&path, &here, FILE).await.expect_err("nobody");
    assert!(
        error.contains("no agent answers at") && error.contains("--control-socket"),
        "{error}"
    );
}
