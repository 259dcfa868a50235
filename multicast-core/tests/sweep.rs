//! What a session costs beside what it must cost, for rooms of 1 to 1,000 clients, as tables.
//!
//! 16 blocks of 1,024 symbols at 1 Gbit/s, 24.6 MB on the wire in 0.2 s; one block more or less is
//! the manifest, whose real size is a hundredth of that. Run with `UPDATE_EXPECT=1` to accept a change.

mod common;

use common::assert_identical;
use expect_test::{Expect, expect};
use multicast_core::sim::{LinkModel, Room, RoomConfig, coded_repair_measured};

const SEED: u64 = 7;
const IMAGE_SYMBOLS: u32 = 16 * 1024;

/// A row for each room: clients, loss, sent/image, its bound, feedback, time/image time.
fn sweep(change: impl Fn(&mut RoomConfig, f64), bound: impl Fn(&Room, u32, f64) -> f64, expected: Expect) {
    let mut table = String::from("clients loss %  sent/image   bound  feedback %  time/image\n");
    for clients in [1, 8, 100, 1000] {
        for loss in [0.0, 0.001, 0.01, 0.05, 0.2] {
            let mut config = RoomConfig::new(SEED, IMAGE_SYMBOLS, clients);
            change(&mut config, loss);
            let mut room = Room::new(config);
            room.run_to_end();
            assert_identical(&room, SEED, 0..room.len());
            let figures = room.figures();
            table += &format!(
                "{clients:7} {:6.1} {:11.3} {:7.3} {:11.2} {:11.2}\n",
                loss * 100.0,
                figures.sent_ratio,
                bound(&room, clients, loss),
                figures.feedback_ratio * 100.0,
                figures.time_ratio,
            );
        }
    }
    expected.assert_eq(&table);
}

#[test]
fn independent_loss_costs_what_the_bound_says() {
    sweep(|config, loss| config.link = LinkModel::lossy(loss), |room, _, _| room.figures().bound, expect![[""]]);
}

#[test]
fn bursty_loss_costs_no_more_than_bursts_sent_without_a_pause_would() {
    let bursty = |loss| LinkModel { loss, burst: 8.0, ..LinkModel::CLEAN };
    sweep(
        |config, loss| config.link = bursty(loss),
        |_, clients, loss| coded_repair_measured(1024, clients, &bursty(loss), 16, SEED),
        expect![[""]],
    );
}

#[test]
fn shared_loss_costs_what_one_client_alone_would() {
    sweep(|config, loss| config.shared = LinkModel::lossy(loss), |room, _, _| room.figures().bound, expect![[""]]);
}
