//! Stories of one transfer, in virtual time.

mod tftp_room;

use std::time::Duration;

use proptest::prelude::*;
use pxe::tftp::wire::{ErrorCode, Options, Packet};
use pxe::tftp::{Outcome, Transfer, Transmit};
use tftp_room::{Manner, Room, error};

const MB: usize = 1_000_000;
const MS: Duration = Duration::from_millis(1);
const DONE: Outcome = Outcome::Done { confirmed: true };

fn asked(block: u16, window: u16) -> Options {
    Options { block_size: Some(block), window: Some(window), size: Some(0), timeout: None }
}

#[test]
fn without_loss_every_block_goes_out_once() {
    for (window, manner) in [(1, Manner::Rfc), (4, Manner::Eager), (16, Manner::Mute), (64, Manner::Rfc)] {
        let mut room = Room::new(1, MB, asked(1468, window)).manner(manner);
        assert_eq!(room.run(), DONE);
        assert!(room.has_come());
        assert_eq!(room.blocks_sent, room.transfer.terms().last_block());
    }
}

#[test]
fn a_file_of_more_than_65535_blocks_arrives() {
    for size in [8 * 65_535 - 1, 8 * 65_535, 8 * 70_000 + 3] {
        let mut room = Room::new(2, size, asked(8, 64));
        assert_eq!(room.run(), DONE);
        assert!(room.has_come(), "{size}");
    }
}

#[test]
fn at_one_percent_loss_a_megabyte_takes_less_than_a_second_block_by_block() {
    for seed in 0..20 {
        let mut room = Room::new(seed, MB, asked(1468, 1)).loss(0.01);
        assert_eq!(room.run(), DONE);
        assert!(room.has_come());
        assert!(room.now < Duration::from_secs(1), "{:?}, seed {seed}", room.now);
    }
}

#[test]
fn a_lost_answer_to_the_options_comes_again() {
    let mut room = Room::new(3, 1000, asked(1468, 1)).lose_packets(&[0, 1]);
    assert_eq!(room.run(), DONE);
    assert!(room.has_come());
}

#[test]
fn a_client_whose_request_comes_again_gets_the_answer_at_once() {
    let mut room = Room::new(4, 1000, asked(1468, 1)).lose_packets(&[0]);
    room.server_speaks();
    room.transfer.handle_request_again(5 * MS);
    let oack = room.transfer.poll_transmit(5 * MS);
    assert!(matches!(oack, Some(Transmit::Packet(_))), "{oack:?}");
}

#[test]
fn an_answer_to_the_options_that_went_out_twice_does_not_double_the_first_window() {
    let mut room = Room::new(4, MB, asked(1468, 8));
    let oack = |transfer: &mut Transfer, now| {
        assert!(matches!(transfer.poll_transmit(now), Some(Transmit::Packet(_))));
        transfer.handle_sent(now, 1);
    };
    oack(&mut room.transfer, Duration::ZERO);
    room.transfer.handle_request_again(5 * MS);
    oack(&mut room.transfer, 5 * MS);
    for now in [40 * MS, 45 * MS] {
        room.transfer.handle_datagram(now, &Packet::Ack { block: 0 }.to_bytes());
        while let Some(Transmit::Blocks { count, .. }) = room.transfer.poll_transmit(now) {
            room.transfer.handle_sent(now, count);
        }
    }
    assert_eq!(room.transfer.blocks_resent(), 0);
}

#[test]
fn doubled_datagrams_do_not_double_the_traffic() {
    for window in [1, 4, 64] {
        let mut room = Room::new(5, MB, asked(1468, window)).doubled(0.5);
        assert_eq!(room.run(), DONE);
        assert!(room.has_come());
        let blocks = room.transfer.terms().last_block();
        let more = if window == 1 { 0 } else { blocks / 3 };
        assert!(room.blocks_sent <= blocks + more, "{} of {blocks}, window {window}", room.blocks_sent);
    }
}

#[test]
fn on_a_slow_line_windows_are_sent_again_only_until_the_line_is_known() {
    for manner in [Manner::Rfc, Manner::Eager, Manner::Mute] {
        // A window takes 76 ms, the first wait is far less.
        let mut room = Room::new(6, MB, asked(1468, 64)).rate(10e6).manner(manner);
        assert_eq!(room.run(), DONE);
        assert!(room.has_come());
        let blocks = room.transfer.terms().last_block();
        assert!(room.blocks_sent < blocks + 400, "{manner:?}: {} of {blocks}", room.blocks_sent);
    }
}

#[test]
fn a_card_of_eight_frames_gets_windows_in_bursts_that_it_holds() {
    for manner in [Manner::Rfc, Manner::Eager] {
        let mut room = Room::new(7, MB, asked(1468, 64)).card(8, MS / 10).manner(manner);
        assert_eq!(room.run(), DONE);
        assert!(room.has_come());
        // The card takes 68 ms for it.
        assert!(room.now < Duration::from_millis(250), "{manner:?}: {:?}", room.now);
        let blocks = room.transfer.terms().last_block();
        assert!(room.blocks_sent < 2 * blocks, "{manner:?}: {} of {blocks}", room.blocks_sent);
    }
}

#[test]
fn the_clients_error_ends_a_transfer_at_once() {
    let mut room = Room::new(8, MB, asked(1468, 4));
    (0..40).for_each(|_| {
        room.server_speaks();
        room.step();
    });
    room.transfer.handle_datagram(room.now, &error());
    assert_eq!(room.transfer.poll_transmit(room.now), None);
    assert_eq!(room.transfer.poll_timeout(), None);
    let Some(Outcome::ClientError { code: ErrorCode::OTHER, text }) = room.transfer.outcome() else {
        panic!("{:?}", room.transfer.outcome())
    };
    assert_eq!(text, "enough");
}

#[test]
fn declined_options_mean_that_only_the_size_was_wanted() {
    let mut room = Room::new(9, MB, asked(1468, 4));
    room.server_speaks();
    let declined = Packet::Error { code: ErrorCode::OPTIONS, text: b"" }.to_bytes();
    room.transfer.handle_datagram(room.now, &declined);
    assert_eq!(room.transfer.outcome(), Some(&Outcome::SizeOnly));
}

#[test]
fn a_client_that_never_answers_is_sent_little() {
    let mut room = Room::new(10, MB, Options::default()).loss(1.0);
    assert_eq!(room.run(), Outcome::Silent);
    assert!(room.packets_sent <= 6, "{}", room.packets_sent);
    assert!(room.now < Duration::from_secs(10));
}

#[test]
fn a_client_that_falls_silent_is_given_up() {
    let mut room = Room::new(11, MB, asked(1468, 4));
    room.client.leaves_after = Some(20);
    room.client.patience = Duration::from_secs(7200);
    assert_eq!(room.run(), Outcome::Silent);
    assert!((20..40).contains(&room.now.as_secs()), "{:?}", room.now);
}

#[test]
fn a_client_that_goes_away_with_the_last_block_has_the_file() {
    let mut room = Room::new(12, 10 * 1468, asked(1468, 4));
    room.client.leaves_after = Some(10);
    room.client.patience = Duration::from_secs(7200);
    assert_eq!(room.run(), Outcome::Done { confirmed: false });
    assert!(room.now < Duration::from_secs(10));
}

#[test]
fn a_path_that_was_cut_for_some_seconds_is_used_again() {
    let mut room = Room::new(13, MB, asked(1468, 4)).lose_packets(&(300..310).collect::<Vec<_>>());
    assert_eq!(room.run(), DONE);
    assert!(room.has_come());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_the_network_does_the_file_arrives_as_it_is(
        seed: u64,
        size in 0_usize..40_000,
        block in 8_u16..2000,
        window in 1_u16..70,
        loss in 0.0..0.2,
        doubled in 0.0..0.3,
        delay in 0_u64..80,
        manner in prop::sample::select(vec![Manner::Rfc, Manner::Eager, Manner::Mute]),
    ) {
        let size = size.min(usize::from(block) * 500);
        let mut room = Room::new(seed, size, asked(block, window)).loss(loss).doubled(doubled).manner(manner)
            .delay(MS * u32::try_from(delay).unwrap());
        let outcome = room.run();
        // A network that loses so much may also end it.
        if outcome == DONE {
            prop_assert!(room.client.over && room.has_come());
        } else {
            prop_assert!(loss > 0.01, "{outcome}");
        }
    }
}
