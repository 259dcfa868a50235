//! The format against the RFC's own example, against itself, and against nonsense.

use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::*;

const HEADER: [u8; 8] = [0, 5, 0, 1, 0xAA, 0xBB, 0xCC, 0xDD];
const END: [u8; 4] = [0, 0, 0, 0];
const SERVER: [u8; 10] = [0, 2, 0, 6, 0, 1, 10, 0, 0, 1];
const ID: [u8; 6] = [0, 3, 0, 2, 0, 7];

/// An ACK with these options before End.
fn ack(options: &[&[u8]]) -> Vec<u8> {
    [&HEADER[..], &SERVER, &ID].iter().chain(options).chain(&[&END[..]]).flat_map(|part| part.iter().copied()).collect()
}

fn error_of(datagram: &[u8]) -> WireError {
    Message::decode(datagram).expect_err("it is wrong")
}

#[test]
fn a_message_is_read_field_by_field() {
    let bytes = ack(&[&[0, 1, 0, 4, 0, 0, 14, 16], &[0, 10, 0, 6, 239, 192, 0, 5, 0, 1]]);
    let message = Message::decode(&bytes).expect("a valid message");
    assert_eq!((message.kind, message.xid), (Kind::Ack, 0xAABB_CCDD));
    assert_eq!(message.options.server, Some(IpAddr::from([10, 0, 0, 1])));
    assert_eq!(message.options.lease_id, Some(&[0, 7][..]));
    assert_eq!(message.options.lease_time, Some(3600));
    let range = AddressRange { first: Ipv4Addr::new(239, 192, 0, 5), count: 1 };
    assert_eq!(message.options.ranges, Some(vec![range]));
}

#[test]
fn the_scope_list_of_the_rfc_has_the_rfcs_bytes() {
    let name = |name| vec![ScopeName { fallback: true, language: b"en", name }];
    let inside = Scope {
        first: Ipv4Addr::new(239, 192, 0, 0),
        last: Ipv4Addr::new(239, 195, 255, 255),
        ttl: 10,
        names: name(b"Inside abcd.com"),
    };
    let world = Scope {
        first: Ipv4Addr::new(224, 0, 1, 0),
        last: Ipv4Addr::new(238, 255, 255, 255),
        ttl: 16,
        names: name(b"world"),
    };
    let mut expected = vec![0, 9, 0, 51, 2];
    expected.extend([239, 192, 0, 0, 239, 195, 255, 255, 10, 1, 128, 2, b'e', b'n', 15]);
    expected.extend(b"Inside abcd.com");
    expected.extend([224, 0, 1, 0, 238, 255, 255, 255, 16, 1, 128, 2, b'e', b'n', 5]);
    expected.extend(b"world");
    let options = Options { scopes: Some(vec![inside.clone(), world]), ..Options::default() };
    let bytes = Message { kind: Kind::Ack, xid: 1, options }.to_bytes();
    assert_eq!(bytes[8..bytes.len() - 4], expected);
    assert_eq!(inside.name().as_deref(), Some("Inside abcd.com"));
}

#[test]
fn unknown_options_are_skipped() {
    let bytes = ack(&[&[0x12, 0x34, 0, 3, 1, 2, 3], &[0x12, 0x34, 0, 0]]);
    assert!(Message::decode(&bytes).is_ok());
}

#[test]
fn every_prefix_of_a_message_is_truncated() {
    let whole = ack(&[&[0, 1, 0, 4, 0, 0, 14, 16]]);
    for len in 0..whole.len() {
        let error = error_of(&whole[..len]);
        assert!(matches!(error, WireError::Truncated { .. }), "{len} bytes: {error}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    let mut version = ack(&[]);
    version[0] = 1;
    assert_eq!(error_of(&version), WireError::Version { found: 1 });
    let mut kind = ack(&[]);
    kind[1] = 9;
    assert_eq!(error_of(&kind), WireError::Kind { found: 9 });
    let mut family = ack(&[]);
    family[3] = 2;
    assert_eq!(error_of(&family), WireError::Family { what: "header", found: 2 });
    let twice = error_of(&ack(&[&[0, 1, 0, 4, 0, 0, 0, 1], &[0, 1, 0, 4, 0, 0, 0, 1]]));
    assert_eq!(twice, WireError::Duplicate { option: OptionCode::LeaseTime });
    assert_eq!(error_of(&ack(&[&END])), WireError::Trailing { bytes: 4 });
    let nul_length = error_of(&[&HEADER[..], &[0, 0, 0, 1, 9]].concat());
    assert!(matches!(nul_length, WireError::OptionLength { option: OptionCode::End, length: 1, .. }));
    let family = [&HEADER[..], &[0, 2, 0, 6, 0, 9, 1, 2, 3, 4], &END].concat();
    assert_eq!(error_of(&family), WireError::Family { what: "server identifier", found: 9 });
}

#[test]
fn lengths_that_lie_are_named() {
    let cases: [(&[u8], OptionCode); 9] = [
        (&[0, 1, 0, 3, 0, 0, 1], OptionCode::LeaseTime),
        (&[0, 4, 0, 5, 239, 0, 0, 0, 0], OptionCode::MulticastScope),
        (&[0, 5, 0, 0], OptionCode::RequestList),
        (&[0, 5, 0, 3, 0, 9, 0], OptionCode::RequestList),
        (&[0, 7, 0, 2, 0, 1], OptionCode::AddressCount),
        (&[0, 9, 0, 2, 0, 0], OptionCode::ScopeList),
        (&[0, 12, 0, 7, 0, 0, 0, 0, 0, 0, 0], OptionCode::FeatureList),
        (&[0, 14, 0, 0], OptionCode::MinLeaseTime),
        (&[0, 16, 0, 1, 0], OptionCode::Error),
    ];
    for (option, code) in cases {
        match error_of(&ack(&[option])) {
            WireError::OptionLength { option, .. } => assert_eq!(option, code),
            other => panic!("{code}: {other}"),
        }
    }
    // Within an option: counts that promise more than there is.
    for option in [
        &[0, 9, 0, 1, 1][..],
        &[0, 9, 0, 13, 1, 239, 0, 0, 0, 239, 0, 0, 1, 15, 1, 0x80, 9],
        &[0, 10, 0, 5, 239, 0, 0, 0, 0],
        &[0, 12, 0, 6, 0, 9, 0, 0, 0, 0],
    ] {
        let error = error_of(&ack(&[option]));
        assert!(matches!(error, WireError::Truncated { .. }), "{option:?}: {error}");
    }
    let too_long = [&HEADER[..], &[0, 3, 0xFF, 0xFF, 1]].concat();
    assert_eq!(error_of(&too_long), WireError::Truncated { what: "lease identifier" });
}

#[test]
fn values_out_of_range_are_named() {
    for option in [
        &[0, 7, 0, 4, 0, 2, 0, 1][..],
        &[0, 9, 0, 11, 1, 239, 0, 0, 1, 239, 0, 0, 0, 15, 0],
        &[0, 10, 0, 6, 255, 255, 255, 255, 0, 2],
    ] {
        let error = error_of(&ack(&[option]));
        assert!(matches!(error, WireError::Value { .. }), "{option:?}: {error}");
    }
}

#[test]
fn each_kind_is_refused_without_each_of_its_mandatory_options() {
    let full = || Options {
        lease_time: Some(60),
        server: Some(Ipv4Addr::new(10, 0, 0, 1).into()),
        lease_id: Some(b"\0id"),
        scope: Some(Ipv4Addr::new(239, 192, 0, 0)),
        request_list: Some(vec![9]),
        ranges: Some(vec![AddressRange { first: Ipv4Addr::new(239, 192, 0, 1), count: 1 }]),
        error: Some(ErrorOption { code: 0, extra: &[0xFF, 0xFF] }),
        ..Options::default()
    };
    let without = |option: OptionCode| {
        let mut options = full();
        match option {
            OptionCode::LeaseTime => options.lease_time = None,
            OptionCode::ServerId => options.server = None,
            OptionCode::LeaseId => options.lease_id = None,
            OptionCode::MulticastScope => options.scope = None,
            OptionCode::RequestList => options.request_list = None,
            OptionCode::AddressRanges => options.ranges = None,
            OptionCode::Error => options.error = None,
            other => panic!("{other} is mandatory nowhere"),
        }
        options
    };
    for kind in (1..=8).filter_map(Kind::from_byte) {
        assert!(Message::decode(&Message { kind, xid: 1, options: full() }.to_bytes()).is_ok(), "{kind}");
        assert!(kind.mandatory().contains(&OptionCode::LeaseId), "{kind}");
        for &option in kind.mandatory() {
            let bytes = Message { kind, xid: 1, options: without(option) }.to_bytes();
            assert_eq!(error_of(&bytes), WireError::Missing { kind, option });
            assert!(Message::parse(&bytes).is_ok(), "only the check for mandatory options refuses it");
        }
    }
    for request in [Kind::Request, Kind::Renew] {
        for &option in request.mandatory_in_ack() {
            let bytes = Message { kind: Kind::Ack, xid: 1, options: without(option) }.to_bytes();
            let message = Message::decode(&bytes).expect("enough for an ACK to anything");
            assert_eq!(message.answers(request), Err(WireError::Missing { kind: Kind::Ack, option }));
            assert_eq!(message.answers(Kind::Release), Ok(()));
        }
    }
}

type NameParts = (bool, Vec<u8>, Vec<u8>);
type ScopeParts = (u32, u32, u8, Vec<NameParts>);

/// What options may be made of, owned.
#[derive(Debug, Clone)]
struct Parts {
    numbers: [Option<u32>; 7],
    server: Option<IpAddr>,
    id: Option<Vec<u8>>,
    codes: Option<Vec<u16>>,
    count: Option<(u16, u16)>,
    language: Option<Vec<u8>>,
    scopes: Option<Vec<ScopeParts>>,
    ranges: Option<Vec<(u32, u16)>>,
    features: Option<[Vec<u16>; 3]>,
    error: Option<(u16, Vec<u8>)>,
}

fn parts() -> impl Strategy<Value = Parts> {
    use prop::collection::vec;
    use prop::option::of;
    let bytes = |len| vec(any::<u8>(), 0..len);
    let name = (any::<bool>(), bytes(8), bytes(40));
    let scope = (any::<u32>(), any::<u32>(), any::<u8>(), vec(name, 0..3));
    let first = (
        any::<[Option<u32>; 7]>(),
        of(any::<IpAddr>()),
        of(vec(any::<u8>(), 1..30)),
        of(vec(any::<u16>(), 1..9)),
        of(any::<(u16, u16)>()),
    );
    let second = (
        of(bytes(9)),
        of(vec(scope, 0..4)),
        of(vec((0..=u32::MAX - 0xFFFF, any::<u16>()), 0..9)),
        of(prop::array::uniform3(vec(any::<u16>(), 0..5))),
        of((any::<u16>(), bytes(9))),
    );
    (first, second).prop_map(|((numbers, server, id, codes, count), (language, scopes, ranges, features, error))| {
        Parts { numbers, server, id, codes, count, language, scopes, ranges, features, error }
    })
}

fn scope_of((a, b, ttl, names): &ScopeParts) -> Scope<'_> {
    Scope { first: (*a.min(b)).into(), last: (*a.max(b)).into(), ttl: *ttl, names: names.iter().map(name_of).collect() }
}

fn name_of((fallback, language, name): &NameParts) -> ScopeName<'_> {
    ScopeName { fallback: *fallback, language, name }
}

fn range_of((first, count): &(u32, u16)) -> AddressRange {
    AddressRange { first: (*first).into(), count: *count }
}

fn options(parts: &Parts) -> Options<'_> {
    let [lease_time, scope, start_time, current_time, retry_time, min_lease_time, max_start_time] = parts.numbers;
    Options {
        lease_time,
        server: parts.server,
        lease_id: parts.id.as_deref(),
        scope: scope.map(Ipv4Addr::from_bits),
        request_list: parts.codes.clone(),
        start_time,
        count: parts.count.map(|(a, b)| AddressCount { minimum: a.min(b), desired: a.max(b) }),
        language: parts.language.as_deref(),
        scopes: parts.scopes.as_ref().map(|scopes| scopes.iter().map(scope_of).collect()),
        ranges: parts.ranges.as_ref().map(|ranges| ranges.iter().map(range_of).collect()),
        current_time,
        features: parts.features.clone().map(|[supported, requested, required]| Features {
            supported,
            requested,
            required,
        }),
        retry_time,
        min_lease_time,
        max_start_time,
        error: parts.error.as_ref().map(|(code, extra)| ErrorOption { code: *code, extra }),
    }
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(kind in 1..=8_u8, xid: u32, parts in parts()) {
        let message = Message { kind: Kind::from_byte(kind).expect("of the eight"), xid, options: options(&parts) };
        let bytes = message.to_bytes();
        prop_assert_eq!(Message::parse(&bytes), Ok(message));
    }

    #[test]
    fn any_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Message::decode(&bytes);
        // Most of the above ends at the version.
        let _ = Message::decode(&[&HEADER[..], &bytes].concat());
    }

    #[test]
    fn a_damaged_message_does_no_harm(parts in parts(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = Message { kind: Kind::Nak, xid: 1, options: options(&parts) }.to_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(message) = Message::parse(&bytes) {
            let again = message.to_bytes();
            prop_assert_eq!(Message::parse(&again), Ok(message));
        }
    }
}
