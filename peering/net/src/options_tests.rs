use super::*;

fn key(password: &str) -> Result<Md5Key, Md5KeyError> {
    Md5Key::new(SecretString::from(password))
}

#[test]
fn md5_key_has_1_to_80_octets() {
    assert_eq!(key("").unwrap_err(), Md5KeyError::Empty);
    assert!(key("x").is_ok());
    assert!(key(&"x".repeat(80)).is_ok());
    assert_eq!(
        key(&"x".repeat(81)).unwrap_err(),
        Md5KeyError::TooLong { octets: 81 }
    );
    // Octets count, not characters.
    assert_eq!(
        key(&"ü".repeat(41)).unwrap_err(),
        Md5KeyError::TooLong { octets: 82 }
    );
}

#[test]
fn md5_key_is_never_printed() {
    let options = TcpOptions {
        md5: Some(key("hunter2").unwrap()),
        ..TcpOptions::default()
    };

    let printed = format!("{options:?} {options:#?}");

    assert!(!printed.contains("hunter2"), "{printed}");
    assert!(printed.contains("Md5Key(..)"), "{printed}");
}

#[test]
fn options_differ_when_only_the_key_differs() {
    let with = |password| TcpOptions {
        md5: Some(key(password).unwrap()),
        ..TcpOptions::default()
    };

    assert_eq!(with("one"), with("one"));
    assert_ne!(with("one"), with("two"));
    assert_ne!(with("one"), TcpOptions::default());
}

#[test]
fn ttl_sent_and_accepted() {
    for (ttl, outgoing, minimum) in [
        (Ttl::Direct, 1, 0),
        (Ttl::Multihop(64), 64, 0),
        (Ttl::System, -1, 0),
        (Ttl::Security { hops: 0 }, 255, 255),
        (Ttl::Security { hops: 1 }, 255, 255),
        (Ttl::Security { hops: 2 }, 255, 254),
        (Ttl::Security { hops: 254 }, 255, 2),
        (Ttl::Security { hops: 255 }, 255, 1),
    ] {
        assert_eq!((ttl.outgoing(), ttl.minimum()), (outgoing, minimum), "{ttl:?}");
    }
}
