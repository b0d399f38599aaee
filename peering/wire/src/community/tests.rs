use super::*;

#[test]
fn communities_are_read_as_they_are_written() {
    for text in [
        "0:0",
        "65000:100",
        "65535:1",
        "no-export",
        "graceful-shutdown",
        "local-AS",
    ] {
        assert_eq!(text.parse::<Community>().unwrap().to_string(), text);
    }
    assert_eq!("65000:100".parse(), Ok(Community(65000 << 16 | 100)));
    assert_eq!("65535:0".parse(), Ok(Community::GRACEFUL_SHUTDOWN));
    assert_eq!("NO-EXPORT".parse(), Ok(Community::NO_EXPORT));
    for (name, community) in WELL_KNOWN {
        assert_eq!(name.parse(), Ok(community));
        let (asn, value) = (community.0 >> 16, community.0 & 0xffff);
        assert_eq!(format!("{asn}:{value}").parse(), Ok(community));
    }
}

#[test]
fn large_communities_are_read_as_they_are_written() {
    let text = "4200000000:1:4294967295";
    let large: LargeCommunity = text.parse().unwrap();
    assert_eq!(
        (large.global, large.local1, large.local2),
        (4_200_000_000, 1, u32::MAX)
    );
    assert_eq!(large.to_string(), text);
}

#[test]
fn what_is_no_community_is_refused_with_a_remedy() {
    for text in [
        "", ":", "1", "1:2:3", "65536:1", "1:65536", "+1:2", "1: 2", "-1:2", "a:b", "1:",
    ] {
        let error = text.parse::<Community>().unwrap_err().to_string();
        assert!(
            error.contains(&format!("{text:?}")) && error.contains("AS:VALUE"),
            "{error}"
        );
    }
    for text in ["1:2", "1:2:3:4", "4294967296:1:1", "no-export"] {
        let error = text.parse::<LargeCommunity>().unwrap_err().to_string();
        assert!(error.contains("AS:VALUE:VALUE"), "{error}");
    }
}
