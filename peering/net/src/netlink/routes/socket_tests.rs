use super::*;

/// A netlink message: type, flags, sequence number, payload.
fn message(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let mut octets = Vec::new();
    octets.extend(
        u32::try_from(MESSAGE_HEADER + payload.len())
            .unwrap()
            .to_ne_bytes(),
    );
    octets.extend(kind.to_ne_bytes());
    octets.extend(flags.to_ne_bytes());
    octets.extend(sequence.to_ne_bytes());
    octets.extend(0_u32.to_ne_bytes());
    octets.extend(payload);
    octets.resize(octets.len().next_multiple_of(4), 0);
    octets
}

fn read(octets: &[u8]) -> (Result<Option<()>, Refusal>, usize, bool) {
    let (mut count, mut interrupted) = (0, false);
    let answer = digest(octets, 7, &mut interrupted, &mut |_| count += 1);
    (answer, count, interrupted)
}

#[test]
fn a_list_ends_with_done_and_an_order_with_an_acknowledgement() {
    let mut list = message(24, 2, 7, &[0; 12]);
    list.extend(message(24, 2, 7, &[0; 13]));
    assert!(matches!(read(&list), (Ok(None), 2, false)));
    list.extend(message(NLMSG_DONE, 2, 7, &[0; 4]));
    assert!(matches!(read(&list), (Ok(Some(())), 2, false)));
    assert!(matches!(
        read(&message(NLMSG_DONE, 2, 7, &[])),
        (Ok(Some(())), 0, false)
    ));
    assert!(matches!(
        read(&message(NLMSG_ERROR, 0, 7, &[0; 20])),
        (Ok(Some(())), 0, false)
    ));
}

#[test]
fn the_answer_to_an_earlier_question_is_skipped() {
    let mut octets = message(NLMSG_ERROR, 0, 6, &(-libc::EPERM).to_ne_bytes());
    octets.extend(message(24, 2, 6, &[0; 12]));
    assert!(matches!(read(&octets), (Ok(None), 0, false)));
    octets.extend(message(NLMSG_ERROR, 0, 7, &[0; 20]));
    assert!(matches!(read(&octets), (Ok(Some(())), 0, false)));
}

#[test]
fn a_list_that_changed_meanwhile_is_marked() {
    let mut list = message(24, 2 | NLM_F_DUMP_INTR, 7, &[0; 12]);
    list.extend(message(NLMSG_DONE, 2, 7, &[0; 4]));
    assert!(matches!(read(&list), (Ok(Some(())), 1, true)));
}

#[test]
fn a_refusal_has_the_words_of_the_kernel() {
    let mut payload = (-libc::EINVAL).to_ne_bytes().to_vec();
    payload.extend([0; MESSAGE_HEADER]);
    let text = b"Nexthop has invalid gateway\0";
    payload.extend(u16::try_from(4 + text.len()).unwrap().to_ne_bytes());
    payload.extend(NLMSGERR_ATTR_MSG.to_ne_bytes());
    payload.extend(text);

    let refusal = read(&message(NLMSG_ERROR, NLM_F_ACK_TLVS, 7, &payload))
        .0
        .unwrap_err();

    assert!(refusal.is(libc::EINVAL));
    assert_eq!(refusal.said.as_deref(), Some("Nexthop has invalid gateway"));
    for length in 4..payload.len() - 1 {
        let cut = read(&message(NLMSG_ERROR, NLM_F_ACK_TLVS, 7, &payload[..length]))
            .0
            .unwrap_err();
        assert!(cut.is(libc::EINVAL), "{length}");
    }
    let unsaid = read(&message(NLMSG_ERROR, 0, 7, &payload)).0.unwrap_err();
    assert_eq!(unsaid.said, None);
}

#[test]
fn an_error_at_the_end_of_a_list_is_an_error() {
    let done = message(NLMSG_DONE, 2, 7, &(-libc::ENOENT).to_ne_bytes());
    assert!(read(&done).0.unwrap_err().is(libc::ENOENT));
    let odd = message(NLMSG_ERROR, 0, 7, &i32::MIN.to_ne_bytes());
    assert!(read(&odd).0.is_err());
}

#[test]
fn what_is_cut_off_is_an_error_and_never_an_end() {
    let whole = message(NLMSG_ERROR, 0, 7, &[0; 20]);
    for length in 1..whole.len() {
        let refusal = read(&whole[..length]).0.unwrap_err();
        assert_eq!(refusal.cause.kind(), io::ErrorKind::InvalidData, "{length}");
    }
    assert!(read(&message(NLMSG_ERROR, 0, 7, &[0; 3])).0.is_err());
    assert!(matches!(read(&[]), (Ok(None), 0, false)));
    let mut lying = message(24, 2, 7, &[0; 12]);
    lying[..4].copy_from_slice(&3_u32.to_ne_bytes());
    assert!(read(&lying).0.is_err());
}
