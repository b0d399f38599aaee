//! Two racks that are each other's switch, over real sockets on the loopback interface.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop at that line"
)]

use fabric::{
    BfdProfile, ListenConfig, NeighborConfig, NodeIps, PlaneId, RackConfig, RackHandle, RackStatus,
    RestartState, RouteChange, Steering, Verdict, spawn,
};
use net::{Md5Key, Ttl};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};
use wire::{Family, FamilySet, Prefix};

const DIALER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const NEXT_HOP: Ipv4Addr = Ipv4Addr::new(10, 1, 1, 2);
const LISTENER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

fn free_port() -> u16 {
    TcpListener::bind((LISTENER, 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

fn config(local_as: u32, remote_as: u32, address: IpAddr, port: u16) -> RackConfig {
    RackConfig {
        local_as,
        router_id: Ipv4Addr::from_bits(local_as),
        host_name: Some("node".to_owned()),
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
            node_v4: Some(NEXT_HOP),
            ..NodeIps::default()
        },
    }
}

/// A dialling and a listening rack.
fn configs() -> (RackConfig, RackConfig) {
    let port = free_port();
    let dialer = config(65000, 65030, LISTENER, port);
    let mut listener = config(65030, 65000, DIALER, port);
    listener.listen = ListenConfig {
        addresses: vec![SocketAddr::new(LISTENER, port)],
    };
    (dialer, listener)
}

async fn until(handle: &RackHandle, what: &str, done: impl Fn(&RackStatus) -> bool) -> RackStatus {
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut watch = handle.watch();
    loop {
        let status = handle.status().await.unwrap();
        if done(&status) {
            return status;
        }
        assert!(Instant::now() < deadline, "waited for {what}: {status:?}");
        // Counters change without notice; a change of state is seen at once.
        let _ = tokio::time::timeout(Duration::from_millis(5), watch.changed()).await;
    }
}

fn received(status: &RackStatus) -> usize {
    status.planes[0].sessions[0].families[0].received
}

fn host(number: u32) -> Prefix {
    Prefix::host(Ipv4Addr::from_bits(0x0a10_0000 + number).into())
}

fn changes(numbers: impl Iterator<Item = u32>, announced: bool) -> Vec<RouteChange> {
    numbers
        .map(|number| RouteChange {
            prefix: host(number),
            announced,
        })
        .collect()
}

#[tokio::test]
async fn a_prefix_comes_and_goes() {
    let (dialer, listener) = configs();
    let (left, left_thread) = spawn(dialer, RestartState::default()).unwrap();
    let (right, right_thread) = spawn(listener, RestartState::default()).unwrap();
    left.apply(changes(0..10, true)).await;
    until(&right, "session", |status| status.planes[0].usable).await;
    assert_eq!(
        received(&right.status().await.unwrap()),
        0,
        "nothing before the desired set is complete"
    );
    left.set_complete().await;
    until(&right, "announcements", |status| received(status) == 10).await;
    left.apply(changes(3..5, false)).await;
    until(&right, "withdrawals", |status| received(status) == 8).await;
    let route = left.route(host(0)).await;
    assert_eq!(
        (route[0].stage, route[0].next_hop),
        ("sent", Some(IpAddr::V4(NEXT_HOP)))
    );

    left.stop("moved to another rack").await;
    left_thread.join();
    let status = until(&right, "shutdown", |status| !status.planes[0].usable).await;
    let error = status.planes[0].sessions[0].last_error.clone().unwrap();
    assert!(
        error.contains("Administrative Shutdown") && error.contains("moved to another rack"),
        "{error}"
    );
    right.stop("").await;
    right_thread.join();
}

#[tokio::test]
async fn a_large_table_crosses() {
    let (dialer, mut listener) = configs();
    listener.neighbors[0].hold_time = 3;
    let (left, _left) = spawn(dialer, RestartState::default()).unwrap();
    let (right, _right) = spawn(listener, RestartState::default()).unwrap();
    for block in 0..50 {
        left.apply(changes(block * 1000..(block + 1) * 1000, true)).await;
    }
    left.set_complete().await;
    until(&left, "everything sent", |status| {
        let family = &status.planes[0].sessions[0].families[0];
        family.sent == 50_000 && family.end_of_rib
    })
    .await;
    // The receiver remembers no more than its limit.
    until(&right, "as many as are remembered", |status| {
        received(status) == 10_000
    })
    .await;
    assert!(right.status().await.unwrap().planes[0].usable);
}

#[tokio::test]
async fn a_port_in_use_is_taken_as_soon_as_it_is_free() {
    let (dialer, listener) = configs();
    let squatter = TcpListener::bind(listener.listen.addresses[0]).unwrap();
    let (left, _left) = spawn(dialer, RestartState::default()).unwrap();
    let (right, _right) = spawn(listener, RestartState::default()).unwrap();
    until(&left, "a refusal by the squatter", |status| {
        status.planes[0].sessions[0].messages_sent > 0
    })
    .await;
    drop(squatter);
    until(&right, "session", |status| status.planes[0].usable).await;
}

#[tokio::test]
async fn the_same_password_is_needed_on_both_sides() {
    let (mut dialer, mut listener) = configs();
    let key = |text: &str| Some(Md5Key::new(text.to_owned().into()).unwrap());
    dialer.neighbors[0].password = key("right");
    listener.neighbors[0].password = key("right");
    let (left, _left) = spawn(dialer, RestartState::default()).unwrap();
    let (_right, _right_thread) = spawn(listener, RestartState::default()).unwrap();
    until(&left, "session", |status| status.planes[0].usable).await;
}

/// The whole life of a session under reloads: the only plane of its rack, so that a reset has to be forced.
#[tokio::test]
async fn a_running_rack_takes_other_configurations() {
    let (dialer, mut listener) = configs();
    let (left, _left) = spawn(dialer.clone(), RestartState::default()).unwrap();
    let (right, _right) = spawn(listener.clone(), RestartState::default()).unwrap();
    left.apply(changes(0..10, true)).await;
    left.set_complete().await;
    until(&right, "announcements", |status| received(status) == 10).await;
    let session = |status: &RackStatus| status.planes[0].sessions[0].clone();

    // In place.
    let mut steered = dialer.clone();
    steered.neighbors[0].steering.med = Some(5);
    steered.neighbors[0].user_timeout = Some(Duration::from_secs(20));
    assert_eq!(
        left.plan(steered.clone()).await.unwrap().sessions[0].verdict,
        Verdict::Soft
    );
    left.reconfigure(steered.clone(), false).await.unwrap();
    until(&left, "announcements again", |status| {
        let sent = session(status).messages_sent;
        sent >= 5 && status.planes[0].sessions[0].families[0].sent == 10
    })
    .await;
    assert_eq!(session(&left.status().await.unwrap()).established_count, 1);

    // A reset of the only plane waits until it is forced.
    let mut slower = steered.clone();
    slower.neighbors[0].hold_time = 12;
    let plan = left.reconfigure(slower.clone(), false).await.unwrap();
    assert_eq!(plan.sessions[0].verdict, Verdict::Reset);
    let status = left.status().await.unwrap();
    assert!(session(&status).pending.is_some() && status.planes[0].usable);
    left.reconfigure(slower.clone(), true).await.unwrap();
    let status = until(&right, "the session anew", |status| {
        session(status).established_count == 2 && received(status) == 10
    })
    .await;
    let error = session(&status).last_error.unwrap();
    assert!(error.contains("Other Configuration Change"), "{error}");

    // The key of the listener follows while it listens.
    let key = || Some(Md5Key::new("secret".to_owned().into()).unwrap());
    listener.neighbors[0].password = key();
    slower.neighbors[0].password = key();
    right.reconfigure(listener.clone(), true).await.unwrap();
    until(&left, "loss", |status| !status.planes[0].usable).await;
    left.reconfigure(slower.clone(), true).await.unwrap();
    until(&right, "the signed session", |status| {
        session(status).established_count == 3 && received(status) == 10
    })
    .await;

    // The session goes, and comes back with everything that was desired meanwhile.
    let mut alone = slower.clone();
    alone.neighbors.clear();
    left.reconfigure(alone, true).await.unwrap();
    let status = until(&right, "the end", |status| !status.planes[0].usable).await;
    let error = session(&status).last_error.unwrap();
    assert!(error.contains("Peer De-configured"), "{error}");
    left.apply(changes(10..15, true)).await;
    left.reconfigure(slower, false).await.unwrap();
    until(&right, "everything", |status| received(status) == 15).await;

    // The listener moves to another port; the session goes on.
    let port = free_port();
    listener.listen.addresses = vec![SocketAddr::new(LISTENER, port)];
    right.reconfigure(listener, false).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while TcpListener::bind((LISTENER, port)).is_ok() {
        assert!(Instant::now() < deadline, "nobody listens on the new port");
        tokio::task::yield_now().await;
    }
    assert!(right.status().await.unwrap().planes[0].usable);
}

#[tokio::test]
async fn bfd_starts_with_the_first_session_that_wants_it() {
    let (dialer, _) = configs();
    let (left, _left) = spawn(dialer.clone(), RestartState::default()).unwrap();
    assert!(left.bfd().is_none());
    let mut with_bfd = dialer;
    with_bfd.neighbors[0].bfd = Some(BfdProfile {
        min_tx: Duration::from_millis(300),
        min_rx: Duration::from_millis(300),
        multiplier: std::num::NonZeroU8::new(3).unwrap(),
        passive: false,
        min_ttl: None,
        auth: None,
        strict: None,
    });
    left.reconfigure(with_bfd, false).await.unwrap();
    assert!(left.bfd().is_some());
}
