//! Networks that do more than lose: the bytes stay the image's, and the cost stays within reason.

mod common;

use common::{assert_identical, small_room};
use expect_test::{Expect, expect};
use multicast_core::sim::{LinkModel, Room, RoomConfig, RoomFigures};

const SEED: u64 = 5;

/// Runs the room and compares what it cost with `expected`.
fn run(config: RoomConfig, expected: Expect) -> RoomFigures {
    let mut room = Room::new(config);
    room.run_to_end();
    assert_identical(&room, SEED, 0..room.len());
    let figures = room.figures();
    let RoomFigures { sent_ratio, bound, feedback_ratio, damaged_blocks, .. } = figures;
    let feedback = feedback_ratio * 100.0;
    let text = format!("sent {sent_ratio:.3}, bound {bound:.3}, feedback {feedback:.2} %, damaged {damaged_blocks}");
    expected.assert_eq(&text);
    figures
}

fn disturbed(link: LinkModel) -> RoomConfig {
    RoomConfig { link, ..RoomConfig::new(SEED, 32 * 1024, 16) }
}

#[test]
fn reordering_costs_only_the_repair_of_what_was_asked_for_too_early() {
    run(
        disturbed(LinkModel { reorder: 0.05, ..LinkModel::lossy(0.01) }),
        expect!["sent 1.023, bound 1.016, feedback 0.16 %, damaged 0"],
    );
}

#[test]
fn duplication_costs_nothing() {
    run(
        disturbed(LinkModel { duplicate: 0.2, ..LinkModel::lossy(0.01) }),
        expect!["sent 1.016, bound 1.016, feedback 0.19 %, damaged 0"],
    );
}

#[test]
fn corruption_is_found_and_its_blocks_are_fetched_anew() {
    // UDP's checksum lets one damaged datagram in 65,536 through; here all of them come through.
    let figures = run(
        disturbed(LinkModel { corrupt: 0.000_02, ..LinkModel::lossy(0.01) }),
        expect!["sent 1.172, bound 1.016, feedback 0.14 %, damaged 5"],
    );
    assert!(figures.damaged_blocks > 0, "seed {SEED}: nothing was damaged");
}

#[test]
fn all_of_it_at_once_still_gives_identical_bytes() {
    let link =
        LinkModel { loss: 0.05, burst: 4.0, reorder: 0.05, duplicate: 0.05, corrupt: 0.0001, ..LinkModel::CLEAN };
    run(
        RoomConfig { link, feedback_loss: 0.2, ..small_room(SEED, 16_000, 16) },
        expect!["sent 1.335, bound 1.137, feedback 0.27 %, damaged 14"],
    );
}

#[test]
fn losing_half_of_the_feedback_costs_time_but_no_symbols() {
    run(
        RoomConfig { feedback_loss: 0.5, ..disturbed(LinkModel::lossy(0.01)) },
        expect!["sent 1.016, bound 1.016, feedback 0.08 %, damaged 0"],
    );
}

#[test]
fn a_thousand_clients_lose_half_of_the_feedback_and_none_is_given_up() {
    let config = RoomConfig { feedback_loss: 0.5, link: LinkModel::lossy(0.01), ..small_room(SEED, 3_200, 1000) };
    let mut room = Room::new(config);
    room.run_to_end();
    assert_identical(&room, SEED, 0..room.len());
    assert!(room.session().is_some_and(|session| session.counters.symbols > 0));
    let given_up = |event: &_| matches!(event, multicast_core::sender::SenderEvent::ClientGivenUp { .. });
    assert!(!room.events().iter().any(|(_, event)| given_up(event)), "seed {SEED}");
}

#[test]
fn more_loss_than_parity_can_repair_is_repaired_by_going_round_again() {
    let config = RoomConfig::new(SEED, 8 * 1024, 4);
    run(
        RoomConfig { link: LinkModel::lossy(0.6), ..config },
        expect!["sent 2.903, bound 2.564, feedback 0.04 %, damaged 0"],
    );
}

#[test]
fn without_buffers_all_goes_through_the_store_and_nothing_more_is_sent() {
    let config = disturbed(LinkModel::lossy(0.2));
    run(RoomConfig { staging: 0, ..config }, expect!["sent 1.278, bound 1.282, feedback 0.21 %, damaged 0"]);
}

#[test]
fn a_room_with_a_slow_link_and_a_long_way_needs_no_more_symbols() {
    let delay = std::time::Duration::from_millis(40);
    run(
        RoomConfig { delay, ..disturbed(LinkModel::lossy(0.05)) },
        expect!["sent 1.065, bound 1.066, feedback 0.25 %, damaged 0"],
    );
}
