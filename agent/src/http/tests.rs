use super::*;
use crate::cli::{Command, parse};
use crate::report::{EventReport, RecordingReport, StatusReport};
use crate::show::client::{Agent, Answer};
use fabric::{
    BfdProfile, ListenConfig, NeighborConfig, NodeIps, PairState, PlaneId, RackConfig, RackThread,
    RouteChange, Steering,
};
use net::Ttl;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU8;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wire::{Family, FamilySet, Prefix};

const DIALER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LISTENER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const PATIENCE: Duration = Duration::from_secs(30);

fn config(local_as: u32, remote_as: u32, address: IpAddr, port: u16) -> RackConfig {
    RackConfig {
        local_as,
        router_id: Ipv4Addr::from_bits(local_as),
        host_name: None,
        neighbors: vec![NeighborConfig {
            plane: PlaneId(0),
            address,
            port,
            remote_as,
            hold_time: 9,
            passive: address == DIALER,
            ttl: Ttl::System,
            password: None,
            families: FamilySet::only(Family::Ipv4Unicast),
            extended_next_hop: false,
            allowed_sources: Vec::new(),
            source: None,
            device: None,
            steering: Steering::default(),
            bfd: None,
            graceful_restart: None,
            user_timeout: None,
        }],
        listen: ListenConfig::default(),
        // 127.0.0.1 is no valid next hop.
        return_path: None,
        node_ips: NodeIps {
            pod_v4: Some(Ipv4Addr::LOCALHOST),
            node_v4: Some(Ipv4Addr::new(10, 1, 1, 2)),
            ..NodeIps::default()
        },
    }
}

fn configs() -> (RackConfig, RackConfig) {
    let free = std::net::TcpListener::bind((LISTENER, 0)).expect("a free port");
    let address = free.local_addr().expect("bound");
    let dialer = config(65000, 65030, LISTENER, address.port());
    let mut listener = config(65030, 65000, DIALER, address.port());
    listener.listen = ListenConfig {
        addresses: vec![address],
    };
    (dialer, listener)
}

fn start(config: RackConfig) -> (RackHandle, RackThread) {
    fabric::spawn(config, fabric::RestartState::default()).expect("a thread")
}

/// A server on a port of its own, and a client of it.
async fn server(api: &Api) -> Agent {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(serve(listener, api.clone()));
    format!("http://{address}").parse().expect("a URL")
}

async fn get(agent: &Agent, path: &str) -> Answer {
    agent
        .get(path)
        .await
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

async fn line(agent: &Agent, path: &str) -> (u16, String) {
    let answer = get(agent, path).await;
    (answer.status, answer.text())
}

async fn until(agent: &Agent, path: &str, done: impl Fn(&Answer) -> bool) -> Answer {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = get(agent, path).await;
        if done(&answer) {
            return answer;
        }
        assert!(
            Instant::now() < deadline,
            "{path}: {} {}",
            answer.status,
            answer.text()
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn readiness_follows_sync_and_session() {
    let api = Api::new(Some("node1"));
    let agent = server(&api).await;
    assert_eq!(line(&agent, "/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(
        get(&agent, "/livez").await.status,
        200,
        "a restart would not help"
    );
    let (code, text) = line(&agent, "/readyz").await;
    assert!(code == 503 && text.contains("the rack is not started"), "{text}");
    assert_eq!(get(&agent, "/api/v1/status").await.status, 503);

    let (dialer, listener) = configs();
    let (left, left_thread) = start(dialer);
    api.set_rack(left.clone());
    assert_eq!(get(&agent, "/livez").await.status, 200);
    let (code, text) = line(&agent, "/readyz").await;
    assert_eq!(
        (code, text.as_str()),
        (503, "not ready: the first full sync is not done\n")
    );

    left.set_complete().await;
    let answer = until(&agent, "/readyz", |answer| !answer.text().contains("sync")).await;
    let text = answer.text();
    assert!(
        answer.status == 503 && text.starts_with("not ready: no plane is usable (127.0.0.2 is "),
        "{text}"
    );
    assert_eq!(text.lines().count(), 1);

    let (right, right_thread) = start(listener);
    until(&agent, "/readyz", |answer| answer.status == 200).await;

    right.stop("").await;
    right_thread.join();
    until(&agent, "/readyz", |answer| answer.status == 503).await;

    left.stop("").await;
    left_thread.join();
    assert_eq!(
        line(&agent, "/livez").await,
        (503, "the rack thread has ended\n".to_owned())
    );
    assert_eq!(
        line(&agent, "/readyz").await,
        (503, "not ready: the rack thread has ended\n".to_owned())
    );
}

#[tokio::test]
async fn status_and_routes_tell_what_the_rack_does() {
    let api = Api::new(Some("node1"));
    let agent = server(&api).await;
    let (dialer, listener) = configs();
    let (left, _left) = start(dialer);
    let (_right, _right_thread) = start(listener);
    api.set_rack(left.clone());
    let prefix: Prefix = "10.16.0.10/32".parse().expect("a prefix");
    left.apply(vec![RouteChange {
        prefix,
        announced: true,
    }])
    .await;
    left.set_complete().await;
    let sent = |answer: &Answer| answer.text().contains(r#""stage":"sent""#);
    let answer = until(&agent, "/api/v1/routes/10.16.0.10/32", sent).await;
    assert_eq!(
        answer.text(),
        r#"{"prefix":"10.16.0.10/32","sessions":[{"plane":"a","neighbor":"127.0.0.2","stage":"sent","next_hop":"10.1.1.2"}]}"#
    );
    assert_eq!(
        get(&agent, "/api/v1/routes/10.16.0.11").await.text(),
        r#"{"prefix":"10.16.0.11/32","sessions":[]}"#
    );
    assert_eq!(get(&agent, "/api/v1/routes/nonsense").await.status, 400);
    assert_eq!(get(&agent, "/api/v1/routes/10.0.0.0/33").await.status, 400);

    let report: StatusReport = get(&agent, "/api/v1/status").await.json().expect("readable");
    assert_eq!(report.node.as_deref(), Some("node1"));
    assert_eq!(report.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(report.rack.pair, PairState::Both);
    assert_eq!(report.rack.planes[0].sessions[0].families[0].sent, 1);
    assert_eq!(report.complaints(), Vec::<String>::new());
    let bfd = report.bfd.expect("answers");
    assert!(bfd.peers.is_empty() && bfd.thread.is_none());
    assert_eq!(
        line(&agent, "/api/v1/bfd/127.0.0.2/recording").await,
        (404, "there is no BFD session with 127.0.0.2\n".to_owned())
    );
}

#[tokio::test]
async fn bfd_and_its_recording_are_shown() {
    let api = Api::default();
    let agent = server(&api).await;
    let (mut dialer, _) = configs();
    dialer.neighbors[0].bfd = Some(BfdProfile {
        min_tx: Duration::from_millis(300),
        min_rx: Duration::from_millis(300),
        multiplier: NonZeroU8::MIN,
        passive: false,
        min_ttl: None,
        auth: None,
        strict: None,
    });
    let (left, _left) = start(dialer);
    api.set_rack(left);
    // The port of BFD may be taken on this machine: then the session is there, but does not run.
    let known = |answer: &Answer| answer.text().contains("127.0.0.2");
    let answer = until(&agent, "/api/v1/bfd", known).await;
    let value: serde_json::Value = answer.json().expect("JSON");
    let peer = &value["peers"][0];
    assert_eq!(
        (&peer["status"], &peer["twintor"]["plane"]),
        (&"down".into(), &"a".into())
    );
    assert!(value["thread"]["listeners"].is_array());

    let answer = until(&agent, "/api/v1/bfd/127.0.0.2/recording", |answer| {
        answer.status == 200
    })
    .await;
    let recording: RecordingReport = answer.json().expect("readable");
    assert_eq!((recording.port, recording.plane.as_deref()), (3784, Some("a")));
    for entry in &recording.entries {
        assert!(
            !matches!(&entry.event, EventReport::Sent { packet: None, .. }),
            "{entry:?}"
        );
    }
    let capture = get(&agent, "/api/v1/bfd/127.0.0.2/recording.pcapng").await;
    assert_eq!(capture.status, 200);
    assert!(capture.body.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]));
    assert_eq!(get(&agent, "/api/v1/bfd/127.0.0.9/recording").await.status, 404);
    assert_eq!(get(&agent, "/api/v1/bfd/x/recording").await.status, 400);
}

#[tokio::test]
async fn unknown_addresses_say_so() {
    let agent = server(&Api::default()).await;
    let (code, text) = line(&agent, "/").await;
    assert!(code == 404 && text.contains("/api/v1/status"), "{text}");
    assert_eq!(
        line(&agent, "/metrics").await,
        (404, "this version has no metrics yet\n".to_owned())
    );
}

/// What comes back for raw octets, until the server closes.
async fn raw(agent: &Agent, octets: &[u8]) -> String {
    let mut stream = TcpStream::connect(agent.authority()).await.expect("connected");
    // The server may answer, and close, before everything is written.
    let _ = stream.write_all(octets).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .expect("an end");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn bad_requests_end_their_own_connection_only() {
    let agent = server(&Api::default()).await;
    assert!(
        raw(
            &agent,
            b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
        )
        .await
        .starts_with("HTTP/1.1 405")
    );
    assert!(
        raw(&agent, b"\x16\x03\x01nonsense\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 400")
    );
    let huge = [b"GET / HTTP/1.1\r\nX: ".as_slice(), &vec![b'a'; 1 << 20]].concat();
    let answer = raw(&agent, &huge).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
    // One that says nothing holds one place until its time is over.
    let _silent = TcpStream::connect(agent.authority()).await.expect("connected");
    assert_eq!(get(&agent, "/healthz").await.status, 200);
}

#[tokio::test]
async fn a_port_in_use_is_taken_as_soon_as_it_is_free() {
    let squatter = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = squatter.local_addr().expect("bound");
    spawn(address, Api::default());
    tokio::task::yield_now().await;
    drop(squatter);
    let agent: Agent = format!("http://{address}").parse().expect("a URL");
    let deadline = Instant::now() + PATIENCE;
    while agent.get("/healthz").await.is_err() {
        assert!(Instant::now() < deadline, "the port was not taken");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What a command shows, and whether all is well.
async fn command(agent: &Agent, args: &[&str]) -> Result<(String, bool), String> {
    let url = format!("--agent=http://{}", agent.authority());
    let args = ["twintor"].iter().chain(args).copied().chain([url.as_str()]);
    let args: Vec<_> = args.map(std::ffi::OsString::from).collect();
    let Ok(Command::Show(show)) = parse(args, |_| None) else {
        panic!("no such command");
    };
    let shown = tokio::task::spawn_blocking(move || crate::show::shown(&show)).await;
    let shown = shown.expect("no panic").map_err(|error| error.to_string())?;
    Ok((String::from_utf8_lossy(&shown.octets).into_owned(), shown.healthy))
}

#[tokio::test]
async fn commands_show_what_the_server_tells() {
    let api = Api::new(Some("node1"));
    let agent = server(&api).await;
    let error = command(&agent, &["status"]).await.expect_err("no rack yet");
    assert!(
        error.contains("answers 503: not ready: the rack is not started"),
        "{error}"
    );

    let (left, _left) = start(configs().0);
    api.set_rack(left);
    let (text, healthy) = command(&agent, &["status"]).await.expect("shown");
    assert!(
        text.contains("Pair: isolated") && text.contains("\na      127.0.0.2"),
        "{text}"
    );
    assert!(!healthy);
    let (json, _) = command(&agent, &["status", "-o", "json"]).await.expect("shown");
    let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(value["planes"][0]["sessions"][0]["neighbor"], "127.0.0.2");
    let (yaml, _) = command(&agent, &["status", "-o", "yaml"]).await.expect("shown");
    let value: serde_json::Value = serde_saphyr::from_str(&yaml).expect("YAML");
    assert_eq!(value["node"], "node1");

    let (text, healthy) = command(&agent, &["bfd", "-o", "json"]).await.expect("shown");
    assert_eq!((text.as_str(), healthy), ("[]\n", true));
    for args in [&["bfd", "10.9.9.9"][..], &["explain", "bfd", "10.9.9.9"]] {
        let error = command(&agent, args).await.expect_err("nobody");
        assert!(error.contains("no BFD session with 10.9.9.9"), "{error}");
    }
}

#[tokio::test]
async fn a_missing_agent_is_named() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("bound");
    drop(free);
    let agent: Agent = format!("http://{address}").parse().expect("a URL");
    let error = command(&agent, &["status"]).await.expect_err("nobody");
    assert!(
        error.contains(&format!("no agent answers at {address}")),
        "{error}"
    );
}
