//! Paths followed while the real kernel changes under them.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod support;

use std::io::Write;
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use net::netlink::{Pacing, PathToPeer, PathWatch, Target};
use support::{DEADLINE, Namespace, Pair};
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata};

const PEER: &str = "10.9.0.2";

#[test]
fn first_state_comes_at_once_for_every_peer() {
    let pair = Pair::new();
    pair.left.run_async(async || {
        let (mut paths, _task) = PathWatch::spawn(vec![ip(PEER), ip("fd09::2"), ip("192.0.2.1")]);

        let first: Vec<_> = [
            next(&mut paths).await,
            next(&mut paths).await,
            next(&mut paths).await,
        ]
        .into();

        let sources: Vec<_> = first.iter().map(|(peer, path)| (*peer, path.source)).collect();
        assert_eq!(
            sources,
            [
                (ip(PEER), Some(ip("10.9.0.1"))),
                (ip("fd09::2"), Some(ip("fd09::1"))),
                (ip("192.0.2.1"), None)
            ]
        );
        quiet(&mut paths);
    });
}

/// Of two addresses in one prefix the kernel takes the older one for IPv4 and the newer one for IPv6.
#[test]
fn source_follows_addresses_and_host_routes() {
    let pair = Pair::new();
    pair.left.run_async(async || {
        let mut watch = Watched::start(&[PEER, "fd09::2"]).await;

        pair.left.ip("address add 10.9.0.11/24 dev west0");
        pair.left.ip("route add 10.9.0.2/32 dev west0 src 10.9.0.11");
        watch
            .until(PEER, |path| path.source == Some(ip("10.9.0.11")))
            .await;
        assert_eq!(
            watch.path(PEER).if_addresses,
            [ip("10.9.0.1"), ip("10.9.0.11"), ip("fd09::1")]
        );

        pair.left.ip("address add fd09::11/64 dev west0 nodad");
        watch
            .until("fd09::2", |path| path.source == Some(ip("fd09::11")))
            .await;
        pair.left.ip("route add fd09::2/128 dev west0 src fd09::1");
        watch
            .until("fd09::2", |path| path.source == Some(ip("fd09::1")))
            .await;

        pair.left.ip("route delete 10.9.0.2/32");
        watch
            .until(PEER, |path| path.source == Some(ip("10.9.0.1")))
            .await;
    });
}

/// The kernel tells that the address is gone, and then drops the routes with it as their source in silence.
#[test]
fn source_follows_the_removal_of_its_address() {
    let pair = Pair::new();
    pair.left.run_async(async || {
        let mut watch = Watched::start(&[PEER]).await;
        for _ in 0..25 {
            pair.left.ip("address add 10.9.0.11/24 dev west0");
            pair.left.ip("route add 10.9.0.2/32 dev west0 src 10.9.0.11");
            watch
                .until(PEER, |path| path.source == Some(ip("10.9.0.11")))
                .await;

            pair.left.ip("address delete 10.9.0.11/24 dev west0");
            watch
                .until(PEER, |path| {
                    path.source == Some(ip("10.9.0.1")) && !path.if_addresses.contains(&ip("10.9.0.11"))
                })
                .await;
        }
    });
}

#[test]
fn link_down_and_up_is_seen() {
    let pair = Pair::new();
    pair.left.run_async(async || {
        let mut watch = Watched::start(&[PEER]).await;
        for _ in 0..10 {
            pair.left.ip("link set west0 down");
            watch.until(PEER, |path| !path.has_route()).await;

            pair.left.ip("link set west0 up");
            watch.until(PEER, |path| path.up && path.on_link).await;
        }
    });
}

/// Without IPv6 there are few events, and the first one comes before the routes are taken away.
#[test]
fn link_down_is_seen_where_there_is_no_ipv6() {
    let pair = Pair::new();
    pair.left.run_async(async || {
        std::fs::write("/proc/sys/net/ipv6/conf/west0/disable_ipv6", "1").unwrap();
        let mut watch = Watched::start(&[PEER]).await;
        for _ in 0..25 {
            pair.left.ip("link set west0 down");
            watch.until(PEER, |path| !path.has_route()).await;

            pair.left.ip("link set west0 up");
            watch.until(PEER, |path| path.up && path.on_link).await;
        }
    });
}

#[test]
fn pulled_cable_is_seen() {
    let pair = Pair::new();
    pair.left.run_async(async || {
        let mut watch = Watched::start(&[PEER]).await;

        pair.right.ip("link set east0 down");
        watch
            .until(PEER, |path| {
                !path.up && path.interface.as_deref() == Some("west0")
            })
            .await;

        pair.right.ip("link set east0 up");
        watch.until(PEER, |path| path.up).await;
    });
}

#[test]
fn interface_that_comes_and_goes_is_seen() {
    let (left, right) = (Namespace::new(), Namespace::new());
    left.run_async(async || {
        let mut watch = Watched::start(&[PEER]).await;
        assert_eq!(watch.path(PEER), &PathToPeer::default());

        left.veth("west0", &right, "east0");
        left.ip("address add 10.9.0.1/24 dev west0");
        left.ip("link set west0 up");
        right.ip("link set east0 up");
        watch
            .until(PEER, |path| path.up && path.source == Some(ip("10.9.0.1")))
            .await;

        left.ip("link delete west0");
        watch.until(PEER, |path| *path == PathToPeer::default()).await;
    });
}

/// Each kind of change wakes the watch by itself. Without the questions that follow an event, nothing but its own
/// event can tell.
#[test]
fn every_kind_of_change_wakes_the_watch() {
    let pair = Pair::new();
    pair.left.ip("address add 10.9.0.11/24 dev west0");
    pair.left.ip("address add fd09::11/64 dev west0 nodad");
    pair.left
        .ip("route add 10.9.0.2/32 dev west0 src 10.9.0.11 table 77");
    pair.left
        .ip("-6 route add fd09::2/128 dev west0 src fd09::1 table 77");
    pair.left.ip("nexthop add id 5 via 10.9.0.2 dev west0");
    pair.left.ip("route add 192.0.2.0/24 nhid 5");
    pair.left.run_async(async || {
        // Else the kernel reports the change of a nexthop object as changes of routes too.
        std::fs::write("/proc/sys/net/ipv4/nexthop_compat_mode", "0").unwrap();
        let pacing = Pacing {
            settle: &[],
            ..Pacing::default()
        };
        let mut watch = Watched::start_paced(&[PEER, "fd09::2", "192.0.2.1"], pacing).await;

        // More often than events of no interest could help out within the deadline.
        for _ in 0..5 {
            pair.left.ip("rule add to 10.9.0.2 lookup 77");
            watch
                .until(PEER, |path| path.source == Some(ip("10.9.0.11")))
                .await;
            pair.left.ip("rule delete to 10.9.0.2 lookup 77");
            watch
                .until(PEER, |path| path.source == Some(ip("10.9.0.1")))
                .await;
        }
        for _ in 0..5 {
            pair.left.ip("-6 rule add to fd09::2 lookup 77");
            watch
                .until("fd09::2", |path| path.source == Some(ip("fd09::1")))
                .await;
            pair.left.ip("-6 rule delete to fd09::2 lookup 77");
            watch
                .until("fd09::2", |path| path.source == Some(ip("fd09::11")))
                .await;
        }
        for _ in 0..5 {
            pair.left.ip("nexthop replace id 5 dev west0");
            watch.until("192.0.2.1", |path| path.on_link).await;
            pair.left.ip("nexthop replace id 5 via 10.9.0.2 dev west0");
            watch.until("192.0.2.1", |path| !path.on_link).await;
        }
        for _ in 0..5 {
            pair.left.ip("route add 10.9.0.2/32 dev west0 src 10.9.0.11");
            watch
                .until(PEER, |path| path.source == Some(ip("10.9.0.11")))
                .await;
            pair.left.ip("route delete 10.9.0.2/32");
            watch
                .until(PEER, |path| path.source == Some(ip("10.9.0.1")))
                .await;
        }
        for _ in 0..5 {
            pair.left.ip("-6 route add fd09::2/128 dev west0 src fd09::1");
            watch
                .until("fd09::2", |path| path.source == Some(ip("fd09::1")))
                .await;
            pair.left.ip("-6 route delete fd09::2/128");
            watch
                .until("fd09::2", |path| path.source == Some(ip("fd09::11")))
                .await;
        }
        for address in ["fd09::11/64", "10.9.0.11/24"] {
            let plain = ip(address.split('/').next().unwrap());
            for _ in 0..5 {
                pair.left
                    .ip(&format!("address change {address} dev west0 preferred_lft 0"));
                watch
                    .until(PEER, |path| !path.if_addresses.contains(&plain))
                    .await;
                pair.left.ip(&format!(
                    "address change {address} dev west0 preferred_lft forever"
                ));
                watch.until(PEER, |path| path.if_addresses.contains(&plain)).await;
            }
        }
        pair.right.ip("link set east0 down");
        watch.until(PEER, |path| !path.up).await;
    });
}

#[test]
fn gateway_instead_of_link_is_seen() {
    let pair = Pair::new();
    pair.left.ip("address add 10.77.0.1/24 dev west0");
    pair.left.run_async(async || {
        let mut watch = Watched::start(&["10.77.0.9"]).await;
        assert!(watch.path("10.77.0.9").on_link);

        pair.left.ip("route add 10.77.0.9/32 via 10.9.0.2");
        watch.until("10.77.0.9", |path| !path.on_link).await;
    });
}

/// Both switches of a pair may have the same link-local address, each on its own link.
#[test]
fn same_link_local_address_on_two_links() {
    let pair = Pair::new();
    let other = Namespace::new();
    pair.left.veth("west1", &other, "other0");
    pair.left.ip("link set west1 addrgenmode none");
    pair.left.ip("address add fe80::9/64 dev west1 nodad");
    other.ip("link set other0 up");
    pair.left.ip("link set west1 up");
    let over = |interface: &str| Target {
        peer: ip("fe80::2"),
        interface: Some(interface.to_owned()),
        source: None,
    };

    pair.left.run_async(async || {
        let (mut paths, _task) = PathWatch::spawn(vec![over("west0"), over("west1")]);

        let (first, first_path) = next(&mut paths).await;
        let (second, second_path) = next(&mut paths).await;

        assert_eq!((first, first_path.source), (over("west0"), Some(ip("fe80::1"))));
        assert_eq!((second, second_path.source), (over("west1"), Some(ip("fe80::9"))));
    });
}

#[test]
fn receiver_that_does_not_read_gets_the_last_state_in_the_end() {
    let pair = Pair::new();
    pair.left.run_async(async || {
        let mut watch = Watched::start(&[PEER]).await;
        let room = watch.paths.max_capacity();

        for _ in 0..room {
            for change in ["add", "delete"] {
                let before = watch.paths.len();
                pair.left.ip(&format!("address {change} 10.9.0.99/24 dev west0"));
                if before == room {
                    continue;
                }
                settled(|| watch.paths.len() > before).await;
            }
        }
        assert_eq!(watch.paths.len(), room);
        pair.left.ip("address add 10.9.0.11/24 dev west0");

        watch
            .until(PEER, |path| path.if_addresses.contains(&ip("10.9.0.11")))
            .await;
    });
}

#[test]
fn task_ends_with_its_receiver() {
    let pair = Pair::new();
    pair.left.run_async(async || {
        let (paths, task) = PathWatch::spawn(vec![ip(PEER)]);

        drop(paths);

        timeout(DEADLINE, task).await.unwrap().unwrap();
    });
}

/// Routes of no interest overrun the sockets; what is of interest still arrives, and nothing else does.
#[test]
fn flood_of_routes_hides_nothing_and_tells_nothing() {
    const ROUTES: usize = 20_000;

    let pair = Pair::new();
    let flood: String = (0..ROUTES)
        .map(|n| format!("route add 100.64.{}.{}/32 via 10.9.0.2\n", n / 256, n % 256))
        .chain(["address add 10.9.0.11/24 dev west0\n".to_owned()])
        .chain(["route add 10.9.0.2/32 dev west0 src 10.9.0.11\n".to_owned()])
        .collect();

    Warnings::count();
    pair.left.run_async(async || {
        let mut watch = Watched::start(&[PEER, "fd09::2"]).await;

        let writer = thread::spawn({
            let name = pair.left.name().to_owned();
            move || batch(&name, &flood)
        });
        watch
            .until(PEER, |path| path.source == Some(ip("10.9.0.11")))
            .await;
        writer.join().unwrap();

        assert!(overruns() > 0, "the flood was too small to overrun the sockets");
        assert_eq!(Warnings::counted(), 0, "an overrun is not an error");
        // One update for the new address, or two when the route came in another round; one for the other peer.
        assert!(watch.updates <= 2 + 3, "{} updates", watch.updates);
    });
}

/// Everything known of the peers, and how many updates it took.
struct Watched {
    paths: Receiver<(IpAddr, PathToPeer)>,
    known: Vec<(IpAddr, PathToPeer)>,
    updates: usize,
}

impl Watched {
    async fn start(peers: &[&str]) -> Self {
        Self::start_paced(peers, Pacing::default()).await
    }

    async fn start_paced(peers: &[&str], pacing: Pacing) -> Self {
        let (mut paths, _task) = PathWatch::spawn_paced(peers.iter().map(|peer| ip(peer)).collect(), pacing);
        let mut known = Vec::new();
        for _ in peers {
            known.push(next(&mut paths).await);
        }
        Self {
            paths,
            known,
            updates: peers.len(),
        }
    }

    fn path(&self, peer: &str) -> &PathToPeer {
        &self.known.iter().find(|(known, _)| *known == ip(peer)).unwrap().1
    }

    async fn until(&mut self, peer: &str, wanted: impl Fn(&PathToPeer) -> bool) {
        while !wanted(self.path(peer)) {
            let (changed, path) = next(&mut self.paths).await;
            let (_, known) = self
                .known
                .iter_mut()
                .find(|(known, _)| *known == changed)
                .unwrap();
            assert_ne!(*known, path, "an update that says nothing new");
            *known = path;
            self.updates += 1;
        }
    }
}

/// Counts the warnings of the whole process; no test here should see one.
struct Warnings;

static WARNINGS: AtomicUsize = AtomicUsize::new(0);

impl Warnings {
    fn count() {
        tracing::subscriber::set_global_default(Self).unwrap();
    }

    fn counted() -> usize {
        WARNINGS.load(Ordering::Relaxed)
    }
}

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn event(&self, _: &Event<'_>) {
        WARNINGS.fetch_add(1, Ordering::Relaxed);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

async fn next<K>(paths: &mut Receiver<(K, PathToPeer)>) -> (K, PathToPeer) {
    timeout(DEADLINE, paths.recv())
        .await
        .expect("an update within the deadline")
        .expect("a living task")
}

fn quiet<K: std::fmt::Debug>(paths: &mut Receiver<(K, PathToPeer)>) {
    if let Ok(update) = paths.try_recv() {
        panic!("nothing should have changed: {update:?}");
    }
}

async fn settled(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, wait)
        .await
        .expect("a condition within the deadline");
}

fn batch(namespace: &str, commands: &str) {
    let mut ip = Command::new("ip")
        .args(["-n", namespace, "-batch", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("run ip");
    ip.stdin.take().unwrap().write_all(commands.as_bytes()).unwrap();
    assert!(ip.wait().unwrap().success(), "ip -batch");
}

/// Messages that the kernel could not deliver to any netlink socket of this namespace.
fn overruns() -> u64 {
    let table = std::fs::read_to_string("/proc/thread-self/net/netlink").unwrap();
    let drops = |line: &str| line.split_whitespace().nth(8)?.parse::<u64>().ok();
    table.lines().filter_map(drops).sum()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}
