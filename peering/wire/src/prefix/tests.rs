use crate::{Family, Prefix};
use ipnet::IpNet;
use std::net::IpAddr;

fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn host_bits_are_cleared_at_every_way_in() {
    let expected = Prefix::new(addr("10.0.0.0"), 24).unwrap();
    let net: IpNet = "10.0.0.7/24".parse().unwrap();

    assert_eq!(Prefix::new(addr("10.0.0.7"), 24), Some(expected));
    assert_eq!(Prefix::from(net), expected);
    assert_eq!("10.0.0.7/24".parse(), Ok(expected));
    assert_eq!(expected.to_string(), "10.0.0.0/24");
}

#[test]
fn lengths_are_limited_by_the_family() {
    assert!(Prefix::new(addr("10.0.0.0"), 32).is_some());
    assert!(Prefix::new(addr("10.0.0.0"), 33).is_none());
    assert!(Prefix::new(addr("2001:db8::"), 128).is_some());
    assert!(Prefix::new(addr("2001:db8::"), 129).is_none());
}

#[test]
fn a_bare_address_is_a_host_route() {
    for (text, family) in [
        ("10.1.2.3", Family::Ipv4Unicast),
        ("2001:db8::1", Family::Ipv6Unicast),
    ] {
        let prefix: Prefix = text.parse().unwrap();
        assert_eq!(prefix, Prefix::host(addr(text)));
        assert!(prefix.is_host());
        assert!(!prefix.is_default());
        assert_eq!(prefix.family(), family);
        assert_eq!(prefix.addr(), addr(text));
    }
}

#[test]
fn white_space_around_is_ignored_and_nothing_else_is() {
    assert!(" 10.0.0.0/8\n".parse::<Prefix>().is_ok());
    for text in [
        "",
        "/",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0/8",
        "::/129",
        "10.0.0.0 /8",
        "10.0.0.0/8/8",
        "pod",
    ] {
        let error = text.parse::<Prefix>().unwrap_err();
        assert_eq!(error.0, text);
    }
}

#[test]
fn default_routes() {
    for text in ["0.0.0.0/0", "::/0"] {
        let prefix: Prefix = text.parse().unwrap();
        assert!(prefix.is_default());
        assert_eq!(prefix.len(), 0);
    }
}

#[test]
fn containment_is_by_family() {
    let prefix: Prefix = "10.0.0.0/8".parse().unwrap();
    assert!(prefix.contains(addr("10.255.0.1")));
    assert!(!prefix.contains(addr("11.0.0.0")));
    assert!(!prefix.contains(addr("::10.0.0.1")));
    assert_eq!(prefix.net().to_string(), "10.0.0.0/8");
}
