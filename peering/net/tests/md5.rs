//! TCP MD5 (RFC 2385) with the real kernel. What must not work is shown by the kernel's own counters of dropped
//! segments, not by waiting.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod support;

use std::net::{IpAddr, SocketAddr};

use mio::net::TcpStream;
use net::{Listener, Md5Key, Operation, SocketError, TcpOptions, adopt, connect, finish_connect};
use secrecy::SecretString;
use support::{Pair, accepted, connected, pass, silent};

/// Segments without a signature where one is due; with one where none is due; with a wrong one.
const MISSING: &str = "TCPMD5NotFound";
const UNEXPECTED: &str = "TCPMD5Unexpected";
const WRONG: &str = "TCPMD5Failure";

const FAMILIES: [(&str, &str, &str); 2] = [
    ("0.0.0.0:0", "10.9.0.1", "10.9.0.2"),
    ("[::]:0", "fd09::1", "fd09::2"),
];

#[test]
fn right_key_connects() {
    let pair = Pair::new();
    for (any, left, right) in FAMILIES {
        for password in ["s3cret", &"x".repeat(80), "mit Umläuten"] {
            let (listener, peer) = listen(&pair, any, right);
            listener.set_md5(ip(left), Some(&key(password))).unwrap();

            let mut client = pair.left.run(|| connected(peer, &signed(password)));

            let (mut server, _) = accepted(&listener);
            adopt(&server, &signed(password)).unwrap();
            pass(&mut client, &mut server);
            pass(&mut server, &mut client);
        }
    }
}

#[test]
fn wrong_key_never_connects() {
    let pair = Pair::new();
    for (any, left, right) in FAMILIES {
        let (listener, peer) = listen(&pair, any, right);
        listener.set_md5(ip(left), Some(&key("right"))).unwrap();

        let client = pair.right.counts(WRONG, || start(&pair, peer, &signed("wrong")));

        assert!(!finish_connect(&client).unwrap());
        assert!(listener.accept().unwrap().is_none());
    }
}

#[test]
fn key_on_one_side_only_never_connects() {
    let pair = Pair::new();
    for (any, left, right) in FAMILIES {
        let (listener, peer) = listen(&pair, any, right);
        listener.set_md5(ip(left), Some(&key("right"))).unwrap();
        let unsigned = pair
            .right
            .counts(MISSING, || start(&pair, peer, &TcpOptions::default()));
        assert!(!finish_connect(&unsigned).unwrap());
        assert!(listener.accept().unwrap().is_none());

        let (keyless, peer) = listen(&pair, any, right);
        let alone = pair
            .right
            .counts(UNEXPECTED, || start(&pair, peer, &signed("right")));
        assert!(!finish_connect(&alone).unwrap());
        assert!(keyless.accept().unwrap().is_none());
    }
}

#[test]
fn key_is_changed_and_removed_while_listening() {
    let pair = Pair::new();
    for (any, left, right) in FAMILIES {
        let (listener, peer) = listen(&pair, any, right);
        let left = ip(left);
        listener.set_md5(left, Some(&key("first"))).unwrap();
        let mut first = pair.left.run(|| connected(peer, &signed("first")));
        let (mut first_accepted, _) = accepted(&listener);

        listener.set_md5(left, Some(&key("second"))).unwrap();
        let _late = pair.right.counts(WRONG, || start(&pair, peer, &signed("first")));
        assert!(listener.accept().unwrap().is_none());
        let _second = pair.left.run(|| connected(peer, &signed("second")));
        accepted(&listener);

        listener.set_md5(left, None).unwrap();
        let _signed = pair
            .right
            .counts(UNEXPECTED, || start(&pair, peer, &signed("second")));
        assert!(listener.accept().unwrap().is_none());
        let _plain = pair.left.run(|| connected(peer, &TcpOptions::default()));
        accepted(&listener);

        // What was there before is not disturbed.
        pass(&mut first, &mut first_accepted);
        pass(&mut first_accepted, &mut first);
    }
}

#[test]
fn removing_what_is_not_there_is_fine() {
    let pair = Pair::new();
    for (any, left, right) in FAMILIES {
        let (listener, _) = listen(&pair, any, right);

        listener.set_md5(ip(left), None).unwrap();
        listener.set_md5(ip(left), Some(&key("k"))).unwrap();
        listener.set_md5(ip(left), None).unwrap();
        listener.set_md5(ip(left), None).unwrap();
    }
}

#[test]
fn key_of_one_peer_does_not_concern_another() {
    let pair = Pair::new();
    pair.left.ip("address add 10.9.0.11/24 dev west0");
    let (listener, peer) = listen(&pair, "0.0.0.0:0", "10.9.0.2");
    listener.set_md5(ip("10.9.0.1"), Some(&key("one"))).unwrap();
    listener.set_md5(ip("10.9.0.11"), Some(&key("eleven"))).unwrap();
    let from = |source: &str, options: TcpOptions| TcpOptions {
        source: Some(ip(source)),
        ..options
    };

    let _one = pair
        .left
        .run(|| connected(peer, &from("10.9.0.1", signed("one"))));
    let _eleven = pair
        .left
        .run(|| connected(peer, &from("10.9.0.11", signed("eleven"))));
    accepted(&listener);
    accepted(&listener);
    pair.right
        .counts(WRONG, || start(&pair, peer, &from("10.9.0.11", signed("one"))));
    assert!(listener.accept().unwrap().is_none());

    listener.set_md5(ip("10.9.0.11"), None).unwrap();
    let _plain = pair
        .left
        .run(|| connected(peer, &from("10.9.0.11", TcpOptions::default())));
    accepted(&listener);
}

#[test]
fn key_lives_on_the_listener_of_its_family() {
    let pair = Pair::new();
    let (four, peer) = listen(&pair, "0.0.0.0:0", "10.9.0.2");
    let (six, _) = listen(&pair, "[::]:0", "fd09::2");

    for error in [
        six.set_md5(ip("10.9.0.1"), Some(&key("k"))).unwrap_err(),
        six.set_md5(ip("::ffff:10.9.0.1"), Some(&key("k"))).unwrap_err(),
        four.set_md5(ip("fd09::1"), Some(&key("k"))).unwrap_err(),
    ] {
        assert!(
            matches!(
                error,
                SocketError::Family {
                    operation: Operation::Md5,
                    ..
                }
            ),
            "{error}"
        );
    }

    // The mapped spelling of an IPv4 peer is that IPv4 peer.
    four.set_md5(ip("::ffff:10.9.0.1"), Some(&key("k"))).unwrap();
    let _client = pair.left.run(|| connected(peer, &signed("k")));
    accepted(&four);
}

#[test]
fn link_local_peer_is_signed() {
    let pair = Pair::new();
    let (listener, peer) = listen(&pair, "[::]:0", "fe80::2");
    listener.set_md5(ip("fe80::1"), Some(&key("k"))).unwrap();
    let over = |options| TcpOptions {
        device: Some("west0".to_owned()),
        source: Some(ip("fe80::1")),
        ..options
    };

    pair.right
        .counts(MISSING, || start(&pair, peer, &over(TcpOptions::default())));
    assert!(listener.accept().unwrap().is_none());

    let mut client = pair.left.run(|| connected(peer, &over(signed("k"))));
    let (mut server, _) = accepted(&listener);
    adopt(&server, &signed("k")).unwrap();
    pass(&mut client, &mut server);
}

#[test]
fn adopting_with_a_key_silences_a_connection_that_came_without() {
    let pair = Pair::new();
    for (any, _, right) in FAMILIES {
        let (listener, peer) = listen(&pair, any, right);
        let mut client = pair.left.run(|| connected(peer, &TcpOptions::default()));
        let (mut server, _) = accepted(&listener);

        adopt(&server, &signed("k")).unwrap();

        pair.right.counts(MISSING, || {
            std::io::Write::write_all(&mut client, b"open").unwrap()
        });
        assert!(silent(&mut server));
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

fn start(pair: &Pair, peer: SocketAddr, options: &TcpOptions) -> TcpStream {
    pair.left.run(|| connect(peer, options)).unwrap()
}

fn signed(password: &str) -> TcpOptions {
    TcpOptions {
        md5: Some(key(password)),
        ..TcpOptions::default()
    }
}

fn key(password: &str) -> Md5Key {
    Md5Key::new(SecretString::from(password)).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}
