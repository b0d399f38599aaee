use crate::{Family, Prefix, PrefixMap};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn sample() -> PrefixMap<u32> {
    let mut map = PrefixMap::new();
    for (n, text) in ["2001:db8::/32", "10.0.0.0/8", "10.0.0.0/16", "::/0", "9.0.0.0/8"]
        .into_iter()
        .enumerate()
    {
        map.insert(prefix(text), n as u32);
    }
    map
}

fn keys<'a>(entries: impl Iterator<Item = (Prefix, &'a u32)>) -> Vec<String> {
    entries.map(|(prefix, _)| prefix.to_string()).collect()
}

#[test]
fn ipv4_comes_first_and_each_family_is_in_order() {
    let map = sample();
    assert_eq!(
        keys(map.iter()),
        ["9.0.0.0/8", "10.0.0.0/8", "10.0.0.0/16", "::/0", "2001:db8::/32"]
    );
    assert_eq!(map.len(), 5);
    assert_eq!(map.len_of(Family::Ipv4Unicast), 3);
    assert_eq!(map.len_of(Family::Ipv6Unicast), 2);
}

#[test]
fn iteration_goes_on_behind_the_cursor() {
    let map = sample();
    let after = |family, cursor: Option<&str>| keys(map.after(family, cursor.map(prefix)));

    assert_eq!(
        after(Family::Ipv4Unicast, Some("9.0.0.0/8")),
        ["10.0.0.0/8", "10.0.0.0/16"]
    );
    // The cursor need not be in the map.
    assert_eq!(after(Family::Ipv4Unicast, Some("10.0.0.0/12")), ["10.0.0.0/16"]);
    assert_eq!(after(Family::Ipv4Unicast, Some("255.0.0.0/8")).len(), 0);
    assert_eq!(after(Family::Ipv6Unicast, Some("::/0")), ["2001:db8::/32"]);
    // A cursor of the other family counts as none.
    assert_eq!(after(Family::Ipv4Unicast, Some("::/0")).len(), 3);
    assert_eq!(after(Family::Ipv6Unicast, Some("10.0.0.0/8")).len(), 2);
}

#[test]
fn a_visit_ends_when_told() {
    let mut map = sample();
    for (family, cursor, expected) in [
        (Family::Ipv4Unicast, None, "9.0.0.0/8"),
        (Family::Ipv6Unicast, Some(prefix("::/0")), "2001:db8::/32"),
    ] {
        let mut seen = Vec::new();
        map.visit_mut(family, cursor, |prefix, value| {
            seen.push(prefix);
            *value = 100;
            false
        });
        assert_eq!(seen, [prefix(expected)]);
        assert_eq!(map.get(&prefix(expected)), Some(&100));
    }
    let mut visited = 0;
    map.visit_mut(Family::Ipv4Unicast, None, |_, _| {
        visited += 1;
        true
    });
    assert_eq!(visited, 3);
}

#[test]
fn values_are_made_once() {
    let mut map = PrefixMap::new();
    for text in ["10.0.0.0/8", "2001:db8::/32"] {
        *map.get_or_insert_with(&prefix(text), || 1) += 1;
        *map.get_or_insert_with(&prefix(text), || unreachable!()) += 1;
        assert_eq!(map.get(&prefix(text)), Some(&3));
        *map.get_mut(&prefix(text)).unwrap() = 9;
        assert_eq!(map.insert(prefix(text), 0), Some(9));
    }
    map.clear();
    assert!(map.is_empty());
}

/// Few enough to collide often.
fn any_prefix() -> impl Strategy<Value = Prefix> {
    prop_oneof![
        (0..4_u32, 0..=32_u8)
            .prop_map(|(n, len)| Prefix::new(Ipv4Addr::from_bits(n << 30).into(), len).unwrap()),
        (0..4_u128, 0..=128_u8)
            .prop_map(|(n, len)| Prefix::new(Ipv6Addr::from_bits(n << 126).into(), len).unwrap()),
    ]
}

proptest! {
    #[test]
    fn behaves_like_an_ordered_map(
        operations in vec((any_prefix(), any::<Option<u8>>()), 0..200),
        cursor in any_prefix(),
    ) {
        let mut map = PrefixMap::new();
        let mut model = BTreeMap::new();
        for (prefix, value) in operations {
            match value {
                Some(value) => prop_assert_eq!(map.insert(prefix, value), model.insert(prefix, value)),
                None => prop_assert_eq!(map.remove(&prefix), model.remove(&prefix)),
            }
            prop_assert_eq!(map.get(&prefix), model.get(&prefix));
            prop_assert_eq!(map.len(), model.len());
        }
        let listed: Vec<_> = map.iter().map(|(prefix, value)| (prefix, *value)).collect();
        let expected: Vec<_> = model.iter().map(|(prefix, value)| (*prefix, *value)).collect();
        prop_assert_eq!(&listed, &expected);

        let after: Vec<_> = map.after(cursor.family(), Some(cursor)).map(|(prefix, _)| prefix).collect();
        let family = cursor.family();
        let behind = |prefix: &&Prefix| prefix.family() == family && **prefix > cursor;
        let expected: Vec<_> = model.keys().filter(behind).copied().collect();
        prop_assert_eq!(after, expected);

        map.retain(|_, value| *value % 2 == 0);
        model.retain(|_, value| *value % 2 == 0);
        prop_assert!(map.iter().map(|(prefix, _)| prefix).eq(model.keys().copied()));
    }
}
