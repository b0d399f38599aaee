use super::duration::{DurationError, parse_duration};
use super::values::*;
use proptest::prelude::*;

/// Valid texts of Go's own table (time/time_test.go), and what follows from its grammar.
#[test]
fn durations_are_those_of_go() {
    const S: i64 = 1_000_000_000;
    let cases = [
        ("0", 0),
        ("-0", 0),
        ("+0", 0),
        ("5s", 5 * S),
        ("30s", 30 * S),
        ("1478s", 1478 * S),
        ("-5s", -5 * S),
        ("+5s", 5 * S),
        ("5.0s", 5 * S),
        ("5.6s", 5_600_000_000),
        ("5.s", 5 * S),
        (".5s", S / 2),
        ("1.0s", S),
        ("1.004s", 1_004_000_000),
        ("1.0040s", 1_004_000_000),
        ("100.00100s", 100_001_000_000),
        ("10ns", 10),
        ("11us", 11_000),
        ("12\u{b5}s", 12_000),
        ("12\u{3bc}s", 12_000),
        ("13ms", 13_000_000),
        ("14s", 14 * S),
        ("15m", 900 * S),
        ("16h", 57_600 * S),
        ("3h30m", 12_600 * S),
        ("10.5s4m", 250_500_000_000),
        ("-2m3.4s", -123_400_000_000),
        ("1h2m3s4ms5us6ns", 3_723_004_005_006),
        ("39h9m14.425s", 140_954_425_000_000),
        ("52763797000ns", 52_763_797_000),
        ("0.3333333333333333333h", 1_200_000_000_000 - 1),
        ("9007199254740993ns", (1 << 53) + 1),
        ("9223372036854775807ns", i64::MAX),
        ("9223372036854775.807us", i64::MAX),
        ("9223372036s854ms775us807ns", i64::MAX),
        ("-9223372036854775808ns", i64::MIN),
        ("-2562047h47m16.854775808s", i64::MIN),
        ("0.100000000000000000000h", 360 * S),
        ("1m0s", 60 * S),
        ("1h30m", 5400 * S),
        ("1.5h", 5400 * S),
        ("500ms", S / 2),
        ("90s", 90 * S),
        ("0s", 0),
    ];
    for (text, expected) in cases {
        let read = parse_duration(text);
        // Go computes long fractions in floating point; one nanosecond is no difference here.
        let close = read.as_ref().is_ok_and(|read| read.abs_diff(expected) <= 1);
        assert!(close, "{text}: {read:?}, expected {expected}");
    }
}

#[test]
fn what_go_refuses_is_refused() {
    let invalid = [
        "",
        "-",
        "+",
        "s",
        ".",
        "-.",
        ".s",
        "+.s",
        "- 5s",
        "\u{85}\u{85}",
        "\u{ffff}",
        "hello",
        "5s x",
        " 5s",
    ];
    for text in invalid {
        assert!(parse_duration(text).is_err(), "{text:?}");
    }
    assert_eq!(
        parse_duration("3"),
        Err(DurationError::MissingUnit("3".to_owned()))
    );
    assert_eq!(
        parse_duration("1m30"),
        Err(DurationError::MissingUnit("1m30".to_owned()))
    );
    assert_eq!(
        parse_duration("1d").expect_err("no days").to_string(),
        "unknown unit \"d\" in duration \"1d\"; the units are h, m, s, ms, us and ns"
    );
    assert!(matches!(
        parse_duration("5µ"),
        Err(DurationError::UnknownUnit { .. })
    ));
    let too_long = [
        "9223372036854775810ns",
        "9223372036854775808ns",
        "-9223372036854775809ns",
        "9223372036854776us",
        "3000000h",
        "9223372036854775807ns1ns",
        "99999999999999999999999999999999999999999999999999s",
        "340282366920938463463374607431768211455h",
    ];
    for text in too_long {
        assert_eq!(
            parse_duration(text),
            Err(DurationError::Overflow(text.to_owned()))
        );
    }
    assert_eq!(
        parse_duration("90").expect_err("no unit").to_string(),
        "missing unit in duration \"90\"; write 90s for seconds"
    );
}

#[test]
fn numbers_are_those_of_go_with_base_zero() {
    let cases = [
        ("0", Some(0)),
        ("65000", Some(65000)),
        ("4294967295", Some(u64::from(u32::MAX))),
        ("0xFDE8", Some(65000)),
        ("0o17", Some(15)),
        ("017", Some(15)),
        ("0b101", Some(5)),
        ("0x_ff", Some(255)),
        ("4294967296", None),
        ("-1", None),
        ("+1", None),
        ("1e3", None),
        ("", None),
        ("6 5", None),
        ("08", None),
        ("0x", None),
        ("65000.1", None),
        ("٣", None),
    ];
    for (text, expected) in cases {
        assert_eq!(read_uint(text, u32::MAX.into()).ok(), expected, "{text:?}");
    }
}

#[test]
fn booleans_are_those_of_go() {
    for text in ["1", "t", "T", "TRUE", "true", "True"] {
        assert_eq!(read_bool(text), Ok(true));
    }
    for text in ["0", "f", "F", "FALSE", "false", "False"] {
        assert_eq!(read_bool(text), Ok(false));
    }
    for text in ["", "yes", "tRUE", "on", "2"] {
        assert!(read_bool(text).is_err());
    }
}

#[test]
fn address_lists_are_those_of_pflag() {
    let read =
        |text| read_ips(text).map(|ips| ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
    assert_eq!(read("10.0.0.1,10.0.0.2"), Ok("10.0.0.1 10.0.0.2".to_owned()));
    assert_eq!(read(" 10.0.0.1 , fd00::1 "), Ok("10.0.0.1 fd00::1".to_owned()));
    assert_eq!(
        read("\"10.0.0.1\",'10.0.0.2'"),
        Ok("10.0.0.1 10.0.0.2".to_owned())
    );
    assert_eq!(read("\"10.0.0.1,10.0.0.2\""), Ok("10.0.0.1 10.0.0.2".to_owned()));
    assert_eq!(
        read("2409:AB00:AB00:2000::AFB:8AFC"),
        Ok("2409:ab00:ab00:2000::afb:8afc".to_owned())
    );
    assert_eq!(read("::ffff:10.0.0.1"), Ok("10.0.0.1".to_owned()));
    assert_eq!(read(""), Ok(String::new()));
    assert_eq!(read("\"\""), Ok(String::new()));
    assert_eq!(
        read("10.0.0.1,x"),
        Err("invalid string being converted to IP address: x".to_owned())
    );
    for text in [
        "10.0.0.1,",
        ",",
        "10.0.0.1/24",
        "10.0.0.01",
        "fe80::1%eth0",
        "10.0.0.1 10.0.0.2",
    ] {
        assert!(read(text).is_err(), "{text:?}");
    }
}

#[test]
fn sockets() {
    let read = |text| read_socket(text).map(|socket| socket.to_string());
    assert_eq!(read("127.0.0.1:80"), Ok("127.0.0.1:80".to_owned()));
    assert_eq!(read("[::]:80"), Ok("[::]:80".to_owned()));
    assert_eq!(read(":80"), Ok("0.0.0.0:80".to_owned()));
    assert_eq!(read("80"), Ok("0.0.0.0:80".to_owned()));
    for text in ["", ":", "localhost:80", "1.2.3.4", ":70000", "::1:80:"] {
        assert!(read(text).is_err(), "{text:?}");
    }
}

proptest! {
    #[test]
    fn nothing_panics(text in any::<String>()) {
        let _ = parse_duration(&text);
        let _ = read_uint(&text, u64::MAX);
        let _ = read_ips(&text);
        let _ = read_ip(&text);
        let _ = read_socket(&text);
        let _ = read_int(&text);
    }

    #[test]
    fn durations_of_any_parts_never_panic(text in "[-+]?([0-9]{0,30}(\\.[0-9]{0,30})?(ns|us|µs|ms|s|m|h|d|µ)?){0,4}") {
        let _ = parse_duration(&text);
    }

    #[test]
    fn whole_nanoseconds_come_back(value in any::<i64>()) {
        prop_assert_eq!(parse_duration(&format!("{value}ns")), Ok(value));
    }
}
