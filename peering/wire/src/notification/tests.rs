use crate::{Notification, code, subcode};

#[test]
fn a_shutdown_communication_is_cut_on_a_character() {
    // RFC 9003 section 2
    let text = "ü".repeat(200);
    let notification = Notification::cease(subcode::ADMIN_SHUTDOWN, &text);

    assert_eq!(notification.data.len(), 255);
    assert_eq!(notification.data[0], 254);
    assert_eq!(notification.text(), Some("ü".repeat(127)));
}

#[test]
fn a_communication_that_cannot_be_read_is_none() {
    for data in [vec![], vec![0], vec![3, b'h', b'i'], vec![2, 0xff, 0xfe]] {
        let notification = Notification::with_data(6, subcode::ADMIN_RESET, data);
        assert_eq!(notification.text(), None);
    }
    // Other subcodes have no text.
    let bfd = Notification::with_data(6, subcode::BFD_DOWN, vec![2, b'h', b'i']);
    assert_eq!(bfd.text(), None);
}

#[test]
fn control_characters_do_not_reach_the_log() {
    let notification = Notification::cease(subcode::ADMIN_SHUTDOWN, "a\nb\x1b[31m");
    assert_eq!(notification.text(), Some("a b [31m".to_owned()));
}

#[test]
fn names() {
    for (code, subcode, name) in [
        (1, 2, "Message Header Error/Bad Message Length"),
        (2, 0, "OPEN Message Error"),
        (2, 5, "OPEN Message Error/5"),
        (3, 11, "UPDATE Message Error/Malformed AS_PATH"),
        (4, 0, "Hold Timer Expired"),
        (6, 10, "Cease/BFD Down"),
        (6, 200, "Cease/200"),
        (7, 1, "ROUTE-REFRESH Message Error/Invalid Message Length"),
        (8, 0, "Send Hold Timer Expired"),
        (0, 0, "code 0 subcode 0"),
        (99, 7, "code 99 subcode 7"),
    ] {
        assert_eq!(Notification::new(code, subcode).name(), name);
    }
}

#[test]
fn the_text_is_shown() {
    let notification = Notification::cease(subcode::ADMIN_SHUTDOWN, "maintenance");
    assert_eq!(
        notification.to_string(),
        "Cease/Administrative Shutdown (\"maintenance\")"
    );
}

#[test]
fn a_hard_reset_carries_and_shows_what_it_is_for() {
    let inside = Notification::cease(subcode::ADMIN_SHUTDOWN, "maintenance");
    let hard = inside.clone().into_hard_reset();
    assert_eq!(
        (hard.code, hard.subcode, &hard.data[..3]),
        (6, 9, &[6, 2, 11][..])
    );
    assert_eq!(hard.inside_hard_reset(), Some(inside.clone()));
    assert_eq!(
        hard.to_string(),
        "Cease/Hard Reset: Cease/Administrative Shutdown (\"maintenance\")"
    );
    assert_eq!(inside.inside_hard_reset(), None);
    assert_eq!(
        Notification::new(code::CEASE, subcode::HARD_RESET).to_string(),
        "Cease/Hard Reset"
    );
}
