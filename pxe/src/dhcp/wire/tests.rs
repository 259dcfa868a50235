use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// A request with these bytes as options, End not added.
fn raw(options: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_LEN];
    bytes[..4].copy_from_slice(&[1, 1, 6, 0]);
    bytes[236..240].copy_from_slice(&COOKIE);
    bytes.extend(options);
    bytes
}

#[test]
fn the_header_stands_where_rfc_2131_says() {
    let message = Message {
        op: Op::Request,
        htype: 1,
        hlen: 6,
        hops: 3,
        xid: 0x0102_0304,
        secs: 0x0506,
        flags: BROADCAST,
        ciaddr: [10, 0, 0, 1].into(),
        yiaddr: [10, 0, 0, 2].into(),
        siaddr: [10, 0, 0, 3].into(),
        giaddr: [10, 0, 0, 4].into(),
        chaddr: [7; 16],
        sname: b"server".to_vec(),
        file: b"boot".to_vec(),
        options: Options::default(),
    };
    let bytes = message.to_bytes();
    assert_eq!(bytes[..12], [1, 1, 6, 3, 1, 2, 3, 4, 5, 6, 0x80, 0]);
    assert_eq!(bytes[12..28], [10, 0, 0, 1, 10, 0, 0, 2, 10, 0, 0, 3, 10, 0, 0, 4]);
    assert_eq!(bytes[28..44], [7; 16]);
    assert_eq!(bytes[44..51], *b"server\0");
    assert_eq!(bytes[108..113], *b"boot\0");
    assert_eq!(bytes[236..241], [99, 130, 83, 99, 255]);
    assert_eq!(bytes.len(), MIN_ANSWER_LEN);
}

#[test]
fn a_split_option_is_joined() {
    let message = Message::decode(&raw(&[60, 3, b'P', b'X', b'E', 53, 1, 1, 60, 2, b'C', b'l', 255])).unwrap();
    assert_eq!(message.options.get(code::CLASS), Some(&b"PXECl"[..]));
    assert_eq!(message.kind(), Some(Kind::Discover));
}

#[test]
fn a_long_option_is_split_and_comes_back_whole() {
    let mut message = Message::decode(&raw(&[])).unwrap();
    message.options.push(code::BOOT_FILE, &[b'x'; 700]);
    assert_eq!(Message::decode(&message.to_bytes()).unwrap(), message);
}

#[test]
fn options_in_file_and_sname_are_read_after_the_others() {
    let mut bytes = raw(&[52, 1, 3, 60, 1, b'a', 255]);
    bytes[108..112].copy_from_slice(&[60, 1, b'b', 255]);
    bytes[44..48].copy_from_slice(&[60, 1, b'c', 255]);
    let message = Message::decode(&bytes).unwrap();
    assert_eq!(message.options.get(code::CLASS), Some(&b"abc"[..]));
    assert!(message.file.is_empty() && message.sname.is_empty());
}

#[test]
fn an_overload_within_an_overload_leads_nowhere() {
    let mut bytes = raw(&[52, 1, 1, 255]);
    bytes[108..112].copy_from_slice(&[52, 1, 3, 255]);
    bytes[44..47].copy_from_slice(b"srv");
    let message = Message::decode(&bytes).unwrap();
    assert_eq!(message.sname, b"srv");
    assert_eq!(message.options, Options::default());
}

#[test]
fn an_option_longer_than_what_follows_is_named() {
    let error = Message::decode(&raw(&[61, 200, 1, 2])).unwrap_err();
    assert_eq!(error, WireError::Option { code: 61, needed: 200, got: 2, place: "options" });
    let error = Message::decode(&raw(&[61])).unwrap_err();
    assert_eq!(error, WireError::Option { code: 61, needed: 1, got: 0, place: "options" });
}

#[test]
fn a_missing_end_is_forgiven() {
    assert_eq!(Message::decode(&raw(&[53, 1, 1])).unwrap().kind(), Some(Kind::Discover));
}

#[test]
fn a_hardware_address_is_never_longer_than_its_field() {
    let mut bytes = raw(&[]);
    bytes[2] = 255;
    assert_eq!(Message::decode(&bytes).unwrap().hardware().len(), 16);
}

#[test]
fn an_address_of_another_length_is_none() {
    let message = Message::decode(&raw(&[50, 3, 10, 0, 0, 54, 8, 1, 2, 3, 4, 5, 6, 7, 8])).unwrap();
    assert_eq!(message.options.address(code::REQUESTED), None);
    assert_eq!(message.options.address(code::SERVER_ID), None);
}

#[test]
fn two_kinds_are_none() {
    assert_eq!(Message::decode(&raw(&[53, 1, 1, 53, 1, 3])).unwrap().kind(), None);
}

#[test]
fn what_does_not_fit_is_left_out_from_the_end_and_named() {
    let mut message = Message::decode(&raw(&[])).unwrap();
    message.options.push(code::KIND, &[2]);
    message.options.push(code::BOOT_FILE, &[b'x'; 200]);
    message.options.push(code::VENDOR, &[b'y'; 200]);
    message.options.push(code::SERVER_ID, &[1, 2, 3, 4]);
    let (bytes, left_out) = message.encode(548);
    assert!(bytes.len() <= 548);
    assert_eq!(left_out, [code::VENDOR]);
    assert!(Message::decode(&bytes).unwrap().options.address(code::SERVER_ID).is_some());
}

#[test]
fn what_is_for_relay_agents_stands_last_and_has_its_room_before_all_others() {
    let mut message = Message::decode(&raw(&[])).unwrap();
    message.options.push(code::RELAY, &[1, 2, 3, 4]);
    message.options.push(code::KIND, &[2]);
    message.options.push(code::DOMAIN, &[b'x'; 50]);
    let (bytes, left_out) = message.encode(HEADER_LEN + 3 + 6 + 51 + 1);
    assert_eq!(left_out, [code::DOMAIN]);
    assert_eq!(bytes[HEADER_LEN..HEADER_LEN + 10], [53, 1, 2, 82, 4, 1, 2, 3, 4, 255]);
    assert!(message.encode(HEADER_LEN + 3 + 6 + 52 + 1).1.is_empty());
}

#[test]
fn what_is_no_dhcp_is_refused() {
    assert!(matches!(Message::decode(&[]), Err(WireError::Truncated { what: "op", .. })));
    assert!(matches!(Message::decode(&raw(&[])[..239]), Err(WireError::Truncated { what: "the cookie", .. })));
    assert_eq!(Message::decode(&vec![1; 300]), Err(WireError::Cookie));
    assert_eq!(Message::decode(&vec![3; 300]), Err(WireError::Op(3)));
    assert_eq!(Message::decode(&raw(&[0; MAX_MESSAGE_LEN])), Err(WireError::TooLong(HEADER_LEN + MAX_MESSAGE_LEN)));
}

prop_compose! {
    fn any_message()(
        reply: bool,
        (htype, hlen, hops) in any::<(u8, u8, u8)>(),
        (xid, secs, flags) in any::<(u32, u16, u16)>(),
        addresses: [[u8; 4]; 4],
        chaddr: [u8; 16],
        sname in vec(1u8.., 0..64),
        file in vec(1u8.., 0..128),
        options in vec((1u8..255, vec(any::<u8>(), 0..300)), 0..8),
    ) -> Message {
        let mut all = Options::default();
        for (code, value) in options {
            if code != code::OVERLOAD {
                all.push(code, &value);
            }
        }
        let [ciaddr, yiaddr, siaddr, giaddr] = addresses.map(Ipv4Addr::from);
        let op = if reply { Op::Reply } else { Op::Request };
        Message {
            op, htype, hlen, hops, xid, secs, flags, ciaddr, yiaddr, siaddr, giaddr, chaddr, sname, file, options: all,
        }
    }
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_the_same(message in any_message()) {
        prop_assert_eq!(Message::decode(&message.to_bytes()), Ok(message));
    }

    #[test]
    fn an_encoded_message_keeps_to_its_limit(message in any_message(), limit in MIN_ANSWER_LEN..1500) {
        prop_assert!(message.encode(limit).0.len() <= limit);
    }

    #[test]
    fn any_bytes_decode_or_are_refused(mut bytes in vec(any::<u8>(), 0..700), sound: bool) {
        if sound && bytes.len() >= HEADER_LEN {
            bytes[0] = 1;
            bytes[236..240].copy_from_slice(&COOKIE);
        }
        if let Ok(message) = Message::decode(&bytes) {
            prop_assert_eq!(Message::decode(&message.to_bytes()), Ok(message));
        }
    }
}
