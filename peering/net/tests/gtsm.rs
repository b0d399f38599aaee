//! GTSM (RFC 5082) with the real kernel. A segment that is dropped shows in the counter `TCPMinTTLDrop`.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod support;

use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpListener};

use mio::net::TcpStream;
use net::{Listener, TcpOptions, Ttl, adopt, connect, finish_connect};
use socket2::SockRef;
use support::{Pair, accepted, connected, pass, silent};

const DROPPED: &str = "TCPMinTTLDrop";

const FAMILIES: [(&str, &str); 2] = [("0.0.0.0:0", "10.9.0.2"), ("[::]:0", "fd09::2")];

const DIRECT: TcpOptions = ttl(Ttl::Security { hops: 1 });

#[test]
fn both_ends_with_gtsm_talk() {
    let pair = Pair::new();
    for (any, host) in FAMILIES {
        let (listener, peer) = listen(&pair, any, host);

        // The SYN-ACK passes the minimum of the connecting end, for the listener sends with 255.
        let mut client = pair.left.run(|| connected(peer, &DIRECT));

        let (mut server, _) = accepted(&listener);
        adopt(&server, &DIRECT).unwrap();
        pass(&mut client, &mut server);
        pass(&mut server, &mut client);
    }
}

#[test]
fn syn_ack_with_less_than_255_never_connects() {
    let pair = Pair::new();
    for (any, host) in FAMILIES {
        let ordinary = pair.right.run(|| TcpListener::bind(any)).unwrap();
        let peer = SocketAddr::new(ip(host), ordinary.local_addr().unwrap().port());

        let client = pair
            .left
            .counts(DROPPED, || pair.left.run(|| connect(peer, &DIRECT)).unwrap());

        assert!(!finish_connect(&client).unwrap());
    }
}

#[test]
fn accepted_connection_drops_what_comes_from_too_far() {
    let pair = Pair::new();
    for (any, host) in FAMILIES {
        let (listener, peer) = listen(&pair, any, host);
        for (sent, hops, arrives) in [
            (64, 1, false),
            (254, 1, false),
            (255, 1, true),
            (254, 2, true),
            (253, 2, false),
            (2, 254, true),
        ] {
            let mut client = pair.left.run(|| connected(peer, &ttl(Ttl::Multihop(sent))));
            let (mut server, _) = accepted(&listener);
            adopt(&server, &ttl(Ttl::Security { hops })).unwrap();

            if arrives {
                pass(&mut client, &mut server);
                continue;
            }
            pair.right.counts(DROPPED, || client.write_all(b"open").unwrap());
            assert!(silent(&mut server), "TTL {sent} at {hops} hops");
        }
    }
}

#[test]
fn connecting_end_drops_what_comes_from_too_far() {
    let pair = Pair::new();
    for (any, host) in FAMILIES {
        let (listener, peer) = listen(&pair, any, host);
        let mut client = pair.left.run(|| connected(peer, &DIRECT));
        let (mut server, _) = accepted(&listener);

        adopt(&server, &ttl(Ttl::System)).unwrap();

        pair.left.counts(DROPPED, || server.write_all(b"open").unwrap());
        assert!(silent(&mut client));
    }
}

#[test]
fn peers_without_gtsm_do_not_mind() {
    let pair = Pair::new();
    for (any, host) in FAMILIES {
        let (listener, peer) = listen(&pair, any, host);
        for policy in [Ttl::Direct, Ttl::System, Ttl::Multihop(3)] {
            let mut client = pair.left.run(|| connected(peer, &ttl(policy)));
            let (mut server, _) = accepted(&listener);
            adopt(&server, &ttl(policy)).unwrap();

            pass(&mut client, &mut server);
            pass(&mut server, &mut client);
        }
    }
}

#[test]
fn listener_for_gtsm_peers_only_answers_no_other_syn() {
    let pair = Pair::new();
    for (any, host) in FAMILIES {
        let (listener, peer) = listen(&pair, any, host);
        listener.set_minimum_ttl(255).unwrap();

        let far = pair.right.counts(DROPPED, || {
            pair.left.run(|| connect(peer, &ttl(Ttl::Multihop(254)))).unwrap()
        });
        assert!(!finish_connect(&far).unwrap());
        assert!(listener.accept().unwrap().is_none());

        let mut near = pair.left.run(|| connected(peer, &DIRECT));
        let (mut server, _) = accepted(&listener);
        adopt(&server, &DIRECT).unwrap();
        pass(&mut near, &mut server);

        listener.set_minimum_ttl(0).unwrap();
        let _plain = pair.left.run(|| connected(peer, &ttl(Ttl::System)));
        accepted(&listener);
    }
}

#[test]
fn adopting_without_gtsm_lifts_the_minimum_of_the_listener() {
    let pair = Pair::new();
    for (any, host) in FAMILIES {
        let (listener, peer) = listen(&pair, any, host);
        listener.set_minimum_ttl(255).unwrap();
        let mut client = pair.left.run(|| connected(peer, &ttl(Ttl::Multihop(255))));
        let (mut server, _) = accepted(&listener);

        adopt(&server, &ttl(Ttl::System)).unwrap();

        lower_ttl(&client);
        pass(&mut client, &mut server);
    }
}

fn lower_ttl(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    match stream.local_addr().unwrap() {
        SocketAddr::V4(_) => socket.set_ttl_v4(64).unwrap(),
        SocketAddr::V6(_) => socket.set_unicast_hops_v6(64).unwrap(),
    }
}

fn listen(pair: &Pair, any: &str, host: &str) -> (Listener, SocketAddr) {
    let listener = pair
        .right
        .run(|| Listener::bind(any.parse().unwrap(), None))
        .unwrap();
    let peer = SocketAddr::new(ip(host), listener.local_addr().port());
    (listener, peer)
}

const fn ttl(ttl: Ttl) -> TcpOptions {
    TcpOptions {
        source: None,
        device: None,
        ttl,
        md5: None,
        user_timeout: None,
        send_buffer: None,
        recv_buffer: None,
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}
