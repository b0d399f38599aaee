use super::*;

fn text(operation: Operation, address: &str, errno: i32) -> String {
    let cause = io::Error::from_raw_os_error(errno);
    SocketError::kernel(operation, address.parse().unwrap())(cause).to_string()
}

#[test]
fn says_what_to_do() {
    for (operation, address, errno, expected) in [
        (Operation::Listen, "0.0.0.0:179", libc::EADDRINUSE, "port in use"),
        (
            Operation::Listen,
            "[::]:179",
            libc::EACCES,
            "CAP_NET_BIND_SERVICE",
        ),
        (
            Operation::Listen,
            "192.0.2.1:179",
            libc::EADDRNOTAVAIL,
            "not on this host",
        ),
        (
            Operation::Device("uplink0".into()),
            "192.0.2.1:179",
            libc::ENODEV,
            "no interface of that name",
        ),
        (
            Operation::Device("uplink0".into()),
            "192.0.2.1:179",
            libc::EPERM,
            "CAP_NET_RAW",
        ),
        (
            Operation::Source([192, 0, 2, 9].into()),
            "192.0.2.1:179",
            libc::EADDRNOTAVAIL,
            "not on this host",
        ),
        (Operation::Connect, "192.0.2.1:179", libc::ENETUNREACH, "no route"),
        (
            Operation::Connect,
            "[fe80::1]:179",
            libc::EINVAL,
            "needs an interface",
        ),
        (
            Operation::Md5,
            "192.0.2.1:179",
            libc::ENOPROTOOPT,
            "CONFIG_TCP_MD5SIG",
        ),
        (Operation::Md5, "192.0.2.1:179", libc::ENOMEM, "optmem_max"),
    ] {
        let text = text(operation, address, errno);
        assert!(text.contains(expected), "{text}");
        assert!(text.contains(address), "{text}");
    }
}

#[test]
fn says_nothing_where_nothing_is_known() {
    let text = text(Operation::Listen, "0.0.0.0:1790", libc::EACCES);

    assert_eq!(
        text,
        "cannot listen on 0.0.0.0:1790: Permission denied (os error 13)"
    );
}
