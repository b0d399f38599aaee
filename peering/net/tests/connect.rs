//! Connections over the real kernel: both families, source, device, scope, options, errors.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod support;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use net::{Listener, Operation, SocketError, TcpOptions, Ttl, adopt, connect, finish_connect};
use socket2::SockRef;
use support::{DEADLINE, Namespace, Pair, accepted, connected, pass, wait_for};

const ANY_V4: &str = "0.0.0.0:0";
const ANY_V6: &str = "[::]:0";

#[test]
fn exchanges_octets_over_both_families() {
    let pair = Pair::new();
    for (any, host) in [(ANY_V4, "10.9.0.2"), (ANY_V6, "fd09::2")] {
        let listener = listen(&pair.right, any);
        let peer = SocketAddr::new(ip(host), listener.local_addr().port());

        let mut client = pair.left.run(|| connected(peer, &TcpOptions::default()));
        let (mut server, from) = accepted(&listener);
        adopt(&server, &TcpOptions::default()).unwrap();

        assert_eq!(from, client.local_addr().unwrap());
        pass(&mut client, &mut server);
        pass(&mut server, &mut client);
    }
}

#[test]
fn tells_the_event_loop() {
    let pair = Pair::new();
    let mut listener = listen(&pair.right, ANY_V4);
    let peer = SocketAddr::new(ip("10.9.0.2"), listener.local_addr().port());
    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(8);
    poll.registry()
        .register(&mut listener, Token(0), Interest::READABLE)
        .unwrap();

    let mut client = pair.left.run(|| connect(peer, &TcpOptions::default()).unwrap());
    poll.registry()
        .register(&mut client, Token(1), Interest::WRITABLE)
        .unwrap();

    let (mut server, mut done) = (None, false);
    while server.is_none() || !done {
        poll.poll(&mut events, Some(DEADLINE)).unwrap();
        assert!(!events.is_empty(), "no readiness");
        for event in &events {
            match event.token() {
                Token(0) => server = listener.accept().unwrap(),
                _ => done = finish_connect(&client).unwrap(),
            }
        }
    }
    assert!(listener.accept().unwrap().is_none());
}

#[test]
fn refusal_is_told_by_finish_connect() {
    let namespace = Namespace::new();
    let closed = namespace.run(|| {
        Listener::bind("127.0.0.1:0".parse().unwrap(), None)
            .unwrap()
            .local_addr()
    });

    let stream = namespace.run(|| connect(closed, &TcpOptions::default()).unwrap());

    let error = wait_for("refusal", || finish_connect(&stream).err());
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn unanswered_connection_is_not_finished() {
    let pair = Pair::new();
    pair.right.ip("link set east0 down");
    pair.left
        .ip("neighbour replace 10.9.0.2 lladdr 02:00:00:00:00:02 dev west0 nud permanent");

    let stream = pair
        .left
        .run(|| connect("10.9.0.2:179".parse().unwrap(), &TcpOptions::default()).unwrap());

    assert!(!finish_connect(&stream).unwrap());
}

#[test]
fn comes_from_the_source_asked_for() {
    let pair = Pair::new();
    pair.left.ip("address add 10.9.0.11/24 dev west0");
    pair.left.ip("address add fd09::11/64 dev west0 nodad");
    for (any, host, source) in [(ANY_V4, "10.9.0.2", "10.9.0.11"), (ANY_V6, "fd09::2", "fd09::11")] {
        let listener = listen(&pair.right, any);
        let peer = SocketAddr::new(ip(host), listener.local_addr().port());
        let options = TcpOptions {
            source: Some(ip(source)),
            ..TcpOptions::default()
        };

        let _client = pair.left.run(|| connected(peer, &options));

        assert_eq!(accepted(&listener).1.ip(), ip(source));
    }
}

#[test]
fn source_that_is_not_here_or_of_the_other_family_is_an_error() {
    let namespace = Namespace::new();
    let attempt = |peer: &str, source: &str| {
        let options = TcpOptions {
            source: Some(ip(source)),
            ..TcpOptions::default()
        };
        namespace.run(|| connect(peer.parse().unwrap(), &options).unwrap_err())
    };

    let absent = attempt("127.0.0.1:179", "192.0.2.77");
    assert!(absent.to_string().contains("192.0.2.77"), "{absent}");
    assert!(absent.to_string().contains("not on this host"), "{absent}");
    assert!(matches!(
        attempt("127.0.0.1:179", "::1"),
        SocketError::Family { .. }
    ));
    assert!(matches!(
        attempt("[::1]:179", "127.0.0.1"),
        SocketError::Family { .. }
    ));
}

#[test]
fn link_local_peer_needs_and_keeps_its_scope() {
    let pair = Pair::new();
    let listener = listen(&pair.right, ANY_V6);
    let port = listener.local_addr().port();
    let peer: SocketAddr = format!("[fe80::2]:{port}").parse().unwrap();

    let unscoped = pair
        .left
        .run(|| connect(peer, &TcpOptions::default()).unwrap_err());
    assert!(unscoped.to_string().contains("needs an interface"), "{unscoped}");

    let by_device = TcpOptions {
        device: Some("west0".to_owned()),
        source: Some(ip("fe80::1")),
        ..TcpOptions::default()
    };
    let client = pair.left.run(|| connected(peer, &by_device));
    let SocketAddr::V6(at) = client.peer_addr().unwrap() else {
        panic!("an IPv6 peer")
    };
    assert_ne!(at.scope_id(), 0);
    let (_, SocketAddr::V6(from)) = accepted(&listener) else {
        panic!("an IPv6 peer")
    };
    assert_eq!(IpAddr::from(*from.ip()), ip("fe80::1"));
    assert_ne!(from.scope_id(), 0);

    let SocketAddr::V6(scoped) = client.peer_addr().unwrap() else {
        panic!("an IPv6 peer")
    };
    let by_scope = TcpOptions {
        source: Some(ip("fe80::1")),
        ..TcpOptions::default()
    };
    let _client = pair.left.run(|| connected(scoped.into(), &by_scope));
}

#[test]
fn ipv4_mapped_peer_is_ipv4() {
    let namespace = Namespace::new();
    let listener = listen(&namespace, "127.0.0.1:0");
    let mapped = format!("[::ffff:127.0.0.1]:{}", listener.local_addr().port())
        .parse()
        .unwrap();

    let client = namespace.run(|| connected(mapped, &TcpOptions::default()));

    assert_eq!(client.peer_addr().unwrap(), listener.local_addr());
}

#[test]
fn listener_for_ipv6_takes_no_ipv4() {
    let namespace = Namespace::new();
    let six = listen(&namespace, ANY_V6);
    let same_port = SocketAddr::from(([0, 0, 0, 0], six.local_addr().port()));

    let four = namespace.run(|| Listener::bind(same_port, None)).unwrap();

    let to_four = SocketAddr::from(([127, 0, 0, 1], same_port.port()));
    let _client = namespace.run(|| connected(to_four, &TcpOptions::default()));
    accepted(&four);
    assert!(six.accept().unwrap().is_none());
}

#[test]
fn device_holds_connections_and_listeners_to_their_link() {
    let pair = Pair::new();
    let other = Namespace::new();
    // The same subnet over a second link, which the route table prefers.
    pair.left.veth("west1", &other, "other0");
    other.ip("address add 10.9.0.2/24 dev other0");
    other.ip("link set other0 up");
    pair.left.ip("link set west1 up");
    pair.left.ip("route add 10.9.0.2/32 dev west1 src 10.9.0.1");
    let wanted = listen(&pair.right, "0.0.0.0:1790");
    let unwanted = listen(&other, "0.0.0.0:1790");
    let peer = "10.9.0.2:1790".parse().unwrap();

    let options = TcpOptions {
        device: Some("west0".to_owned()),
        ..TcpOptions::default()
    };
    let _client = pair.left.run(|| connected(peer, &options));
    accepted(&wanted);
    assert!(unwanted.accept().unwrap().is_none());

    // A listener on one link takes nothing from the other one.
    let bound = pair
        .right
        .run(|| Listener::bind("0.0.0.0:1791".parse().unwrap(), Some("lo")))
        .unwrap();
    let stream = pair
        .left
        .run(|| connect("10.9.0.2:1791".parse().unwrap(), &options))
        .unwrap();
    let error = wait_for("refusal", || finish_connect(&stream).err());
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    drop(bound);
}

#[test]
fn an_accepted_connection_is_held_to_the_device_of_its_session() {
    let pair = Pair::new();
    let listener = listen(&pair.right, "0.0.0.0:1790");
    let peer = "10.9.0.2:1790".parse().unwrap();
    let mut client = pair.left.run(|| connected(peer, &TcpOptions::default()));
    let (mut server, _) = accepted(&listener);

    let bound = |device: &str| TcpOptions {
        device: Some(device.to_owned()),
        ..TcpOptions::default()
    };
    pair.right.run(|| adopt(&server, &bound("east0"))).unwrap();
    pass(&mut client, &mut server);
    pass(&mut server, &mut client);

    let error = pair.right.run(|| adopt(&server, &bound("absent0"))).unwrap_err();
    assert!(error.to_string().contains("absent0"), "{error}");
}

#[test]
fn device_that_is_not_there_is_an_error() {
    let pair = Pair::new();
    pair.left.ip("link set west0 down");
    pair.left.ip("link set west0 name fifteen-letters");
    // The kernel would take the second one for the interface above, and the third one for none.
    for device in ["uplink9", "fifteen-letters-and-more", ""] {
        let options = TcpOptions {
            device: Some(device.to_owned()),
            ..TcpOptions::default()
        };
        let peer = "127.0.0.1:1790".parse().unwrap();

        let connecting = pair.left.run(|| connect(peer, &options)).unwrap_err();
        let listening = pair.left.run(|| Listener::bind(peer, Some(device))).unwrap_err();

        for error in [connecting.to_string(), listening.to_string()] {
            assert!(
                error.contains(device) && error.contains("no interface of that name"),
                "{error}"
            );
        }
    }
}

#[test]
fn port_in_use_is_said_clearly() {
    let namespace = Namespace::new();
    for any in ["0.0.0.0:0", "[::]:0"] {
        let first = listen(&namespace, any);

        let second = namespace
            .run(|| Listener::bind(first.local_addr(), None))
            .unwrap_err();

        assert!(
            matches!(
                &second,
                SocketError::Kernel {
                    operation: Operation::Listen,
                    ..
                }
            ),
            "{second:?}"
        );
        let port = first.local_addr().port();
        assert!(
            second
                .to_string()
                .contains(&format!("another process listens on port {port}")),
            "{second}"
        );
    }
}

#[test]
fn address_that_is_not_here_cannot_be_listened_on() {
    let namespace = Namespace::new();

    let error = namespace
        .run(|| Listener::bind("192.0.2.77:179".parse().unwrap(), None))
        .unwrap_err();

    assert!(error.to_string().contains("not on this host"), "{error}");
}

#[test]
fn no_route_is_said_clearly() {
    let namespace = Namespace::new();

    let error = namespace
        .run(|| connect("192.0.2.77:179".parse().unwrap(), &TcpOptions::default()))
        .unwrap_err();

    assert!(error.to_string().contains("no route to the peer"), "{error}");
}

#[test]
fn options_reach_both_ends() {
    let pair = Pair::new();
    for (any, host) in [(ANY_V4, "10.9.0.2"), (ANY_V6, "fd09::2")] {
        let listener = listen(&pair.right, any);
        let peer = SocketAddr::new(ip(host), listener.local_addr().port());
        for (ttl, expected) in [
            (Ttl::Direct, 1),
            (Ttl::Multihop(7), 7),
            (Ttl::Security { hops: 1 }, 255),
            (Ttl::System, 64),
        ] {
            let options = TcpOptions {
                ttl,
                user_timeout: Some(Duration::from_millis(4321)),
                send_buffer: Some(40_000),
                recv_buffer: Some(50_000),
                ..TcpOptions::default()
            };

            let client = pair.left.run(|| connected(peer, &options));
            let (server, _) = accepted(&listener);
            adopt(&server, &options).unwrap();

            for stream in [&client, &server] {
                let socket = SockRef::from(stream);
                assert_eq!(ttl_of(stream), expected, "{ttl:?}");
                assert_eq!(dscp_of(stream), 48);
                assert!(socket.tcp_nodelay().unwrap());
                assert_eq!(
                    socket.tcp_user_timeout().unwrap(),
                    Some(Duration::from_millis(4321))
                );
                assert_eq!(socket.send_buffer_size().unwrap(), 80_000);
                assert_eq!(socket.recv_buffer_size().unwrap(), 100_000);
                assert_eq!(socket.device().unwrap(), None);
            }
        }
    }
}

#[test]
fn multihop_zero_is_refused() {
    let namespace = Namespace::new();
    let listener = listen(&namespace, "127.0.0.1:0");
    let options = TcpOptions {
        ttl: Ttl::Multihop(0),
        ..TcpOptions::default()
    };

    let client = namespace.run(|| connected(listener.local_addr(), &TcpOptions::default()));
    let connecting = namespace
        .run(|| connect(listener.local_addr(), &options))
        .unwrap_err();

    assert!(matches!(connecting, SocketError::ZeroTtl { .. }));
    assert!(matches!(
        adopt(&client, &options).unwrap_err(),
        SocketError::ZeroTtl { .. }
    ));
}

fn listen(namespace: &Namespace, address: &str) -> Listener {
    namespace
        .run(|| Listener::bind(address.parse().unwrap(), None))
        .unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn ttl_of(stream: &TcpStream) -> u32 {
    let socket = SockRef::from(stream);
    match stream.local_addr().unwrap() {
        SocketAddr::V4(_) => socket.ttl_v4().unwrap(),
        SocketAddr::V6(_) => socket.unicast_hops_v6().unwrap(),
    }
}

fn dscp_of(stream: &TcpStream) -> u32 {
    let socket = SockRef::from(stream);
    let octet = match stream.local_addr().unwrap() {
        SocketAddr::V4(_) => socket.tos_v4().unwrap(),
        SocketAddr::V6(_) => socket.tclass_v6().unwrap(),
    };
    octet >> 2
}
