use super::{AsWidth, decode_segments, merge, without_confederation};
use crate::{AsPath, AsSegment};

fn sequence(asns: &[u32]) -> AsSegment {
    AsSegment::Sequence(asns.to_vec())
}

#[test]
fn segments_of_both_widths() {
    let expected = AsPath(vec![sequence(&[1, 2]), AsSegment::Set(vec![3])]);

    let two = decode_segments(&[2, 2, 0, 1, 0, 2, 1, 1, 0, 3], AsWidth::Two);
    let four = decode_segments(&[2, 2, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1, 0, 0, 0, 3], AsWidth::Four);

    assert_eq!(two, Ok(expected.clone()));
    assert_eq!(four, Ok(expected));
    assert_eq!(decode_segments(&[], AsWidth::Four), Ok(AsPath::default()));
}

#[test]
fn malformed_segments() {
    // RFC 7606 section 7.2: unknown type, overrun, underrun, no AS numbers.
    let malformed: [&[u8]; 6] = [
        &[5, 1, 0, 0, 0, 1],
        &[0, 1, 0, 0, 0, 1],
        &[2, 2, 0, 0, 0, 1],
        &[2, 1, 0, 0, 0, 1, 2],
        &[2, 0],
        &[2, 1, 0, 0, 0, 1, 2, 0],
    ];
    for value in malformed {
        assert!(decode_segments(value, AsWidth::Four).is_err(), "{value:?}");
    }
}

#[test]
fn a_path_of_equal_length_is_replaced() {
    let merged = merge(
        AsPath(vec![sequence(&[64512, 23456, 23456])]),
        AsPath(vec![sequence(&[64512, 70000, 80000])]),
    );
    assert_eq!(merged, AsPath(vec![sequence(&[64512, 70000, 80000])]));
}

#[test]
fn the_leading_part_comes_from_as_path() {
    let merged = merge(
        AsPath(vec![sequence(&[1, 2, 23456, 23456])]),
        AsPath(vec![sequence(&[70000, 80000])]),
    );
    assert_eq!(merged, AsPath(vec![sequence(&[1, 2, 70000, 80000])]));
}

#[test]
fn a_longer_as4_path_is_ignored() {
    let as_path = AsPath(vec![sequence(&[1, 23456])]);
    let merged = merge(as_path.clone(), AsPath(vec![sequence(&[1, 70000, 80000])]));
    assert_eq!(merged, as_path);
}

#[test]
fn a_set_counts_as_one() {
    let merged = merge(
        AsPath(vec![
            AsSegment::Set(vec![1, 2, 3]),
            sequence(&[23456]),
            AsSegment::Set(vec![23456, 7]),
        ]),
        AsPath(vec![sequence(&[70000]), AsSegment::Set(vec![80000, 7])]),
    );
    let expected = AsPath(vec![
        AsSegment::Set(vec![1, 2, 3]),
        sequence(&[70000]),
        AsSegment::Set(vec![80000, 7]),
    ]);
    assert_eq!(merged, expected);
}

#[test]
fn confederation_segments_are_kept_in_front() {
    // RFC 6793 section 4.2.3: leading, or adjacent to a segment that is prepended.
    let merged = merge(
        AsPath(vec![
            AsSegment::ConfedSequence(vec![65100]),
            sequence(&[1]),
            AsSegment::ConfedSet(vec![65200]),
            sequence(&[23456]),
        ]),
        AsPath(vec![sequence(&[70000])]),
    );
    let expected = AsPath(vec![
        AsSegment::ConfedSequence(vec![65100]),
        sequence(&[1]),
        AsSegment::ConfedSet(vec![65200]),
        sequence(&[70000]),
    ]);
    assert_eq!(merged, expected);
}

#[test]
fn confederation_segments_are_dropped_from_as4_path() {
    let path = AsPath(vec![AsSegment::ConfedSequence(vec![1]), sequence(&[2])]);
    assert_eq!(without_confederation(path), AsPath(vec![sequence(&[2])]));
}
