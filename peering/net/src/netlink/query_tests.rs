use std::net::Ipv4Addr;

use super::*;

#[tokio::test]
async fn broken_connection_is_no_answer() {
    let netlink = Netlink::open().unwrap();
    let loopback = Target::from(IpAddr::from(Ipv4Addr::LOCALHOST));
    assert!(netlink.path_to(&loopback).await.unwrap().has_route());

    netlink.connection.abort();

    assert!(matches!(
        netlink.path_to(&loopback).await,
        Err(NetlinkError::Route { .. })
    ));
    assert!(matches!(
        netlink.local_addresses().await,
        Err(NetlinkError::Addresses(_))
    ));
    assert!(matches!(
        netlink.interface(1).await,
        Err(NetlinkError::Link { .. })
    ));
    assert!(matches!(
        netlink.addresses(1).await,
        Err(NetlinkError::Addresses(_))
    ));
}

#[test]
fn every_way_to_say_no_route_is_one() {
    for errno in [
        libc::ENETUNREACH,
        libc::EHOSTUNREACH,
        libc::EACCES,
        libc::EINVAL,
        libc::ENODEV,
    ] {
        assert!(is_no_route(&io::Error::from_raw_os_error(errno)));
    }
    for errno in [libc::EPERM, libc::ENOBUFS, libc::ENOMEM, libc::EBUSY] {
        assert!(!is_no_route(&io::Error::from_raw_os_error(errno)));
    }
}

#[test]
fn hop_without_interface_or_of_another_kind_is_none() {
    let mut route = RouteMessage::default();
    route.header.kind = RouteType::Unicast;
    assert_eq!(Hop::of(&route), None);

    route.attributes.push(RouteAttribute::Oif(7));
    route
        .attributes
        .push(RouteAttribute::PrefSource(RouteAddress::Inet(
            Ipv4Addr::UNSPECIFIED,
        )));
    assert_eq!(
        Hop::of(&route),
        Some(Hop {
            source: None,
            interface: 7,
            on_link: true
        })
    );

    route.header.kind = RouteType::BlackHole;
    assert_eq!(Hop::of(&route), None);
}
